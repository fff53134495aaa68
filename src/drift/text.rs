//! What differs, as lines for people.

use super::{Change, Drift, Gap, Kind, Moved, NotCompared, Side, Standing};
use crate::output::grouped;
use crate::ports::PortSet;
use crate::printable::Printable;

/// A line, without a line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// What it says; `None` of the line that counts.
    pub(crate) mark: Option<Mark>,
    /// The whole line.
    pub(crate) text: String,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// That something changed.
    Changed(Kind),
    /// That something was not compared, or compared by name.
    Remark,
}

impl Drift {
    /// The changes, then what could not be compared, then how much there is of both.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let changes = self
            .changes
            .iter()
            .map(|change| Line { mark: Some(Mark::Changed(change.kind())), text: change.text() });
        let moved = self.moved.iter().map(Moved::text);
        let not_compared = self.not_compared.iter().map(NotCompared::text);
        let remarks: Vec<String> = moved.chain(not_compared).collect();
        let more = remarks.len().saturating_sub(MOST_REMARKS);
        let more = (more > 0).then(|| format!("? {} more of the same kind", grouped(more as u64)));
        let remarks = remarks.into_iter().take(MOST_REMARKS).chain(more);
        let remarks = remarks.map(|text| Line { mark: Some(Mark::Remark), text });
        let count = Line { mark: None, text: self.count() };
        changes.chain(remarks).chain([count]).collect()
    }

    /// How many changes there are, and how much was compared.
    fn count(&self) -> String {
        let compared = match self.compared {
            0 => return "no port could be compared".to_owned(),
            1 => "1 port compared".to_owned(),
            more => format!("{} ports compared", grouped(more)),
        };
        match (self.standing(), self.changes.len()) {
            (Standing::Same, _) => format!("no change: {compared}"),
            (Standing::Unknown, _) => format!("no change known: {compared}"),
            (Standing::Different, 1) => format!("1 change: {compared}"),
            (Standing::Different, more) => format!("{} changes: {compared}", grouped(more as u64)),
        }
    }
}

impl Change {
    /// `+ web:22 open`, `- web:22 open → closed` or `~ web:1-99 closed → filtered`.
    pub(crate) fn text(&self) -> String {
        let target = target(&self.host, &shown(&self.ports));
        let address = self.address.map_or(String::new(), |address| format!(" ({address})"));
        let (from, to) = (self.from.name(), self.to.name());
        match self.kind() {
            Kind::Opened => format!("+ {target}{address} {to}"),
            Kind::Lost => format!("- {target}{address} {from} → {to}"),
            Kind::Shifted => format!("~ {target}{address} {from} → {to}"),
        }
    }
}

impl NotCompared {
    /// The hosts, the ports and the reason.
    pub(crate) fn text(&self) -> String {
        let why = self.gap.text(self.missing);
        let hosts = match &self.hosts[..] {
            [one] => match &self.ports {
                Some(ports) => target(one, &shown(ports)),
                None => Printable(one).to_string(),
            },
            several => {
                let named = several.iter().take(MOST_HOSTS).map(|host| Printable(host).to_string());
                let named = named.collect::<Vec<_>>().join(", ");
                let more = several.len().saturating_sub(MOST_HOSTS);
                let more =
                    if more == 0 { String::new() } else { format!(" and {more} more hosts") };
                let ports = self.ports.as_ref();
                let ports =
                    ports.map_or(String::new(), |ports| format!(", ports {}", shown(ports)));
                format!("{named}{more}{ports}")
            }
        };
        format!("? {hosts} not compared: {why}")
    }
}

impl Moved {
    fn text(&self) -> String {
        let list = |addresses: &[std::net::IpAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let Self { host, from, to } = self;
        let host = Printable(host);
        format!("? {host} compared by name: its addresses were {} and are {}", list(from), list(to))
    }
}

impl Gap {
    /// Why a port of that report could not be compared.
    pub(crate) fn text(self, side: Side) -> String {
        let when = match side {
            Side::Before => "before",
            Side::Now => "now",
        };
        match self {
            Self::NotAsked => format!("not asked for {when}"),
            Self::NoHost => format!("the host was not scanned {when}"),
            Self::NotScanned(reason) => format!("not scanned {when} ({reason})"),
            Self::Unnamed => {
                format!("not known if scanned {when}: only hosts with open ports are named")
            }
            Self::PortsUnknown => {
                format!("not known if scanned {when}: the report does not list its ports")
            }
            Self::Undecided => format!("could not be told from open {when}"),
        }
    }
}

/// As the format plain has it: an IPv6 address takes brackets.
fn target(host: &str, ports: &str) -> String {
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    format!("{open}{}{close}:{ports}", Printable(host))
}

/// The ports, or how many they are if they are too many for a line.
fn shown(ports: &PortSet) -> String {
    let text = ports.to_string();
    if text.len() <= LONGEST_PORTS {
        return text;
    }
    format!("{}-{} ({} ports)", ports.first(), ports.last(), grouped(ports.len().into()))
}

/// The longest list of ports that a line names: half a terminal's line.
const LONGEST_PORTS: usize = 40;

/// The hosts that a line names.
const MOST_HOSTS: usize = 4;

/// The lines about what was not compared: as many as a terminal has.
const MOST_REMARKS: usize = 24;
