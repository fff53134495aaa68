//! Where it is likely blocked: what the cells of a run have in common. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::answers::State;
use super::rules::Expected;
use super::verdict::{Judged, Verdict};
use crate::ports::PortSet;

/// What is likely the cause of several cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A vantage could not be asked.
    NotAsked { vantage: String, reason: String },
    /// A vantage reaches nothing of what others reach.
    Egress { vantage: String },
    /// Ports of a target that only the target itself can open.
    Ingress { target: String, ports: Vec<u16> },
    /// Ports of a target that nobody can open, not even itself.
    NobodyListens { target: String, ports: Vec<u16> },
    /// Something accepts every connection of a vantage.
    AcceptsEverything { vantage: String },
}

impl Cause {
    /// Every cause that explains a cell that is not as expected, or that nobody judged.
    pub(crate) fn all_of(judged: &Judged<'_>) -> Vec<Self> {
        let mut causes = Vec::new();
        let plan = judged.plan;
        for (seat, answers) in judged.round.answers.iter().enumerate() {
            let vantage = plan.seats[seat].name.clone();
            if let Err(reason) = answers {
                let reason = reason.reason().to_owned();
                causes.push(Self::NotAsked { vantage, reason });
                continue;
            }
            let cells: Vec<_> = plan
                .pairs
                .iter()
                .filter(|pair| pair.seat == seat)
                .flat_map(|pair| judged.cells_of(pair).map(|cell| (pair.column, cell)))
                .collect();
            if cells.iter().any(|(_, cell)| cell.state == State::AcceptsEverything) {
                causes.push(Self::AcceptsEverything { vantage });
                continue;
            }
            // What ought to be denied is no sign of anything.
            let of_interest =
                |verdict| matches!(verdict, Verdict::Ok | Verdict::Missing | Verdict::NotJudged);
            let mut wanted = cells.iter().filter(|(column, cell)| {
                let is_denial = cell.expected == Some(Expected::Denied);
                of_interest(cell.verdict) && !is_denial && !plan.is_itself(seat, *column)
            });
            let others_reach = |column: usize, port: u16| {
                let mut others = (0..plan.seats.len())
                    .filter(|&other| other != seat && !plan.is_itself(other, column));
                others.any(|other| judged.state(other, column, port) == State::Open)
            };
            let is_reached = wanted.clone().any(|(column, cell)| others_reach(*column, cell.port));
            if is_reached && !wanted.any(|(_, cell)| cell.state == State::Open) {
                causes.push(Self::Egress { vantage });
            }
        }
        causes.extend(of_targets(judged));
        causes
    }
}

/// What a target says of its own ports that others do not reach. A witness stands for it,
/// and so does a vantage of its name.
fn of_targets(judged: &Judged<'_>) -> Vec<Cause> {
    let plan = judged.plan;
    let mut unreached: Vec<BTreeSet<u16>> = vec![BTreeSet::new(); plan.columns.len()];
    for pair in &plan.pairs {
        let ports = judged.cells_of(pair).filter(|cell| {
            let is_known = matches!(cell.state, State::Refused | State::Filtered(_));
            is_known && matches!(cell.verdict, Verdict::Missing | Verdict::NotJudged)
        });
        unreached[pair.column].extend(ports.map(|cell| cell.port));
    }
    let mut causes = Vec::new();
    for (column, ports) in unreached.into_iter().enumerate() {
        let (mut inside, mut nowhere) = (Vec::new(), Vec::new());
        let (own, others): (Vec<usize>, Vec<usize>) =
            (0..plan.seats.len()).partition(|&seat| plan.is_itself(seat, column));
        for port in ports {
            let of = |seat: &usize| judged.state(*seat, column, port);
            let own = own.iter().map(of).chain(judged.of_witness(column, port));
            let own: Vec<State> = own.collect();
            if others.iter().any(|seat| of(seat) == State::Open) {
                continue;
            }
            if own.contains(&State::Open) {
                inside.push(port);
            } else if own.iter().any(|state| matches!(state, State::Refused | State::Filtered(_))) {
                nowhere.push(port);
            }
        }
        let target = &plan.columns[column].name;
        if !inside.is_empty() {
            causes.push(Cause::Ingress { target: target.clone(), ports: inside });
        }
        if !nowhere.is_empty() {
            causes.push(Cause::NobodyListens { target: target.clone(), ports: nowhere });
        }
    }
    causes
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked { vantage, reason } => write!(f, "{vantage} was not asked: {reason}"),
            Self::Egress { vantage } => {
                write!(f, "{vantage} reaches nothing that others reach: likely its egress")
            }
            Self::Ingress { target, ports } => {
                let ports = list(ports);
                write!(f, "only {target} itself reaches its {ports}: likely its ingress")
            }
            Self::NobodyListens { target, ports } => {
                write!(f, "{target} itself does not reach its {}: nobody listens", list(ports))
            }
            Self::AcceptsEverything { vantage } => write!(
                f,
                "something between {vantage} and its targets accepts every connection, as a \
                 sidecar does: open ports prove nothing there"
            ),
        }
    }
}

