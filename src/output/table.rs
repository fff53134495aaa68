//! Columns for people.

use std::io::{self, Write};
use std::net::IpAddr;

use super::{Head, Verdict, rows};
use crate::drift::{Drift, Kind, Mark};
use crate::report::{PortReport, Report, Summary};
use crate::scan::{PortState, Reason};
use crate::sweep::Found;

pub(super) fn begin(out: &mut impl Write, head: &Head) -> io::Result<()> {
    writeln!(out, "{}", header(head))
}

pub(super) fn host(
    out: &mut impl Write,
    head: &Head,
    colour: Colour,
    report: &Report,
) -> io::Result<()> {
    let host = &report.facts.domain;
    rows(report).try_for_each(|(address, port)| {
        writeln!(out, "{}", row(head, colour, host, address, &port))
    })
}

pub(super) fn end(
    out: &mut impl Write,
    colour: Colour,
    summary: &Summary,
    verdicts: &[Verdict],
) -> io::Result<()> {
    writeln!(out, "{}", counts(summary))?;
    verdicts.iter().try_for_each(|verdict| {
        let (start, end) = match verdict {
            Verdict::Met(_) => colour.around(GREEN),
            Verdict::NotMet(_) => colour.around(RED),
            Verdict::Unknown(_) => colour.around(YELLOW),
        };
        writeln!(out, "{start}{}{end}", verdict.text())
    })
}

/// What differs from an earlier report.
pub(crate) fn drift(out: &mut impl Write, colour: Colour, drift: &Drift) -> io::Result<()> {
    drift.lines().iter().try_for_each(|line| {
        let (start, end) = match line.mark {
            Some(Mark::Changed(Kind::Opened)) => colour.around(GREEN),
            Some(Mark::Changed(Kind::Lost)) => colour.around(RED),
            Some(Mark::Changed(Kind::Shifted) | Mark::Remark) => colour.around(YELLOW),
            None => ("", ""),
        };
        writeln!(out, "{start}{}{end}", line.text)
    })
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Yes,
    No,
}

impl Colour {
    /// What turns a colour on and off.
    pub(super) fn around(self, colour: &'static str) -> (&'static str, &'static str) {
        match self {
            Self::Yes => (colour, PLAIN),
            Self::No => ("", ""),
        }
    }
}

/// The titles of the columns.
pub(crate) fn header(head: &Head) -> String {
    let width = width(head);
    let reason = if head.details { format!("{:16}  ", "REASON") } else { String::new() };
    format!("{:width$}  {:>5}  {:8}  {reason}{:16}  RTT", "HOST", "PORT", "STATE", "SERVICE")
}

/// The row of a finding, without colours.
pub(crate) fn row_of(head: &Head, found: &Found) -> String {
    let Found { host, finding, .. } = found;
    row(head, Colour::No, host, finding.address, &PortReport::new(finding))
}

fn row(head: &Head, colour: Colour, host: &str, address: IpAddr, port: &PortReport) -> String {
    let PortReport { port, state, reason, service, rtt_ms } = port;
    let width = width(head);
    let address = address.to_string();
    let host = if *host == address { address } else { format!("{host} ({address})") };
    // nmap marks what is not known for sure in the same way.
    let service = service.map(|service| format!("{}?", service.name)).unwrap_or_default();
    let rtt = rtt_ms.map(|ms| format!("{ms:.3} ms")).unwrap_or_default();
    let (start, end) = match state {
        PortState::Open => colour.around(GREEN),
        _ => colour.around(YELLOW),
    };
    let reason = if head.details { format!("{:16}  ", reason.name()) } else { String::new() };
    let state = state.name();
    format!("{host:width$}  {port:>5}  {start}{state:8}{end}  {reason}{service:16}  {rtt}")
}

fn width(head: &Head) -> usize {
    head.host_width.clamp(MIN_HOST_WIDTH, MAX_HOST_WIDTH)
}

/// The line below the rows: how many hosts there were, and how many ports of each state
/// and reason.
fn counts(summary: &Summary) -> String {
    let Summary { hosts, addresses, up, open, closed, not_scanned, .. } = summary;
    let plural = if *hosts == 1 { "" } else { "s" };
    let answered = if *hosts > 1 && up < addresses {
        format!(" ({} answered)", grouped(*up))
    } else {
        String::new()
    };
    let refused = [(Reason::ConnRefused, *closed)];
    let mut filtered: Vec<(Reason, u64)> =
        summary.filtered_by.iter().map(|(&reason, &count)| (reason, count)).collect();
    filtered.sort_by_key(|&(reason, count)| (std::cmp::Reverse(count), reason.name()));
    let mut parts = vec![
        format!("{} open", grouped(*open)),
        by_reason(*closed, "closed", &refused),
        by_reason(summary.filtered, "filtered", &filtered),
    ];
    if *not_scanned > 0 {
        parts.push(format!("{} not scanned", grouped(*not_scanned)));
    }
    let seconds = summary.elapsed.as_secs_f64();
    format!("{} host{plural}{answered} in {seconds:.2} s: {}", grouped(*hosts), parts.join(", "))
}

/// A count with its reasons: `2 filtered (no-response)`, or each with its number.
fn by_reason(count: u64, state: &str, reasons: &[(Reason, u64)]) -> String {
    let count_and_state = format!("{} {state}", grouped(count));
    match reasons {
        _ if count == 0 => count_and_state,
        [(reason, _)] => format!("{count_and_state} ({})", reason.name()),
        several => {
            let each =
                several.iter().map(|(reason, n)| format!("{} {}", grouped(*n), reason.name()));
            format!("{count_and_state} ({})", each.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A number with a comma before each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// An IPv4 address; a name and its address often need more.
const MIN_HOST_WIDTH: usize = 15;

/// Half a terminal's line; what is longer pushes its row.
const MAX_HOST_WIDTH: usize = 40;

// ECMA-48, section 8.3.117: SGR.
pub(super) const RED: &str = "\x1b[31m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";
