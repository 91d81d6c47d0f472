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
mod protocol;
mod server;
mod types;

/// Makes a server of the methods of an impl block.
///
/// Writes the enums of its messages (`CounterCall`, `CounterCast`, `CounterInfo`), the impl of `GenServer`, and
/// a trait with one method a message, which every `ServerRef` of the server then has (`CounterHandle`; to be imported
/// where the server is used from another module). The methods stay what they are, and can be called in tests.
///
/// ```
/// use restante::prelude::*;
///
/// struct Counter {
///     n: u64,
///     ticks: u64,
/// }
///
/// #[gen_server]
/// impl Counter {
///     #[init]
///     fn init(start: &u64) -> Self {
///         Self { n: *start, ticks: 0 }
///     }
///     #[call]
///     fn get(&self) -> u64 {
///         self.n
///     }
///     #[cast]
///     fn add(&mut self, n: u64) {
///         self.n += n;
///     }
///     #[info(every = "1s")]
///     fn tick(&mut self) {
///         self.ticks += 1;
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let counter = start::<Counter>(40).await?;
/// counter.add(2)?;
/// assert_eq!(counter.get().await?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// | mark | given, beside `self` and an optional `ctx: &mut Context<Self>` | returns |
/// |---|---|---|
/// | `#[init]` | no `self`; arguments by reference: none, one, or several, which make a tuple | `Self`, `Init<Self>`, a `Result` of one |
/// | `#[call]` | what is asked | the reply, of any type, `Result` included; or `(T, Next)` |
/// | `#[call]` | the same, and a `reply: Reply<T>`, to be sent now or later | as a cast |
/// | `#[cast]` | what is told | nothing, `Next`, `Step`, `Result<(), E>`, whose error ends the server |
/// | `#[info]` | what it brings; with `every = "1s"` nothing | as a cast |
/// | `#[then_continue]`, `#[timeout]` | nothing | as a cast |
/// | `#[terminate]` | `reason: &ExitReason`, if wanted | nothing, `Result<(), E>` |
///
/// A method is `async` or not. One without a mark is a method like any other. `#[then_continue]` handles what `Init::then_continue`
/// and `Next::then_continue` ask for (`continue` is a keyword: no attribute can be called that, but `#[r#continue]`).
///
/// The handle, of a call `get` and a cast `add`:
///
/// | call | |
/// |---|---|
/// | `get()` | waits for the reply, at most 5 s |
/// | `get_timeout(limit)` | at most so long |
/// | `try_get()` | replied to at once, or an error |
/// | `get_blocking()` | from a plain thread |
/// | `get_request()` | sent now, its reply to be waited for later: a `Request` |
///
/// | cast | |
/// |---|---|
/// | `add(n)` | at once, or the message comes back |
/// | `send_add(n)` | waits for room |
/// | `add_timeout(n, limit)` | at most so long |
/// | `add_blocking(n)` | from a plain thread |
///
/// In its own brackets: a visibility for what is written (`#[gen_server(pub(crate))]`; else it is `pub`, and so seen from where
/// its module is; never less visible than the server), `handle = Name` for the trait, and `crate = "path"` where the framework
/// is not `::restante`.
#[proc_macro_attribute]
pub fn gen_server(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::gen_server(options.into(), &item.into()).into()
}

/// Makes a trait whose methods are messages, and a handle to any server that speaks it, whatever its type.
///
/// A server speaks it by handlers that are marked with its name. The handle is made from any reference to such a server.
///
/// ```
/// use restante::prelude::*;
/// use restante::protocol;
///
/// /// What holds money.
/// #[protocol]
/// trait Account {
///     #[call]
///     fn balance(&self) -> u64;
///     #[cast]
///     fn deposit(&mut self, amount: u64);
/// }
///
/// struct Purse(u64);
///
/// #[gen_server]
/// impl Purse {
///     #[init]
///     fn init() -> Self {
///         Self(0)
///     }
///     #[call(protocol = Account)]
///     fn balance(&self) -> u64 {
///         self.0
///     }
///     #[cast(protocol = Account)]
///     fn deposit(&mut self, amount: u64) {
///         self.0 += amount;
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let account = AccountRef::from(start::<Purse>(()).await?);
/// account.deposit(5)?;
/// assert_eq!(account.balance().await?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// The handle, `AccountRef` here, is cheap to clone. Of a call it has `balance()` and `balance_timeout(limit)`, of a cast
/// `deposit(n)` and `send_deposit(n)`. A call through it allocates its future; a refused cast does not come back.
///
/// In its brackets: `handle = Name` and `crate = "path"`, as with [`macro@gen_server`].
#[proc_macro_attribute]
pub fn protocol(options: TokenStream, item: TokenStream) -> TokenStream {
    protocol::protocol(options.into(), &item.into()).into()
}
