//! A scan as typed, and a valid scan.
//!
//! [`ScanParams`] holds text. [`ScanRequest`] can hold only what can be scanned;
//! the step from one to the other finds everything that is wrong.

pub(crate) mod parameters;

use std::num::NonZeroU32;
use std::time::Duration;

use self::parameters::PARAMETERS;
use crate::expect::Expectation;
use crate::fields::{self, FieldErrors};
use crate::host::{Family, Host, HostError};
use crate::limits;
use crate::ports::{PortSet, parse_port};

/// A scan as typed: the text of each parameter that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanParams([Option<String>; PARAMETERS.len()]);

/// A valid scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanRequest {
    /// The host, as typed.
    pub(crate) domain: String,
    /// What the host is.
    pub(crate) host: Host,
    /// Which of its addresses to scan.
    pub(crate) family: Family,
    /// The ports to probe.
    pub(crate) ports: PortSet,
    /// How long a probe waits for an answer.
    pub(crate) timeout: Duration,
    /// Whether to report every port that is not closed.
    pub(crate) details: bool,
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
}

impl ScanParams {
    /// Where the text of the parameter `name` goes, if there is such a parameter.
    pub(crate) fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let (index, _) = parameters::find(name)?;
        Some(&mut self.0[index])
    }

    /// The text of a parameter, if it was given.
    ///
    /// # Panics
    /// When the table has no such parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (index, _) = parameters::find(name).expect("what is read is in the table");
        self.0[index].as_deref()
    }
}

impl ScanRequest {
    /// Checks the parameters.
    ///
    /// # Errors
    /// Everything that is wrong with them, by parameter.
    pub(crate) fn try_new(params: &ScanParams, ceilings: &Ceilings) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let host = read_host(params, &mut errors);
        let ports = read_ports(params, &mut errors);
        let timeouts = (limits::MIN_TIMEOUT, limits::MAX_TIMEOUT);
        let timeout = match params.get("timeoutMs") {
            None => Some(limits::DEFAULT_TIMEOUT),
            Some(text) => fields::milliseconds(text, "timeoutMs", timeouts, &mut errors),
        };
        let deadlines = (limits::MIN_DEADLINE, ceilings.deadline);
        let deadline = match params.get("deadlineMs") {
            None => Some(ceilings.deadline),
            Some(text) => fields::milliseconds(text, "deadlineMs", deadlines, &mut errors),
        };
        let rate = match params.get("rate") {
            None => Some(ceilings.rate),
            Some(text) => fields::rate(text, "rate", ceilings.rate, &mut errors).map(Some),
        };
        let family = read_family(params, host.as_ref(), &mut errors);
        let format = match params.get("format") {
            None => Some(None),
            Some("json") => Some(Some(Format::Json)),
            Some("ndjson") => Some(Some(Format::Ndjson)),
            Some("sse") => Some(Some(Format::Sse)),
            Some("text") => Some(Some(Format::Text)),
            Some(_) => errors.reject("format", choices("format")),
        };
        let details = fields::boolean(params.get("details"), "details", &mut errors);
        let layout = fields::boolean(params.get("pretty"), "pretty", &mut errors)
            .map(|pretty| if pretty { Layout::Indented } else { Layout::Line });
        let explain = fields::boolean(params.get("explain"), "explain", &mut errors);
        let expectation = match params.get("expect") {
            None => Some(None),
            Some(text) => {
                fields::expectation(text, ports.as_ref(), "expect", &mut errors).map(Some)
            }
        };
        let fail_status = read_fail_status(params, &mut errors);
        if let (Some(Some(format)), Some(false), Some(layout), Some(status)) =
            (format, explain, layout, fail_status)
        {
            errors = errors.or(unfit(format, layout, status));
        }
        // Without an error, each of them is there.
        let valid = || {
            Some(Self {
                domain: params.get("domain")?.to_owned(),
                host: host?,
                family: family?,
                ports: ports?,
                timeout: timeout?,
                details: details?,
                deadline: deadline?,
                rate: rate?,
                format: format?,
                explain: explain?,
                expectation: expectation?,
                fail_status: fail_status?,
                layout: layout?,
            })
        };
        if errors.is_empty() { valid().ok_or(errors) } else { Err(errors) }
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
        let errors = unfit(format, self.layout, self.fail_status);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn read_host(params: &ScanParams, errors: &mut FieldErrors) -> Option<Host> {
    match params.get("domain").map(str::parse) {
        None => errors.reject("domain", "is required"),
        Some(Err(error)) => errors.reject("domain", HostError::to_string(&error)),
        Some(Ok(host)) => Some(host),
    }
}

fn read_family(
    params: &ScanParams,
    host: Option<&Host>,
    errors: &mut FieldErrors,
) -> Option<Family> {
    let family = match params.get("family") {
        None | Some("any") => Family::Any,
        Some("ipv4") => Family::Ipv4,
        Some("ipv6") => Family::Ipv6,
        Some(_) => return errors.reject("family", choices("family")),
    };
    match host {
        Some(Host::Address(address)) if !family.includes(*address) => {
            let actual = if address.is_ipv4() { "an IPv4" } else { "an IPv6" };
            errors.reject("family", format!("excludes domain, which is {actual} address"))
        }
        _ => Some(family),
    }
}

fn read_ports(params: &ScanParams, errors: &mut FieldErrors) -> Option<PortSet> {
    let (from_port, to_port) = (params.get("fromPort"), params.get("toPort"));
    if let Some(list) = params.get("ports") {
        if to_port.is_some() || from_port.is_some() {
            errors.add("ports", "cannot be combined with fromPort and toPort");
        }
        return match list.parse() {
            Ok(ports) => Some(ports),
            Err(error) => errors.reject("ports", error.to_string()),
        };
    }
    let mut port_of =
        |field, text: &str| parse_port(text).or_else(|| errors.reject(field, choices(field)));
    let first = from_port.map_or(Some(1), |text| port_of("fromPort", text));
    let last = match to_port {
        Some(text) => port_of("toPort", text),
        None => errors.reject("toPort", "is required, unless ports is given"),
    };
    let (first, last) = first.zip(last)?;
    PortSet::try_range(first, last)
        .ok()
        .or_else(|| errors.reject("fromPort", format!("must not be above toPort, {last}")))
}

fn read_fail_status(params: &ScanParams, errors: &mut FieldErrors) -> Option<Option<u16>> {
    let name = "expectFailStatus";
    let status = match params.get(name) {
        None => return Some(None),
        Some("409") => 409,
        Some("412") => 412,
        Some("424") => 424,
        Some(_) => return errors.reject(name, choices(name)),
    };
    if params.get("expect").is_none() {
        errors.add(name, "needs expect");
    }
    if params.get("explain") == Some("true") {
        errors.add(name, "cannot be combined with explain, which scans nothing");
    }
    Some(Some(status))
}

/// What cannot be had in `format`.
fn unfit(format: Format, layout: Layout, fail_status: Option<u16>) -> FieldErrors {
    let mut errors = FieldErrors::default();
    if layout == Layout::Indented && format != Format::Json {
        errors.add("pretty", "needs the format json");
    }
    if fail_status.is_some() && matches!(format, Format::Ndjson | Format::Sse) {
        errors.add(
            "expectFailStatus",
            "needs the format json or text: a stream sends its status first",
        );
    }
    errors
}

/// The error of a value that is none of those that the table has for `name`.
fn choices(name: &str) -> String {
    let (_, parameter) = parameters::find(name).expect("what is read is in the table");
    format!("must be {}", fields::plain(&parameter.values.to_string()))
}

#[cfg(test)]
mod tests;
