//! Reads the parameters that several requests have.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Ceilings, Format, ScanParams, ScanRequest};
use crate::expect::Expectation;
use crate::fields::{self, FieldErrors};
use crate::host::{Family, Host, HostError};
use crate::limits;
use crate::ports::{PortSet, parse_port};

/// What is said of every scan of one host. What was wrong is `None`, and among the errors.
pub(super) struct Base {
    host: Option<Host>,
    pub(super) ports: Option<PortSet>,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
    rate: Option<Option<NonZeroU32>>,
    family: Option<Family>,
}

impl Base {
    pub(super) fn read(params: &ScanParams, ceilings: &Ceilings, errors: &mut FieldErrors) -> Self {
        let host = read_host(params, errors);
        let ports = read_ports(params, errors);
        let timeout = read_timeout(params, errors);
        let deadline = read_deadline(params, ceilings, errors);
        let rate = read_rate(params, ceilings, errors);
        let family = read_family(params, errors)
            .and_then(|family| including(family, host.as_ref(), "domain", errors));
        Self { host, ports, timeout, deadline, rate, family }
    }

    /// The scan, if nothing was wrong.
    pub(super) fn request(self, params: &ScanParams) -> Option<ScanRequest> {
        Some(ScanRequest {
            family: self.family?,
            timeout: self.timeout?,
            deadline: self.deadline?,
            rate: self.rate?,
            ..ScanRequest::plain(params.get("domain")?, self.host?, self.ports?)
        })
    }
}

pub(super) fn read_host(params: &ScanParams, errors: &mut FieldErrors) -> Option<Host> {
    match params.get("domain").map(str::parse) {
        None => errors.reject("domain", "is required"),
        Some(Err(error)) => errors.reject("domain", HostError::to_string(&error)),
        Some(Ok(host)) => Some(host),
    }
}

pub(super) fn read_timeout(params: &ScanParams, errors: &mut FieldErrors) -> Option<Duration> {
    let timeouts = (limits::MIN_TIMEOUT, limits::MAX_TIMEOUT);
    match params.get("timeoutMs") {
        None => Some(limits::DEFAULT_TIMEOUT),
        Some(text) => fields::milliseconds(text, "timeoutMs", timeouts, errors),
    }
}

pub(super) fn read_deadline(
    params: &ScanParams,
    ceilings: &Ceilings,
    errors: &mut FieldErrors,
) -> Option<Duration> {
    let deadlines = (limits::MIN_DEADLINE, ceilings.deadline);
    match params.get("deadlineMs") {
        None => Some(ceilings.deadline),
        Some(text) => fields::milliseconds(text, "deadlineMs", deadlines, errors),
    }
}

/// `None` within: no limit.
pub(super) fn read_rate(
    params: &ScanParams,
    ceilings: &Ceilings,
    errors: &mut FieldErrors,
) -> Option<Option<NonZeroU32>> {
    match params.get("rate") {
        None => Some(ceilings.rate),
        Some(text) => fields::rate(text, "rate", ceilings.rate, errors).map(Some),
    }
}

pub(super) fn read_family(params: &ScanParams, errors: &mut FieldErrors) -> Option<Family> {
    let named = params.get("family").map_or(Some(Family::Any), Family::named);
    named.or_else(|| errors.reject("family", params.choices("family")))
}

/// The family, unless it excludes the address that was given as the host in `field`.
pub(super) fn including(
    family: Family,
    host: Option<&Host>,
    field: &str,
    errors: &mut FieldErrors,
) -> Option<Family> {
    match host {
        Some(Host::Address(address)) if !family.includes(*address) => {
            let actual = if address.is_ipv4() { "an IPv4" } else { "an IPv6" };
            errors.reject("family", format!("excludes {field}, which is {actual} address"))
        }
        _ => Some(family),
    }
}

/// `None` within: none was named.
pub(super) fn read_format(params: &ScanParams, errors: &mut FieldErrors) -> Option<Option<Format>> {
    let Some(name) = params.get("format") else { return Some(None) };
    let named = Format::ALL.into_iter().find(|format| format.name() == name);
    let (_, parameter) = params.find("format");
    match named.filter(|_| parameter.has_word(name)) {
        Some(format) => Some(Some(format)),
        None => errors.reject("format", params.choices("format")),
    }
}

/// `None` within: nothing is expected.
pub(super) fn read_expectation(
    params: &ScanParams,
    errors: &mut FieldErrors,
) -> Option<Option<Expectation>> {
    match params.get("expect").map(str::parse::<Expectation>) {
        None => Some(None),
        Some(Ok(expectation)) => Some(Some(expectation)),
        Some(Err(error)) => errors.reject("expect", error.to_string()),
    }
}

/// The ports to scan, with those that are expected.
pub(super) fn with_expected(
    ports: Option<PortSet>,
    expectation: Option<&Option<Expectation>>,
) -> Option<PortSet> {
    match expectation {
        Some(Some(expectation)) => ports.map(|ports| expectation.with(ports)),
        _ => ports,
    }
}

pub(super) fn read_ports(params: &ScanParams, errors: &mut FieldErrors) -> Option<PortSet> {
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
    let mut port_of = |field, text: &str| {
        parse_port(text).or_else(|| errors.reject(field, params.choices(field)))
    };
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

pub(super) fn read_fail_status(
    params: &ScanParams,
    errors: &mut FieldErrors,
) -> Option<Option<u16>> {
    let name = "expectFailStatus";
    let status = match params.get(name) {
        None => return Some(None),
        Some("409") => 409,
        Some("412") => 412,
        Some("424") => 424,
        Some(_) => return errors.reject(name, params.choices(name)),
    };
    if params.get("expect").is_none() {
        errors.add(name, "needs expect");
    }
    if params.get("explain") == Some("true") {
        errors.add(name, "cannot be combined with explain, which scans nothing");
    }
    Some(Some(status))
}
