//! The parameters of `/sweep` and `/sd`, in tables. Most are those of `/open-ports`.
//!
//! As there, the query parser, its error for unknown names, the help page and the
//! OpenAPI document are made from the tables, and a test compares docs/service.md.
//! What reads them is [`SweepRequest::try_new`](super::SweepRequest::try_new).

use crate::request::parameters::{Omitted, Parameter, Values, of_scan};

/// The parameters of `GET /sweep`, in the order of the documentation.
pub(crate) const OF_SWEEP: [Parameter; 14] = [
    TARGETS,
    of_scan("toPort"),
    of_scan("fromPort"),
    of_scan("ports"),
    EXCLUDE,
    of_scan("timeoutMs"),
    DEADLINE,
    RATE,
    FAMILY,
    of_scan("details"),
    Parameter {
        meaning: "ports that ought to be open on each host; each that differs is reported",
        ..of_scan("expect")
    },
    Parameter {
        values: Values::Words(&["ndjson", "json", "sse"]),
        omitted: Omitted::Otherwise("by `Accept`, or `ndjson`"),
        ..of_scan("format")
    },
    Parameter {
        name: "shard",
        meaning: "scan only this part of the hosts, of so many disjoint parts",
        more: "The parts together are the whole, if all have the same hosts, ports and `exclude`. \
               `open-ports merge` makes one report of theirs.",
        values: Values::Text {
            description: "`3/16`",
            pattern: "^[0-9]+/[0-9]+$",
            max_length: None,
        },
        omitted: Omitted::Otherwise("all hosts"),
        examples: &[("second", "2/2")],
    },
    Parameter {
        meaning: "report how long the sweep may take, what binds, and how many shards the \
                  deadline wants; scan nothing",
        more: "The reply is JSON. No name is looked up.",
        ..of_scan("explain")
    },
];

/// The parameters of `GET /sd`, in the order of the documentation.
pub(crate) const OF_DISCOVERY: [Parameter; 9] = [
    TARGETS,
    of_scan("toPort"),
    of_scan("fromPort"),
    of_scan("ports"),
    EXCLUDE,
    of_scan("timeoutMs"),
    DEADLINE,
    RATE,
    FAMILY,
];

/// The parameters of `POST /sweep`, whose body names the hosts.
pub(crate) fn of_list() -> &'static [Parameter] {
    const ALL: &[Parameter] = &OF_SWEEP;
    &ALL[1..]
}

const TARGETS: Parameter = Parameter {
    name: "targets",
    meaning: "hosts to scan, separated by commas",
    more: "A network may be written with bits below its prefix. Each address is scanned once.",
    values: Values::Text {
        description: "names, addresses, networks (`10.0.0.0/24`) and ranges (`10.0.0.1-50`)",
        pattern: r"^[\[\]A-Za-z0-9_.:/-]+(,[\[\]A-Za-z0-9_.:/-]+)*$",
        max_length: None,
    },
    omitted: Omitted::Required,
    examples: &[("network", "127.0.0.0/30"), ("mixed", "localhost,127.0.0.2-3,::1")],
};

const EXCLUDE: Parameter = Parameter {
    name: "exclude",
    meaning: "addresses, networks and ranges not to scan, separated by commas",
    more: "They are left out even if a name leads to them. No names.",
    values: Values::Text {
        description: "`10.0.0.1,10.0.0.64/26`",
        pattern: r"^[\[\]A-Fa-f0-9.:/-]+(,[\[\]A-Fa-f0-9.:/-]+)*$",
        max_length: None,
    },
    omitted: Omitted::Otherwise("none"),
    examples: &[("address", "127.0.0.1")],
};

const DEADLINE: Parameter = Parameter {
    meaning: "milliseconds that the whole sweep may take",
    more: "Name look-ups are included. What is still unfinished then is reported as not scanned, \
           or as hosts not visited. The service's limit is 300 s unless it was configured \
           otherwise.",
    ..of_scan("deadlineMs")
};

const RATE: Parameter =
    Parameter { meaning: "most probes per second of the whole sweep", ..of_scan("rate") };

const FAMILY: Parameter =
    Parameter { meaning: "which addresses of a name to scan", more: "", ..of_scan("family") };
