//! What is wrong with each field, and the readers of values that the HTTP API and
//! the command line share.
//!
//! A reader is given the field's name as its user knows it (`timeoutMs` in a
//! query, `--timeout-ms` on the command line), and leaves its error under that
//! name.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::targets::{AddressRange, AddressSet, HostSpec};

/// What is wrong with each field, and what is accepted instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FieldErrors(BTreeMap<String, Vec<String>>);

impl FieldErrors {
    /// Adds a message about `field`, written to follow the field's name. The same
    /// message is kept once.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        let (messages, message) = (self.0.entry(field.to_owned()).or_default(), message.into());
        if !messages.contains(&message) {
            messages.push(message);
        }
    }

    /// Adds the errors of `later` for fields that have none yet: the first error of
    /// a field often causes the later ones.
    #[must_use]
    pub fn or(mut self, later: Self) -> Self {
        for (field, messages) in later.0 {
            self.0.entry(field).or_insert(messages);
        }
        self
    }

    /// What later checks came to, if nothing is wrong so far.
    ///
    /// # Errors
    /// These errors, and those of the later checks for other fields.
    pub(crate) fn then<T>(self, later: Result<T, Self>) -> Result<T, Self> {
        match later {
            Ok(valid) if self.is_empty() => Ok(valid),
            Ok(_) => Err(self),
            Err(later) => Err(self.or(later)),
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields with their messages, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(field, messages)| (field.as_str(), messages.as_slice()))
    }

    pub(crate) fn reject<T>(&mut self, field: &str, message: impl Into<String>) -> Option<T> {
        self.add(field, message);
        None
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (field, messages) in self.iter() {
            for message in messages {
                write!(f, "{separator}{field} {message}")?;
                separator = "; ";
            }
        }
        Ok(())
    }
}

pub(crate) fn milliseconds(
    text: &str,
    field: &str,
    (least, most): (Duration, Duration),
    errors: &mut FieldErrors,
) -> Option<Duration> {
    let given = number(text).map(Duration::from_millis);
    given.filter(|given| (least..=most).contains(given)).or_else(|| {
        let (least, most) = (least.as_millis(), most.as_millis());
        errors.reject(field, format!("must be {least} to {most} ms"))
    })
}

/// Reads a number with a unit: `500ms`, `2s`, `5m` or `1h`.
pub(crate) fn duration(
    text: &str,
    field: &str,
    (least, most): (Duration, Duration),
    errors: &mut FieldErrors,
) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let given = number(digits).zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    let given = given.map(Duration::from_millis);
    given.filter(|given| (least..=most).contains(given)).or_else(|| {
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        errors
            .reject(field, format!("must be {least} to {most}, with a unit, like 500ms, 2s or 5m"))
    })
}

pub(crate) fn rate(
    text: &str,
    field: &str,
    ceiling: Option<NonZeroU32>,
    errors: &mut FieldErrors,
) -> Option<NonZeroU32> {
    let most = ceiling.map_or(u32::MAX, NonZeroU32::get);
    let given = number(text).and_then(|given| u32::try_from(given).ok());
    given
        .filter(|&given| given <= most)
        .and_then(NonZeroU32::new)
        .or_else(|| errors.reject(field, format!("must be 1 to {most} probes per second")))
}

pub(crate) fn boolean(text: Option<&str>, field: &str, errors: &mut FieldErrors) -> Option<bool> {
    match text {
        None | Some("false") => Some(false),
        Some("true") => Some(true),
        Some(_) => errors.reject(field, "must be true or false"),
    }
}

/// `text` without the backticks that mark code in Markdown: the texts of the tables
/// of parameters and settings, for a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// Reads addresses that are not to be scanned. Names are refused: what a name
/// resolves to may change before its addresses are scanned.
pub(crate) fn exclusions<'a>(
    words: impl Iterator<Item = &'a str>,
    field: &str,
    errors: &mut FieldErrors,
) -> Option<AddressSet> {
    let (mut ranges, mut faults): (Vec<AddressRange>, _) = (Vec::new(), 0);
    for word in words {
        let fault = match word.parse() {
            Ok(HostSpec::Addresses(range)) => {
                ranges.push(range);
                continue;
            }
            Ok(HostSpec::Name(_)) => format!("{word} is a name; give its addresses"),
            Err(error) => format!("{word:?} {error}"),
        };
        faults += 1;
        if faults <= SHOWN_FAULTS {
            errors.add(field, fault);
        }
    }
    (faults == 0).then(|| AddressSet::new(ranges, &AddressSet::default()))
}

/// The limit of faults of a field that are named one by one: a list full of them would
/// make a reply much longer than the request.
pub(crate) const SHOWN_FAULTS: usize = 8;

/// Digits only: `u64::from_str` alone would take "+80".
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
pub(crate) mod tests;
