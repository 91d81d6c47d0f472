//! What can be typed: one line is one command, or one line that says what is wrong with it.

use std::time::Duration;

pub(crate) const HELP: &str = "\
add N       casts N to the counter; while no server runs, the cast waits
get         calls for the sum, and waits for the answer half a second at most
ask         calls for the sum and goes on; the answer is shown when it comes
tick        sends an info by hand and shows how many ticks came (the timer sends one a second)
crash [MS]  makes a handler panic; with MS it works so long first, and the program goes on
wait        waits for the end of the server
kill        ends the server at once; `terminate` does not run
stop        tells the server to stop; `terminate` runs
start       puts a new server before the same mailbox
queue N     casts 1 N times, and shows how many messages wait
stats       shows what became of every message

As an operator, whatever the server does:
suspend     its handlers get nothing any more, until `resume`; messages wait
resume      goes on with what has waited
peek        shows which messages wait
status      shows what can be told without the server's help, also while a handler works
statistics  shows what the server has done so far, over all incarnations
state       looks at the state between two messages; says what the server is busy with if it does not come to that
replace N   replaces the state by one whose sum is N, between two messages
trace on    shows each message that a handler gets, and when it is done; `trace off` ends it
log N       keeps the last N of such steps, `log` shows them; of a server that has crashed as well; `log 0` forgets them
terminate   ends the server before all that waits, suspended or not

help, quit";

#[derive(Debug)]
pub(crate) enum Command {
    Add(u64),
    Queue(u64),
    Get,
    Ask,
    Tick,
    Crash(Option<Duration>),
    Wait,
    Kill,
    Stop,
    Start,
    Stats,
    Operate(Verb),
    Help,
    Quit,
}

/// What an operator may ask.
#[derive(Debug)]
pub(crate) enum Verb {
    Suspend,
    Resume,
    Peek,
    Status,
    Statistics,
    State,
    Replace(u64),
    Trace(bool),
    KeepLog(u64),
    ShowLog,
    Terminate,
}

impl Command {
    /// None: a blank line or a comment.
    pub(crate) fn parse(line: &str) -> Result<Option<Self>, String> {
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(None) };
        let argument = words.next();
        if words.next().is_some() {
            return Err(format!("too many words: `{line}` (try `help`)"));
        }
        let number = |word: &str| -> Result<u64, String> {
            word.parse().map_err(|e| format!("{name}: `{word}` is no number to count with: {e}"))
        };
        Ok(Some(match (name, argument) {
            ("add", Some(n)) => Self::Add(number(n)?),
            ("queue", Some(n)) => Self::Queue(number(n)?),
            ("add" | "queue", None) => return Err(format!("{name}: how many? (try `help`)")),
            ("get", None) => Self::Get,
            ("ask", None) => Self::Ask,
            ("tick", None) => Self::Tick,
            ("crash", None) => Self::Crash(None),
            ("crash", Some(ms)) => Self::Crash(Some(Duration::from_millis(number(ms)?))),
            ("wait", None) => Self::Wait,
            ("kill", None) => Self::Kill,
            ("stop", None) => Self::Stop,
            ("start", None) => Self::Start,
            ("stats", None) => Self::Stats,
            ("suspend", None) => Self::Operate(Verb::Suspend),
            ("resume", None) => Self::Operate(Verb::Resume),
            ("peek", None) => Self::Operate(Verb::Peek),
            ("status", None) => Self::Operate(Verb::Status),
            ("statistics", None) => Self::Operate(Verb::Statistics),
            ("state", None) => Self::Operate(Verb::State),
            ("replace", Some(n)) => Self::Operate(Verb::Replace(number(n)?)),
            ("replace", None) => return Err("replace: by what sum? (try `help`)".to_owned()),
            ("trace", Some("on")) => Self::Operate(Verb::Trace(true)),
            ("trace", Some("off")) => Self::Operate(Verb::Trace(false)),
            ("trace", Some(word)) => return Err(format!("trace: `{word}` is neither `on` nor `off`")),
            ("trace", None) => return Err("trace: on or off? (try `help`)".to_owned()),
            ("log", Some(n)) => Self::Operate(Verb::KeepLog(number(n)?)),
            ("log", None) => Self::Operate(Verb::ShowLog),
            ("terminate", None) => Self::Operate(Verb::Terminate),
            ("help", None) => Self::Help,
            ("quit", None) => Self::Quit,
            _ => return Err(format!("unknown command: `{line}` (try `help`)")),
        }))
    }
}
