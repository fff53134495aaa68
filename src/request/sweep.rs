//! A sweep as typed becomes a valid sweep.

pub(crate) mod parameters;

use std::io::Cursor;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::read::{
    read_deadline, read_expectation, read_family, read_format, read_ports, read_rate, read_timeout,
    with_expected,
};
use super::{Ceilings, Format, ScanParams};
use crate::expect::Expectation;
use crate::fields::{self, FieldErrors, SHOWN_FAULTS};
use crate::host::Family;
use crate::ports::PortSet;
use crate::targets::{
    AddressSet, HostList, HostListError, HostSpec, HostSpecError, Shard, ShardError,
};

/// A valid sweep, except for the hosts of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepRequest {
    /// The hosts in the query.
    pub(crate) typed: Vec<HostSpec>,
    /// The same, as typed.
    pub(crate) words: String,
    /// Addresses that are not scanned.
    pub(crate) exclude: AddressSet,
    /// Which addresses of a name to scan.
    pub(crate) family: Family,
    /// The ports to probe on each address.
    pub(crate) ports: PortSet,
    /// How long a probe waits for an answer.
    pub(crate) timeout: Duration,
    /// How long the sweep may take.
    pub(crate) deadline: Duration,
    /// The limit on probes per second.
    pub(crate) rate: Option<NonZeroU32>,
    /// Whether to report every port that is not closed.
    pub(crate) details: bool,
    /// Which of the ports ought to be open on each host.
    pub(crate) expectation: Option<Expectation>,
    /// The format of the reply, if one was named.
    pub(crate) format: Option<Format>,
    /// Which part of the hosts to scan.
    pub(crate) shard: Option<Shard>,
    /// Whether to reply with what the sweep would take, and scan nothing.
    pub(crate) explain: bool,
}

/// The hosts of a sweep, as they were given. They can be read more than once.
#[derive(Clone, Debug)]
pub(crate) enum Targets {
    /// The words of a query.
    Typed(Vec<HostSpec>),
    /// A list, with one or more hosts a line.
    Listed(Arc<[u8]>),
}

/// A sweep has more targets than the service allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{hosts} hosts with {ports} ports each are {} targets, and a sweep may have {most}; \
     name fewer, or ask for a part at a time",
    hosts.saturating_mul(u64::from(*ports))
)]
pub(crate) struct TooManyTargets {
    /// Addresses and names.
    pub(crate) hosts: u64,
    /// Ports of each.
    pub(crate) ports: u32,
    /// The limit.
    pub(crate) most: u64,
}

impl SweepRequest {
    /// Checks the parameters, which are those of any route that sweeps.
    ///
    /// # Errors
    /// Everything that is wrong with them, by parameter.
    pub(crate) fn try_new(params: &ScanParams, ceilings: &Ceilings) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let typed = read_targets(params, &mut errors);
        let exclude = match params.get("exclude") {
            None => Some(AddressSet::default()),
            Some(list) => fields::exclusions(list.split(','), "exclude", &mut errors),
        };
        let ports = read_ports(params, &mut errors);
        let timeout = read_timeout(params, &mut errors);
        let deadline = read_deadline(params, ceilings, &mut errors);
        let rate = read_rate(params, ceilings, &mut errors);
        let family = read_family(params, &mut errors);
        let (details, expectation, format) = if params.has("format") {
            (
                fields::boolean(params.get("details"), "details", &mut errors),
                read_expectation(params, &mut errors),
                read_format(params, &mut errors),
            )
        } else {
            (Some(false), Some(None), Some(None))
        };
        let (shard, explain) = if params.has("shard") {
            let explain = fields::boolean(params.get("explain"), "explain", &mut errors);
            (read_shard(params, &mut errors), explain)
        } else {
            (Some(None), Some(false))
        };
        let ports = with_expected(ports, expectation.as_ref());
        let words = if params.has("targets") { params.get("targets") } else { None };
        let words = words.unwrap_or_default().to_owned();
        // Without an error, each of them is there.
        let valid = || {
            Some(Self {
                typed: typed?,
                words,
                exclude: exclude?,
                family: family?,
                ports: ports?,
                timeout: timeout?,
                deadline: deadline?,
                rate: rate?,
                details: details?,
                expectation: expectation?,
                format: format?,
                shard: shard?,
                explain: explain?,
            })
        };
        if errors.is_empty() { valid().ok_or(errors) } else { Err(errors) }
    }

    /// Those of the hosts of `targets` that are to be scanned, in the order that `seed`
    /// makes.
    pub(crate) fn list(&self, targets: &Targets, seed: u64) -> HostList {
        targets.list(&self.exclude, seed).in_shard(self.shard.unwrap_or_default())
    }

    /// Checks a sweep of so many hosts, names included, against the service's limit.
    /// Returns the number of its targets.
    ///
    /// # Errors
    /// When there are too many. A name counts as one address.
    pub(crate) fn check_size(
        &self,
        hosts: u64,
        ceilings: &Ceilings,
    ) -> Result<u64, TooManyTargets> {
        let (ports, most) = (self.ports.len(), ceilings.sweep_targets);
        let targets = hosts.checked_mul(u64::from(ports)).filter(|&targets| targets <= most);
        targets.ok_or(TooManyTargets { hosts, ports, most })
    }
}

impl Targets {
    /// The hosts without the addresses in `exclude`, in the order that `seed` makes.
    fn list(&self, exclude: &AddressSet, seed: u64) -> HostList {
        match self {
            Self::Typed(typed) => HostList::new(typed.clone(), None, exclude.clone(), seed),
            Self::Listed(text) => {
                let lines = Box::new(Cursor::new(Arc::clone(text)));
                HostList::new(Vec::new(), Some(lines), exclude.clone(), seed)
            }
        }
    }
}

/// The words at the beginning of a list.
pub(crate) fn first_words(list: &[u8]) -> String {
    let beginning = String::from_utf8_lossy(&list[..list.len().min(1024)]);
    let lines = beginning.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(",")
}

/// What is wrong with a list, for a client of the API.
pub(crate) fn list_fault(error: &HostListError) -> String {
    match error {
        HostListError::Word { line, word, error } => {
            format!("line {line}: {word:?} {}", word_fault(error))
        }
        error => error.to_string(),
    }
}

fn read_targets(params: &ScanParams, errors: &mut FieldErrors) -> Option<Vec<HostSpec>> {
    if !params.has("targets") {
        return Some(Vec::new());
    }
    let Some(list) = params.get("targets") else {
        return errors.reject("targets", "is required");
    };
    let (mut specs, mut faults) = (Vec::new(), 0_usize);
    for word in list.split(',') {
        match word.parse() {
            Ok(spec) => specs.push(spec),
            Err(error) => {
                faults += 1;
                if faults <= SHOWN_FAULTS {
                    errors.add("targets", format!("{word:?} {}", word_fault(&error)));
                }
            }
        }
    }
    if faults > SHOWN_FAULTS {
        let more = faults - SHOWN_FAULTS;
        errors.add("targets", format!("holds {more} more words that name no hosts"));
    }
    (faults == 0).then_some(specs)
}

fn read_shard(params: &ScanParams, errors: &mut FieldErrors) -> Option<Option<Shard>> {
    let Some(text) = params.get("shard") else { return Some(None) };
    match text.parse() {
        Ok(shard) => Some(Some(shard)),
        Err(error) => errors.reject("shard", ShardError::to_string(&error)),
    }
}

/// What is wrong with a word. The hint of the command line does not fit here.
fn word_fault(error: &HostSpecError) -> String {
    match error {
        HostSpecError::Port => "holds a port; give the host alone, and ports in ports".into(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
