//! A matrix, in the formats that people and programs read.

mod dot;
mod remarks;
mod rows;
mod table;

use std::io::{self, Write};
use std::time::SystemTime;

pub(crate) use self::remarks::remarks;
use super::checks::Group;
use super::judge::{Closing, Judge, JudgeForm};
use super::table::Colour;
use crate::matrix::{Cell, CellRecord, Judged, MatrixRecord, MatrixSummary};

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatrixFormat {
    /// Vantages by targets, for people.
    Table,
    /// One JSON document.
    Json,
    /// A record a line.
    Ndjson,
    /// What a CI system reads.
    Judged(JudgeForm),
    /// Comma-separated values, one cell a line.
    Csv,
    /// A graph, as Graphviz draws it.
    Dot,
}

/// What is known besides the cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatrixHead<'a> {
    /// The command line.
    pub(crate) command: &'a str,
    /// The file of the rules, as it was named.
    pub(crate) file: Option<&'a str>,
    pub(crate) started: SystemTime,
    pub(crate) colour: Colour,
}

impl MatrixFormat {
    /// The formats by name.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("table", Self::Table),
        ("json", Self::Json),
        ("ndjson", Self::Ndjson),
        ("junit", Self::Judged(JudgeForm::Junit)),
        ("tap", Self::Judged(JudgeForm::Tap)),
        ("github", Self::Judged(JudgeForm::Github)),
        ("sarif", Self::Judged(JudgeForm::Sarif)),
        ("csv", Self::Csv),
        ("dot", Self::Dot),
    ];

    /// The format of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, format)| format)
    }
}

/// Writes a matrix.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_matrix(
    format: MatrixFormat,
    head: &MatrixHead<'_>,
    judged: &Judged<'_>,
    summary: &MatrixSummary,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        MatrixFormat::Table => table::write(head, judged, summary, out),
        MatrixFormat::Json => json(judged, summary, out),
        MatrixFormat::Ndjson => ndjson(judged, summary, out),
        MatrixFormat::Judged(form) => judge(form, head, judged, summary, out),
        MatrixFormat::Csv => csv(judged, out),
        MatrixFormat::Dot => dot::write(judged, out),
    }
}

/// `{"cells":[...],` and the members of the summary.
fn json(judged: &Judged<'_>, summary: &MatrixSummary, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\"cells\":[")?;
    for (number, cell) in judged.cells().enumerate() {
        writeln!(out, "{}", if number == 0 { "" } else { "," })?;
        serde_json::to_writer(&mut *out, &CellRecord::new(&cell))?;
    }
    let summary = serde_json::to_string(summary)?;
    let members = summary.strip_prefix('{').expect("a struct is an object");
    writeln!(out, "\n],{members}")
}

fn ndjson(judged: &Judged<'_>, summary: &MatrixSummary, out: &mut impl Write) -> io::Result<()> {
    for cell in judged.cells() {
        serde_json::to_writer(&mut *out, &MatrixRecord::Cell(CellRecord::new(&cell)))?;
        writeln!(out)?;
    }
    serde_json::to_writer(&mut *out, &MatrixRecord::End { summary })?;
    writeln!(out)
}

/// The claims of each vantage, line by line of the rules.
fn judge(
    form: JudgeForm,
    head: &MatrixHead<'_>,
    judged: &Judged<'_>,
    summary: &MatrixSummary,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut judge = Judge::new(form);
    judge.begin(out)?;
    let mut cells: Vec<Cell<'_>> = judged.cells().collect();
    let position = |cell: &Cell<'_>| {
        let seats = &judged.plan.seats;
        (seats.iter().position(|seat| seat.name == cell.seat.name), cell.line)
    };
    cells.sort_by_cached_key(position);
    for group in cells.chunk_by(|one, other| position(one) == position(other)) {
        judge.group(out, &Group::of_cells(group, head.file))?;
    }
    let doubts = summary.tally.unproved + summary.tally.not_asked;
    let incomplete = match (summary.settled, doubts) {
        (true, 0) => None,
        (true, _) => Some(format!("{doubts} cells are unproved or were not asked")),
        (false, _) => Some("the verdicts kept changing".to_owned()),
    };
    let closing = Closing {
        command: head.command,
        started: head.started,
        elapsed: summary.elapsed(),
        incomplete,
    };
    let origin = head.file.map(|file| crate::expect::Origin { file, line: None });
    let count = summary.cells - summary.tally.not_judged;
    judge.group(out, &Group::whole(&closing, count, origin))?;
    judge.close(out, &closing)
}

/// RFC 4180. A reason may have commas and quotes.
fn csv(judged: &Judged<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{CSV_HEADER}")?;
    for cell in judged.cells() {
        let record = CellRecord::new(&cell);
        let CellRecord { vantage, target, host, port, state, reason, .. } = &record;
        let host = host.as_deref().unwrap_or(target);
        let expected = record.expected.as_deref().unwrap_or_default();
        let line = record.line.map(|line| line.to_string()).unwrap_or_default();
        let (reason, verdict) = (quoted(reason), record.verdict);
        writeln!(
            out,
            "{vantage},{target},{host},{port},tcp,{state},{reason},{expected},{verdict},{line}"
        )?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

const CSV_HEADER: &str = "vantage,target,host,port,protocol,state,reason,expected,verdict,line";

#[cfg(test)]
mod tests;
