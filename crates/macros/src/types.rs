//! Looks at types as they are written: what may be in a message, and what the framework's own are.
//!
//! Only names are seen here, not what they stand for. So nothing is concluded from a name that the compiler could
//! contradict without saying so; where it is wrong, it is a compile error.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Error, GenericArgument, Ident, PathArguments, PathSegment, Result, ReturnType, Type, TypeReference,
};

/// A type without the parentheses and invisible groups around it.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => bare(&inner.elem),
        Type::Group(inner) => bare(&inner.elem),
        _ => ty,
    }
}

/// The last segment of a type that is a plain path.
pub(crate) fn last(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    }
}

/// The `T` of a `Name<T>`.
pub(crate) fn argument<'a>(segment: &'a PathSegment, name: &str) -> Option<&'a Type> {
    let PathArguments::AngleBracketed(args) = &segment.arguments else { return None };
    match args.args.first() {
        Some(GenericArgument::Type(ty)) if segment.ident == name && args.args.len() == 1 => Some(ty),
        _ => None,
    }
}

/// The `T` of a `Reply<T>`.
pub(crate) fn reply_of(ty: &Type) -> Option<&Type> {
    argument(last(ty)?, "Reply")
}

/// Whether a type is called so.
pub(crate) fn is_called(ty: &Type, name: &str) -> bool {
    last(ty).is_some_and(|segment| segment.ident == name)
}

/// Whether this is nothing: no return type, or `()`.
pub(crate) fn is_unit(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => matches!(bare(ty), Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}

/// Whether this is the context that a handler is lent; an error where it is one that no handler is lent.
pub(crate) fn is_context(ty: &Type, server: &Type) -> Result<bool> {
    let (lent, inner) = match bare(ty) {
        Type::Reference(TypeReference { mutability, elem, .. }) => (Some(mutability.is_some()), &**elem),
        other => (None, other),
    };
    let Some(segment) = last(inner).filter(|segment| segment.ident == "Context") else { return Ok(false) };
    if lent.is_none() && segment.arguments.is_none() {
        // A type of the user's own, of that name.
        return Ok(false);
    }
    let of_this = argument(segment, "Context").is_some_and(|of| {
        is_called(of, "Self") || of.to_token_stream().to_string() == server.to_token_stream().to_string()
    });
    match lent {
        Some(true) if of_this => Ok(true),
        _ => Err(Error::new_spanned(ty, "the context is lent, and of this server: `&mut Context<Self>`")),
    }
}

/// Refuses what a message or a reply cannot carry; `what` says which it is.
pub(crate) fn check_owned(ty: &Type, what: &str) -> Result<()> {
    match bare(ty) {
        Type::Reference(reference) => {
            let own = match bare(&reference.elem) {
                Type::Path(path) if path.path.is_ident("str") => "`String`".to_owned(),
                Type::Slice(_) => "a `Vec`".to_owned(),
                other => format!("`{}`", shown(other)),
            };
            let is_static = reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static");
            if is_static && reference.mutability.is_none() {
                return check_owned_inside(&reference.elem, what);
            }
            let context = if reference.mutability.is_some() && what == "a message" {
                " (and the context is `&mut Context<Self>`)"
            } else {
                ""
            };
            let message =
                format!("{what} outlives whoever sends it, so it owns what it carries: {own}{context}");
            Err(Error::new_spanned(ty, message))
        }
        Type::ImplTrait(_) => {
            let message =
                format!("{what} has one type, that can be named: no `impl Trait` (a `Box<dyn Trait>` can)");
            Err(Error::new_spanned(ty, message))
        }
        Type::Infer(_) => Err(Error::new_spanned(ty, format!("{what} has a type that is written out"))),
        Type::Ptr(_) => Err(Error::new_spanned(
            ty,
            format!("{what} goes from thread to thread, which a raw pointer does not"),
        )),
        Type::Path(path) => path.path.segments.iter().try_for_each(|segment| check_segment(segment, what)),
        Type::Tuple(tuple) => tuple.elems.iter().try_for_each(|elem| check_owned(elem, what)),
        Type::Array(array) => check_owned(&array.elem, what),
        // The arguments of function pointers and closures may well be borrowed; the rest is the compiler's.
        _ => Ok(()),
    }
}

/// Behind a `&'static` may lie what has no size.
fn check_owned_inside(ty: &Type, what: &str) -> Result<()> {
    match bare(ty) {
        Type::Slice(slice) => check_owned(&slice.elem, what),
        other => check_owned(other, what),
    }
}

fn check_segment(segment: &PathSegment, what: &str) -> Result<()> {
    let PathArguments::AngleBracketed(args) = &segment.arguments else { return Ok(()) };
    if segment.ident == "Rc" {
        let message = format!("{what} goes from thread to thread, which an `Rc` does not: use an `Arc`");
        return Err(Error::new_spanned(segment, message));
    }
    args.args.iter().try_for_each(|arg| match arg {
        GenericArgument::Lifetime(lifetime) if lifetime.ident != "static" => {
            let message =
                format!("{what} outlives whoever sends it: nothing in it is borrowed but for `'static`");
            Err(Error::new_spanned(lifetime, message))
        }
        GenericArgument::Type(ty) => check_owned(ty, what),
        _ => Ok(()),
    })
}

/// What a server keeps, to lend it to `init` as this reference: `String` for `&str`.
pub(crate) fn kept_for(lent: &TypeReference) -> TokenStream {
    match bare(&lent.elem) {
        Type::Path(path) if path.path.is_ident("str") => quote!(::std::string::String),
        Type::Slice(slice) => {
            let elem = &slice.elem;
            quote!(::std::vec::Vec<#elem>)
        }
        other => quote!(#other),
    }
}

/// A type for people: as one would write it.
pub(crate) fn shown(tokens: impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    text.replace(" :: ", "::")
        .replace(" < ", "<")
        .replace(" >", ">")
        .replace("< ", "<")
        .replace(" ,", ",")
        .replace("& ", "&")
}

/// The tokens with the server's type for `Self`: they go to where `Self` is another.
pub(crate) fn without_self(tokens: TokenStream, server: &Type) -> TokenStream {
    let mut out = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "Self" => {
                let span = ident.span();
                let on = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
                out.extend(if on {
                    quote_spanned!(span=> <#server>)
                } else {
                    quote_spanned!(span=> #server)
                });
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_self(group.stream(), server));
                inner.set_span(group.span());
                out.extend([TokenTree::Group(inner)]);
            }
            other => out.extend([other]),
        }
    }
    out
}

/// The tokens, all of which are said to stand at this place: what is wrong with them is told there.
pub(crate) fn located(tokens: TokenStream, at: Span) -> TokenStream {
    let place = |mut token: TokenTree| {
        if let TokenTree::Group(group) = &token {
            let mut inner = Group::new(group.delimiter(), located(group.stream(), at));
            inner.set_span(group.span());
            token = TokenTree::Group(inner);
        }
        token.set_span(token.span().located_at(at));
        token
    };
    tokens.into_iter().map(place).collect()
}

/// Whether the name occurs in these tokens.
pub(crate) fn mentions(tokens: &TokenStream, name: &Ident) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        _ => false,
    })
}

