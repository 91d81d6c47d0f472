//! Servers of other shapes: generic, conditional, elsewhere, among names that are not what they seem.

use restante::gen_server;
use restante::prelude::start;

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

mod generic {
    use restante::prelude::*;
    use std::fmt::Debug;

    /// Keeps things, and never more than `N`.
    pub(crate) struct Store<T, K, const N: usize> {
        things: Vec<(K, T)>,
    }

    #[gen_server]
    impl<T: Send + 'static, K, const N: usize> Store<T, K, N>
    where
        T: Clone + Debug,
        K: PartialEq + Send + 'static,
    {
        #[init]
        fn init() -> Self {
            Self { things: Vec::new() }
        }

        #[call]
        pub(crate) fn put(&mut self, key: K, thing: T) -> Result<(), T> {
            if self.things.len() >= N {
                return Err(thing);
            }
            self.things.push((key, thing));
            Ok(())
        }

        #[call]
        fn get(&self, key: K) -> Option<T> {
            self.things.iter().find(|(known, _)| *known == key).map(|(_, thing)| thing.clone())
        }

        #[cast]
        fn clear(&mut self) {
            self.things.clear();
        }

        #[cast]
        fn forget(&mut self, key: K) {
            self.things.retain(|(known, _)| *known != key);
        }

        /// `Self` in a message is the server.
        #[cast]
        fn replace(&mut self, by: Self) {
            *self = by;
        }

        #[info]
        fn sizes(&mut self, _sizes: [u8; N]) {}
    }
}

/// A server of any type, with conditions, and a constant.
#[tokio::test]
async fn a_server_may_be_generic() -> Tested {
    use generic::{Store, StoreHandle};
    let store = start::<Store<String, u8, 1>>(()).await?;
    assert_eq!(store.put(1, "one".into()).await?, Ok(()));
    assert_eq!(store.put(2, "two".into()).await?, Err("two".into()));
    assert_eq!(store.get(1).await?, Some("one".into()));
    store.forget(1)?;
    assert_eq!(store.put(2, "two".into()).await?, Ok(()));
    store.clear()?;
    assert_eq!(store.get(2).await?, None);
    Ok(())
}

mod conditional {
    use restante::prelude::*;

    pub(crate) struct Server;

    #[gen_server(pub(crate), handle = Api)]
    impl Server {
        #[init]
        fn init() -> Self {
            Self
        }
        #[cfg(test)]
        #[call]
        fn which(&self) -> &'static str {
            "test"
        }
        #[cfg(not(test))]
        #[call]
        fn which(&self) -> u8 {
            Missing
        }
        #[cfg(not(test))]
        #[info]
        fn never(&mut self, what: Missing) {}
        #[cfg(not(test))]
        #[terminate]
        fn end(&mut self) {
            Missing
        }
    }
}

/// A handler that is compiled out is in no message and in no handle.
#[tokio::test]
async fn a_handler_may_be_conditional() -> Tested {
    use conditional::Api;
    let server = start::<conditional::Server>(()).await?;
    assert_eq!(server.which().await?, "test");
    Ok(())
}

mod hostile {
    #![allow(dead_code, non_camel_case_types, reason = "names that expansions must not trip over")]
    #![no_implicit_prelude]

    pub(super) struct Result;
    pub(super) struct Option;
    pub(super) struct Ok;
    pub(super) struct Err;
    pub(super) struct Some;
    pub(super) struct String;
    pub(super) struct Send;
    pub(super) struct FnOnce;
    pub(super) struct GenServer;
    pub(super) struct Next;
    pub(super) struct Step;
    pub(super) struct Duration;
    pub(super) struct u8;
    pub(super) mod core {}
    pub(super) mod std {}
    pub(super) mod restante {}

    pub(super) struct Server(u64);

