//! From the flags of `open-ports watch` to a valid watch.

use std::collections::BTreeSet;

use super::WatchArgs;
use crate::ask::WatchOptions;
use crate::cli::scan::{flags, policy};
use crate::fields::FieldErrors;
use crate::host::{Family, Host};
use crate::limits;
use crate::policy::Policy;
use crate::ports::PortSet;
use crate::targets::{AddressSet, HostAndPort, HostSpec};
use crate::watch::Until;
use crate::watch::typed::{Typed, check_ports, with_condition};

/// A valid watch.
pub(super) struct Job {
    /// Each host with its name, as typed.
    pub(super) hosts: Vec<(String, Host)>,
    pub(super) ports: PortSet,
    pub(super) family: Family,
    pub(super) policy: Policy,
    pub(super) options: WatchOptions,
    pub(super) until: Option<Until>,
    /// `None` chooses by where the output goes.
    pub(super) format: Option<Format>,
    pub(super) is_quiet: bool,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines for people.
    Text,
    /// The records that the HTTP API streams, one a line.
    Ndjson,
}

impl Job {
    /// Checks all flags, so that one error names everything that is wrong.
    pub(super) fn try_new(
        args: &WatchArgs,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut errors = FieldErrors::default();
        let family = flags::family((args.ipv4, args.ipv6), args.family.as_deref(), &mut errors);
        let given = args.ports.as_deref().and_then(|list| match PortSet::typed(list) {
            Ok(ports) => Some(ports),
            Err(error) => errors.reject("-p", error.to_string()),
        });
        let typed = Typed {
            every: ("--every", args.every.as_deref()),
            until: ("--until", args.until.as_deref()),
            within: ("--within", args.within.as_deref()),
            settle: ("--settle", args.settle.as_deref()),
            read_ports: PortSet::typed,
        };
        let terms = typed.read(&mut errors);
        let (hosts, behind) = hosts(&args.hosts, family.unwrap_or_default(), &mut errors);
        let until = terms.as_ref().and_then(|(_, until)| until.as_ref());
        let behind = PortSet::from_ports(behind);
        let ports = match (given, behind) {
            (Some(given), Some(behind)) => Some(given.union(&behind)),
            (given, behind) => given.or(behind),
        };
        let ports = with_condition(ports, until);
        match &ports {
            Some(ports) => check_ports(ports, "-p", &mut errors),
            None if args.ports.is_none() => {
                errors.add("-p", "is required; name the ports to watch");
            }
            None => {}
        }
        let timeouts = (limits::MIN_TIMEOUT, limits::WATCH_TIMEOUT);
        let timeout = match args.timeout_ms.as_deref() {
            None => Some(limits::WATCH_TIMEOUT),
            Some(text) => flags::duration(text, "--timeout-ms", timeouts, &mut errors),
        };
        let format = match args.format.as_deref() {
            None => Some(None),
            Some("text") => Some(Some(Format::Text)),
            Some("ndjson") => Some(Some(Format::Ndjson)),
            Some(_) => errors.reject("--format", "must be text or ndjson"),
        };
        let (allow, deny) = (args.allow.as_deref(), args.deny.as_deref());
        let policy = policy((allow, deny), environment, &mut errors);
        if args.hosts.is_empty() {
            errors.add("host", "is missing; name a host to watch");
        }
        // Without an error, each of them is there.
        let valid = || {
            let (every, until) = terms?;
            Some(Self {
                hosts,
                ports: ports?,
                family: family?,
                policy: policy?,
                options: WatchOptions { every, timeout: timeout?, rate: None },
                until,
                format: format?,
                is_quiet: args.quiet,
            })
        };
        let is_valid = errors.is_empty();
        if is_valid { valid() } else { None }.ok_or_else(|| errors.to_string())
    }
}

/// The hosts typed, one by one, and the ports behind them.
fn hosts(
    words: &[String],
    family: Family,
    errors: &mut FieldErrors,
) -> (Vec<(String, Host)>, BTreeSet<u16>) {
    let (mut hosts, mut ports) = (Vec::with_capacity(words.len()), BTreeSet::new());
    for word in words {
        let (spec, port) = match word.parse() {
            Ok(HostAndPort { hosts, port }) => (hosts, port),
            Err(error) => {
                errors.add(word, error.to_string());
                continue;
            }
        };
        ports.extend(port);
        let range = match spec {
            HostSpec::Name(name) => {
                hosts.push((name.clone(), Host::Name(name)));
                continue;
            }
            HostSpec::Addresses(range) => range,
        };
        if !family.includes(range.first()) {
            let actual = if range.first().is_ipv4() { "IPv4" } else { "IPv6" };
            errors.add("--family", format!("excludes {word}, which is {actual}"));
        }
        let addresses = AddressSet::new(vec![range], &AddressSet::default());
        if addresses.len() > limits::MAX_WATCHED {
            errors.add(word, format!("has more than {} addresses", limits::MAX_WATCHED));
            continue;
        }
        let addresses = (0..addresses.len()).filter_map(|position| addresses.nth(position));
        hosts.extend(addresses.map(|address| (address.to_string(), Host::Address(address))));
    }
    (hosts, ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(change: impl FnOnce(&mut WatchArgs)) -> Result<Job, String> {
        let mut args = WatchArgs { hosts: vec!["db".into()], ..WatchArgs::default() };
        change(&mut args);
        Job::try_new(&args, &|_| None)
    }

    #[test]
    fn ports_are_those_of_p_of_hosts_and_of_the_condition() {
        let job = job(|args| {
            args.hosts = ["db:5432", "10.0.0.1-2"].map(str::to_owned).to_vec();
            args.ports = Some("ssh,".into());
            args.until = Some("https=open".into());
        });
        let job = job.unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(job.ports.to_string(), "22,443,5432");
        let names: Vec<&str> = job.hosts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["db", "10.0.0.1", "10.0.0.2"]);
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let error = |change: fn(&mut WatchArgs)| job(change).err().unwrap_or_default();
        assert_eq!(error(|_| ()), "-p is required; name the ports to watch");
        let several = error(|args| {
            args.hosts = vec!["10.0.0.1/33".into()];
            args.ports = Some("nothing".into());
            args.every = Some("1".into());
            args.format = Some("json".into());
            args.settle = Some("1s".into());
        });
        for part in [
            "--every must be 5ms to 1h",
            "--format must be text or ndjson",
            "--settle needs --until",
            "-p \"nothing\" is not a port",
            "10.0.0.1/33 must have a prefix length of 0 to 32",
        ] {
            assert!(several.contains(part), "{part}: {several}");
        }
        let many = error(|args| {
            args.hosts = vec!["10.0.0.0/8".into()];
            args.ports = Some("all".into());
        });
        assert!(many.contains("10.0.0.0/8 has more than 16384 addresses"), "{many}");
        assert!(many.contains("-p names 65535 ports, and 1024 can be watched"), "{many}");
    }
}
