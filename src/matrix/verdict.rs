//! From answers to verdicts. Pure.
//!
//! A denial counts only if somebody could open the port in the same run. Without that it
//! would also pass when nothing listens, when a name leads elsewhere, or when the target is
//! gone. So it would be a check that cannot fail.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use super::answers::{Answers, NotAsked, State};
use super::plan::{Column, Pair, Part, Plan, Seat};
use super::rules::Expected;

/// The answers to one asking of everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// Of each vantage, in the order of the plan.
    pub(crate) answers: Vec<Result<Answers, NotAsked>>,
    /// Of the witness of each target, in the order of the plan; `None` if it was not asked.
    pub(crate) witnesses: Vec<Option<Result<Answers, NotAsked>>>,
}

/// What a cell comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// As expected.
    Ok,
    /// Open, and ought to be denied.
    Unexpected,
    /// Not open, and ought to be.
    Missing,
    /// As expected, but nothing shows that it could have been otherwise.
    Unproved,
    /// Nothing is known.
    NotAsked,
    /// Nobody said what it ought to be.
    NotJudged,
}

/// A port of a target, as a vantage sees it.
#[derive(Clone)]
pub(crate) struct Cell<'a> {
    pub(crate) seat: &'a Seat,
    pub(crate) column: &'a Column,
    pub(crate) port: u16,
    pub(crate) expected: Option<Expected>,
    /// The line that says so; `None` also if only strictness does.
    pub(crate) line: Option<usize>,
    pub(crate) state: State,
    pub(crate) verdict: Verdict,
}

/// How many cells came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) ok: u64,
    pub(crate) unexpected: u64,
    pub(crate) missing: u64,
    pub(crate) unproved: u64,
    pub(crate) not_asked: u64,
    pub(crate) not_judged: u64,
}

/// A round, compared with what is expected.
#[derive(Clone)]
pub(crate) struct Judged<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) round: &'a Round,
    /// The ports of each target that somebody could open.
    proved: Vec<HashSet<u16>>,
}

/// What a cell in this `state` comes to. `is_proved` says whether somebody could open the
/// port in the same run.
pub(crate) fn verdict(expected: Option<Expected>, state: &State, is_proved: bool) -> Verdict {
    match (expected, state) {
        (_, State::NotAsked(_)) => Verdict::NotAsked,
        (None, _) => Verdict::NotJudged,
        // Something on the path accepts all connections, whatever becomes of them then.
        (Some(_), State::AcceptsEverything) => Verdict::Unproved,
        (Some(Expected::Open), State::Open) => Verdict::Ok,
        (Some(Expected::Open), State::Refused | State::Filtered(_)) => Verdict::Missing,
        (Some(Expected::Denied), State::Open) => Verdict::Unexpected,
        (Some(Expected::Denied), State::Refused | State::Filtered(_)) if is_proved => Verdict::Ok,
        (Some(Expected::Denied), State::Refused | State::Filtered(_)) => Verdict::Unproved,
    }
}

impl Verdict {
    /// Every verdict.
    pub(crate) const ALL: [Self; 6] = [
        Self::Ok,
        Self::Unexpected,
        Self::Missing,
        Self::Unproved,
        Self::NotAsked,
        Self::NotJudged,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unexpected => "unexpected",
            Self::Missing => "missing",
            Self::Unproved => "unproved",
            Self::NotAsked => "not-asked",
            Self::NotJudged => "not-judged",
        }
    }

    /// Whether it is not as expected.
    pub(crate) fn is_wrong(self) -> bool {
        matches!(self, Self::Unexpected | Self::Missing)
    }
}

impl<'a> Judged<'a> {
    /// Compares a round with what is expected.
    pub(crate) fn new(plan: &'a Plan, round: &'a Round) -> Self {
        let proved = plan.columns.iter().enumerate().map(|(column, target)| {
            let Ok(target) = &target.host else { return HashSet::new() };
            let witness = round.witnesses.get(column).and_then(Option::as_ref);
            let asked = round.answers.iter().chain(witness).filter_map(|one| one.as_ref().ok());
            asked.flat_map(|answers| answers.open(&target.host)).collect()
        });
        Self { plan, round, proved: proved.collect() }
    }

