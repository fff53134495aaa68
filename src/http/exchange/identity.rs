//! The identity of a request: its id, its client and its trace.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::reply::Reply;

/// One request and its reply, as logs and clients identify them.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The client's own id, or a new one.
    pub(crate) id: String,
    /// The address that the request came from.
    pub(crate) client: IpAddr,
    traceparent: Option<HeaderValue>,
}

impl Exchange {
    pub(crate) fn new(headers: &HeaderMap, client: IpAddr) -> Self {
        let text =
            |name: HeaderName| headers.get(name).and_then(|value| HeaderValue::to_str(value).ok());
        let trace = text(TRACEPARENT).and_then(trace_id);
        let id = text(X_REQUEST_ID).filter(|id| is_acceptable(id)).or(trace);
        Self {
            id: id.map_or_else(new_id, str::to_owned),
            client: client.to_canonical(),
            traceparent: trace.and_then(|_| headers.get(TRACEPARENT).cloned()),
        }
    }

    /// Adds the id and the trace to the reply.
    pub(crate) fn label(&self, reply: &mut Reply) {
        let headers = reply.headers_mut();
        let id = HeaderValue::from_str(&self.id).expect("acceptable ids are visible ASCII");
        headers.insert(X_REQUEST_ID, id);
        if let Some(traceparent) = &self.traceparent {
            headers.insert(TRACEPARENT, traceparent.clone());
        }
    }
}

/// Whether an id is safe in a log line and in a header.
fn is_acceptable(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    (1..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(allowed)
}

/// The trace id of a W3C Trace Context, version 00:
/// `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`, the ids not all zero.
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let mut hex = |digits: usize| {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        parts.next().filter(|part| part.len() == digits && part.bytes().all(lower_hex))
    };
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_set = |id: &str| id.bytes().any(|byte| byte != b'0');
    let whole = parts.next().is_none() && version == "00" && is_set(parent);
    Some(trace).filter(|trace| whole && is_set(trace))
}

/// 16 hex digits, different each time, which nobody outside can guess.
fn new_id() -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}", KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// <https://www.w3.org/TR/trace-context/>
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Twice the length of what common generators make.
const MAX_ID_LEN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn exchange(headers: &[(HeaderName, &str)]) -> Exchange {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        Exchange::new(&headers, IpAddr::from([127, 0, 0, 1]))
    }

    #[test]
    fn an_acceptable_id_is_used() {
        assert_eq!(exchange(&[(X_REQUEST_ID, "a-1")]).id, "a-1");
        assert_eq!(exchange(&[(TRACEPARENT, TRACE)]).id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(exchange(&[(TRACEPARENT, TRACE), (X_REQUEST_ID, "b")]).id, "b");
    }

    #[test]
    fn any_other_id_is_replaced() {
        let long = "a".repeat(MAX_ID_LEN + 1);
        for id in ["", "a b", "a\"b", "é", &long] {
            let made_up = exchange(&[(X_REQUEST_ID, id)]).id;
            assert!(made_up.len() == 16 && made_up != exchange(&[]).id, "{made_up}");
        }
        for traceparent in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            let exchange = exchange(&[(TRACEPARENT, traceparent)]);
            assert!(exchange.id.len() == 16 && exchange.traceparent.is_none(), "{traceparent}");
        }
    }
}
