//! A model that summarises, asked over HTTP: chat completions, in the form that most servers of models speak.
//!
//! Each question passes a circuit breaker and a limit on how many are asked at once, has a time limit, and is asked again
//! after a pause when that may help. Which errors those are, [`ModelError::may_pass`] says.
//!
//! Plain HTTP only, over one connection per question: models that run nearby (llama.cpp, Ollama, vLLM) speak it, and for
//! others there is a proxy; TLS would be a third of what this package has to compile.

mod exchange;
mod policy;

pub(crate) use exchange::{Dial, Endpoint, Tcp};
pub(crate) use policy::Policy;

use crate::breaker::Breaker;
use crate::dice::Throw;
use crate::text::split_sentences;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Why a model gave no summary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ModelError {
    /// Nobody listens, or the name is unknown.
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection ended before the answer did, or spoke no HTTP.
    #[error("the connection broke off: {0}")]
    Broken(String),
    /// The server refused.
    #[error("status {status}")]
    Status {
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    #[error("an answer of more than {0} bytes")]
    TooLong(usize),
    #[error("an answer that is none: {0}")]
    Garbage(String),
    /// It failed too often lately and was not asked.
    #[error("not asked, for it failed too often lately")]
    Open,
}

impl ModelError {
    /// Whether it may help to ask again: the server was not reached, fell silent or broke off, is busy (429), or failed
    /// (5xx). Another refusal, and an answer that makes no sense, would be the same again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout(_) | Self::Broken(_) => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::TooLong(_) | Self::Garbage(_) | Self::Open => false,
        }
    }

    /// Whether it shows that the server is in trouble. One that is busy says so, and is well.
    fn is_outage(&self) -> bool {
        self.may_pass() && !matches!(self, Self::Status { status: 429, .. })
    }
}

/// Asks a model. Shared by all who ask, so that they share the breaker and the limit.
#[derive(Debug)]
pub(crate) struct Model<D = Tcp> {
    dial: D,
    endpoint: Endpoint,
    name: String,
    key: Option<String>,
    policy: Policy,
    room: Semaphore,
    breaker: Mutex<Breaker>,
}

impl<D: Dial> Model<D> {
    /// A model of this name, behind this endpoint. Nothing is sent yet.
    pub(crate) fn new(
        dial: D,
        endpoint: Endpoint,
        name: String,
        key: Option<String>,
        policy: Policy,
    ) -> Self {
        let room = Semaphore::new(policy.concurrency);
        let breaker = Mutex::new(Breaker::new(policy.failures_max, policy.open_for));
        Self { dial, endpoint, name, key, policy, room, breaker }
    }

    /// Summarises a text in three sentences at most; `item` names what it is from, for the length of the pauses.
    ///
    /// # Errors
    ///
    /// The last error, after as many attempts as the policy allows and the error deserves.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection; the question may have been answered. A probe that is dropped keeps the
    /// breaker from letting another one through for as long as it would have stayed open.
    pub(crate) async fn summarise(&self, item: &str, text: &str) -> Result<Vec<String>, ModelError> {
        let question = exchange::question(&self.name, text);
        let mut attempt = 0;
        loop {
            let error = match self.ask(&question).await {
                Ok(answer) => return Ok(answer),
                Err(e) => e,
            };
            attempt += 1;
            if attempt >= self.policy.attempts || !error.may_pass() {
                return Err(error);
            }
            let wished =
                if let ModelError::Status { retry_after, .. } = &error { *retry_after } else { None };
            let throw = Throw { site: "model", item, ordinal: 0, attempt };
            let Some(pause) = self.policy.pause(throw, wished) else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    /// One attempt.
    async fn ask(&self, question: &str) -> Result<Vec<String>, ModelError> {
        // First the room, then the breaker: it may have opened while we waited.
        let _room = self.room.acquire().await.map_err(|_| ModelError::Open)?;
        let pass = self.breaker().admit(Instant::now()).map_err(|_| ModelError::Open)?;
        let exchange = exchange::exchange(
            &self.dial,
            &self.endpoint,
            self.key.as_deref(),
            question,
            self.policy.answer_bytes_max,
        );
        let limit = self.policy.timeout;
        let answer = tokio::time::timeout(limit, exchange).await.unwrap_or(Err(ModelError::Timeout(limit)));
        match &answer {
            Err(e) if e.is_outage() => self.breaker().on_failure(pass, Instant::now()),
            _ => self.breaker().on_success(pass),
        }
        let sentences = split_sentences(&answer?, 3);
        if sentences.is_empty() { Err(ModelError::Garbage("no text".to_owned())) } else { Ok(sentences) }
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        // A breaker that somebody panicked over is as good as before: each of its steps is one assignment.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
