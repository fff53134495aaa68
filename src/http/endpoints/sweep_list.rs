//! The body of `POST /sweep`: a list of hosts, as `--targets` reads it.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use tokio::time::timeout;

use super::audit::Outcome;
use crate::ask::SweepEntry;
use crate::http::exchange::problems;
use crate::http::exchange::reply::Reply;
use crate::limits;
use crate::scan::MemoryShare;

/// A list as it was sent, and the memory for it.
pub(super) struct List {
    pub(super) text: Arc<[u8]>,
    pub(super) memory: MemoryShare,
}

/// Reads the list within the limits of length, time and memory.
pub(super) async fn read<B>(
    body: Pin<&mut B>,
    entry: &SweepEntry,
) -> Result<List, (Outcome, Box<Reply>)>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let length = length.unwrap_or(usize::MAX).min(limits::MAX_LIST_BYTES);
    let memory = entry
        .take_memory(length * limits::LIST_MEMORY)
        .map_err(|refusal| (Outcome::NotAdmitted, Box::new(problems::not_admitted(&refusal))))?;
    let invalid = |reply| Err((Outcome::Invalid, Box::new(reply)));
    let body = Limited::new(body, limits::MAX_LIST_BYTES).collect();
    match timeout(limits::LIST_TIMEOUT, body).await {
        Err(_) => invalid(problems::request_timeout()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => invalid(problems::content_too_large()),
        Ok(Err(_)) => invalid(problems::invalid_list("ended before its length")),
        Ok(Ok(list)) => Ok(List { text: Arc::from(&*list.to_bytes()), memory }),
    }
}

/// Checks what the header fields say of the body.
pub(super) fn check<B: Body>(headers: &HeaderMap, body: &B) -> Result<(), Box<Reply>> {
    let text = |name| headers.get(name).map_or(Some(""), |value| value.to_str().ok());
    let media_type = text(CONTENT_TYPE).unwrap_or("-");
    let encoding = text(CONTENT_ENCODING).unwrap_or("-");
    if !is_plain_text(media_type) || !(encoding.is_empty() || is(encoding, "identity")) {
        return Err(Box::new(problems::unsupported_type()));
    }
    if body.size_hint().lower() > limits::MAX_LIST_BYTES as u64 {
        return Err(Box::new(problems::content_too_large()));
    }
    Ok(())
}

/// Reads the rest of a body that is refused, and drops it: the close of a connection with
/// unread data sends a RST, which can destroy the reply before the client has read it. A
/// client that waits for the go-ahead (`Expect`) does not send a body.
pub(super) async fn discard<B: Body>(mut body: Pin<&mut B>, headers: &HeaderMap) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let rest = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    let _ = timeout(DISCARD_PATIENCE, rest).await;
}

/// Whether it is `text/plain`, in a charset that is UTF-8.
fn is_plain_text(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let mut charsets = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        is(name, "charset").then(|| value.trim_matches('"'))
    });
    is(essence, "text/plain")
        && charsets.all(|charset| is(charset, "utf-8") || is(charset, "us-ascii"))
}

fn is(text: &str, word: &str) -> bool {
    text.eq_ignore_ascii_case(word)
}

/// How long a refused client may go on sending: in a second, a megabyte arrives even over
/// a slow link.
const DISCARD_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_plain_text_in_utf_8() {
        for media_type in [
            "text/plain",
            "TEXT/Plain",
            "text/plain; charset=utf-8",
            "text/plain;charset=\"UTF-8\"",
        ] {
            assert!(is_plain_text(media_type), "{media_type}");
        }
        for media_type in [
            "",
            "-",
            "text/html",
            "text/plain; charset=utf-16",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_plain_text(media_type), "{media_type}");
        }
    }
}
