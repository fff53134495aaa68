//! From a host to its addresses, by the system's resolver.
//!
//! `getaddrinfo` blocks and cannot be cancelled. So every look-up runs on a
//! thread of its own, there are few at once, and callers wait for them only so
//! long. The thread ends when the resolver gives up, as resolv.conf(5) has it.

mod permits;

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout_at};

use self::permits::{Permit, Permits};
use crate::caller::Account;
use crate::host::{Family, Host};
use crate::limits;

/// Resolves hosts for the whole process.
#[derive(Clone)]
pub struct Resolver {
    look_up: Arc<LookUp>,
    permits: Permits,
}

/// From a name to its addresses, in order; may block.
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Who wants to know the addresses of a host, and which of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Which addresses.
    pub family: Family,
    /// Whose share of the look-ups this one uses. With `None`, there are no
    /// shares, and it waits for the others for as long as it takes.
    pub account: Option<&'a Account>,
    /// When the addresses are of no use any more.
    pub until: Option<Instant>,
}

/// The addresses of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Distinct addresses in the resolver's order, at least one and at most
    /// [`limits::MAX_ADDRESSES`].
    pub addresses: Vec<IpAddr>,
    /// The others that the name has: they are judged with the rest, but not
    /// scanned.
    pub left_out: Vec<IpAddr>,
}

/// Why a host has no addresses.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The resolver knows no address.
    #[error("{name} does not resolve: {source}")]
    Unknown {
        /// The name.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name has addresses, but not of the family asked for.
    #[error("{name} has no address of the family asked for")]
    OtherFamily {
        /// The name.
        name: String,
    },
    /// The resolver was asked, and took too long.
    #[error("{name} did not resolve within {} s", waited.as_secs_f64())]
    Late {
        /// The name.
        name: String,
        /// How long it was waited for, in whole milliseconds.
        waited: Duration,
    },
    /// The resolver was not asked, or could not ask, so that nothing is known.
    #[error("{name} was not looked up: {reason}")]
    NotLookedUp {
        /// The name.
        name: String,
        /// Why not.
        reason: NotLookedUp,
    },
}

/// Why a name was not looked up.
#[derive(Debug, Error)]
pub enum NotLookedUp {
    /// The caller's share is used up.
    #[error("you have as many names being looked up as you may")]
    CallerBusy,
    /// All look-ups that may run are running.
    #[error("as many names are being looked up as may be at once")]
    Busy,
    /// The system has no thread, descriptor or memory for it.
    #[error("{0}")]
    Short(io::Error),
}

