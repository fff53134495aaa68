//! Another open-ports as a vantage: it scans, and its answer is read as a whole.

use std::fmt;

use futures_util::future::{BoxFuture, FutureExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::curl::{Answer, Post};
use super::exchange::negotiation::media_type;
use crate::matrix::{Answers, NotAsked, Question, Vantage, read_answers};
use crate::request::Format;

/// A service that scans for whoever has its token.
pub(crate) struct Remote {
    name: String,
    is_tls: bool,
    /// The host without brackets, and the port.
    host: String,
    port: u16,
    /// As in the `Host` field.
    authority: String,
    token: Option<HeaderValue>,
}

/// A bearer token.
#[derive(Clone)]
pub(crate) struct Token(HeaderValue);

impl Token {
    /// The first word of a file.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(crate) fn try_new(content: &str) -> Result<Self, &'static str> {
        let mut words = content.split_whitespace();
        let (Some(word), None) = (words.next(), words.next()) else {
            return Err("has to hold one token, and nothing else");
        };
        // A field may have other bytes, too (RFC 9110, section 5.5), but no token does.
        let value = HeaderValue::from_str(&format!("Bearer {word}")).ok();
        let value = value.filter(|_| word.is_ascii());
        let mut value = value.ok_or("has a token with letters outside ASCII")?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Remote {
    /// The service at `url`, which has a scheme and an authority and nothing else.
    ///
    /// # Panics
    /// When it is no such URL.
    pub(crate) fn new(url: &str, token: Option<Token>) -> Self {
        let (scheme, authority) = url.split_once("://").expect("it was read as a URL");
        let is_tls = scheme == "https";
        let port = authority.rsplit_once(':').filter(|(host, _)| !host.ends_with(':'));
        let port = port.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let usual = if is_tls { 443 } else { 80 };
        let (host, port) = port.unwrap_or((authority, usual));
        Self {
            name: url.to_owned(),
            is_tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: authority.to_owned(),
            token: token.map(|token| token.0),
        }
    }

    async fn scan(&self, question: &Question) -> Result<Answers, NotAsked> {
        let timeout = question.timeout.as_millis();
        let target = format!(
            "/sweep?ports={}&timeoutMs={timeout}&details=true&format=ndjson",
            question.ports
        );
        let list = question.list();
        let Answer { status, content_type, body } = if self.is_tls {
            self.post_encrypted(&target, &list).await?
        } else {
            self.post(&target, list).await?
        };
        if status != StatusCode::OK {
            return Err(refused(status, &body));
        }
        if content_type != media_type(Format::Ndjson).as_bytes() {
            return Err(NotAsked::new("it answered, but not as open-ports does"));
        }
        read_answers(&body[..], question)
    }

    async fn post(&self, target: &str, list: String) -> Result<Answer, NotAsked> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(HOST, &self.authority)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, LIST);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(Bytes::from(list)));
        let request = request.map_err(|error| NotAsked::new(error.to_string()))?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| not_reached(&error))?;
        exchange(stream, request, MOST_BYTES).await
    }

    async fn post_encrypted(&self, target: &str, list: &str) -> Result<Answer, NotAsked> {
        let url = format!("{}{target}", self.name);
        let mut fields = vec![("User-Agent", AGENT), ("Content-Type", LIST)];
        // It was made of text.
        fields.extend(
            self.token.as_ref().and_then(|token| Some(("Authorization", token.to_str().ok()?))),
        );
        Post { url: &url, fields, body: list }.send().await
    }
}

impl Vantage for Remote {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answers, NotAsked>> {
        self.scan(question).boxed()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Sends a request on a connection of its own, and reads the answer to its end, `most` bytes
/// of it at most.
///
/// # Errors
/// Why there is no whole answer.
pub(super) async fn exchange(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, NotAsked> {
    let broken = |error: hyper::Error| NotAsked::new(format!("it broke off: {}", cause(&error)));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends when the response was read, or dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.map_or(Vec::new(), |value| value.as_bytes().to_vec());
    let body = Limited::new(response.into_body(), most).collect().await;
    let body = body.map_err(|error| NotAsked::new(format!("its answer broke off: {error}")))?;
    Ok(Answer { status, content_type, body: body.to_bytes().to_vec() })
}

pub(super) fn not_reached(error: &std::io::Error) -> NotAsked {
    NotAsked::new(format!("it cannot be reached: {error}"))
}

/// The innermost error, which says what happened.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What a service says that does not scan: a problem document (RFC 9457) has a sentence.
pub(super) fn refused(status: StatusCode, body: &[u8]) -> NotAsked {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    let status = status.as_u16();
    NotAsked::new(match detail {
        Some(detail) => format!("it answered {status}: {detail}"),
        None => format!("it answered {status}"),
    })
}

/// The type of the list of hosts.
const LIST: &str = "text/plain; charset=utf-8";

const AGENT: &str = concat!("open-ports/", env!("CARGO_PKG_VERSION"));

/// A million rows of filtered ports take about 150 MB.
const MOST_BYTES: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_port() {
        for (url, host, port, authority) in [
            ("http://probe.example", "probe.example", 80, "probe.example"),
            ("https://probe.example", "probe.example", 443, "probe.example"),
            ("http://10.0.0.1:8080", "10.0.0.1", 8080, "10.0.0.1:8080"),
            ("http://[::1]:8080", "::1", 8080, "[::1]:8080"),
            ("http://[fd00::1]", "fd00::1", 80, "[fd00::1]"),
        ] {
            let remote = Remote::new(url, None);
            assert_eq!((remote.host.as_str(), remote.port), (host, port), "{url}");
            assert_eq!(remote.authority, authority);
        }
    }

    #[test]
    fn a_file_of_a_token_holds_nothing_else() {
        assert!(Token::try_new("secret\n").is_ok());
        for content in ["", "a b", "a\nb\n", "s\u{e9}cret"] {
            assert!(Token::try_new(content).is_err(), "{content:?}");
        }
    }
}
