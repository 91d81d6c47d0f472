//! What several servers speak: a trait of messages, and a handle that does not say which server is behind it.
//!
//! `#[protocol]` writes the trait that makes a server's messages, a private one that hides the server's type, and the handle.
//! The first is implemented by `gen_server` for handlers that are marked with `protocol = Name`: so a handler that is missing
//! or differs is the compiler's to tell.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemTrait, Path, Result, TraitItem, parse_quote};

use crate::errors::Errors;
use crate::handler::{Handler, Locals, Param};
use crate::mark::{Kind, Mark};
use crate::messages::{Messages, line};
use crate::options::Options;
use crate::server::Server;
use crate::types::{located, shown};

/// Writes a protocol.
pub(crate) fn protocol(options: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = errors.ok(syn::parse2::<Options>(options));
    let written = errors
        .ok(declared(item))
        .and_then(|item| Some(Protocol::read(item, options?, &mut errors)))
        .map(|protocol| protocol.write());
    errors.told().or(written).unwrap_or_default()
}

fn declared(item: &TokenStream) -> Result<ItemTrait> {
    let message = "a protocol is a trait, whose methods are marked `#[call]` or `#[cast]`";
    let item: ItemTrait = syn::parse2(item.clone()).map_err(|_| Error::new_spanned(item, message))?;
    if !item.generics.params.is_empty() || item.generics.where_clause.is_some() {
        return Err(Error::new_spanned(
            &item.generics,
            "a protocol has one type of each message: no generics",
        ));
    }
    if !item.supertraits.is_empty() {
        return Err(Error::new_spanned(
            &item.supertraits,
            "a protocol asks for nothing else: no supertraits",
        ));
    }
    Ok(item)
}

/// A trait, read.
struct Protocol {
    item: ItemTrait,
    options: Options,
    handle: Ident,
    erased: Ident,
    messages: Vec<Handler>,
    locals: Locals,
}

impl Protocol {
    fn read(mut item: ItemTrait, options: Options, errors: &mut Errors) -> Self {
        let mut messages = Vec::new();
        for item in &mut item.items {
            let TraitItem::Fn(method) = item else {
                errors.at(item, "a protocol has methods only, marked `#[call]` or `#[cast]`");
                continue;
            };
            if let Some(body) = &method.default {
                errors.at(body, "a protocol says what is asked; what is done about it is each server's own");
            }
            match Mark::take(&mut method.attrs, errors) {
                Some(mark) if matches!(mark.kind, Kind::Call | Kind::Cast) => {
                    let read = Handler::read(mark, &method.attrs, &method.sig, &parse_quote!(Self), errors);
                    if read.params.iter().any(|param| matches!(param, Param::Context)) {
                        errors.at(
                            &method.sig.inputs,
                            "a protocol says what is sent; the context is each server's own",
                        );
                    }
                    messages.push(read);
                }
                _ => errors.at(&method.sig.ident, "what a protocol says is a `#[call]` or a `#[cast]`"),
            }
        }
        let name = &item.ident;
        let handle = options.handle.clone().unwrap_or_else(|| format_ident!("{name}Ref"));
        let erased = format_ident!("{name}Erased");
        Self { handle, erased, messages, locals: Locals::new(), item, options }
    }

    fn write(&self) -> TokenStream {
        let Self { item: ItemTrait { ident, attrs, vis, .. }, handle, erased, options, .. } = self;
        let krate = &options.krate;
        let makers = self.messages.iter().map(|message| {
            let signature = maker(message, krate, &self.locals);
            let docs = message.docs_or(|| format!("What `{}` is as a message.", message.name()));
            quote!(#docs #signature;)
        });
        let (declared, done): (Vec<_>, Vec<_>) =
            self.messages.iter().map(|message| self.erased(message)).unzip();
        let methods = self.messages.iter().map(|message| self.methods(message));
        let doc = line(&format!(
            "Whoever speaks `{ident}`, the server's type erased. A call through it allocates its future."
        ));
        let name = handle.to_string();
        quote! {
            #(#attrs)*
            #vis trait #ident: #krate::GenServer {
                #(#makers)*
            }

            trait #erased: ::core::marker::Send + ::core::marker::Sync {
                #(#declared)*
            }

            impl<S: #ident> #erased for #krate::ServerRef<S> {
                #(#done)*
            }

