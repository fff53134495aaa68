//! Runs a sweep from start to end: news goes to the output, progress to the
//! progress line, and signals to the sweep.

use std::io::{self, BufWriter};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::job::Job;
use super::line::Line;
use super::sink::Sink;
use super::{Exit, exit_of};
use crate::ask::Asker;
use crate::cli::stop::Stop;
use crate::cli::{failed, print_error};
use crate::expect::Expectations;
use crate::machine::descriptors::DescriptorPlan;
use crate::output::{Format, Head, Printer};
use crate::ports::PortSet;
use crate::report::{IncompleteReason, Report, ShardLabel, Subject, Summary};
use crate::resolve::{ResolveError, Resolver};
use crate::scan::Scanner;
use crate::sweep::{HostEnd, HostOutcome, News, Sweep, SweepPlan};

/// Scans and prints, and returns the exit status.
pub(super) async fn run(job: Job, descriptors: DescriptorPlan, cores: NonZeroUsize) -> Exit {
    let mut stop = match Stop::try_new() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("cannot handle signals: {error}")),
    };
    if job.outputs.len() > 1 {
        print_error("--output is given more than once, and only one file can be written");
        return Exit::Usage;
    }
    let path = job.outputs.first().map(|output| output.path.clone());
    let path = path.filter(|path| path.as_os_str() != "-");
    let sink = match Sink::open(path.as_deref()) {
        Ok(sink) => sink,
        Err(error) => {
            let path = path.map(|path| path.display().to_string());
            let name = path.as_deref().unwrap_or("the output");
            return failed(&format!("cannot write {name}: {error}"));
        }
    };
    let begun = Instant::now();
    let (mut session, mut sweep) = start(job, sink, descriptors, cores, begun);
    let signal = session.follow(&mut sweep, &mut stop).await;
    session.end(&sweep, signal, begun.elapsed())
}

/// A running sweep's output, and what is known about it so far.
struct Session {
    printer: Printer<BufWriter<Sink>>,
    line: Line,
    /// Whether the format has a row for each finding of a host's report.
    rows: bool,
    ports: PortSet,
    expectations: Expectations,
    summary: Summary,
    shard: Option<ShardLabel>,
    /// The gravest thing that has happened.
    exit: Exit,
    /// Hosts that were not scanned. The first few are named on standard error.
    complaints: usize,
    /// The error that ended the output.
    broken: Option<io::Error>,
}

fn start(
    job: Job,
    sink: Sink,
    descriptors: DescriptorPlan,
    cores: NonZeroUsize,
    begun: Instant,
) -> (Session, Sweep) {
    let is_terminal = sink.is_terminal();
    let format = match job.outputs.first() {
        Some(output) => output.format,
        None => job.format,
    };
    let format = format.unwrap_or(if is_terminal { Format::Table } else { Format::Plain });
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let head = Head {
        command: job.command,
        ports: job.ports.clone(),
        started: SystemTime::now(),
        host_width: job.host_width,
        colour: is_terminal && !no_colour,
    };
    let scanner = Scanner::new(descriptors.for_command(), cores);
    let scanner = match job.rate {
        Some(rate) => scanner.with_rate(rate),
        None => scanner,
    };
    let asker = Asker::new(scanner, Resolver::new(descriptors.lookups), job.policy);
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
        printer: Printer::new(format, head, BufWriter::new(sink)),
        line: Line::new(),
        rows: matches!(format, Format::Json | Format::Grepable | Format::Xml),
        ports: job.ports,
        expectations: job.expectations,
        summary: Summary::default(),
        shard,
        exit: Exit::Whole,
        complaints: 0,
        broken: None,
    };
    (session, sweep)
}

impl Session {
    /// Prints news until the sweep ends. Returns the signal that ended it, if one
    /// did.
    async fn follow(&mut self, sweep: &mut Sweep, stop: &mut Stop) -> Option<u8> {
        let mut ticks = ticks();
        let mut stopped_by = None;
        self.broken = self.printer.begin().err();
        loop {
            if self.broken.is_some() {
                return stopped_by;
            }
            tokio::select! {
                biased;
                signal = stop.heard(), if stopped_by.is_none() => {
                    stopped_by = Some(signal);
                    sweep.stop();
                }
                _ = ticks.tick() => {
                    let (progress, total) = sweep.progress();
                    self.line.update(progress, total);
                }
                // Last, because a list of refused hosts may make news without end.
                news = sweep.next() => match news {
                    Some(news) => self.print_news(news, sweep),
                    None => return stopped_by,
                },
            }
        }
    }

