//! The records of streams: one JSON object a line, or one server-sent event each.
//!
//! The HTTP API and `open-ports scan --format ndjson` write the same records. The
//! `type` of a record says which one it is. `end` is always the last: output
//! without it was cut off.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;

use super::{IncompleteReason, PortReport, ProgressReport, Report, Summary};
use crate::expect::Comparison;
use crate::scan::Finding;

/// One record.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Record<'a> {
    /// A port was found.
    Port {
        /// The host as typed, in streams about several hosts.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        /// The address.
        address: IpAddr,
        /// The port and its state.
        #[serde(flatten)]
        port: PortReport,
        /// When the record was written (RFC 3339), where output may be kept for
        /// later.
        #[serde(skip_serializing_if = "Option::is_none")]
        timestamp: Option<String>,
    },
    /// Something is to be said about a host of several: see [`HostRecord::of`].
    Host(HostRecord<'a>),
    /// How far the scan is.
    Progress(ProgressReport),
    /// The scan is over.
    End(End<'a>),
}

/// What a stream about several hosts says of one, besides its ports.
#[derive(Debug, Serialize)]
pub(crate) struct HostRecord<'a> {
    /// The host as typed.
    host: &'a str,
    /// Whether every port of the host was scanned.
    complete: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<IncompleteReason>,
    /// The rule of policy that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    /// Why it was not scanned at all, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// How its open ports differ from the expected ones, if some are.
    #[serde(flatten)]
    comparison: Option<Differences<'a>>,
    /// Its addresses that accept connections on ports that nobody uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accepts_everything: Vec<IpAddr>,
    /// Its addresses that were not scanned because it has too many.
    #[serde(skip_serializing_if = "<[IpAddr]>::is_empty")]
    addresses_left_out: &'a [IpAddr],
}

/// A comparison as reports write it.
#[derive(Debug, Serialize)]
struct Differences<'a> {
    as_expected: bool,
    unexpected: &'a [u16],
    missing: &'a [u16],
}

/// What was found in all.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End<'a> {
    /// On one host.
    Report(&'a Report),
    /// On many hosts.
    Summary(&'a Summary),
}

impl<'a> HostRecord<'a> {
    /// The record of a host that was not scanned as a whole, is not as expected, or
    /// accepts every connection. Of any other, its ports say everything. `detail` is why
    /// it was not scanned at all.
    pub(crate) fn of(report: &'a Report, detail: Option<&'a str>) -> Option<Self> {
        let Report { facts, comparison, .. } = report;
        let addresses = facts.addresses.iter().filter(|address| address.accepts_everything);
        let accepts_everything: Vec<IpAddr> = addresses.map(|address| address.address).collect();
        let comparison = comparison.as_ref().filter(|comparison| !comparison.as_expected);
        let is_plain = facts.is_complete() && comparison.is_none() && accepts_everything.is_empty();
        let differences = |comparison: &'a Comparison| Differences {
            as_expected: comparison.as_expected,
            unexpected: &comparison.unexpected,
            missing: &comparison.missing,
        };
        (!is_plain).then(|| Self {
            host: &facts.domain,
            complete: facts.is_complete(),
            reason: facts.reason,
            rule: facts.rule.as_deref(),
            detail,
            comparison: comparison.map(differences),
            accepts_everything,
            addresses_left_out: &facts.left_out,
        })
    }
}

impl<'a> Record<'a> {
    /// The record of `finding`, in a stream about one host.
    pub(crate) fn port(finding: &Finding) -> Self {
        let (address, port) = (finding.address, PortReport::new(finding));
        Self::Port { host: None, address, port, timestamp: None }
    }

    /// The record of `finding` on `host`, written at the time `at`.
    pub(crate) fn port_of(host: &'a str, finding: &Finding, at: SystemTime) -> Self {
        let (address, port) = (finding.address, PortReport::new(finding));
        let timestamp = humantime::format_rfc3339_micros(at).to_string();
        Self::Port { host: Some(host), address, port, timestamp: Some(timestamp) }
    }

    /// The value of `type`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Port { .. } => "port",
            Self::Host(_) => "host",
            Self::Progress(_) => "progress",
            Self::End(_) => "end",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::report::Subject;
    use crate::scan::{AddressTally, Findings, PortState, Reason, ScanTiming};

