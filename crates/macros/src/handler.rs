//! One marked method, read and checked.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Error, FnArg, Ident, Pat, PatIdent, ReceiverKind, ReturnType, Safety, Signature, Type};

use crate::errors::Errors;
use crate::mark::{Kind, Mark};
use crate::names;
use crate::types::{self, bare, is_called, is_unit, last, reply_of};

/// A method that handles something.
pub(crate) struct Handler {
    pub(crate) mark: Mark,
    pub(crate) ident: Ident,
    pub(crate) params: Vec<Param>,
    pub(crate) is_async: bool,
    pub(crate) returns: Returns,
    /// Under which conditions it exists at all.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) docs: Vec<Attribute>,
}

/// What a method is given beside `self`, in its order.
pub(crate) enum Param {
    /// A part of the message (of `init`: what it is lent).
    Arg { ident: Ident, ty: Type },
    /// The context.
    Context,
    /// The reply, where the method sends it by itself.
    Reply(Type),
    /// The reason of an end.
    Reason,
}

/// What a method returns.
pub(crate) enum Returns {
    /// Nothing.
    Unit,
    /// The reply.
    Reply(Type),
    /// The reply, and what the server does next.
    ReplyAndNext(Type),
    /// What the server does next; or, of `init`, what was made; or, of `terminate`, how it went.
    Outcome,
}

