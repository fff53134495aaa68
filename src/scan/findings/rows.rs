//! Findings in eight bytes each: a scan with details may hold a million of them.
//!
//! While a scan runs, its findings stay in the order found, for the readers that
//! follow it. Once it is over they are sorted, and all its reports share the
//! sorted rows.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::scan::budget::memory::MemoryShare;
use crate::scan::outcome::{PortState, Reason};
use crate::scan::plan::Target;

/// A port that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Open or filtered.
    pub state: PortState,
    /// Why.
    pub reason: Reason,
    /// From the attempt to its answer, in whole microseconds; `None` when
    /// nothing answered.
    pub rtt: Option<Duration>,
}

/// The findings on one address, in ascending order of their ports. A clone
/// shares their memory.
#[derive(Clone)]
pub struct Findings {
    address: IpAddr,
    sorted: Arc<SortedRows>,
    range: Range<usize>,
}

/// A finding without its address. From the highest bit down: the index of the
/// address in the plan, the port, the state, the reason and the rtt in microseconds, which
/// is 0 when nothing answered. So rows are sorted as numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row(u64);

/// Rows in the order found, in chunks: a list that doubled would need twice or
/// three times the memory whenever it does.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// All full but the last.
    chunks: Vec<Vec<Row>>,
}

/// The size of a row.
pub(crate) const ROW_BYTES: usize = size_of::<Row>();

/// All rows of a scan, by address and port.
#[derive(Debug)]
pub(crate) struct SortedRows {
    rows: Vec<Row>,
    /// The memory held for the rows, given back when their last reader drops them.
    _memory: Option<Arc<MemoryShare>>,
}

impl Findings {
    /// No findings.
    #[must_use]
    pub fn none(address: IpAddr) -> Self {
        let sorted = Arc::new(SortedRows { rows: Vec::new(), _memory: None });
        Self { address, sorted, range: 0..0 }
    }

    /// Findings that are all on `address`.
    #[must_use]
    pub fn new(address: IpAddr, findings: impl IntoIterator<Item = Finding>) -> Self {
        let row = |Finding { port, state, reason, rtt, .. }| {
            Row::new(Target { address: 0, port }, state, reason, rtt)
        };
        let rows = findings.into_iter().map(row);
        let sorted = SortedRows::new(rows.collect(), None);
        Self { address, range: 0..sorted.rows.len(), sorted: Arc::new(sorted) }
    }

    /// The findings in `sorted` on `address`, which is at `index` in the plan.
    pub(crate) fn at(index: u16, address: IpAddr, sorted: &Arc<SortedRows>) -> Self {
        let end =
            |index: u32| sorted.rows.partition_point(|row| u32::from(row.target().address) < index);
        let range = end(index.into())..end(u32::from(index) + 1);
        Self { address, sorted: Arc::clone(sorted), range }
    }

    /// The address of the findings.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The findings in ascending order of their ports.
    pub fn iter(&self) -> impl Iterator<Item = Finding> + '_ {
        self.rows().iter().map(|row| row.finding(self.address))
    }

    /// The findings in ascending order of their ports, by value.
    pub fn into_owned_iter(self) -> impl Iterator<Item = Finding> + Send + use<> {
        let Self { address, sorted, range } = self;
        range.map(move |at| sorted.rows[at].finding(address))
    }

    /// The ports that are open, in ascending order.
    pub fn open_ports(&self) -> impl Iterator<Item = u16> + '_ {
        let open = self.rows().iter().filter(|row| row.state() == PortState::Open);
        open.map(|row| row.target().port)
    }

    /// The ports that are open, in ascending order, by value.
    pub fn into_owned_open_ports(self) -> impl Iterator<Item = u16> + Send + use<> {
        let findings = self.into_owned_iter();
        findings.filter(|finding| finding.state == PortState::Open).map(|finding| finding.port)
    }

    fn rows(&self) -> &[Row] {
        &self.sorted.rows[self.range.clone()]
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Findings {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Findings {}

impl Row {
    pub(crate) fn new(
        target: Target,
        state: PortState,
        reason: Reason,
        rtt: Option<Duration>,
    ) -> Self {
        // At least 1, and at most 134 s, which no timeout reaches.
        let longest = (1 << RTT_BITS) - 1;
        let rtt = rtt.map_or(0, |rtt| rtt.as_micros().clamp(1, longest));
        let rtt = u64::try_from(rtt).expect("it has fewer bits");
        let kind = (state as u64) << REASON_BITS | reason.index() as u64;
        let target = u64::from(target.address) << 16 | u64::from(target.port);
        Self((target << KIND_BITS | kind) << RTT_BITS | rtt)
    }

    pub(crate) fn target(self) -> Target {
        let address = self.bits(RTT_BITS + KIND_BITS + 16, 16);
        Target { address, port: self.bits(RTT_BITS + KIND_BITS, 16) }
    }

    pub(crate) fn state(self) -> PortState {
        let state = self.bits(RTT_BITS + REASON_BITS, STATE_BITS);
        STATES[usize::from(state)]
    }

    pub(crate) fn finding(self, address: IpAddr) -> Finding {
        let reason = Reason::ALL[usize::from(self.bits(RTT_BITS, REASON_BITS))];
        let us = self.0 & ((1 << RTT_BITS) - 1);
        let rtt = (us > 0).then(|| Duration::from_micros(us));
        Finding { address, port: self.target().port, state: self.state(), reason, rtt }
    }

    /// `count` bits, 16 at most, above the lowest `from`.
    fn bits(self, from: u32, count: u32) -> u16 {
        let bits = (self.0 >> from) & ((1 << count) - 1);
        u16::try_from(bits).expect("16 bits at most")
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * ROWS_A_CHUNK + last
    }

    pub(crate) fn push(&mut self, row: Row) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < ROWS_A_CHUNK => last.push(row),
            // The few findings of a small scan take no whole chunk.
            None => self.chunks.push(vec![row]),
            Some(_) => {
                let mut chunk = Vec::with_capacity(ROWS_A_CHUNK);
                chunk.push(row);
                self.chunks.push(chunk);
            }
        }
    }

    /// Moves all rows of `part` to the end of these.
    pub(crate) fn append(&mut self, part: &mut Self) {
        part.from(0).for_each(|row| self.push(row));
        part.chunks.truncate(1);
        if let Some(chunk) = part.chunks.first_mut() {
            chunk.clear();
        }
    }

    /// The rows from the one at `start`.
    pub(crate) fn from(&self, start: usize) -> impl Iterator<Item = Row> + '_ {
        let (chunk, within) = (start / ROWS_A_CHUNK, start % ROWS_A_CHUNK);
        let mut chunks = self.chunks.get(chunk..).unwrap_or_default().iter();
        let first = chunks.next().and_then(|chunk| chunk.get(within..)).unwrap_or_default();
        first.iter().chain(chunks.flatten()).copied()
    }
}

