//! How the service is to run: flags over environment over defaults.
//!
//! `settings` says which settings there are. [`Config`] can hold only values that
//! make sense.

mod place;
pub(crate) mod settings;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

pub use self::place::{PeerName, Place};
use self::settings::{SETTINGS, Setting, variable};
use crate::admission::Quotas;
use crate::host::Host;
use crate::limits;
use crate::policy::{Policy, Rules};
use crate::ports::parse_port;
use crate::request::Ceilings;

/// Valid settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on; the first that works is taken.
    pub listen: Vec<SocketAddr>,
    /// A second address, which serves metrics alone.
    pub metrics_listen: Option<SocketAddr>,
    /// The names that `Host` may have, besides those of a loopback listener.
    pub hosts: Vec<Host>,
    /// How long running requests may take after the drain delay.
    pub grace: Duration,
    /// How long to go on accepting clients after SIGTERM, while not ready.
    pub drain_delay: Duration,
    /// What may be scanned.
    pub policy: Policy,
    /// The file of bearer tokens.
    pub tokens: Option<PathBuf>,
    /// The limits on scans at once.
    pub quotas: Quotas,
    /// The limit of probes a second of all scans together.
    pub rate: Option<NonZeroU32>,
    /// The limits on what one request may ask for.
    pub ceilings: Ceilings,
    /// How much earlier a probe ends than its scrape.
    pub timeout_offset: Duration,
    /// The other instances of the service, for a matrix.
    pub peers: Option<PeerName>,
    /// Where this one runs.
    pub place: Place,
    /// How to log.
    pub log: LogConfig,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least important level that is logged.
    pub level: tracing::Level,
    /// `None`: text on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the service cannot run like this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A setting has an invalid value.
    #[error("{origin}: {value:?} is not {expected}")]
    Invalid {
        /// The flag or the environment variable.
        origin: String,
        /// What was given.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// Other hosts can reach the listener, and there is no list of what may be
    /// scanned.
    #[error(
        "{listen} can be reached from other hosts, so say what they may scan: \
         --allow private, or OPEN_PORTS_ALLOW=10.0.0.0/8,192.168.7.0/24:1-1024; \
         --allow any lifts the limit"
    )]
    NoAllowList {
        /// The listener.
        listen: SocketAddr,
    },
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Error)]
pub struct ConfigErrors(Vec<ConfigError>);

/// Where settings come from: flags, then the environment.
pub struct Sources<'a> {
    flags: &'a dyn Fn(&str) -> Option<String>,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Sources<'a> {
    /// `flags` finds a value by the setting's name, `environment` by the variable's.
    pub fn new(
        flags: &'a dyn Fn(&str) -> Option<String>,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self { flags, environment }
    }

    /// The value of `setting`, and the flag or variable that it comes from.
    fn get(&self, setting: &str) -> Option<(String, String)> {
        let is_listed = SETTINGS.iter().any(|Setting { name, .. }| *name == setting);
        debug_assert!(is_listed, "{setting} is not in the table");
        let from_flag = (self.flags)(setting).map(|value| (format!("--{setting}"), value));
        from_flag.or_else(|| {
            let variable = variable(setting);
            // A manifest may leave a variable blank: that is as if it were not set.
            let value = (self.environment)(&variable).filter(|value| !value.is_empty())?;
            Some((variable, value))
        })
    }

    /// Reads `setting`, if it is given.
    ///
    /// # Errors
    /// When `parse` rejects the value.
    pub fn read<T>(
        &self,
        setting: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((origin, value)) = self.get(setting) else { return Ok(None) };
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(ConfigError::Invalid { origin, value, expected: expected.to_owned() }),
        }
    }

    /// Reads `setting`, if it is given, by its `FromStr`, whose message becomes part of
    /// the error.
    ///
    /// # Errors
    /// When the value cannot be read.
    pub fn read_as<T: FromStr<Err: ToString>>(
        &self,
        setting: &str,
        expected: &str,
    ) -> Result<Option<T>, ConfigError> {
        let Some((origin, value)) = self.get(setting) else { return Ok(None) };
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(error) => {
                let expected = format!("{expected}: {}", T::Err::to_string(&error));
                Err(ConfigError::Invalid { origin, value, expected })
            }
        }
    }
}

