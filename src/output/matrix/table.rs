//! The table that a person reads at a glance.
//!
//! Vantages have numbers, because their names are longer than a column is wide. What is
//! not as expected is in brackets, also where there are no colours.

use std::io::{self, Write};

use super::MatrixHead;
use super::remarks::{Tone, remarks};
use super::rows::{Row, Rows};
use crate::matrix::{Judged, MatrixSummary};
use crate::output::table::{Colour, GREEN, RED, YELLOW};

pub(super) fn write(
    head: &MatrixHead<'_>,
    judged: &Judged<'_>,
    summary: &MatrixSummary,
    out: &mut impl Write,
) -> io::Result<()> {
    let Rows { vantages, rows } = Rows::new(judged);
    let width = vantages.len().to_string().len().max(1);
    for (number, name) in vantages.iter().enumerate() {
        writeln!(out, "{:>width$}  {name}", number + 1)?;
    }
    writeln!(out)?;
    let targets = longest("TARGET", rows.iter().map(|row| row.target.as_str()));
    let ports = longest("PORT", rows.iter().map(|row| row.ports.as_str()));
    let numbers: String =
        (1..=vantages.len()).map(|number| format!(" {number:>width$} ")).collect();
    let line = format!("{:targets$}  {:ports$}  {numbers}", "TARGET", "PORT");
    writeln!(out, "{}", line.trim_end())?;
    for row in &rows {
        let marks = marks(row, width, head.colour);
        let line = format!("{:targets$}  {:ports$}  {marks}", row.target, row.ports);
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)?;
    writeln!(out, "{LEGEND}")?;
    for remark in remarks(judged, summary, head.file) {
        let (start, end) = around(head.colour, remark.tone);
        writeln!(out, "{start}{}{end}", remark.text)?;
    }
    Ok(())
}

fn marks(row: &Row, width: usize, colour: Colour) -> String {
    let mark = |mark: &Option<super::rows::Mark>| match mark {
        None => " ".repeat(width + 2),
        Some(mark) => {
            let (start, end) = around(colour, mark.tone());
            let (open, close) = if mark.verdict.is_wrong() { ('[', ']') } else { (' ', ' ') };
            let pad = " ".repeat(width - 1);
            format!("{pad}{start}{open}{}{close}{end}", mark.glyph)
        }
    };
    row.marks.iter().map(mark).collect()
}

fn around(colour: Colour, tone: Tone) -> (&'static str, &'static str) {
    match tone {
        Tone::Good => colour.around(GREEN),
        Tone::Bad => colour.around(RED),
        Tone::Doubtful => colour.around(YELLOW),
        Tone::Neutral => ("", ""),
    }
}

fn longest<'a>(title: &str, texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(str::len).chain([title.len()]).max().unwrap_or_default()
}

const LEGEND: &str = ". open  x refused  X filtered  ? unproved  ! not asked  [ ] not as expected";
