//! The impl block of a server, read and checked as a whole.

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::{Attribute, Error, GenericParam, ImplItem, Item, ItemImpl, Result, Type, parse_quote};

use crate::errors::Errors;
use crate::handler::Handler;
use crate::mark::{Kind, Mark};
use crate::types;

/// What was read. The block itself has no marks any more.
pub(crate) struct Server {
    pub(crate) block: ItemImpl,
    /// The handlers with which nothing is wrong.
    handlers: Vec<Handler>,
    /// Whether something is wrong that concerns more than one handler.
    pub(crate) is_broken: bool,
}

impl Server {
    /// The block of an item, where it is one that a server can be made of.
    pub(crate) fn block(item: TokenStream) -> Result<ItemImpl> {
        let block = match syn::parse2::<Item>(item)? {
            Item::Impl(ItemImpl { trait_: Some((path, _)), .. }) => {
                let message = "`gen_server` stands on a block of the server's own, `impl Name { .. }`: the impl of `GenServer` \
                               is what it writes";
                return Err(Error::new_spanned(path, message));
            }
            Item::Impl(block) => block,
            Item::Struct(item) => return Err(misplaced(&item.ident)),
            Item::Enum(item) => return Err(misplaced(&item.ident)),
            Item::Trait(item) => {
                let message = "`gen_server` stands on the `impl` block of a server; a trait that several servers speak \
                               is a `#[protocol]`";
                return Err(Error::new_spanned(&item.ident, message));
            }
            other => return Err(misplaced(&other)),
        };
        Ok(block)
    }

    /// Reads a block; what is wrong with it is told to `errors`.
    pub(crate) fn read(mut block: ItemImpl, errors: &mut Errors) -> Self {
        let (mut handlers, mut wrong) = (Vec::new(), Vec::new());
        check_block(&block, errors);
        let mut is_broken = errors.count() > 0;
        let server = block.self_ty.clone();
        for item in &mut block.items {
            let ImplItem::Fn(method) = item else { continue };
            let before = errors.count();
            let Some(mark) = Mark::take(&mut method.attrs, errors) else { continue };
            let read = Handler::read(mark, &method.attrs, &method.sig, &server, errors);
            method.attrs.push(prescribed());
            if errors.count() == before { handlers.push(read) } else { wrong.push(read.kind()) }
        }
        let before = errors.count();
        let mut server = Self { block, handlers, is_broken };
        server.check_handlers(&wrong, errors);
        is_broken |= errors.count() > before || wrong.contains(&Kind::Init);
        server.is_broken = is_broken;
        server
    }

    /// The handlers of one sort.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Handler> + Clone {
        self.handlers.iter().filter(move |handler| handler.kind() == kind)
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.of(kind).next().is_some()
    }

    pub(crate) fn ty(&self) -> &Type {
        &self.block.self_ty
    }

    fn check_handlers(&self, wrong: &[Kind], errors: &mut Errors) {
        if !self.has(Kind::Init) && !wrong.contains(&Kind::Init) {
            let message = "a server begins with its state: mark the function that makes it with `#[init]`, such as \
                           `#[init] fn init() -> Self { .. }`";
            errors.at(&self.block.self_ty, message);
        }
        for kind in [Kind::Init, Kind::Continue, Kind::Timeout, Kind::Terminate] {
            for second in self.of(kind).filter(|handler| handler.cfgs.is_empty()).skip(1) {
                let message = format!("a server has one `#[{}]`, and this is another", kind.name());
                errors.push(Error::new(second.mark.span, message));
            }
        }
        for kind in [Kind::Call, Kind::Cast, Kind::Info] {
            self.check_variants(kind, errors);
        }
    }

    /// Two names must not make one variant.
    fn check_variants(&self, kind: Kind, errors: &mut Errors) {
        let handlers: Vec<_> = self.of(kind).filter(|handler| handler.cfgs.is_empty()).collect();
        for (n, handler) in handlers.iter().enumerate() {
            let variant = handler.variant();
            if let Some(first) = handlers[..n].iter().find(|first| first.variant() == variant) {
                let message = format!(
                    "`{}` and `{}` would be one message, `{variant}`: give one of them another name",
                    first.ident, handler.ident
                );
                errors.push(Error::new(handler.ident.span(), message));
            }
        }
    }
}

fn misplaced(tokens: &impl Spanned) -> Error {
    let message = "`gen_server` stands on the `impl` block of a server, where its handlers are";
    Error::new(tokens.span(), message)
}

fn check_block(block: &ItemImpl, errors: &mut Errors) {
    if let Some(token) = block.unsafety {
        errors.at(token, "there is nothing unsafe about a server");
    }
    for param in &block.generics.params {
        if let GenericParam::Lifetime(param) = param {
            errors.at(param, OWNS);
        }
    }
    match types::last(&block.self_ty) {
        // Said once: not of the parameter's uses as well.
        Some(name) if block.generics.lifetimes().next().is_none() => {
            for lifetime in lifetimes_of(name) {
                errors.at(lifetime, OWNS);
            }
        }
        Some(_) => {}
        None => errors.at(&block.self_ty, "a server is a type with a name"),
    }
}

/// The shape of a handler is not its author's choice, so what clippy would rather have is beside the point.
fn prescribed() -> Attribute {
    parse_quote! {
        #[allow(
            clippy::missing_errors_doc, clippy::needless_pass_by_value, clippy::ptr_arg,
            clippy::trivially_copy_pass_by_ref, clippy::unnecessary_wraps, clippy::unused_async, clippy::unused_self,
            reason = "a message owns what it carries, `init` is lent what it is given"
        )]
    }
}

const OWNS: &str = "a server outlives whoever starts it, and goes from thread to thread: it borrows nothing. Let it own what it \
                    needs, or share that in an `Arc`";

fn lifetimes_of(segment: &syn::PathSegment) -> Vec<&syn::Lifetime> {
    let syn::PathArguments::AngleBracketed(args) = &segment.arguments else { return Vec::new() };
    let lifetimes = args.args.iter().filter_map(|arg| match arg {
        syn::GenericArgument::Lifetime(lifetime) if lifetime.ident != "static" => Some(lifetime),
        _ => None,
    });
    lifetimes.collect()
}
