//! A scenario: two hosts, the wire between them, a scan, and what the scan has to
//! find.

use std::collections::BTreeSet;
use std::fmt::Write;

use oorandom::Rand64;

/// One scenario of the lab.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// Ports 1 to this are scanned.
    pub(crate) ports: u16,
    /// How many of them, chosen at random, have a listener.
    pub(crate) open: usize,
    /// How many others are closed, whatever the rule.
    pub(crate) closed: usize,
    /// The packet filter's rule for the rest.
    pub(crate) rule: &'static str,
    /// The host whose packet filter has the rule.
    pub(crate) ruled_by: Host,
    /// What the scan has to find on the rest.
    pub(crate) rest: Rest,
    pub(crate) wire: Wire,
    /// The least rtt to the target in milliseconds, if the report has one.
    pub(crate) least_rtt: f64,
    /// A firewall near the scanner, if there is one.
    pub(crate) wall: Option<Wall>,
    pub(crate) limits: Limits,
    /// Descriptors that the scanner may open.
    pub(crate) descriptors: u32,
    pub(crate) by: Way,
    pub(crate) goal: Goal,
}

/// How the scan is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over HTTP. The service keeps some descriptors for its clients.
    Service,
    /// At the prompt.
    Command,
}

/// The address family that a scan uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// One of the hosts that the wire joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Scanner,
    Target,
}

/// How the wire treats frames of each direction, as `lab wire` reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) there: &'static str,
    pub(crate) back: &'static str,
}

/// A firewall near the scanner that answers for one port of the target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    /// Its rule, as `scripts/lab` reads it.
    pub(crate) rule: &'static str,
    /// What the scan has to find there.
    pub(crate) finds: Rest,
}

/// A round trip on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    pub(crate) milliseconds: f64,
    pub(crate) wire: Wire,
}

/// Limits at the target, as `scripts/lab` reads them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// SYNs a second, and the largest burst.
    pub(crate) syns: Option<&'static str>,
    /// RSTs a second, and the largest burst.
    pub(crate) rsts: Option<&'static str>,
    /// Whether Linux's limits on ICMP errors stay on.
    pub(crate) icmp: bool,
    /// ICMP errors a second, and the largest burst.
    pub(crate) icmp_errors: Option<&'static str>,
}

/// What has to be found on a port that the rule applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Open,
    Closed,
    /// Filtered with this reason.
    Filtered(&'static str),
    /// Answers are lost as well as probes: any state except open.
    NotOpen,
}

/// What the median of a scenario's runs has to be, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// The median of the runs, in seconds.
    pub(crate) seconds: Option<f64>,
    pub(crate) runs: usize,
}

/// Which ports of a target are which.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) open: BTreeSet<u16>,
    pub(crate) closed: BTreeSet<u16>,
    /// The port for which the firewall answers.
    pub(crate) walled: Option<u16>,
}

impl Scenario {
    /// Chooses the open and the closed ports; a seed always gives the same.
    pub(crate) fn cast(&self, seed: u64) -> Cast {
        let mut draws = Rand64::new(seed.into());
        let mut drawn = BTreeSet::new();
        let mut draw = |count| {
            let mut part = BTreeSet::new();
            while part.len() < count {
                let port = draws.rand_range(1..u64::from(self.ports) + 1);
                let port = u16::try_from(port).expect("no more than the last port");
                if drawn.insert(port) {
                    part.insert(port);
                }
            }
            part
        };
        let (open, closed) = (draw(self.open), draw(self.closed));
        let walled = draw(usize::from(self.wall.is_some())).first().copied();
        Cast { open, closed, walled }
    }

    /// The target's address.
    pub(crate) fn address(&self) -> &'static str {
        match self.family {
            Family::V4 => "10.77.0.2",
            Family::V6 => "fd00:77::2",
        }
    }

    /// The options that make `scripts/lab` build the scenario.
    pub(crate) fn options(&self, cast: &Cast, seed: u64) -> Vec<String> {
        let Wire { there, back } = self.wire;
        let mut options = vec![
            ("--there", there.to_owned()),
            ("--back", back.to_owned()),
            ("--seed", seed.to_string()),
            ("--rule", self.rule.to_owned()),
            ("--open", list(&cast.open)),
            ("--except", list(&cast.closed)),
        ];
        let wall = self.wall.zip(cast.walled);
        options.extend(wall.map(|(wall, port)| ("--wall", format!("{}:{port}", wall.rule))));
        options.extend(self.limits.syns.map(|limit| ("--syn-limit", limit.to_owned())));
        options.extend(self.limits.rsts.map(|limit| ("--rst-limit", limit.to_owned())));
        let icmp_errors = self.limits.icmp_errors;
        options.extend(icmp_errors.map(|limit| ("--icmp-limit", limit.to_owned())));
        let mut words: Vec<_> =
            options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        words.extend(self.limits.icmp.then(|| "--icmp-limits".to_owned()));
        words.extend((self.ruled_by == Host::Scanner).then(|| "--own".to_owned()));
        words
    }
}

impl Wire {
    /// A wire that treats both directions alike.
    pub(crate) const fn both(settings: &'static str) -> Self {
        Self { there: settings, back: settings }
    }
}

/// Ports as text, separated by commas.
pub(crate) fn list(ports: &BTreeSet<u16>) -> String {
    ports.iter().fold(String::new(), |mut text, port| {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{port}").expect("text takes more text");
        text
    })
}
