//! How a watch goes on and ends, as typed in a query or on the command line.

use std::time::Duration;

use super::condition::{Condition, Until};
use crate::fields::{self, FieldErrors};
use crate::limits;
use crate::ports::{PortListError, PortSet};

/// A field: its name, as its user knows it, and its text if it was given.
pub(crate) type Field<'a> = (&'static str, Option<&'a str>);

/// The fields that say how a watch goes on and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed<'a> {
    pub(crate) every: Field<'a>,
    pub(crate) until: Field<'a>,
    pub(crate) within: Field<'a>,
    pub(crate) settle: Field<'a>,
    /// Reads the ports of the condition.
    pub(crate) read_ports: fn(&str) -> Result<PortSet, PortListError>,
}

impl Typed<'_> {
    /// How often ports are asked, and what ends the watch; `None` if there is an error.
    pub(crate) fn read(&self, errors: &mut FieldErrors) -> Option<(Duration, Option<Until>)> {
        let everies = (limits::MIN_EVERY, limits::MAX_EVERY);
        let every = duration(self.every, everies, errors)
            .map(|every| every.unwrap_or(limits::DEFAULT_EVERY));
        let times = (Duration::from_millis(1), limits::MAX_WITHIN);
        let within = duration(self.within, times, errors);
        let settle = duration(self.settle, (Duration::ZERO, limits::MAX_WITHIN), errors);
        let (name, text) = self.until;
        let Some(text) = text else {
            for (field, given) in [self.within, self.settle] {
                if given.is_some() {
                    errors.add(field, format!("needs {name}"));
                }
            }
            return Some((every?, None));
        };
        let condition = match Condition::read(text, self.read_ports) {
            Ok(condition) => condition,
            Err(error) => return errors.reject(name, error.to_string()),
        };
        let (within, settle) = (within?, settle?.unwrap_or_default());
        if within.is_some_and(|within| within < settle) {
            return errors.reject(self.settle.0, format!("must not be above {}", self.within.0));
        }
        Some((every?, Some(Until { condition, within, settle })))
    }
}

/// Checks that so many ports can be watched on an address.
pub(crate) fn check_ports(ports: &PortSet, field: &str, errors: &mut FieldErrors) {
    let (count, most) = (ports.len(), limits::MAX_WATCHED_PORTS);
    if count > most {
        errors.add(field, format!("names {count} ports, and {most} can be watched"));
    }
}

/// The ports to watch, with those that a condition names.
pub(crate) fn with_condition(ports: Option<PortSet>, until: Option<&Until>) -> Option<PortSet> {
    let named = until.and_then(|until| until.condition.ports());
    match (ports, named) {
        (Some(ports), Some(named)) => Some(ports.union(&named)),
        (ports, named) => ports.or(named),
    }
}

/// `None` within: it was not given.
fn duration(
    (name, text): Field<'_>,
    bounds: (Duration, Duration),
    errors: &mut FieldErrors,
) -> Option<Option<Duration>> {
    match text {
        None => Some(None),
        Some(text) => fields::duration(text, name, bounds, errors).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: [Option<&str>; 4]) -> Result<(Duration, Option<Until>), String> {
        let [every, until, within, settle] = texts;
        let typed = Typed {
            every: ("every", every),
            until: ("until", until),
            within: ("within", within),
            settle: ("settle", settle),
            read_ports: PortSet::typed,
        };
        let mut errors = FieldErrors::default();
        let read = typed.read(&mut errors);
        if errors.is_empty() { Ok(read.unwrap()) } else { Err(errors.to_string()) }
    }

    #[test]
    fn a_watch_has_a_second_between_probes_and_no_end_unless_told_otherwise() {
        assert_eq!(read([None; 4]), Ok((limits::DEFAULT_EVERY, None)));
        let (every, until) = read([Some("20ms"), Some("open"), Some("1m"), Some("2s")]).unwrap();
        let until = until.unwrap();
        assert_eq!(every, Duration::from_millis(20));
        assert_eq!((until.within, until.settle.as_secs()), (Some(Duration::from_secs(60)), 2));
        let until = read([None, Some("open"), None, None]).unwrap().1.unwrap();
        assert_eq!((until.within, until.settle), (None, Duration::ZERO));
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        for (texts, error) in [
            (
                [Some("4ms"), None, None, None],
                "every must be 5ms to 1h, with a unit, like 500ms, 2s or 5m",
            ),
            (
                [Some("20"), None, None, None],
                "every must be 5ms to 1h, with a unit, like 500ms, 2s or 5m",
            ),
            ([None, None, Some("1s"), Some("1s")], "settle needs until; within needs until"),
            (
                [None, Some("open"), Some("30"), None],
                "within must be 1ms to 1day, with a unit, like 500ms, 2s or 5m",
            ),
            ([None, Some("open"), Some("1s"), Some("2s")], "settle must not be above within"),
            (
                [None, Some("up"), None, None],
                "until \"up\" is not a state; the states are open, closed, filtered and not-open",
            ),
        ] {
            assert_eq!(read(texts).unwrap_err(), error);
        }
    }
}
