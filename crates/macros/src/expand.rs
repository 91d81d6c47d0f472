//! From tokens to tokens: what `gen_server` does, in order.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::Item;

use crate::callbacks::Callbacks;
use crate::errors::Errors;
use crate::handle::Handle;
use crate::handler::Locals;
use crate::mark::Kind;
use crate::messages::Messages;
use crate::options::Options;
use crate::protocol;
use crate::server::Server;
use crate::types;

/// The block without its marks, and behind it what is written; or what is wrong.
pub(crate) fn gen_server(options: TokenStream, item: &TokenStream) -> TokenStream {
    let block = match Server::block(item.clone()) {
        Ok(block) => block,
        Err(e) => {
            // Without what has marks in it: the compiler would take offence at each.
            let kept = match syn::parse2(item.clone()) {
                Ok(Item::Impl(_) | Item::Trait(_)) => None,
                _ => Some(item),
            };
            let told = e.into_compile_error();
            return quote!(#kept #told);
        }
    };
    let mut errors = Errors::default();
    let options = errors.ok(syn::parse2::<Options>(options));
    let server = Server::read(block, &mut errors);
    // What is right is written even where something else is wrong: else each use of the server would be an error too.
    let written =
        options.filter(|_| !server.is_broken).and_then(|options| write(&server, &options, &mut errors));
    let (block, told) = (server.block.to_token_stream(), errors.told());
    quote!(#block #written #told)
}

fn write(server: &Server, options: &Options, errors: &mut Errors) -> Option<TokenStream> {
    let (krate, locals, name) = (&options.krate, &Locals::new(), types::server_name(server.ty())?);
    let vis = &options.vis;
    let [call, cast, info] =
        &[Kind::Call, Kind::Cast, Kind::Info].map(|kind| Messages::new(kind, name, server, krate));
    let ident = options.handle.clone().unwrap_or_else(|| format_ident!("{name}Handle"));
    let messages = [call, cast, info].map(|messages| messages.declare(vis));
    let callbacks = Callbacks { server, call, cast, info, locals, krate }.write();
    let handle = Handle { ident, server, call, cast, locals, krate }.write(vis, errors);
    let spoken = protocol::spoken(server, [call, cast], krate, locals);
    Some(quote!(#(#messages)* #callbacks #handle #spoken))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written for a small server is what one would write by hand. After a change that is meant, the file is what this
    /// test prints.
    #[test]
    fn the_expansion_is_what_one_would_write_by_hand() {
        let written = gen_server(
            TokenStream::new(),
            &quote! {
                impl Counter {
                    #[init]
                    fn init(start: &u64) -> Self {
                        Self { n: *start }
                    }
                    /// The count.
                    #[call]
                    fn get(&self) -> u64 {
                        self.n
                    }
                    /// Counts on.
                    #[cast]
                    fn add(&mut self, n: u64) {
                        self.n += n;
                    }
                    #[info(every = "1s")]
                    async fn tick(&mut self, ctx: &mut Context<Self>) -> Step {
                        Ok(Next::go())
                    }
                }
            },
        );
        let written = prettyplease::unparse(&syn::parse2(written).expect("an expansion is Rust"));
        assert!(written == include_str!("../tests/expansion/counter.rs"), "{written}");
    }
}