/// The name at the end of the path of a server's type.
pub(crate) fn server_name(server: &Type) -> Option<&Ident> {
    last(server).map(|segment| &segment.ident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn messages_own_what_they_carry() {
        for fine in [
            "u64",
            "String",
            "Vec<u8>",
            "&'static str",
            "&'static [u8]",
            "Cow<'static, str>",
            "Box<dyn Fn(&str) -> bool + Send>",
            "fn(&str)",
            "Option<(u8, [u8; 4])>",
            "Rc",
            "T",
            "T::Item",
        ] {
            let ty: Type = syn::parse_str(fine).expect("a type");
            assert!(check_owned(&ty, "a message").is_ok(), "{fine}");
        }
        for wrong in [
            "&str",
            "&[u8]",
            "&'a str",
            "&mut u64",
            "&'static mut u64",
            "Cow<'_, str>",
            "Option<&str>",
            "impl Fn()",
            "(u8, &u8)",
            "Rc<u8>",
            "std::rc::Rc<u8>",
            "*const u8",
            "Vec<_>",
        ] {
            let ty: Type = syn::parse_str(wrong).expect("a type");
            assert!(check_owned(&ty, "a message").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_context_is_lent_and_of_the_server() {
        let server: Type = parse_quote!(Store<T>);
        let is = |text: &str| is_context(&syn::parse_str(text).expect("a type"), &server);
        for yes in ["&mut Context<Self>", "&mut restante::Context<Self>", "&mut Context<Store<T>>"] {
            assert!(matches!(is(yes), Ok(true)), "{yes}");
        }
        for no in ["Context", "u64", "&mut u64", "other::Context"] {
            assert!(matches!(is(no), Ok(false)), "{no}");
        }
        for wrong in
            ["&Context<Self>", "Context<Self>", "&mut Context<Other>", "&mut Context", "&mut Context<'_>"]
        {
            assert!(is(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn self_is_the_server_wherever_it_stands() {
        let server: Type = parse_quote!(Store<T>);
        let given: TokenStream = parse_quote!(Option<Vec<Self>>, [Self; Self::N], Selfish);
        let expected: TokenStream = parse_quote!(Option<Vec<Store<T>>>, [Store<T>; <Store<T>>::N], Selfish);
        let text = |tokens: TokenStream| tokens.to_string().replace(' ', "");
        assert_eq!(text(without_self(given, &server)), text(expected));
    }
}