impl SortedRows {
    pub(crate) fn new(mut rows: Vec<Row>, memory: Option<Arc<MemoryShare>>) -> Self {
        rows.sort_unstable();
        Self { rows, _memory: memory }
    }

    pub(crate) fn of(rows: &Rows, memory: Option<Arc<MemoryShare>>) -> Self {
        let mut all = Vec::with_capacity(rows.len());
        all.extend(rows.from(0));
        Self::new(all, memory)
    }
}

/// In the order of their numbers.
const STATES: [PortState; 3] = [PortState::Open, PortState::Closed, PortState::Filtered];

const STATE_BITS: u32 = 2;
const REASON_BITS: u32 = 3;
const KIND_BITS: u32 = STATE_BITS + REASON_BITS;
const RTT_BITS: u32 = 64 - 16 - 16 - KIND_BITS;

/// 256 KB: so large a block comes from the system and goes back to it.
const ROWS_A_CHUNK: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(port: u16, state: PortState, reason: Reason, us: Option<u64>) -> Finding {
        let address = "192.0.2.1".parse().unwrap();
        Finding { address, port, state, reason, rtt: us.map(Duration::from_micros) }
    }

    #[test]
    fn a_row_holds_all_of_its_finding() {
        for state in STATES {
            for reason in Reason::ALL {
                for us in [None, Some(1), Some(30_000_000)] {
                    for (address, port) in [(0, 1), (0, 65_535), (65_535, 1), (255, 443)] {
                        let (target, finding) =
                            (Target { address, port }, finding(port, state, reason, us));
                        let row = Row::new(target, state, reason, finding.rtt);
                        assert_eq!(row.finding(finding.address), finding);
                        assert_eq!((row.target(), row.state()), (target, state));
                    }
                }
            }
        }
        let at_once = finding(1, PortState::Open, Reason::SynAck, Some(0));
        let target = Target { address: 0, port: 1 };
        let row = Row::new(target, at_once.state, at_once.reason, at_once.rtt);
        assert_eq!(
            row.finding(at_once.address).rtt,
            Some(Duration::from_micros(1)),
            "there was an answer"
        );
    }

    #[test]
    fn rows_come_back_in_the_order_found_and_sorted() {
        let row = |address: u16, port: u16| {
            let target = Target { address, port };
            Row::new(target, PortState::Filtered, Reason::NoResponse, None)
        };
        let (mut all, mut part) = (Rows::default(), Rows::default());
        let mut wanted = Vec::new();
        let mut number = 0_u32;
        // Parts of many sizes, over two ends of chunks.
        while wanted.len() < 2 * ROWS_A_CHUNK + 100 {
            for _ in 0..number % 9973 + 1 {
                number += 1;
                let low = u16::try_from(number.wrapping_mul(40_503) % 65_536).unwrap();
                let row = row(u16::try_from(number % 7).unwrap(), low);
                wanted.push(row);
                part.push(row);
            }
            all.append(&mut part);
            assert_eq!((all.len(), part.len()), (wanted.len(), 0));
        }
        for start in [0, 1, ROWS_A_CHUNK - 1, ROWS_A_CHUNK, wanted.len() - 1, wanted.len()] {
            assert!(all.from(start).eq(wanted[start..].iter().copied()), "from {start}");
        }
        assert_eq!(all.from(wanted.len() + ROWS_A_CHUNK).count(), 0);

        let sorted = Arc::new(SortedRows::of(&all, None));
        let address = "192.0.2.1".parse().unwrap();
        let mut count = 0;
        for index in 0..8 {
            let findings = Findings::at(index, address, &sorted);
            assert!(findings.iter().is_sorted_by_key(|finding| finding.port));
            let at_index = wanted.iter().filter(|row| row.target().address == index).count();
            assert_eq!(findings.len(), at_index);
            assert!(findings.iter().eq(findings.clone().into_owned_iter()));
            count += findings.len();
        }
        assert_eq!(count, wanted.len());
    }
}
