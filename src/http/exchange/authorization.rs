//! Bearer tokens of requests, and a log of those without a valid one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};

use super::identity::Exchange;
use crate::caller::Caller;
use crate::tokens::{AuthError, Change, TokenFile};

/// The caller whose token the request presents.
pub(crate) fn caller(tokens: &TokenFile, headers: &HeaderMap) -> Result<Caller, AuthError> {
    follow_tokens(tokens, Instant::now());
    let presented = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    tokens.authenticate(presented).map(|name| Caller::Token(name.to_string()))
}

/// Logs that a request had no valid token, once in [`LOG_INTERVAL`] at most.
pub(crate) fn log_failure(exchange: &Exchange, route: &'static str, error: AuthError) {
    let limit = || LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(unlogged) = limit().admit(Instant::now()) {
        let (request_id, client, reason) = (&exchange.id, exchange.client, error.reason());
        tracing::warn!(request_id, %client, route, reason, unlogged, "unauthorized");
    }
}

/// Reads the file of tokens again if it has changed, and logs that.
pub fn follow_tokens(tokens: &TokenFile, now: Instant) {
    match tokens.refresh(now) {
        Some(Change::Taken(tokens)) => tracing::info!(tokens, "tokens read again"),
        Some(Change::Refused(error)) => tracing::warn!(%error, "tokens kept as they were"),
        Some(Change::Ended) => tracing::error!("tokens ended: their file is gone or empty"),
        None => {}
    }
}

/// Lets one event through in an interval, and counts the others.
#[derive(Debug)]
struct Limit {
    due: Option<Instant>,
    missed: u64,
}

impl Limit {
    /// `None`: the event is not to be logged. Otherwise, how many were not logged
    /// since the last one.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.due.is_some_and(|due| now < due) {
            self.missed += 1;
            return None;
        }
        self.due = Some(now + LOG_INTERVAL);
        Some(std::mem::take(&mut self.missed))
    }
}

/// The limit of the log, which the whole process shares.
static LIMIT: Mutex<Limit> = Mutex::new(Limit { due: None, missed: 0 });

/// How often a request without a valid token is logged. A client that tries tokens
/// can send thousands a second.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_in_an_interval_passes_with_the_number_of_the_others() {
        let (mut limit, now) = (Limit { due: None, missed: 0 }, Instant::now());
        assert_eq!(limit.admit(now), Some(0));
        assert_eq!(limit.admit(now), None);
        assert_eq!(limit.admit(now + LOG_INTERVAL / 2), None);
        assert_eq!(limit.admit(now + LOG_INTERVAL), Some(2));
        assert_eq!(limit.admit(now + 2 * LOG_INTERVAL), Some(0));
    }
}
