//! The work on one target, from its first attempt to its verdict.

use std::time::{Duration, Instant};

use crate::scan::outcome::{PortState, Reason, Sighting, Verdict};
use crate::scan::plan::Target;

/// The work on one target.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) target: Target,
    /// When the present attempt began.
    pub(crate) started: Instant,
    /// The rtt of a first attempt that found the port open on this host.
    seen_open: Option<Duration>,
    self_connects: u8,
}

/// What an attempt's answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Verdict(Verdict, Option<Duration>),
    /// A probe of this host may have met another, or itself.
    AskAgain,
}

impl Probe {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, started: Instant::now(), seen_open: None, self_connects: 0 }
    }

    /// Reads a port's state as found by an attempt that took `rtt`. `sighting` may
    /// cost a system call, so it is asked for only where the port is open.
    pub(crate) fn judge(
        &mut self,
        state: PortState,
        reason: Reason,
        rtt: Option<Duration>,
        sighting: impl FnOnce() -> Sighting,
    ) -> Judgement {
        match (state, self.seen_open) {
            (PortState::Open, seen_open) => match sighting() {
                Sighting::Itself if self.self_connects < MAX_SELF_CONNECTS => {
                    self.self_connects += 1;
                    Judgement::AskAgain
                }
                Sighting::Itself => {
                    let verdict = Verdict::Port(PortState::Closed, Reason::ConnRefused);
                    Judgement::Verdict(verdict, rtt)
                }
                // A second attempt can meet itself as well, so only a listener
                // is left to answer two that did not.
                Sighting::Local if seen_open.is_none() => {
                    self.seen_open = rtt;
                    Judgement::AskAgain
                }
                Sighting::Local | Sighting::Remote => {
                    Judgement::Verdict(Verdict::Port(state, reason), seen_open.or(rtt))
                }
            },
            // A probe that crossed ours is gone by the second attempt, which is
            // then refused. Silence instead is a listener whose queue is full.
            (PortState::Filtered, Some(first_rtt)) => {
                let verdict = Verdict::Port(PortState::Open, Reason::SynAck);
                Judgement::Verdict(verdict, Some(first_rtt))
            }
            _ => Judgement::Verdict(Verdict::Port(state, reason), rtt),
        }
    }
}

/// The kernel picks source ports so that meeting the target again is a chance
/// of 1 in 28,232; eight times in a row does not happen.
const MAX_SELF_CONNECTS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_micros(30);

    fn probe() -> Probe {
        Probe::new(Target { address: 0, port: 443 })
    }

    fn open(probe: &mut Probe, rtt: Duration, sighting: Sighting) -> Judgement {
        probe.judge(PortState::Open, Reason::SynAck, Some(rtt), || sighting)
    }

    fn verdict(state: PortState, reason: Reason, rtt: Duration) -> Judgement {
        Judgement::Verdict(Verdict::Port(state, reason), Some(rtt))
    }

    #[test]
    fn a_remote_port_that_accepts_is_open_at_once() {
        let open = open(&mut probe(), RTT, Sighting::Remote);
        assert_eq!(open, verdict(PortState::Open, Reason::SynAck, RTT));
    }

    #[test]
    fn a_local_port_is_open_if_it_accepts_twice_and_has_the_rtt_of_the_first() {
        let mut probe = probe();
        assert_eq!(open(&mut probe, RTT, Sighting::Local), Judgement::AskAgain);
        let second = open(&mut probe, 2 * RTT, Sighting::Local);
        assert_eq!(second, verdict(PortState::Open, Reason::SynAck, RTT));
    }

    #[test]
    fn a_local_port_that_refuses_the_second_attempt_was_a_crossing_probe() {
        let mut probe = probe();
        assert_eq!(open(&mut probe, RTT, Sighting::Local), Judgement::AskAgain);
        let refused = probe.judge(PortState::Closed, Reason::ConnRefused, Some(RTT), || {
            unreachable!("only open ports are looked at")
        });
        assert_eq!(refused, verdict(PortState::Closed, Reason::ConnRefused, RTT));
    }

    #[test]
    fn a_local_port_that_is_silent_at_the_second_attempt_has_a_full_queue() {
        let mut probe = probe();
        assert_eq!(open(&mut probe, RTT, Sighting::Local), Judgement::AskAgain);
        let silent = probe.judge(PortState::Filtered, Reason::NoResponse, None, || {
            unreachable!("only open ports are looked at")
        });
        assert_eq!(silent, verdict(PortState::Open, Reason::SynAck, RTT));
    }

    #[test]
    fn a_port_that_only_ever_meets_itself_is_closed() {
        let mut probe = probe();
        for _ in 0..MAX_SELF_CONNECTS {
            assert_eq!(open(&mut probe, RTT, Sighting::Itself), Judgement::AskAgain);
        }
        let last = open(&mut probe, RTT, Sighting::Itself);
        assert_eq!(last, verdict(PortState::Closed, Reason::ConnRefused, RTT));
    }
}
