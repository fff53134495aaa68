//! Annotations of GitHub Actions: a workflow command for each thing that is wrong, on the
//! line of the file of expectations.
//!
//! <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>

use std::fmt::Write as _;
use std::io::{self, Write};

use super::checks::{Claim, Group, Judgement};
use super::judge::Counts;

/// What is wrong on a host. GitHub shows ten errors of a step: so of a host that was not
/// scanned to its end that is said once, and not for each port.
pub(super) fn group(out: &mut impl Write, group: &Group<'_>) -> io::Result<()> {
    let mut place = String::new();
    if let Some(origin) = group.origin {
        let file = origin.file.strip_prefix("./").unwrap_or(origin.file);
        place = format!("file={},", property(file));
        if let Some(line) = origin.line {
            write!(place, "line={line},").expect("to a string");
        }
    }
    for check in &group.checks {
        let is_said = matches!(check.judgement, Judgement::Unknown(_))
            && matches!(
                check.claim,
                Claim::Open(_) | Claim::NotOpen(_) | Claim::Reaches(_) | Claim::DoesNotReach(_)
            );
        if let Some((rule, why)) = check.broken().filter(|_| !is_said) {
            writeln!(out, "::error {place}title={}::{}", property(rule.title()), data(why))?;
        }
    }
    Ok(())
}

pub(super) fn end(out: &mut impl Write, counts: Counts) -> io::Result<()> {
    let Counts { hold, broken, unknown, not_judged } = counts;
    let counts =
        format!("{hold} as expected, {broken} not, {unknown} not known, {not_judged} not judged");
    writeln!(out, "::notice title=open-ports::{}", data(&counts))
}

/// The text of a command.
fn data(text: &str) -> String {
    escaped(text, &[])
}

/// The value of a property, where two more characters have a meaning.
fn property(text: &str) -> String {
    escaped(text, &[':', ','])
}

fn escaped(text: &str, more: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '\r' | '\n') || more.contains(&c) {
            write!(escaped, "%{:02X}", u32::from(c)).expect("to a string");
        } else {
            escaped.push(c);
        }
    }
    escaped
}
