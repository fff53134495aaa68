//! `open-ports matrix`: who can reach whom, compared with rules.

mod job;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};

use self::job::Job;
use super::engine::Engine;
use super::environment::Environment;
use super::exit::Refusal;
use super::scan::sink::Sink;
use super::scan::style;
use super::stop::Stop;
use super::{Exit, NAME, failed, print_error, refused};
use crate::http::Remote;
use crate::matrix::{
    Ended, Judged, Kubectl, Local, MatrixSummary, Plan, Vantage, World, close, run as ask,
};
use crate::output::{Colour, MatrixFormat, MatrixHead, remarks, write_matrix};

/// Check which vantages reach which targets, against rules.
#[derive(Clone, Debug, Default, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "matrix",
    help_triggers("-h", "--help"),
    example = "{command_name} reach.txt",
    example = "{command_name} reach.txt --settle 1s --within 30s --format junit",
    example = "{command_name} --from local,http://10.0.0.7:8080 --to db.internal -p 5432",
    note = "A rule is a line like \"shop/web[Deployment] => db.internal : TCP 5432\". Behind the \
            colon are ports that ought to be reached, or none: of all ports that are asked of the \
            target, none ought to be. What no rule mentions is not judged.",
    note = "A denied port counts only if somebody could open it in the same run. If nobody could, it \
            is unproved.",
    error_code(1, "something failed"),
    error_code(2, "invalid command line or rules"),
    error_code(4, "something is unproved, or was not asked"),
    error_code(5, "something is not as the rules say"),
    error_code(130, "stopped by Ctrl-C"),
    error_code(141, "the reader of the output left")
)]
pub(super) struct MatrixArgs {
    /// the rules, or - for standard input
    #[argh(positional, arg_name = "reach.txt")]
    file: Option<String>,
    /// vantages, separated by commas: local, a URL of open-ports, a workload
    /// like shop/web[Deployment], or a node like node/worker-1
    #[argh(option, arg_name = "vantages")]
    from: Vec<String>,
    /// targets, separated by commas: names, addresses, networks, each with or
    /// without a port, or workloads
    #[argh(option, arg_name = "targets")]
    to: Vec<String>,
    /// ports to ask of every target, besides those of its rules: numbers, ranges
    /// or services, separated by commas
    #[argh(option, short = 'p', arg_name = "list")]
    ports: Option<String>,
    /// judge what no rule mentions, too: it ought to be denied
    #[argh(switch)]
    strict: bool,
    /// ask again until every verdict has been the same for this time, like 1s
    #[argh(option, arg_name = "time")]
    settle: Option<String>,
    /// ask again until all is as the rules say, at most for this time, like 30s
    #[argh(option, arg_name = "time")]
    within: Option<String>,
    /// how many vantages are asked at once (default: 16)
    #[argh(option, arg_name = "count")]
    parallel: Option<String>,
    /// a file with the token of the vantages that are URLs, or of one, written
    /// like http://10.0.0.7:8080=file. Repeat it for more
    #[argh(option, arg_name = "file")]
    token_file: Vec<String>,
    /// the image of open-ports for pods that do not have it: for ephemeral
    /// containers, copies of workloads, and nodes
    #[argh(option, arg_name = "name")]
    image: Option<String>,
    /// the context of the kubeconfig (default: kubectl's current one)
    #[argh(option, arg_name = "name")]
    context: Option<String>,
    /// how long a port may take to answer: milliseconds, or with a unit, like
    /// 2s (default: 2000)
    #[argh(option, arg_name = "ms")]
    timeout_ms: Option<String>,
    /// how long a vantage may take: milliseconds, or with a unit, like 5m
    /// (default: 60000)
    #[argh(option, arg_name = "ms")]
    deadline_ms: Option<String>,
    /// ask the addresses of cloud metadata services, too, which are never
    /// scanned otherwise
    #[argh(switch)]
    ask_cloud_metadata: bool,
    /// format of the output (default: table)
    #[argh(option, arg_name = "table|json|ndjson|junit|tap|github|sarif|csv|dot")]
    format: Option<String>,
    /// write to this file, which is replaced only by complete output
    #[argh(option, arg_name = "file")]
    output: Option<String>,
    /// print no notes; results and errors stay
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// from this process, ask only what these rules allow; also OPEN_PORTS_ALLOW
    /// (default: any)
    #[argh(option, arg_name = "rules")]
    allow: Option<String>,
    /// from this process, never ask these, even if allowed; also OPEN_PORTS_DENY
    /// (default: none)
    #[argh(option, arg_name = "rules")]
    deny: Option<String>,
}

