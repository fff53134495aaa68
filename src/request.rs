//! A scan as somebody typed it, and a scan that makes sense.
//!
//! [`ScanParams`] holds text. [`ScanRequest`] can only hold what can be
//! scanned; the step between them finds everything that is wrong at once.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::expect::Expectation;
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

/// What is wrong with each parameter, and what is accepted instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FieldErrors(BTreeMap<String, Vec<String>>);

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
            Some(text) => read_milliseconds(text, "timeoutMs", timeouts, &mut errors),
        };
        let deadlines = (limits::MIN_DEADLINE, ceilings.deadline);
        let deadline = match params.deadline_ms.as_deref() {
            None => Some(ceilings.deadline),
            Some(text) => read_milliseconds(text, "deadlineMs", deadlines, &mut errors),
        };
        let rate = match params.rate.as_deref() {
            None => Some(ceilings.rate),
            Some(text) => read_rate(text, "rate", ceilings.rate, &mut errors).map(Some),
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
        let details = read_bool(params.details.as_deref(), "details", &mut errors);
        let explain = read_bool(params.explain.as_deref(), "explain", &mut errors);
        let expectation = match params.expect.as_deref() {
            None => Some(None),
            Some(text) => read_expectation(text, ports.as_ref(), "expect", &mut errors).map(Some),
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

impl FieldErrors {
    /// Adds a message about `field`, written to follow the field's name. Said
    /// again, it says nothing more.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        let (messages, message) = (self.0.entry(field.to_owned()).or_default(), message.into());
        if !messages.contains(&message) {
            messages.push(message);
        }
    }

    /// Takes over what `later` says of fields that have no error yet: what is
    /// found wrong first often causes what is found later.
    #[must_use]
    pub fn or(mut self, later: Self) -> Self {
        for (field, messages) in later.0 {
            self.0.entry(field).or_insert(messages);
        }
        self
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields with their messages, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(field, messages)| (field.as_str(), messages.as_slice()))
    }

    pub(crate) fn reject<T>(&mut self, field: &str, message: impl Into<String>) -> Option<T> {
        self.add(field, message);
        None
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (field, messages) in self.iter() {
            for message in messages {
                write!(f, "{separator}{field} {message}")?;
                separator = "; ";
            }
        }
        Ok(())
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

/// Reads which of `ports`, if these are known, ought to be open.
pub(crate) fn read_expectation(
    text: &str,
    ports: Option<&PortSet>,
    field: &str,
    errors: &mut FieldErrors,
) -> Option<Expectation> {
    let expectation: Expectation = match text.parse() {
        Ok(expectation) => expectation,
        Err(error) => return errors.reject(field, error.to_string()),
    };
    match ports.and_then(|ports| expectation.beyond(ports)) {
        None => Some(expectation),
        Some(beyond) => {
            errors.reject(field, format!("names ports that are not to be scanned: {beyond}"))
        }
    }
}

pub(crate) fn read_milliseconds(
    text: &str,
    field: &str,
    (least, most): (Duration, Duration),
    errors: &mut FieldErrors,
) -> Option<Duration> {
    let given = read_number(text).map(Duration::from_millis);
    given.filter(|given| (least..=most).contains(given)).or_else(|| {
        let (least, most) = (least.as_millis(), most.as_millis());
        errors.reject(field, format!("must be {least} to {most} (milliseconds)"))
    })
}

pub(crate) fn read_rate(
    text: &str,
    field: &str,
    ceiling: Option<NonZeroU32>,
    errors: &mut FieldErrors,
) -> Option<NonZeroU32> {
    let most = ceiling.map_or(u32::MAX, NonZeroU32::get);
    let given = read_number(text).and_then(|given| u32::try_from(given).ok());
    given
        .filter(|&given| given <= most)
        .and_then(NonZeroU32::new)
        .or_else(|| errors.reject(field, format!("must be 1 to {most} (probes a second)")))
}

fn read_bool(text: Option<&str>, field: &str, errors: &mut FieldErrors) -> Option<bool> {
    match text {
        None | Some("false") => Some(false),
        Some("true") => Some(true),
        Some(_) => errors.reject(field, "must be true or false"),
    }
}

/// Digits only: `u64::from_str` alone would take "+80".
fn read_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn params(domain: &str, to_port: &str) -> ScanParams {
        ScanParams {
            domain: Some(domain.into()),
            to_port: Some(to_port.into()),
            ..ScanParams::default()
        }
    }

    const CEILINGS: Ceilings =
        Ceilings { deadline: Duration::from_secs(60), rate: NonZeroU32::new(1000) };

    fn errors(params: ScanParams) -> String {
        ScanRequest::try_new(params, &CEILINGS).unwrap_err().to_string()
    }

    #[test]
    fn a_domain_and_a_last_port_are_enough() {
        let request = ScanRequest::try_new(params("localhost", "1024"), &CEILINGS).unwrap();
        assert_eq!(request.ports.to_string(), "1-1024");
        assert_eq!(request.timeout, limits::DEFAULT_TIMEOUT);
        assert_eq!((request.family, request.details), (Family::Any, false));
        assert_eq!((request.deadline, request.rate), (CEILINGS.deadline, CEILINGS.rate));
        assert_eq!((request.format, request.explain), (None, false));
    }

    #[test]
    fn every_bad_field_is_reported_at_once() {
        let typed = ScanParams {
            domain: None,
            from_port: Some("0".into()),
            to_port: Some("65536".into()),
            ports: None,
            timeout_ms: Some("49".into()),
            family: Some("ipv5".into()),
            details: Some("yes".into()),
            deadline_ms: Some("60001".into()),
            rate: Some("1001".into()),
            format: Some("yaml".into()),
            explain: Some("1".into()),
            expect: Some("22,22".into()),
        };
        assert_eq!(
            errors(typed),
            "deadlineMs must be 100 to 60000 (milliseconds); \
             details must be true or false; domain is required; expect 22 is listed more than once; \
             explain must be true or false; family must be any, ipv4 or ipv6; \
             format must be json, ndjson, sse or text; fromPort must be 1 to 65535; \
             rate must be 1 to 1000 (probes a second); timeoutMs must be 50 to 30000 (milliseconds); toPort must be 1 to 65535"
        );
    }

    #[test]
    fn ports_and_a_range_exclude_each_other() {
        let both = ScanParams { ports: Some("22".into()), ..params("localhost", "80") };
        assert!(errors(both).starts_with("ports takes the place of"));
        let neither = ScanParams { domain: Some("localhost".into()), ..ScanParams::default() };
        assert_eq!(errors(neither), "toPort is required, unless ports is given");
        let backwards = ScanParams { from_port: Some("81".into()), ..params("localhost", "80") };
        assert_eq!(errors(backwards), "fromPort must not be above toPort, 80");
    }

    #[test]
    fn only_what_is_scanned_can_be_expected() {
        let expect =
            |list: &str| ScanParams { expect: Some(list.into()), ..params("localhost", "100") };
        let expected = ScanRequest::try_new(expect("none"), &CEILINGS).unwrap().expectation;
        assert_eq!(expected, Some("none".parse().unwrap()));
        assert_eq!(
            errors(expect("22,100-443")),
            "expect names ports that are not to be scanned: 101-443"
        );
    }

    #[test]
    fn a_family_that_excludes_the_address_is_an_error() {
        let wrong = ScanParams { family: Some("ipv6".into()), ..params("::ffff:10.0.0.1", "80") };
        assert_eq!(errors(wrong), "family excludes domain, which is an IPv4 address");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_checks_panic(text in "\\PC{0,60}", other in "[-0-9:.%\\[\\]a-f]{0,40}") {
            for domain in [&text, &other] {
                let typed = ScanParams {
                    from_port: Some(other.clone()),
                    timeout_ms: Some(text.clone()),
                    ..params(domain, &text)
                };
                if let Err(errors) = ScanRequest::try_new(typed, &CEILINGS) {
                    prop_assert!(!errors.is_empty());
                }
            }
        }
    }
}
