//! The program `agents`, run as a process.

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Far above what any run takes.
const LIMIT: Duration = Duration::from_secs(120);

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("agents-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("there is room for a folder");
        Self(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("there is room");
        fs::write(path, bytes).expect("there is room for a file");
        self
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the folder's name is text")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_agents"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built with its tests")
}

/// Reads what it prints until it ends.
fn finish(mut child: Child) -> Output {
    let pid = child.id();
    let (ended, wait) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if wait.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    });
    let mut stderr = child.stderr.take().expect("piped above");
    let errors = std::thread::spawn(move || {
        let mut errors = Vec::new();
        stderr.read_to_end(&mut errors).map(|_| errors)
    });
    let mut stdout = Vec::new();
    child.stdout.take().expect("piped above").read_to_end(&mut stdout).expect("a pipe can be read");
    let stderr = errors.join().expect("it only reads").expect("a pipe can be read");
    let status = child.wait().expect("it is our child");
    drop(ended);
    guard.join().expect("it only waits");
    Output { status, stdout, stderr }
}

fn agents(arguments: &[&str]) -> Output {
    finish(start(arguments))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Its results, having ended well.
#[track_caller]
fn results(arguments: &[&str]) -> Value {
    let output = agents(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    serde_json::from_slice(&output.stdout).expect("standard output holds JSON and nothing else")
}

const STORY: &str = "A mailbox keeps messages while no server reads them. It rained in the morning of that day.\n\
    The supervisor starts a server again, and the server reads the mailbox where the last one stopped. Somebody had \
    painted the door of the house in green. Messages that wait in a mailbox are not lost when a server crashes.\n";

#[test]
fn each_file_has_its_counts_its_terms_and_three_sentences() {
    let folder = Folder::new("story");
    folder.file("story.txt", STORY).file("sub/short.md", "# Two words\n").file(".hidden", "not read");
    let results = results(&[folder.path()]);
    let story = &results["files"][0];
    assert_eq!(story["name"], "story.txt");
    assert_eq!((&story["bytes"], &story["lines"]), (&json!(STORY.len()), &json!(2)));
    assert_eq!(story["words"], STORY.split_whitespace().count());
    assert_eq!(story["terms"][0], json!({"term": "server", "count": 4}));
    assert_eq!(story["summarised_by"], "extract");
    let summary: Vec<&str> =
        story["summary"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(summary.len(), 3);
    assert!(summary.iter().all(|sentence| sentence.contains("mailbox")), "{summary:?}");
    assert_eq!(results["files"][1]["name"], "sub/short.md");
    assert_eq!(results["files"].as_array().map(Vec::len), Some(2));
    let words = STORY.split_whitespace().count() + 2;
    assert_eq!(results["totals"]["words"], words);
    assert_eq!(results["totals"]["unfinished"], 0);
}

#[test]
fn without_a_path_it_reads_this_repository_and_says_the_same_twice() {
    let first = agents(&["--json"]);
    let second = agents(&["--json", "--sessions", "1"]);
    assert_eq!(first.status.code(), Some(0), "{}", errors(&first));
    assert!(first.stdout == second.stdout, "two runs differ");
    let results: Value = serde_json::from_slice(&first.stdout).expect("it is JSON");
    let names: Vec<&str> =
        results["files"].as_array().expect("a list").iter().filter_map(|f| f["name"].as_str()).collect();
    assert!(
        names.contains(&"docs/GLOSSARY.md") && names.iter().any(|name| name.starts_with("crates/core/src/"))
    );
    assert!(names.is_sorted());
    let closing = format!("files = {}, restarts = 0, redeliveries = 0, lost = 0\n", names.len());
    assert_eq!(errors(&first), closing, "no bar, for this is no terminal");
}

#[test]
fn crashes_do_not_show_in_the_results() {
    let folder = Folder::new("chaos");
    folder.file("long.txt", STORY.repeat(2000)).file("story.txt", STORY);
    let calm = agents(&[folder.path(), "--json"]);
    for rate in ["0.3", "1"] {
        let wild = agents(&[folder.path(), "--json", "--chaos", rate, "--seed", "42"]);
        assert_eq!(wild.status.code(), Some(0), "{}", errors(&wild));
        assert!(calm.stdout == wild.stdout, "chaos {rate} shows");
        let said = errors(&wild);
        assert!(said.starts_with(&format!("chaos {rate}, seed = 42\n")), "{said}");
        assert!(said.contains("files = 2, restarts = ") && said.ends_with(", lost = 0\n"), "{said}");
        assert!(!said.contains("restarts = 0,") && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn people_get_a_table() {
    let folder = Folder::new("table");
    folder.file("story.txt", STORY).file("empty.txt", "");
    let output = agents(&[folder.path()]);
    let printed = String::from_utf8(output.stdout).expect("it prints text");
    for part in ["story.txt", "server 4", "empty.txt", "empty", "1 files: ", "1 left out, 0 not finished"] {
        assert!(printed.contains(part), "`{part}` is missing in:\n{printed}");
    }
}

#[test]
fn a_path_that_is_not_there_is_one_line_and_exit_code_2() {
    let output = agents(&["/no/such/folder"]);
    assert_eq!(output.status.code(), Some(2));
    let said = errors(&output);
    assert!(said.starts_with("agents: cannot read /no/such/folder: ") && said.lines().count() == 1, "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(agents(&["--chaos", "2"]).status.code(), Some(2));
    assert_eq!(agents(&["--help"]).status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_named_and_stops_nothing() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = Folder::new("odd");
    folder.file("good.txt", STORY).file("empty", "").file("binary", b"\x7fELF\0\0\0").file("locked", STORY);
    symlink("nowhere", folder.0.join("gone")).expect("links are to be had");
    symlink(".", folder.0.join("round")).expect("links are to be had");
    let pipe = folder.0.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is to be had").success());
    fs::set_permissions(folder.0.join("locked"), fs::Permissions::from_mode(0o0)).expect("it is ours");
    // Root may read anything.
    let locked = fs::read(folder.0.join("locked")).is_err();

    let results = results(&[folder.path()]);
    let skipped = results["skipped"].as_array().expect("a list").clone();
    let mut expected = vec![
        json!({"name": "binary", "reason": "binary"}),
        json!({"name": "empty", "reason": "empty"}),
        json!({"name": "gone", "reason": "removed"}),
        json!({"name": "pipe", "reason": "not_a_file"}),
        json!({"name": "round", "reason": "link_loop"}),
    ];
    if locked {
        expected.insert(3, json!({"name": "locked", "reason": "unreadable", "detail": "permission denied"}));
    }
    assert_eq!(skipped, expected);
    assert!(
        results["files"].as_array().is_some_and(|files| files.iter().any(|file| file["name"] == "good.txt"))
    );
}

/// A file of which only pieces are held. How large those are is shown where they are held: see the tests of the program's
/// `files`, `text/terms`, `text/summary` and `text/runs`. (Not by the process's memory, which is the machine's affair too.)
#[test]
fn a_large_file_is_read_to_its_end() {
    let folder = Folder::new("large");
    let mut text = String::new();
    // 24 MB, and more different words and sentences than are remembered.
    for n in 0_u64.. {
        use std::fmt::Write as _;
        let word = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        write!(text, "Sentence {n} tells of thing{word} and of the mailbox that it was put into. ")
            .expect("it is a string");
        if text.len() > 24_000_000 {
            break;
        }
    }
    let words = text.split_whitespace().count();
    folder.file("large.txt", &text).file("one-line.txt", "x".repeat(10_000_000));
    let length = text.len() as u64;
    drop(text);
    let output = finish(start(&[folder.path(), "--json"]));
    let results: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(results["files"][0]["words"], words);
    assert_eq!(results["files"][0]["bytes"], length);
    assert_eq!(results["files"][0]["terms"][0]["term"], "sentence");
}

/// A server that takes requests and lets the test answer them.
fn model_server() -> (String, mpsc::Receiver<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("it is bound"));
    let (requests, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !String::from_utf8_lossy(&request).contains("\"temperature\":0}") {
                match stream.read(&mut buffer) {
                    Ok(n) if n > 0 => request.extend_from_slice(&buffer[..n]),
                    _ => break,
                }
            }
            if requests.send((String::from_utf8_lossy(&request).into_owned(), stream)).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn answer(stream: &mut TcpStream, content: &str) {
    let body = json!({"choices": [{"message": {"role": "assistant", "content": content}}]}).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).expect("it waits for the answer");
}

#[test]
fn a_model_summarises_and_its_failures_pass() {
    let folder = Folder::new("model");
    folder.file("story.txt", STORY);
    let (url, requests) = model_server();
    let child = start(&[folder.path(), "--json", "--model-url", &url, "--model", "small"]);
    // It breaks off, it fails, it answers.
    drop(requests.recv_timeout(LIMIT).expect("it asks"));
    let (_, mut stream) = requests.recv_timeout(LIMIT).expect("it asks again");
    stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nretry-after: 0\r\n\r\n").expect("it waits");
    let (request, mut stream) = requests.recv_timeout(LIMIT).expect("it asks again");
    assert!(
        request.contains("\"model\":\"small\"") && request.contains("The supervisor starts a server again")
    );
    answer(&mut stream, "The model read it. It was about mailboxes. And servers. And more.");
    let output = finish(child);
    let results: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let file = &results["files"][0];
    assert_eq!(file["summary"], json!(["The model read it.", "It was about mailboxes.", "And servers."]));
    assert_eq!(file["summarised_by"], "model");
}

#[test]
fn where_the_model_fails_for_good_our_own_summary_stands() {
    let folder = Folder::new("no-model");
    folder.file("story.txt", STORY);
    let (url, requests) = model_server();
    let child = start(&[folder.path(), "--json", "--model-url", &url]);
    let (_, mut stream) = requests.recv_timeout(LIMIT).expect("it asks");
    stream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n").expect("it waits");
    let output = finish(child);
    let results: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let file = &results["files"][0];
    assert_eq!((&file["summarised_by"], &file["model_error"]), (&json!("extract"), &json!("status 401")));
    assert_eq!(file["summary"].as_array().map(Vec::len), Some(3));
}

/// One file waits for a model that does not answer; the other one is done with.
#[cfg(unix)]
#[test]
fn ctrl_c_prints_what_was_finished() {
    let folder = Folder::new("interrupt");
    folder.file("done.txt", "No sentence to ask about\n").file("stuck.txt", STORY);
    let (url, requests) = model_server();
    let child = start(&[folder.path(), "--json", "--sessions", "1", "--model-url", &url]);
    let (_, _stream) = requests.recv_timeout(LIMIT).expect("it asks about the second file");
    let began = Instant::now();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.expect("kill is to be had").success());
    let output = finish(child);
    assert!(began.elapsed() < LIMIT, "it did not wait for the model's thirty seconds, four times");
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    let results: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(results["files"][0]["name"], "done.txt");
    assert_eq!((&results["totals"]["files"], &results["totals"]["unfinished"]), (&json!(1), &json!(1)));
    assert!(errors(&output).ends_with("files = 1, restarts = 0, redeliveries = 0, lost = 0\n"));
}
