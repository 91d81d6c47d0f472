//! The code of `docs/guide/registry.md`. The page quotes from here, and a test sees to it that it goes on doing so.
#![expect(clippy::print_stdout, reason = "the page prints")]

use restante::prelude::*;
use restante::registry::{Followed, InScope, LookupError, Member, RegisterError, Retry, Signal, Topics};
use restante::testkit::{Universe, quiet_panics};
use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::mpsc;

type Done = Result<(), Box<dyn Error>>;

const COUNTER: Name<Counter> = Name::new("counter");
/// Which it is not.
const OF_STRINGS: MailboxName<String> = MailboxName::new("counter");

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init(start: &u64) -> Self {
        Self(*start)
    }
    #[call]
    fn get(&self) -> u64 {
        self.0
    }
    #[call]
    fn divide(&self, by: u64) -> u64 {
        self.0 / by
    }
    #[cast]
    fn add(&mut self, n: u64) {
        self.0 += n;
    }
}

/// Where a clerk is to be found.
#[derive(Clone)]
struct Office {
    registry: Registry,
    news: Topics<u64>,
}

/// Puts itself under a name, and subscribes.
struct Clerk {
    incarnation: u32,
}

enum Ask {
    Incarnation(Reply<u32>),
}

impl GenServer for Clerk {
    type Args = Office;
    type Call = Ask;
    type Cast = u64;
    type Info = ();

    async fn init(office: &Office, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let me = ctx.server().clone();
        office.registry.register(&me, "clerk").await.map_err(|why| ExitReason::error(why.to_string()))?;
        office.news.subscribe_once("news", &Member::casts(&me)).map_err(|_| ExitReason::Shutdown)?;
        Ok(Init::ok(Self { incarnation: ctx.incarnation() }))
    }

    async fn handle_call(&mut self, Ask::Incarnation(reply): Ask, _: &mut Context<Self>) -> Step {
        reply.send(self.incarnation);
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, news: u64, _: &mut Context<Self>) -> Step {
        assert!(news < 3, "no good news");
        Ok(Next::go())
    }
}

