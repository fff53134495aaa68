//! The parameters of `/watch`, in a table. Some are those of `/open-ports`.
//!
//! As there, the query parser, its error for unknown names, the help page and the OpenAPI
//! document are made from the table, and a test compares docs/service.md. What reads them
//! is [`WatchRequest::try_new`](super::WatchRequest::try_new).

use crate::limits;
use crate::request::parameters::{Omitted, Parameter, Values, milliseconds, of_scan};

/// The parameters of `GET /watch`, in the order of the documentation.
pub(crate) const OF_WATCH: [Parameter; 11] = [
    Parameter { meaning: "host to watch", ..of_scan("domain") },
    of_scan("toPort"),
    of_scan("fromPort"),
    Parameter {
        meaning: "ports to watch, instead of a range",
        more: "Written as for a scan. At most 1024 ports can be watched. Without ports and a \
               range, those are watched that until names.",
        omitted: Omitted::Otherwise("`fromPort` to `toPort`, or the ports in `until`"),
        ..of_scan("ports")
    },
    Parameter {
        values: Values::Number {
            least: milliseconds(limits::MIN_TIMEOUT),
            most: milliseconds(limits::WATCH_TIMEOUT),
            setting: None,
        },
        omitted: Omitted::Default("1000"),
        ..of_scan("timeoutMs")
    },
    Parameter { meaning: "which addresses of the host to watch", ..of_scan("family") },
    Parameter {
        name: "every",
        meaning: "time between two probes of a port",
        more: "Probes overlap: the time of a change is known to this, however long a silent \
               port is waited for. 5ms at least.",
        values: duration("`20ms`, `1s` or `1m`"),
        omitted: Omitted::Default("1s"),
        examples: &[("short", "20ms")],
    },
    Parameter {
        name: "until",
        meaning: "states that end the watch once the ports have them",
        more: "Ports with their state, which is open, closed, filtered or not-open, or one state \
               of all ports that are watched. The ports are watched, too. A port of a name is \
               open if it is open on one of its addresses.",
        values: Values::Text {
            description: "`5432=open,22=filtered`, or a state of all, like `closed`",
            pattern: "^(open|closed|filtered|not-open|[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*=(open|closed|filtered|not-open)(,[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*=(open|closed|filtered|not-open))*)$",
            max_length: None,
        },
        omitted: Omitted::Otherwise("the watch goes on until its client leaves"),
        examples: &[("ports", "5432=open,22=filtered"), ("all", "open")],
    },
    Parameter {
        name: "within",
        meaning: "how much time there is for `until`",
        more: "Then the watch ends in any case. It needs until.",
        values: duration("`30s`"),
        omitted: Omitted::Otherwise("no limit"),
        examples: &[("half a minute", "30s")],
    },
    Parameter {
        name: "settle",
        meaning: "how long `until` has to hold",
        more: "It counts from the first probe that found it true to the last one. It needs until.",
        values: duration("`2s`"),
        omitted: Omitted::Otherwise("a moment is enough"),
        examples: &[("two seconds", "2s")],
    },
    Parameter {
        values: Values::Words(&["ndjson", "sse"]),
        omitted: Omitted::Otherwise("by `Accept`, or `ndjson`"),
        ..of_scan("format")
    },
];

const fn duration(description: &'static str) -> Values {
    Values::Text { description, pattern: "^[0-9]+(ms|s|m|h)$", max_length: Some(20) }
}
