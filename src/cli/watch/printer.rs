//! The output of a watch: lines for people, or records.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::SystemTime;

use super::job::Format;
use crate::cli::scan::sink::Sink;
use crate::watch::records::{StateRow, Unmet};
use crate::watch::{Outcome, Until, WatchRecord, WatchedHost};

/// Prints records on standard output.
pub(super) struct Printer {
    out: Sink,
    format: Format,
    /// The columns of the longest port with its host.
    width: usize,
    /// Hosts with one address, which their ports need not show.
    plain: Vec<String>,
}

impl Printer {
    /// `format`, or the one that suits standard output.
    pub(super) fn open(format: Option<Format>, hosts: &[WatchedHost]) -> io::Result<Self> {
        let out = Sink::open(None)?;
        let suitable = if out.is_terminal() { Format::Text } else { Format::Ndjson };
        let plain = hosts.iter().filter(|host| host.addresses.len() == 1);
        let plain = plain.map(|host| host.name.clone()).collect();
        Ok(Self { out, format: format.unwrap_or(suitable), width: 0, plain })
    }

    /// Prints a record, all of it before this returns.
    pub(super) fn print(&mut self, record: &WatchRecord) -> io::Result<()> {
        let text = match self.format {
            Format::Text => self.lines(record),
            Format::Ndjson => {
                let mut line = serde_json::to_string(record)?;
                line.push('\n');
                line
            }
        };
        if text.is_empty() {
            return Ok(());
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// A record for people; nothing if it would tell them nothing.
    fn lines(&mut self, record: &WatchRecord) -> String {
        match record {
            WatchRecord::States { at, states } => {
                let labels = states.iter().map(|row| self.label(&row.host, row.address, row.port));
                let labels: Vec<String> = labels.collect();
                self.width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
                let rows = labels.iter().zip(states);
                rows.map(|(label, row)| self.state_line(*at, label, row)).collect()
            }
            WatchRecord::Change { at, host, address, port, from, to, .. } => {
                let label = self.label(host, *address, *port);
                let from = from.map_or("unknown", |from| from.name());
                self.line(*at, &label, &format!("{from} → {}", to.name()))
            }
            WatchRecord::End { at, outcome: Outcome::Met, held_since: Some(since), .. } => {
                let since = humantime::format_rfc3339_millis(*since);
                format!("{}  met, and true since {since}\n", humantime::format_rfc3339_millis(*at))
            }
            WatchRecord::Missed { .. } | WatchRecord::Progress { .. } | WatchRecord::End { .. } => {
                String::new()
            }
        }
    }

    fn state_line(&self, at: SystemTime, label: &str, row: &StateRow) -> String {
        let state = row.state.map_or("unknown", |state| state.name());
        self.line(row.at.unwrap_or(at), label, state)
    }

    fn line(&self, at: SystemTime, label: &str, what: &str) -> String {
        let (at, width) = (humantime::format_rfc3339_millis(at), self.width);
        format!("{at}  {label:width$}  {what}\n")
    }

    /// A port with its host, and with the address if the host has several.
    fn label(&self, host: &str, address: IpAddr, port: u16) -> String {
        let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if self.plain.iter().any(|plain| plain == host) {
            format!("{name}:{port}")
        } else {
            format!("{name}:{port} ({address})")
        }
    }
}

/// Why a condition was not met, as a sentence; `None` if it was, or nobody knows yet.
pub(super) fn unmet_in_words(outcome: Outcome, unmet: &[Unmet], until: &Until) -> Option<String> {
    if !matches!(outcome, Outcome::NotMet | Outcome::Unknown) {
        return None;
    }
    let within = until.within.map(humantime::format_duration);
    let within = within.map(|within| format!(" within {within}")).unwrap_or_default();
    let of_port = |Unmet { host, port, wanted, state }: &Unmet| match state {
        Some(state) => format!("{host}:{port} is {}, not {wanted}", state.name()),
        None => format!("it is not known whether {host}:{port} is {wanted}"),
    };
    let mut parts: Vec<String> = unmet.iter().take(SHOWN).map(of_port).collect();
    if unmet.len() > SHOWN {
        parts.push(format!("and {} more", unmet.len() - SHOWN));
    }
    if parts.is_empty() {
        let settle = humantime::format_duration(until.settle);
        parts.push(format!("it is true, but has not held for {settle}"));
    }
    Some(format!("{} was not met{within}: {}", until.condition, parts.join(", ")))
}

/// Ports that are named one by one.
const SHOWN: usize = 5;
