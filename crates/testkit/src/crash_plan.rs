//! When a server is to crash, and how: the rule, which is told of what happens and says whether it is time.

use restante_core::Phase;
use std::fmt;

/// How a server crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// It panics.
    Panic,
    /// It fails with an error.
    Error,
    /// It is killed: no `terminate`.
    Kill,
}

/// Before or after the server's own callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Moment {
    /// The callback has not begun.
    #[default]
    Before,
    /// It has done its work (state changed, replies sent), and has not returned yet.
    After,
}

/// Crashes to come, over all incarnations of a server: with the same plan, seed and messages always the same ones.
///
/// What can be asked for: the n-th message, messages of a name, messages by chance, an incarnation's `init`, its `terminate`.
/// Where several would crash at once, the one that was asked for first does. Each crash says in its text which one it is, and
/// the plan's seed.
///
/// ```
/// use restante_testkit::{Crash, CrashPlan};
/// let plan = CrashPlan::seeded(42).at_message(3, Crash::Panic).by_chance(0.01, Crash::Kill).at_most(5);
/// assert_eq!(plan.to_string(), "seed 42: panic at message 3; kill by chance 0.01 at any message; 5 crashes at most");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct CrashPlan {
    seed: u64,
    rng: fastrand::Rng,
    moment: Moment,
    rules: Vec<Rule>,
    at_most: Option<u32>,
    messages: u64,
    crashes: u32,
}

#[derive(Debug, Clone)]
struct Rule {
    when: When,
    crash: Crash,
}

#[derive(Debug, Clone, PartialEq)]
enum When {
    Message(u64),
    Named(String),
    Chance(f64),
    Init(u32),
    Terminate(u32),
}

/// A crash that has come, as the plan counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crashed {
    /// How.
    pub crash: Crash,
    /// Where in the server's life.
    pub phase: Phase,
    /// The message's name; empty where there was none.
    pub message: &'static str,
    /// How many messages had come by then, over all incarnations, this one included.
    pub messages: u64,
    /// Which incarnation.
    pub incarnation: u32,
    /// Which of the plan's crashes, counted from 1.
    pub number: u32,
    /// The plan's seed.
    pub seed: u64,
}

const COUNTED: &str = "incarnations are counted from 1";

impl CrashPlan {
    /// No crash yet, and a seed for those by chance.
    pub fn seeded(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let (moment, rules) = (Moment::Before, Vec::new());
        Self { seed, rng, moment, rules, at_most: None, messages: 0, crashes: 0 }
    }

    /// No crash yet, and no seed: for plans that leave nothing to chance.
    pub fn new() -> Self {
        Self::seeded(0)
    }

    /// At the n-th message, counted from 1 over all incarnations.
    ///
    /// # Panics
    /// When `n` is 0: there is no such message.
    #[track_caller]
    pub fn at_message(self, n: u64, crash: Crash) -> Self {
        assert!(n > 0, "messages are counted from 1");
        self.rule(When::Message(n), crash)
    }

    /// At each message of this name ([`GenServer::call_name`](restante_genserver::GenServer::call_name) and its like).
    pub fn at_name(self, name: impl Into<String>, crash: Crash) -> Self {
        self.rule(When::Named(name.into()), crash)
    }

    /// At any message, with this probability (0 to 1).
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn by_chance(self, probability: f64, crash: Crash) -> Self {
        assert!((0.0..=1.0).contains(&probability), "a probability is 0 to 1, not {probability}");
        self.rule(When::Chance(probability), crash)
    }

    /// In the `init` of this incarnation, counted from 1.
    ///
    /// # Panics
    /// When it is 0.
    #[track_caller]
    pub fn in_init(self, incarnation: u32, crash: Crash) -> Self {
        assert!(incarnation > 0, "{COUNTED}");
        self.rule(When::Init(incarnation), crash)
    }

    /// In the `terminate` of this incarnation.
    ///
    /// # Panics
    /// As [`CrashPlan::in_init`].
    #[track_caller]
    pub fn in_terminate(self, incarnation: u32, crash: Crash) -> Self {
        assert!(incarnation > 0, "{COUNTED}");
        self.rule(When::Terminate(incarnation), crash)
    }

    /// Before or after the server's own work on the message (default: before).
    pub fn moment(mut self, moment: Moment) -> Self {
        self.moment = moment;
        self
    }

    /// No more crashes than this (default: without limit).
    pub fn at_most(mut self, crashes: u32) -> Self {
        self.at_most = Some(crashes);
        self
    }

    fn rule(mut self, when: When, crash: Crash) -> Self {
        self.rules.push(Rule { when, crash });
        self
    }

    pub(crate) fn when(&self) -> Moment {
        self.moment
    }

    /// A callback is due: whether it is to crash.
    pub(crate) fn on_callback(
        &mut self,
        phase: Phase,
        message: &'static str,
        incarnation: u32,
    ) -> Option<Crashed> {
        let is_message = matches!(phase, Phase::Call | Phase::Cast | Phase::Info);
        self.messages += u64::from(is_message);
        let mut due = None;
        for rule in &self.rules {
            let holds = match &rule.when {
                When::Message(n) => is_message && *n == self.messages,
                When::Named(name) => is_message && name == message,
                // Rolled whether or not another rule holds, so that one more rule does not change the others' chances.
                When::Chance(p) => is_message && self.rng.f64() < *p,
                When::Init(n) => phase == Phase::Init && *n == incarnation,
                When::Terminate(n) => phase == Phase::Terminate && *n == incarnation,
            };
            if holds {
                due = due.or(Some(rule.crash));
            }
        }
        let crash = due.filter(|_| self.at_most.is_none_or(|most| self.crashes < most))?;
        self.crashes += 1;
        let message = if is_message { message } else { "" };
        let (messages, number, seed) = (self.messages, self.crashes, self.seed);
        Some(Crashed { crash, phase, message, messages, incarnation, number, seed })
    }
}

