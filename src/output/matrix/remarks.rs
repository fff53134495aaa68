//! What is wrong with a matrix, and what may be the cause, a line each.

use std::collections::BTreeMap;

use crate::matrix::{Judged, MatrixSummary, Verdict};
use crate::output::checks::in_words;
use crate::output::grouped;
use crate::ports::PortSet;

/// A line below a table, or on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Doubtful,
    Neutral,
}

/// How many cells came to what, each kind of thing that is wrong, and what may be the
/// cause. `file` is that of the rules.
pub(crate) fn remarks(
    judged: &Judged<'_>,
    summary: &MatrixSummary,
    file: Option<&str>,
) -> Vec<Remark> {
    let mut remarks = vec![counts(summary)];
    for (verdict, tone) in [
        (Verdict::Unexpected, Tone::Bad),
        (Verdict::Missing, Tone::Bad),
        (Verdict::Unproved, Tone::Doubtful),
    ] {
        let lines = lines(judged, verdict, file);
        let more = lines.len().saturating_sub(MOST_LINES);
        let shown = lines.into_iter().take(MOST_LINES);
        remarks.extend(shown.map(|text| Remark { text, tone }));
        if more > 0 {
            let text = format!("{}: {} more like these", verdict.name(), grouped(more as u64));
            remarks.push(Remark { text, tone });
        }
    }
    let causes = summary.causes.iter().take(MOST_LINES);
    remarks.extend(causes.map(|text| Remark { text: text.clone(), tone: Tone::Doubtful }));
    if !summary.settled {
        let text = "the verdicts kept changing until the time was over".to_owned();
        remarks.push(Remark { text, tone: Tone::Doubtful });
    }
    remarks
}

fn counts(summary: &MatrixSummary) -> Remark {
    let several = if summary.cells == 1 { "" } else { "s" };
    let cells = format!("{} cell{several}", grouped(summary.cells));
    let seconds = summary.elapsed_ms / 1e3;
    let rounds = match summary.rounds {
        1 => String::new(),
        rounds => format!(", asked {rounds} times"),
    };
    let counts = Verdict::ALL.into_iter().filter_map(|verdict| {
        let count = summary.tally.of(verdict);
        let name = verdict.name().replace('-', " ");
        (count > 0).then(|| format!("{} {name}", grouped(count)))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    let tone = match (summary.as_expected, summary.complete) {
        (false, _) => Tone::Bad,
        (true, false) => Tone::Doubtful,
        (true, true) if summary.tally.ok > 0 => Tone::Good,
        (true, true) => Tone::Neutral,
    };
    Remark { text: format!("{cells} in {seconds:.2} s{rounds}: {counts}"), tone }
}

/// The cells with this verdict: ports of one pair with one state and one line of the rules
/// are together.
fn lines(judged: &Judged<'_>, verdict: Verdict, file: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    for pair in &judged.plan.pairs {
        let mut alike: BTreeMap<(Option<usize>, String), Vec<u16>> = BTreeMap::new();
        for cell in judged.cells_of(pair).filter(|cell| cell.verdict == verdict) {
            alike.entry((cell.line, in_words(&cell.state))).or_default().push(cell.port);
        }
        let from = &judged.plan.seats[pair.seat].name;
        let to = &judged.plan.columns[pair.column].name;
        for ((line, state), ports) in alike {
            let ports = PortSet::from_ports(ports).map(|ports| ports.to_string());
            let ports = ports.unwrap_or_default();
            let place = match (line, file) {
                (Some(line), Some(file)) => format!(" ({file}:{line})"),
                _ => String::new(),
            };
            let name = verdict.name();
            let but = if verdict == Verdict::Unproved { ", and nobody could open it" } else { "" };
            let but = if state.starts_with("open") { "" } else { but };
            lines.push(format!("{name}: {from} => {to} : TCP {ports} is {state}{but}{place}"));
        }
    }
    lines
}

/// The lines of one kind that are shown; a broken policy may make thousands.
const MOST_LINES: usize = 16;
