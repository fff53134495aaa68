//! The cells of a matrix, as claims that a vantage reaches a target or does not.

use std::time::Duration;

use super::{Check, Claim, Group, Judgement, Rule, target};
use crate::expect::Origin;
use crate::matrix::{Cell, Expected, State, Verdict};

impl Group<'_> {
    /// The claims of cells that follow each other, of one vantage and one line of `file`.
    pub(crate) fn of_cells<'a>(cells: &'a [Cell<'a>], file: Option<&'a str>) -> Group<'a> {
        let first = cells.first();
        Group {
            host: first.map(|cell| cell.seat.name.as_str()),
            origin: file.map(|file| Origin { file, line: first.and_then(|cell| cell.line) }),
            elapsed: Duration::ZERO,
            checks: cells.iter().map(Check::of_cell).collect(),
        }
    }
}

impl Check {
    fn of_cell(cell: &Cell<'_>) -> Self {
        let target = target(&cell.column.name, Some(cell.port));
        let (vantage, state) = (&cell.seat.name, in_words(&cell.state));
        let pair = format!("{vantage} => {target}");
        let judgement = match cell.verdict {
            Verdict::Ok => Judgement::Holds,
            Verdict::Unexpected => {
                Judgement::Broken(Rule::UnexpectedReach, format!("{pair} is {state}"))
            }
            Verdict::Missing => Judgement::Broken(Rule::MissingReach, format!("{pair} is {state}")),
            Verdict::Unproved => {
                let why = format!("{pair} is {state}, but nothing proves anything");
                Judgement::Broken(Rule::Unproved, why)
            }
            Verdict::NotAsked => Judgement::Unknown(format!("{pair} is {state}")),
            Verdict::NotJudged => Judgement::NotJudged(format!("{pair} is {state}")),
        };
        let claim = match cell.expected {
            Some(Expected::Denied) => Claim::DoesNotReach(target),
            Some(Expected::Open) | None => Claim::Reaches(target),
        };
        Self { claim, judgement }
    }
}

/// A state with its reason.
pub(crate) fn in_words(state: &State) -> String {
    match state {
        State::Open => "open".into(),
        State::AcceptsEverything => "open, like every port there".into(),
        State::Refused => "refused".into(),
        State::Filtered(reason) => format!("filtered ({})", reason.name()),
        State::NotAsked(reason) => format!("not known: {reason}"),
    }
}
