//! Which ports ought to be open, and how the open ports differ from that. A scan
//! with an expectation is a test.

mod learn;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub(crate) use self::learn::{Edit, Learned};
use crate::ports::{PortListError, PortSet};
use crate::targets::{HostSpec, HostSpecError};

/// The ports that ought to be open. No other port ought to be.
///
/// It is written as a port list or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expectation(Option<PortSet>);

/// How the open ports differ from the expected ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Whether every port was scanned and exactly the expected ones are open.
    pub(crate) as_expected: bool,
    /// The ports that are open and ought not to be, in ascending order.
    pub(crate) unexpected: Vec<u16>,
    /// The ports that ought to be open and were not found open, in ascending order.
    pub(crate) missing: Vec<u16>,
}

/// What is expected of each host of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expectations {
    every: Option<Expectation>,
    hosts: BTreeMap<String, Expectation>,
    origins: Origins,
}

/// Where it was written what is expected of each host: a file, and a line of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    file: String,
    lines: BTreeMap<String, usize>,
}

/// Where something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// The file, as it was named.
    pub(crate) file: &'a str,
    /// The line, from 1, if it is known.
    pub(crate) line: Option<usize>,
}

/// An invalid line of expectations.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub(crate) struct ExpectationLineError {
    /// Its number, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) fault: ExpectationFault,
}

/// What is wrong with a line of expectations.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ExpectationFault {
    /// It is not two words.
    #[error("write a host and its ports, like \"10.0.0.5 22,443\" or \"10.0.0.6 none\"")]
    Form,
    /// The first is no host.
    #[error("{word:?} {error}")]
    Host {
        /// The word.
        word: String,
        /// What is wrong with it.
        error: HostSpecError,
    },
    /// The first is many hosts.
    #[error("{0} is many hosts; give each its own line")]
    Many(String),
    /// The host has a line already.
    #[error("{0} has a line already")]
    Again(String),
    /// The second is no list of ports.
    #[error("{0}")]
    Ports(PortListError),
}

impl Expectations {
    /// The same expectation of every host, if there is one.
    #[must_use]
    pub(crate) fn new(every: Option<Expectation>) -> Self {
        Self { every, ..Self::default() }
    }

    /// Whether nothing is expected of any host.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.every.is_none() && self.hosts.is_empty()
    }

    /// Where it was written what is expected of hosts that have a line of their own in
    /// `file`.
    #[must_use]
    pub(crate) fn origins(&self, file: &str) -> Origins {
        Origins { file: file.to_owned(), ..self.origins.clone() }
    }

    /// What is expected of `host`.
    #[must_use]
    pub(crate) fn of(&self, host: &str) -> Option<&Expectation> {
        self.hosts.get(host).or(self.every.as_ref())
    }

    /// The hosts that have an expectation of their own.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Every port that ought to be open on some host, if there is one.
    #[must_use]
    pub(crate) fn ports(&self) -> Option<PortSet> {
        let all = self.every.iter().chain(self.hosts.values()).filter_map(Expectation::ports);
        all.cloned().reduce(|all, ports| all.union(&ports))
    }

    /// Reads lines that each have a host and its expected ports. A comment starts with
    /// `#`.
    ///
    /// # Errors
    /// Names the first invalid line.
    pub(crate) fn read(&mut self, lines: &str) -> Result<(), ExpectationLineError> {
        // Some editors begin a file with a byte-order mark.
        let lines = lines.strip_prefix('\u{feff}').unwrap_or(lines);
        for (number, line) in lines.lines().enumerate() {
            let words = line.split('#').next().unwrap_or_default().split_whitespace();
            let words: Vec<&str> = words.collect();
            self.read_line(&words, number + 1)
                .map_err(|fault| ExpectationLineError { line: number + 1, fault })?;
        }
        Ok(())
    }

    fn read_line(&mut self, words: &[&str], line: usize) -> Result<(), ExpectationFault> {
        let (host, ports) = match *words {
            [] => return Ok(()),
            [host, ports] => (host, ports),
            _ => return Err(ExpectationFault::Form),
        };
        let host = host_of(host)?;
        let expectation = Expectation::typed(ports).map_err(ExpectationFault::Ports)?;
        self.origins.lines.insert(host.clone(), line);
        match self.hosts.insert(host.clone(), expectation) {
            None => Ok(()),
            Some(_) => Err(ExpectationFault::Again(host)),
        }
    }
}

