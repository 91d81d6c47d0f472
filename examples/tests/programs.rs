//! The programs of this package, run as processes. They are here because cargo tells only a package's own tests where its
//! programs are.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Far above what any of the programs takes; they end by themselves.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the counter with these arguments and this input, to its end.
fn counter(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_counter"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the counter is built with its tests");
    let mut stdin = child.stdin.take().expect("piped above");
    stdin
        .write_all(input.as_bytes())
        .expect("the counter reads what it is given, or has ended with less than a pipe");
    drop(stdin);
    let began = Instant::now();
    while child.try_wait().expect("it is our child").is_none() {
        if began.elapsed() > LIMIT {
            child.kill().expect("it is our child");
            panic!("the counter did not end within {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("it has ended")
}

/// What it printed, having ended well and without a word on standard error.
fn lines(arguments: &[&str], input: &str) -> String {
    let output = counter(arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*errors), (Some(0), ""));
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Asserts that the lines contain these, in this order.
fn assert_in_order(printed: &str, expected: &[&str]) {
    let mut rest = printed;
    for part in expected {
        let Some(at) = rest.find(part) else { panic!("`{part}` is missing, or too early, in:\n{printed}") };
        rest = &rest[at + part.len()..];
    }
}

/// Row D1, row G1, clauses 5.2, 6.6: a server is called, cast to, crashed, and started again over the same mailbox; the
/// call and the casts that waited there are handled in their order.
#[test]
fn the_script_crashes_the_server_and_starts_it_again() {
    assert_in_order(
        &lines(&[], ""),
        &[
            "started: incarnation 1",
            "sum is 42",
            "incarnation 1 crashed: panic: asked to crash at ",
            "2 messages wait in the mailbox",
            "failed 1 + queued 2; lost 0",
            "5 messages wait in the mailbox",
            "get: no answer within 500ms: no server runs",
            "started again: incarnation 2",
            "answer to ask 1: sum is 0, from incarnation 2",
            "sum is 10",
            "lost 0",
            "incarnation 3 ended: killed",
            "started again: incarnation 4",
            "incarnation 4 terminated: shutdown",
            "started again: incarnation 5",
            "incarnation 5 stopped: shutdown",
        ],
    );
}

/// Row G6: what the script shows of `sys`: a server that is halted, looked at, given another state, resumed; traced; asked
/// while a handler works; and read up on when it has crashed.
#[test]
fn the_script_has_an_operator_look_inside() {
    assert_in_order(
        &lines(&[], ""),
        &[
            "suspended: messages wait",
            "added 2; the server is suspended, 2 messages wait in the mailbox",
            "peek: add, add",
            "state: Counter { sum: 10, ",
            "replaced: the sum is 39 now",
            "resumed: 2 messages have waited",
            "sum is 42",
            "trace is on",
            "  trace: message taken: incarnation=2 phase=handle_info name=\"tick\"",
            "  trace: message taken: incarnation=2 phase=handle_call name=\"ticks\"",
            "trace is off",
            "  running, in handle_cast of crash",
            "state: the server is busy with crash, for ",
            "incarnation 2 crashed",
            "  #2 handle_cast crash: taken\n",
            "  #2 handle_cast crash: failed after ",
            "statistics: 2 incarnations; ",
        ],
    );
}

#[test]
fn commands_come_from_standard_input() {
    let printed = lines(&["-"], "add 5\nadd 6\nget\ncrash\nadd 1\nstart\nget\n");
    assert_in_order(&printed, &["sum is 11", "crashed", "1 messages wait", "started again", "sum is 1"]);
}

#[test]
fn commands_come_from_a_file() {
    let file = std::env::temp_dir().join(format!("restante-counter-{}.txt", std::process::id()));
    std::fs::write(&file, "# a comment\n\nadd 3\r\nget\nstop\nstop\n")
        .expect("there is room for a small file");
    let printed = lines(&[file.to_str().expect("the folder's name is text")], "");
    std::fs::remove_file(&file).expect("it was written above");
    assert_in_order(
        &printed,
        &["> add 3", "> get", "sum is 3", "stopped", "stop: the server is not running"],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_and_exit_code_2() {
    for path in ["/no/such/file", env!("CARGO_MANIFEST_DIR")] {
        let output = counter(&[path], "");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert!(errors.starts_with("counter: cannot ") && errors.trim_end().lines().count() == 1, "{errors}");
    }
    assert_eq!(counter(&["one", "two"], "").status.code(), Some(2));
}

#[test]
fn what_it_does_not_understand_is_said_and_passed_over() {
    let input = "fly\nadd\nadd x\nadd -1\nadd 1 2\nqueue 99999999999999999999\ncrash soon\nget x\nadd 2\nget\nquit\nfly\n";
    let printed = lines(&["-"], input);
    assert_in_order(
        &printed,
        &[
            "unknown command: `fly`",
            "add: how many?",
            "add: `x` is no number",
            "add: `-1` is no number",
            "too many words: `add 1 2`",
            "queue: `99999999999999999999` is no number",
            "crash: `soon` is no number",
            "unknown command: `get x`",
            "sum is 2",
        ],
    );
    assert_eq!(printed.matches("fly").count(), 1, "nothing is read after `quit`");
}

/// Row G6.
#[test]
fn an_operator_who_errs_is_told_so_in_one_line() {
    let cases = [
        ("replace", "replace: by what sum? (try `help`)"),
        ("replace many", "replace: `many` is no number to count with: invalid digit found in string"),
        (
            "replace 18446744073709551616",
            "replace: `18446744073709551616` is no number to count with: number too large to fit in target type",
        ),
        ("trace", "trace: on or off? (try `help`)"),
        ("trace ON", "trace: `ON` is neither `on` nor `off`"),
        ("trace on off", "too many words: `trace on off` (try `help`)"),
        ("trace off", "trace: it was off already"),
        ("log -1", "log: `-1` is no number to count with: invalid digit found in string"),
        ("log", "log: there is nothing in it, for none is kept (`log N`)"),
        ("log 99999", "log: the last 10000 steps are kept, which is the most"),
        ("log", "log: there is nothing in it"),
        ("log 0", "log: forgotten, and off"),
        ("peek 3", "unknown command: `peek 3` (try `help`)"),
        ("peek", "peek: nothing waits"),
        ("resume", "resume: it is not suspended"),
        ("suspend", "suspended: messages wait, until `resume`"),
        ("suspend", "suspend: it is suspended already"),
        ("wait", "wait: the server is suspended, and does nothing that could end it"),
        ("terminate", "incarnation 1 terminated: shutdown; no server runs, 0 messages wait in the mailbox"),
        ("terminate", "terminate: the server is not running"),
        ("state", "state: no server runs (`start`)"),
        ("replace 1", "replace: no server runs (`start`)"),
    ];
    let input: String = cases.iter().flat_map(|(typed, _)| [*typed, "\n"]).collect();
    let printed = lines(&["-"], &input);
    let told: Vec<_> = printed.lines().skip(1).collect();
    assert_eq!(told, cases.map(|(_, expected)| expected));
}

/// Row G6: a suspension is the mailbox's: it outlives the server, and what waits there is handled when it ends. (The call
/// that gave up waits, too, and is passed over.)
#[test]
fn a_suspension_outlives_the_server() {
    let printed =
        lines(&["-"], "suspend\ncrash\nqueue 12\nget\npeek\nkill\nstart\nresume\nwait\nstart\nget\n");
    assert_in_order(
        &printed,
        &[
            "the crash waits, too; the server is suspended, 1 messages wait",
            "13 messages wait",
            "get: no answer within 500ms: the server is suspended",
            "peek: crash, add, add, add, add, add, add, add, add, add, and 4 more\n",
            "incarnation 1 ended: killed",
            "started again: incarnation 2 over the same mailbox, where 14 messages wait; it is still suspended",
            "resumed: 14 messages have waited",
            "incarnation 2 crashed",
            "sum is 12",
        ],
    );
}

/// Row G6: each step is told once, by name, and before the next command is read; those after `trace off` are not.
#[test]
fn a_trace_shows_each_message_and_when_it_was_done() {
    let printed = lines(&["-"], "trace on\nadd 41\nget\nadd 1\ntrace off\nget\nstatus\n");
    let steps: Vec<_> =
        printed.lines().filter(|line| line.starts_with("  trace: ") && !line.contains("tick")).collect();
    let all = steps.join("\n");
    assert_eq!(steps.len(), 6, "{printed}");
    assert_in_order(
        &all,
        &[
            "taken: incarnation=1 phase=handle_cast name=\"add\"",
            "done: incarnation=1 phase=handle_cast name=\"add\" took=",
            "taken: incarnation=1 phase=handle_call name=\"sum\"",
            "done: incarnation=1 phase=handle_call name=\"sum\" took=",
            "taken: incarnation=1 phase=handle_cast name=\"add\"",
            "done: incarnation=1 phase=handle_cast name=\"add\" took=",
        ],
    );
    // Its last handler has answered, and may not have returned yet.
    assert_in_order(&printed, &["sum is 41", "trace is off", "sum is 42", "  running"]);
}

#[test]
fn odd_input_is_no_reason_to_end() {
    assert_in_order(&lines(&["-"], ""), &["started: incarnation 1"]);
    assert_in_order(&lines(&["-"], "get"), &["sum is 0"]);
    assert_in_order(&lines(&["-"], "\0\u{fffd}\n   \nget\n"), &["unknown command", "sum is 0"]);
    let crashed = lines(&["-"], "add 18446744073709551615\nadd 1\nwait\nget\nstart\nget\n");
    assert_in_order(
        &crashed,
        &["crashed: error: the sum is too big in handle_cast of add", "started again", "sum is 0"],
    );
}

/// Row B1: the bound is the bound, whoever reads or not.
#[test]
fn a_full_mailbox_refuses_and_loses_nothing() {
    let printed = lines(&["-"], "kill\nqueue 2000\nstart\nget\nstats\n");
    assert_in_order(
        &printed,
        &["queue: after 1024 of 2000: the mailbox is full", "started again", "sum is 1024", "lost 0"],
    );
}

#[test]
fn whoever_stops_reading_its_lines_does_not_hear_it_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_counter"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the counter is built with its tests");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("piped above");
    // It may have ended already, which is as good.
    let _ = stdin.write_all("help\n".repeat(1000).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it is our child");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// Runs an example that `cargo test` has built beside the programs.
fn example(name: &str) -> String {
    example_with(name, &[])
}

fn example_with(name: &str, arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_counter")).parent().expect("a program lies in a folder");
    let program = folder.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let mut child =
        Command::new(&program).args(arguments).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| {
            panic!("{}: {e}; a plain `cargo test` builds the examples", program.display())
        });
    let mut printed = String::new();
    let mut stdout = child.stdout.take().expect("piped above");
    stdout.read_to_string(&mut printed).expect("it prints text");
    assert!(child.wait().expect("it is our child").success(), "{name} failed, having printed:\n{printed}");
    printed
}

/// Row D2: typed families of messages with lane, weight and key; a context change purges. Row D5: control overtakes.
#[test]
fn priorities_does_what_its_head_says() {
    assert_in_order(
        &example("priorities"),
        &[
            "refused for now",
            "refused for ever",
            "context 1 -> 4: 2 stale messages purged",
            "tool result, 40960 bytes",
            "client (context 4): a new topic",
            "system: heartbeat",
            "coalesced 2 + purged 2 + in hand 1; lost 0",
            "100 messages wait for the next incarnation",
        ],
    );
}

/// Row G1: selective receive with a time limit.
#[test]
fn selective_does_what_its_head_says() {
    assert_in_order(
        &example("selective"),
        &["bread: Some(310) cents", "the moon: None", "errands done afterwards: 10000, in order: true"],
    );
}

/// Row D8: servers on threads of their own, and the watchdog.
#[test]
fn own_thread_does_what_its_head_says() {
    assert_in_order(
        &example("own_thread"),
        &[
            "on a thread of its own:",
            "the other server answered: yes",
            "on the runtime's only thread:",
            "watchdog: blocking holds a worker thread with \"hash\"",
            "the other server answered: no",
            "1 server ended, 0 left, 0 threads left",
        ],
    );
}

/// Row A3: synchronous callers.
#[test]
fn blocking_does_what_its_head_says() {
    assert_in_order(
        &example("blocking"),
        &["all together: 4000", "a slow call: Err(Timeout)", "from async code: Err(WouldBlock)", "Ok(4000)"],
    );
}

/// Row F8: of 200 slow creations at once 100 start and 100 are refused, all are done in two waves, and nothing is left over. (Not as
/// fast as it could be: the tests beside it want the processor, too.)
#[test]
fn registry_admission_does_what_its_head_says() {
    let printed = example_with("registry_admission", &["4"]);
    assert_in_order(
        &printed,
        &[
            "200 sessions at once, 750ms each, 100 at a time\n",
            "[####################] 100 % | started 100, refused 100, created 0 | next in 1.25s",
            "[                    ]   0 % | started 100, refused 100, created 100 | next in 0ns",
            "[####################] 100 % | started 200, refused 100, created 100 | next in 1.25s",
            "[                    ]   0 % | started 200, refused 100, created 200 | next in 0ns",
            "a wave: 100 started, from ",
            "a wave: 100 started, from ",
            "the reader: found ",
            "session/42 is number 42\n",
            "left over: 0 mailboxes, 0 names, 0 of 100 creations (0 %)\n",
            "the registry has ended cleanly\n",
        ],
    );
    assert_eq!(printed.matches("a wave").count(), 2, "{printed}");
    assert!(!printed.contains("found 0 sessions"), "{printed}");
}

/// Row G1: the reference program, and that it stays as short as it was asked to be.
#[test]
fn reference_does_what_its_head_says_in_35_lines() {
    assert_in_order(&example("reference"), &["count: 42", "tick at 42"]);
    let source = include_str!("../reference.rs");
    let code = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    assert!(code.count() <= 35);
    assert!(source.lines().all(|line| line.len() <= 100), "at width 100");
}
