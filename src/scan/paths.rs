//! The addresses of a scan, and how long to wait for each of them.
//!
//! A wait that is too short hides open ports, so evidence decides how short it
//! may be. Answers of several open ports that agree are strong evidence: the wait
//! follows them. Anything less is weak, because a firewall or a proxy near the
//! scanner may have given the answer. It may shorten the first attempt, but the
//! second then waits for what is left of the ceiling. An answer that comes later
//! than a pass waited shows that the pass asked in vain: its silent ports are
//! asked again.
//!
//! An address that never answers gives no evidence. In a sweep its neighbours may
//! (see `networks`).

mod networks;
mod path;
mod rtt;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) use self::networks::Networks;
use self::networks::{Bound, View};
use self::path::Path;
use super::outcome::{Answer, PortState, Reason, Sender};
use super::plan::Target;
use crate::limits;

/// The paths to all addresses of a scan.
#[derive(Debug)]
pub(super) struct Paths {
    paths: Vec<Path>,
    /// No attempt waits longer, and two without strong evidence not longer
    /// together.
    ceiling: Duration,
    /// Counts the occasions on which waits became longer or shorter.
    revision: AtomicU32,
    /// What the neighbours of silent addresses show, in a sweep.
    view: Option<View>,
}

/// What a target's own answer was, as evidence of how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// A SYN-ACK.
    Accepted,
    /// A RST, or an ICMP error from the target itself.
    Refused,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To find out the state of a port.
    #[default]
    State,
    /// To find out how many of the silent ports answer when asked slowly.
    Pilot,
}

/// What is known of the path to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathTiming {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// How long an attempt waits that is the second or the last.
    pub timeout: Duration,
}

impl Paths {
    /// The paths to `addresses`. `networks` is what the scans of a sweep learn
    /// together.
    pub(super) fn new(
        addresses: &[IpAddr],
        ceiling: Duration,
        networks: Option<Arc<Networks>>,
    ) -> Self {
        Self {
            paths: addresses.iter().map(|it| Path::new(it.is_loopback())).collect(),
            ceiling,
            revision: AtomicU32::new(0),
            view: networks.map(|networks| View::new(addresses, networks)),
        }
    }

    /// How long an attempt made now waits for an answer.
    pub(super) fn wait(&self, address: u16, purpose: Purpose) -> Duration {
        let path = self.path(address);
        let passes = path.passes.load(Ordering::Relaxed);
        // After two, each pass is more patient: those may have been answered too late.
        let patient = |timeout: Duration| {
            let growth = GROWTH.powi(passes.saturating_sub(1).min(MOST_GROWTH).cast_signed());
            timeout.mul_f64(growth).min(self.ceiling)
        };
        if let Some(timeout) = duration(&path.strong) {
            let brief = duration(&path.brief).filter(|_| (purpose, passes) == (Purpose::State, 0));
            return brief.map_or_else(|| patient(timeout), |brief| brief.min(self.ceiling));
        }
        let (weak, longest) = (duration(&path.weak), duration(&path.longest));
        if let Some(bound) = self.bound(address) {
            let has_waited = longest.map(|longest| longest >= self.outlier_wait(bound));
            return match (purpose, has_waited) {
                (Purpose::State, Some(false)) => self.outlier_wait(bound),
                (Purpose::State, None) => bound.first.min(self.longest_first()),
                _ => bound.later.min(self.longest_first()),
            };
        }
        match (purpose, longest) {
            (Purpose::Pilot, _) => weak.map_or(PILOT_WAIT, patient).min(self.longest_first()),
            (Purpose::State, None) => {
                weak.unwrap_or_else(|| self.first_wait()).min(self.longest_first())
            }
            (Purpose::State, Some(longest)) if longest < self.ceiling_less_first() => {
                self.ceiling - longest.min(self.longest_first())
            }
            (Purpose::State, Some(_)) => weak.map_or(self.ceiling_less_first(), patient),
        }
    }

    /// How long one of several attempts at a silent port waits, to find out whether
    /// the others gave up too early.
    pub(super) fn patience(&self, address: u16) -> Duration {
        let strong = duration(&self.path(address).strong);
        strong.map_or(self.ceiling, |timeout| self.much_longer(timeout))
    }

    /// Learns from the answer to an attempt, which was seen after `elapsed`, how
    /// far its address is. `handshake_time` is what the kernel measured, if it did.
    pub(super) fn learn(
        &self,
        target: Target,
        purpose: Purpose,
        answer: Answer,
        elapsed: Duration,
        handshake_time: impl FnOnce() -> Option<Duration>,
    ) {
        let answered = match answer {
            Answer::Port(PortState::Open, _) => Answered::Accepted,
            Answer::Port(PortState::Closed, _) | Answer::Icmp(_, Sender::Target) => {
                Answered::Refused
            }
            Answer::Port(PortState::Filtered, Reason::NoResponse) => {
                return self.note_silence(target.address, purpose, elapsed);
            }
            // An error of this host, or of another one on the path.
            Answer::Port(..) | Answer::Icmp(..) | Answer::Short(_) => return,
        };
        self.sample(target, answered, elapsed, || {
            let measured = match answered {
                Answered::Accepted => handshake_time(),
                Answered::Refused => None,
            };
            // Without a measurement, it may have been a repeated SYN.
            measured.or_else(|| (elapsed < SYN_REPEATED).then_some(elapsed))
        });
    }