/// The host that a word names, as reports have it.
fn host_of(word: &str) -> Result<String, ExpectationFault> {
    match word.parse() {
        Ok(HostSpec::Name(name)) => Ok(name),
        Ok(HostSpec::Addresses(range)) if range.span() == 0 => Ok(range.first().to_string()),
        Ok(HostSpec::Addresses(_)) => Err(ExpectationFault::Many(word.into())),
        Err(error) => Err(ExpectationFault::Host { word: word.into(), error }),
    }
}

impl Origins {
    /// The line of `host`; `None` if it has none.
    #[must_use]
    pub(crate) fn of(&self, host: &str) -> Option<Origin<'_>> {
        let line = self.lines.get(host)?;
        Some(Origin { file: &self.file, line: Some(*line) })
    }

    /// The hosts that have a line.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// The file, if there is one.
    #[must_use]
    pub(crate) fn file(&self) -> Option<Origin<'_>> {
        let origin = Origin { file: &self.file, line: None };
        (!self.file.is_empty()).then_some(origin)
    }
}

impl Expectation {
    /// The ports that ought to be open, if there are any.
    #[must_use]
    pub(crate) fn ports(&self) -> Option<&PortSet> {
        self.0.as_ref()
    }

    /// Reads what a person types: a port list like [`PortSet::typed`], or `none`.
    ///
    /// # Errors
    /// When it is neither.
    pub(crate) fn typed(text: &str) -> Result<Self, PortListError> {
        if text == NONE {
            Ok(Self(None))
        } else {
            PortSet::typed(text).map(|ports| Self(Some(ports)))
        }
    }

    /// `scanned`, and the expected ports.
    #[must_use]
    pub(crate) fn with(&self, scanned: PortSet) -> PortSet {
        match &self.0 {
            Some(ports) => scanned.union(ports),
            None => scanned,
        }
    }

    /// Compares with the `open` ports, which are in ascending order. A scan that is
    /// not `complete` may have missed an unexpected port.
    #[must_use]
    pub(crate) fn compare(&self, open: &[u16], complete: bool) -> Comparison {
        let expects = |port: u16| self.0.as_ref().is_some_and(|ports| ports.contains(port));
        let unexpected: Vec<u16> = open.iter().copied().filter(|&port| !expects(port)).collect();
        let expected = self.0.iter().flat_map(PortSet::iter);
        let missing: Vec<u16> = expected.filter(|port| open.binary_search(port).is_err()).collect();
        let as_expected = complete && unexpected.is_empty() && missing.is_empty();
        Comparison { as_expected, unexpected, missing }
    }
}

impl Comparison {
    /// Whether a port is known to differ. Ports that were not scanned do not count.
    #[must_use]
    pub(crate) fn differs(&self) -> bool {
        !(self.unexpected.is_empty() && self.missing.is_empty())
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [("unexpected", &self.unexpected), ("missing", &self.missing)];
        let mut separator = "";
        for (what, ports) in lists.iter().filter(|(_, ports)| !ports.is_empty()) {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            write!(f, "{separator}{what} {}", ports.join(","))?;
            separator = "; ";
        }
        Ok(())
    }
}

impl FromStr for Expectation {
    type Err = PortListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == NONE { Ok(Self(None)) } else { text.parse().map(|ports| Self(Some(ports))) }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(ports) => ports.fmt(f),
            None => f.write_str(NONE),
        }
    }
}

