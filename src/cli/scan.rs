//! `open-ports scan`: the engine at the prompt, under the same policy.

mod job;
mod line;
mod session;
mod sink;

use argh::{ArgsInfo, FromArgs};

use self::job::Job;
pub(super) use self::sink::discard_output;
use super::environment::Environment;
use super::{Exit, NAME, cores, failed, print_error, start_runtime};
use crate::scan::{DescriptorPlan, memory_limit, raise_descriptor_limit};
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
    example = "{command_name} --targets hosts.txt --format ndjson --output found.ndjson",
    error_code(1, "something failed"),
    error_code(2, "the command line or a list makes no sense"),
    error_code(3, "a name does not resolve"),
    error_code(4, "incomplete: something was not scanned"),
    error_code(5, "what is open is not what was expected"),
    error_code(130, "stopped by Ctrl-C; what is known was printed")
)]
pub(super) struct ScanArgs {
    /// names, addresses, networks (10.0.0.0/24) or ranges (10.0.0.1-50)
    #[argh(positional, arg_name = "host")]
    pub(super) hosts: Vec<String>,
    /// the ports, like 22,80,8000-8100,top100, or all (top1000)
    #[argh(option, short = 'p', arg_name = "list")]
    pub(super) ports: Option<String>,
    /// the ports from 1 to this one
    #[argh(option, arg_name = "port")]
    pub(super) to_port: Option<String>,
    /// as many ports, the most common first, 1 to 1000
    #[argh(option, arg_name = "count")]
    pub(super) top: Option<String>,
    /// more hosts, from a file, or - for standard input
    #[argh(option, arg_name = "file")]
    pub(super) targets: Option<String>,
    /// hosts not to scan, apart by commas
    #[argh(option, arg_name = "hosts")]
    pub(super) exclude: Vec<String>,
    /// addresses of names to scan: any, ipv4 or ipv6 (any)
    #[argh(option, arg_name = "any|ipv4|ipv6")]
    pub(super) family: Option<String>,
    /// how long each port may take to answer (2000)
    #[argh(option, arg_name = "ms")]
    pub(super) timeout_ms: Option<String>,
    /// how long the whole scan may take (no limit)
    #[argh(option, arg_name = "ms")]
    pub(super) deadline_ms: Option<String>,
    /// probes a second, at most (no limit)
    #[argh(option, arg_name = "count")]
    pub(super) rate: Option<String>,
    /// tell of filtered ports too, one by one
    #[argh(switch)]
    pub(super) details: bool,
    /// table, plain, json, ndjson, csv, grepable or xml (table on a terminal,
    /// plain otherwise)
    #[argh(option, arg_name = "table|plain|json|ndjson|csv|grepable|xml")]
    pub(super) format: Option<String>,
    /// write to a file, whole or not at all
    #[argh(option, arg_name = "file")]
    pub(super) output: Option<String>,
    /// the ports that ought to be open on each host, or none
    #[argh(option, arg_name = "list")]
    pub(super) expect: Option<String>,
    /// file of hosts to scan and their ports, a line "host 22,443" each
    #[argh(option, arg_name = "file")]
    pub(super) expect_file: Option<String>,
    /// what may be scanned (any); also OPEN_PORTS_ALLOW
    #[argh(option, arg_name = "rules")]
    pub(super) allow: Option<String>,
    /// what may not, whatever is allowed; also OPEN_PORTS_DENY
    #[argh(option, arg_name = "rules")]
    pub(super) deny: Option<String>,
    /// a number that makes the order of the probes repeatable
    #[argh(option, arg_name = "number")]
    pub(super) seed: Option<String>,
}

/// Scans as `args` say, which were `typed` like that.
pub(super) fn run(args: ScanArgs, typed: &[String]) -> Exit {
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(error) => return failed(&error.to_string()),
    };
    environment.complaints().iter().for_each(|complaint| print_error(complaint));
    let environment = |name: &str| environment.get(name);
    let job = match Job::try_new(args, typed, &environment) {
        Ok(job) => job,
        Err(refusal) => return refusal.told(),
    };
    let descriptors = match DescriptorPlan::try_new(raise_descriptor_limit()) {
        Ok(descriptors) => descriptors.within(memory_limit()),
        Err(error) => return failed(&error.to_string()),
    };
    let cores = cores();
    let runtime = match start_runtime(cores) {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    let exit = runtime.block_on(session::run(job, descriptors, cores));
    // A name may still be resolving; nobody waits for it.
    runtime.shutdown_background();
    exit
}

/// How a list of hosts that cannot be read on ends the command.
fn exit_of(error: &HostListError) -> Exit {
    match error {
        HostListError::Read { .. } => Exit::Failure,
        HostListError::Word { .. } | HostListError::Line(_) => Exit::Usage,
    }
}
