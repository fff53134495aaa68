//! The counts add up, however the targets were divided among fan-outs.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::scan::findings::states::Moment;
use crate::scan::plan::States;

const PORTS: u16 = 40;
const ADDRESSES: u8 = 3;

fn plan(keep: Keep) -> Arc<ScanPlan> {
    let addresses = (1..=ADDRESSES).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    let ports = format!("1-{PORTS}").parse().unwrap();
    Arc::new(ScanPlan { keep, ..ScanPlan::new(addresses, ports) })
}

fn by_address(tallies: &Tallies) -> Vec<AddressTally> {
    tallies.by_address(&Arc::new(tallies.sorted(None)))
}

fn outcome(address: u16, port: u16, verdict: Verdict) -> Outcome {
    Outcome { target: Target { address, port }, verdict, rtt: None }
}

const OPEN: Verdict = Verdict::Port(PortState::Open, Reason::SynAck);

fn verdict() -> impl Strategy<Value = Verdict> {
    let filtered = prop::sample::select(&Reason::ALL[2..]);
    prop_oneof![
        Just(OPEN),
        Just(Verdict::Port(PortState::Closed, Reason::ConnRefused)),
        filtered.prop_map(|reason| Verdict::Port(PortState::Filtered, reason)),
        Just(Verdict::NotScanned(Shortage::UnknownError)),
    ]
}

proptest! {
    #[test]
    fn every_target_is_in_exactly_one_count_whichever_fan_out_counted_it(
        keep in prop::sample::select(&[Keep::Open, Keep::NotClosed][..]),
        // By target: what became of it, and which of two fan-outs had it.
        ends in prop::collection::vec(
            (prop::option::of(verdict()), any::<bool>()),
            usize::from(PORTS) * usize::from(ADDRESSES),
        ),
        hand_over_every in 1_usize..50,
        states in prop::sample::select(&[States::Counted, States::Mapped][..]),
    ) {
        let plan = Arc::new(ScanPlan { states, ..ScanPlan::clone(&plan(keep)) });
        let (mut whole, mut parts) = (Tallies::whole(&plan), [0; 2].map(|_| Tallies::part(&plan)));
        for (number, (verdict, second)) in ends.iter().enumerate() {
            let port = u16::try_from(number).unwrap() % PORTS + 1;
            let address = u16::try_from(number).unwrap() / PORTS;
            let part = &mut parts[usize::from(*second)];
            if let Some(verdict) = *verdict {
                part.record(&outcome(address, port, verdict));
            }
            if number % hand_over_every == 0 {
                whole.absorb(part);
                prop_assert!((part.done(), part.found(), part.has_news()) == (0, 0, false));
            }
        }
        parts.iter_mut().for_each(|part| whole.absorb(part));

        let verdicts: Vec<Verdict> = ends.iter().filter_map(|(verdict, _)| *verdict).collect();
        let count = |wanted: fn(&PortState) -> bool| {
            let has = |verdict: &&Verdict| matches!(verdict, Verdict::Port(it, _) if wanted(it));
            verdicts.iter().filter(has).count() as u64
        };
        let Totals { open, closed, filtered, not_scanned } = whole.totals();
        prop_assert_eq!(open, count(|&it| it == PortState::Open));
        prop_assert_eq!(closed, count(|&it| it == PortState::Closed));
        prop_assert_eq!(filtered, count(|&it| it == PortState::Filtered));
        prop_assert_eq!(open + closed + filtered + not_scanned, ends.len() as u64);
        prop_assert_eq!(whole.done(), verdicts.len() as u64);
        let kept = open + if keep == Keep::NotClosed { filtered } else { 0 };
        prop_assert_eq!(whole.found() as u64, kept);

        let mut sums = Totals::default();
        for (index, tally) in by_address(&whole).into_iter().enumerate() {
            prop_assert_eq!(tally.address, plan.addresses[index]);
            let all = tally.open + tally.closed + tally.filtered_total() + tally.not_scanned;
            prop_assert_eq!(all, u32::from(PORTS));
            let of_address = &ends[index * usize::from(PORTS)..][..usize::from(PORTS)];
            let open = (1..).zip(of_address).filter(|(_, (verdict, _))| *verdict == Some(OPEN));
            prop_assert!(tally.findings.open_ports().eq(open.map(|(port, _)| port)));
            let runs = whole.states().map(|map| map.runs(u16::try_from(index).unwrap(), 1, 99, Moment::Ended));
            prop_assert_eq!(runs.is_some(), states == States::Mapped);
            if let Some(runs) = runs {
                let known = runs.iter().flat_map(|run| {
                    (run.first..=run.last).map(move |port| (port, run.standing))
                });
                let wanted = (1_u16..).zip(of_address).map(|(port, (verdict, _))| match verdict {
                    Some(Verdict::Port(state, _)) => (port, Standing::State(*state)),
                    Some(Verdict::NotScanned(_)) | None => (port, Standing::Unknown),
                });
                prop_assert!(known.eq(wanted), "{runs:?}");
            }
            sums.open += u64::from(tally.open);
            sums.closed += u64::from(tally.closed);
            sums.filtered += u64::from(tally.filtered_total());
            sums.not_scanned += u64::from(tally.not_scanned);
        }
        prop_assert_eq!(sums, whole.totals());
    }
}