    /// Prints `first` and the news that are ready behind it.
    fn print_news(&mut self, first: News, sweep: &mut Sweep) {
        let more = std::iter::from_fn(|| sweep.next().now_or_never().flatten());
        let news: Vec<News> = [first].into_iter().chain(more).take(NEWS_AT_ONCE).collect();
        self.line.hide();
        let printed = news.into_iter().try_for_each(|news| self.print_one(news));
        self.broken = printed.and_then(|()| self.printer.flush()).err();
        self.line.show();
    }

    fn print_one(&mut self, news: News) -> io::Result<()> {
        match news {
            News::Found(found) => self.printer.found(&found),
            News::Ended(end) => self.print_host(end),
            News::ListFailed(error) => {
                print_error(&format!("--targets: {error}"));
                self.exit = self.exit.min(exit_of(&error));
                Ok(())
            }
        }
    }

    fn print_host(&mut self, HostEnd { host, outcome }: HostEnd) -> io::Result<()> {
        let report = self.report(&host, outcome);
        self.judge(&report);
        self.summary.count(&report);
        self.printer.host(&report)
    }

    /// The report on a host. Why it was not scanned goes to standard error.
    fn report(&mut self, host: &str, outcome: HostOutcome) -> Report {
        let subject = Subject {
            domain: host,
            ports: &self.ports,
            details: self.rows,
            expectation: self.expectations.of(host),
            left_out: 0,
        };
        let (reason, complaint) = match outcome {
            HostOutcome::Scanned { tallies, timing, left_out, elapsed, stopped } => {
                let subject = Subject { left_out, ..subject };
                let mut report = Report::new(&subject, &tallies, &timing, elapsed);
                if stopped && !report.facts.is_complete() {
                    report.facts.reason = Some(IncompleteReason::Interrupted);
                }
                return report;
            }
            // Nothing is known about the name, so the host counts as not scanned.
            HostOutcome::NotResolved(error @ ResolveError::NotLookedUp { .. }) => {
                (IncompleteReason::NotLookedUp, error.to_string())
            }
            HostOutcome::NotResolved(error) => {
                self.exit = self.exit.min(Exit::NotResolved);
                (IncompleteReason::NotResolved, error.to_string())
            }
            HostOutcome::Refused(refusal) => {
                (IncompleteReason::RefusedByPolicy, refusal.to_string())
            }
        };
        let report = Report::not_scanned(&subject, reason);
        self.complaints += 1;
        if self.complaints <= MAX_COMPLAINTS {
            print_error(&complaint);
        }
        report
    }

    /// Updates how the command ends, and prints what is remarkable about a host.
    fn judge(&mut self, Report { facts, comparison, .. }: &Report) {
        if !facts.is_complete() {
            self.exit = self.exit.min(Exit::Incomplete);
            self.summary.reason = self.summary.reason.or(facts.reason);
        }
        if let Some(comparison) = comparison
            && comparison.differs()
        {
            self.exit = self.exit.min(Exit::Unexpected);
            print_error(&format!("{}: {comparison}", facts.domain));
        }
        for address in facts.addresses.iter().filter(|address| address.accepts_everything) {
            let address = address.address;
            print_error(&format!("{address} accepts connections on ports that nobody uses"));
        }
    }

    /// Prints the end of the output, and returns the exit status.
    fn end(mut self, sweep: &Sweep, signal: Option<u8>, elapsed: Duration) -> Exit {
        self.line.hide();
        let exit = match signal {
            Some(signal) => Exit::Signalled(signal),
            None => self.exit,
        };
        if let Some(error) = self.broken {
            return exit.min(Exit::of_output(&error));
        }
        self.summary.unvisited_hosts = sweep.unvisited();
        if !sweep.is_whole() {
            let reason = match signal {
                Some(_) => IncompleteReason::Interrupted,
                None => IncompleteReason::Deadline,
            };
            self.summary.reason = self.summary.reason.or(Some(reason));
        }
        self.summary.complete = self.summary.reason.is_none();
        self.summary.elapsed = elapsed;
        self.summary.shard = self.shard.map(|label| label.of_list(sweep.list_checksum()));
        let written = self.printer.end(&self.summary).and_then(|()| {
            self.printer.into_inner().into_inner().map_err(io::IntoInnerError::into_error)?.finish()
        });
        if let Err(error) = written {
            return exit.min(Exit::of_output(&error));
        }
        if self.complaints > MAX_COMPLAINTS {
            let more = self.complaints - MAX_COMPLAINTS;
            print_error(&format!("{more} more hosts were not scanned"));
        }
        match self.summary.reason {
            None => exit,
            Some(reason) => {
                print_error(&format!("incomplete ({reason}){}", left_undone(&self.summary)));
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

/// How often the progress line changes: often enough to look alive.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
