//! The records of a watch: one JSON object a line, or one server-sent event each.
//!
//! The first has the states at the beginning, and the last says how the watch ended:
//! output without it was cut off.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::scan::{PortState, Reason};

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum WatchRecord {
    /// The state of every port at first.
    States {
        /// When it was written.
        #[serde(serialize_with = "rfc3339")]
        at: SystemTime,
        /// In the order of hosts, addresses and ports.
        states: Vec<StateRow>,
    },
    /// A port has another state.
    Change {
        /// When the first probe started that found it so.
        #[serde(serialize_with = "rfc3339")]
        at: SystemTime,
        /// The host as typed.
        host: String,
        address: IpAddr,
        port: u16,
        /// The state before; absent if it was not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<PortState>,
        to: PortState,
        reason: Reason,
    },
    /// Probes were not sent in time, since the last such record.
    Missed {
        #[serde(serialize_with = "rfc3339")]
        at: SystemTime,
        probes: u64,
        reason: &'static str,
    },
    /// The watch goes on.
    Progress {
        #[serde(serialize_with = "rfc3339")]
        at: SystemTime,
        #[serde(flatten)]
        counts: Counts,
    },
    /// The watch is over.
    End {
        #[serde(serialize_with = "rfc3339")]
        at: SystemTime,
        #[serde(serialize_with = "name")]
        outcome: Outcome,
        /// Since when the condition has been true, if it is.
        #[serde(serialize_with = "maybe_rfc3339", skip_serializing_if = "Option::is_none")]
        held_since: Option<SystemTime>,
        /// What keeps it from being true.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        unmet: Vec<Unmet>,
        elapsed_ms: f64,
        #[serde(flatten)]
        counts: Counts,
    },
}

/// The state of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StateRow {
    /// The host as typed.
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// Absent if it is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<PortState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    /// When the first probe started that found it so.
    #[serde(serialize_with = "maybe_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<SystemTime>,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) changes: u64,
    pub(crate) rounds: u64,
    pub(crate) probes: u64,
    /// Probes that were not sent in time.
    pub(crate) missed: u64,
}

/// How a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The condition came true, and held.
    Met,
    /// The time was over before.
    NotMet,
    /// The time was over before enough was known.
    Unknown,
    /// It was stopped.
    Stopped,
}

/// A port that has not the state that it is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unmet {
    /// The host as typed.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) wanted: &'static str,
    /// Absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<PortState>,
}

impl Outcome {
    /// Its name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not-met",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
        }
    }
}

impl WatchRecord {
    /// The value of `type`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::States { .. } => "states",
            Self::Change { .. } => "change",
            Self::Missed { .. } => "missed",
            Self::Progress { .. } => "progress",
            Self::End { .. } => "end",
        }
    }
}

fn name<S: Serializer>(outcome: &Outcome, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(outcome.name())
}

fn rfc3339<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_rfc3339_micros(*at))
}

fn maybe_rfc3339<S: Serializer>(at: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_record_says_its_type() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let time = "2023-11-14T22:13:20.123456Z";
        let (host, address) = ("db".to_owned(), IpAddr::from([10, 0, 0, 5]));
        let counts = Counts { changes: 1, rounds: 2, probes: 4, missed: 3 };
        let counted = "\"changes\":1,\"rounds\":2,\"probes\":4,\"missed\":3";
        let row = StateRow {
            host: host.clone(),
            address,
            port: 22,
            state: Some(PortState::Open),
            reason: Some(Reason::SynAck),
            at: Some(at),
        };
        let unknown = StateRow { state: None, reason: None, at: None, port: 80, ..row.clone() };
        let unmet =
            Unmet { host: host.clone(), port: 22, wanted: "open", state: Some(PortState::Closed) };
        for (record, text) in [
            (
                WatchRecord::States { at, states: vec![row, unknown] },
                format!(
                    "{{\"type\":\"states\",\"at\":\"{time}\",\"states\":[{{\"host\":\"db\",\
                     \"address\":\"10.0.0.5\",\"port\":22,\"state\":\"open\",\
                     \"reason\":\"syn-ack\",\"at\":\"{time}\"}},{{\"host\":\"db\",\
                     \"address\":\"10.0.0.5\",\"port\":80}}]}}"
                ),
            ),
            (
                WatchRecord::Change {
                    at,
                    host,
                    address,
                    port: 5432,
                    from: Some(PortState::Open),
                    to: PortState::Filtered,
                    reason: Reason::NoResponse,
                },
                format!(
                    "{{\"type\":\"change\",\"at\":\"{time}\",\"host\":\"db\",\
                     \"address\":\"10.0.0.5\",\"port\":5432,\"from\":\"open\",\
                     \"to\":\"filtered\",\"reason\":\"no-response\"}}"
                ),
            ),
            (
                WatchRecord::Missed { at, probes: 3, reason: "late" },
                format!(
                    "{{\"type\":\"missed\",\"at\":\"{time}\",\"probes\":3,\"reason\":\"late\"}}"
                ),
            ),
            (
                WatchRecord::Progress { at, counts },
                format!("{{\"type\":\"progress\",\"at\":\"{time}\",{counted}}}"),
            ),
            (
                WatchRecord::End {
                    at,
                    outcome: Outcome::NotMet,
                    held_since: None,
                    unmet: vec![unmet],
                    elapsed_ms: 1500.0,
                    counts,
                },
                format!(
                    "{{\"type\":\"end\",\"at\":\"{time}\",\"outcome\":\"not-met\",\
                     \"unmet\":[{{\"host\":\"db\",\"port\":22,\"wanted\":\"open\",\
                     \"state\":\"closed\"}}],\"elapsed_ms\":1500.0,{counted}}}"
                ),
            ),
        ] {
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
            assert_eq!(json!(record)["type"], record.name());
        }
    }
}
