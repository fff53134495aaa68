//! A report as text, made a chunk at a time as its reader takes it. With a row for
//! every port it may be 80 MB long, and a hundred readers may each take one.
//!
//! A report that fits into one chunk is made at once.

use std::collections::VecDeque;

use futures_util::stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;

use super::indent::Indenter;
use crate::expect::Expectation;
use crate::http::exchange::reply::{ReplyBody, growing};
use crate::limits;
use crate::ports::PortSet;
use crate::report::{self, PortReport, Report};
use crate::request::{Layout, ScanRequest};
use crate::scan::Findings;

/// The chunks that are still to be made.
pub(super) struct Chunks(VecDeque<Part>);

enum Part {
    Text(Vec<u8>),
    List { items: Box<dyn Iterator<Item = Item> + Send>, is_first: bool },
}

/// One element of a list.
enum Item {
    Port(u16),
    Row(PortReport),
    /// A port that has a line of its own.
    Line(u16),
}

/// The body that is `report` as JSON, with a newline: the reply to `request`.
pub(super) fn json(report: Report, request: &ScanRequest) -> ReplyBody {
    let line = |report: &Report| {
        let mut text = serde_json::to_vec(report).expect("reports have string keys");
        text.push(b'\n');
        text
    };
    let chunks = Chunks::new(report, request.expectation.as_ref(), line);
    match request.layout {
        Layout::Line => body(chunks, |chunk| chunk),
        // A chunk becomes about twice as long.
        Layout::Indented => {
            let mut indenter = Indenter::default();
            body(chunks, move |chunk| indenter.indent(&chunk))
        }
    }
}

/// The body that is a line for each open port.
pub(super) fn lines(report: &Report) -> ReplyBody {
    if is_short(report.facts.open_ports.len() * LONGEST_PORT) {
        let lines: String =
            report.facts.open_ports.iter().map(|port| format!("{port}\n")).collect();
        return body(Chunks([Part::Text(lines.into())].into()), |chunk| chunk);
    }
    let ports = open_on_any(&open_ports(report));
    body(Chunks([Part::list(ports.map(Item::Line))].into()), |chunk| chunk)
}

/// The body of these chunks, each changed by `edit`.
fn body(mut chunks: Chunks, mut edit: impl FnMut(Bytes) -> Bytes + Send + 'static) -> ReplyBody {
    if let [Part::Text(_)] = chunks.0.make_contiguous() {
        return Full::new(edit(chunks.next().unwrap_or_default())).boxed_unsync();
    }
    growing(stream::iter(chunks.map(edit)))
}

impl Chunks {
    /// What `write` makes of `report`: JSON that has the report in it once.
    // A long report is written without its lists, which are filled in while the
    // chunks are read.
    pub(super) fn new(
        mut report: Report,
        expectation: Option<&Expectation>,
        write: impl FnOnce(&Report) -> Vec<u8>,
    ) -> Self {
        if is_short(longest_lists(&report)) {
            return Self([Part::Text(write(&report))].into());
        }
        let open = open_ports(&report);
        let mut lists = vec![("open_ports", Part::list(open_on_any(&open).map(Item::Port)))];
        report.facts.open_ports.clear();
        if let Some(comparison) = &mut report.comparison {
            comparison.unexpected.clear();
            comparison.missing.clear();
            let expected = expectation.and_then(Expectation::ports);
            let unexpected = difference(open_on_any(&open), ports_of(expected));
            let missing = difference(ports_of(expected), open_on_any(&open));
            lists.push(("unexpected", Part::list(unexpected.map(Item::Port))));
            lists.push(("missing", Part::list(missing.map(Item::Port))));
        }
        for address in &mut report.facts.addresses {
            let open = address.open_ports.take().into_owned_open_ports();
            lists.push(("open_ports", Part::list(open.map(Item::Port))));
            if let Some(rows) = &mut address.ports {
                let rows = rows.take().into_owned_iter();
                let rows = rows.map(|finding| Item::Row(PortReport::new(&finding)));
                lists.push(("ports", Part::list(rows)));
            }
        }
        let text = String::from_utf8(write(&report)).expect("JSON is UTF-8");
        Self::filled(&text, lists)
    }

