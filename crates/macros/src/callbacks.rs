//! The impl of `GenServer`: a `match` for each sort of message, each arm one call of the method that handles it.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Ident, Path};

use crate::handler::{Handler, Locals, Param, Returns};
use crate::mark::Kind;
use crate::messages::Messages;
use crate::server::Server;
use crate::types::{self, located};

/// What the impl is written from.
pub(crate) struct Callbacks<'a> {
    pub(crate) server: &'a Server,
    pub(crate) call: &'a Messages<'a>,
    pub(crate) cast: &'a Messages<'a>,
    pub(crate) info: &'a Messages<'a>,
    pub(crate) locals: &'a Locals,
    pub(crate) krate: &'a Path,
}

impl Callbacks<'_> {
    pub(crate) fn write(&self) -> Option<TokenStream> {
        let Self { server, krate, .. } = self;
        let (impls, _, conditions) = server.block.generics.split_for_impl();
        let (ty, init) = (server.ty(), server.of(Kind::Init).next()?);
        let (call, cast, info) = (self.call.ty(), self.cast.ty(), self.info.ty());
        let lent = init.args().map(|(_, ty)| ty.span()).next().unwrap_or_else(Span::call_site);
        let (args, init) = self.init(init);
        // A type that others may not see is told where it stands.
        let args = located(quote!(type Args = #args;), lent);
        let methods = [
            self.handle(self.call),
            self.handle(self.cast),
            self.handle(self.info),
            self.plain(Kind::Continue, &quote!(handle_continue)),
            self.plain(Kind::Timeout, &quote!(handle_timeout)),
            self.terminate(),
        ];
        let names = [self.call, self.cast, self.info].map(|messages| self.name(messages));
        Some(quote! {
            impl #impls #krate::GenServer for #ty #conditions {
                #args
                type Call = #call;
                type Cast = #cast;
                type Info = #info;

                #init
                #(#methods)*
                #(#names)*
            }
        })
    }

    /// The type of the arguments, and `init`, which sets the timers first.
    fn init(&self, init: &Handler) -> (TokenStream, TokenStream) {
        let Self { krate, locals: Locals { ctx, args, .. }, .. } = self;
        let names: Vec<_> = init.args().map(|(ident, _)| ident).collect();
        let kept: Vec<_> = init
            .args()
            .map(|(_, ty)| match types::bare(ty) {
                syn::Type::Reference(lent) => types::kept_for(lent),
                other => quote!(#other),
            })
            .collect();
        let (ty, lent) = match (&*kept, &*names) {
            ([one], [name]) => (quote!(#one), quote!(#name)),
            _ => (quote!((#(#kept),*)), quote!((#(#names),*))),
        };
        let ticks: Vec<_> = self
            .info
            .handlers()
            .filter_map(|handler| {
                let every = handler.mark.every.as_ref()?;
                let (cfgs, tick) = (&handler.cfgs, self.info.message(handler, None));
                Some(quote!(#(#cfgs)* #ctx.send_every(#krate::Every::FixedRate(#every), || #tick);))
            })
            .collect();
        let ctx = if ticks.is_empty() { self.context(init.uses_context()) } else { quote!(#ctx) };
        let made = init.invoke(self.locals);
        let method = quote! {
            async fn init(
                #args: &Self::Args,
                #ctx: &mut #krate::Context<Self>,
            ) -> ::core::result::Result<#krate::Init<Self>, #krate::ExitReason> {
                let #lent = #args;
                #(#ticks)*
                #krate::IntoInit::into_init(#made)
            }
        };
        (ty, method)
    }

    fn handle(&self, messages: &Messages<'_>) -> Option<TokenStream> {
        let Self { krate, locals: Locals { reply, message, .. }, .. } = self;
        let (method, is_call) = match messages.kind {
            Kind::Call => (quote!(handle_call), true),
            Kind::Cast => (quote!(handle_cast), false),
            _ => (quote!(handle_info), false),
        };
        // Without a call there is nothing to handle; the trait asks for the method all the same.
        if messages.handlers().next().is_none() && !is_call {
            return None;
        }
        let arms = messages.handlers().map(|handler| {
            let (cfgs, does) = (&handler.cfgs, self.step(handler, is_call));
            let pattern = messages.message(handler, is_call.then_some(reply));
            quote!(#(#cfgs)* #pattern => { #does })
        });
        let ty = match messages.kind {
            Kind::Call => quote!(Self::Call),
            Kind::Cast => quote!(Self::Cast),
            _ => quote!(Self::Info),
        };
        let ctx = self.context(messages.handlers().any(Handler::uses_context));
        Some(quote! {
            async fn #method(&mut self, #message: #ty, #ctx: &mut #krate::Context<Self>) -> #krate::Step {
                match #message {
                    #(#arms)*
                }
            }
        })
    }

    /// Does what a message asks for.
    fn step(&self, handler: &Handler, is_call: bool) -> TokenStream {
        let Self { krate, locals: Locals { reply, .. }, .. } = self;
        let done = handler.invoke(self.locals);
        let go = quote!(::core::result::Result::Ok(#krate::Next::go()));
        let replies_itself = handler.params.iter().any(|param| matches!(param, Param::Reply(_)));
        match &handler.returns {
            Returns::Unit if is_call && !replies_itself => quote!(#done; #reply.send(()); #go),
            Returns::Unit => quote!(#done; #go),
            Returns::Reply(_) => quote!(#reply.send(#done); #go),
            Returns::ReplyAndNext(_) => quote! {
                let (value, next) = #done;
                #reply.send(value);
                ::core::result::Result::Ok(next)
            },
            Returns::Outcome => quote!(#krate::IntoStep::into_step(#done)),
        }
    }

    fn plain(&self, kind: Kind, method: &TokenStream) -> Option<TokenStream> {
        let handler = self.server.of(kind).next()?;
        let (krate, cfgs, does) = (self.krate, &handler.cfgs, self.step(handler, false));
        let ctx = self.context(handler.uses_context());
        Some(quote! {
            #(#cfgs)*
            async fn #method(&mut self, #ctx: &mut #krate::Context<Self>) -> #krate::Step {
                #does
            }
        })
    }

    fn terminate(&self) -> Option<TokenStream> {
        let handler = self.server.of(Kind::Terminate).next()?;
        let (krate, cfgs, done) = (self.krate, &handler.cfgs, handler.invoke(self.locals));
        let does = if let Returns::Unit = handler.returns {
            quote!(#done; ::core::result::Result::Ok(()))
        } else {
            quote!(::core::result::Result::map_err(#done, #krate::ExitReason::from))
        };
        let ctx = self.context(handler.uses_context());
        let wants_reason = handler.params.iter().any(|param| matches!(param, Param::Reason));
        let reason =
            Some(&self.locals.reason).filter(|_| wants_reason).map_or(quote!(_), |reason| quote!(#reason));
        Some(quote! {
            #(#cfgs)*
            async fn terminate(
                &mut self,
                #reason: &#krate::ExitReason,
                #ctx: &mut #krate::Context<Self>,
            ) -> ::core::result::Result<(), #krate::ExitReason> {
                #does
            }
        })
    }

    fn name(&self, messages: &Messages<'_>) -> Option<TokenStream> {
        messages.handlers().next()?;
        let message: &Ident = &self.locals.message;
        let (method, ty) = match messages.kind {
            Kind::Call => (quote!(call_name), quote!(Self::Call)),
            Kind::Cast => (quote!(cast_name), quote!(Self::Cast)),
            _ => (quote!(info_name), quote!(Self::Info)),
        };
        Some(quote! {
            #[inline]
            fn #method(#message: &#ty) -> &'static str {
                #message.name()
            }
        })
    }

    /// The context's name, where anything asks for it.
    fn context(&self, is_used: bool) -> TokenStream {
        let ctx = &self.locals.ctx;
        if is_used { quote!(#ctx) } else { quote!(_) }
    }
}
