//! The parameters of `GET /open-ports`, in one table. Those of sweeps and of `/probe` are
//! made from it.
//!
//! The query parser, its error for unknown names, the help page and the OpenAPI
//! document are made from the table; a test compares the table of docs/service.md with it. What
//! reads a parameter is [`ScanRequest::try_new`](super::ScanRequest::try_new). A
//! new parameter needs an entry here and a line there.

use std::fmt;
use std::time::Duration;

use crate::limits;

/// A parameter as people and programs read about it. Texts are in Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// The name, as written in a query.
    pub(crate) name: &'static str,
    /// What it is, as a phrase.
    pub(crate) meaning: &'static str,
    /// Sentences that only the OpenAPI document has.
    pub(crate) more: &'static str,
    /// What is accepted.
    pub(crate) values: Values,
    /// What happens without it.
    pub(crate) omitted: Omitted,
    /// Values that are accepted, each with its name in the OpenAPI document.
    pub(crate) examples: &'static [(&'static str, &'static str)],
}

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// One of these words.
    Words(&'static [&'static str]),
    /// A whole number.
    Number {
        /// The smallest.
        least: u64,
        /// The largest that any service accepts.
        most: u64,
        /// The setting that is this service's limit, if there is one.
        setting: Option<&'static str>,
    },
    /// `true` or `false`.
    Boolean,
    /// A text.
    Text {
        /// What to write.
        description: &'static str,
        /// A regular expression that it matches.
        pattern: &'static str,
        /// The most characters, if they are limited.
        max_length: Option<usize>,
    },
}

/// What happens if a parameter is omitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Omitted {
    /// That is an error.
    Required,
    /// That is an error, unless this other parameter is given.
    RequiredWithout(&'static str),
    /// The same as with this value.
    Default(&'static str),
    /// Something else, as a phrase.
    Otherwise(&'static str),
}

/// The entry of the parameter called `name` in `table`, and its index.
pub(crate) fn find(table: &'static [Parameter], name: &str) -> Option<(usize, &'static Parameter)> {
    table.iter().enumerate().find(|(_, parameter)| parameter.name == name)
}

/// The entry of a parameter of `GET /open-ports`, for another table.
pub(super) const fn of_scan(name: &str) -> Parameter {
    let mut index = 0;
    while index < PARAMETERS.len() {
        if is_same(PARAMETERS[index].name, name) {
            return PARAMETERS[index];
        }
        index += 1;
    }
    panic!("the table has no such parameter");
}

/// Equality of texts, for constants.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

impl Parameter {
    /// Whether it accepts this word.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        matches!(self.values, Values::Words(words) if words.contains(&word))
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => {
                let (last, others) = words.split_last().expect("there are words to choose from");
                if others.is_empty() {
                    return write!(f, "`{last}`");
                }
                let others: Vec<String> = others.iter().map(|word| format!("`{word}`")).collect();
                write!(f, "{} or `{last}`", others.join(", "))
            }
            Self::Number { least, setting: Some(setting), .. } => {
                write!(f, "{least} to the service's `--{setting}`")
            }
            Self::Number { least, most, setting: None } => write!(f, "{least} to {most}"),
            Self::Boolean => f.write_str("`true` or `false`"),
            Self::Text { description, .. } => f.write_str(description),
        }
    }
}

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::RequiredWithout(other) => write!(f, "required, unless `{other}` is given"),
            Self::Default(value) => write!(f, "`{value}`"),
            Self::Otherwise(phrase) => f.write_str(phrase),
        }
    }
}

pub(super) const fn milliseconds(duration: Duration) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "limits are less than a year")]
    let milliseconds = duration.as_millis() as u64;
    milliseconds
}

const PORT: Values = Values::Number { least: 1, most: 65_535, setting: None };

