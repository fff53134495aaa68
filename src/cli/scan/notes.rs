//! What `--verbose` adds on standard error: what is to be scanned and how, and a line
//! for each host.

use std::net::IpAddr;

use super::job::Job;
use crate::report::{Facts, Report};

/// What is to be scanned, in which order, and within which limits. At most
/// `max_in_flight` probes are in flight at once.
pub(super) fn plan(job: &Job, max_in_flight: usize) -> [String; 3] {
    let hosts = counted(job.first.remaining(), "host");
    let more = if job.rest.is_exhausted() { "" } else { " and more from the list" };
    let mut what = format!("{hosts}{more}, {} on each", counted(job.ports.len().into(), "port"));
    let ports = job.ports.to_string();
    if ports.len() <= LONGEST_PORTS {
        what += &format!(": {ports}");
    }
    let order = format!("the order is random; --seed {} repeats it", job.seed);
    let rate = job.rate.map_or("any number of".to_owned(), |rate| format!("at most {rate}"));
    let deadline = job.deadline.map_or("no deadline".to_owned(), |deadline| {
        format!("a deadline of {} ms", deadline.as_millis())
    });
    let limits = format!(
        "{} ms for an answer, at most {max_in_flight} probes in flight, {rate} probes a second, \
         {deadline}",
        job.timeout.as_millis()
    );
    [what, order, limits]
}

/// What was found on a host; `None` if it was not scanned at all.
pub(super) fn host(Report { facts, effort, .. }: &Report) -> Option<String> {
    let addresses = &facts.addresses;
    let (mut open, mut closed, mut filtered, mut not_scanned) = (0, 0, 0, 0);
    for address in addresses {
        open += address.open_ports.len();
        closed += address.closed;
        filtered += address.filtered;
        not_scanned += address.not_scanned;
    }
    let mut text = match addresses.len() {
        0 => return None,
        1 => facts.domain.clone(),
        more => format!("{} ({more} addresses)", facts.domain),
    };
    text += &format!(": {open} open, {closed} closed, {filtered} filtered");
    if not_scanned > 0 {
        text += &format!(", {not_scanned} not scanned");
    }
    if let Some(path) = effort.paths.iter().flatten().next() {
        text += &format!(", answers take {} ms", path.rtt_ms);
    }
    Some(text)
}

/// Which addresses of a host were not scanned because it has too many.
pub(super) fn left_out(Facts { domain, left_out, .. }: &Facts) -> Option<String> {
    let (first, more) = left_out.split_at_checked(SHOWN_ADDRESSES).unwrap_or((left_out, &[]));
    if first.is_empty() {
        return None;
    }
    let count = match left_out.len() {
        1 => "1 more address".to_owned(),
        count => format!("{count} more addresses"),
    };
    let shown = first.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    Some(format!("{domain} has {count}, not scanned: {shown}{more}"))
}

/// Which addresses of a host accept connections that prove nothing.
pub(in crate::cli) fn accepts_everything(facts: &Facts) -> impl Iterator<Item = String> + '_ {
    let addresses = facts.addresses.iter().filter(|address| address.accepts_everything);
    addresses
        .map(|facts| format!("{} accepts connections on ports that nobody uses", facts.address))
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The longest list of ports that is printed: a line of a terminal has room for it.
const LONGEST_PORTS: usize = 40;

/// So many addresses that were left out are printed; the reports have all of them.
const SHOWN_ADDRESSES: usize = 4;
