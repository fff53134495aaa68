//! Reads nmap's grepable lines (-oG), as nmap and this program write them.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::{Fact, Gap, HostFacts, PortFacts, Survey, disjoint};
use super::nmap::{either, fact, known, ports};
use super::read::{BaselineError, CUT, foreign};
use super::report::UNKNOWN;
use crate::ports::{PortSet, parse_port};

/// Reads lines to their end.
pub(super) fn read(mut from: impl BufRead) -> Result<Survey, BaselineError> {
    let mut lines = Lines::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        from.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let text = std::str::from_utf8(&line);
        let text = text.map_err(|_| foreign(format!("line {number} is not UTF-8")))?;
        lines.line(text.trim_end()).map_err(|fault| foreign(format!("line {number}: {fault}")))?;
    }
    Ok(lines.into_survey())
}

/// What the lines so far say.
struct Lines {
    survey: Survey,
    /// Whether this program wrote them. Of nmap's, a name may be one that nobody typed.
    is_ours: bool,
    asked: Option<PortSet>,
    is_whole: bool,
    /// Why not everything was scanned, which is known only at the end.
    failure: Option<&'static str>,
}

impl Default for Lines {
    fn default() -> Self {
        let survey = Survey::new();
        Self { survey, is_ours: false, asked: None, is_whole: false, failure: None }
    }
}

impl Lines {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(comment) = line.strip_prefix('#') {
            self.comment(comment.trim());
            return Ok(());
        }
        if line.is_empty() {
            return Ok(());
        }
        let host = line.strip_prefix("Host: ").ok_or("is no line of nmap's grepable format")?;
        let mut fields = host.split('\t');
        let (address, name) =
            fields.next().unwrap_or_default().split_once(' ').unwrap_or((host, ""));
        let address: IpAddr = address.parse().map_err(|_| format!("{address:?} is no address"))?;
        let name = name.trim_matches(['(', ')']);
        let host =
            if self.is_ours && !name.is_empty() { name.to_owned() } else { address.to_string() };
        let fields: BTreeMap<&str, &str> = fields
            .filter_map(|field| {
                field.split_once(": ").or_else(|| Some((field.strip_suffix(':')?, "")))
            })
            .collect();
        let gap = match fields.get("Status") {
            Some(&"Down") => Some("host-down"),
            Some(&"Timeout") => Some("host-timeout"),
            _ => None,
        };
        if let Some(reason) = gap {
            self.survey.add(&host, HostFacts::unknown(Gap::NotScanned(reason)));
        }
        if let Some(list) = fields.get("Ports") {
            let facts =
                self.ports(list, fields.get("Ignored State").copied().unwrap_or_default())?;
            let facts = HostFacts { addresses: [(address, facts)].into(), ..HostFacts::default() };
            self.survey.add(&host, facts);
        }
        Ok(())
    }

    fn comment(&mut self, comment: &str) {
        let is_ours = comment.starts_with("open-ports ");
        if let Some((_, command)) = comment.split_once(" scan initiated ") {
            self.is_ours = is_ours;
            // Which ports these are counts only if their number is right.
            self.asked = command.split_once(" as: ").and_then(|(_, command)| typed_ports(command));
        } else if let Some(list) = comment.strip_prefix("Ports scanned: TCP(") {
            let list = list.split(')').next().and_then(|list| list.split_once(';'));
            self.asked = list.and_then(|(_, list)| ports(list)).or(self.asked.take());
        } else if comment.starts_with("Nmap done") || comment.starts_with("open-ports done") {
            self.is_whole = true;
        } else if let Some(rest) = comment.strip_prefix("incomplete (") {
            self.failure = rest.split(')').next().map(known);
        } else if self.is_ours
            && let Some((host, reason)) = comment.split_once(": ")
        {
            self.survey.add(host, HostFacts::unknown(Gap::NotScanned(known(reason))));
        }
    }

    fn ports(&self, list: &str, ignored: &str) -> Result<PortFacts, String> {
        let mut listed: BTreeMap<Fact, Vec<PortSet>> = BTreeMap::new();
        let mut count = 0_u32;
        for item in list.split(", ").filter(|item| !item.is_empty()) {
            let mut parts = item.split('/');
            let (port, state) = (parts.next().unwrap_or_default(), parts.next());
            let (Some(port), Some(state), Some(protocol)) =
                (parse_port(port.trim()), state, parts.next())
            else {
                // The version of a service may have a comma in it.
                if count > 0 {
                    continue;
                }
                return Err(format!("{item:?} is no port"));
            };
            if protocol == "tcp" {
                count += 1;
                listed.entry(fact(state)).or_default().extend(PortSet::from_ports([port]));
            }
        }
        let mut rest = None;
        for part in ignored.split(", ").filter(|part| !part.is_empty()) {
            let (state, number) =
                part.split_once(" (").ok_or_else(|| format!("{part:?} is no state"))?;
            let number = number.trim_end_matches(')').parse::<u32>();
            count = count.saturating_add(number.map_err(|_| format!("{part:?} has no number"))?);
            let fact = match state {
                "not-scanned" => Err(Gap::NotScanned(UNKNOWN)),
                state => fact(state),
            };
            rest = Some(rest.map_or(fact, |rest| either(rest, fact)));
        }
        let rest = rest.unwrap_or(Err(Gap::NotScanned("not-listed")));
        Ok(PortFacts { asked: None, count: Some(count), listed: disjoint(listed), rest })
    }

    fn into_survey(mut self) -> Survey {
        if let Some(asked) = self.asked {
            self.survey.set_asked(&Arc::new(asked));
        }
        match (self.is_whole, self.failure) {
            (false, _) => self.survey.leave_out(CUT),
            (true, Some(failure)) => self.survey.leave_out(Gap::NotScanned(failure)),
            (true, None) => {}
        }
        self.survey
    }
}

/// The ports that a command line of nmap names with -p.
fn typed_ports(command: &str) -> Option<PortSet> {
    let mut words = command.split_whitespace();
    let list = words.find_map(|word| match word.strip_prefix("-p") {
        Some("") => Some(None),
        Some(list) => Some(Some(list)),
        None => None,
    })?;
    match list.or_else(|| words.next())? {
        "-" => Some(PortSet::all()),
        list => PortSet::typed(list).ok(),
    }
}

/// Longer than a line about every port.
const MAX_LINE_BYTES: u64 = 8 << 20;
