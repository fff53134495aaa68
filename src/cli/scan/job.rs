//! From the flags of `open-ports scan` to a valid scan.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::baseline::Baseline;
use super::flags::{Flags, Output, Verbosity};
use super::learn::Learn;
use super::shard::shard;
use super::{Exit, ScanArgs, exit_of};
use crate::cli::exit::Refusal;
use crate::config::{ConfigError, Sources};
use crate::expect::{Expectation, Expectations, Origins};
use crate::fields::{self, FieldErrors};
use crate::host::Family;
use crate::output::Format;
use crate::policy::{Policy, Rules};
use crate::ports::PortSet;
use crate::scan::Keep;
use crate::targets::{
    AddressSet, HostAndPort, HostList, HostSet, HostSpec, HostSpecError, ListedPorts, Shard,
    TypedOrder,
};

/// A valid scan of one or many hosts.
pub(super) struct Job {
    /// The command line, for formats that keep it.
    pub(super) command: String,
    pub(super) first: HostSet,
    pub(super) rest: HostList,
    pub(super) exclude: AddressSet,
    pub(super) ports: PortSet,
    pub(super) family: Family,
    pub(super) policy: Policy,
    pub(super) timeout: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) rate: Option<NonZeroU32>,
    pub(super) keep: Keep,
    pub(super) seed: u64,
    /// The part of the hosts to scan, if there are several.
    pub(super) shard: Option<Shard>,
    pub(super) expectations: Expectations,
    /// The report to compare with, if there is one.
    pub(super) baseline: Option<Baseline>,
    /// The file of expectations to write, if there is one.
    pub(super) learn: Option<Learn>,
    /// Where these were written.
    pub(super) origins: Origins,
    /// The name of the report to compare with.
    pub(super) against: Option<String>,
    /// Of standard output; `None` chooses by where it goes.
    pub(super) format: Option<Format>,
    /// Files to write. If there are none, standard output is written.
    pub(super) outputs: Vec<Output>,
    /// The order in which hosts were typed.
    pub(super) order: TypedOrder,
    pub(super) verbosity: Verbosity,
    /// How many columns the longest host typed takes.
    pub(super) host_width: usize,
}

impl Job {
    /// Checks all flags, so that one error names everything that is wrong, and then
    /// reads the first hosts.
    pub(super) fn try_new(
        args: &ScanArgs,
        typed: &[String],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let mut errors = FieldErrors::default();
        let flags = Flags::read(args, &mut errors);
        let given = (args.allow.as_deref(), args.deny.as_deref());
        let policy = policy(given, environment, &mut errors);
        let given = flags.as_ref().and_then(|flags| flags.ports.as_ref());
        let expectations = expectations(args, &mut errors)?;
        let learn = Learn::open(args, &mut errors)?;
        let expected = expectations.ports();
        let (mut specs, behind) = hosts(&args.hosts, (given, expected.as_ref()), &mut errors);
        let family = flags.as_ref().map_or(Family::Any, |flags| flags.family);
        exclude_none(family, &specs, &mut errors);
        let exclude = args.exclude.iter().map(|list| list.strip_suffix(',').unwrap_or(list));
        let exclude = exclude.flat_map(|list| list.split(','));
        let exclude = fields::exclusions(exclude, "--exclude", &mut errors).unwrap_or_default();
        let shard = shard(args.shard.as_deref(), environment, &mut errors);
        if let Some(flags) = &flags
            && let Some(name) = flags.judged()
            && expectations.is_empty()
            && args.against.is_none()
        {
            let error = format!("{name} needs --expect, --expect-file or --against");
            errors.add("--format", error);
        }
        let (Some(flags), Some(policy), Some(shard), true) =
            (flags, policy, shard, errors.is_empty())
        else {
            return Err(Refusal::Usage(errors.to_string()));
        };
        specs.extend(expectations.hosts().map(|host| host.parse().expect("read as a host")));
        let host_width = specs.iter().map(width).max().unwrap_or_default();
        let list = args.targets.as_deref().map(open).transpose()?;
        if specs.is_empty() && list.is_none() {
            return Err(Refusal::Usage("name a host to scan, or a list with --targets".into()));
        }
        let baseline = args.against.as_deref().map(Baseline::open).transpose()?;
        let order = TypedOrder::new(&specs);
        let rest = HostList::new(specs, list, exclude.clone(), flags.seed)
            .in_shard(shard.unwrap_or_default());
        let mut rest = rest.with_ports(match &flags.ports {
            Some(_) => ListedPorts::Ignored,
            None => ListedPorts::Gathered(behind),
        });
        let first = rest.next_set().map_err(|error| match exit_of(&error) {
            Exit::Usage => Refusal::Usage(format!("--targets: {error}")),
            _ => Refusal::Failure(format!("--targets: {error}")),
        })?;
        let first = first.filter(|first| first.listed() > 0 || !rest.is_exhausted());
        let first = first.ok_or_else(|| Refusal::Usage("there is no host left to scan".into()))?;
        let ports = ports(flags.ports, rest.ports(), expected);
        rest.keep_to(&ports);
        Ok(Self {
            command: format!("{} {}", super::NAME, typed.join(" ")),
            first,
            rest,
            exclude,
            ports,
            family: flags.family,
            policy: if args.ask_cloud_metadata { policy.with_metadata() } else { policy },
            timeout: flags.timeout,
            deadline: flags.deadline,
            rate: flags.rate,
            keep: if args.details { Keep::NotClosed } else { Keep::Open },
            seed: flags.seed,
            shard,
            origins: expectations.origins(args.expect_file.as_deref().unwrap_or_default()),
            against: args.against.clone(),
            expectations,
            baseline,
            learn,
            format: flags.format,
            outputs: flags.outputs,
            order,
            verbosity: flags.verbosity,
            host_width,
        })
    }
}

