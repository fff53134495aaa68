//! What a vantage is asked, and its answers, which count only if they came whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use crate::host::Host;
use crate::ports::PortSet;
use crate::report::{IncompleteReason, Piece, Report, Summary, read};
use crate::scan::{PortState, Reason};

/// What every vantage is asked: one scan of all ports on all hosts.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The hosts, each once.
    pub(crate) hosts: Vec<Host>,
    /// The ports.
    pub(crate) ports: PortSet,
    /// How long a port may take to answer.
    pub(crate) timeout: Duration,
    /// How long the vantage may take in all.
    pub(crate) deadline: Duration,
    /// Whether the address of the cloud's metadata may be asked.
    pub(crate) metadata: bool,
}

/// What a vantage says of a port on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is open, on one of the host's addresses.
    Open,
    /// The same, but so are ports that nobody uses: something accepts every connection,
    /// and this one proves nothing.
    AcceptsEverything,
    /// Nobody listens.
    Refused,
    /// Nobody answers, or somebody else does.
    Filtered(Reason),
    /// Nothing is known.
    NotAsked(NotAsked),
}

/// Why nothing is known, as half a sentence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NotAsked(Arc<str>);

/// What a vantage says, host by host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(HashMap<String, HostAnswer>);

#[derive(Clone, Debug, Default)]
struct HostAnswer {
    /// The ports that are not closed.
    rows: BTreeMap<u16, (PortState, Reason)>,
    accepts_everything: bool,
    /// Why nothing is known of the other ports.
    unknown: Option<NotAsked>,
}

/// Reads what a scan of `question` wrote (`--format ndjson --details`, or `POST /sweep` with
/// `details=true`; JSON, too) and checks that it is whole: it has its end, every host, and
/// as many ports as the end counts.
///
/// # Errors
/// Why it does not count.
pub(crate) fn read_answers(from: impl BufRead, question: &Question) -> Result<Answers, NotAsked> {
    let mut gathered = Gathered::new(question);
    let read = read(from, &mut |piece| {
        gathered.take(piece);
        Ok(())
    });
    match read {
        Err(error) => Err(NotAsked::new(format!("its answer {error}"))),
        Ok((_, None)) => Err(NotAsked::new("its answer was cut off")),
        Ok((_, Some(summary))) => gathered.end(&summary),
    }
}