    /// Takes an answer of the target itself into account.
    /// `rtt` gives the time it took, or nothing if that is unknown.
    // The time may cost a system call, so it is asked for only where it counts.
    pub(super) fn sample(
        &self,
        target: Target,
        answered: Answered,
        rough: Duration,
        rtt: impl FnOnce() -> Option<Duration>,
    ) {
        let path = self.path(target.address);
        if !path.wants(answered, rough) {
            return;
        }
        let Some(rtt) = rtt() else { return };
        if path.sample(answered, rtt) {
            self.revision.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(view) = self.view.as_ref().filter(|_| answered == Answered::Accepted) {
            view.sample(target.address, target.port, rtt);
        }
    }

    /// Notes that an attempt ended in silence after `wait`.
    // What a pilot leaves silent is asked again in the same pass.
    pub(super) fn note_silence(&self, address: u16, purpose: Purpose, wait: Duration) {
        if purpose == Purpose::State {
            self.path(address).shortest.fetch_min(microseconds(wait), Ordering::Relaxed);
        }
    }

    /// Whether an answer that took `rtt` came later than every pass so far has
    /// waited: it was not lost before, nobody waited for it.
    // After a second it may be the answer to a SYN that Linux repeated, and so
    // one that was lost.
    pub(super) fn is_late(&self, address: u16, rtt: Duration) -> bool {
        let longest = duration(&self.path(address).longest);
        rtt < SYN_REPEATED && longest.is_some_and(|longest| rtt > longest)
    }

    /// Ends a pass: how long it waited counts from now on.
    pub(super) fn end_pass(&self) {
        self.paths.iter().for_each(Path::end_pass);
    }

    /// Whether silent ports of the address were waited for long enough and often
    /// enough. With strong evidence that is in two passes, as long as the slowest
    /// answer took; otherwise once, up to the ceiling or to what its neighbours
    /// allow.
    pub(super) fn is_settled(&self, address: u16) -> bool {
        let path = self.path(address);
        if duration(&path.strong).is_some() {
            return path.known().useful_passes(self.ceiling) >= 2;
        }
        let bound = self.bound(address).filter(|_| path.passes.load(Ordering::Relaxed) >= 2);
        let needed = bound.map_or(self.ceiling_less_first(), |bound| self.outlier_wait(bound));
        duration(&path.longest).is_some_and(|longest| longest >= needed)
    }

    /// A number that changes whenever waits became longer or shorter.
    pub(super) fn revision(&self) -> u32 {
        self.look_around();
        self.revision.load(Ordering::Relaxed)
    }

    /// What is known of the paths, in the order of the addresses.
    pub(super) fn timings(&self) -> Vec<Option<PathTiming>> {
        self.paths.iter().map(Path::timing).collect()
    }

    /// The first wait for an address that has not answered.
    fn first_wait(&self) -> Duration {
        // One address has no others, and of thousands the first few will do.
        let others = self.paths.iter().take(limits::MAX_ADDRESSES);
        let informed = others.filter_map(|path| duration(&path.strong)).max();
        self.longest_first().min(informed.map_or(Duration::MAX, |timeout| timeout * 2))
    }

    /// How long answers from the network of an address take, if the address itself
    /// has not answered and its neighbours have.
    fn bound(&self, address: u16) -> Option<Bound> {
        let view = self.view.as_ref()?;
        self.look_around();
        let silent = duration(&self.path(address).weak).is_none();
        view.bound(address).filter(|_| silent)
    }

    /// Takes over what the scans of a sweep have learnt.
    fn look_around(&self) {
        if self.view.as_ref().is_some_and(View::refresh) {
            self.revision.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How long one of the attempts at a silent address waits at least, whose
    /// neighbours answer within `bound`.
    fn outlier_wait(&self, bound: Bound) -> Duration {
        self.much_longer(bound.later)
    }

    /// A wait that an answer which usually comes within `timeout` does not exceed.
    fn much_longer(&self, timeout: Duration) -> Duration {
        (self.ceiling / limits::OUTLIER_DIVISOR).max(timeout * 4).min(self.ceiling_less_first())
    }

    fn longest_first(&self) -> Duration {
        (self.ceiling / limits::FIRST_ATTEMPT_DIVISOR).min(limits::MAX_FIRST_ATTEMPT)
    }

    fn ceiling_less_first(&self) -> Duration {
        self.ceiling - self.longest_first()
    }

    fn path(&self, address: u16) -> &Path {
        &self.paths[usize::from(address)]
    }
}

/// `None` for 0.
fn duration(microseconds: &AtomicU32) -> Option<Duration> {
    let us = microseconds.load(Ordering::Relaxed);
    (us > 0).then(|| Duration::from_micros(us.into()))
}

/// At least one, and less than what stands for no silence.
fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX).clamp(1, NO_SILENCE - 1)
}

const NO_SILENCE: u32 = u32::MAX;

/// Linux repeats a SYN after 1 s (TCP_TIMEOUT_INIT).
const SYN_REPEATED: Duration = Duration::from_secs(1);

/// By how much each pass after the second waits longer than the one before.
const GROWTH: f64 = 1.5;

const MOST_GROWTH: u32 = 4; // Then it is five times the first.

/// How long a pilot waits where nothing is known. It only steers, and the ports
/// it asks are asked again.
const PILOT_WAIT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