/// All parameters, in the order of the documentation.
pub(crate) const PARAMETERS: [Parameter; 15] = [
    Parameter {
        name: "domain",
        meaning: "host to scan",
        more: "An IPv6 address may have brackets. No URL, port or zone id; \
               letters outside ASCII in their xn-- form.",
        values: Values::Text {
            description: "a name, an IPv4 or an IPv6 address",
            pattern: r"^[\[\]A-Za-z0-9_.:-]+$",
            max_length: Some(254),
        },
        omitted: Omitted::Required,
        examples: &[("name", "localhost"), ("IPv4", "127.0.0.1"), ("IPv6", "::1")],
    },
    Parameter {
        name: "toPort",
        meaning: "last port of a range",
        more: "",
        values: PORT,
        omitted: Omitted::RequiredWithout("ports"),
        examples: &[("last", "1024")],
    },
    Parameter {
        name: "fromPort",
        meaning: "first port of a range",
        more: "Not above toPort.",
        values: PORT,
        omitted: Omitted::Default("1"),
        examples: &[],
    },
    Parameter {
        name: "ports",
        meaning: "ports to scan, instead of a range",
        more: "Ports, ranges of ports, the most common ports (top1 to top1000) and all, \
               separated by commas. No port may be listed twice by number.",
        values: Values::Text {
            description: "`22,80,8000-8100`, `top1` to `top1000`, `all`, or a mix",
            pattern: "^(all|top[0-9]+|[0-9]+(-[0-9]+)?)(,(all|top[0-9]+|[0-9]+(-[0-9]+)?))*$",
            max_length: None,
        },
        omitted: Omitted::Otherwise("`fromPort` to `toPort`"),
        examples: &[("list", "22,80,8000-8100"), ("common", "top100"), ("all", "all")],
    },
    Parameter {
        name: "timeoutMs",
        meaning: "milliseconds that each port may take to answer",
        more: "",
        values: Values::Number {
            least: milliseconds(limits::MIN_TIMEOUT),
            most: milliseconds(limits::MAX_TIMEOUT),
            setting: None,
        },
        omitted: Omitted::Default("2000"),
        examples: &[],
    },
    Parameter {
        name: "deadlineMs",
        meaning: "milliseconds that the whole scan may take",
        more: "The name look-up is included. Ports that are still unfinished then are reported \
               as not scanned. The service's limit is 300 s unless it was configured otherwise.",
        values: Values::Number {
            least: milliseconds(limits::MIN_DEADLINE),
            most: milliseconds(limits::MAX_MAX_DEADLINE),
            setting: Some("max-deadline"),
        },
        omitted: Omitted::Otherwise("the most"),
        examples: &[],
    },
    Parameter {
        name: "rate",
        meaning: "most probes per second",
        more: "The service has no limit of its own unless it was configured.",
        values: Values::Number { least: 1, most: u32::MAX as u64, setting: Some("max-scan-rate") },
        omitted: Omitted::Otherwise("the most"),
        examples: &[],
    },
    Parameter {
        name: "family",
        meaning: "which addresses of the host to scan",
        more: "It must not exclude a domain that is an address.",
        values: Values::Words(&["any", "ipv4", "ipv6"]),
        omitted: Omitted::Default("any"),
        examples: &[],
    },
    Parameter {
        name: "details",
        meaning: "report every port that is not closed",
        more: "",
        values: Values::Boolean,
        omitted: Omitted::Default("false"),
        examples: &[],
    },
    Parameter {
        name: "states",
        meaning: "have a stream say which ports are in which state",
        more: "It needs the format ndjson or sse. Records of type states come with those of type \
               progress, four times a second, and once before the end.",
        values: Values::Boolean,
        omitted: Omitted::Default("false"),
        examples: &[],
    },
    Parameter {
        name: "expect",
        meaning: "ports that ought to be open; the report lists what differs",
        more: "Written like ports. They are scanned, too.",
        values: Values::Text {
            description: "`22,443`, or `none`",
            pattern: "^(none|(all|top[0-9]+|[0-9]+(-[0-9]+)?)(,(all|top[0-9]+|[0-9]+(-[0-9]+)?))*)$",
            max_length: None,
        },
        omitted: Omitted::Otherwise("no comparison"),
        examples: &[("ports", "22,443"), ("none", "none")],
    },
    Parameter {
        name: "expectFailStatus",
        meaning: "status of the reply if the scan is incomplete or not as expected",
        more: "With it, curl -f succeeds only if everything was scanned and is as expected. It needs \
               expect, and the format json, text or html: a stream sends its status before its end.",
        values: Values::Words(&["409", "412", "424"]),
        omitted: Omitted::Otherwise("`200`"),
        examples: &[],
    },
    Parameter {
        name: "format",
        meaning: "format of the reply, instead of `Accept`",
        more: "",
        values: Values::Words(&["json", "ndjson", "sse", "text", "html"]),
        omitted: Omitted::Otherwise("by `Accept`, or `json`"),
        examples: &[],
    },
    Parameter {
        name: "pretty",
        meaning: "indent the reply, which has to be JSON",
        more: "",
        values: Values::Boolean,
        omitted: Omitted::Default("false"),
        examples: &[],
    },
    Parameter {
        name: "explain",
        meaning: "report what would be scanned and why; scan nothing",
        more: "The reply is JSON.",
        values: Values::Boolean,
        omitted: Omitted::Default("false"),
        examples: &[],
    },
];
