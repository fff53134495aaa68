//! From a host to its addresses, by the system's resolver.
//!
//! `getaddrinfo` blocks and cannot be cancelled, so look-ups run on threads of
//! their own, few at once, and callers wait for them only so long.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::host::{Family, Host};
use crate::limits;

/// Resolves hosts for the whole process.
#[derive(Clone)]
pub struct Resolver {
    look_up: Arc<LookUp>,
    lookups: Arc<Semaphore>,
}

/// From a name to its addresses, in order; may block.
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

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
    /// The resolver took too long.
    #[error("{name} did not resolve within {} s", limits::RESOLVE_TIMEOUT.as_secs())]
    Late {
        /// The name.
        name: String,
    },
}

impl Resolver {
    /// The system's resolver, for [`limits::MAX_LOOKUPS`] names at once.
    #[must_use]
    pub fn new() -> Self {
        Self::asking(|name| {
            let found = (name, 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    /// A resolver that asks `look_up` in place of the system.
    #[must_use]
    pub fn asking(
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let lookups = Arc::new(Semaphore::new(limits::MAX_LOOKUPS));
        Self { look_up: Arc::new(look_up), lookups }
    }

    /// The addresses of `host` that are of `family`.
    ///
    /// # Errors
    /// When there are none, or the resolver takes longer than
    /// [`limits::RESOLVE_TIMEOUT`].
    pub async fn resolve(&self, host: &Host, family: Family) -> Result<Resolved, ResolveError> {
        let name = match host {
            Host::Address(address) => {
                return Ok(Resolved { addresses: vec![*address], left_out: Vec::new() });
            }
            Host::Name(name) => name,
        };
        let found = match timeout(limits::RESOLVE_TIMEOUT, self.look_up(name.clone())).await {
            Ok(Ok(found)) => found,
            Ok(Err(source)) => return Err(ResolveError::Unknown { name: name.clone(), source }),
            Err(_) => return Err(ResolveError::Late { name: name.clone() }),
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.iter().map(IpAddr::to_canonical) {
            if family.includes(address) && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(ResolveError::OtherFamily { name: name.clone() });
        }
        let left_out = addresses.split_off(addresses.len().min(limits::MAX_ADDRESSES));
        Ok(Resolved { addresses, left_out })
    }

    async fn look_up(&self, name: String) -> io::Result<Vec<IpAddr>> {
        let (lookups, look_up) = (Arc::clone(&self.lookups), Arc::clone(&self.look_up));
        let permit = lookups.acquire_owned().await.expect("never closed");
        let lookup = tokio::task::spawn_blocking(move || {
            // Held until the thread is done, also when nobody waits any more.
            let _permit = permit;
            look_up(&name)
        });
        lookup.await.map_err(io::Error::other)?
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("lookups", &self.lookups).finish_non_exhaustive()
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let host = Host::Address("10.1.2.3".parse().unwrap());
        let resolved = Resolver::new().resolve(&host, Family::Any).await.unwrap();
        assert_eq!(resolved.addresses, ["10.1.2.3".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test]
    async fn historic_spellings_are_what_the_system_makes_of_them() {
        for name in ["127.1", "0x7f000001", "2130706433"] {
            let host = Host::Name(name.into());
            let resolved = Resolver::new().resolve(&host, Family::Any).await.unwrap();
            assert_eq!(resolved.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()], "{name}");
        }
    }

    #[tokio::test]
    async fn a_family_without_addresses_and_an_unknown_name_are_errors() {
        let host = Host::Name("127.1".into());
        let error = Resolver::new().resolve(&host, Family::Ipv6).await.unwrap_err();
        assert!(!error.to_string().is_empty());
        // RFC 6761: names under .invalid never resolve.
        let host = Host::Name("no-such-host.invalid".into());
        let error = Resolver::new().resolve(&host, Family::Any).await.unwrap_err();
        assert!(matches!(error, ResolveError::Unknown { .. }), "{error}");
    }
}
