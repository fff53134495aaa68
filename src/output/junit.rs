//! JUnit's XML, as Jenkins and GitLab read it: a suite for each host, and one for the run.
//!
//! The form has no owner. The documents are valid by `junit-10.xsd` of Jenkins' xUnit
//! plugin, in which a test case has no file and no line: these are in the text of a
//! failure. What was not scanned is an error, because readers take a run with skipped
//! tests for a good one.

use std::io::{self, Write};
use std::time::Duration;

use super::checks::{Check, Group, Judgement, Rule};
use super::judge::Counts;
use super::xml::escaped;

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"open-ports\">")
}

/// The claims about a host, which end as `counts` says.
pub(super) fn group(out: &mut impl Write, group: &Group<'_>, counts: Counts) -> io::Result<()> {
    let name = escaped(group.host.unwrap_or(WHOLE));
    let Counts { broken, unknown, not_judged, .. } = counts;
    writeln!(
        out,
        "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{broken}\" errors=\"{unknown}\" \
         skipped=\"{not_judged}\" time=\"{}\">",
        counts.total(),
        seconds(group.elapsed),
    )?;
    let place = group.origin.map(|origin| escaped(&origin.to_string()));
    let place = place.as_deref().unwrap_or_default();
    for Check { claim, judgement } in &group.checks {
        write!(out, "<testcase classname=\"{name}\" name=\"{claim}\"")?;
        match judgement {
            Judgement::Holds => writeln!(out, "/>")?,
            Judgement::Broken(rule, why) => {
                let (rule, why) = (rule.id(), escaped(why));
                let failure = format!("<failure type=\"{rule}\" message=\"{why}\">");
                writeln!(out, ">{failure}{place}</failure></testcase>")?;
            }
            Judgement::Unknown(why) => {
                let (rule, why) = (Rule::NotScanned.id(), escaped(why));
                let error = format!("<error type=\"{rule}\" message=\"{why}\">");
                writeln!(out, ">{error}{place}</error></testcase>")?;
            }
            Judgement::NotJudged(why) => {
                writeln!(out, "><skipped message=\"{}\"/></testcase>", escaped(why))?;
            }
        }
    }
    writeln!(out, "</testsuite>")
}

pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</testsuites>")
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// The name of the suite about the run as a whole. No host has it.
const WHOLE: &str = "the whole run";