    #[test]
    fn each_record_says_its_type() {
        let finding = Finding {
            address: "fd00::1".parse().unwrap(),
            port: 22,
            state: PortState::Open,
            reason: Reason::SynAck,
            rtt: Some(Duration::from_micros(1500)),
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let summary = Summary {
            reason: Some(IncompleteReason::Interrupted),
            hosts: 2,
            elapsed: Duration::from_millis(2050),
            ..Summary::default()
        };
        let progress = ProgressReport {
            done: 1,
            total: Some(9),
            rate: 3,
            asked: 5,
            waiting: 4,
            attempts: 7,
            pass: Some(2),
            silent: 4,
            asked_again: 2,
            found: 1,
            left: Some(Duration::from_millis(1500)),
            at_most: Some(Duration::from_secs(2)),
        };
        let port = "\"address\":\"fd00::1\",\"port\":22,\"state\":\"open\",\"reason\":\"syn-ack\",\
                    \"service\":\"ssh\",\"service_method\":\"table\",\"rtt_ms\":1.5";
        for (record, text) in [
            (Record::port(&finding), format!("{{\"type\":\"port\",{port}}}")),
            (
                Record::port_of("web", &finding, at),
                format!(
                    "{{\"type\":\"port\",\"host\":\"web\",{port},\
                     \"timestamp\":\"2023-11-14T22:13:20.123456Z\"}}"
                ),
            ),
            (
                Record::Progress(progress),
                "{\"type\":\"progress\",\"done\":1,\"total\":9,\"rate\":3,\"asked\":5,\
                 \"waiting\":4,\"attempts\":7,\"pass\":2,\"silent\":4,\"asked_again\":2,\
                 \"found\":1,\"left_ms\":1500.0,\"at_most_ms\":2000.0}"
                    .into(),
            ),
            (
                Record::End(End::Summary(&summary)),
                "{\"type\":\"end\",\"summary\":{\"complete\":false,\"reason\":\"interrupted\",\
                 \"host_count\":2,\"address_count\":0,\"open\":0,\"closed\":0,\"filtered\":0,\
                 \"not_scanned\":0,\"unvisited_hosts\":0,\"elapsed_ms\":2050.0}}"
                    .into(),
            ),
        ] {
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
            assert_eq!(json!(record)["type"], record.name());
        }
    }

    #[test]
    fn a_host_has_a_record_only_if_there_is_something_to_say() {
        let ports = "22,443".parse().unwrap();
        let expectation = "22".parse().unwrap();
        let subject = |expectation| Subject {
            domain: "web",
            ports: &ports,
            details: false,
            expectation,
            left_out: &[],
        };
        let tally = |accepts_everything| AddressTally {
            address: "fd00::1".parse().unwrap(),
            findings: Findings::none("fd00::1".parse().unwrap()),
            open: 0,
            closed: 2,
            filtered: [0; Reason::ALL.len()],
            not_scanned: 0,
            shortage: None,
            accepts_everything,
        };
        let scanned = |accepts_everything, expectation| {
            let tallies = [tally(accepts_everything)];
            Report::new(&subject(expectation), &tallies, &ScanTiming::default(), Duration::ZERO)
        };
        let text = |report: &Report, detail| {
            HostRecord::of(report, detail)
                .map(|record| serde_json::to_string(&Record::Host(record)).unwrap())
        };
        assert_eq!(text(&scanned(false, None), None), None);
        assert_eq!(
            text(&scanned(true, Some(&expectation)), None).unwrap(),
            "{\"type\":\"host\",\"host\":\"web\",\"complete\":true,\"as_expected\":false,\
             \"unexpected\":[],\"missing\":[22],\"accepts_everything\":[\"fd00::1\"]}"
        );
        let reason = IncompleteReason::RefusedByPolicy;
        let mut refused = Report::not_scanned(&subject(None), reason);
        refused.facts.rule = Some("not-allowed".into());
        assert_eq!(
            text(&refused, Some("no")).unwrap(),
            "{\"type\":\"host\",\"host\":\"web\",\"complete\":false,\"reason\":\"refused-by-policy\",\
             \"rule\":\"not-allowed\",\"detail\":\"no\"}"
        );
    }
}
