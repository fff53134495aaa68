//! Runs a sweep from start to end: news goes to the outputs, progress to the
//! progress line, and signals to the sweep.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::baseline::{self, Baseline};
use super::flags::Verbosity;
use super::job::Job;
use super::learn::Learn;
use super::line::Line;
use super::outputs::{Hosts, Outputs};
use super::verdicts::{Verdicts, is_unrouted, unanswered};
use super::{Exit, exit_of, notes};
use crate::cli::engine::Engine;
use crate::cli::stop::Stop;
use crate::cli::{failed, print_error};
use crate::limits;
use crate::output::{Head, Printer, header, row_of};
use crate::report::{IncompleteReason, Meter, Report, ShardLabel, Summary};
use crate::results::{HostResult, Results};
use crate::scan::Keep;
use crate::sweep::{HostEnd, News, Sweep, SweepPlan};

/// Scans and prints, and returns the exit status.
pub(super) async fn run(job: Job, engine: Engine) -> Exit {
    let mut stop = match Stop::try_new() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("cannot handle signals: {error}")),
    };
    if job.verbosity == Verbosity::Verbose {
        notes::plan(&job, engine.descriptors.for_command())
            .iter()
            .for_each(|note| print_error(note));
    }
    let begun = Instant::now();
    let (mut session, mut sweep) = match start(job, engine, begun) {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    let signal = session.follow(&mut sweep, &mut stop).await;
    session.end(&sweep, signal, begun.elapsed())
}

/// A running sweep's output, and what is known about it so far.
struct Session {
    head: Arc<Head>,
    outputs: Outputs,
    line: Line,
    begun: Instant,
    /// Measures progress for the line, which changes often, and for records.
    meters: (Meter, Meter),
    record_at: Instant,
    hosts: Hosts,
    /// Whether the ports found so far are shown above the line of progress.
    shows_rows: bool,
    results: Results,
    verbosity: Verbosity,
    shard: Option<ShardLabel>,
    verdicts: Verdicts,
    baseline: Option<Baseline>,
    learn: Option<Learn>,
    /// What may be wrong with hosts that gave no answer, in words.
    unanswered: Vec<String>,
    /// The gravest thing that has happened.
    exit: Exit,
    /// Hosts that were not scanned. The first few are named on standard error.
    complaints: usize,
}

fn start(job: Job, engine: Engine, begun: Instant) -> Result<(Session, Sweep), Exit> {
    let head = Arc::new(Head {
        command: job.command,
        ports: job.ports.clone(),
        details: job.keep == Keep::NotClosed,
        started: SystemTime::now(),
        order: job.order,
        host_width: job.host_width,
        origins: job.origins,
        expects: !job.expectations.is_empty(),
        against: job.against,
    });
    let hosts = match job.first.remaining() {
        _ if !job.rest.is_exhausted() => Hosts::Many,
        1 => Hosts::One,
        ..=FEW_HOSTS => Hosts::Few,
        _ => Hosts::Many,
    };
    let outputs = Outputs::open(&job.outputs, job.format, &head, hosts)?;
    let asker = engine.asker(job.policy, job.rate);
    let plan = SweepPlan {
        ports: job.ports.clone(),
        family: job.family,
        exclude: job.exclude,
        timeout: job.timeout,
        until: job.deadline.map(|deadline| begun + deadline),
        keep: job.keep,
        seed: job.seed,
    };
    let sweep = Sweep::new(asker, plan, job.first, job.rest);
    let label = |shard| ShardLabel::new(shard, job.seed, job.ports.clone());
    let shard = job.shard.map(label);
    let session = Session {
        head,
        line: Line::new(job.verbosity > Verbosity::Quiet),
        begun,
        meters: (Meter::new(begun), Meter::new(begun)),
        record_at: begun + limits::PROGRESS_INTERVAL,
        hosts,
        shows_rows: hosts != Hosts::Many && outputs.has_table_on_terminal(),
        outputs,
        // A row for each finding that is kept.
        results: Results::new(job.ports, true, job.expectations),
        verbosity: job.verbosity,
        shard,
        verdicts: Verdicts::new(hosts != Hosts::One),
        baseline: job.baseline,
        learn: job.learn,
        unanswered: Vec::new(),
        exit: Exit::Whole,
        complaints: 0,
    };
    Ok((session, sweep))
}

impl Session {
    /// Prints news until the sweep ends. Returns the signal that ended it, if one
    /// did.
    async fn follow(&mut self, sweep: &mut Sweep, stop: &mut Stop) -> Option<u8> {
        let mut ticks = ticks();
        let mut stopped_by = None;
        self.outputs.each(Printer::begin);
        loop {
            if self.outputs.is_broken() {
                return stopped_by;
            }
            tokio::select! {
                biased;
                signal = stop.heard(), if stopped_by.is_none() => {
                    stopped_by = Some(signal);
                    sweep.stop();
                }
                _ = ticks.tick() => self.show_progress(sweep),
                // Last, because a list of refused hosts may make news without end.
                news = sweep.next() => match news {
                    Some(news) => self.print_news(news, sweep),
                    None => return stopped_by,
                },
            }
        }
    }

    fn show_progress(&mut self, sweep: &Sweep) {
        let ((progress, total), now) = (sweep.progress(), Instant::now());
        let elapsed = now - self.begun;
        if now >= self.record_at {
            self.record_at = now + limits::PROGRESS_INTERVAL;
            let look = self.meters.1.look(&progress, total, elapsed, now);
            self.line.hide();
            self.outputs.progress(look);
        }
        self.line.update(&self.meters.0.look(&progress, total, elapsed, now));
    }