    /// `text` with its empty lists filled from `lists`, which have the same names and
    /// order.
    // JSON escapes quotes within strings, so no typed text looks like an empty list.
    fn filled(mut text: &str, lists: Vec<(&str, Part)>) -> Self {
        let mut parts = VecDeque::with_capacity(2 * lists.len() + 1);
        for (name, list) in lists {
            let empty = format!("\"{name}\":[]");
            let start = text.find(&empty).expect("a report has its lists in this order");
            let (before, rest) = text.split_at(start + empty.len() - 1);
            parts.extend([Part::Text(before.into()), list]);
            text = rest;
        }
        parts.push_back(Part::Text(text.into()));
        Self(parts)
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        // The only chunk takes no more memory than it needs.
        if let [Part::Text(text)] = self.0.make_contiguous() {
            let text = std::mem::take(text);
            self.0.clear();
            return Some(text.into());
        }
        let mut chunk = Vec::with_capacity(limits::REPLY_CHUNK);
        while chunk.len() + ROOM <= limits::REPLY_CHUNK
            && let Some(part) = self.0.front_mut()
        {
            let is_over = match part {
                Part::Text(text) => {
                    chunk.extend_from_slice(text);
                    true
                }
                Part::List { items, is_first } => match items.next() {
                    None => true,
                    Some(item) => {
                        item.write(&mut chunk, std::mem::take(is_first));
                        false
                    }
                },
            };
            if is_over {
                self.0.pop_front();
            }
        }
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

impl Part {
    fn list(items: impl Iterator<Item = Item> + Send + 'static) -> Self {
        Self::List { items: Box::new(items), is_first: true }
    }
}

impl Item {
    fn write(&self, chunk: &mut Vec<u8>, is_first: bool) {
        if !is_first && !matches!(self, Self::Line(_)) {
            chunk.push(b',');
        }
        let written = match self {
            Self::Port(port) | Self::Line(port) => serde_json::to_writer(&mut *chunk, port),
            Self::Row(row) => serde_json::to_writer(&mut *chunk, row),
        };
        written.expect("rows have string keys");
        if matches!(self, Self::Line(_)) {
            chunk.push(b'\n');
        }
    }
}

/// How many bytes the lists of a report have at most.
fn longest_lists(report: &Report) -> usize {
    let compared = report.comparison.as_ref();
    let compared = compared.map_or(0, |lists| lists.unexpected.len() + lists.missing.len());
    let in_addresses = report.facts.addresses.iter().map(|address| {
        let findings = address.open_ports.findings().len();
        findings * if address.ports.is_some() { LONGEST_ROW } else { LONGEST_PORT }
    });
    (report.facts.open_ports.len() + compared) * LONGEST_PORT + in_addresses.sum::<usize>()
}

/// Whether a text with lists of so many bytes fits into one chunk.
fn is_short(lists: usize) -> bool {
    lists <= limits::REPLY_CHUNK / 2
}

fn open_ports(report: &Report) -> Vec<Findings> {
    report.facts.addresses.iter().map(|address| address.open_ports.findings().clone()).collect()
}

fn open_on_any(addresses: &[Findings]) -> impl Iterator<Item = u16> + Send + use<> {
    let ports = addresses.iter().cloned().map(Findings::into_owned_open_ports);
    report::open_on_any(ports.collect())
}

fn ports_of(set: Option<&PortSet>) -> impl Iterator<Item = u16> + Send + use<> {
    let set = set.cloned();
    (0..).map_while(move |position| set.as_ref()?.nth(position))
}

/// What `from` has and `other` has not; both are in ascending order.
fn difference(
    from: impl Iterator<Item = u16> + Send + 'static,
    other: impl Iterator<Item = u16> + Send + 'static,
) -> impl Iterator<Item = u16> + Send {
    let mut other = other.peekable();
    from.filter(move |port| {
        while other.next_if(|other| other < port).is_some() {}
        other.peek() != Some(port)
    })
}

/// Bytes of a port and a comma.
const LONGEST_PORT: usize = 6;

/// Bytes of a row, in both lists that it may be in: names of services have 15 at
/// most (RFC 6335, section 5.1).
const LONGEST_ROW: usize = 160;

/// What a chunk has left for the next row, or the text up to the next list.
const ROOM: usize = 1024;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::report::Subject;
    use crate::scan::{AddressTally, Finding, PortState, Reason, ScanTiming, Shortage};

    /// A report on addresses with so many findings each, every third of them open.
    fn report(counts: &[u16], details: bool, expectation: Option<&Expectation>) -> Report {
        let tally = |(index, &count): (u8, &u16)| {
            let address = IpAddr::from([192, 0, 2, index]);
            let finding = |port: u16| match port % 3 {
                0 => Finding {
                    address,
                    port,
                    state: PortState::Open,
                    reason: Reason::SynAck,
                    rtt: Some(Duration::from_micros(port.into())),
                },
                _ => Finding {
                    address,
                    port,
                    state: PortState::Filtered,
                    reason: Reason::NoResponse,
                    rtt: None,
                },
            };
            let ports = (1..=count)
                .map(|number| number + u16::from(index))
                .filter(|port| details || port % 3 == 0);
            let findings = Findings::new(address, ports.map(finding));
            let mut filtered = [0; Reason::ALL.len()];
            filtered[Reason::NoResponse.index()] = u32::from(count) / 2;
            let shortage = (index == 1).then_some(Shortage::Time);
            AddressTally {
                address,
                findings,
                open: 0,
                closed: 1,
                filtered,
                not_scanned: index.into(),
                shortage,
                accepts_everything: index == 0,
            }
        };
        let tallies: Vec<AddressTally> = (0..).zip(counts).map(tally).collect();
        let subject = Subject {
            domain: "a\"open_ports\":[]",
            ports: &PortSet::all(),
            details,
            expectation,
            left_out: &[],
        };
        Report::new(&subject, &tallies, &ScanTiming::default(), Duration::from_millis(3))
    }

    fn text(chunks: Chunks) -> String {
        let mut text = Vec::new();
        for chunk in chunks {
            assert!(!chunk.is_empty() && chunk.len() <= limits::REPLY_CHUNK, "{}", chunk.len());
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn chunks_are_what_the_whole_report_would_be() {
        for expected in [None, Some("none"), Some("all"), Some("1,3,30000-30100,65535")] {
            let expectation: Option<Expectation> = expected.map(|list| list.parse().unwrap());
            let expectation = expectation.as_ref();
            for counts in
                [&[][..], &[0], &[3], &[100], &[3, 0, 700], &[9_000, 8_000], &[0, 60_000, 1]]
            {
                for details in [false, true] {
                    let report = report(counts, details, expectation);
                    let whole = serde_json::to_string(&report).unwrap();
                    let write = |report: &Report| {
                        let text = serde_json::to_string(report).unwrap();
                        format!("before{text}after").into()
                    };
                    let chunks = Chunks::new(report.clone(), expectation, write);
                    assert!(
                        text(chunks) == format!("before{whole}after"),
                        "{counts:?}, {expected:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_report_that_is_read_slowly_takes_little_memory() {
        let report = report(&[60_000, 60_000], true, None);
        let mut chunks = Chunks::new(report, None, |report| serde_json::to_vec(report).unwrap());
        chunks.next();
        let texts = chunks.0.iter().map(|part| match part {
            Part::Text(text) => text.capacity(),
            Part::List { .. } => 0,
        });
        assert!(texts.sum::<usize>() < 4096);
    }

    #[test]
    fn items_fit_into_the_room_that_is_left_for_them() {
        let longest_service = (1..=u16::MAX).filter_map(crate::services::registered);
        assert!(longest_service.map(str::len).max().unwrap() <= 15);
        for reason in Reason::ALL {
            let row = Item::Row(PortReport {
                port: u16::MAX,
                state: PortState::Filtered,
                reason,
                service: Some(report::Service { name: "123456789012345", method: "table" }),
                rtt_ms: Some(123_456.789),
            });
            let mut bytes = Vec::new();
            row.write(&mut bytes, false);
            assert!(bytes.len() <= LONGEST_ROW - LONGEST_PORT, "{}", bytes.len());
        }
    }
}
