//! The records of streams: one JSON object a line, or one server-sent event each.
//!
//! The HTTP API and `open-ports scan --format ndjson` write the same records. The
//! `type` of a record says which one it is. `end` is always the last: output
//! without it was cut off.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;

use super::{IncompleteReason, PortReport, ProgressReport, Report, Summary};
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
    /// How far the scan is.
    Progress(ProgressReport),
    /// A host was not scanned, or not all of it.
    Host {
        /// The host as typed.
        host: &'a str,
        /// Never: only such hosts have a record.
        complete: bool,
        /// Why.
        reason: IncompleteReason,
    },
    /// The scan is over.
    End(End<'a>),
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
            Self::Progress(_) => "progress",
            Self::Host { .. } => "host",
            Self::End(_) => "end",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::report::IncompleteReason;
    use crate::scan::{PortState, Reason};

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
                Record::Host {
                    host: "gone",
                    complete: false,
                    reason: IncompleteReason::NotResolved,
                },
                "{\"type\":\"host\",\"host\":\"gone\",\"complete\":false,\
                 \"reason\":\"not-resolved\"}"
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
}
