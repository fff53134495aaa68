use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};

use super::*;
use crate::ask::Asker;
use crate::limits;
use crate::policy::{Policy, Rules};
use crate::resolve::Resolver;
use crate::scan::Scanner;
use crate::targets::{AddressRange, HostSpec};

/// A sweep over `words`, in which names have these addresses. What `deny` names
/// is refused.
struct Setup {
    words: Vec<String>,
    names: BTreeMap<String, Vec<IpAddr>>,
    port: u16,
    exclude: Vec<IpAddr>,
    deny: &'static str,
    /// Probes a second.
    rate: Option<NonZeroU32>,
    until: Option<Instant>,
}

impl Setup {
    fn new(words: &[&str], port: u16) -> Self {
        Self {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            names: BTreeMap::new(),
            port,
            exclude: Vec::new(),
            deny: "none",
            rate: None,
            until: None,
        }
    }

    fn with_name(mut self, name: &str, addresses: &[IpAddr]) -> Self {
        self.words.push(name.to_owned());
        self.names.insert(name.to_owned(), addresses.to_vec());
        self
    }

    fn start(self) -> Sweep {
        let scanner = Scanner::new(64, NonZeroUsize::MIN);
        let scanner = match self.rate {
            Some(rate) => scanner.with_rate(rate),
            None => scanner,
        };
        let names = self.names;
        let resolver = Resolver::asking(4, move |name| {
            names.get(name).cloned().ok_or_else(|| io::Error::other("no such name"))
        });
        let policy = Policy::new(Rules::any(), self.deny.parse().unwrap());
        let exclude = self.exclude.into_iter().map(AddressRange::single).collect();
        let exclude = AddressSet::new(exclude, &AddressSet::default());
        let specs: Vec<HostSpec> = self.words.iter().map(|word| word.parse().unwrap()).collect();
        let mut rest = HostList::new(specs, None, exclude.clone(), 1);
        let first = rest.next_set().unwrap().unwrap();
        let plan = SweepPlan {
            ports: PortSet::try_range(self.port, self.port).unwrap(),
            family: Family::Any,
            exclude,
            timeout: limits::DEFAULT_TIMEOUT,
            until: self.until,
            keep: Keep::Open,
            seed: 1,
        };
        Sweep::new(Asker::new(scanner, resolver, policy), plan, first, rest)
    }
}

/// What a sweep reported, to its end.
#[derive(Default)]
struct Reported {
    found: Vec<Found>,
    ended: Vec<HostEnd>,
}

impl Reported {
    async fn all_of(sweep: &mut Sweep) -> Self {
        let mut reported = Self::default();
        while let Some(news) = sweep.next().await {
            reported.take(news);
        }
        reported
    }

    fn take(&mut self, news: News) {
        match news {
            News::Found(found) => self.found.push(found),
            News::Ended(end) => self.ended.push(end),
            News::ListFailed(error) => panic!("{error}"),
        }
    }

    /// The hosts that ended, as often as they did.
    fn hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = self.ended.iter().map(|end| &*end.host).collect();
        hosts.sort_unstable();
        hosts
    }

    /// How the visit to `host` ended.
    #[track_caller]
    fn end_of(&self, host: &str) -> &HostOutcome {
        &self.ended.iter().find(|end| &*end.host == host).unwrap().outcome
    }

    /// The addresses of `host` that were scanned.
    #[track_caller]
    fn scanned(&self, host: &str) -> Vec<IpAddr> {
        match self.end_of(host) {
            HostOutcome::Scanned { tallies, .. } => {
                tallies.iter().map(|tally| tally.address).collect()
            }
            other => panic!("{host}: {other:?}"),
        }
    }
}

/// An address of this network. Each test has its own, 127.77.`net`.0/24, in which
/// nobody else listens.
fn address(net: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(127, 77, net, last).into()
}

/// Listeners at one port of several addresses.
fn listen(addresses: &[IpAddr]) -> (Vec<TcpListener>, u16) {
    for _ in 0..100 {
        let first = TcpListener::bind(SocketAddr::from((addresses[0], 0))).unwrap();
        let port = first.local_addr().unwrap().port();
        // A port may be taken on one of the others, by a connection for example.
        let others = addresses[1..].iter().map(|&address| TcpListener::bind((address, port)));
        if let Ok(others) = others.collect::<io::Result<Vec<_>>>() {
            return ([first].into_iter().chain(others).collect(), port);
        }
    }
    panic!("no port is free at all addresses");
}

#[tokio::test]
async fn every_host_is_reported_once() {
    let (_listeners, port) = listen(&[address(0, 7)]);
    let mut sweep = Setup::new(&["127.77.0.0/24", "unknown.example"], port)
        .with_name("seven.example", &[address(0, 7)])
        .with_name("eight.example", &[address(0, 8)])
        .start();
    let reported = Reported::all_of(&mut sweep).await;
    let mut expected: Vec<String> = (0..=255).map(|last| address(0, last).to_string()).collect();
    expected.extend(["unknown.example", "seven.example", "eight.example"].map(str::to_owned));
    expected.sort_unstable();
    assert_eq!(reported.hosts(), expected);
    // A port is found for each host that the address belongs to.
    let found: BTreeSet<&str> = reported.found.iter().map(|found| &*found.host).collect();
    assert_eq!(found, BTreeSet::from(["127.77.0.7", "seven.example"]));
    assert_eq!(reported.found.len(), 2);
    assert!(reported.found.iter().all(|found| found.first));
    assert_eq!(reported.scanned("eight.example"), [address(0, 8)]);
    let unknown = reported.end_of("unknown.example");
    assert!(matches!(unknown, HostOutcome::NotResolved(ResolveError::Unknown { .. })));
    assert!(sweep.is_whole());
    let (progress, total) = sweep.progress();
    assert_eq!((progress.done, total), (progress.total, Some(progress.total)));
}

