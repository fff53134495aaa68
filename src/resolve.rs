//! From a host to its addresses, by the system's resolver.
//!
//! `getaddrinfo` blocks and cannot be cancelled. So every look-up runs on its own
//! thread, the number of threads is limited, and callers wait for a limited time.
//! A thread ends when the resolver gives up (resolv.conf(5)).

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

/// Resolves hosts. All clones share one limit of look-ups at once.
#[derive(Clone)]
pub struct Resolver {
    look_up: Arc<LookUp>,
    permits: Permits,
}

/// From a name to its addresses, in order; may block.
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Which addresses of a host are wanted, by whom, and until when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms<'a> {
    /// Which addresses.
    pub(crate) family: Family,
    /// The account that the look-up counts for. `None`: no limit for each account.
    pub(crate) account: Option<&'a Account>,
    /// How long it may wait for its turn.
    pub(crate) patience: Patience,
    /// When to give up.
    pub(crate) until: Option<Instant>,
}

/// How long a look-up may wait for its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it has to end: others wait for nothing else.
    #[default]
    Endless,
    /// [`limits::LOOKUP_PATIENCE`].
    Short,
}

/// The addresses of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Distinct addresses in the resolver's order, at least one and at most
    /// [`limits::MAX_ADDRESSES`]. If the name has more, these are the lowest, in
    /// ascending order.
    pub addresses: Vec<IpAddr>,
    /// Further addresses of the name, in ascending order. Policy is checked against
    /// them too, but they are not scanned.
    pub left_out: Vec<IpAddr>,
}

/// Why a host has no addresses.
#[derive(Debug, Error)]
pub(crate) enum ResolveError {
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
    /// The resolver did not answer in time.
    #[error("{name} did not resolve within {} s", waited.as_secs_f64())]
    Late {
        /// The name.
        name: String,
        /// How long the look-up ran, in whole milliseconds.
        waited: Duration,
    },
    /// No look-up was made, so that nothing is known about the name.
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
pub(crate) enum NotLookedUp {
    /// The caller has reached its limit.
    #[error("you have reached your limit of concurrent name look-ups")]
    CallerBusy,
    /// The limit of all callers together is reached.
    #[error("the limit of concurrent name look-ups is reached")]
    Busy,
    /// The system has no thread, descriptor or memory left.
    #[error("{0}")]
    Short(io::Error),
}

impl Resolver {
    /// The system's resolver, with at most `most` look-ups at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self::asking(most, |name| {
            let found = (name, 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    /// A resolver that calls `look_up` instead of the system's resolver.
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
    /// When the host has no address of the family, when the resolver takes longer
    /// than [`limits::RESOLVE_TIMEOUT`] or than the terms allow, and when no look-up
    /// could be made.
    pub(crate) async fn resolve(
        &self,
        host: &Host,
        terms: Terms<'_>,
    ) -> Result<Resolved, ResolveError> {
        let name = match host {
            Host::Address(address) => {
                return Ok(Resolved { addresses: vec![*address], left_out: Vec::new() });
            }
            Host::Name(name) => name,
        };
        let not_looked_up = |reason| ResolveError::NotLookedUp { name: name.clone(), reason };
        let until = match terms.patience {
            Patience::Endless => None,
            Patience::Short => Some(Instant::now() + limits::LOOKUP_PATIENCE),
        };
        let until = until.into_iter().chain(terms.until).min();
        let permit = self.permits.acquire(terms.account, until);
        let answer = self.start(name, permit.await.map_err(not_looked_up)?, terms.until);
        let answer = answer.await.map_err(|error| not_looked_up(NotLookedUp::Short(error)))?;
        // Waiting for a permit and a thread does not count.
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
        if addresses.len() > limits::MAX_ADDRESSES {
            // Name servers give the addresses in another order each time. Without one
            // order of our own, each scan would be of other addresses.
            addresses.sort_unstable();
        }
        let left_out = addresses.split_off(addresses.len().min(limits::MAX_ADDRESSES));
        Ok(Resolved { addresses, left_out })
    }

    /// Starts a look-up on its own thread. While the system refuses one, it tries
    /// again for some time, because other threads may end.
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
                // The permit stands for this thread, whose work is done.
                drop(permit);
                // The receiver may have given up.
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

/// What the look-up's thread sends.
type Answer = oneshot::Receiver<io::Result<Vec<IpAddr>>>;

/// Whether this machine lacked a resource for the look-up.
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
        let resolver = Resolver::asking(1, |name| panic!("{name} is looked up"));
        let resolved = resolver.resolve(&host, Terms::default()).await.unwrap();
        assert_eq!(resolved.addresses, ["10.1.2.3".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test]
    async fn historic_spellings_of_addresses_are_left_to_the_system() {
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
    async fn without_descriptors_or_memory_nothing_is_known_about_a_name() {
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