    /// Prints `first` and the news that are ready behind it.
    fn print_news(&mut self, first: News, sweep: &mut Sweep) {
        let more = std::iter::from_fn(|| sweep.next().now_or_never().flatten());
        let news: Vec<News> = [first].into_iter().chain(more).take(NEWS_AT_ONCE).collect();
        self.line.hide();
        news.into_iter().for_each(|news| self.print_one(news));
        self.outputs.each(Printer::flush);
        self.line.show();
    }

    fn print_one(&mut self, news: News) {
        match news {
            News::Found(found) => {
                // A name may have the port open at several addresses.
                if self.shows_rows && found.first {
                    self.line.add_row(|| header(&self.head), row_of(&self.head, &found));
                }
                self.outputs.each(|printer| printer.found(&found));
            }
            News::Ended(end) => self.print_host(end),
            News::ListFailed(error) => {
                print_error(&format!("--targets: {error}"));
                self.exit = self.exit.min(exit_of(&error));
            }
        }
    }

    fn print_host(&mut self, end: HostEnd) {
        let HostResult { mut report, fault } = self.results.of(end);
        if report.facts.reason != Some(IncompleteReason::Interrupted) && is_unrouted(&report) {
            report.leave_incomplete(IncompleteReason::NoRoute);
        }
        fault.iter().for_each(|fault| self.complain(fault));
        let report = Arc::new(report);
        if self.verbosity == Verbosity::Verbose
            && let Some(note) = notes::host(&report)
        {
            print_error(&note);
        }
        self.judge(&report);
        self.results.count(&report);
        self.outputs.each(|printer| printer.host(&report));
    }

    /// Prints why a host was not scanned, of the first few.
    fn complain(&mut self, fault: &str) {
        self.complaints += 1;
        if self.complaints <= MAX_COMPLAINTS {
            print_error(fault);
        }
    }

    /// Updates how the command ends, and prints what is remarkable about a host.
    fn judge(&mut self, report: &Report) {
        let Report { facts, comparison, .. } = report;
        self.verdicts.add(report, &self.head.order);
        self.baseline.iter_mut().for_each(|baseline| baseline.add(report));
        let are_many = self.hosts == Hosts::Many;
        self.learn.iter_mut().for_each(|learn| learn.add(report, &self.head.order, are_many));
        if self.hosts != Hosts::Many && self.verbosity > Verbosity::Quiet {
            self.unanswered.extend(unanswered(report));
        }
        if !facts.is_complete() {
            self.exit = self.exit.min(Exit::Incomplete);
        }
        if facts.reason == Some(IncompleteReason::NotResolved) {
            self.exit = self.exit.min(Exit::NotResolved);
        }
        if let Some(comparison) = comparison
            && comparison.differs()
        {
            self.exit = self.exit.min(Exit::Unexpected);
            // The table says it better, where a person would read it twice.
            if !(self.outputs.has_table_on_terminal() && io::stderr().is_terminal()) {
                print_error(&format!("{}: {comparison}", facts.domain));
            }
        }
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        if let Some(note) = notes::left_out(facts) {
            print_error(&note);
        }
        notes::accepts_everything(facts).for_each(|note| print_error(&note));
    }

    /// Prints the end of the output, and returns the exit status.
    fn end(mut self, sweep: &Sweep, signal: Option<u8>, elapsed: Duration) -> Exit {
        self.line.hide();
        let exit = match signal {
            Some(signal) => Exit::Signalled(signal),
            None => self.exit,
        };
        let cut = match signal {
            Some(_) => IncompleteReason::Interrupted,
            None => IncompleteReason::Deadline,
        };
        let shard = self.shard.map(|label| label.of_list(sweep.list_checksum()));
        let summary = Summary { shard, ..self.results.summary(sweep, cut, elapsed) };
        let is_broken = self.outputs.is_broken();
        let drift = self.baseline.take().map(|baseline| Arc::new(baseline.end(&summary)));
        let drifted = drift.as_deref().map_or(Exit::Whole, baseline::exit_of);
        drift.iter().for_each(|drift| self.outputs.show_drift(drift));
        let learned = self
            .learn
            .take()
            .map_or(Exit::Whole, |learn| learn.end(&summary, &self.head.ports, self.verbosity));
        let exit = exit.min(drifted).min(learned);
        let exit = exit.min(self.outputs.finish(&summary, &self.verdicts.into_lines()));
        if is_broken {
            return exit;
        }
        self.unanswered.iter().for_each(|reason| print_error(reason));
        if self.complaints > MAX_COMPLAINTS {
            let more = self.complaints - MAX_COMPLAINTS;
            print_error(&format!("{more} more hosts were not scanned"));
        }
        match summary.reason {
            None => exit,
            Some(reason) => {
                print_error(&format!("incomplete ({reason}){}", left_undone(&summary)));
                exit.min(Exit::Incomplete)
            }
        }
    }
}

/// How much was not scanned, in numbers.
fn left_undone(summary: &Summary) -> String {
    let counted = |count: u64, one: &str, more: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {more}")),
    };
    let ports = counted(summary.not_scanned, "port not scanned", "ports not scanned");
    let hosts = counted(summary.unvisited_hosts, "host not visited", "hosts not visited");
    let counts: Vec<String> = ports.into_iter().chain(hosts).collect();
    if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) }
}

fn ticks() -> Interval {
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick would come at once, before there is any progress.
    ticks.reset();
    ticks
}

/// News printed between two looks at signals and the clock.
const NEWS_AT_ONCE: usize = 1024;

/// Hosts not scanned that are named one by one; a sweep may have thousands.
const MAX_COMPLAINTS: usize = 10;

/// As many hosts at most are all shown in order on a terminal: what is known of them fits
/// in memory, and on two or three screens.
const FEW_HOSTS: u64 = 32;

/// How often the progress line changes: often enough to look alive.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
