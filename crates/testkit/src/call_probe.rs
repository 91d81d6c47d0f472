//! A probe that is asked.

use crate::Probe;
use crate::failure::fail;
use restante_core::{Address, ExitReason};
use restante_genserver::{
    CallRecipient, Context, GenServer, Init, Next, Reply, ServerRef, StartError, Step, start,
};
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

/// Is asked `Q`s, and lets the test answer each with a `T`: for code that takes a [`CallRecipient`].
pub struct CallProbe<Q: Send + 'static, T: Send + 'static> {
    server: ServerRef<Desk<Q, T>>,
    probe: Probe<Question<Q, T>>,
}

/// A question that was asked. Dropped, it tells who asked that there will be no reply.
#[must_use = "a question that is dropped is not answered"]
pub struct Question<Q, T: Send> {
    /// What was asked.
    pub asked: Q,
    /// Where the answer goes.
    pub reply: Reply<T>,
}

impl<Q, T: Send> Question<Q, T> {
    /// Answers; whether the asker will have it.
    pub fn answer(self, value: T) -> bool {
        self.reply.send(value)
    }
}

impl<Q: Send + 'static, T: Send + 'static> CallProbe<Q, T> {
    /// A probe, whose server is started.
    ///
    /// # Errors
    /// [`StartError::NoRuntime`] outside of a runtime.
    ///
    /// # Cancel safety
    /// Nothing is left.
    #[track_caller]
    pub fn start() -> impl Future<Output = Result<Self, StartError>> {
        let probe = Probe::new();
        let started = start(probe.address());
        async move { Ok(Self { server: started.await?, probe }) }
    }

    /// How long to wait for what is expected (default 3 s).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.probe = self.probe.limit(limit);
        self
    }

    /// What the code under test asks.
    pub fn recipient(&self) -> CallRecipient<Q, T> {
        self.server.call_recipient(|asked, reply| Question { asked, reply })
    }

    /// The next question.
    ///
    /// # Panics
    /// When none comes in time.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn expect(&mut self) -> impl Future<Output = Question<Q, T>> {
        let (at, limit) = (Location::caller(), self.probe.limit);
        async move {
            match self.probe.next(limit).await {
                Some(question) => question,
                None => fail(format_args!("a question was expected within {limit:?}, none came"), at),
            }
        }
    }

    /// Answers the next question with what `answer` makes of it.
    ///
    /// # Panics
    /// When none comes in time, or who asked has gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn answer(&mut self, answer: impl FnOnce(&Q) -> T) -> impl Future<Output = Q> {
        let at = Location::caller();
        let expected = self.expect();
        async move {
            let Question { asked, reply } = expected.await;
            if !reply.send(answer(&asked)) {
                fail("who asked was gone before the answer came", at);
            }
            asked
        }
    }
}

impl<Q: Send + Debug + 'static, T: Send + 'static> CallProbe<Q, T> {
    /// Waits so long, in which nothing may be asked.
    ///
    /// # Panics
    /// As soon as something is.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn expect_no_question(&mut self, during: Duration) -> impl Future<Output = ()> {
        self.probe.expect_no_message(during)
    }
}

/// Puts questions before the test, waiting for room.
struct Desk<Q: Send + 'static, T: Send + 'static> {
    to: Address<Question<Q, T>>,
    types: PhantomData<fn(Q) -> T>,
}

impl<Q: Send + 'static, T: Send + 'static> GenServer for Desk<Q, T> {
    type Args = Address<Question<Q, T>>;
    type Call = Question<Q, T>;
    type Cast = ();
    type Info = ();

    async fn init(to: &Self::Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { to: to.clone(), types: PhantomData }))
    }

    async fn handle_call(&mut self, question: Self::Call, _: &mut Context<Self>) -> Step {
        // Refused only once the test has let go of the probe: then the call stays unanswered.
        drop(self.to.send(question).await);
        Ok(Next::go())
    }
}

impl<Q: Debug, T: Send> Debug for Question<Q, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asked.fmt(f)
    }
}

impl<Q: Send + 'static, T: Send + 'static> Debug for CallProbe<Q, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallProbe").field(&self.probe).finish()
    }
}