impl Resolver {
    /// The system's resolver, for `most` names at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self::asking(most, |name| {
            let found = (name, 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    /// A resolver that asks `look_up` in place of the system.
    #[must_use]
    pub fn asking(
        most: usize,
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { look_up: Arc::new(look_up), permits: Permits::new(most) }
    }

    /// The addresses of `host`.
    ///
    /// # Errors
    /// When there are none of the family wanted, when the resolver takes longer
    /// than [`limits::RESOLVE_TIMEOUT`] or than there is time, and when it could
    /// not be asked.
    pub async fn resolve(&self, host: &Host, terms: Terms<'_>) -> Result<Resolved, ResolveError> {
        let name = match host {
            Host::Address(address) => {
                return Ok(Resolved { addresses: vec![*address], left_out: Vec::new() });
            }
            Host::Name(name) => name,
        };
        let not_looked_up = |reason| ResolveError::NotLookedUp { name: name.clone(), reason };
        let permit = self.permits.acquire(terms.account, terms.until);
        let answer = self.start(name, permit.await.map_err(not_looked_up)?, terms.until);
        let answer = answer.await.map_err(|error| not_looked_up(NotLookedUp::Short(error)))?;
        // The clock starts with the look-up itself.
        let begun = Instant::now();
        let latest = begun + limits::RESOLVE_TIMEOUT;
        let latest = terms.until.map_or(latest, |until| until.min(latest));
        let found = match timeout_at(latest.into(), answer).await {
            Ok(Ok(Ok(found))) => found,
            Ok(Ok(Err(source))) if is_shortage(&source) => {
                return Err(not_looked_up(NotLookedUp::Short(source)));
            }
            Ok(Ok(Err(source))) => {
                return Err(ResolveError::Unknown { name: name.clone(), source });
            }
            Ok(Err(_)) => {
                let source = io::Error::other("the look-up ended without an answer");
                return Err(not_looked_up(NotLookedUp::Short(source)));
            }
            Err(_) => {
                let waited = latest.saturating_duration_since(begun).as_millis();
                let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(u64::MAX));
                return Err(ResolveError::Late { name: name.clone(), waited });
            }
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.iter().map(IpAddr::to_canonical) {
            if terms.family.includes(address) && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(ResolveError::OtherFamily { name: name.clone() });
        }
        let left_out = addresses.split_off(addresses.len().min(limits::MAX_ADDRESSES));
        Ok(Resolved { addresses, left_out })
    }

    /// Starts a look-up on a thread of its own. While the system has none to
    /// give, it tries again for some time: other threads may end.
    async fn start(
        &self,
        name: &str,
        permit: Permit,
        until: Option<Instant>,
    ) -> io::Result<Answer> {
        let permit = Arc::new(permit);
        let patience = Instant::now() + limits::LOOKUP_PATIENCE;
        let until = until.map_or(patience, |until| until.min(patience));
        loop {
            let (sender, answer) = oneshot::channel();
            let (look_up, permit) = (Arc::clone(&self.look_up), Arc::clone(&permit));
            let name = name.to_owned();
            let thread = thread::Builder::new().name("look-up".into()).spawn(move || {
                let found = look_up(&name);
                // It stands for the thread, which has nothing to do any more.
                drop(permit);
                // Nobody may be waiting for it.
                let _ = sender.send(found);
            });
            match thread {
                Ok(_) => return Ok(answer),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => sleep(limits::THREAD_PAUSE).await,
            }
        }
    }
}

/// What the thread of a look-up sends.
type Answer = oneshot::Receiver<io::Result<Vec<IpAddr>>>;

/// Whether it was this machine that could not ask.
fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS))
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("permits", &self.permits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver() -> Resolver {
        Resolver::new(1)
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let host = Host::Address("10.1.2.3".parse().unwrap());
        let resolved = resolver().resolve(&host, Terms::default()).await.unwrap();
        assert_eq!(resolved.addresses, ["10.1.2.3".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test]
    async fn historic_spellings_are_what_the_system_makes_of_them() {
        for name in ["127.1", "0x7f000001", "2130706433"] {
            let host = Host::Name(name.into());
            let resolved = resolver().resolve(&host, Terms::default()).await.unwrap();
            assert_eq!(resolved.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()], "{name}");
        }
    }

    #[tokio::test]
    async fn a_family_without_addresses_and_an_unknown_name_are_errors() {
        let host = Host::Name("127.1".into());
        let ipv6 = Terms { family: Family::Ipv6, ..Terms::default() };
        let error = resolver().resolve(&host, ipv6).await.unwrap_err();
        let other_family = matches!(&error, ResolveError::OtherFamily { name } if name == "127.1");
        assert!(other_family, "{error:?}");
        // RFC 6761: names under .invalid never resolve.
        let host = Host::Name("no-such-host.invalid".into());
        let error = resolver().resolve(&host, Terms::default()).await.unwrap_err();
        assert!(matches!(error, ResolveError::Unknown { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_machine_that_cannot_ask_says_nothing_of_the_name() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            let resolver = Resolver::asking(1, move |_| Err(errno.into()));
            let host = Host::Name("some.example".into());
            let error = resolver.resolve(&host, Terms::default()).await.unwrap_err();
            let short = |reason: &NotLookedUp| matches!(reason, NotLookedUp::Short(_));
            let honest =
                matches!(&error, ResolveError::NotLookedUp { reason, .. } if short(reason));
            assert!(honest, "{error:?}");
        }
    }
}
