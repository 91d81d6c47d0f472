//! Writes a server's messages, its trait and its handle from an impl block.
//!
//! [`macro@gen_server`] stands on the `impl` of a server, [`macro@protocol`] on a trait that several servers speak. What they
//! write is what one would write by hand: an enum a sort of message, the impl of `GenServer` with a `match` in each
//! callback, and a trait that gives every reference to the server one method a message.
//!
//! By room: `options` and `mark` are what stands in brackets; `handler` is one method, `server` the block; `types` looks
//! at types, `names` at names; `messages`, `callbacks` and `handle` write; `errors` collects what is wrong.
//!
//! What does not live here: anything that runs. What the expansion calls is in `restante-genserver`.

use proc_macro::TokenStream;

mod callbacks;
mod errors;
mod expand;
mod handle;
mod handler;
mod mark;
mod messages;
mod names;
mod options;
mod server;
mod types;

/// Makes a server of an impl block.
#[proc_macro_attribute]
pub fn gen_server(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::gen_server(options.into(), item.into()).into()
}