fn list(ports: &[u16]) -> String {
    let set = PortSet::from_ports(ports.iter().copied());
    let several = if ports.len() == 1 { "port" } else { "ports" };
    format!("{several} {}", set.map(|set| set.to_string()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::answers::{Answers, NotAsked};
    use crate::matrix::plan::{Column, Pair, Part, Plan, Seat};
    use crate::matrix::vantage::TargetHost;
    use crate::matrix::verdict::Round;
    use crate::scan::Reason;

    /// Vantages `a` and `b`, and targets `a` and `b`, all of one port that ought to be open.
    fn causes(answers: [Result<[State; 2], &str>; 2], witness: Option<State>) -> Vec<String> {
        let group = || Some("shop".to_owned());
        let seats = ["a", "b"].map(|name| {
            let vantage = Err(NotAsked::new("nobody is there"));
            Seat { name: name.into(), group: group(), vantage }
        });
        let columns = ["a", "b"].map(|name| {
            let host = TargetHost {
                name: name.into(),
                group: group(),
                host: name.parse().unwrap(),
                ports: None,
                witness: None,
            };
            Column { name: name.into(), group: group(), host: Ok(host) }
        });
        let part =
            || Part { ports: "80".parse().unwrap(), expected: Some(Expected::Open), line: None };
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let pairs = pairs.map(|(seat, column)| Pair { seat, column, parts: vec![part()] });
        let plan = Plan {
            seats: seats.to_vec(),
            columns: columns.to_vec(),
            ports: "80".parse().unwrap(),
            pairs: pairs.to_vec(),
        };
        let answers = answers.map(|answers| match answers {
            Ok([a, b]) => Ok(Answers::of([("a", 80, a), ("b", 80, b)])),
            Err(reason) => Err(NotAsked::new(reason)),
        });
        let witness = witness.map(|state| Ok(Answers::of([("b", 80, state)])));
        let round = Round { answers: answers.to_vec(), witnesses: vec![None, witness] };
        let judged = Judged::new(&plan, &round);
        Cause::all_of(&judged).iter().map(ToString::to_string).collect()
    }

    const SILENT: State = State::Filtered(Reason::NoResponse);

    #[test]
    fn a_target_that_only_itself_reaches_is_blocked_at_its_ingress() {
        let found = causes([Ok([State::Open, SILENT]), Ok([State::Open, State::Open])], None);
        assert_eq!(found, ["only b itself reaches its port 80: likely its ingress"]);
        let found =
            causes([Ok([State::Open, SILENT]), Ok([State::Open, SILENT])], Some(State::Open));
        assert_eq!(found, ["only b itself reaches its port 80: likely its ingress"]);
    }

    #[test]
    fn a_target_that_not_even_itself_reaches_does_not_listen() {
        let refused = State::Refused;
        let found = causes([Ok([State::Open, SILENT]), Ok([State::Open, refused])], None);
        assert_eq!(found, ["b itself does not reach its port 80: nobody listens"]);
    }

    #[test]
    fn where_everything_is_reached_nothing_is_blocked() {
        let all = || Ok([State::Open, State::Open]);
        assert!(causes([all(), all()], None).is_empty());
        // A workload reaches itself, whatever its egress.
        let found = causes([Ok([State::Open, State::Open]), Ok([SILENT, State::Open])], None);
        assert_eq!(found, ["only a itself reaches its port 80: likely its ingress"]);
    }

    #[test]
    fn a_vantage_that_was_not_asked_is_named_with_the_reason() {
        let found = causes([Err("it is gone"), Ok([State::Open, State::Open])], None);
        assert_eq!(found, ["a was not asked: it is gone"]);
        let all = State::AcceptsEverything;
        let found = causes([Ok([all.clone(), all]), Ok([State::Open, State::Open])], None);
        assert!(found[0].starts_with("something between a and its targets"), "{found:?}");
    }
}
