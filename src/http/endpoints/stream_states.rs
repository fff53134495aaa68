//! Records of which ports are in which state, for a client that draws them all:
//!
//! ```text
//! {"type":"states","address":"127.0.0.1","runs":[[1,21,"closed"],[22,22,"open"]]}
//! ```
//!
//! A record is whole: it has every port of its address of which something is known, as
//! runs of successive ports in ascending order. So a client needs no earlier record, and
//! one that reads slowly gets fewer of them. Most hosts have few runs, but some have a
//! megabyte of them, so a record is made a chunk at a time.

use std::mem;
use std::net::IpAddr;

use hyper::body::Bytes;

use super::stream::Framing;
use crate::limits;
use crate::scan::{Moment, Scan, Standing, StateMap, StateRun};

/// The records of one moment, one for each address.
#[derive(Debug)]
pub(super) struct StateRecords {
    moment: Moment,
    /// What was known when the report was made, if the scan goes on.
    copy: Option<StateMap>,
    framing: Framing,
    addresses: Vec<IpAddr>,
    /// The index of the address whose record is written.
    index: u16,
    /// Its next port.
    from: u16,
    /// Whether its record has begun.
    is_open: bool,
}

impl StateRecords {
    /// What is known so far of the ports of `addresses`, which are those of the scan.
    pub(super) fn so_far(framing: Framing, addresses: Vec<IpAddr>) -> Self {
        Self::new(Moment::Running, None, (framing, addresses))
    }

    /// What is known in the end: what `copy` has or, without one, the scan, which has ended.
    /// The other ports were not scanned.
    pub(super) fn in_the_end(
        framing: Framing,
        addresses: Vec<IpAddr>,
        copy: Option<StateMap>,
    ) -> Self {
        Self::new(Moment::Ended, copy, (framing, addresses))
    }

    fn new(
        moment: Moment,
        copy: Option<StateMap>,
        (framing, addresses): (Framing, Vec<IpAddr>),
    ) -> Self {
        Self { moment, copy, framing, addresses, index: 0, from: 1, is_open: false }
    }

    /// The next chunk; `None` after the last.
    pub(super) fn next(&mut self, scan: &Scan) -> Option<Bytes> {
        let mut chunk = Vec::new();
        while chunk.is_empty() {
            let address = *self.addresses.get(usize::from(self.index))?;
            let runs = self.runs(scan);
            self.write(&mut chunk, address, &runs);
            let next = runs.last().and_then(|run| run.last.checked_add(1));
            if let Some(next) = next.filter(|_| runs.len() == limits::RUNS_A_CHUNK) {
                self.from = next;
                continue;
            }
            if mem::take(&mut self.is_open) {
                chunk.extend_from_slice(b"]}");
                self.framing.close(&mut chunk);
            }
            (self.index, self.from) = (self.index + 1, 1);
        }
        Some(chunk.into())
    }

    fn runs(&self, scan: &Scan) -> Vec<StateRun> {
        let (index, from, most) = (self.index, self.from, limits::RUNS_A_CHUNK);
        match &self.copy {
            Some(map) => map.runs(index, from, most, self.moment),
            None => scan.state_runs(index, from, most, self.moment),
        }
    }

    /// Writes `runs`, and the start of their record before the first.
    fn write(&mut self, chunk: &mut Vec<u8>, address: IpAddr, runs: &[StateRun]) {
        for StateRun { first, last, standing } in runs {
            let state = match (standing, self.moment) {
                (Standing::State(state), _) => state.name(),
                (Standing::Silent, _) => "silent",
                (Standing::Unknown, Moment::Ended) => "not-scanned",
                (Standing::Unknown, Moment::Running) => continue,
            };
            let run = format!("[{first},{last},\"{state}\"]");
            if mem::replace(&mut self.is_open, true) {
                chunk.push(b',');
            } else {
                self.framing.open(chunk, NAME);
                let head = format!("{{\"type\":\"{NAME}\",\"address\":\"{address}\",\"runs\":[");
                chunk.extend_from_slice(head.as_bytes());
            }
            chunk.extend_from_slice(run.as_bytes());
        }
    }
}

/// The type of the records.
const NAME: &str = "states";