impl Config {
    /// Reads every setting, and fills in defaults.
    ///
    /// # Errors
    /// Every invalid setting, by the flag or variable it came from.
    pub fn try_new(sources: &Sources<'_>) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let listen = errors.keep(listen_addresses(sources));
        let allow = errors.keep(sources.read_as::<Rules>("allow", RULES));
        let deny = errors.keep(sources.read_as::<Rules>("deny", RULES));
        let is_local = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        let reachable = listen.iter().flatten().find(|address| !is_local(address));
        if let (Some(None), Some(&listen)) = (&allow, reachable) {
            errors.0.push(ConfigError::NoAllowList { listen });
        }
        let allow = allow.map(|allow| allow.unwrap_or_else(Rules::any));
        let deadline = errors.keep(seconds(sources, "max-deadline", limits::MAX_MAX_DEADLINE));
        let deadline = deadline.map(|given| given.unwrap_or(limits::DEFAULT_MAX_DEADLINE));
        let metrics_listen = errors.keep(sources.read("metrics-listen", ADDRESS, parse_address));
        let hosts = errors.keep(sources.read("host", HOSTS, parse_hosts));
        let grace = errors.keep(seconds(sources, "grace", limits::MAX_GRACE));
        let drain_delay = errors.keep(seconds(sources, "drain-delay", limits::MAX_GRACE));
        let tokens = sources.read("tokens", "a path", |text| Some(PathBuf::from(text)));
        let tokens = errors.keep(tokens);
        let quotas = Quotas::read(sources, &mut errors);
        let rate_of_all = errors.keep(rate(sources, "max-rate"));
        let rate_of_one = errors.keep(rate(sources, "max-scan-rate"));
        let sweep_targets = sources.read("max-sweep-targets", COUNT, |text| text.parse().ok());
        let sweep_targets = errors.keep(sweep_targets);
        let timeout_offset = errors.keep(timeout_offset(sources));
        let peers = errors.keep(PeerName::read(sources));
        let place = Place::read(sources, &mut errors);
        let log = LogConfig::read(sources, &mut errors);
        // Without an error, each of them is there.
        let valid = || {
            Some(Self {
                listen: listen?,
                metrics_listen: metrics_listen?,
                hosts: hosts?.unwrap_or_default(),
                grace: grace?.unwrap_or(limits::DEFAULT_GRACE),
                drain_delay: drain_delay?.unwrap_or_default(),
                policy: Policy::new(allow?, deny?.unwrap_or_default()),
                tokens: tokens?,
                quotas: quotas?,
                rate: rate_of_all?,
                ceilings: Ceilings {
                    deadline: deadline?.max(limits::MIN_DEADLINE),
                    rate: rate_of_one?,
                    sweep_targets: sweep_targets?
                        .map_or(limits::DEFAULT_MAX_SWEEP_TARGETS, NonZeroU64::get),
                },
                timeout_offset: timeout_offset?.unwrap_or(limits::DEFAULT_TIMEOUT_OFFSET),
                peers: peers?,
                place: place?,
                log: log?,
            })
        };
        if errors.0.is_empty() { valid().ok_or(errors) } else { Err(errors) }
    }
}

