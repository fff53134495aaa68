//! What is known of every port so far, in two bits each, and one for ports that were
//! asked in vain.
//!
//! A scan counts its closed ports and lists the others. A reader that draws all ports
//! needs more; for one, the scan of a plan with
//! [`States::Mapped`] keeps this map.

use std::sync::Arc;

use crate::scan::budget::memory::MemoryShare;
use crate::scan::outcome::PortState;
use crate::scan::plan::{ScanPlan, States, Target};

/// What is known of a port of a running scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing yet.
    Unknown,
    /// It was asked and has not answered. It is asked again, or has its verdict soon.
    Silent,
    /// Its state, which does not change any more.
    State(PortState),
}

/// Successive ports of which the same is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRun {
    /// The first port.
    pub first: u16,
    /// The last port, which may be the same.
    pub last: u16,
    /// What is known of them.
    pub standing: Standing,
}

/// When runs are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// While the scan runs.
    Running,
    /// In the end: a port without a state was not scanned, and whether it was silent does
    /// not matter any more.
    Ended,
}

/// What is known of every port of a plan.
#[derive(Debug)]
pub(crate) struct StateMap {
    plan: Arc<ScanPlan>,
    /// The memory held for a copy, given back with it.
    _memory: Option<Arc<MemoryShare>>,
    /// Two bits for each port between the first and the last of the plan, address by
    /// address: 0, or the number of the state.
    states: Vec<u8>,
    /// A bit for each of these ports.
    silent: Vec<u8>,
}

/// How some tallies keep the states of ports, if at all.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Not at all.
    Nothing,
    /// What became known since the last handing over: a fan-out's.
    News(Vec<(Target, Standing)>),
    /// All: a scan's.
    All(StateMap),
}

impl StateMap {
    /// Nothing is known.
    pub(crate) fn new(plan: &Arc<ScanPlan>) -> Self {
        let ports = plan.addresses.len() * span(plan);
        let (states, silent) = (vec![0; ports.div_ceil(4)], vec![0; ports.div_ceil(8)]);
        Self { plan: Arc::clone(plan), _memory: None, states, silent }
    }

    /// A copy that holds `memory` while it is in use.
    pub(crate) fn copy(&self, memory: Arc<MemoryShare>) -> Self {
        let Self { plan, states, silent, .. } = self;
        let (states, silent) = (states.clone(), silent.clone());
        Self { plan: Arc::clone(plan), _memory: Some(memory), states, silent }
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.states.len() + self.silent.len()
    }

    /// How many bytes the map of a scan with `plan` takes, if it keeps one.
    pub(crate) fn bytes_for(plan: &ScanPlan) -> usize {
        let ports = match plan.states {
            States::Counted => 0,
            States::Mapped => plan.addresses.len().saturating_mul(span(plan)),
        };
        ports.div_ceil(4) + ports.div_ceil(8)
    }

    /// The runs of the plan's ports from `from` on, `most` at most, in ascending order.
    /// `address` is an index of the plan's addresses.
    pub(crate) fn runs(
        &self,
        address: u16,
        from: u16,
        most: usize,
        moment: Moment,
    ) -> Vec<StateRun> {
        let mut runs: Vec<StateRun> = Vec::new();
        let ranges = self.plan.ports.ranges().filter(|&(_, last)| last >= from);
        for port in ranges.flat_map(|(first, last)| first.max(from)..=last) {
            let standing = match (self.get(Target { address, port }), moment) {
                (Standing::Silent, Moment::Ended) => Standing::Unknown,
                (standing, _) => standing,
            };
            let continues = |run: &&mut StateRun| run.standing == standing && run.last + 1 == port;
            if let Some(run) = runs.last_mut().filter(continues) {
                run.last = port;
            } else if runs.len() == most {
                break;
            } else {
                runs.push(StateRun { first: port, last: port, standing });
            }
        }
        runs
    }

    fn get(&self, target: Target) -> Standing {
        let index = self.index(target);
        match (self.states[index / 4] >> (index % 4 * 2)) & 3 {
            0 if (self.silent[index / 8] >> (index % 8)) & 1 == 1 => Standing::Silent,
            0 => Standing::Unknown,
            number => Standing::State(STATES[usize::from(number) - 1]),
        }
    }

    fn set(&mut self, target: Target, standing: Standing) {
        let index = self.index(target);
        match standing {
            Standing::Unknown => {}
            Standing::Silent => self.silent[index / 8] |= 1 << (index % 8),
            Standing::State(state) => {
                let number = match state {
                    PortState::Open => 1,
                    PortState::Closed => 2,
                    PortState::Filtered => 3,
                };
                let (cell, shift) = (&mut self.states[index / 4], index % 4 * 2);
                *cell = (*cell & !(3 << shift)) | (number << shift);
            }
        }
    }

    fn index(&self, Target { address, port }: Target) -> usize {
        usize::from(address) * span(&self.plan) + usize::from(port - self.plan.ports.first())
    }
}

impl Kept {
    /// What a fan-out with this plan keeps.
    pub(crate) fn part_of(plan: &ScanPlan) -> Self {
        match plan.states {
            States::Counted => Self::Nothing,
            States::Mapped => Self::News(Vec::new()),
        }
    }

