//! The addresses of a scan, and how long to wait for each of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::rtt::{Path, PathTiming};
use crate::limits;

/// The ways to all addresses of a scan.
#[derive(Debug)]
pub(super) struct Paths {
    addresses: Vec<IpAddr>,
    places: HashMap<IpAddr, u16>,
    paths: Vec<Path>,
    /// No attempt waits longer, and two without any answer not longer together.
    ceiling: Duration,
}

impl Paths {
    /// The ways to `addresses`, of which there are at most 65,536.
    pub(super) fn new(addresses: &[IpAddr], ceiling: Duration) -> Self {
        let places = addresses.iter().zip(0u16..).map(|(&address, place)| (address, place));
        Self {
            addresses: addresses.to_vec(),
            places: places.collect(),
            paths: addresses.iter().map(|_| Path::default()).collect(),
            ceiling,
        }
    }

    /// The place of one of the scan's addresses among them.
    pub(super) fn place(&self, address: IpAddr) -> u16 {
        *self.places.get(&address).expect("targets are on the scan's addresses")
    }

    /// The address at `place`.
    pub(super) fn address(&self, place: u16) -> IpAddr {
        self.addresses[usize::from(place)]
    }

    /// How long attempt number `attempt`, counted from 1, waits for an answer.
    pub(super) fn wait(&self, place: u16, attempt: u32) -> Duration {
        if let Some(timeout) = self.paths[usize::from(place)].timeout() {
            // Each further attempt is more patient: the last one may have been
            // answered too late.
            let growth = GROWTH.powi(attempt.min(MOST_GROWTH).saturating_sub(1).cast_signed());
            return timeout.mul_f64(growth).min(self.ceiling);
        }
        let first = match self.informed_by_others() {
            Some(timeout) => (timeout * 2).min(self.ceiling / limits::FIRST_ATTEMPT_DIVISOR),
            None => self.ceiling / limits::FIRST_ATTEMPT_DIVISOR,
        };
        let first = first.min(limits::MAX_FIRST_ATTEMPT);
        if attempt <= 1 { first } else { self.ceiling - first }
    }

    /// Whether the address has answered.
    pub(super) fn is_timed(&self, place: u16) -> bool {
        self.paths[usize::from(place)].timeout().is_some()
    }

    /// Takes a measured round-trip time into account. True if it is the first
    /// for this address.
    pub(super) fn sample(&self, place: u16, rtt: Duration) -> bool {
        self.paths[usize::from(place)].sample(rtt)
    }

    /// What is known of the ways, in the order of the addresses.
    pub(super) fn timings(&self) -> Vec<Option<PathTiming>> {
        self.paths.iter().map(Path::timing).collect()
    }

    /// The longest wait that any other address was found to need.
    fn informed_by_others(&self) -> Option<Duration> {
        // One address has no others, and of thousands the first few will do.
        self.paths.iter().take(limits::MAX_ADDRESSES).filter_map(Path::timeout).max()
    }
}

/// By how much each attempt waits longer than the one before.
const GROWTH: f64 = 1.5;

/// After so many attempts the wait, by then five times the first, stays.
const MOST_GROWTH: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(count: u8) -> Paths {
        let addresses: Vec<IpAddr> = (1..=count).map(|n| [10, 0, 0, n].into()).collect();
        Paths::new(&addresses, Duration::from_secs(2))
    }

    #[test]
    fn two_attempts_without_any_answer_take_one_timeout_together() {
        let paths = paths(1);
        assert_eq!(paths.wait(0, 1), Duration::from_millis(500));
        assert_eq!(paths.wait(0, 2), Duration::from_millis(1500));
    }

    #[test]
    fn an_answer_shortens_the_wait_and_further_attempts_are_more_patient() {
        let paths = paths(1);
        assert!(paths.sample(0, Duration::from_micros(100)));
        let nearly = |wait: Duration, margins: f64| {
            wait.abs_diff(limits::MIN_MARGIN.mul_f64(margins)) < Duration::from_millis(1)
        };
        assert!(nearly(paths.wait(0, 1), 1.0) && nearly(paths.wait(0, 2), 1.5));
        assert!(paths.wait(0, 40) <= Duration::from_secs(2));
        assert!(paths.sample(0, Duration::from_millis(900)) || paths.wait(0, 9) <= paths.ceiling);
    }

    #[test]
    fn other_addresses_inform_the_first_wait() {
        let paths = paths(2);
        paths.sample(0, Duration::from_micros(100));
        assert_eq!(paths.wait(1, 1), paths.wait(0, 1) * 2);
        assert_eq!(paths.wait(1, 1) + paths.wait(1, 2), paths.ceiling);
        assert_eq!(
            (paths.place([10, 0, 0, 2].into()), paths.address(1)),
            (1, [10, 0, 0, 2].into())
        );
    }
}