impl ConfigErrors {
    /// The value, or `None` and one more error.
    fn keep<T>(&mut self, read: Result<T, ConfigError>) -> Option<T> {
        read.map_err(|error| self.0.push(error)).ok()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for error in &self.0 {
            write!(f, "{separator}{error}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl Quotas {
    fn read(sources: &Sources<'_>, errors: &mut ConfigErrors) -> Option<Self> {
        let mut count = |setting, default| errors.keep(count(sources, setting, default));
        let scans = count("max-scans", limits::DEFAULT_MAX_SCANS);
        let of_caller = count("max-scans-per-caller", limits::DEFAULT_MAX_SCANS_PER_CALLER);
        let of_target = count("max-scans-per-target", limits::DEFAULT_MAX_SCANS_PER_TARGET);
        Some(Self { scans: scans?, scans_per_caller: of_caller?, scans_per_target: of_target? })
    }
}

impl LogConfig {
    fn read(sources: &Sources<'_>, errors: &mut ConfigErrors) -> Option<Self> {
        let level = errors.keep(sources.read("log", "error, warn, info, debug or trace", |text| {
            let named = !text.bytes().any(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| named)
        }));
        let format = errors.keep(sources.read("log-format", "text or json", |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }));
        Some(Self { level: level?.unwrap_or(tracing::Level::INFO), format: format? })
    }
}

/// Where the service may listen, in order of preference.
///
/// # Errors
/// When what is given is not an address, or not a port.
pub fn listen_addresses(sources: &Sources<'_>) -> Result<Vec<SocketAddr>, ConfigError> {
    if let Some(address) = sources.read("listen", ADDRESS, parse_address)? {
        return Ok(vec![address]);
    }
    // Serverless platforms set PORT, and expect the service on all interfaces. A
    // machine without IPv6 takes the second address.
    let Some(value) = (sources.environment)("PORT").filter(|value| !value.is_empty()) else {
        return Ok(vec![limits::DEFAULT_LISTEN]);
    };
    let port = parse_port(&value).ok_or_else(|| ConfigError::Invalid {
        origin: "PORT".into(),
        value,
        expected: "a port, 1 to 65535".into(),
    })?;
    let everywhere = [IpAddr::from(Ipv6Addr::UNSPECIFIED), Ipv4Addr::UNSPECIFIED.into()];
    Ok(everywhere.map(|address| (address, port).into()).to_vec())
}

fn seconds(
    sources: &Sources<'_>,
    setting: &str,
    most: Duration,
) -> Result<Option<Duration>, ConfigError> {
    let expected = format!("a number of seconds, 0 to {}", most.as_secs());
    sources.read(setting, &expected, |text| {
        let seconds = text.parse().ok().map(Duration::from_secs)?;
        (seconds <= most).then_some(seconds)
    })
}

fn timeout_offset(sources: &Sources<'_>) -> Result<Option<Duration>, ConfigError> {
    let most = limits::MAX_TIMEOUT_OFFSET;
    let expected = format!("a number of seconds, 0 to {}, like 0.5", most.as_secs());
    sources.read("timeout-offset", &expected, |text| {
        let offset = text.parse().ok().map(Duration::try_from_secs_f64)?.ok()?;
        (offset <= most).then_some(offset)
    })
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

fn parse_hosts(text: &str) -> Option<Vec<Host>> {
    text.split(',').map(|host| host.parse().ok()).collect()
}

fn count(
    sources: &Sources<'_>,
    setting: &str,
    default: usize,
) -> Result<NonZeroUsize, ConfigError> {
    let given = sources.read(setting, COUNT, |text| text.parse().ok())?;
    Ok(given.unwrap_or(NonZeroUsize::new(default).expect("defaults are not 0")))
}

/// A limit on probes per second; 0 is none.
fn rate(sources: &Sources<'_>, setting: &str) -> Result<Option<NonZeroU32>, ConfigError> {
    let expected = "a number of probes per second, or 0 for no limit";
    let given = sources.read(setting, expected, |text| text.parse::<u32>().ok())?;
    Ok(given.and_then(NonZeroU32::new))
}

const COUNT: &str = "a number, 1 or more";

const RULES: &str = "a list of addresses and networks";

const HOSTS: &str = "a list of host names and addresses without ports, like scan.example.com";

const ADDRESS: &str = "an address with a port, like 127.0.0.1:8080 or [::]:8080";

#[cfg(test)]
mod tests;