#[test]
fn an_address_written_off_has_all_its_ports_filtered_and_the_others_none() {
    for (keep, found) in [(Keep::Open, 0), (Keep::NotClosed, usize::from(PORTS))] {
        let mut tallies = Tallies::whole(&plan(keep));
        tallies.write_off(1, Reason::HostUnreach);
        let filtered = |tally: &AddressTally| tally.filtered[Reason::HostUnreach.index()];
        let by_address = by_address(&tallies);
        assert_eq!(by_address.iter().map(filtered).collect::<Vec<_>>(), [0, 40, 0]);
        assert_eq!(by_address[1].findings.len(), found);
        assert_eq!((tallies.done(), tallies.totals().not_scanned), (40, 80));
    }
}

#[test]
fn a_shortage_is_the_reason_only_where_something_was_not_scanned() {
    let mut tallies = Tallies::whole(&plan(Keep::Open));
    (1..=PORTS).for_each(|port| tallies.record(&outcome(0, port, OPEN)));
    let unknown = Verdict::NotScanned(Shortage::UnknownError);
    tallies.record(&outcome(1, 7, unknown));
    tallies.fall_short(Some(Shortage::Time));
    let shortages: Vec<_> = by_address(&tallies).iter().map(|tally| tally.shortage).collect();
    assert_eq!(shortages, [None, Some(Shortage::UnknownError), Some(Shortage::Time)]);
}

#[test]
fn half_of_the_ports_open_are_suspicious_unless_they_are_few() {
    let mut tallies = Tallies::whole(&plan(Keep::Open));
    (1..=20).for_each(|port| tallies.record(&outcome(0, port, OPEN)));
    (1..=19).for_each(|port| tallies.record(&outcome(1, port, OPEN)));
    assert_eq!(tallies.suspiciously_open(), [0]);
    assert!(tallies.is_open(Target { address: 0, port: 20 }));
    assert!(!tallies.is_open(Target { address: 1, port: 20 }));

    let few = ScanPlan { ports: "1-10".parse().unwrap(), ..ScanPlan::clone(&plan(Keep::Open)) };
    let mut tallies = Tallies::whole(&Arc::new(few));
    (1..=9).for_each(|port| tallies.record(&outcome(0, port, OPEN)));
    assert!(tallies.suspiciously_open().is_empty());
    tallies.record(&outcome(0, 10, OPEN));
    assert_eq!(tallies.suspiciously_open(), [0]);
}
