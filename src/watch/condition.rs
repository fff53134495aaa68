//! What the ports of a watch are to come to, as typed: `5432=open,22=filtered`.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::ports::{PortListError, PortSet};
use crate::scan::PortState;

/// A condition, and how it has to come true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Until {
    pub(crate) condition: Condition,
    /// How much time there is; `None` is no limit.
    pub(crate) within: Option<Duration>,
    /// How long it has to hold.
    pub(crate) settle: Duration,
}

/// The states that ports are to have.
///
/// It is written as ports with their state, separated by commas (`22,80=open,443=closed`),
/// or as one state of all ports (`open`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The ports, and their state. `None`: all ports that are watched.
    parts: Vec<(Option<PortSet>, Wanted)>,
}

/// The state that a port is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// This one.
    State(PortState),
    /// Any but open.
    NotOpen,
}

/// Why a condition was rejected. The message says what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ConditionError {
    /// What should be a state is none.
    #[error("{0:?} is not a state; the states are open, closed, filtered and not-open")]
    State(String),
    /// The last ports have no state.
    #[error("gives {0} no state; write {0}=open, {0}=closed, {0}=filtered or {0}=not-open")]
    NoState(String),
    /// A port has two states.
    #[error("gives {0} a state twice")]
    Twice(u16),
    /// A state of all ports stands beside others.
    #[error("gives all ports a state, and some ports another; write either")]
    AllAndSome,
    /// The ports before a state are none.
    #[error("{0}")]
    Ports(PortListError),
}

impl Condition {
    /// Reads `text`, whose ports `read_ports` reads.
    ///
    /// # Errors
    /// When it is no condition.
    pub(crate) fn read(
        text: &str,
        read_ports: fn(&str) -> Result<PortSet, PortListError>,
    ) -> Result<Self, ConditionError> {
        if let Some(wanted) = Wanted::named(text) {
            return Ok(Self { parts: vec![(None, wanted)] });
        }
        let (mut parts, mut named) = (Vec::new(), BTreeSet::new());
        let mut before: Vec<&str> = Vec::new();
        for item in text.split(',') {
            let Some((ports, state)) = item.split_once('=') else {
                if Wanted::named(item).is_some() {
                    return Err(ConditionError::AllAndSome);
                }
                before.push(item);
                continue;
            };
            let state = state.trim();
            let wanted =
                Wanted::named(state).ok_or_else(|| ConditionError::State(state.to_owned()))?;
            before.push(ports.trim());
            let ports = read_ports(&before.join(",")).map_err(ConditionError::Ports)?;
            before.clear();
            if let Some(twice) = ports.iter().find(|&port| !named.insert(port)) {
                return Err(ConditionError::Twice(twice));
            }
            parts.push((Some(ports), wanted));
        }
        match before.join(",") {
            // A port that is none is the likelier slip.
            rest if !before.is_empty() => Err(match read_ports(&rest) {
                Err(_) if parts.is_empty() => ConditionError::State(rest),
                _ => ConditionError::NoState(rest),
            }),
            _ => Ok(Self { parts }),
        }
    }

    /// The ports that it names, if it names some.
    pub(crate) fn ports(&self) -> Option<PortSet> {
        let named = self.parts.iter().filter_map(|(ports, _)| ports.clone());
        named.reduce(|all, ports| all.union(&ports))
    }

    /// Every port that it is about, of those that are `watched`, and its state.
    pub(crate) fn items<'a>(
        &'a self,
        watched: &'a PortSet,
    ) -> impl Iterator<Item = (u16, Wanted)> + 'a {
        self.parts.iter().flat_map(move |(ports, wanted)| {
            ports.as_ref().unwrap_or(watched).iter().map(|port| (port, *wanted))
        })
    }
}

impl Wanted {
    const ALL: [Self; 4] = [
        Self::State(PortState::Open),
        Self::State(PortState::Closed),
        Self::State(PortState::Filtered),
        Self::NotOpen,
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wanted| wanted.name().eq_ignore_ascii_case(name))
    }

    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::State(state) => state.name(),
            Self::NotOpen => "not-open",
        }
    }

    /// Whether a port with this state has it.
    pub(crate) fn is_met_by(self, state: PortState) -> bool {
        match self {
            Self::State(wanted) => state == wanted,
            Self::NotOpen => state != PortState::Open,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (ports, wanted) in &self.parts {
            match ports {
                Some(ports) => write!(f, "{separator}{ports}={}", wanted.name())?,
                None => write!(f, "{separator}{}", wanted.name())?,
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Condition, String> {
        Condition::read(text, PortSet::typed).map_err(|error| error.to_string())
    }

    fn items(text: &str) -> Vec<String> {
        let watched = "22,80".parse().unwrap();
        let condition = read(text).unwrap();
        let items = condition.items(&watched);
        items.map(|(port, wanted)| format!("{port} {}", wanted.name())).collect()
    }

    #[test]
    fn ports_stand_before_their_state_and_a_state_alone_is_that_of_all() {
        for (text, expected) in [
            ("5432=open", &["5432 open"][..]),
            ("5432=open,22=filtered", &["5432 open", "22 filtered"]),
            ("22,80=open,443=closed", &["22 open", "80 open", "443 closed"]),
            ("8000-8001=not-open", &["8000 not-open", "8001 not-open"]),
            ("https = Open", &["443 open"]),
            ("open", &["22 open", "80 open"]),
            ("NOT-OPEN", &["22 not-open", "80 not-open"]),
        ] {
            assert_eq!(items(text), expected, "{text}");
        }
        assert_eq!(read("open").unwrap().ports(), None);
        assert_eq!(read("22=open,80=closed").unwrap().ports(), "22,80".parse().ok());
        assert_eq!(read("22,80=open,443=not-open").unwrap().to_string(), "22,80=open,443=not-open");
    }

    #[test]
    fn what_is_no_condition_is_named() {
        for (text, part) in [
            ("", "\"\" is not a state"),
            ("opened", "\"opened\" is not a state; the states are open, closed"),
            ("22=up", "\"up\" is not a state"),
            ("22=", "\"\" is not a state"),
            ("22", "gives 22 no state; write 22=open"),
            ("22=open,80", "gives 80 no state"),
            ("22=open,22=closed", "gives 22 a state twice"),
            ("open,22=closed", "gives all ports a state, and some ports another"),
            ("22=closed,open", "gives all ports a state, and some ports another"),
            ("nothing=open", "\"nothing\" is not a port"),
            ("open=22", "\"22\" is not a state"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
