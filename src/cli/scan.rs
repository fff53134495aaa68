//! `open-ports scan`: scans from the command line, under the same policy as the
//! service.

pub(super) mod baseline;
mod dry_run;
pub(super) mod flags;
mod job;
mod learn;
mod line;
pub(super) mod notes;
mod outputs;
mod session;
mod shard;
pub(super) mod sink;
pub(super) mod style;
mod verdicts;

use argh::{ArgsInfo, FromArgs};

use self::job::Job;
pub(super) use self::job::policy;
use super::engine::Engine;
use super::environment::Environment;
use super::exit::Refusal;
use super::{Exit, NAME};
use crate::targets::HostListError;

/// Scan hosts and print what is open.
#[derive(Clone, Debug, Default, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "scan",
    help_triggers("-h", "--help"),
    example = "{command_name} example.org",
    example = "{command_name} 10.0.0.0/24 10.0.1.1-50 -p 22,80,8000-8100,top100",
    example = "{command_name} web.internal -p all --expect 22,443",
    example = "{command_name} web.internal --against yesterday.json",
    example = "{command_name} --targets hosts.txt --format ndjson --output found.ndjson",
    note = "Every port is scanned on every host. A port behind a host, as in 10.0.0.1:22, joins the \
            ports to scan; with -p, --to-port or --top it has to be among them, and in a list of \
            --targets it is ignored.",
    note = "-Pn is accepted and changes nothing: no host is pinged before its scan.",
    error_code(1, "something failed"),
    error_code(2, "invalid command line or list"),
    error_code(3, "a name does not resolve"),
    error_code(4, "incomplete: something was not scanned"),
    error_code(5, "open ports differ from what was expected, or from before"),
    error_code(130, "stopped by Ctrl-C; results so far were printed"),
    error_code(141, "the reader of the output left")
)]
pub(super) struct ScanArgs {
    /// names, addresses, networks (10.0.0.0/24) or ranges (10.0.0.1-50), each
    /// with or without a port (10.0.0.1:22)
    #[argh(positional, arg_name = "host")]
    pub(super) hosts: Vec<String>,
    /// ports to scan: numbers, ranges (8000-8100, 8000-, -1024), services
    /// (https), top100 or all, separated by commas (default: the ports behind
    /// hosts, or top1000)
    #[argh(option, short = 'p', arg_name = "list")]
    pub(super) ports: Option<String>,
    /// scan the ports from 1 to this one
    #[argh(option, arg_name = "port")]
    pub(super) to_port: Option<String>,
    /// scan this many of the most common ports, 1 to 1000
    #[argh(option, arg_name = "count")]
    pub(super) top: Option<String>,
    /// more hosts, from a file, or - for standard input
    #[argh(option, arg_name = "file")]
    pub(super) targets: Option<String>,
    /// addresses and networks not to scan, separated by commas
    #[argh(option, arg_name = "hosts")]
    pub(super) exclude: Vec<String>,
    /// which addresses of a name to scan (default: any)
    #[argh(option, arg_name = "any|ipv4|ipv6")]
    pub(super) family: Option<String>,
    /// short for --family ipv4
    #[argh(switch, short = '4')]
    pub(super) ipv4: bool,
    /// short for --family ipv6
    #[argh(switch, short = '6')]
    pub(super) ipv6: bool,
    /// how long a port may take to answer: milliseconds, or with a unit, like
    /// 2s (default: 2000)
    #[argh(option, arg_name = "ms")]
    pub(super) timeout_ms: Option<String>,
    /// how long the whole scan may take: milliseconds, or with a unit, like 5m
    /// (default: no limit)
    #[argh(option, arg_name = "ms")]
    pub(super) deadline_ms: Option<String>,
    /// most probes per second (default: no limit)
    #[argh(option, arg_name = "count")]
    pub(super) rate: Option<String>,
    /// list filtered ports too
    #[argh(switch)]
    pub(super) details: bool,
    /// format of the output (default: by the ending of --output, else table on a
    /// terminal and plain elsewhere)
    #[argh(
        option,
        arg_name = "table|plain|json|ndjson|csv|grepable|xml|junit|tap|github|sarif|file-sd"
    )]
    pub(super) format: Option<String>,
    /// write to this file, which is replaced only by complete output. Without
    /// --format its ending says the format: .txt, .json, .ndjson, .csv, .gnmap,
    /// .xml, .junit.xml, .tap or .sarif. Repeat it for more files
    #[argh(option, arg_name = "file")]
    pub(super) output: Vec<String>,
    /// write nmap's XML to this file, or to standard output (-)
    #[argh(option, arg_name = "file")]
    pub(super) output_xml: Vec<String>,
    /// write nmap's grepable format to this file, or to standard output (-)
    #[argh(option, arg_name = "file")]
    pub(super) output_grepable: Vec<String>,
    /// write JSON to this file, or to standard output (-)
    #[argh(option, arg_name = "file")]
    pub(super) output_json: Vec<String>,
    /// the ports that ought to be open on each host, or none; they are scanned,
    /// too. Exits with 5 if the open ports differ
    #[argh(option, arg_name = "list")]
    pub(super) expect: Option<String>,
    /// scan the hosts in this file and expect these ports, each line like
    /// "web.internal 22,443"
    #[argh(option, arg_name = "file")]
    pub(super) expect_file: Option<String>,
    /// compare with an earlier report: JSON, NDJSON, or nmap's XML or grepable
    /// format, or - for standard input. Exits with 5 if a port changed
    #[argh(option, arg_name = "file")]
    pub(super) against: Option<String>,
    /// write what is open to this file, as --expect-file reads it
    #[argh(option, arg_name = "file")]
    pub(super) learn: Option<String>,
    /// with --learn, change only the lines of the file that are no longer true,
    /// and add those of new hosts; comments and order stay
    #[argh(switch)]
    pub(super) update: bool,
    /// print on standard error what is to be scanned, and a line for each host
    #[argh(switch, short = 'v')]
    pub(super) verbose: bool,
    /// print no progress and no notes; results, warnings and errors stay
    #[argh(switch, short = 'q')]
    pub(super) quiet: bool,
    /// scan only what these rules allow; also OPEN_PORTS_ALLOW (default: any)
    #[argh(option, arg_name = "rules")]
    pub(super) allow: Option<String>,
    /// never scan these, even if allowed; also OPEN_PORTS_DENY (default: none)
    #[argh(option, arg_name = "rules")]
    pub(super) deny: Option<String>,
    /// scan the addresses of cloud metadata services, too, which are never
    /// scanned otherwise
    #[argh(switch)]
    pub(super) ask_cloud_metadata: bool,
    /// send nothing; print how long the scan would take, what that depends
    /// on, and how many shards are done within --deadline-ms
    #[argh(switch)]
    pub(super) dry_run: bool,
    /// scan one of several disjoint parts of the hosts, like 3/16; with auto,
    /// the part of a pod: JOB_COMPLETION_INDEX (from 0) of OPEN_PORTS_SHARDS
    #[argh(option, arg_name = "part")]
    pub(super) shard: Option<String>,
    /// number that makes the order of the probes repeatable; with --shard, all
    /// parts need the same (random; 0 with --shard)
    #[argh(option, arg_name = "number")]
    pub(super) seed: Option<String>,
}

/// Scans as `args` say; `typed` is the command line for formats that keep it.
pub(super) fn run(args: &ScanArgs, typed: &[String]) -> Exit {
    try_run(args, typed).unwrap_or_else(|exit| exit)
}

fn try_run(args: &ScanArgs, typed: &[String]) -> Result<Exit, Exit> {
    let environment = Environment::of_command()?;
    let job = Job::try_new(args, typed, &|name| environment.get(name)).map_err(Refusal::print)?;
    let engine = Engine::prepare()?;
    if args.dry_run {
        return Ok(dry_run::run(job, engine));
    }
    Ok(engine.run(session::run(job, engine)))
}

/// The exit status when the list of hosts cannot be read any further.
fn exit_of(error: &HostListError) -> Exit {
    match error {
        HostListError::Read { .. } => Exit::Failure,
        HostListError::Word { .. } | HostListError::Line(_) => Exit::Usage,
    }
}
