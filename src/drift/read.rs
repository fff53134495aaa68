//! Reads earlier reports: JSON and NDJSON of this program, one report of its service, and
//! nmap's XML (-oX) and grepable lines (-oG), from whichever program.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use super::facts::{Fact, Gap, HostFacts, HostKey, PortFacts, State, Survey};
use super::{grepable, nmap};
use crate::ports::PortSet;
use crate::report::{Form, IncompleteReason, Piece, ReadError, Report, Summary};
use crate::scan::{Finding, PortState};

/// Why a file cannot be compared. The message follows the file's name.
#[derive(Debug, Error)]
pub(crate) enum BaselineError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no report.
    #[error("{0}")]
    Foreign(String),
}

/// Reads a report from its start to its end.
///
/// # Errors
/// When it cannot be read, or is no report.
pub(crate) fn read(mut from: impl BufRead) -> Result<Survey, BaselineError> {
    let mut start = Vec::new();
    from.by_ref().take(START_BYTES).read_to_end(&mut start)?;
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start).to_vec();
    let text = start.trim_ascii_start();
    let inside = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let all = start.chain(from);
    match text.first() {
        None => Err(foreign("is empty")),
        Some(b'<') => nmap::read(&whole(all)?).map_err(BaselineError::Foreign),
        Some(b'#' | b'H') => grepable::read(all),
        _ if inside.is_some_and(|inside| inside.starts_with(SINGLE)) => single(all),
        Some(b'{' | b'o') => ours(all),
        Some(_) => Err(foreign(
            "is no report: neither JSON, NDJSON, nmap's XML (-oX) nor its grepable format (-oG)",
        )),
    }
}

/// What a program has in memory at once of a file that has to be whole.
fn whole(from: impl Read) -> Result<String, BaselineError> {
    let mut bytes = Vec::new();
    from.take(MAX_XML_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_XML_BYTES {
        return Err(foreign(format!("is longer than {} MiB", MAX_XML_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
        foreign(format!("line {line} is not UTF-8"))
    })
}

/// The report that the service returns.
fn single(from: impl Read) -> Result<Survey, BaselineError> {
    let report: Report = serde_json::from_reader(from).map_err(|error| {
        if error.is_io() {
            BaselineError::Io(error.into())
        } else {
            foreign(format!("is no report: {error}"))
        }
    })?;
    let mut survey = Survey::new();
    survey.add_report(&report);
    Ok(survey)
}

fn ours(from: impl BufRead) -> Result<Survey, BaselineError> {
    let (mut survey, mut records) = (Survey::new(), Records::default());
    let read = crate::report::read(from, &mut |piece| {
        match piece {
            Piece::Host(report) => survey.add_report(&report),
            Piece::Found { host, finding, .. } => records.found(host, &finding),
            Piece::NotScanned { host, reason, .. } => records.not_scanned(&host, reason),
            Piece::AcceptsEverything { .. } | Piece::Remark(_) => {}
        }
        Ok(())
    });
    let (form, summary) = read.map_err(|error| match error {
        ReadError::Io(error) => BaselineError::Io(error),
        foreign @ ReadError::Foreign(_) => BaselineError::Foreign(foreign.to_string()),
    })?;
    if form == Form::Records {
        return Ok(records.into_survey(summary.as_ref()));
    }
    match summary {
        Some(summary) => survey.end(&summary, ports_of(&summary)),
        None => survey.leave_out(CUT),
    }
    Ok(survey)
}

fn ports_of(summary: &Summary) -> Option<&PortSet> {
    summary.ports.as_ref().or(summary.shard.as_ref().map(|shard| &shard.ports))
}

/// What the records of NDJSON say. A port that has none is closed or filtered, if the
/// host was scanned as a whole.
#[derive(Default)]
struct Records {
    hosts: BTreeMap<Arc<str>, Host>,
    open: u64,
}

#[derive(Default)]
struct Host {
    found: BTreeMap<IpAddr, (BTreeSet<u16>, BTreeSet<u16>)>,
    reason: Option<IncompleteReason>,
}

impl Records {
    fn found(&mut self, host: Arc<str>, &Finding { address, port, state, .. }: &Finding) {
        let (open, filtered) =
            self.hosts.entry(host).or_default().found.entry(address).or_default();
        match state {
            PortState::Open => {
                self.open += 1;
                open.insert(port);
            }
            PortState::Filtered => {
                filtered.insert(port);
            }
            PortState::Closed => {}
        }
    }

    fn not_scanned(&mut self, host: &str, reason: IncompleteReason) {
        self.hosts.entry(host.into()).or_default().reason = Some(reason);
    }

    fn into_survey(self, summary: Option<&Summary>) -> Survey {
        // A log that was rotated has lost its oldest lines.
        let summary = summary.filter(|summary| summary.open == self.open);
        let mut survey = Survey::new();
        for (host, Host { found, reason }) in self.hosts {
            let rest = match reason {
                Some(reason) => Err(Gap::NotScanned(reason.name())),
                None if summary.is_none() => Err(CUT),
                None => Ok(State::NotOpen),
            };
            survey.add(&host, host_facts(&host, found, rest));
        }
        let Some(summary) = summary else {
            survey.leave_out(CUT);
            return survey;
        };
        match &summary.nothing_open {
            None => survey.leave_out(Gap::Unnamed),
            Some(hosts) => {
                for host in hosts {
                    survey.add(host, host_facts(host, BTreeMap::new(), Ok(State::NotOpen)));
                }
            }
        }
        survey.end(summary, ports_of(summary));
        survey
    }
}

fn host_facts(
    host: &str,
    found: BTreeMap<IpAddr, (BTreeSet<u16>, BTreeSet<u16>)>,
    rest: Fact,
) -> HostFacts {
    let facts = |open: Option<PortSet>, filtered: Option<PortSet>| {
        let listed = [(open, State::Open), (filtered, State::Filtered)].into_iter();
        let listed = listed.filter_map(|(ports, state)| Some((ports?, Ok(state))));
        PortFacts { asked: None, count: None, listed: listed.collect(), rest }
    };
    let open = found.values().flat_map(|(open, _)| open.iter().copied());
    let open = PortSet::from_ports(open);
    let mut addresses: BTreeMap<IpAddr, PortFacts> = found
        .into_iter()
        .map(|(address, (open, filtered))| {
            (address, facts(PortSet::from_ports(open), PortSet::from_ports(filtered)))
        })
        .collect();
    match HostKey::of(host) {
        HostKey::Address(address) => {
            addresses.entry(address).or_insert_with(|| facts(None, None));
            HostFacts { addresses, together: None, gap: None }
        }
        // A name may have addresses of which there is nothing to say.
        HostKey::Name(_) => HostFacts { addresses, together: Some(facts(open, None)), gap: None },
    }
}

pub(super) fn foreign(reason: impl Into<String>) -> BaselineError {
    BaselineError::Foreign(reason.into())
}

/// The number of the line that has the byte at `position`, from 1.
pub(super) fn line_at(text: &[u8], position: usize) -> usize {
    text.iter().take(position).filter(|&&byte| byte == b'\n').count() + 1
}

/// Of hosts that a report that ends early does not have.
pub(super) const CUT: Gap = Gap::NotScanned("cut");

/// As much of a file as shows what it is, with some blank lines.
const START_BYTES: u64 = 256;

/// How the report on a single host goes on after its brace.
const SINGLE: &[u8] = b"\"domain\"";

/// Some editors begin a file with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// nmap writes about a kilobyte for a host, so this is a /15. A document takes up to ten
/// times as much memory.
const MAX_XML_BYTES: u64 = 128 << 20;
