//! A server that does as it is told, at the other end of a pipe: so time can be paused, and no port is needed.

use super::*;
use restante::testkit::Universe;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What the server does with a question.
#[derive(Clone, Debug)]
enum Does {
    Refuses,
    Stalls,
    Closes,
    Says(String),
    Summarises,
}
use Does::{Closes, Refuses, Says, Stalls, Summarises};

fn status(status: &str, headers: &str) -> Does {
    Says(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{headers}\r\n"))
}

fn body(body: &str) -> Does {
    Says(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// Does one thing after the other, and goes on with the last.
#[derive(Debug)]
struct Scripted {
    script: Mutex<VecDeque<Does>>,
    dialled: AtomicUsize,
    at_once: Arc<AtomicUsize>,
    at_once_max: Arc<AtomicUsize>,
    asked: Arc<Mutex<String>>,
}

impl Dial for Scripted {
    type Io = DuplexStream;

    async fn dial(&self, address: &str) -> io::Result<DuplexStream> {
        assert_eq!(address, "model:80");
        self.dialled.fetch_add(1, Ordering::Relaxed);
        let does = {
            let mut script = self.script.lock().expect("no test panics with it");
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        let does = does.expect("a script has one line at least");
        if let Refuses = does {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (at_once, at_once_max) = (Arc::clone(&self.at_once), Arc::clone(&self.at_once_max));
        let asked = Arc::clone(&self.asked);
        tokio::spawn(async move {
            at_once_max.fetch_max(at_once.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            serve(theirs, does, &asked).await;
            at_once.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(ours)
    }
}

async fn serve(mut client: DuplexStream, does: Does, asked: &Mutex<String>) {
    let mut request = Vec::new();
    while !String::from_utf8_lossy(&request).contains("\"temperature\":0}") {
        if client.read_buf(&mut request).await.is_ok_and(|n| n == 0) {
            return;
        }
    }
    *asked.lock().expect("no test panics with it") = String::from_utf8_lossy(&request).into_owned();
    // As long as the client waits.
    let mut rest = Vec::new();
    match does {
        Refuses | Closes => {}
        Stalls => _ = client.read_to_end(&mut rest).await,
        Says(response) => _ = client.write_all(response.as_bytes()).await,
        Summarises => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let said = r#"{"choices":[{"message":{"role":"assistant","content":"One is here. Two is there.\nThree. Four."}}]}"#;
            let Says(response) = body(said) else { return };
            let _ = client.write_all(response.as_bytes()).await;
        }
    }
}

fn model(script: impl IntoIterator<Item = Does>, policy: Policy) -> Model<Scripted> {
    let dial = Scripted {
        script: Mutex::new(script.into_iter().collect()),
        dialled: AtomicUsize::new(0),
        at_once: Arc::default(),
        at_once_max: Arc::default(),
        asked: Arc::default(),
    };
    let endpoint = "http://model/v1".parse().expect("it is an address");
    Model::new(dial, endpoint, "small".to_owned(), Some("secret".to_owned()), policy)
}

/// What comes of this script, and how often the server was asked.
async fn outcome(script: impl IntoIterator<Item = Does>) -> (Result<Vec<String>, ModelError>, usize) {
    let model = model(script, Policy::default());
    let answer = model.summarise("a.txt", "A text.").await;
    (answer, model.dial.dialled.load(Ordering::Relaxed))
}

fn summary() -> Vec<String> {
    ["One is here.", "Two is there.", "Three."].map(str::to_owned).to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_model_is_asked_and_answers() {
    let model = model([Summarises], Policy::default());
    assert_eq!(model.summarise("a.txt", "A \"text\".").await, Ok(summary()));
    let asked = model.dial.asked.lock().expect("nobody panicked").clone();
    assert!(asked.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("host: model\r\n") && asked.contains("authorization: Bearer secret\r\n"),
        "{asked}"
    );
    assert!(asked.contains(r#""model":"small""#) && asked.contains(r#""content":"A \"text\".""#), "{asked}");
    assert!(!format!("{:?}", ModelError::Open).contains("secret"));
}

/// What failed in between leaves no task behind.
#[test]
fn what_passes_is_asked_again() {
    Universe::new().run(async |_| {
        let half = Says("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":".to_owned());
        let script = [Refuses, Stalls, Closes, Summarises];
        assert_eq!(outcome(script).await, (Ok(summary()), 4));
        let script =
            [half, status("503 Service Unavailable", ""), status("429 Too Many Requests", ""), Summarises];
        assert_eq!(outcome(script).await, (Ok(summary()), 4));
    });
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_ends_in_its_error() {
    let (stalled, asked) = outcome([Stalls]).await;
    assert_eq!((stalled, asked), (Err(ModelError::Timeout(Duration::from_secs(30))), 4));
    let (refused, asked) = outcome([Refuses]).await;
    assert!(matches!(refused, Err(ModelError::Connect(_))) && asked == 4);
    let (closed, asked) = outcome([Closes]).await;
    assert!(matches!(closed, Err(ModelError::Broken(_))) && asked == 4);
    let (nonsense, asked) = outcome([Says("this is no HTTP at all\r\n\r\n".to_owned())]).await;
    assert!(matches!(nonsense, Err(ModelError::Broken(_))) && asked == 4);
    let (failed, asked) = outcome([status("500 Oh", "")]).await;
    assert_eq!((failed, asked), (Err(ModelError::Status { status: 500, retry_after: None }), 4));
}

#[tokio::test(start_paused = true)]
async fn what_would_be_the_same_again_is_asked_once() {
    let (unauthorised, asked) = outcome([status("401 Unauthorized", "")]).await;
    assert_eq!((unauthorised, asked), (Err(ModelError::Status { status: 401, retry_after: None }), 1));
    for said in
        ["<html>", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"message":{"content":" \n "}}]}"#, "\u{fffd}"]
    {
        let (garbage, asked) = outcome([body(said)]).await;
        assert!(matches!(garbage, Err(ModelError::Garbage(_))), "{said}: {garbage:?}");
        assert_eq!(asked, 1, "{said}");
    }
    let (long, asked) = outcome([body(&"x".repeat(300_000))]).await;
    assert_eq!((long, asked), (Err(ModelError::TooLong(256 * 1024)), 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_says_when_to_come_back() {
    let began = Instant::now();
    let (answer, _) = outcome([status("503 Busy", "retry-after: 17\r\n"), Summarises]).await;
    assert_eq!(answer, Ok(summary()));
    assert_eq!(began.elapsed().as_secs(), 18, "17 for the pause, one for the answer");
    let (answer, asked) = outcome([status("503 Busy", "retry-after: 9999\r\n"), Summarises]).await;
    let retry_after = Some(Duration::from_secs(9999));
    assert_eq!((answer, asked), (Err(ModelError::Status { status: 503, retry_after }), 1));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_is_left_alone_and_probed_once() {
    let policy = Policy { attempts: 1, ..Policy::default() };
    let open_for = policy.open_for;
    let failures = std::iter::repeat_n(status("500 Oh", ""), 6);
    let model = model(failures.chain([Summarises]), policy);
    for _ in 0..5 {
        assert!(matches!(model.summarise("a.txt", "A text.").await, Err(ModelError::Status { .. })));
    }
    assert_eq!(model.summarise("a.txt", "A text.").await, Err(ModelError::Open));
    tokio::time::sleep(open_for).await;
    assert!(matches!(model.summarise("a.txt", "A text.").await, Err(ModelError::Status { .. })), "the probe");
    assert_eq!(model.summarise("a.txt", "A text.").await, Err(ModelError::Open));
    tokio::time::sleep(open_for).await;
    let both = tokio::join!(model.summarise("a.txt", "A text."), model.summarise("b.txt", "A text."));
    assert_eq!(both, (Ok(summary()), Err(ModelError::Open)), "one probe, and only one");
    assert_eq!(model.summarise("a.txt", "A text.").await, Ok(summary()));
    assert_eq!(model.dial.dialled.load(Ordering::Relaxed), 8);
}

/// And of what they were asked over nothing is left: neither a connection nor its task.
#[test]
fn no_more_than_so_many_are_asked_at_the_same_time() {
    Universe::new().run(async |world| {
        let model = Arc::new(model([Summarises], Policy { concurrency: 3, ..Policy::default() }));
        let asking: Vec<_> = (0..10)
            .map(|n| {
                let model = Arc::clone(&model);
                world.spawn(async move { model.summarise(&format!("{n}.txt"), "A text.").await })
            })
            .collect();
        for answer in asking {
            assert_eq!(answer.await.expect("nobody panicked"), Ok(summary()));
        }
        assert_eq!(model.dial.at_once_max.load(Ordering::Relaxed), 3);
    });
}
