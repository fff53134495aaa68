//! The rows and columns of the table. What looks alike is folded: ports of a target always,
//! targets and vantages of a namespace where there are many. Pure.

use std::collections::BTreeMap;

use super::remarks::Tone;
use crate::matrix::{Cell, Judged, State, Verdict};
use crate::output::grouped;
use crate::ports::PortSet;

/// One cell as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) glyph: char,
    pub(super) verdict: Verdict,
}

/// A mark for each vantage, or for each row.
type Marks = Vec<Option<Mark>>;

/// A target and some of its ports, with a mark for each vantage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) target: String,
    pub(super) ports: String,
    pub(super) marks: Marks,
}

/// What a table shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) vantages: Vec<String>,
    pub(super) rows: Vec<Row>,
}

impl Mark {
    fn of(cell: &Cell<'_>) -> Self {
        let glyph = match (cell.verdict, &cell.state) {
            (Verdict::NotAsked, _) => '!',
            (Verdict::Unproved, _) => '?',
            (_, State::Open | State::AcceptsEverything) => '.',
            (_, State::Refused) => 'x',
            (_, State::Filtered(_)) => 'X',
            (_, State::NotAsked(_)) => '!',
        };
        Self { glyph, verdict: cell.verdict }
    }

    /// How bad it is.
    pub(super) fn tone(self) -> Tone {
        match self.verdict {
            Verdict::Ok => Tone::Good,
            Verdict::Unexpected | Verdict::Missing => Tone::Bad,
            Verdict::Unproved | Verdict::NotAsked => Tone::Doubtful,
            Verdict::NotJudged => Tone::Neutral,
        }
    }
}

/// A target before it is folded with others.
struct Entry {
    name: String,
    group: Option<String>,
    ports: PortSet,
    marks: Marks,
}

impl Rows {
    pub(super) fn new(judged: &Judged<'_>) -> Self {
        let plan = judged.plan;
        let mut marks: BTreeMap<(usize, u16), Marks> = BTreeMap::new();
        for pair in &plan.pairs {
            for cell in judged.cells_of(pair) {
                let row = marks.entry((pair.column, cell.port));
                row.or_insert_with(|| vec![None; plan.seats.len()])[pair.seat] =
                    Some(Mark::of(&cell));
            }
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut rest = marks.into_iter().peekable();
        while let Some((column, _)) = rest.peek().map(|(key, _)| *key) {
            let mut alike: BTreeMap<Marks, Vec<u16>> = BTreeMap::new();
            while let Some(((_, port), marks)) = rest.next_if(|((of, _), _)| *of == column) {
                alike.entry(marks).or_default().push(port);
            }
            let target = &plan.columns[column];
            let mut of_target: Vec<Entry> = alike
                .into_iter()
                .filter_map(|(marks, ports)| {
                    let ports = PortSet::from_ports(ports)?;
                    let (name, group) = (target.name.clone(), target.group.clone());
                    Some(Entry { name, group, ports, marks })
                })
                .collect();
            of_target.sort_by_key(|entry| entry.ports.first());
            entries.extend(of_target);
        }
        let rows = if entries.len() > MOST_ROWS { folded(entries) } else { each(entries) };
        let vantages = plan.seats.iter().map(|seat| (seat.name.clone(), seat.group.clone()));
        Self { vantages: vantages.clone().map(|(name, _)| name).collect(), rows }
            .without_like_columns(&vantages.collect::<Vec<_>>())
    }

    /// The same with one column for all vantages of a namespace that see the same, if
    /// there are many.
    fn without_like_columns(self, vantages: &[(String, Option<String>)]) -> Self {
        if vantages.len() <= MOST_COLUMNS {
            return self;
        }
        let column = |position: usize| -> Marks {
            self.rows.iter().map(|row| row.marks[position]).collect()
        };
        let mut kept: Vec<(Marks, &Option<String>, Vec<usize>)> = Vec::new();
        for (position, (_, group)) in vantages.iter().enumerate() {
            let marks = column(position);
            let like = kept.iter_mut().find(|(known, of, _)| *known == marks && *of == group);
            match like {
                Some((.., positions)) => positions.push(position),
                None => kept.push((marks, group, vec![position])),
            }
        }
        let name = |positions: &[usize]| {
            let (first, group) = &vantages[positions[0]];
            several(first, group.as_deref(), positions.len())
        };
        let names = kept.iter().map(|(.., positions)| name(positions)).collect();
        let rows = self.rows.iter().map(|row| {
            let marks = kept.iter().map(|(.., positions)| row.marks[positions[0]]).collect();
            Row { marks, ..row.clone() }
        });
        Self { vantages: names, rows: rows.collect() }
    }
}

fn each(entries: Vec<Entry>) -> Vec<Row> {
    let row = |entry: Entry| {
        let ports = shortened(&entry.ports);
        Row { target: entry.name, ports, marks: entry.marks }
    };
    entries.into_iter().map(row).collect()
}

/// What rows have in common that are one: the namespace, the ports and the marks.
type Alike = (Option<String>, String, Marks);

/// One row for all targets of a namespace that look the same on the same ports.
fn folded(entries: Vec<Entry>) -> Vec<Row> {
    let mut kept: Vec<(Entry, usize)> = Vec::new();
    let mut known: BTreeMap<Alike, usize> = BTreeMap::new();
    for entry in entries {
        let key = (entry.group.clone(), entry.ports.to_string(), entry.marks.clone());
        match known.get(&key) {
            Some(&at) => kept[at].1 += 1,
            None => {
                known.insert(key, kept.len());
                kept.push((entry, 1));
            }
        }
    }
    let rows = kept.into_iter().map(|(entry, count)| {
        let target = several(&entry.name, entry.group.as_deref(), count);
        Row { target, ports: shortened(&entry.ports), marks: entry.marks }
    });
    rows.collect()
}

/// The name of so many alike, of which `first` is one.
fn several(first: &str, group: Option<&str>, count: usize) -> String {
    match (count, group) {
        (1, _) => first.to_owned(),
        (_, Some(group)) => format!("{group}/* ({count} alike)"),
        (_, None) => format!("{first} and {} alike", grouped(count as u64 - 1)),
    }
}

/// The ports, or only how many there are, if they are long.
fn shortened(ports: &PortSet) -> String {
    let text = ports.to_string();
    match text.len() {
        ..=MOST_PORTS => text,
        _ => {
            format!("{} ports, {} to {}", grouped(ports.len().into()), ports.first(), ports.last())
        }
    }
}

/// More rows than fit on a screen are folded.
const MOST_ROWS: usize = 40;

/// As many columns as fit beside the targets on a line of 120.
const MOST_COLUMNS: usize = 24;

/// The width of a list of ports: about three ranges.
const MOST_PORTS: usize = 32;
