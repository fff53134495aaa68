//! `open-ports watch`: reports each change of a few ports, and waits until they have given states.

mod job;
mod printer;

use std::time::Instant;

use argh::{ArgsInfo, FromArgs};

use self::job::Job;
use self::printer::{Printer, unmet_in_words};
use super::engine::Engine;
use super::environment::Environment;
use super::stop::Stop;
use super::{Exit, failed, print_error, refused};
use crate::ask::{Asker, NotStarted, Permitted};
use crate::limits;
use crate::resolve::Terms;
use crate::watch::{Outcome, Story, Subject, WatchRecord, WatchedHost};

/// Watch ports and print each change.
#[derive(Clone, Debug, Default, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "watch",
    help_triggers("-h", "--help"),
    example = "{command_name} db.internal -p 5432",
    example = "{command_name} 10.0.0.5 -p 22,5432 --every 20ms --format ndjson",
    example = "{command_name} db.internal --until 5432=open --within 30s",
    example = "{command_name} 10.0.0.5 --until 22=filtered,443=open --within 1m --settle 2s",
    note = "A change is dated by the first probe that saw it. A port that falls silent is \
            filtered once several probes in a row got no answer in time, so that lost packets \
            are no change.",
    note = "A port of a name is open for --until if it is open on one of its addresses. The \
            addresses are looked up once.",
    error_code(1, "something failed"),
    error_code(2, "invalid command line"),
    error_code(3, "a name does not resolve"),
    error_code(4, "policy forbids it, or the time was over before enough was known"),
    error_code(5, "the time was over before the ports had the states of --until"),
    error_code(130, "stopped by Ctrl-C"),
    error_code(141, "the reader of the output left")
)]
pub(super) struct WatchArgs {
    /// names, addresses, networks (10.0.0.0/28) or ranges (10.0.0.1-5), each
    /// with or without a port (10.0.0.1:22)
    #[argh(positional, arg_name = "host")]
    hosts: Vec<String>,
    /// ports to watch: numbers, ranges (8000-8010) or services (https),
    /// separated by commas (default: the ports behind hosts, and those of
    /// --until)
    #[argh(option, short = 'p', arg_name = "list")]
    ports: Option<String>,
    /// time between two probes of a port, like 20ms (default: 1s)
    #[argh(option, arg_name = "time")]
    every: Option<String>,
    /// end once the ports have these states: ports with open, closed, filtered
    /// or not-open (5432=open,22=filtered), or one state of all ports
    #[argh(option, arg_name = "states")]
    until: Option<String>,
    /// how much time there is for --until, like 30s (default: no limit)
    #[argh(option, arg_name = "time")]
    within: Option<String>,
    /// how long --until has to hold, like 2s (default: a moment)
    #[argh(option, arg_name = "time")]
    settle: Option<String>,
    /// how long a port may take to answer: milliseconds, or with a unit
    /// (default: 1000, which is the most)
    #[argh(option, arg_name = "ms")]
    timeout_ms: Option<String>,
    /// which addresses of a name to watch (default: any)
    #[argh(option, arg_name = "any|ipv4|ipv6")]
    family: Option<String>,
    /// short for --family ipv4
    #[argh(switch, short = '4')]
    ipv4: bool,
    /// short for --family ipv6
    #[argh(switch, short = '6')]
    ipv6: bool,
    /// format of the output (default: text on a terminal, ndjson elsewhere)
    #[argh(option, arg_name = "text|ndjson")]
    format: Option<String>,
    /// print no notes; changes and errors stay
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// watch only what these rules allow; also OPEN_PORTS_ALLOW (default: any)
    #[argh(option, arg_name = "rules")]
    allow: Option<String>,
    /// never watch these, even if allowed; also OPEN_PORTS_DENY (default: none)
    #[argh(option, arg_name = "rules")]
    deny: Option<String>,
}

/// Watches as `args` say.
pub(super) fn run(args: &WatchArgs) -> Exit {
    try_run(args).unwrap_or_else(|exit| exit)
}

fn try_run(args: &WatchArgs) -> Result<Exit, Exit> {
    let environment = Environment::of_command()?;
    let job = Job::try_new(args, &|name| environment.get(name));
    let job = job.map_err(|errors| refused(&errors))?;
    let engine = Engine::prepare()?;
    Ok(engine.run(watch(&job, engine)))
}

async fn watch(job: &Job, engine: Engine) -> Exit {
    let mut stop = match Stop::try_new() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("cannot handle signals: {error}")),
    };
    let begun = Instant::now();
    let asker = engine.asker(job.policy.clone(), None);
    let prepared = tokio::select! {
        biased;
        signal = stop.heard() => return Exit::Signalled(signal),
        prepared = permit(job, &asker) => prepared,
    };
    let (hosts, permitted) = match prepared {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let watch = asker.watch(&permitted, job.options);
    let subject = Subject { hosts: &hosts, ports: &job.ports, until: job.until.as_ref() };
    let mut story = Story::new(watch, subject, begun);
    let mut printer = match Printer::open(job.format, &hosts) {
        Ok(printer) => printer,
        Err(error) => return Exit::of_output(&error),
    };
    let (mut signal, mut outcome) = (None, Outcome::Stopped);
    loop {
        let record = tokio::select! {
            biased;
            number = stop.heard(), if signal.is_none() => {
                signal = Some(number);
                story.stop();
                continue;
            }
            record = story.next() => record,
        };
        let Some(record) = record else { break };
        if let Err(error) = printer.print(&record) {
            return Exit::of_output(&error);
        }
        match &record {
            WatchRecord::Missed { probes, reason, .. } if !job.is_quiet => {
                print_error(&format!("{probes} probes were not sent in time ({reason})"));
            }
            WatchRecord::End { outcome: end, unmet, .. } => {
                outcome = *end;
                if let Some(words) =
                    job.until.as_ref().and_then(|until| unmet_in_words(*end, unmet, until))
                {
                    print_error(&words);
                }
            }
            _ => {}
        }
    }
    match (outcome, signal) {
        (Outcome::Met, _) => Exit::Whole,
        (Outcome::NotMet, _) => Exit::Unexpected,
        (Outcome::Unknown, _) => Exit::Incomplete,
        (Outcome::Stopped, signal) => signal.map_or(Exit::Failure, Exit::Signalled),
    }
}

/// Looks up all hosts, and checks them against policy.
async fn permit(job: &Job, asker: &Asker) -> Result<(Vec<WatchedHost>, Permitted), Exit> {
    let (mut hosts, mut parts) = (Vec::new(), Vec::new());
    let terms = Terms { family: job.family, ..Terms::default() };
    for (name, host) in &job.hosts {
        let permitted = asker.permit(host, &job.ports, terms).await.map_err(|reason| {
            let (text, exit) = match reason {
                NotStarted::NotResolved(error) => (error.to_string(), Exit::NotResolved),
                NotStarted::Refused(refusal) => (refusal.to_string(), Exit::Incomplete),
                NotStarted::NotAdmitted(_) => unreachable!("there are no quotas at the prompt"),
            };
            print_error(&text);
            exit
        })?;
        hosts.push(WatchedHost { name: name.clone(), addresses: permitted.addresses().to_vec() });
        parts.push(permitted);
    }
    let whole = Permitted::all_of(&parts).expect("there is a host");
    let ports = whole.addresses().len() as u64 * u64::from(job.ports.len());
    if ports > limits::MAX_WATCHED {
        let most = limits::MAX_WATCHED;
        return Err(refused(&format!("{ports} ports on all hosts, and {most} can be watched")));
    }
    Ok((hosts, whole))
}
