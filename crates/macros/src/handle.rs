//! The typed handle: a trait that gives the server's reference one method for each call and cast, and its twins.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Ident, Path, Visibility};

use crate::errors::Errors;
use crate::handler::{Handler, Locals};
use crate::messages::{Messages, line};
use crate::names;
use crate::server::Server;
use crate::types::{shown, without_self};

/// What the handle is written from.
pub(crate) struct Handle<'a> {
    pub(crate) ident: Ident,
    pub(crate) server: &'a Server,
    pub(crate) call: &'a Messages<'a>,
    pub(crate) cast: &'a Messages<'a>,
    pub(crate) locals: &'a Locals,
    pub(crate) krate: &'a Path,
}

/// A method: declared in the trait, and its body in the impl.
struct Method {
    /// Whose message it sends.
    of: Ident,
    ident: Ident,
    cfgs: TokenStream,
    docs: TokenStream,
    signature: TokenStream,
    body: TokenStream,
}

impl Handle<'_> {
    /// The trait and its impl; nothing for a server that takes no messages.
    pub(crate) fn write(&self, vis: &Visibility, errors: &mut Errors) -> TokenStream {
        let methods: Vec<Method> = (self.call.handlers().flat_map(|handler| self.calls(handler)))
            .chain(self.cast.handlers().flat_map(|handler| self.casts(handler)))
            .collect();
        let methods = distinct(methods, errors);
        if methods.is_empty() {
            return TokenStream::new();
        }
        let Self { ident, server, krate, .. } = self;
        let generics = &server.block.generics;
        let (impls, types, conditions) = generics.split_for_impl();
        let ty = server.ty();
        let doc =
            line(&format!("The calls and casts of `{}`, as methods of every reference to it.", shown(ty)));
        let declared =
            methods.iter().map(|Method { cfgs, docs, signature, .. }| quote!(#cfgs #docs #signature;));
        let done = methods
            .iter()
            .map(|Method { cfgs, signature, body, .. }| quote!(#cfgs #[inline] #signature { #body }));
        let has_calls = self.call.handlers().next().is_some();
        let of_calls = line("A `Call<'_, _, T, _>` is awaited, and gives a `Result<T, CallError>`.");
        let of_calls = has_calls.then(|| quote!(#[doc = ""] #of_calls));
        quote! {
            #doc
            #of_calls
            #[allow(dead_code, reason = "written whole, whichever of it is wanted")]
            #[allow(private_bounds, private_interfaces, unreachable_pub, reason = "no more visible than its module")]
            #vis trait #ident #generics #conditions {
                #(#declared)*
            }

            impl #impls #ident #types for #krate::ServerRef<#ty> #conditions {
                #(#done)*
            }
        }
    }

    /// Of a call `get`: `get`, `get_timeout`, `try_get`, `get_blocking`, `get_request`.
    fn calls(&self, handler: &Handler) -> Vec<Method> {
        const ERRORS: &str = "`CallError`: why there is no reply.";
        let Self { krate, locals: Locals { reply, limit, .. }, ident: own_trait, .. } = self;
        let (server, name) = (self.server.ty(), &handler.ident);
        let (messages, value) = (self.call.ty(), without_self(handler.reply(), server));
        let args: Vec<_> = handler.args().map(|(ident, _)| ident).collect();
        let message = self.call.message(handler, Some(reply));
        let asked = quote!(move |#reply| #message);
        let make =
            quote!(impl ::core::ops::FnOnce(#krate::Reply<#value>) -> #messages + ::core::marker::Send);
        let future = quote!(#krate::Call<'_, #server, #value, #make>);
        let own = handler.docs_or(|| format!("Calls `{}`, and waits for its reply.", handler.name()));
        let own = documented(&own, "Waits at most 5 s, unless `Call::timeout` says otherwise.", ERRORS);
        let first = format!("[`{}`](Self::{name})", handler.name());
        let twin = |how: &str| documented(&TokenStream::new(), &format!("{first}, {how}."), ERRORS);
        vec![
            self.method(
                handler,
                name.clone(),
                own,
                None,
                &future,
                quote!(#krate::ServerRef::call(self, #asked)),
            ),
            self.method(
                handler,
                format_ident!("{name}_timeout"),
                twin("waiting at most so long (`Duration::MAX`: for ever)"),
                Some(limit),
                &future,
                quote!(#own_trait::#name(self, #(#args),*).timeout(#limit)),
            ),
            self.method(
                handler,
                format_ident!("try_{name}"),
                twin("replied to at once or not at all"),
                None,
                &future,
                quote!(#own_trait::#name(self, #(#args),*).timeout(::core::time::Duration::ZERO)),
            ),
            self.method(
                handler,
                format_ident!("{name}_blocking"),
                twin("from a plain thread, waiting at most 5 s"),
                None,
                &quote!(::core::result::Result<#value, #krate::CallError>),
                quote!(#krate::ServerRef::call_blocking(self, #asked)),
            ),
            self.method(
                handler,
                format_ident!("{name}_request"),
                twin("sent now and waited for later"),
                None,
                &quote!(#krate::Request<#value>),
                quote!(#krate::ServerRef::send_request(self, #asked)),
            ),
        ]
    }

    /// Of a cast `add`: `add`, `send_add`, `add_timeout`, `add_blocking`.
    fn casts(&self, handler: &Handler) -> Vec<Method> {
        const ERRORS: &str = "`SendError`, with the message: why it was not taken.";
        let Self { krate, locals: Locals { limit, .. }, .. } = self;
        let (messages, name) = (self.cast.ty(), &handler.ident);
        let message = self.cast.message(handler, None);
        let sent = quote!(::core::result::Result<(), #krate::SendError<#messages>>);
        let sending = quote!(impl ::core::future::Future<Output = #sent> + ::core::marker::Send);
        let own = handler.docs_or(|| format!("Casts `{}`.", handler.name()));
        let own = documented(&own, "Sent at once or not at all.", ERRORS);
        let first = format!("[`{}`](Self::{name})", handler.name());
        let twin = |how: &str| documented(&TokenStream::new(), &format!("{first}, {how}."), ERRORS);
        vec![
            self.method(
                handler,
                name.clone(),
                own,
                None,
                &sent,
                quote!(#krate::ServerRef::cast(self, #message)),
            ),
            self.method(
                handler,
                format_ident!("send_{name}"),
                twin("waiting for room"),
                None,
                &sending,
                quote!(#krate::ServerRef::send(self, #message)),
            ),
            self.method(
                handler,
                format_ident!("{name}_timeout"),
                twin("waiting for room at most so long"),
                Some(limit),
                &sending,
                quote!(#krate::ServerRef::send_timeout(self, #message, #limit)),
            ),
            self.method(
                handler,
                format_ident!("{name}_blocking"),
                twin("from a plain thread, waiting for room as long as it takes"),
                None,
                &sent,
                quote!(#krate::ServerRef::send_blocking(self, #message, ::core::time::Duration::MAX)),
            ),
        ]
    }

    fn method(
        &self,
        handler: &Handler,
        ident: Ident,
        docs: TokenStream,
        limit: Option<&Ident>,
        output: &TokenStream,
        body: TokenStream,
    ) -> Method {
        let args = handler.args().map(|(ident, ty)| {
            let ty = without_self(quote!(#ty), self.server.ty());
            quote!(, #ident: #ty)
        });
        let limit = limit.map(|limit| quote!(, #limit: ::core::time::Duration));
        let cfgs = &handler.cfgs;
        Method {
            of: handler.ident.clone(),
            cfgs: quote!(#(#cfgs)*),
            docs,
            signature: quote!(fn #ident(&self #(#args)* #limit) -> #output),
            body,
            ident,
        }
    }
}

/// A method's documentation: what it does, how it is sent, and its errors.
fn documented(own: &TokenStream, how: &str, errors: &str) -> TokenStream {
    let (how, errors) = (line(how), line(errors));
    let gap = (!own.is_empty()).then(|| quote!(#[doc = ""]));
    quote! {
        #own
        #gap
        #how
        #[doc = ""]
        #[doc = " # Errors"]
        #errors
    }
}

/// Without those of handlers one of whose names is that of a method that every reference has, or of another handler's.
fn distinct(methods: Vec<Method>, errors: &mut Errors) -> Vec<Method> {
    let mut wrong: Vec<Ident> = Vec::new();
    for (n, method) in methods.iter().enumerate() {
        // Said once for each handler: not for each of its twins.
        if wrong.contains(&method.of) {
            continue;
        }
        if let Err(message) = check_name(method, &methods[..n]) {
            errors.push(Error::new(method.of.span(), message));
            wrong.push(method.of.clone());
        }
    }
    methods.into_iter().filter(|method| !wrong.contains(&method.of)).collect()
}

fn check_name(method: &Method, others: &[Method]) -> Result<(), String> {
    let (of, name) = (names::plain(&method.of), names::plain(&method.ident));
    if names::TAKEN.contains(&&*name) {
        return Err(format!(
            "every `ServerRef` has a method `{name}`, which would hide the one that the handle gets for `{of}`: give this \
             handler another name"
        ));
    }
    let same = |other: &&Method| names::plain(&other.ident) == name && other.of != method.of;
    others.iter().find(same).map_or(Ok(()), |other| {
        Err(format!(
            "the handle would have two methods `{name}`, one for `{}` and one for `{of}`: give one of them another name",
            names::plain(&other.of)
        ))
    })
}
