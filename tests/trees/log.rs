//! What happens, in order and with the time; and what can be seen to be wrong at that moment.

use crate::worker::OnInit;
use restante::{RestartLimit, SupervisorRef};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Something that happened. Workers and supervisors go by their numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The story goes on with this.
    Does(String),
    /// What came of something, by its number.
    Comes(usize, String),
    Init(usize, u32),
    Up(usize, u32),
    Handles(usize, u32, u64),
    Terminates(usize, u32, String),
    Gone(usize, u32),
    /// This child was stopped by hand while it was in the `init` of a restart.
    TakenBack(String),
    /// A supervisor's attempts to restart, so many all in all.
    Attempts(usize, u64),
    /// A supervisor's incarnation ended.
    Ended(usize, u32, String),
}

/// With the time since the beginning.
pub(crate) type Trace = Vec<(Duration, Event)>;

/// Shared by all who take part.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Notes>>);

pub(crate) struct Notes {
    begun: Instant,
    pub(crate) trace: Trace,
    pub(crate) wrong: Vec<String>,
    workers: Vec<Known>,
    supervisors: Vec<Watched>,
    handled: BTreeSet<u64>,
}

/// What is known of a worker, over all its incarnations.
#[derive(Default)]
struct Known {
    there: Option<u32>,
    last: u32,
    /// The last cast that it handled: there is one sender of casts.
    last_cast: u64,
    inits: VecDeque<OnInit>,
    terminates: VecDeque<Duration>,
}

/// What was seen of a supervisor when it was last looked at.
struct Watched {
    supervisor: SupervisorRef,
    incarnation: u32,
    restarts: u64,
    seen: Duration,
    pub(crate) attempts: Vec<Attempt>,
    ended: u32,
    pub(crate) gave_up: Vec<(u32, RestartLimit)>,
    missed: Vec<u32>,
}

/// An attempt to restart, which was made by this incarnation between these times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) incarnation: u32,
    pub(crate) after: Duration,
    pub(crate) before: Duration,
}

/// All that was seen of a supervisor's attempts.
pub(crate) struct History {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) gave_up: Vec<(u32, RestartLimit)>,
    /// Incarnations of whose end nobody has seen why: another one had ended before somebody looked.
    pub(crate) missed: Vec<u32>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Notes {
            begun: Instant::now(),
            trace: Vec::new(),
            wrong: Vec::new(),
            workers: Vec::new(),
            supervisors: Vec::new(),
            handled: BTreeSet::new(),
        })))
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().expect("nobody panics while noting")
    }

    /// One more worker: its number.
    pub(crate) fn worker(&self) -> usize {
        let mut notes = self.notes();
        notes.workers.push(Known::default());
        notes.workers.len() - 1
    }

    pub(crate) fn watch(&self, supervisor: SupervisorRef) {
        self.notes().supervisors.push(Watched {
            supervisor,
            incarnation: 0,
            restarts: 0,
            seen: Duration::ZERO,
            attempts: Vec::new(),
            ended: 0,
            gave_up: Vec::new(),
            missed: Vec::new(),
        });
    }

    pub(crate) fn note(&self, event: Event) {
        self.notes().note(event);
    }

    /// Looks at the supervisors.
    pub(crate) fn look(&self) {
        self.notes().look();
    }

    pub(crate) fn wrong(&self, what: String) {
        self.notes().wrong.push(what);
    }

    /// The next starts of a worker do this.
    pub(crate) fn plan_init(&self, who: usize, what: OnInit) {
        self.notes().workers[who].inits.push_back(what);
    }

    /// The next ends of a worker take so long.
    pub(crate) fn plan_terminate(&self, who: usize, long: Duration) {
        self.notes().workers[who].terminates.push_back(long);
    }

    /// No more of that.
    pub(crate) fn plan_nothing(&self) {
        for worker in &mut self.notes().workers {
            worker.inits.clear();
            worker.terminates.clear();
        }
    }

    pub(crate) fn next_init(&self, who: usize) -> OnInit {
        self.notes().workers[who].inits.pop_front().unwrap_or(OnInit::Succeed)
    }

    pub(crate) fn next_terminate(&self, who: usize) -> Duration {
        self.notes().workers[who].terminates.pop_front().unwrap_or_default()
    }

    /// An incarnation begins: it is there until what this returns is dropped.
    pub(crate) fn enters(&self, who: usize, incarnation: u32) -> There {
        let mut notes = self.notes();
        let known = &mut notes.workers[who];
        let (there, last) = (known.there.replace(incarnation), known.last);
        known.last = incarnation;
        if there.is_some() || incarnation <= last {
            notes
                .wrong
                .push(format!("w{who}: incarnation {incarnation} begins over {there:?}, after {last}"));
        }
        notes.note(Event::Init(who, incarnation));
        There { log: self.clone(), who, incarnation }
    }

    /// A message is handled. Casts have one sender, and even numbers.
    pub(crate) fn handles(&self, who: usize, incarnation: u32, id: u64) {
        let mut notes = self.notes();
        notes.note(Event::Handles(who, incarnation, id));
        if !notes.handled.insert(id) {
            notes.wrong.push(format!("w{who} handles {id} again"));
        }
        if id.is_multiple_of(2) {
            let before = std::mem::replace(&mut notes.workers[who].last_cast, id);
            if before >= id {
                notes.wrong.push(format!("w{who} handles {id} after {before}"));
            }
        }
    }

    pub(crate) fn was_taken_back(&self, id: &str) -> bool {
        self.notes().trace.iter().any(|(_, event)| matches!(event, Event::TakenBack(other) if other == id))
    }

    pub(crate) fn was_handled(&self, id: u64) -> bool {
        self.notes().handled.contains(&id)
    }

    pub(crate) fn histories(&self) -> Vec<History> {
        let notes = self.notes();
        let history = |w: &Watched| History {
            attempts: w.attempts.clone(),
            gave_up: w.gave_up.clone(),
            missed: w.missed.clone(),
        };
        notes.supervisors.iter().map(history).collect()
    }
}