/// The word that stands for no port at all.
const NONE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(expected: &str, open: &[u16]) -> (bool, Vec<u16>, Vec<u16>) {
        let expectation: Expectation = expected.parse().unwrap();
        assert_eq!(expectation.to_string(), expected);
        let Comparison { as_expected, unexpected, missing } = expectation.compare(open, true);
        (as_expected, unexpected, missing)
    }

    #[test]
    fn unexpected_and_missing_ports_are_reported_separately() {
        assert_eq!(compare("22,443", &[22, 443]), (true, vec![], vec![]));
        assert_eq!(compare("22,443", &[22, 8080]), (false, vec![8080], vec![443]));
        assert_eq!(compare("none", &[]), (true, vec![], vec![]));
        assert_eq!(compare("none", &[1, 65535]), (false, vec![1, 65535], vec![]));
        assert_eq!(compare("80-82", &[]), (false, vec![], vec![80, 81, 82]));
    }

    #[test]
    fn a_comparison_prints_only_what_differs() {
        for (expected, open, printed) in [
            ("22,443", &[22, 443][..], ""),
            ("22,443", &[22, 8080, 9090], "unexpected 8080,9090; missing 443"),
            ("none", &[1], "unexpected 1"),
            ("80-81", &[], "missing 80,81"),
        ] {
            let expectation: Expectation = expected.parse().unwrap();
            assert_eq!(expectation.compare(open, true).to_string(), printed);
        }
    }

    fn read(lines: &str) -> Result<Expectations, String> {
        let mut expectations = Expectations::new("none".parse().ok());
        expectations.read(lines).map_err(|error| error.to_string())?;
        Ok(expectations)
    }

    #[test]
    fn a_file_has_a_line_of_expected_ports_for_each_host() {
        let lines = "\u{feff}web.example\thttp,443,\n\n# none:\n[fd00::1] none # none\n";
        let read = read(lines).unwrap();
        let of = |host: &str| read.of(host).map(Expectation::to_string);
        assert_eq!(read.hosts().collect::<Vec<_>>(), ["fd00::1", "web.example"]);
        assert_eq!(of("web.example"), Some("80,443".into()));
        assert_eq!(
            (of("fd00::1"), of("other.example")),
            (Some("none".into()), Some("none".into()))
        );
        assert_eq!(read.ports(), "80,443".parse().ok());
        assert_eq!(Expectations::new("none".parse().ok()).ports(), None);
    }

    #[test]
    fn each_host_of_a_file_keeps_its_line() {
        let origins = read("\n# web:\nweb.example 80\n\n[FD00::1] none\n").unwrap().origins("a");
        let line = |line| Some(Origin { file: "a", line: Some(line) });
        assert_eq!((origins.of("web.example"), origins.of("fd00::1")), (line(3), line(5)));
        assert_eq!((origins.of("other.example"), origins.hosts().count()), (None, 2));
        assert_eq!(origins.file(), Some(Origin { file: "a", line: None }));
        assert_eq!(Origins::default().file(), None);
    }

    #[test]
    fn an_invalid_line_is_named_with_its_number() {
        for (lines, error) in [
            ("web", "line 1: write a host and its ports"),
            ("\nweb 22 80", "line 2: write a host and its ports"),
            ("10.0.0.0/24 22", "line 1: 10.0.0.0/24 is many hosts"),
            ("10.0.0.1:22 22", "line 1: \"10.0.0.1:22\" holds a port"),
            ("web 22\nweb 22", "line 2: web has a line already"),
            ("web 22,22", "line 1: 22 is listed more than once"),
            ("web 22,htp", "line 1: \"htp\" is not a port"),
        ] {
            let message = read(lines).unwrap_err();
            assert!(message.starts_with(error), "{lines}: {message}");
        }
    }

    #[test]
    fn an_incomplete_scan_is_never_as_expected() {
        let comparison = "22".parse::<Expectation>().unwrap().compare(&[22], false);
        assert!(!comparison.as_expected && !comparison.differs());
    }

    #[test]
    fn expected_ports_join_the_scanned_ones() {
        let joined = |expected: &str| {
            expected.parse::<Expectation>().unwrap().with("1-100".parse().unwrap()).to_string()
        };
        assert_eq!(joined("22,443"), "1-100,443");
        assert_eq!((joined("22"), joined("none")), ("1-100".into(), "1-100".into()));
    }

    #[test]
    fn only_people_may_name_services() {
        assert_eq!(Expectation::typed("ssh,"), "22".parse());
        assert_eq!(Expectation::typed("none"), "none".parse());
        assert!("ssh".parse::<Expectation>().is_err() && "22,".parse::<Expectation>().is_err());
    }
}