    /// What a scan with this plan keeps.
    pub(crate) fn whole_of(plan: &Arc<ScanPlan>) -> Self {
        match plan.states {
            States::Counted => Self::Nothing,
            States::Mapped => Self::All(StateMap::new(plan)),
        }
    }

    /// Keeps what became known of `target`.
    pub(crate) fn note(&mut self, target: Target, standing: Standing) {
        match self {
            Self::Nothing => {}
            Self::News(news) => news.push((target, standing)),
            Self::All(map) => map.set(target, standing),
        }
    }

    /// Moves what `part` has into this.
    pub(crate) fn absorb(&mut self, part: &mut Self) {
        if let Self::News(news) = part {
            news.drain(..).for_each(|(target, standing)| self.note(target, standing));
        }
    }

    /// How much there is to hand over.
    pub(crate) fn news(&self) -> usize {
        match self {
            Self::News(news) => news.len(),
            Self::Nothing | Self::All(_) => 0,
        }
    }

    /// The map of a scan.
    pub(crate) fn map(&self) -> Option<&StateMap> {
        match self {
            Self::All(map) => Some(map),
            Self::Nothing | Self::News(_) => None,
        }
    }
}

/// How many ports lie between the first and the last of a plan, with both.
fn span(plan: &ScanPlan) -> usize {
    usize::from(plan.ports.last() - plan.ports.first()) + 1
}

/// In the order of their numbers, from 1.
const STATES: [PortState; 3] = [PortState::Open, PortState::Closed, PortState::Filtered];

/// How much a fan-out keeps before it hands over although it is busy: 6 KB. Handing over
/// takes a lock, which is nothing among so many probes.
pub(crate) const NEWS_AT_ONCE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn standing() -> impl Strategy<Value = Standing> {
        prop_oneof![
            Just(Standing::Unknown),
            Just(Standing::Silent),
            prop::sample::select(&STATES[..]).prop_map(Standing::State),
        ]
    }

    fn plan(ports: &str) -> Arc<ScanPlan> {
        let addresses = [1, 2].map(|last| IpAddr::from([192, 0, 2, last])).into();
        let plan = ScanPlan::new(addresses, ports.parse().unwrap());
        Arc::new(ScanPlan { states: States::Mapped, ..plan })
    }

    proptest! {
        #[test]
        fn runs_have_every_port_of_the_plan_once_with_what_is_known_of_it(
            steps in prop::collection::vec((0..2_u16, 0..95_u32, standing()), 0..200),
            most in 1_usize..9,
            moment in prop::sample::select(&[Moment::Running, Moment::Ended][..]),
        ) {
            let plan = plan("7-60,62,90-129");
            let mut map = StateMap::new(&plan);
            let mut wanted = vec![[Standing::Unknown; 95]; 2];
            for (address, index, standing) in steps {
                let port = plan.ports.nth(index).unwrap();
                let known = &mut wanted[usize::from(address)][index as usize];
                // A state stays; silence is what nothing else is known of.
                let is_news = match *known {
                    Standing::State(_) => false,
                    Standing::Silent => matches!(standing, Standing::State(_)),
                    Standing::Unknown => true,
                };
                if is_news || standing == Standing::Silent {
                    map.set(Target { address, port }, standing);
                }
                if is_news {
                    *known = standing;
                }
            }
            for (address, wanted) in (0..).zip(&wanted) {
                // Asked for bit by bit, as a stream does.
                let (mut runs, mut from) = (Vec::<StateRun>::new(), 0);
                loop {
                    let more = map.runs(address, from, most, moment);
                    prop_assert!(more.len() <= most);
                    let Some(last) = more.last() else { break };
                    from = last.last + 1;
                    runs.extend(more);
                }
                let ports = runs.iter().flat_map(|run| {
                    (run.first..=run.last).map(move |port| (port, run.standing))
                });
                let wanted = wanted.iter().map(|&standing| match (standing, moment) {
                    (Standing::Silent, Moment::Ended) => Standing::Unknown,
                    _ => standing,
                });
                let wanted: Vec<_> = plan.ports.iter().zip(wanted).collect();
                prop_assert_eq!(ports.collect::<Vec<_>>(), wanted);
                // Neighbours differ, or a port between them is not of the plan.
                for pair in runs.windows(2) {
                    let is_next = pair[0].last + 1 == pair[1].first;
                    prop_assert!(!is_next || pair[0].standing != pair[1].standing);
                }
            }
        }
    }

    #[test]
    fn a_map_takes_three_bits_a_port_and_the_highest_port_has_its_own() {
        let plan = plan("1-65535");
        let mut map = StateMap::new(&plan);
        assert_eq!(map.bytes(), (2 * 65_535_usize * 3).div_ceil(8));
        assert_eq!(StateMap::bytes_for(&plan), map.bytes());
        let counted = ScanPlan { states: States::Counted, ..ScanPlan::clone(&plan) };
        assert_eq!(StateMap::bytes_for(&counted), 0);
        map.set(Target { address: 1, port: 65_535 }, Standing::State(PortState::Open));
        let run = |first, last, standing| StateRun { first, last, standing };
        assert_eq!(map.runs(0, 1, 9, Moment::Ended), [run(1, 65_535, Standing::Unknown)]);
        assert_eq!(
            map.runs(1, 1, 9, Moment::Ended),
            [
                run(1, 65_534, Standing::Unknown),
                run(65_535, 65_535, Standing::State(PortState::Open))
            ]
        );
    }
}