#[tokio::test]
async fn a_server_registers_in_init() -> Done {
    let _quiet = quiet_panics("no good news");
    let office = Office { registry: Registry::start(), news: Topics::new() };
    let server = Server::<Clerk>::new("clerk");
    let clerk = server.address();
    let tree = Supervisor::one_for_one().child(server.child(office.clone())).start().await?;
    assert_eq!(office.news.publish("news", 3).delivered, 1); // it crashes, and its next incarnation runs `init` again
    assert_eq!(office.registry.call::<Clerk, _>("clerk", Ask::Incarnation).await?, 2);
    assert_eq!((office.registry.names_of(clerk.id()).len(), office.news.count("news")), (1, 1)); // still once
    tree.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[tokio::test]
async fn a_name_leads_to_a_mailbox() -> Done {
    let registry = Registry::start();
    let counter = start::<Counter>(40).await?;
    registry.register(&counter, "counter").await?;
    let found: ServerRef<Counter> = registry.whereis("counter")?;
    found.add(2)?;
    assert_eq!(counter.get().await?, 42);
    let again = registry.register(&start::<Counter>(0).await?, "counter").await;
    assert!(matches!(again, Err(RegisterError::NameAlreadyExists { .. })));
    Ok(())
}

#[tokio::test]
async fn a_typed_name_knows_what_it_leads_to() -> Done {
    let registry = Registry::start();
    let counter = start::<Counter>(40).await?;
    COUNTER.of(&registry).register(&counter).await?;
    COUNTER.of(&registry).with(|counter| counter.add(2))??;
    assert_eq!(COUNTER.of(&registry).whereis()?.get().await?, 42);

    for found in [OF_STRINGS, MailboxName::new("cuonter")].map(|name| name.of(&registry).whereis()) {
        match found {
            Err(LookupError::WrongType { found, .. }) => println!("it is a {found}"),
            Err(LookupError::NotFound(why)) => println!("did you mean {:?}?", why.nearest),
            Err(LookupError::Closed { ending, .. }) => println!("it has ended: {ending}"),
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_name_outlives_a_crash() -> Done {
    let _quiet = quiet_panics("attempt to divide by zero");
    let registry = Registry::start();
    let server = Server::<Counter>::new("counter");
    COUNTER.of(&registry).register(&server.address()).await?; // before it runs: what comes now waits
    let tree = Supervisor::one_for_one().child(server.child(40)).start().await?;
    let crash = COUNTER.of(&registry).whereis()?.divide(0).await;
    assert!(matches!(crash, Err(CallError::Exited(ExitReason::Panic(_)))));
    COUNTER.of(&registry).with(|counter| counter.add(2))??; // for the next incarnation
    assert_eq!(COUNTER.of(&registry).whereis()?.get().await?, 42);
    tree.shutdown(Duration::from_secs(5)).await;
    drop(tree);
    assert!(!registry.contains("counter"));
    Ok(())
}

#[tokio::test]
async fn a_look_up_lends() -> Done {
    let registry = Registry::start();
    let counter = start::<Counter>(0).await?;
    COUNTER.of(&registry).register(&counter).await?;
    registry.with("counter", |counter: &ServerRef<Counter>| counter.add(1))??; // lent
    registry.cast::<Counter>("counter", CounterCast::Add(1))?; // likewise, look-up and cast in one
    let kept: ServerRef<Counter> = registry.whereis("counter")?; // for keeps: it counts
    kept.add(1)?;
    let mut cached = registry.cached::<ServerRef<Counter>>("counter");
    for _ in 0..39 {
        cached.get()?.add(1)?; // looked up once, and again when any name has gone
    }
    assert_eq!(counter.get().await?, 42);
    let nobody = registry.find("nobody", |counter: &ServerRef<Counter>| counter.id());
    assert_eq!(nobody, None); // `find` does not say why, and so is cheap to fail
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn creation_is_admitted() -> Done {
    let registry = Registry::builder().max_concurrent_creates(1).start();
    let connect = || async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        start::<Counter>(0).await
    };
    let (first, second) =
        tokio::join!(registry.create("session/1", connect()), registry.create("session/2", connect()));
    let refused = second.expect_err("there is one place");
    let overloaded = refused.overloaded().ok_or("it was refused for another reason")?;
    assert_eq!((overloaded.active, overloaded.max), (1, 1));
    assert_eq!(overloaded.retry_after, Duration::from_secs(5));
    let first = first?;
    assert_eq!(registry.capacity().active_creates, 0);

    let (second, third) = tokio::join!(
        registry.create_with_retry("session/2", Retry::default(), connect),
        registry.create_with_retry("session/3", Retry::default().jitter(0.5), connect),
    );
    assert_eq!(registry.capacity().total_refusals, 2);
    drop((first, second?, third?));
    Ok(())
}

#[tokio::test]
async fn an_entry_owns() -> Done {
    let registry = Registry::start();
    let (events, mut reader) = mpsc::channel::<String>(16);
    let last_words = events.clone();
    let session = registry
        .creation()
        .name("session/7")
        .key("conversation", "42")
        .metadata("user", "ada")
        .own(events) // dropped when the entry ends
        .on_close(move |ending| async move {
            last_words.send(ending.to_string()).await.ok(); // asynchronous: begun then, awaited at shutdown
        })
        .run(start::<Counter>(7))
        .await?;
    let entry = registry.entry_by_key("conversation", "42").ok_or("it has this key")?;
    assert_eq!(entry.names(), ["session/7"]);
    assert_eq!(entry.metadata("user").as_deref(), Some("ada"));
    drop(session); // the last reference: a registration keeps nothing open unless it is asked to
    let Signal::Closed(ending) = entry.closed().await else { return Err("it has not closed".into()) };
    assert_eq!(reader.recv().await, Some(ending.to_string()));
    assert_eq!(reader.recv().await, None);
    assert!(registry.shutdown(Duration::from_secs(1)).await.is_clean());
    Ok(())
}

#[tokio::test]
async fn a_scope_is_a_registry() -> Done {
    let sum = Registry::scoped(async {
        let counter = start::<Counter>(40).await?;
        COUNTER.register(&counter).await?; // in the scope, not in the global registry
        let child = async { COUNTER.cast(CounterCast::Add(2)) }.in_scope(); // taken along by hand
        tokio::spawn(child).await??;
        Ok::<_, Box<dyn Error>>(counter.get().await?)
    });
    assert_eq!(sum.await?, 42);

    let company = Registry::builder().name("company").start();
    let (red, blue) = (company.tenant("red"), company.tenant("blue"));
    let counter = start::<Counter>(1).await?;
    COUNTER.of(&red).register(&counter).await?;
    assert!(COUNTER.of(&blue).whereis().is_err());
    let project = red.nested().start(); // its own names, then red's
    assert_eq!(COUNTER.of(&project).whereis()?.get().await?, 1);
    Ok(())
}

#[tokio::test]
async fn changes_are_followed() -> Done {
    let registry = Registry::start();
    let counter = start::<Counter>(0).await?;
    let (mut names, mut changes) = registry.follow(); // a snapshot, and every change since
    registry.register(&counter, "counter").await?;
    while names.whereis("counter").is_none() {
        match changes.next().await {
            Followed::Change(change) => names.apply(&change),
            Followed::Missed(_) => (names, changes) = registry.follow(),
            _ => break, // it has ended
        }
    }
    assert_eq!(names.whereis("counter"), registry.id_of("counter"));
    Ok(())
}

static COUNTERS: LazyLock<Registry> = LazyLock::new(|| Registry::builder().shared_runtime().start()); // no runtime is needed

#[test]
fn a_plain_thread_has_it_too() -> Done {
    let counter = COUNTERS.creation().name("counter").run_blocking(start::<Counter>(40))?;
    COUNTERS.register_blocking(&counter, "the counter")?;
    COUNTERS.with("the counter", |counter: &ServerRef<Counter>| counter.add(2))??;
    assert_eq!(counter.get_blocking()?, 42);
    Ok(())
}

#[test]
fn no_name_is_left() {
    Universe::new().run(async |_| {
        let registry = Registry::start(); // the test's own: it ends with the test, and its names with it
        let counter = start::<Counter>(1).await.expect("it starts");
        COUNTER.of(&registry).register(&counter).await.expect("the name is free");
    });
}

/// Each piece of code on the page stands in this file, line by line.
#[test]
fn the_page_quotes_this_file() {
    let squeeze = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let here = squeeze(include_str!("registry.rs"));
    let page = include_str!("../../docs/guide/registry.md");
    let mut quotes = 0;
    for block in page.split("```rust\n").skip(1) {
        let code = block.split("```").next().expect("a block ends");
        assert!(here.contains(squeeze(code).trim()), "the page says otherwise:\n{code}");
        quotes += 1;
    }
    assert!(quotes >= 10, "{quotes}");
}
