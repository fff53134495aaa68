//! What a scenario is: two hosts, the way between them, a scan, and what the
//! scan has to find.

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
    /// So many of them, at random, have a listener.
    pub(crate) open: usize,
    /// So many others are closed whatever the rule says of the rest.
    pub(crate) closed: usize,
    /// What becomes of the rest.
    pub(crate) rule: &'static str,
    /// Whose packet filter has the rule.
    pub(crate) ruled_by: Host,
    /// What the scan has to find there.
    pub(crate) rest: Rest,
    pub(crate) wire: Wire,
    /// The target's rtt in milliseconds at least, if the report has one.
    pub(crate) least_rtt: f64,
    /// A firewall near the scanner, if there is one.
    pub(crate) wall: Option<Wall>,
    pub(crate) limits: Limits,
    /// Descriptors that the scanner may open.
    pub(crate) descriptors: u32,
    pub(crate) goal: Goal,
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
    /// What it does, as `scripts/lab` reads it.
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
    /// SYNs a second, and how many at once.
    pub(crate) syns: Option<&'static str>,
    /// RSTs a second, and how many at once.
    pub(crate) rsts: Option<&'static str>,
    /// Linux's own limits on ICMP errors, which are off otherwise.
    pub(crate) icmp: bool,
}

/// What has to be found on a port that is neither open nor closed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Open,
    Closed,
    /// Filtered with this reason.
    Filtered(&'static str),
    /// The network swallows answers as well as probes: anything but open.
    NotOpen,
}

/// What a scenario is to show, and how often.
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
    /// The port that the firewall answers for.
    pub(crate) walled: Option<u16>,
}

impl Scenario {
    /// Draws the open and the closed ports; the same seed, the same ports.
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
        let mut words: Vec<_> =
            options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        words.extend(self.limits.icmp.then(|| "--icmp-limits".to_owned()));
        words.extend((self.ruled_by == Host::Scanner).then(|| "--own".to_owned()));
        words
    }
}

impl Wire {
    /// A way that treats both directions alike.
    pub(crate) const fn both(settings: &'static str) -> Self {
        Self { there: settings, back: settings }
    }
}

/// Ports as text, with commas between.
pub(crate) fn list(ports: &BTreeSet<u16>) -> String {
    ports.iter().fold(String::new(), |mut text, port| {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{port}").expect("text takes more text");
        text
    })
}
