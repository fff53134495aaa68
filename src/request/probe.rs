//! A probe of `GET /probe` as typed becomes a valid scan, which ends in time for the scrape.

pub(crate) mod parameters;

use std::time::Duration;

use super::read::{
    including, read_expectation, read_family, read_rate, read_timeout, with_expected,
};
use super::{Ceilings, ScanParams, ScanRequest};
use crate::expect::Expectation;
use crate::fields::{self, FieldErrors};
use crate::host::{Host, HostError};
use crate::limits;
use crate::ports::{PortListError, PortSet, parse_port};

/// A valid probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeRequest {
    /// The scan. Its deadline is the time that the probe has.
    pub(crate) scan: ScanRequest,
    /// Whether to reply in words.
    pub(crate) debug: bool,
}

/// The target as typed, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    /// The host, as typed.
    typed: String,
    host: Host,
    port: Option<u16>,
}

impl ProbeRequest {
    /// Checks the parameters of a probe that may take `time`.
    ///
    /// # Errors
    /// Everything that is wrong with them, by parameter.
    pub(crate) fn try_new(
        params: &ScanParams,
        ceilings: &Ceilings,
        time: Duration,
    ) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let target = read_target(params, &mut errors);
        if params.get("module").is_some_and(|module| module != MODULE) {
            errors.add("module", params.choices("module"));
        }
        let ports = read_ports(params, target.as_ref(), &mut errors);
        let rate = read_rate(params, ceilings, &mut errors);
        let host = target.as_ref().map(|target| &target.host);
        let family = read_family(params, &mut errors)
            .and_then(|family| including(family, host, "target", &mut errors));
        let debug = fields::boolean(params.get("debug"), "debug", &mut errors);
        let port = target.as_ref().and_then(|target| target.port);
        let expectation = match read_expectation(params, &mut errors) {
            Some(None) => Some(port.and_then(of_port)),
            given => given,
        };
        let ports = with_expected(ports, expectation.as_ref());
        let timeout = match params.get("timeoutMs") {
            None => ports.as_ref().map(|ports| fitting_timeout(time, ports)),
            Some(_) => read_timeout(params, &mut errors),
        };
        // Without an error, each of them is there.
        let valid = || {
            let Target { typed, host, .. } = target?;
            let scan = ScanRequest {
                family: family?,
                timeout: timeout?,
                deadline: time,
                rate: rate?,
                expectation: expectation?,
                ..ScanRequest::plain(&typed, host, ports?)
            };
            Some(Self { scan, debug: debug? })
        };
        if errors.is_empty() { valid().ok_or(errors) } else { Err(errors) }
    }
}

/// How long a probe may take, by the scrape's timeout in seconds, if the scraper said it:
/// `offset` less, so that the reply arrives in time, and `most` at most.
///
/// # Errors
/// When the timeout is no number of seconds.
// Without a timeout, or with 0, blackbox_exporter takes 120 s as well.
pub(crate) fn time_for(
    scrape_timeout: Option<&str>,
    offset: Duration,
    most: Duration,
) -> Result<Duration, FieldErrors> {
    let seconds = match scrape_timeout {
        None => Some(0.0),
        Some(text) => text.parse().ok(),
    };
    let seconds = seconds.filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    let Some(seconds) = seconds else {
        let mut errors = FieldErrors::default();
        errors.add(SCRAPE_TIMEOUT, "must be a number of seconds, like 10 or 9.5");
        return Err(errors);
    };
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let timeout = if timeout.is_zero() { limits::DEFAULT_SCRAPE_TIMEOUT } else { timeout };
    Ok(timeout.saturating_sub(offset).min(most).max(limits::MIN_DEADLINE))
}

/// How long each of `ports` may take to answer, so that all of them are asked in `time` even
/// if none answers.
// 65,535 silent ports are asked in four rounds with 20,000 descriptors, and sending to them
// takes as long as another.
fn fitting_timeout(time: Duration, ports: &PortSet) -> Duration {
    let rounds = if ports.len() > limits::WIDE_PROBE { 8 } else { 2 };
    limits::DEFAULT_TIMEOUT.min(time / rounds).max(limits::MIN_TIMEOUT)
}

fn read_target(params: &ScanParams, errors: &mut FieldErrors) -> Option<Target> {
    match params.get("target").map(parse_target) {
        None => errors.reject("target", "is required"),
        Some(Err(error)) => errors.reject("target", error),
        Some(Ok(target)) => Some(target),
    }
}

fn parse_target(text: &str) -> Result<Target, String> {
    let (typed, port) = match text.parse::<Host>() {
        Err(HostError::Port) => match text.rsplit_once(':') {
            Some((typed, port)) => (typed, Some(port)),
            None => (text, None),
        },
        _ => (text, None),
    };
    let host = typed.parse().map_err(|error: HostError| match error {
        // Another port, or a bracket that is not closed.
        HostError::Port => HostError::Ipv6.to_string(),
        error => error.to_string(),
    })?;
    let port = match port.map(parse_port) {
        Some(None) => return Err("needs a port from 1 to 65535 after its last colon".into()),
        port => port.flatten(),
    };
    Ok(Target { typed: typed.to_owned(), host, port })
}

fn read_ports(
    params: &ScanParams,
    target: Option<&Target>,
    errors: &mut FieldErrors,
) -> Option<PortSet> {
    let port = target.map(|target| target.port);
    match (params.get("ports"), port) {
        (Some(_), Some(Some(_))) => {
            errors.reject("ports", "cannot be combined with a port in target")
        }
        (Some(list), _) => match list.parse() {
            Ok(ports) => Some(ports),
            Err(error) => errors.reject("ports", PortListError::to_string(&error)),
        },
        (None, Some(Some(port))) => PortSet::try_range(port, port).ok(),
        (None, Some(None)) => errors.reject("ports", "is required, unless target has a port"),
        // The target is what is wrong.
        (None, None) => None,
    }
}

/// That this port is open, and no other.
fn of_port(port: u16) -> Option<Expectation> {
    port.to_string().parse().ok()
}

/// The header field in which Prometheus says how long it waits for a reply.
pub(crate) const SCRAPE_TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// The name that blackbox_exporter's configuration gives to a plain connection.
pub(crate) const MODULE: &str = "tcp_connect";

#[cfg(test)]
mod tests;