impl Default for CrashPlan {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "panic",
            Self::Error => "error",
            Self::Kill => "kill",
        })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(n) => write!(f, "at message {n}"),
            Self::Named(name) => write!(f, "at each `{name}`"),
            Self::Chance(p) => write!(f, "by chance {p} at any message"),
            Self::Init(n) => write!(f, "in init of incarnation {n}"),
            Self::Terminate(n) => write!(f, "in terminate of incarnation {n}"),
        }
    }
}

/// The seed, and everything that it stands for: enough to run it again.
impl fmt::Display for CrashPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}:", self.seed)?;
        for (n, rule) in self.rules.iter().enumerate() {
            write!(f, "{} {} {}", if n == 0 { "" } else { ";" }, rule.crash, rule.when)?;
        }
        if self.moment == Moment::After {
            write!(f, "; after the message was handled")?;
        }
        self.at_most.map_or(Ok(()), |most| write!(f, "; {most} crashes at most"))
    }
}

/// The text of a panic or an error that was injected.
impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, seed, messages, message, phase, .. } = self;
        write!(f, "injected crash {number} (seed {seed}) in {phase}")?;
        if !message.is_empty() {
            write!(f, " of `{message}`, message {messages}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(plan: &mut CrashPlan, n: usize) -> Vec<u32> {
        (0..n)
            .filter_map(|_| plan.on_callback(Phase::Cast, "add", 1))
            .map(|crashed| u32::try_from(crashed.messages).expect("few"))
            .collect()
    }

    #[test]
    fn each_rule_crashes_what_it_names_and_nothing_else() {
        let mut plan = CrashPlan::new()
            .at_message(2, Crash::Panic)
            .at_name("bad", Crash::Error)
            .in_init(3, Crash::Kill)
            .in_terminate(1, Crash::Panic);
        let mut on = |phase, name, incarnation| plan.on_callback(phase, name, incarnation).map(|c| c.crash);
        assert_eq!(on(Phase::Init, "", 1), None);
        assert_eq!(on(Phase::Cast, "add", 1), None);
        assert_eq!(on(Phase::Continue, "continue", 1), None);
        assert_eq!(on(Phase::Call, "get", 1), Some(Crash::Panic));
        assert_eq!(on(Phase::Info, "bad", 1), Some(Crash::Error));
        assert_eq!(on(Phase::Info, "good", 1), None);
        assert_eq!(on(Phase::Terminate, "", 1), Some(Crash::Panic));
        assert_eq!(on(Phase::Init, "", 3), Some(Crash::Kill));
    }

    /// Clause 25.3: the same seed and messages, the same crashes.
    #[test]
    fn a_seed_always_crashes_the_same_messages() {
        let plan = |seed| CrashPlan::seeded(seed).by_chance(0.1, Crash::Panic);
        let first = told(&mut plan(7), 1000);
        assert!((50..200).contains(&first.len()), "{}", first.len());
        assert_eq!(told(&mut plan(7), 1000), first);
        assert_ne!(told(&mut plan(8), 1000), first);
        assert_eq!(told(&mut plan(7).at_most(3), 1000), first[..3]);
        // Another rule does not change what chance has in store.
        let more = told(&mut plan(7).at_message(1, Crash::Kill), 1000);
        assert!(first.iter().all(|n| more.contains(n)));
    }

    /// What would never happen, or always, is told when it is asked for.
    #[test]
    fn a_plan_that_means_nothing_is_refused() {
        let said = |plan: fn(CrashPlan) -> CrashPlan| {
            let refused = std::panic::catch_unwind(|| plan(CrashPlan::new())).expect_err("it is refused");
            match refused.downcast::<String>() {
                Ok(text) => *text,
                Err(text) => (*text.downcast::<&str>().expect("a text")).to_owned(),
            }
        };
        assert_eq!(said(|plan| plan.by_chance(30.0, Crash::Kill)), "a probability is 0 to 1, not 30");
        assert_eq!(said(|plan| plan.by_chance(f64::NAN, Crash::Kill)), "a probability is 0 to 1, not NaN");
        assert_eq!(said(|plan| plan.at_message(0, Crash::Kill)), "messages are counted from 1");
        assert_eq!(said(|plan| plan.in_init(0, Crash::Kill)), COUNTED);
        assert_eq!(said(|plan| plan.in_terminate(0, Crash::Kill)), COUNTED);
    }

    #[test]
    fn a_plan_and_its_crashes_say_what_they_are() {
        let mut plan = CrashPlan::seeded(9)
            .at_name("add", Crash::Error)
            .in_init(2, Crash::Kill)
            .moment(Moment::After)
            .at_most(1);
        assert_eq!(
            plan.to_string(),
            "seed 9: error at each `add`; kill in init of incarnation 2; after the message was handled; 1 crashes at most"
        );
        let crashed = plan.on_callback(Phase::Cast, "add", 1).expect("by name");
        assert_eq!(crashed.to_string(), "injected crash 1 (seed 9) in handle_cast of `add`, message 1");
    }
}