    #[::restante::gen_server(pub(super))]
    impl Server {
        #[init]
        fn init(args: &u64, ctx: &mut ::restante::Context<Self>) -> Self {
            let _ = ctx.incarnation();
            Self(*args)
        }
        #[call]
        fn ask(
            &mut self,
            ctx: u64,
            message: u64,
            reply: u64,
            limit: u64,
            this: &mut ::restante::Context<Self>,
        ) -> u64 {
            self.0 += ctx + message + reply + limit;
            self.0 + ::core::convert::Into::<u64>::into(this.incarnation())
        }
        #[call]
        fn value(&mut self, value: u64, next: u64) -> (u64, ::restante::Next) {
            (value + next, ::restante::Next::stop())
        }
        #[cast]
        fn limit(&mut self, limit: u64) {
            self.0 = limit;
        }
        #[info(every = "1h")]
        fn r#type(&mut self) -> ::core::result::Result<(), ::restante::ExitReason> {
            ::core::result::Result::Ok(())
        }
        #[r#continue]
        fn r#loop(&mut self) {}
        #[terminate]
        async fn end(&mut self, why: &::restante::ExitReason) {
            let _ = why;
        }
    }
}

/// Names of the user's own do not meet those that the expansion uses.
#[tokio::test]
async fn an_expansion_trips_over_no_names() -> Tested {
    use hostile::ServerHandle;
    let server = start::<hostile::Server>(1).await?;
    assert_eq!(server.ask(1, 2, 3, 4).await?, 12);
    server.limit_timeout(5, std::time::Duration::from_secs(1)).await?;
    assert_eq!(server.ask_timeout(0, 0, 0, 0, std::time::Duration::from_secs(1)).await?, 6);
    assert_eq!(hostile::ServerInfo::Type.name(), "type");
    assert_eq!(server.value(1, 2).await?, 3);
    Ok(())
}

mod elsewhere {
    pub(super) mod framework {
        pub(crate) use restante::*;
    }

    pub(super) struct Server;

    #[super::gen_server(crate = "crate::elsewhere::framework")]
    impl Server {
        #[init]
        pub(super) fn init() -> Self {
            Self
        }
        #[cast]
        fn crash(&mut self) {
            panic!("as it was told");
        }
    }
}

/// The framework may be found under another path.
#[tokio::test]
async fn a_server_may_say_where_the_framework_is() -> Tested {
    use elsewhere::ServerHandle;
    let server = start::<elsewhere::Server>(()).await?;
    server.crash()?;
    assert_eq!(server.join().await.message, Some("crash"), "its exit names the message");
    Ok(())
}

mod silent {
    use restante::prelude::*;

    /// It has no call.
    pub(super) struct Clock;

    #[gen_server]
    impl Clock {
        #[init]
        fn init() -> Self {
            Self
        }
        #[info(every = "1s")]
        pub(super) fn tick(&mut self) -> Next {
            Next::stop()
        }
    }
}

/// A server without calls and casts has no handle, and messages of which there are none.
#[tokio::test(start_paused = true)]
async fn a_server_may_have_nothing_but_a_tick() -> Tested {
    let clock = start::<silent::Clock>(()).await?;
    assert_eq!(clock.join().await.reason, restante::ExitReason::Normal);
    Ok(())
}

mod protocols {
    use restante::prelude::*;
    use restante::protocol;

    /// What holds money.
    #[protocol]
    pub(crate) trait Account {
        /// All there is.
        #[call]
        fn balance(&self) -> u64;
        #[call]
        fn take(&mut self, amount: u64) -> Result<(), u64>;
        #[cast]
        fn deposit(&mut self, amount: u64);
    }

    pub(crate) struct Purse(u64);

    #[gen_server(pub(crate))]
    impl Purse {
        #[init]
        fn init() -> Self {
            Self(0)
        }
        #[call(protocol = Account)]
        fn balance(&self) -> u64 {
            self.0
        }
        #[call(protocol = Account)]
        fn take(&mut self, amount: u64) -> Result<(), u64> {
            self.0 = self.0.checked_sub(amount).ok_or(self.0)?;
            Ok(())
        }
        #[cast(protocol = Account)]
        fn deposit(&mut self, amount: u64) {
            self.0 += amount;
        }
        #[call]
        fn steal(&mut self) -> u64 {
            std::mem::take(&mut self.0)
        }
    }

    /// A bank of one customer, of which it has much.
    pub(crate) struct Bank<T>(u64, std::marker::PhantomData<T>);

