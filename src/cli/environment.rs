//! The environment variables that are settings.

use std::collections::BTreeMap;
use std::ffi::OsString;

use thiserror::Error;

use super::{Exit, print_error, refused};
use crate::config::settings::{PREFIX, SETTINGS, Setting};
use crate::printable::Printable;

/// The variables that this program reads, and those with the prefix of its
/// settings.
#[derive(Debug, Default)]
pub(super) struct Environment(BTreeMap<String, String>);

/// A setting that is not UTF-8. To ignore it could drop a rule.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("the environment variable {0} is not UTF-8")]
pub(super) struct NotUtf8(String);

impl Environment {
    /// The environment of this process, for a command. Variables that are no settings are
    /// warned of.
    ///
    /// # Errors
    /// The end of the command, if there are none to go by, which was printed.
    pub(super) fn of_command() -> Result<Self, Exit> {
        let environment = Self::read().map_err(|error| refused(&error.to_string()))?;
        environment.warnings().iter().for_each(|warning| print_error(warning));
        Ok(environment)
    }

    /// The environment of this process.
    pub(super) fn read() -> Result<Self, NotUtf8> {
        Self::try_new(std::env::vars_os())
    }

    fn try_new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, NotUtf8> {
        let mut kept = BTreeMap::new();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            if !OTHERS.contains(&name.as_str()) && !name.starts_with(PREFIX) {
                continue;
            }
            match value.into_string() {
                Ok(value) => kept.insert(name, value),
                Err(_) => return Err(NotUtf8(name)),
            };
        }
        Ok(Self(kept))
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// A warning about each variable that has the prefix of settings and is none.
    pub(super) fn warnings(&self) -> Vec<String> {
        let settings = SETTINGS.each_ref().map(Setting::variable);
        let names = self.0.keys().filter(|name| name.starts_with(PREFIX));
        let is_known = |name: &&String| settings.contains(name) || OTHERS.contains(&name.as_str());
        let unknown = names.filter(|name| !is_known(name) && !is_service_link(name));
        unknown.map(|name| format!("{} is not a setting; it is ignored", Printable(name))).collect()
    }
}

/// Whether Kubernetes gives a variable of this name to the pods beside a Service
/// called open-ports, or open-ports-something.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables:
// NAME_SERVICE_HOST, NAME_SERVICE_PORT, NAME_SERVICE_PORT_PORTNAME, and as
// Docker had it NAME_PORT, NAME_PORT_80_TCP and three that this begins.
fn is_service_link(name: &str) -> bool {
    let port = |rest: &str| {
        let (number, protocol) = rest.split_once('_').unwrap_or_default();
        let protocol = protocol.split('_').next().unwrap_or_default();
        number.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].contains(&protocol)
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.match_indices("_PORT_").any(|(at, word)| port(&name[at + word.len()..]))
}

/// Variables that this program reads and that are no settings of the service.
const OTHERS: [&str; 3] = ["PORT", "JOB_COMPLETION_INDEX", "OPEN_PORTS_SHARDS"];

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn environment(names: &[&str]) -> Environment {
        let variables = names.iter().map(|name| (OsString::from(name), OsString::from("1")));
        Environment::try_new(variables).unwrap()
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_refused_if_it_could_be_a_setting() {
        let with = |name: &str| {
            let value = OsString::from_vec(b"10.0.0.0/8\xff".to_vec());
            Environment::try_new([(OsString::from(name), value)]).map(drop)
        };
        for name in ["OPEN_PORTS_DENY", "OPEN_PORTS_NEW", "PORT"] {
            assert_eq!(with(name), Err(NotUtf8(name.to_owned())));
        }
        for name in ["LANG", "OPEN", "PORTS", "MY_OPEN_PORTS_DENY"] {
            assert_eq!(with(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_variable_that_is_no_setting_is_warned_of_unless_it_is_a_service_link() {
        let links = [
            "OPEN_PORTS_SERVICE_HOST",
            "OPEN_PORTS_SERVICE_PORT",
            "OPEN_PORTS_SERVICE_PORT_HTTP",
            "OPEN_PORTS_PORT",
            "OPEN_PORTS_PORT_80_TCP",
            "OPEN_PORTS_PORT_80_TCP_PROTO",
            "OPEN_PORTS_PORT_80_TCP_PORT",
            "OPEN_PORTS_PORT_80_TCP_ADDR",
            "OPEN_PORTS_METRICS_SERVICE_HOST",
            "OPEN_PORTS_METRICS_PORT_9090_UDP_ADDR",
        ];
        assert_eq!(environment(&links).warnings(), [""; 0]);
        let names = ["OPEN_PORTS_ALLOW", "OPEN_PORTS_ALOW", "OPEN_PORTS_PORT_80", "PORT"];
        assert_eq!(
            environment(&names).warnings(),
            ["ALOW", "PORT_80"]
                .map(|name| format!("OPEN_PORTS_{name} is not a setting; it is ignored"))
        );
    }

    #[test]
    fn no_setting_could_be_a_service_link() {
        let settings = SETTINGS.each_ref().map(Setting::variable);
        assert!(settings.contains(&"OPEN_PORTS_MAX_SCANS_PER_TARGET".into()), "{settings:?}");
        for name in settings {
            assert!(!is_service_link(&name), "{name}");
            // A Service whose name is the start of a setting's must not set it either.
            for link in ["SERVICE_HOST", "SERVICE_PORT", "PORT"] {
                assert!(!name.ends_with(link), "{name}");
            }
        }
    }
}
