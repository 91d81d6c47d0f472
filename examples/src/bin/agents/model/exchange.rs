//! One question and its answer over HTTP.

use super::ModelError;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::future::pending;
use std::io;
use std::pin::pin;
use std::str::FromStr;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What the model is told to do.
const INSTRUCTION: &str =
    "Summarise the text in exactly three plain sentences. Answer with the sentences alone.";

/// Where a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host, and port if one is given: what the `Host` header says.
    host: String,
    /// Host and port, to dial.
    address: String,
    path: String,
}

impl FromStr for Endpoint {
    type Err = String;

    /// Takes the base of an API (`http://localhost:11434/v1`) or the full address, which ends with `/chat/completions`.
    fn from_str(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("no address: {e}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("https is not spoken here; put a proxy in between".to_owned()),
            _ => return Err("no address: it has to begin with http://".to_owned()),
        }
        let Some(authority) = uri.authority() else { return Err("no address: it has no host".to_owned()) };
        if authority.as_str().contains('@') {
            return Err("an address with a password in it; the key comes from the environment".to_owned());
        }
        let path = uri.path().trim_end_matches('/');
        let path = if path.ends_with("/chat/completions") {
            path.to_owned()
        } else {
            format!("{path}/chat/completions")
        };
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        Ok(Self { host: authority.as_str().to_owned(), address, path })
    }
}

/// Makes connections. Over TCP, except where a test stands in for the network.
pub(crate) trait Dial: Sync {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin;

    /// Connects to a host and port.
    fn dial(&self, address: &str) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

/// Dials over TCP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp;

impl Dial for Tcp {
    type Io = TcpStream;

    async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    temperature: u8,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Deserialize)]
struct Said {
    content: String,
}

/// The body of a request to summarise this text.
pub(super) fn question(model: &str, text: &str) -> String {
    let messages =
        [Message { role: "system", content: INSTRUCTION }, Message { role: "user", content: text }];
    serde_json::to_string(&Question { model, messages, temperature: 0 }).expect("strings are always JSON")
}

/// Asks over a connection of its own; what the model said.
pub(super) async fn exchange<D: Dial>(
    dial: &D,
    endpoint: &Endpoint,
    key: Option<&str>,
    question: &str,
    answer_bytes_max: usize,
) -> Result<String, ModelError> {
    let mut request = Request::post(&endpoint.path)
        .header(HOST, &endpoint.host)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json");
    if let Some(key) = key {
        let mut bearer = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| ModelError::Connect("the key is no text for a header".to_owned()))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    let body = Full::new(Bytes::copy_from_slice(question.as_bytes()));
    let request = request.body(body).map_err(|e| ModelError::Connect(e.to_string()))?;

    let io = dial.dial(&endpoint.address).await.map_err(|e| ModelError::Connect(e.to_string()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|e| broken(&e))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            let retry_after = retry_after(&head.headers, SystemTime::now());
            return Err(ModelError::Status { status: head.status.as_u16(), retry_after });
        }
        let body = Limited::new(body, answer_bytes_max).collect().await.map_err(|e| {
            if e.is::<LengthLimitError>() { ModelError::TooLong(answer_bytes_max) } else { broken(&*e) }
        })?;
        read(&body.to_bytes())
    };
    // The connection moves only while we wait for the answer; its errors reach us as those of the answer.
    let connection = pin!(async {
        let _ = connection.await;
        pending().await
    });
    tokio::select! {
        answer = answer => answer,
        never = connection => never,
    }
}

fn broken(e: &(dyn std::error::Error + 'static)) -> ModelError {
    ModelError::Broken(e.to_string())
}

/// What the model said, out of the body of the response.
fn read(body: &[u8]) -> Result<String, ModelError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| ModelError::Garbage(e.to_string()))?;
    let first =
        answer.choices.into_iter().next().ok_or_else(|| ModelError::Garbage("no choices".to_owned()))?;
    Ok(first.message.content)
}

/// What `Retry-After` says, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_base_of_an_api_or_the_full_address() {
        let full: Endpoint = "http://localhost:8080/v1/chat/completions".parse().expect("it is an address");
        assert_eq!("http://localhost:8080/v1/".parse(), Ok(full.clone()));
        assert_eq!((&*full.address, &*full.path), ("localhost:8080", "/v1/chat/completions"));
        let short: Endpoint = "http://model".parse().expect("it is an address");
        assert_eq!((&*short.address, &*short.path), ("model:80", "/chat/completions"));
        for wrong in ["", "localhost", "/v1", "ftp://x", "https://x", "http://", "http://a:b@c"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_s_wish_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let date = httpdate::fmt_http_date(now + Duration::from_secs(9));
        let past = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH);
        for (value, expected) in
            [("7", Some(7)), (&*date, Some(9)), (&*past, Some(0)), ("soon", None), ("-1", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("it is a header"));
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