#[tokio::test]
async fn a_refused_host_takes_no_batch() {
    // More of them than news are kept.
    let mut sweep = Setup { deny: "127.0.0.0/8", ..Setup::new(&["127.77.8.0/21"], 1) }.start();
    let mut reported = Reported::default();
    while let Some(news) = sweep.next().await {
        assert!(sweep.news.len() <= NEWS_AHEAD && sweep.running.is_empty());
        reported.take(news);
    }
    assert_eq!((reported.ended.len(), reported.found.len(), sweep.batches), (2048, 0, 0));
    let is_refused = |end: &HostEnd| matches!(end.outcome, HostOutcome::Refused(_));
    assert!(reported.ended.iter().all(is_refused));
    assert!(sweep.is_whole());
}

#[tokio::test]
async fn one_refused_address_keeps_a_name_from_being_scanned_and_no_other_host() {
    let (_listeners, port) = listen(&[address(1, 1), address(1, 2)]);
    let sweep = Setup::new(&["127.77.1.1"], port)
        .with_name("mixed.example", &[address(1, 1), address(1, 2)]);
    let mut sweep = Setup { deny: "127.77.1.2", ..sweep }.start();
    let reported = Reported::all_of(&mut sweep).await;
    assert_eq!(reported.hosts(), ["127.77.1.1", "mixed.example"]);
    let refused = reported.end_of("mixed.example");
    assert!(matches!(refused, HostOutcome::Refused(refusal) if refusal.address == address(1, 2)));
    assert_eq!(reported.found.len(), 1);
    assert_eq!(sweep.progress().0.total, 1);
}

#[tokio::test]
async fn a_finding_at_two_addresses_of_a_name_is_its_first_once() {
    let both = [address(2, 1), address(2, 2)];
    let (_listeners, port) = listen(&both);
    let mut sweep = Setup::new(&[], port).with_name("two.example", &both).start();
    let reported = Reported::all_of(&mut sweep).await;
    assert_eq!(reported.hosts(), ["two.example"]);
    assert_eq!(reported.scanned("two.example"), both);
    let found: BTreeSet<IpAddr> =
        reported.found.iter().map(|found| found.finding.address).collect();
    assert_eq!((found, reported.found.len()), (BTreeSet::from(both), 2));
    assert_eq!(reported.found.iter().filter(|found| found.first).count(), 1);
}

#[tokio::test]
async fn a_stopped_sweep_still_reports_the_hosts_that_were_being_scanned() {
    let addresses: Vec<IpAddr> = (0..64).map(|last| address(3, last)).collect();
    let (_listeners, port) = listen(&addresses);
    // A minute would be needed for all of them.
    let rate = NonZeroU32::new(1);
    let mut sweep = Setup { rate, ..Setup::new(&["127.77.3.0/26"], port) }.start();
    let mut reported = Reported::default();
    while reported.found.is_empty() {
        reported.take(sweep.next().await.unwrap());
    }
    // Each host has one target.
    let started = sweep.progress().0.total;
    sweep.stop();
    while let Some(news) = sweep.next().await {
        reported.take(news);
    }
    let hosts: BTreeSet<&str> = reported.hosts().into_iter().collect();
    assert_eq!((hosts.len() as u64, reported.ended.len() as u64), (started, started));
    assert_eq!(started + sweep.unvisited(), 64);
    let mut open = 0;
    for HostEnd { host, outcome } in &reported.ended {
        let HostOutcome::Scanned { tallies, stopped: true, .. } = outcome else {
            panic!("{host}: {outcome:?}");
        };
        let [tally] = &tallies[..] else { panic!("{host}: {tallies:?}") };
        assert_eq!(tally.open + tally.not_scanned, 1, "{tally:?}");
        open += tally.open as usize;
    }
    assert_eq!(open, reported.found.len());
    assert!((1..hosts.len()).contains(&open), "{open} of {started}");
    assert_eq!(sweep.progress().0.done, open as u64);
}

#[tokio::test]
async fn excluded_addresses_are_not_scanned_even_if_a_name_leads_to_them() {
    let (_listeners, port) = listen(&[address(4, 1), address(4, 2)]);
    let sweep = Setup::new(&["127.77.4.1"], port)
        .with_name("both.example", &[address(4, 1), address(4, 2)])
        .with_name("one.example", &[address(4, 1)]);
    let mut sweep = Setup { exclude: vec![address(4, 1)], ..sweep }.start();
    let reported = Reported::all_of(&mut sweep).await;
    // A host with no other address is left out without a word.
    assert_eq!(reported.hosts(), ["both.example"]);
    assert_eq!(reported.scanned("both.example"), [address(4, 2)]);
    assert!(sweep.is_whole());
}

#[tokio::test]
async fn hosts_that_a_deadline_leaves_are_counted_as_not_visited() {
    let until = Some(Instant::now());
    let mut sweep = Setup { until, ..Setup::new(&["127.77.5.0/24"], 1) }.start();
    assert!(Reported::all_of(&mut sweep).await.ended.is_empty());
    assert_eq!(sweep.unvisited(), 256);
    assert!(!sweep.is_whole());
}

/// Nobody looks again after a while, as commands do that show progress. So it hangs if the
/// last batch ends unheard, which took a race of two threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_of_a_batch_is_heard() {
    for _ in 0..500 {
        let mut sweep = Setup::new(&["127.0.0.1"], 1).start();
        let all = Reported::all_of(&mut sweep);
        let all = tokio::time::timeout(Duration::from_secs(60), all).await;
        assert_eq!(all.expect("the end was not heard").ended.len(), 1);
    }
}
