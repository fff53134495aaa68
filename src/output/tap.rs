//! The Test Anything Protocol, version 13 (<https://testanything.org/tap-version-13-specification.html>).
//!
//! Consumers take a skipped test for a passed one. So what was not scanned is `not ok`, and
//! only what nobody asked is skipped. The plan comes last: without it a run that was cut
//! is a failure.

use std::io::{self, Write};

use super::checks::{Check, Group, Judgement};
use crate::printable::Printable;

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "TAP version 13")
}

/// The claims about a host; so many were written `before`.
pub(super) fn group(out: &mut impl Write, group: &Group<'_>, before: u64) -> io::Result<()> {
    for (Check { claim, judgement }, number) in group.checks.iter().zip(before + 1..) {
        let about = group.host.map(|host| format!("{host}: ")).unwrap_or_default();
        let claim = escaped(&format!("{about}{claim}"));
        match judgement {
            Judgement::Holds => writeln!(out, "ok {number} - {claim}")?,
            Judgement::NotJudged(why) => {
                writeln!(out, "ok {number} - {claim} # SKIP {}", Printable(why))?;
            }
            Judgement::Broken(_, why) | Judgement::Unknown(why) => {
                writeln!(out, "not ok {number} - {claim}")?;
                writeln!(out, "# {}", Printable(why))?;
                if let Some(origin) = group.origin {
                    writeln!(out, "# {}", Printable(&origin.to_string()))?;
                }
            }
        }
    }
    Ok(())
}

pub(super) fn end(out: &mut impl Write, total: u64) -> io::Result<()> {
    writeln!(out, "1..{total}")
}

/// For a description, where `#` begins a directive.
fn escaped(text: &str) -> String {
    Printable(text).to_string().replace('\\', "\\\\").replace('#', "\\#")
}
