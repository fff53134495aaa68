//! From the list of hosts to hosts with addresses, on demand.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use futures_util::future::Either;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::oneshot;

use crate::ask::SweepAsker;
use crate::host::{Family, Host};
use crate::resolve::{Patience, ResolveError, Resolved, Terms};
use crate::targets::{HostList, HostListError, HostSet};

/// Hosts in the order of their list.
pub(super) type Hosts = Pin<Box<dyn Stream<Item = Result<Drawn, HostListError>> + Send>>;

/// A host and its addresses.
pub(super) struct Drawn {
    /// As typed, or an address of a range.
    pub(super) host: Arc<str>,
    pub(super) resolved: Result<Resolved, ResolveError>,
}

/// What is known of the hosts that were not visited yet.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The number of those that were read from the list.
    hosts: AtomicU64,
    all_known: AtomicBool,
    /// Of what was read of the list.
    checksum: AtomicU64,
}

impl Ahead {
    pub(super) fn hosts(&self) -> u64 {
        self.hosts.load(Ordering::Relaxed)
    }

    /// Whether the list was read to its end.
    pub(super) fn is_all_known(&self) -> bool {
        self.all_known.load(Ordering::Relaxed)
    }

    pub(super) fn checksum(&self) -> u64 {
        self.checksum.load(Ordering::Relaxed)
    }

    /// Counts a host as visited.
    pub(super) fn pass(&self) {
        self.hosts.fetch_sub(1, Ordering::Relaxed);
    }

    fn learn(&self, set: &HostSet, list: &HostList) {
        self.hosts.fetch_add(set.remaining(), Ordering::Relaxed);
        self.checksum.store(list.checksum(), Ordering::Relaxed);
        self.all_known.store(list.is_exhausted(), Ordering::Relaxed);
    }
}

/// The hosts of `first`, and then those of `rest`, with their addresses.
pub(super) fn hosts(
    first: HostSet,
    rest: HostList,
    asker: &SweepAsker,
    (family, until): (Family, Option<Instant>),
    ahead: &Arc<Ahead>,
) -> Hosts {
    let (resolver, account) = (asker.resolver().clone(), Arc::new(asker.account().cloned()));
    ahead.learn(&first, &rest);
    let sets = stream::iter([Ok(first)]).chain(further_sets(rest, Arc::clone(ahead)));
    let hosts = sets.flat_map(|set| match set {
        Ok(set) => Either::Left(stream::iter(set.map(Ok))),
        Err(error) => Either::Right(stream::iter([Err(error)])),
    });
    let drawn = hosts.map(move |host| {
        let (resolver, account) = (resolver.clone(), Arc::clone(&account));
        async move {
            let host = host?;
            let account = Option::as_ref(&account);
            let terms = Terms { family, account, patience: Patience::Endless, until };
            let resolved = resolver.resolve(&host, terms).await;
            let host = match host {
                Host::Address(address) => address.to_string(),
                Host::Name(name) => name,
            };
            Ok(Drawn { host: host.into(), resolved })
        }
    });
    Box::pin(drawn.buffered(HOSTS_RESOLVING))
}

/// Reads the rest of the list on other threads: it may be a pipe, and block.
fn further_sets(
    rest: HostList,
    ahead: Arc<Ahead>,
) -> impl Stream<Item = Result<HostSet, HostListError>> {
    stream::unfold(Some(rest), move |rest| {
        let ahead = Arc::clone(&ahead);
        async move {
            let mut rest = rest.filter(|rest| !rest.is_exhausted())?;
            let line = rest.line();
            let (sender, read) = oneshot::channel();
            let reader = move || {
                let set = rest.next_set();
                // The receiver is gone once the sweep has ended.
                let _ = sender.send((set, rest));
            };
            // tokio's `spawn_blocking` panics if the system refuses a thread.
            if let Err(source) = thread::Builder::new().name("hosts".into()).spawn(reader) {
                return Some((Err(HostListError::Read { line, source }), None));
            }
            let (set, rest) = read.await.ok()?;
            match set {
                Ok(Some(set)) => {
                    ahead.learn(&set, &rest);
                    Some((Ok(set), Some(rest)))
                }
                Ok(None) => {
                    ahead.all_known.store(true, Ordering::Relaxed);
                    None
                }
                Err(error) => Some((Err(error), None)),
            }
        }
    })
}

/// The limit of hosts that are being resolved or wait for those before them: a batch
/// of names. The resolver itself has a lower limit of look-ups at once.
const HOSTS_RESOLVING: usize = 64;
