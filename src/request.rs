//! A scan as typed, and a valid scan.
//!
//! [`ScanParams`] holds text. [`ScanRequest`] can hold only what can be scanned;
//! the step from one to the other finds everything that is wrong.

pub(crate) mod matrix;
pub(crate) mod parameters;
pub(crate) mod probe;
mod read;
pub(crate) mod sweep;
pub(crate) mod watch;

use std::num::NonZeroU32;
use std::time::Duration;

use self::parameters::{PARAMETERS, Parameter};
use self::read::{Base, read_expectation, read_fail_status, read_format, with_expected};
use crate::expect::Expectation;
use crate::fields::{self, FieldErrors};
use crate::host::{Family, Host};
use crate::limits;
use crate::ports::PortSet;

/// A scan as typed: the text of each parameter that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanParams {
    /// The parameters that there are.
    table: &'static [Parameter],
    /// Their texts, in the order of the table.
    texts: [Option<String>; MOST_PARAMETERS],
}

/// A valid scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanRequest {
    /// The host, as typed.
    pub(crate) domain: String,
    /// What the host is.
    pub(crate) host: Host,
    /// Which of its addresses to scan.
    pub(crate) family: Family,
    /// The ports to probe, those that are expected among them.
    pub(crate) ports: PortSet,
    /// How long a probe waits for an answer.
    pub(crate) timeout: Duration,
    /// Whether to report every port that is not closed.
    pub(crate) details: bool,
    /// Whether a stream is to have the states of all ports.
    pub(crate) states: bool,
    /// How long the scan may take.
    pub(crate) deadline: Duration,
    /// The limit on probes per second.
    pub(crate) rate: Option<NonZeroU32>,
    /// The format of the reply, if one was named.
    pub(crate) format: Option<Format>,
    /// Whether to report what would be scanned, without scanning it.
    pub(crate) explain: bool,
    /// Which of the ports ought to be open, for a report that compares.
    pub(crate) expectation: Option<Expectation>,
    /// The status of a reply whose scan is incomplete or not as expected; without it, 200.
    pub(crate) fail_status: Option<u16>,
    /// How the reply is laid out, if it is JSON.
    pub(crate) layout: Layout,
}

/// The limits of what a request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// How long a scan may take; the default as well.
    pub deadline: Duration,
    /// Probes per second of one scan; the default as well.
    pub rate: Option<NonZeroU32>,
    /// Targets of one sweep: addresses times ports.
    pub sweep_targets: u64,
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// On one line.
    Line,
    /// On many lines, indented.
    Indented,
}

/// The format of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object.
    Json,
    /// One JSON object per line, as ports are found.
    Ndjson,
    /// Server-sent events, as ports are found.
    Sse,
    /// One open port per line.
    Text,
    /// A page for a browser without scripts.
    Html,
}

impl Format {
    const ALL: [Self; 5] = [Self::Json, Self::Ndjson, Self::Sse, Self::Text, Self::Html];

    /// The word for it in a query.
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Sse => "sse",
            Self::Text => "text",
            Self::Html => "html",
        }
    }
}

impl ScanParams {
    /// None of the parameters in `table`.
    pub(crate) fn of(table: &'static [Parameter]) -> Self {
        Self { table, texts: Default::default() }
    }

    /// Whether there is a parameter `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        parameters::find(self.table, name).is_some()
    }

    /// The names of the parameters that there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.table.iter().map(|parameter| parameter.name)
    }

    /// Where the text of the parameter `name` goes, if there is such a parameter.
    pub(crate) fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let (index, _) = parameters::find(self.table, name)?;
        self.texts.get_mut(index)
    }

    /// The text of a parameter, if it was given.
    ///
    /// # Panics
    /// When the table has no such parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (index, _) = self.find(name);
        self.texts[index].as_deref()
    }

    /// The error of a value that is none of those that the table has for `name`.
    fn choices(&self, name: &str) -> String {
        let (_, parameter) = self.find(name);
        format!("must be {}", fields::plain(&parameter.values.to_string()))
    }

    fn find(&self, name: &str) -> (usize, &'static Parameter) {
        parameters::find(self.table, name).expect("what is read is in the table")
    }
}

impl Default for ScanParams {
    fn default() -> Self {
        Self::of(&PARAMETERS)
    }
}

impl ScanRequest {
    /// Checks the parameters.
    ///
    /// # Errors
    /// Everything that is wrong with them, by parameter.
    pub(crate) fn try_new(params: &ScanParams, ceilings: &Ceilings) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let mut base = Base::read(params, ceilings, &mut errors);
        let format = read_format(params, &mut errors);
        let details = fields::boolean(params.get("details"), "details", &mut errors);
        let states = fields::boolean(params.get("states"), "states", &mut errors);
        let layout = fields::boolean(params.get("pretty"), "pretty", &mut errors)
            .map(|pretty| if pretty { Layout::Indented } else { Layout::Line });
        let explain = fields::boolean(params.get("explain"), "explain", &mut errors);
        let expectation = read_expectation(params, &mut errors);
        base.ports = with_expected(base.ports, expectation.as_ref());
        let fail_status = read_fail_status(params, &mut errors);
        if let (Some(Some(format)), Some(false), Some(layout), Some(states), Some(status)) =
            (format, explain, layout, states, fail_status)
        {
            errors = errors.or(unfit(format, layout, states, status));
        }
        // Without an error, each of them is there.
        let valid = || {
            Some(Self {
                details: details?,
                states: states?,
                format: format?,
                explain: explain?,
                expectation: expectation?,
                fail_status: fail_status?,
                layout: layout?,
                ..base.request(params)?
            })
        };
        if errors.is_empty() { valid().ok_or(errors) } else { Err(errors) }
    }

    /// A scan that only finds what is open, for as long as it takes.
    fn plain(domain: &str, host: Host, ports: PortSet) -> Self {
        Self {
            domain: domain.to_owned(),
            host,
            family: Family::Any,
            ports,
            timeout: limits::DEFAULT_TIMEOUT,
            details: false,
            states: false,
            deadline: Duration::MAX,
            rate: None,
            format: None,
            explain: false,
            expectation: None,
            fail_status: None,
            layout: Layout::Line,
        }
    }

    /// Checks that the reply can be in `format`, which may have been chosen by `Accept`.
    ///
    /// # Errors
    /// What cannot be had in that format.
    pub(crate) fn check_format(&self, format: Format) -> Result<(), FieldErrors> {
        // An explanation is JSON in any case.
        if self.explain {
            return Ok(());
        }
        let errors = unfit(format, self.layout, self.states, self.fail_status);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// What cannot be had in `format`.
fn unfit(format: Format, layout: Layout, states: bool, fail_status: Option<u16>) -> FieldErrors {
    let is_stream = matches!(format, Format::Ndjson | Format::Sse);
    let mut errors = FieldErrors::default();
    if layout == Layout::Indented && format != Format::Json {
        errors.add("pretty", "needs the format json");
    }
    if states && !is_stream {
        errors.add("states", "needs the format ndjson or sse");
    }
    if fail_status.is_some() && is_stream {
        errors.add(
            "expectFailStatus",
            "needs the format json, text or html: a stream sends its status first",
        );
    }
    errors
}

/// The length of the longest table.
const MOST_PARAMETERS: usize = {
    let lengths =
        [PARAMETERS.len(), probe::parameters::OF_PROBE.len(), sweep::parameters::OF_SWEEP.len()];
    let (mut most, mut index) = (0, 0);
    while index < lengths.len() {
        if lengths[index] > most {
            most = lengths[index];
        }
        index += 1;
    }
    most
};

#[cfg(test)]
mod tests;
