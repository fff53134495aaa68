//! A scan as somebody typed it, and a scan that makes sense.
//!
//! [`ScanParams`] holds text. [`ScanRequest`] can only hold what can be
//! scanned; the step between them finds everything that is wrong at once.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::expect::Expectation;
use crate::fields::{self, FieldErrors};
use crate::host::{Family, Host, HostError};
use crate::limits;
use crate::ports::{PortSet, parse_port};

/// A scan as typed: one optional text for each parameter of `/open-ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanParams {
    /// `domain`: host name, IPv4 or IPv6 address.
    pub domain: Option<String>,
    /// `fromPort`: the first port.
    pub from_port: Option<String>,
    /// `toPort`: the last port.
    pub to_port: Option<String>,
    /// `ports`: a port list, in place of the range.
    pub ports: Option<String>,
    /// `timeoutMs`: how long a probe waits for an answer.
    pub timeout_ms: Option<String>,
    /// `family`: which addresses of the host to scan.
    pub family: Option<String>,
    /// `details`: whether to tell of every port that is not closed.
    pub details: Option<String>,
    /// `deadlineMs`: how long the scan may take.
    pub deadline_ms: Option<String>,
    /// `rate`: probes a second, at most.
    pub rate: Option<String>,
    /// `format`: in which form to reply.
    pub format: Option<String>,
    /// `explain`: whether to tell what would be scanned, and not scan.
    pub explain: Option<String>,
    /// `expect`: which ports ought to be open.
    pub expect: Option<String>,
}

/// A scan that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// The host, as typed.
    pub domain: String,
    /// What the host is.
    pub host: Host,
    /// Which of its addresses to scan.
    pub family: Family,
    /// The ports to probe.
    pub ports: PortSet,
    /// How long a probe waits for an answer.
    pub timeout: Duration,
    /// Whether to tell of every port that is not closed.
    pub details: bool,
    /// How long the scan may take.
    pub deadline: Duration,
    /// Probes a second, at most.
    pub rate: Option<NonZeroU32>,
    /// In which form to reply, if one was named.
    pub format: Option<Format>,
    /// Whether to tell what would be scanned, and not scan.
    pub explain: bool,
    /// Which of the ports ought to be open, if that is to be told.
    pub expectation: Option<Expectation>,
}

/// What a request may ask for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// How long a scan may take, and takes when nothing is asked for.
    pub deadline: Duration,
    /// Probes a second of one scan, likewise.
    pub rate: Option<NonZeroU32>,
}

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// A JSON object a line, as ports are found.
    Ndjson,
    /// Server-sent events, as ports are found.
    Sse,
    /// One open port a line.
    Text,
}

impl ScanRequest {
    /// Checks the parameters.
    ///
    /// # Errors
    /// Everything that is wrong with them, by parameter.
    pub fn try_new(params: ScanParams, ceilings: &Ceilings) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let host = match params.domain.as_deref().map(str::parse) {
            None => errors.reject("domain", "is required"),
            Some(Err(error)) => errors.reject::<Host>("domain", HostError::to_string(&error)),
            Some(Ok(host)) => Some(host),
        };
        let ports = read_ports(&params, &mut errors);
        let timeouts = (limits::MIN_TIMEOUT, limits::MAX_TIMEOUT);
        let timeout = match params.timeout_ms.as_deref() {
            None => Some(limits::DEFAULT_TIMEOUT),
            Some(text) => fields::milliseconds(text, "timeoutMs", timeouts, &mut errors),
        };
        let deadlines = (limits::MIN_DEADLINE, ceilings.deadline);
        let deadline = match params.deadline_ms.as_deref() {
            None => Some(ceilings.deadline),
            Some(text) => fields::milliseconds(text, "deadlineMs", deadlines, &mut errors),
        };
        let rate = match params.rate.as_deref() {
            None => Some(ceilings.rate),
            Some(text) => fields::rate(text, "rate", ceilings.rate, &mut errors).map(Some),
        };
        let family = match params.family.as_deref() {
            None | Some("any") => Some(Family::Any),
            Some("ipv4") => Some(Family::Ipv4),
            Some("ipv6") => Some(Family::Ipv6),
            Some(_) => errors.reject("family", "must be any, ipv4 or ipv6"),
        };
        if let (Some(Host::Address(address)), Some(family)) = (&host, family)
            && !family.includes(*address)
        {
            let actual = if address.is_ipv4() { "an IPv4" } else { "an IPv6" };
            errors.add("family", format!("excludes domain, which is {actual} address"));
        }
        let format = match params.format.as_deref() {
            None => Some(None),
            Some("json") => Some(Some(Format::Json)),
            Some("ndjson") => Some(Some(Format::Ndjson)),
            Some("sse") => Some(Some(Format::Sse)),
            Some("text") => Some(Some(Format::Text)),
            Some(_) => errors.reject("format", "must be json, ndjson, sse or text"),
        };
        let details = fields::boolean(params.details.as_deref(), "details", &mut errors);
        let explain = fields::boolean(params.explain.as_deref(), "explain", &mut errors);
        let expectation = match params.expect.as_deref() {
            None => Some(None),
            Some(text) => {
                fields::expectation(text, ports.as_ref(), "expect", &mut errors).map(Some)
            }
        };
        // Each of them is there, or has left an error.
        let valid = || {
            Some(Self {
                domain: params.domain?,
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
            })
        };
        if errors.is_empty() { valid().ok_or(errors) } else { Err(errors) }
    }
}

fn read_ports(params: &ScanParams, errors: &mut FieldErrors) -> Option<PortSet> {
    let ScanParams { from_port, to_port, ports, .. } = params;
    if let Some(list) = ports {
        if to_port.is_some() || from_port.is_some() {
            errors.add("ports", "takes the place of fromPort and toPort; give one or the other");
        }
        return match list.parse() {
            Ok(ports) => Some(ports),
            Err(error) => errors.reject("ports", error.to_string()),
        };
    }
    let mut port_of =
        |field, text: &str| parse_port(text).or_else(|| errors.reject(field, "must be 1 to 65535"));
    let first = from_port.as_deref().map_or(Some(1), |text| port_of("fromPort", text));
    let last = match to_port.as_deref() {
        Some(text) => port_of("toPort", text),
        None => errors.reject("toPort", "is required, unless ports is given"),
    };
    let (first, last) = first.zip(last)?;
    PortSet::try_range(first, last)
        .ok()
        .or_else(|| errors.reject("fromPort", format!("must not be above toPort, {last}")))
}

#[cfg(test)]
mod tests;