/// Asks as `args` say; `typed` is the command line for formats that keep it.
pub(super) fn run(args: &MatrixArgs, typed: &[String]) -> Exit {
    let session =
        Session { command: format!("{NAME} {}", typed.join(" ")), started: SystemTime::now() };
    session.try_run(args).unwrap_or_else(|exit| exit)
}

struct Session {
    command: String,
    started: SystemTime,
}

impl Session {
    fn try_run(&self, args: &MatrixArgs) -> Result<Exit, Exit> {
        let environment = Environment::of_command()?;
        let job = Job::try_new(args, &|name| environment.get(name)).map_err(Refusal::print)?;
        if !job.is_quiet {
            job.notes().for_each(|note| print_error(&note));
        }
        let engine = Engine::prepare()?;
        Ok(engine.run(self.run(&job, engine)))
    }

    async fn run(&self, job: &Job, engine: Engine) -> Exit {
        let mut stop = match Stop::try_new() {
            Ok(stop) => stop,
            Err(error) => return failed(&format!("cannot handle signals: {error}")),
        };
        let asker = engine.asker(job.policy.clone(), None);
        let remote =
            |url: &str| -> Arc<dyn Vantage> { Arc::new(Remote::new(url, job.token(url).cloned())) };
        let cluster = cluster(job);
        let world =
            World { local: Arc::new(Local::new(asker)), remote: &remote, cluster: &cluster };
        let resolved = tokio::select! {
            biased;
            signal = stop.heard() => return Exit::Signalled(signal),
            resolved = world.resolve(&job.wanted) => resolved,
        };
        let plan = resolved.and_then(|resolved| Plan::try_new(&job.wanted, &resolved));
        let plan = match plan {
            Ok(plan) => plan,
            Err(errors) => return refused(&job.in_file(&errors).join("; ")),
        };
        let ended = tokio::select! {
            biased;
            signal = stop.heard() => Err(signal),
            ended = ask(&plan, &job.terms, job.patience) => Ok(ended),
        };
        // Whatever happened, nothing is left behind.
        close(&plan).await;
        match ended {
            Ok(ended) => self.end(job, &plan, &ended),
            Err(signal) => Exit::Signalled(signal),
        }
    }

    /// Writes the matrix, and returns the exit status.
    fn end(&self, job: &Job, plan: &Plan, ended: &Ended) -> Exit {
        let judged = Judged::new(plan, &ended.round);
        let summary = MatrixSummary::new(&judged, ended);
        if let Err(error) = self.write(job, &judged, &summary) {
            return Exit::of_output(&error);
        }
        if job.format != MatrixFormat::Table && !job.is_quiet {
            let remarks = remarks(&judged, &summary, job.file.as_deref());
            remarks.iter().for_each(|remark| print_error(&remark.text));
        }
        match (summary.as_expected, summary.complete) {
            (false, _) => Exit::Unexpected,
            (true, false) => Exit::Incomplete,
            (true, true) => Exit::Whole,
        }
    }

    fn write(&self, job: &Job, judged: &Judged<'_>, summary: &MatrixSummary) -> io::Result<()> {
        let path = job.output.as_deref().filter(|&path| path != Path::new("-"));
        let sink = Sink::open(path)?;
        let colour = match path {
            None => style::colour(sink.is_terminal()),
            Some(_) => Colour::No,
        };
        let head = MatrixHead {
            command: &self.command,
            file: job.file.as_deref(),
            started: self.started,
            colour,
        };
        let mut out = BufWriter::new(sink);
        write_matrix(job.format, &head, judged, summary, &mut out)?;
        out.flush()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
    }
}

/// What knows workloads.
fn cluster(job: &Job) -> Kubectl {
    let is_quiet = job.is_quiet;
    let say = move |text: &str| {
        if !is_quiet {
            print_error(text);
        }
    };
    Kubectl::new(job.cluster.clone(), Arc::new(say))
}
