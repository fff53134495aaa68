//! A graph in the language of Graphviz: vantages and targets are nodes, and an edge says
//! which ports are reached, or ought to be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::matrix::{Cell, Judged, State, Verdict};
use crate::ports::PortSet;

pub(super) fn write(judged: &Judged<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph matrix {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [shape=box];")?;
    nodes(judged, out)?;
    for pair in &judged.plan.pairs {
        let mut edges: BTreeMap<Edge, Vec<u16>> = BTreeMap::new();
        for cell in judged.cells_of(pair) {
            if let Some(edge) = Edge::of(&cell) {
                edges.entry(edge).or_default().push(cell.port);
            }
        }
        let from = quoted(&judged.plan.seats[pair.seat].name);
        let to = quoted(&judged.plan.columns[pair.column].name);
        for (edge, ports) in edges {
            let ports = PortSet::from_ports(ports).map(|ports| ports.to_string());
            let label = quoted(&format!("{}{}", edge.mark(), ports.unwrap_or_default()));
            writeln!(out, "  {from} -> {to} [label={label}, {}];", edge.style())?;
        }
    }
    writeln!(out, "}}")
}

/// The nodes, those of a namespace together.
fn nodes(judged: &Judged<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut groups: BTreeMap<Option<&str>, BTreeSet<&str>> = BTreeMap::new();
    for seat in &judged.plan.seats {
        groups.entry(seat.group.as_deref()).or_default().insert(&seat.name);
    }
    for column in &judged.plan.columns {
        groups.entry(column.group.as_deref()).or_default().insert(&column.name);
    }
    for (group, names) in groups {
        if let Some(group) = group {
            writeln!(out, "  subgraph {} {{", quoted(&format!("cluster_{group}")))?;
            writeln!(out, "    label={};", quoted(group))?;
        }
        for name in names {
            writeln!(out, "    {};", quoted(name))?;
        }
        if group.is_some() {
            writeln!(out, "  }}")?;
        }
    }
    Ok(())
}

/// What an edge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Reached,
    Unexpected,
    Missing,
    Unproved,
    NotAsked,
}

impl Edge {
    /// The edge of a cell. What is denied as it ought to be has none.
    fn of(cell: &Cell<'_>) -> Option<Self> {
        match cell.verdict {
            Verdict::Unexpected => Some(Self::Unexpected),
            Verdict::Missing => Some(Self::Missing),
            Verdict::Unproved => Some(Self::Unproved),
            Verdict::NotAsked => Some(Self::NotAsked),
            Verdict::Ok | Verdict::NotJudged => match cell.state {
                State::Open | State::AcceptsEverything => Some(Self::Reached),
                State::Refused | State::Filtered(_) | State::NotAsked(_) => None,
            },
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Reached => "",
            Self::Unexpected => "unexpected: ",
            Self::Missing => "missing: ",
            Self::Unproved => "unproved: ",
            Self::NotAsked => "not asked: ",
        }
    }

    fn style(self) -> &'static str {
        match self {
            Self::Reached => "color=darkgreen",
            Self::Unexpected => "color=red, penwidth=2",
            Self::Missing => "color=red, style=dashed",
            Self::Unproved => "color=orange, style=dotted",
            Self::NotAsked => "color=gray, style=dotted",
        }
    }
}

/// A quoted identifier: <https://graphviz.org/doc/info/lang.html>.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