    /// All cells: by vantage, then by target, then by port.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell<'a>> + '_ {
        self.plan.pairs.iter().flat_map(|pair| self.cells_of(pair))
    }

    /// The cells of one pair, by port.
    pub(crate) fn cells_of(&self, pair: &'a Pair) -> impl Iterator<Item = Cell<'a>> + '_ {
        let mut cells: Vec<(u16, &'a Part)> = pair
            .parts
            .iter()
            .flat_map(|part| part.ports.iter().map(move |port| (port, part)))
            .collect();
        cells.sort_unstable_by_key(|(port, _)| *port);
        cells.into_iter().map(|(port, part)| self.cell(pair, part, port))
    }

    /// How many cells came to what.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.cells().for_each(|cell| tally.count(cell.verdict));
        tally
    }

    /// A number that is the same for rounds in which every cell is the same.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for cell in self.cells() {
            (cell.verdict, std::mem::discriminant(&cell.state)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The ports of each target that its witness should be asked: those that ought to be
    /// denied and that nobody could open, and those that ought to be open and are not.
    pub(crate) fn in_doubt(&self) -> Vec<(usize, Vec<u16>)> {
        let mut doubts: Vec<(usize, Vec<u16>)> = Vec::new();
        let mut of_column: Vec<HashSet<u16>> = vec![HashSet::new(); self.plan.columns.len()];
        for pair in &self.plan.pairs {
            for cell in self.cells_of(pair) {
                let is_denied = cell.expected == Some(Expected::Denied);
                let is_doubt = cell.verdict == Verdict::Missing
                    || (is_denied && cell.verdict == Verdict::Unproved);
                if is_doubt {
                    of_column[pair.column].insert(cell.port);
                }
            }
        }
        for (column, ports) in of_column.into_iter().enumerate().filter(|(_, of)| !of.is_empty()) {
            let mut ports: Vec<u16> = ports.into_iter().collect();
            ports.sort_unstable();
            doubts.push((column, ports));
        }
        doubts
    }

    /// What a vantage says of a port, whether or not it is a cell.
    pub(crate) fn state(&self, seat: usize, column: usize, port: u16) -> State {
        let host = match &self.plan.columns[column].host {
            Ok(target) => &target.host,
            Err(reason) => return State::NotAsked(reason.clone()),
        };
        match &self.round.answers[seat] {
            Ok(answers) => answers.state(host, port),
            Err(reason) => State::NotAsked(reason.clone()),
        }
    }

    /// Whether somebody could open the port.
    pub(crate) fn is_proved(&self, column: usize, port: u16) -> bool {
        self.proved[column].contains(&port)
    }

    /// What the witness of a target says of its port, if it was asked.
    pub(crate) fn of_witness(&self, column: usize, port: u16) -> Option<State> {
        let target = self.plan.columns[column].host.as_ref().ok()?;
        match self.round.witnesses.get(column)?.as_ref()? {
            Ok(answers) => Some(answers.state(&target.host, port)),
            Err(reason) => Some(State::NotAsked(reason.clone())),
        }
    }

    fn cell(&self, pair: &Pair, part: &Part, port: u16) -> Cell<'a> {
        let state = self.state(pair.seat, pair.column, port);
        let Part { expected, line, .. } = *part;
        Cell {
            seat: &self.plan.seats[pair.seat],
            column: &self.plan.columns[pair.column],
            port,
            expected,
            line,
            verdict: verdict(expected, &state, self.is_proved(pair.column, port)),
            state,
        }
    }
}

impl Tally {
    fn count(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Ok => &mut self.ok,
            Verdict::Unexpected => &mut self.unexpected,
            Verdict::Missing => &mut self.missing,
            Verdict::Unproved => &mut self.unproved,
            Verdict::NotAsked => &mut self.not_asked,
            Verdict::NotJudged => &mut self.not_judged,
        } += 1;
    }

    /// How many cells came to `verdict`.
    pub(crate) fn of(&self, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Ok => self.ok,
            Verdict::Unexpected => self.unexpected,
            Verdict::Missing => self.missing,
            Verdict::Unproved => self.unproved,
            Verdict::NotAsked => self.not_asked,
            Verdict::NotJudged => self.not_judged,
        }
    }

    /// Whether some cell is not as expected.
    pub(crate) fn is_wrong(&self) -> bool {
        self.unexpected + self.missing > 0
    }

    /// Whether every cell is known, and proved where that matters.
    pub(crate) fn is_complete(&self) -> bool {
        self.unproved + self.not_asked == 0
    }
}

#[cfg(test)]
mod tests;