/// The rules of `--allow` and `--deny`, or of the environment.
pub(in crate::cli) fn policy(
    (allow, deny): (Option<&str>, Option<&str>),
    environment: &dyn Fn(&str) -> Option<String>,
    errors: &mut FieldErrors,
) -> Option<Policy> {
    let flags = |setting: &str| match setting {
        "allow" => allow.map(str::to_owned),
        "deny" => deny.map(str::to_owned),
        _ => None,
    };
    let sources = Sources::new(&flags, environment);
    let mut rules = |setting| match sources.read_as::<Rules>(setting, "a list of rules") {
        Ok(rules) => Some(rules),
        Err(ConfigError::Invalid { origin, value, expected }) => {
            errors.reject(&origin, format!("{value:?} is not {expected}"))
        }
        Err(error) => errors.reject(setting, error.to_string()),
    };
    let (allow, deny) = (rules("allow"), rules("deny"));
    Some(Policy::new(allow?.unwrap_or_else(Rules::any), deny?.unwrap_or_default()))
}

/// The hosts typed, and the ports behind them. If the ports to scan are `given`, those
/// have to be among them or among the `expected` ones.
fn hosts(
    words: &[String],
    (given, expected): (Option<&PortSet>, Option<&PortSet>),
    errors: &mut FieldErrors,
) -> (Vec<HostSpec>, BTreeSet<u16>) {
    let (mut specs, mut ports) = (Vec::with_capacity(words.len()), BTreeSet::new());
    let has = |set: Option<&PortSet>, port| set.is_some_and(|set| set.contains(port));
    for word in words {
        match word.parse() {
            Ok(HostAndPort { port: Some(port), .. })
                if given.is_some() && !has(given, port) && !has(expected, port) =>
            {
                errors.add(word, HostSpecError::OtherPort.to_string());
            }
            Ok(HostAndPort { hosts, port }) => {
                specs.push(hosts);
                ports.extend(port);
            }
            Err(error) => errors.add(word, format!("{error}")),
        }
    }
    (specs, ports)
}

/// Refuses addresses that `family` excludes: it chooses among the addresses of a name.
fn exclude_none(family: Family, specs: &[HostSpec], errors: &mut FieldErrors) {
    for spec in specs {
        if let HostSpec::Addresses(range) = spec
            && let address = range.first()
            && !family.includes(address)
        {
            let actual = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            errors.add("--family", format!("excludes {address}, which is {actual}"));
        }
    }
}

/// The ports to scan: the given ones, or those behind the hosts, or the most common
/// ones, and all that are expected.
fn ports(given: Option<PortSet>, behind: &ListedPorts, expected: Option<PortSet>) -> PortSet {
    let behind = match behind {
        ListedPorts::Gathered(ports) => PortSet::from_ports(ports.iter().copied()),
        _ => None,
    };
    let common = || PortSet::most_common(DEFAULT_TOP).expect("there are as many");
    let ports = given.or(behind).unwrap_or_else(common);
    match expected {
        Some(expected) => ports.union(&expected),
        None => ports,
    }
}

fn expectations(args: &ScanArgs, errors: &mut FieldErrors) -> Result<Expectations, Refusal> {
    let every = args.expect.as_deref().and_then(|list| match Expectation::typed(list) {
        Ok(expectation) => Some(expectation),
        Err(error) => errors.reject("--expect", error.to_string()),
    });
    let mut expectations = Expectations::new(every);
    if let Some(path) = &args.expect_file {
        let failed = |error: io::Error| Refusal::Failure(format!("--expect-file {path}: {error}"));
        let text = std::fs::read_to_string(path).map_err(failed)?;
        if let Err(error) = expectations.read(&text) {
            errors.add("--expect-file", error.to_string());
        }
    }
    Ok(expectations)
}

fn open(path: &str) -> Result<Box<dyn BufRead + Send>, Refusal> {
    if path == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(BufReader::new(file))),
        Err(error) => Err(Refusal::Failure(format!("--targets {path}: {error}"))),
    }
}

/// Columns that the host takes in a table.
fn width(spec: &HostSpec) -> usize {
    match spec {
        // Its address follows in parentheses.
        HostSpec::Name(name) => name.len() + " (255.255.255.255)".len(),
        HostSpec::Addresses(range) => match range.first() {
            IpAddr::V4(_) => "255.255.255.255".len(),
            address @ IpAddr::V6(_) => address.to_string().len(),
        },
    }
}

/// The default of nmap and most other scanners.
const DEFAULT_TOP: usize = 1000;
