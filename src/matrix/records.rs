//! What programs read of a matrix: a record for each cell, and one at the end.

use std::time::Duration;

use serde::Serialize;

use super::answers::State;
use super::causes::Cause;
use super::run::Ended;
use super::verdict::{Cell, Judged, Tally};
use crate::report::milliseconds;

/// One record, as in streams of other commands.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum MatrixRecord<'a> {
    Cell(CellRecord<'a>),
    End { summary: &'a MatrixSummary },
}

/// A cell.
#[derive(Debug, Serialize)]
pub(crate) struct CellRecord<'a> {
    pub(crate) vantage: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vantage_namespace: Option<&'a str>,
    pub(crate) target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_namespace: Option<&'a str>,
    /// What was asked, where that is not the name of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    pub(crate) port: u16,
    pub(crate) state: &'static str,
    /// nmap's reason, or why it was not asked.
    pub(crate) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    pub(crate) verdict: &'static str,
    /// The line of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
}

/// What all cells come to.
#[derive(Debug, Serialize)]
pub(crate) struct MatrixSummary {
    /// Whether every cell was asked, and is proved where that matters.
    pub(crate) complete: bool,
    /// Whether no cell is known to be other than expected.
    pub(crate) as_expected: bool,
    #[serde(rename = "vantage_count")]
    pub(crate) vantages: usize,
    #[serde(rename = "target_count")]
    pub(crate) targets: usize,
    #[serde(rename = "cell_count")]
    pub(crate) cells: u64,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// How often every vantage was asked.
    pub(crate) rounds: u32,
    /// Whether verdicts stayed the same for as long as they had to.
    pub(crate) settled: bool,
    /// Where it is likely blocked, in words.
    pub(crate) causes: Vec<String>,
    pub(crate) elapsed_ms: f64,
}

impl State {
    /// Its name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Open | Self::AcceptsEverything => "open",
            Self::Refused => "refused",
            Self::Filtered(_) => "filtered",
            Self::NotAsked(_) => "not-asked",
        }
    }

    /// nmap's reason, or why nothing is known.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Open => "syn-ack",
            Self::AcceptsEverything => "accepts-everything",
            Self::Refused => "conn-refused",
            Self::Filtered(reason) => reason.name(),
            Self::NotAsked(reason) => reason.reason(),
        }
    }
}

impl<'a> CellRecord<'a> {
    pub(crate) fn new(cell: &'a Cell<'_>) -> Self {
        let Cell { seat, column, port, expected, line, state, verdict } = cell;
        let host = column.host.as_ref().ok().map(|target| target.host.to_string());
        Self {
            vantage: &seat.name,
            vantage_namespace: seat.group.as_deref(),
            target: &column.name,
            target_namespace: column.group.as_deref(),
            host: host.filter(|host| *host != column.name),
            port: *port,
            state: state.name(),
            reason: state.reason(),
            expected: expected.map(|expected| expected.to_string()),
            verdict: verdict.name(),
            line: *line,
        }
    }
}

impl MatrixSummary {
    pub(crate) fn new(judged: &Judged<'_>, ended: &Ended) -> Self {
        let tally = judged.tally();
        Self {
            complete: tally.is_complete() && ended.has_settled,
            as_expected: !tally.is_wrong(),
            vantages: judged.plan.seats.len(),
            targets: judged.plan.columns.len(),
            cells: judged.plan.cells(),
            tally,
            rounds: ended.rounds,
            settled: ended.has_settled,
            causes: Cause::all_of(judged).iter().map(ToString::to_string).collect(),
            elapsed_ms: milliseconds(ended.elapsed),
        }
    }

    /// How long it took.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.elapsed_ms / 1e3)
    }
}
