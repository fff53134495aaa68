//! The settings of the service, in one table.
//!
//! The flags of `serve`, its help, the completions and the environment variables
//! that are known are made from the table; tests compare the table of docs/service.md and the
//! defaults with it. What reads a setting is [`Config::try_new`](super::Config::try_new).
//! A new setting needs an entry here, and a field there.

use std::fmt;

/// A setting as people read about it. Texts are in Markdown.
#[derive(Debug)]
pub(crate) struct Setting {
    /// `max-scans` is the flag `--max-scans` and the variable
    /// `OPEN_PORTS_MAX_SCANS`.
    pub(crate) name: &'static str,
    /// What its value is called in the help.
    pub(crate) value: &'static str,
    /// What it is, as a phrase.
    pub(crate) meaning: &'static str,
    /// What happens without it.
    pub(crate) omitted: Omitted,
}

/// What happens if a setting is omitted.
#[derive(Debug)]
pub(crate) enum Omitted {
    /// The same as with this value.
    Value(&'static str),
    /// Something else, as a phrase.
    Otherwise(&'static str),
}

impl Setting {
    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        variable(self.name)
    }
}

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "`{value}`"),
            Self::Otherwise(phrase) => f.write_str(phrase),
        }
    }
}

/// The environment variable of the setting called `name`.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// What the environment variables of settings begin with.
pub(crate) const PREFIX: &str = "OPEN_PORTS_";

/// All settings, in the order of the documentation.
pub(crate) const SETTINGS: [Setting; 23] = [
    Setting {
        name: "listen",
        value: "address",
        meaning: "address and port to listen on; \
                  if omitted while `PORT` is set, that port on all interfaces",
        omitted: Omitted::Value("127.0.0.1:8080"),
    },
    Setting {
        name: "host",
        value: "names",
        meaning: "names that `Host` may have besides `localhost` and addresses, separated by commas",
        omitted: Omitted::Otherwise("none on a loopback listener, any on others"),
    },
    Setting {
        name: "allow",
        value: "rules",
        meaning: "what may be scanned: networks and addresses, each with an optional port or range, \
                  or `private`, `loopback`, `link-local`, `any`; separated by commas",
        omitted: Omitted::Otherwise("`any` on a loopback listener, required on others"),
    },
    Setting {
        name: "deny",
        value: "rules",
        meaning: "never scan these, even if allowed",
        omitted: Omitted::Otherwise("none"),
    },
    Setting {
        name: "tokens",
        value: "file",
        meaning: "file of bearer tokens, one `name:token` per line; it is read again when it changes",
        omitted: Omitted::Otherwise("no token is required"),
    },
    Setting {
        name: "max-scans",
        value: "count",
        meaning: "most concurrent scans",
        omitted: Omitted::Value("16"),
    },
    Setting {
        name: "max-scans-per-caller",
        value: "count",
        meaning: "most concurrent scans of one caller (token, IPv4 address or IPv6 /64), \
                  including those it joins",
        omitted: Omitted::Value("8"),
    },
    Setting {
        name: "max-scans-per-target",
        value: "count",
        meaning: "most concurrent scans of one address; an identical scan joins the running one",
        omitted: Omitted::Value("1"),
    },
    Setting {
        name: "max-sweep-targets",
        value: "count",
        meaning: "most targets (addresses times ports) of one sweep; \
                  the default is as many as the largest scan of one name has",
        omitted: Omitted::Value("1048576"),
    },
    Setting {
        name: "max-rate",
        value: "rate",
        meaning: "most probes per second of all scans together; 0 is no limit",
        omitted: Omitted::Value("0"),
    },
    Setting {
        name: "max-scan-rate",
        value: "rate",
        meaning: "most probes per second of one scan; 0 is no limit",
        omitted: Omitted::Value("0"),
    },
    Setting {
        name: "max-deadline",
        value: "seconds",
        meaning: "seconds that a scan may take",
        omitted: Omitted::Value("300"),
    },
    Setting {
        name: "timeout-offset",
        value: "seconds",
        meaning: "seconds that `/probe` replies before its scrape gives up, also with decimals",
        omitted: Omitted::Value("0.5"),
    },
    Setting {
        name: "drain-delay",
        value: "seconds",
        meaning: "seconds to go on accepting clients after SIGTERM, while `/readyz` replies 503",
        omitted: Omitted::Value("0"),
    },
    Setting {
        name: "grace",
        value: "seconds",
        meaning: "seconds that running requests may take after the drain delay",
        omitted: Omitted::Value("30"),
    },
    Setting {
        name: "metrics-listen",
        value: "address",
        meaning: "a second address and port, for `/metrics` alone and without tokens",
        omitted: Omitted::Otherwise("none"),
    },
    Setting {
        name: "peers",
        value: "name",
        meaning: "name whose addresses are the instances that `/matrix` asks, with their port \
                  if it is another than this one's; in Kubernetes a headless Service",
        omitted: Omitted::Otherwise("none"),
    },
    Setting {
        name: "pod",
        value: "name",
        meaning: "name of the pod, for the rows of `/matrix`",
        omitted: Omitted::Otherwise("none"),
    },
    Setting {
        name: "namespace",
        value: "name",
        meaning: "namespace of the pod, likewise",
        omitted: Omitted::Otherwise("none"),
    },
    Setting {
        name: "node",
        value: "name",
        meaning: "node of the pod, likewise",
        omitted: Omitted::Otherwise("none"),
    },
    Setting {
        name: "zone",
        value: "name",
        meaning: "zone of the node, likewise",
        omitted: Omitted::Otherwise("none"),
    },
    Setting {
        name: "log",
        value: "error|warn|info|debug|trace",
        meaning: "least important level to log: `error`, `warn`, `info`, `debug` or `trace`",
        omitted: Omitted::Value("info"),
    },
    Setting {
        name: "log-format",
        value: "text|json",
        meaning: "`text` or `json`",
        omitted: Omitted::Otherwise("`text` on a terminal, `json` otherwise"),
    },
];
