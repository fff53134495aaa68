//! Writes claims and whether they are true, in the formats that CI systems read.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use super::checks::{Check, Group, Judgement};
use super::{DiffHead, Head};
use super::{github, junit, sarif, tap};
use crate::drift::Drift;
use crate::expect::Origin;
use crate::report::{Report, Summary};

/// A form for CI systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JudgeForm {
    /// JUnit's XML.
    Junit,
    /// The Test Anything Protocol.
    Tap,
    /// GitHub's annotations.
    Github,
    /// The Static Analysis Results Interchange Format.
    Sarif,
}

/// What was judged so far.
#[derive(Debug)]
pub(crate) struct Judge {
    form: JudgeForm,
    counts: Counts,
    /// Hosts with an expectation.
    judged: u64,
    /// Hosts that have a line of their own, and that there is a report on.
    seen: HashSet<String>,
}

/// How many claims ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) hold: u64,
    pub(super) broken: u64,
    pub(super) unknown: u64,
    pub(super) not_judged: u64,
}

/// What is known when judging ends.
#[derive(Clone, Debug)]
pub(crate) struct Closing<'a> {
    /// The command line.
    pub(crate) command: &'a str,
    /// When the command started.
    pub(crate) started: SystemTime,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// Why something was not scanned, in words.
    pub(crate) incomplete: Option<String>,
}

impl Judge {
    /// Nothing judged so far.
    pub(crate) fn new(form: JudgeForm) -> Self {
        Self { form, counts: Counts::default(), judged: 0, seen: HashSet::new() }
    }

    /// Writes what comes before everything else.
    ///
    /// # Errors
    /// When it cannot be written; so for the functions below.
    pub(crate) fn begin(&self, out: &mut impl Write) -> io::Result<()> {
        match self.form {
            JudgeForm::Junit => junit::begin(out),
            JudgeForm::Tap => tap::begin(out),
            JudgeForm::Github => Ok(()),
            JudgeForm::Sarif => sarif::begin(out),
        }
    }

    /// Judges the report on a host, if something is expected of hosts.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn host(
        &mut self,
        out: &mut impl Write,
        report: &Report,
        head: &Head,
    ) -> io::Result<()> {
        if report.comparison.is_none() && !head.expects {
            return Ok(());
        }
        let origin = head.origins.of(&report.facts.domain);
        if origin.is_some() {
            self.seen.insert(report.facts.domain.clone());
        }
        self.judged += u64::from(report.comparison.is_some());
        self.group(out, &Group::of(report, origin))
    }

    /// Writes what differs from an earlier report.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn drift(
        &mut self,
        out: &mut impl Write,
        drift: &Drift,
        baseline: Option<&str>,
    ) -> io::Result<()> {
        self.judged += 1;
        let baseline = baseline.map(|file| Origin { file, line: None });
        let groups = Group::of_drift(drift, baseline);
        groups.iter().try_for_each(|group| self.group(out, group))
    }

    /// Writes the claims about one host.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn group(&mut self, out: &mut impl Write, group: &Group<'_>) -> io::Result<()> {
        let before = self.counts;
        group.checks.iter().for_each(|check| self.counts.add(check));
        match self.form {
            JudgeForm::Junit => junit::group(out, group, before.until(self.counts)),
            JudgeForm::Tap => tap::group(out, group, before.total()),
            JudgeForm::Github => github::group(out, group),
            JudgeForm::Sarif => sarif::group(out, group, before),
        }
    }

    /// Writes the claims about hosts without a report, and about the run as a whole.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn end(
        &mut self,
        out: &mut impl Write,
        head: &Head,
        summary: &Summary,
    ) -> io::Result<()> {
        let origins = &head.origins;
        for host in origins.hosts() {
            if !self.seen.contains(host) {
                self.group(out, &Group::unvisited(host, origins.of(host), summary))?;
            }
        }
        let closing = Closing {
            command: &head.command,
            started: head.started,
            elapsed: summary.elapsed,
            incomplete: why_incomplete(summary),
        };
        self.group(out, &Group::whole(&closing, self.judged, origins.file()))?;
        self.close(out, &closing)
    }

    /// Writes what comes after all claims.
    pub(super) fn close(&self, out: &mut impl Write, closing: &Closing<'_>) -> io::Result<()> {
        match self.form {
            JudgeForm::Junit => junit::end(out),
            JudgeForm::Tap => tap::end(out, self.counts.total()),
            JudgeForm::Github => github::end(out, self.counts),
            JudgeForm::Sarif => sarif::end(out, closing),
        }
    }
}

/// Writes what differs between two reports.
///
/// # Errors
/// When it cannot be written.
pub(super) fn diff(
    form: JudgeForm,
    head: &DiffHead<'_>,
    drift: &Drift,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut judge = Judge::new(form);
    judge.begin(out)?;
    judge.drift(out, drift, Some(head.before))?;
    let DiffHead { command, started, .. } = *head;
    judge.close(out, &Closing { command, started, elapsed: Duration::ZERO, incomplete: None })
}

/// Why something of a sweep was not scanned, in words.
fn why_incomplete(summary: &Summary) -> Option<String> {
    let Summary { not_scanned, unvisited_hosts, .. } = summary;
    summary.reason.map(|reason| {
        format!(
            "incomplete ({reason}): {not_scanned} ports not scanned, {unvisited_hosts} hosts not \
             visited"
        )
    })
}

impl Counts {
    /// How many claims there are.
    pub(super) fn total(self) -> u64 {
        self.hold + self.broken + self.unknown + self.not_judged
    }

    /// Those that are in `later` and not in this.
    fn until(self, later: Self) -> Self {
        Self {
            hold: later.hold - self.hold,
            broken: later.broken - self.broken,
            unknown: later.unknown - self.unknown,
            not_judged: later.not_judged - self.not_judged,
        }
    }

    fn add(&mut self, check: &Check) {
        *match check.judgement {
            Judgement::Holds => &mut self.hold,
            Judgement::Broken(..) => &mut self.broken,
            Judgement::Unknown(_) => &mut self.unknown,
            Judgement::NotJudged(_) => &mut self.not_judged,
        } += 1;
    }
}

#[cfg(test)]
mod tests;