/// Answers as they come in, from a stream or from a scan of this process.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    question: &'a Question,
    hosts: HashMap<String, HostAnswer>,
    /// How many ports of each state came.
    open: u64,
    filtered: u64,
    /// A host or port that was not asked.
    foreign: Option<String>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(question: &'a Question) -> Self {
        let hosts = question.hosts.iter().map(|host| (host.to_string(), HostAnswer::default()));
        Self { question, hosts: hosts.collect(), open: 0, filtered: 0, foreign: None }
    }

    pub(crate) fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Host(report) => self.take_report(&report, None),
            Piece::Found { host, finding, .. } => {
                self.row(&host, finding.port, (finding.state, finding.reason));
            }
            Piece::NotScanned { host, reason, detail } => self.not_scanned(&host, reason, detail),
            Piece::AcceptsEverything { host, .. } => {
                if let Some(answer) = self.host(&host) {
                    answer.accepts_everything = true;
                }
            }
            Piece::Remark(_) => {}
        }
    }

    /// Takes the report on a host; `fault` is why it was not scanned at all.
    pub(crate) fn take_report(&mut self, report: &Report, fault: Option<String>) {
        let facts = &report.facts;
        let host = facts.domain.as_str();
        for address in &facts.addresses {
            for row in address.rows() {
                self.row(host, row.port, (row.state, row.reason));
            }
            if address.accepts_everything
                && let Some(answer) = self.host(host)
            {
                answer.accepts_everything = true;
            }
        }
        match facts.reason {
            Some(reason) => self.not_scanned(host, reason, fault),
            None => drop(self.host(host)),
        }
    }

    /// Notes that not everything was scanned on a host.
    pub(crate) fn not_scanned(
        &mut self,
        host: &str,
        reason: IncompleteReason,
        detail: Option<String>,
    ) {
        if let Some(answer) = self.host(host) {
            let reason = detail.unwrap_or_else(|| reason.name().to_owned());
            answer.unknown.get_or_insert_with(|| NotAsked::new(reason));
        }
    }

    /// The answers, if they are whole by `summary`.
    ///
    /// # Errors
    /// What is missing.
    // It is the vantage that says so, and a vantage may be wrong. So every number that can
    // be counted here is compared.
    pub(crate) fn end(self, summary: &Summary) -> Result<Answers, NotAsked> {
        let Self { question, hosts, open, filtered, foreign } = self;
        let wrong = |what: String| Err(NotAsked::new(format!("its answer is not whole: {what}")));
        if let Some(foreign) = foreign {
            return wrong(format!("it is about {foreign}, which was not asked"));
        }
        for (stated, came, what) in
            [(summary.open, open, "open"), (summary.filtered, filtered, "filtered")]
        {
            if stated != came {
                return wrong(format!("its end counts {stated} {what} ports, and {came} came"));
            }
        }
        let asked = hosts.len() as u64;
        if summary.hosts + summary.unvisited_hosts != asked {
            let visited = summary.hosts;
            return wrong(format!("its end counts {visited} hosts, of {asked}"));
        }
        if summary.ports.as_ref().is_some_and(|ports| *ports != question.ports) {
            return wrong("its end names other ports".into());
        }
        let incomplete = hosts.values().filter(|host| host.unknown.is_some()).count() as u64;
        if summary.complete && incomplete > 0 {
            return wrong("its end says that it is".into());
        }
        let ports = summary.open + summary.closed + summary.filtered;
        let least = (asked - incomplete) * u64::from(question.ports.len());
        match summary.reason {
            // Some hosts have no record of their own because nobody came that far.
            Some(reason) if summary.unvisited_hosts > 0 || ports < least => {
                Err(NotAsked::new(format!("it did not finish: {}", reason.name())))
            }
            _ if ports < least || summary.unvisited_hosts > 0 => {
                wrong(format!("its end counts {ports} ports, of {least}"))
            }
            _ => Ok(Answers(hosts)),
        }
    }

    fn row(&mut self, host: &str, port: u16, (state, reason): (PortState, Reason)) {
        match state {
            PortState::Open => self.open += 1,
            PortState::Filtered => self.filtered += 1,
            PortState::Closed => return,
        }
        if !self.question.ports.contains(port) {
            self.foreign.get_or_insert_with(|| format!("port {port}"));
        }
        if let Some(answer) = self.host(host) {
            let known = answer.rows.entry(port).or_insert((state, reason));
            // Of a name with several addresses, an open one counts.
            if state == PortState::Open {
                *known = (state, reason);
            }
        }
    }

    fn host(&mut self, host: &str) -> Option<&mut HostAnswer> {
        let answer = self.hosts.get_mut(host);
        if answer.is_none() {
            self.foreign.get_or_insert_with(|| host.to_owned());
        }
        answer
    }
}

impl Question {
    /// The hosts as a list, one a line.
    pub(crate) fn list(&self) -> String {
        self.hosts.iter().map(|host| format!("{host}\n")).collect()
    }
}

impl Answers {
    /// What is known of a port.
    pub(crate) fn state(&self, host: &Host, port: u16) -> State {
        let Some(answer) = self.0.get(&host.to_string()) else {
            return State::NotAsked(NotAsked::new("nobody asked"));
        };
        match (answer.rows.get(&port), &answer.unknown) {
            (Some((PortState::Open, _)), _) if answer.accepts_everything => {
                State::AcceptsEverything
            }
            (Some((PortState::Open, _)), _) => State::Open,
            // Another address of the host may have it open.
            (_, Some(reason)) => State::NotAsked(reason.clone()),
            (Some((_, reason)), None) => State::Filtered(*reason),
            (None, None) => State::Refused,
        }
    }

    /// The ports of a host that are open, not counting a host that accepts everything.
    pub(crate) fn open(&self, host: &Host) -> impl Iterator<Item = u16> + '_ {
        let answer = self.0.get(&host.to_string()).filter(|answer| !answer.accepts_everything);
        let rows = answer.into_iter().flat_map(|answer| &answer.rows);
        rows.filter(|(_, (state, _))| *state == PortState::Open).map(|(port, _)| *port)
    }
}

impl NotAsked {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into().into())
    }

    pub(crate) fn reason(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
impl Answers {
    /// Answers with these states. A host that has any is known as a whole.
    pub(crate) fn of<'a>(states: impl IntoIterator<Item = (&'a str, u16, State)>) -> Self {
        let mut answers = Self::default();
        for (host, port, state) in states {
            let answer = answers.0.entry(host.to_owned()).or_default();
            match state {
                State::Open => drop(answer.rows.insert(port, (PortState::Open, Reason::SynAck))),
                State::AcceptsEverything => {
                    answer.accepts_everything = true;
                    answer.rows.insert(port, (PortState::Open, Reason::SynAck));
                }
                State::Filtered(reason) => {
                    answer.rows.insert(port, (PortState::Filtered, reason));
                }
                State::Refused => {}
                State::NotAsked(reason) => answer.unknown = Some(reason),
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests;