            #doc
            #[derive(::core::clone::Clone)]
            #vis struct #handle(::std::sync::Arc<dyn #erased>);

            #[allow(dead_code, reason = "written whole, whichever of it is wanted")]
            impl #handle {
                #(#methods)*
            }

            impl<S: #ident> ::core::convert::From<#krate::ServerRef<S>> for #handle {
                fn from(server: #krate::ServerRef<S>) -> Self {
                    Self(::std::sync::Arc::new(server))
                }
            }

            impl ::core::fmt::Debug for #handle {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.write_str(#name)
                }
            }
        }
    }

    /// The method of the private trait: declared, and for any server that speaks the protocol.
    fn erased(&self, message: &Handler) -> (TokenStream, TokenStream) {
        let Self { options: Options { krate, .. }, locals: Locals { limit, reply, .. }, .. } = self;
        let (name, args, reply_type) = (&message.ident, typed(message), message.reply());
        let names: Vec<_> = message.args().map(|(ident, _)| ident).collect();
        // Called otherwise: the server's own handle has methods of the same names.
        let erased = format_ident!("erased_{name}");
        let boxed = |output: &TokenStream| quote!(::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = #output> + ::core::marker::Send + '_>>);
        if message.kind() == Kind::Call {
            let asked = boxed(&quote!(::core::result::Result<#reply_type, #krate::CallError>));
            let limit_type = quote!(::core::option::Option<::core::time::Duration>);
            let signature = quote!(fn #erased(&self, #args #limit: #limit_type) -> #asked);
            let does = quote! {
                let call = #krate::ServerRef::call(self, move |#reply| S::#name(#(#names,)* #reply));
                match #limit {
                    ::core::option::Option::Some(limit) => ::std::boxed::Box::pin(call.timeout(limit)),
                    ::core::option::Option::None => ::std::boxed::Box::pin(call),
                }
            };
            return (quote!(#signature;), quote!(#signature { #does }));
        }
        let sent = quote!(::core::result::Result<(), #krate::SendError<()>>);
        let (sending, waiting) = (boxed(&sent), format_ident!("erased_send_{name}"));
        let (at_once, waits) =
            (quote!(fn #erased(&self, #args) -> #sent), quote!(fn #waiting(&self, #args) -> #sending));
        let unsent = quote!(|refused| refused.map(::core::mem::drop));
        let done = quote! {
            #at_once {
                #krate::ServerRef::cast(self, S::#name(#(#names),*)).map_err(#unsent)
            }
            #waits {
                let sending = #krate::ServerRef::send(self, S::#name(#(#names),*));
                ::std::boxed::Box::pin(async move { sending.await.map_err(#unsent) })
            }
        };
        (quote!(#at_once; #waits;), done)
    }

    /// The handle's methods.
    fn methods(&self, message: &Handler) -> TokenStream {
        let Self { options: Options { krate, .. }, locals: Locals { limit, .. }, item, .. } = self;
        let (name, vis, args, reply) = (&message.ident, &item.vis, typed(message), message.reply());
        let names: Vec<_> = message.args().map(|(ident, _)| ident).collect();
        let (plain, erased) = (message.name(), format_ident!("erased_{name}"));
        let future = |output: &TokenStream| quote!(impl ::core::future::Future<Output = #output> + ::core::marker::Send + '_);
        if message.kind() == Kind::Call {
            let docs = message.docs_or(|| format!("Calls `{plain}`, and waits for its reply, at most 5 s."));
            let twin = line(&format!("[`{plain}`](Self::{plain}), waiting at most so long."));
            let errors = line("`CallError`: why there is no reply.");
            let with_limit = format_ident!("{name}_timeout");
            let asked = future(&quote!(::core::result::Result<#reply, #krate::CallError>));
            return quote! {
                #docs
                #[doc = ""]
                #[doc = " # Errors"]
                #errors
                #vis fn #name(&self, #args) -> #asked {
                    self.0.#erased(#(#names,)* ::core::option::Option::None)
                }
                #twin
                #[doc = ""]
                #[doc = " # Errors"]
                #errors
                #vis fn #with_limit(&self, #args #limit: ::core::time::Duration) -> #asked {
                    self.0.#erased(#(#names,)* ::core::option::Option::Some(#limit))
                }
            };
        }
        let docs = message.docs_or(|| format!("Casts `{plain}`: sent at once or not at all."));
        let twin = line(&format!("[`{plain}`](Self::{plain}), waiting for room."));
        let errors = line("`SendError`: why it was not taken. The message does not come back.");
        let (waiting, erased_waiting) = (format_ident!("send_{name}"), format_ident!("erased_send_{name}"));
        let sent = quote!(::core::result::Result<(), #krate::SendError<()>>);
        let sending = future(&sent);
        quote! {
            #docs
            #[doc = ""]
            #[doc = " # Errors"]
            #errors
            #vis fn #name(&self, #args) -> #sent {
                self.0.#erased(#(#names),*)
            }
            #twin
            #[doc = ""]
            #[doc = " # Errors"]
            #errors
            #vis fn #waiting(&self, #args) -> #sending {
                self.0.#erased_waiting(#(#names),*)
            }
        }
    }
}

/// `a: A, b: B,`
fn typed(message: &Handler) -> TokenStream {
    message.args().map(|(ident, ty)| quote!(#ident: #ty,)).collect()
}

/// `fn balance(reply: Reply<u64>) -> Self::Call`: what makes a message of a server that speaks the protocol.
fn maker(message: &Handler, krate: &Path, locals: &Locals) -> TokenStream {
    let (name, args) = (&message.ident, typed(message));
    if message.kind() == Kind::Cast {
        return quote!(fn #name(#args) -> Self::Cast);
    }
    let (reply, ty) = (&locals.reply, message.reply());
    quote!(fn #name(#args #reply: #krate::Reply<#ty>) -> Self::Call)
}

/// The impls of the protocols that a server's handlers are marked with.
pub(crate) fn spoken(
    server: &Server,
    messages: [&Messages<'_>; 2],
    krate: &Path,
    locals: &Locals,
) -> TokenStream {
    let mut protocols: Vec<(&Path, TokenStream)> = Vec::new();
    for of in messages {
        for handler in of.handlers() {
            let Some(path) = &handler.mark.protocol else { continue };
            let signature = maker(handler, krate, locals);
            let message = of.message(handler, (of.kind == Kind::Call).then_some(&locals.reply));
            // Where it is not as the protocol declares it, the handler is to be looked at.
            let method = located(quote!(#signature { #message }), handler.ident.span());
            let key = |path: &Path| shown(path.to_token_stream());
            match protocols.iter_mut().find(|(known, _)| key(known) == key(path)) {
                Some((_, methods)) => methods.extend(method),
                None => protocols.push((path, method)),
            }
        }
    }
    let (impls, _, conditions) = server.block.generics.split_for_impl();
    let ty = server.ty();
    protocols
        .iter()
        .map(|(path, methods)| {
            // Where one is missing, the protocol.
            let header = located(quote!(impl #impls #path for #ty #conditions), path.span());
            let mut body = Group::new(Delimiter::Brace, methods.clone());
            body.set_span(path.span().resolved_at(Span::call_site()));
            quote!(#header #body)
        })
        .collect()
}