impl Handler {
    /// Reads a method of `server`; what is wrong with it is told to `errors`.
    pub(crate) fn read(
        mark: Mark,
        attrs: &[Attribute],
        sig: &Signature,
        server: &Type,
        errors: &mut Errors,
    ) -> Self {
        check_signature(mark.kind, sig, errors);
        let params = read_params(mark.kind, sig, server, errors);
        let answers = params.iter().any(|param| matches!(param, Param::Reply(_)));
        let returns = read_output(mark.kind, answers, sig, errors);
        let named = |name: &'static str| {
            attrs.iter().filter(move |attr| attr.path().is_ident(name)).cloned().collect()
        };
        let handler = Self {
            ident: sig.ident.clone(),
            params,
            is_async: sig.asyncness.is_some(),
            returns,
            cfgs: named("cfg"),
            docs: named("doc"),
            mark,
        };
        if handler.mark.every.is_some() && handler.args().next().is_some() {
            let message =
                "a tick brings nothing along: an info with `every` has no arguments but the context";
            errors.push(Error::new(handler.ident.span(), message));
        }
        handler
    }

    pub(crate) fn kind(&self) -> Kind {
        self.mark.kind
    }

    /// The arguments that are a part of the message.
    pub(crate) fn args(&self) -> impl Iterator<Item = (&Ident, &Type)> {
        self.params.iter().filter_map(|param| match param {
            Param::Arg { ident, ty } => Some((ident, ty)),
            _ => None,
        })
    }

    /// What the caller gets.
    pub(crate) fn reply(&self) -> TokenStream {
        let sent = self.params.iter().find_map(|param| match param {
            Param::Reply(ty) => Some(ty),
            _ => None,
        });
        match (sent, &self.returns) {
            (Some(ty), _) | (None, Returns::Reply(ty) | Returns::ReplyAndNext(ty)) => quote!(#ty),
            _ => quote!(()),
        }
    }

    pub(crate) fn uses_context(&self) -> bool {
        self.params.iter().any(|param| matches!(param, Param::Context))
    }

    /// The method's name without what makes a keyword a name.
    pub(crate) fn name(&self) -> String {
        names::plain(&self.ident)
    }

    /// Its variant in the enum of its messages.
    pub(crate) fn variant(&self) -> Ident {
        format_ident!("{}", names::camel(&self.name()), span = self.ident.span())
    }

    /// `Self::name(self, a, b)`, awaited where that is to be done.
    pub(crate) fn invoke(&self, locals: &Locals) -> TokenStream {
        let ident = &self.ident;
        let params = self.params.iter().map(|param| match param {
            Param::Arg { ident, .. } => quote!(#ident),
            Param::Context => {
                let ctx = &locals.ctx;
                quote!(#ctx)
            }
            Param::Reply(_) => {
                let reply = &locals.reply;
                quote!(#reply)
            }
            Param::Reason => {
                let reason = &locals.reason;
                quote!(#reason)
            }
        });
        let receiver = (self.kind() != Kind::Init).then(|| quote!(self,));
        let wait = self.is_async.then(|| quote!(.await));
        quote_spanned!(ident.span().resolved_at(Span::call_site())=> Self::#ident(#receiver #(#params),*) #wait)
    }
}

/// The names that the expansion gives, which no name of the user's meets.
pub(crate) struct Locals {
    pub(crate) ctx: Ident,
    pub(crate) reply: Ident,
    pub(crate) reason: Ident,
    pub(crate) args: Ident,
    pub(crate) message: Ident,
    pub(crate) limit: Ident,
}

impl Locals {
    pub(crate) fn new() -> Self {
        let local = |name| Ident::new(name, Span::mixed_site());
        Self {
            ctx: local("ctx"),
            reply: local("reply"),
            reason: local("reason"),
            args: local("args"),
            message: local("message"),
            limit: local("limit"),
        }
    }
}

fn check_signature(kind: Kind, sig: &Signature, errors: &mut Errors) {
    if let Some(token) = sig.constness {
        errors.at(token, "a handler is an ordinary method: not `const`");
    }
    if let Safety::Safe(_) | Safety::Unsafe(_) = sig.safety {
        errors.at(&sig.safety, "a handler is called for every message that comes: it cannot be `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a handler is an ordinary method: not `extern`");
    }
    if !sig.generics.params.is_empty() {
        let message = "a message has one type: no generics and no lifetimes on a handler (type parameters may stand on \
                       the `impl`)";
        errors.at(&sig.generics, message);
    } else if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause, "conditions stand on the `impl`, not on a handler");
    }
    match (kind, sig.receiver()) {
        (Kind::Init, Some(receiver)) => {
            errors.at(receiver, "`init` makes the state: there is no `self` yet");
        }
        (Kind::Init, None) => {}
        (_, None) => {
            let message = format!("a handler is a method: `fn {}(&mut self, ..)`", sig.ident);
            errors.at(&sig.ident, message);
        }
        (_, Some(receiver)) => {
            if !matches!(receiver.kind, ReceiverKind::Reference(..)) {
                let message = "the server goes on after its handlers: take `&self` or `&mut self`";
                errors.at(receiver, message);
            }
        }
    }
}

fn read_params(kind: Kind, sig: &Signature, server: &Type, errors: &mut Errors) -> Vec<Param> {
    let mut params = Vec::new();
    for input in &sig.inputs {
        let FnArg::Typed(input) = input else { continue };
        let Some(param) = errors.ok(read_param(kind, &input.pat, &input.ty, server)) else { continue };
        let same = |other: &Param| std::mem::discriminant(other) == std::mem::discriminant(&param);
        if !matches!(param, Param::Arg { .. }) && params.iter().any(same) {
            errors.at(input, "one of these is enough");
            continue;
        }
        params.push(param);
    }
    params
}

fn read_param(kind: Kind, pat: &Pat, ty: &Type, server: &Type) -> syn::Result<Param> {
    if types::is_context(ty, server)? {
        return Ok(Param::Context);
    }
    if kind == Kind::Call
        && let Some(of) = reply_of(ty)
    {
        types::check_owned(of, "a reply")?;
        return Ok(Param::Reply(of.clone()));
    }
    if kind == Kind::Terminate {
        return match bare(ty) {
            Type::Reference(reference) if is_called(&reference.elem, "ExitReason") => Ok(Param::Reason),
            _ => Err(Error::new_spanned(
                ty,
                "`terminate` is given the reason, `&ExitReason`, and the context, or less",
            )),
        };
    }
    if let Kind::Continue | Kind::Timeout = kind {
        let message = format!("`{}` is given nothing but the context", kind.name());
        return Err(Error::new_spanned(ty, message));
    }
    let Pat::Ident(PatIdent { by_ref: None, ident, subpat: None, .. }) = pat else {
        let message = "a part of a message has a name: take it apart in the body";
        return Err(Error::new_spanned(pat, message));
    };
    if kind == Kind::Init {
        return lent(ident, ty);
    }
    types::check_owned(ty, "a message")?;
    Ok(Param::Arg { ident: carried(ident), ty: ty.clone() })
}

/// What `init` is lent.
fn lent(ident: &Ident, ty: &Type) -> syn::Result<Param> {
    let Type::Reference(reference) = bare(ty) else {
        let message = format!(
            "`init` is lent its arguments, so that the next incarnation is given the same: `{ident}: &{}`",
            types::shown(ty)
        );
        return Err(Error::new_spanned(ty, message));
    };
    if reference.mutability.is_some() || reference.lifetime.is_some() {
        let message = format!("`init` is lent its arguments: `&{}`", types::shown(&reference.elem));
        return Err(Error::new_spanned(ty, message));
    }
    let inside: Type = syn::parse2(types::kept_for(reference))?;
    types::check_owned(&inside, "what a server is started with")?;
    Ok(Param::Arg { ident: carried(ident), ty: ty.clone() })
}

/// An argument's name, for what is written: there it is the expansion's, and no lint's that looks at how its author used it.
fn carried(ident: &Ident) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(ident.span().resolved_at(Span::call_site()));
    ident
}

const INIT: &str = "`init` makes the state: it returns `Self`, `Init<Self>`, or a `Result` of one of them";

fn read_output(kind: Kind, answers: bool, sig: &Signature, errors: &mut Errors) -> Returns {
    let ReturnType::Type(_, ty) = &sig.output else {
        if kind == Kind::Init {
            errors.at(&sig.ident, INIT);
        }
        return Returns::Unit;
    };
    if let Type::ImplTrait(_) = bare(ty) {
        let message = "what a handler returns has one type, that can be named: no `impl Trait` (a `Box<dyn Trait>` can; a \
                       future is returned by `async fn`)";
        errors.at(ty, message);
        return Returns::Unit;
    }
    if is_unit(&sig.output) && kind != Kind::Init {
        return Returns::Unit;
    }
    if kind == Kind::Call && !answers {
        return read_reply(ty, errors);
    }
    if let Some(message) = no_outcome(kind, ty) {
        errors.at(ty, message);
    }
    Returns::Outcome
}

fn read_reply(ty: &Type, errors: &mut Errors) -> Returns {
    if says_what_next(ty) {
        let message = "a call returns its reply. One that also says what the server does next returns both, `(T, Next)`; \
                       one that replies by itself takes a `reply: Reply<T>`";
        errors.at(ty, message);
        return Returns::Unit;
    }
    if let Type::Tuple(tuple) = bare(ty)
        && tuple.elems.len() == 2
        && is_called(&tuple.elems[1], "Next")
    {
        let reply = &tuple.elems[0];
        errors.ok(types::check_owned(reply, "a reply"));
        return Returns::ReplyAndNext(reply.clone());
    }
    errors.ok(types::check_owned(ty, "a reply"));
    Returns::Reply(ty.clone())
}

/// `Next`, `Step`, or a `Result` of `Next`.
fn says_what_next(ty: &Type) -> bool {
    let result_of_next = || match last(ty).map(|segment| (&segment.ident, &segment.arguments)) {
        Some((name, syn::PathArguments::AngleBracketed(args))) if name == "Result" => {
            matches!(args.args.first(), Some(syn::GenericArgument::Type(ty)) if is_called(ty, "Next"))
        }
        _ => false,
    };
    is_called(ty, "Next") || is_called(ty, "Step") || result_of_next()
}

/// A `Result` whose error is a text.
fn fails_with_text(ty: &Type) -> bool {
    let Some(syn::PathArguments::AngleBracketed(args)) =
        last(ty).filter(|segment| segment.ident == "Result").map(|segment| &segment.arguments)
    else {
        return false;
    };
    match args.args.iter().nth(1) {
        Some(syn::GenericArgument::Type(Type::Reference(reference))) => is_called(&reference.elem, "str"),
        Some(syn::GenericArgument::Type(error)) => is_called(error, "String"),
        _ => false,
    }
}

/// What is plainly none of the things that a method of this kind returns. (The rest is the compiler's to say.)
fn no_outcome(kind: Kind, ty: &Type) -> Option<String> {
    const PLAIN: [&str; 18] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64",
        "bool", "char", "String", "Option",
    ];
    let plain = match bare(ty) {
        Type::Path(_) => last(ty).is_some_and(|segment| PLAIN.iter().any(|name| segment.ident == name)),
        Type::Tuple(_) | Type::Array(_) | Type::Reference(_) | Type::Slice(_) | Type::Never(_) => true,
        _ => false,
    };
    if !plain {
        return fails_with_text(ty).then(|| {
            "an error that ends a server is an `ExitReason`, or any `std::error::Error`: of a text, \
             `ExitReason::error(text)` makes one"
                .into()
        });
    }
    Some(match kind {
        Kind::Init => INIT.into(),
        Kind::Terminate => "`terminate` returns nothing, or a `Result<(), E>`".into(),
        Kind::Cast | Kind::Info => format!(
            "nobody waits for what a `#[{}]` returns: it returns nothing, `Next`, `Step` or `Result<(), E>`; what is \
             asked for is a `#[call]`",
            kind.name()
        ),
        Kind::Call => {
            "this call replies by its `Reply`: it returns nothing, `Next`, `Step` or `Result<(), E>`".into()
        }
        Kind::Continue | Kind::Timeout => {
            format!("`{}` returns nothing, `Next`, `Step` or `Result<(), E>`", kind.name())
        }
    })
}