    #[gen_server(pub(crate))]
    impl<T: Send + 'static> Bank<T> {
        #[init]
        fn init() -> Self {
            Self(1000, std::marker::PhantomData)
        }
        #[call(protocol = Account)]
        fn balance(&self, reply: Reply<u64>) {
            reply.send(self.0);
        }
        #[call(protocol = Account)]
        fn take(&mut self, amount: u64) -> (Result<(), u64>, Next) {
            self.0 -= amount;
            (Ok(()), Next::go())
        }
        #[cast(protocol = Account)]
        async fn deposit(&mut self, amount: u64) -> Step {
            self.0 += amount;
            Ok(Next::go())
        }
    }
}

/// Clause 24.6: servers of different types stand behind one type of handle; a refused cast gives its message up.
#[tokio::test(start_paused = true)]
async fn several_servers_speak_one_protocol() -> Tested {
    use protocols::{AccountRef, Bank, Purse, PurseHandle};
    use std::time::Duration;
    let (purse, bank) = (start::<Purse>(()).await?, start::<Bank<u8>>(()).await?);
    let accounts = [AccountRef::from(purse.clone()), bank.into()];
    for account in &accounts {
        account.deposit(5)?;
        account.send_deposit(2).await?;
    }
    assert_eq!(accounts[0].balance().await?, 7);
    assert_eq!(accounts[1].clone().balance_timeout(Duration::from_secs(1)).await?, 1007);
    assert_eq!(accounts[0].take(8).await?, Err(7));
    assert_eq!(accounts[1].take(8).await?, Ok(()));
    assert_eq!(purse.steal().await?, 7);
    purse.close(restante::ExitReason::Shutdown);
    assert!(matches!(accounts[0].deposit(1), Err(restante::SendError::Closed(()))));
    Ok(())
}

/// What a newcomer writes first: public servers of methods that are not, beside private ones, without a word on visibility.
mod visible {
    #![deny(private_bounds, private_interfaces, unreachable_pub, missing_docs)]
    use restante::prelude::*;

    /// What only this module knows.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(super) struct Secret(pub(super) u8);

    pub(crate) trait Known {}
    impl Known for Secret {}

    #[expect(unreachable_pub, reason = "it is public as far as its own author is concerned")]
    pub struct Open(u8);

    #[gen_server]
    impl Open {
        #[init]
        fn init() -> Self {
            Self(1)
        }
        #[call]
        fn secret(&self) -> Secret {
            Secret(self.0)
        }
        #[cast]
        fn set(&mut self, secret: Secret) {
            self.0 = secret.0;
        }
        #[info]
        fn tick(&mut self, secret: Secret) {
            self.0 += secret.0;
        }
    }

    pub(crate) struct Within<T>(T);

    #[gen_server]
    impl<T: Known + Copy + Send + Sync + 'static> Within<T> {
        #[init]
        fn init(first: &T) -> Self {
            Self(*first)
        }
        #[call]
        fn get(&self) -> T {
            self.0
        }
    }

    struct Private;

    #[gen_server]
    impl Private {
        #[init]
        fn init() -> Self {
            Self
        }
        #[call]
        fn get(&self) -> Secret {
            Secret(3)
        }
    }

    /// Two servers of one module have methods of one name, in scope at once.
    pub(super) async fn sum() -> Result<u8, Box<dyn std::error::Error>> {
        let (private, within) = (start::<Private>(()).await?, start::<Within<Secret>>(Secret(4)).await?);
        Ok(private.get().await?.0 + within.get().await?.0)
    }
}

/// A server is of whatever visibility, and its messages and its handle are seen as far as it is.
#[tokio::test]
async fn a_server_is_public_or_private_without_a_word() -> Tested {
    use visible::{Open, OpenHandle, OpenInfo, Secret};
    let open = start::<Open>(()).await?;
    open.set(Secret(5))?;
    open.info(OpenInfo::Tick(Secret(2)))?;
    assert_eq!(open.secret().await?, Secret(7));
    assert_eq!(visible::sum().await?, 7);
    Ok(())
}
