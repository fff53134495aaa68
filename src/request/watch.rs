//! A watch as typed becomes a valid watch.

pub(crate) mod parameters;

use std::num::NonZeroU32;
use std::time::Duration;

use super::read::{including, read_family, read_format, read_host, read_ports};
use super::{Ceilings, Format, ScanParams};
use crate::fields::{self, FieldErrors};
use crate::host::{Family, Host};
use crate::limits;
use crate::ports::PortSet;
use crate::watch::Until;
use crate::watch::typed::{Typed, check_ports, with_condition};

/// A valid watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchRequest {
    /// The host, as typed.
    pub(crate) domain: String,
    /// What the host is.
    pub(crate) host: Host,
    /// Which of its addresses to watch.
    pub(crate) family: Family,
    /// The ports, those of the condition among them.
    pub(crate) ports: PortSet,
    /// How often each of them is asked.
    pub(crate) every: Duration,
    /// How long a probe waits for an answer at most.
    pub(crate) timeout: Duration,
    /// The limit on probes per second.
    pub(crate) rate: Option<NonZeroU32>,
    /// What ends the watch, if not its client.
    pub(crate) until: Option<Until>,
    /// The format of the reply, if one was named.
    pub(crate) format: Option<Format>,
}

impl WatchRequest {
    /// Checks the parameters.
    ///
    /// # Errors
    /// Everything that is wrong with them, by parameter.
    pub(crate) fn try_new(params: &ScanParams, ceilings: &Ceilings) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let host = read_host(params, &mut errors);
        let field = |name: &'static str| (name, params.get(name));
        let typed = Typed {
            every: field("every"),
            until: field("until"),
            within: field("within"),
            settle: field("settle"),
            read_ports: str::parse,
        };
        let terms = typed.read(&mut errors);
        let until = terms.as_ref().and_then(|(_, until)| until.as_ref());
        // What a condition names need not be named again.
        let names = ["ports", "toPort", "fromPort"];
        let are_given = names.iter().any(|name| params.get(name).is_some());
        let named = until.and_then(|until| until.condition.ports());
        let ports = match named {
            Some(named) if !are_given => Some(named),
            _ => with_condition(read_ports(params, &mut errors), until),
        };
        if let Some(ports) = &ports {
            check_ports(
                ports,
                if params.get("toPort").is_some() { "toPort" } else { "ports" },
                &mut errors,
            );
        }
        let timeouts = (limits::MIN_TIMEOUT, limits::WATCH_TIMEOUT);
        let timeout = match params.get("timeoutMs") {
            None => Some(limits::WATCH_TIMEOUT),
            Some(text) => fields::milliseconds(text, "timeoutMs", timeouts, &mut errors),
        };
        let family = read_family(params, &mut errors)
            .and_then(|family| including(family, host.as_ref(), "domain", &mut errors));
        let format = read_format(params, &mut errors);
        // Without an error, each of them is there.
        let valid = || {
            let (every, until) = terms?;
            Some(Self {
                domain: params.get("domain")?.to_owned(),
                host: host?,
                family: family?,
                ports: ports?,
                every,
                timeout: timeout?,
                rate: ceilings.rate,
                until,
                format: format?,
            })
        };
        if errors.is_empty() { valid().ok_or(errors) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::parameters::OF_WATCH;
    use super::*;
    use crate::fields::tests::assert_in_readme;
    use crate::request::parameters::Parameter;

    const CEILINGS: Ceilings =
        Ceilings { deadline: Duration::from_secs(300), rate: None, sweep_targets: 1 };

    fn read(pairs: &[(&str, &str)]) -> Result<WatchRequest, String> {
        let mut params = ScanParams::of(&OF_WATCH);
        for &(name, text) in pairs {
            *params.slot(name).unwrap() = Some(text.to_owned());
        }
        WatchRequest::try_new(&params, &CEILINGS).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_ports_of_a_condition_are_watched_too_or_alone() {
        let ports = |pairs: &[(&str, &str)]| {
            read(&[&[("domain", "web")], pairs].concat()).unwrap().ports.to_string()
        };
        assert_eq!(ports(&[("until", "22=open,80=closed")]), "22,80");
        assert_eq!(ports(&[("ports", "443"), ("until", "22=open")]), "22,443");
        assert_eq!(ports(&[("toPort", "3"), ("until", "open")]), "1-3");
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        for (pairs, error) in [
            (&[][..], "domain is required; toPort is required, unless ports is given"),
            (
                &[("domain", "web"), ("ports", "all")],
                "ports names 65535 ports, and 1024 can be watched",
            ),
            (
                &[("domain", "web"), ("toPort", "1025")],
                "toPort names 1025 ports, and 1024 can be watched",
            ),
            (
                &[("domain", "web"), ("ports", "1"), ("timeoutMs", "1001")],
                "timeoutMs must be 50 to 1000 ms",
            ),
            (
                &[("domain", "web"), ("ports", "1"), ("until", "https=open")],
                "until \"https\" is not a port (1 to 65535), a range (8000-8100), top1 to \
                 top1000, or all",
            ),
            (
                &[("domain", "web"), ("ports", "1"), ("format", "json")],
                "format must be ndjson or sse",
            ),
        ] {
            assert_eq!(read(pairs).unwrap_err(), error);
        }
    }

    #[test]
    fn the_docs_have_the_table_of_watches() {
        let rows =
            OF_WATCH.each_ref().map(|Parameter { name, meaning, values, omitted, .. }| {
                format!("| `{name}` | {meaning} | {values} | {omitted} |\n")
            });
        let head = "| parameter | meaning | values | default |\n\
                    |-----------|---------|--------|---------|\n";
        assert_in_readme("watch parameters", &format!("{head}{}", rows.concat()));
        let most = limits::MAX_WATCHED_PORTS.to_string();
        let ports = OF_WATCH.iter().find(|parameter| parameter.name == "ports").unwrap();
        assert!(ports.more.contains(&most), "{}", ports.more);
    }
}
