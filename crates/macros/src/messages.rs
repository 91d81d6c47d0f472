//! The enums: one variant for each method that handles a message of that sort.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::punctuated::Punctuated;
use syn::{GenericParam, Generics, Ident, Path, Visibility, WherePredicate};

use crate::handler::Handler;
use crate::mark::Kind;
use crate::server::Server;
use crate::types::{mentions, shown, without_self};

/// The messages of one sort: what a `match` and a handle need to know of them.
pub(crate) struct Messages<'a> {
    pub(crate) kind: Kind,
    /// The enum's name; nothing where the server has no such messages.
    ident: Option<Ident>,
    /// Those of the impl that occur in the messages.
    generics: Generics,
    server: &'a Server,
    krate: &'a Path,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(kind: Kind, name: &Ident, server: &'a Server, krate: &'a Path) -> Self {
        let ending = match kind {
            Kind::Call => "Call",
            Kind::Cast => "Cast",
            _ => "Info",
        };
        let ident = server.has(kind).then(|| format_ident!("{name}{ending}"));
        let mut messages = Self { kind, ident, generics: Generics::default(), server, krate };
        let fields: TokenStream = server.of(kind).flat_map(|handler| messages.fields(handler)).collect();
        messages.generics = narrowed(&server.block.generics, &fields);
        messages
    }

    /// The handlers of these messages.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = &'a Handler> + Clone + use<'a> {
        self.server.of(self.kind)
    }

    /// The type: one without values where there are no messages.
    pub(crate) fn ty(&self) -> TokenStream {
        let Some(ident) = &self.ident else { return quote!(::core::convert::Infallible) };
        let (_, generics, _) = self.generics.split_for_impl();
        quote!(#ident #generics)
    }

    /// `Name::Variant(a, b)`, as a pattern or an expression; `reply` is what stands for a call's reply.
    pub(crate) fn message(&self, handler: &Handler, reply: Option<&Ident>) -> TokenStream {
        let (ident, variant) = (&self.ident, handler.variant());
        let args = handler.args().map(|(ident, _)| ident).chain(reply);
        let fields: Punctuated<_, syn::Token![,]> = args.collect();
        if fields.is_empty() { quote!(#ident::#variant) } else { quote!(#ident::#variant(#fields)) }
    }

    /// What a variant carries: the arguments, and behind them the reply of a call.
    fn fields(&self, handler: &Handler) -> Vec<TokenStream> {
        let args = handler.args().map(|(_, ty)| ty.to_token_stream());
        let krate = self.krate;
        let reply = (self.kind == Kind::Call).then(|| {
            let reply = handler.reply();
            quote!(#krate::Reply<#reply>)
        });
        args.chain(reply).map(|tokens| without_self(tokens, self.server.ty())).collect()
    }

    /// The enum and what it can do, where there is one.
    pub(crate) fn declare(&self, vis: &Visibility) -> TokenStream {
        let Some(ident) = &self.ident else { return TokenStream::new() };
        let (impls, types, conditions) = self.generics.split_for_impl();
        let generics = &self.generics;
        let variants = self.handlers().map(|handler| self.variant(handler));
        let names = self.handlers().map(|handler| {
            let (cfgs, variant, name) = (&handler.cfgs, handler.variant(), handler.name());
            let rest = (!self.fields(handler).is_empty()).then(|| quote!((..)));
            quote!(#(#cfgs)* Self::#variant #rest => #name,)
        });
        let server = self.server.ty();
        let sort = self.kind.name();
        let doc = line(&format!("The {sort}s of `{}`, by the methods that handle them.", shown(server)));
        quote! {
            #doc
            #[allow(private_bounds, private_interfaces, unreachable_pub, reason = "no more visible than its module")]
            #vis enum #ident #generics #conditions {
                #(#variants)*
            }

            #[allow(private_bounds, unreachable_pub, reason = "no more visible than its module")]
            impl #impls #ident #types #conditions {
                /// What the message is called in reports and traces: the method that handles it.
                #[inline]
                #vis const fn name(&self) -> &'static str {
                    match *self {
                        #(#names)*
                    }
                }
            }

            impl #impls ::core::fmt::Debug for #ident #types #conditions {
                /// Its name; never what it carries.
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.write_str(self.name())
                }
            }
        }
    }

    fn variant(&self, handler: &Handler) -> TokenStream {
        let (cfgs, variant, fields) = (&handler.cfgs, handler.variant(), self.fields(handler));
        let docs = handler.docs_or(|| format!("Handled by `{}`.", handler.name()));
        let fields = (!fields.is_empty()).then(|| quote!((#(#fields),*)));
        quote!(#(#cfgs)* #docs #variant #fields,)
    }
}

/// A line of documentation, as it comes from a comment.
pub(crate) fn line(text: &str) -> TokenStream {
    let text = format!(" {text}");
    quote!(#[doc = #text])
}

impl Handler {
    /// The method's own documentation, or a sentence instead.
    pub(crate) fn docs_or(&self, instead: impl FnOnce() -> String) -> TokenStream {
        if self.docs.is_empty() {
            return line(&instead());
        }
        let docs = &self.docs;
        quote!(#(#docs)*)
    }
}

/// Those parameters and conditions that concern these fields: an enum may not have a parameter that it does not use.
fn narrowed(generics: &Generics, fields: &TokenStream) -> Generics {
    let name = |param: &GenericParam| match param {
        GenericParam::Type(param) => Some(param.ident.clone()),
        GenericParam::Const(param) => Some(param.ident.clone()),
        GenericParam::Lifetime(_) => None,
    };
    let is_used = |param: &GenericParam| name(param).is_some_and(|name| mentions(fields, &name));
    let unused: Vec<Ident> =
        generics.params.iter().filter(|param| !is_used(param)).filter_map(name).collect();
    // A condition that ties one that is used to one that is not is left out: the impl has it.
    let concerns = |tokens: TokenStream| !unused.iter().any(|name| mentions(&tokens, name));
    let mut narrowed = Generics::default();
    for param in generics.params.iter().filter(|param| is_used(param)) {
        let mut param = param.clone();
        if let GenericParam::Type(param) = &mut param {
            let bounds = std::mem::take(&mut param.bounds);
            param.bounds = bounds.into_iter().filter(|bound| concerns(bound.to_token_stream())).collect();
        }
        narrowed.params.push(param);
    }
    if !narrowed.params.is_empty() {
        (narrowed.lt_token, narrowed.gt_token) = (generics.lt_token, generics.gt_token);
    }
    let used = |condition: &&WherePredicate| {
        let tokens = condition.to_token_stream();
        narrowed.params.iter().filter_map(name).any(|name| mentions(&tokens, &name)) && concerns(tokens)
    };
    let conditions: Vec<_> =
        generics.where_clause.iter().flat_map(|clause| &clause.predicates).filter(used).cloned().collect();
    if !conditions.is_empty() {
        narrowed.make_where_clause().predicates.extend(conditions);
    }
    narrowed
}