impl Notes {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn note(&mut self, event: Event) {
        self.look();
        let now = self.now();
        self.trace.push((now, event));
    }

    fn look(&mut self) {
        let now = self.now();
        for (number, watched) in self.supervisors.iter_mut().enumerate() {
            let incarnation = watched.supervisor.incarnation();
            let restarts = watched.supervisor.restarts();
            let last = watched.supervisor.last_exit();
            if restarts != watched.restarts {
                self.trace.push((now, Event::Attempts(number, restarts)));
                // Where it became another meanwhile, nobody can say whose attempts these were.
                let by = if incarnation == watched.incarnation { incarnation } else { 0 };
                let attempt = Attempt { incarnation: by, after: watched.seen, before: now };
                watched.attempts.extend((watched.restarts..restarts).map(|_| attempt));
                watched.restarts = restarts;
            }
            watched.seen = now;
            watched.incarnation = incarnation;
            if let Some(exit) = last.filter(|exit| exit.incarnation > watched.ended) {
                watched.missed.extend(watched.ended + 1..exit.incarnation);
                watched.ended = exit.incarnation;
                self.trace.push((now, Event::Ended(number, exit.incarnation, exit.reason.to_string())));
                if let Some(limit) = RestartLimit::of(&exit.reason) {
                    watched.gave_up.push((exit.incarnation, limit.clone()));
                }
            }
        }
    }
}

/// See [`Log::enters`].
pub(crate) struct There {
    log: Log,
    who: usize,
    incarnation: u32,
}

impl There {
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn who(&self) -> usize {
        self.who
    }

    pub(crate) fn incarnation(&self) -> u32 {
        self.incarnation
    }
}

impl Drop for There {
    fn drop(&mut self) {
        {
            let mut notes = self.log.notes();
            notes.note(Event::Gone(self.who, self.incarnation));
            notes.workers[self.who].there = None;
        }
        // What its supervisor makes of that can be seen in a moment.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let log = self.log.clone();
            drop(runtime.spawn(async move { log.look() }));
        }
    }
}
