//! The parameters of `GET /probe`, in a table. `target`, `module` and `debug` are those of
//! blackbox_exporter, the others those of `/open-ports`.
//!
//! As there, the query parser, its error for unknown names, the help page and the
//! OpenAPI document are made from the table, and a test compares docs/service.md.
//! What reads them is [`ProbeRequest::try_new`](super::ProbeRequest::try_new).

use crate::request::parameters::{Omitted, Parameter, Values, of_scan};

/// The parameters of `GET /probe`, in the order of the documentation.
pub(crate) const OF_PROBE: [Parameter; 8] = [
    Parameter {
        name: "target",
        meaning: "host to scan, with its port or without",
        more: "Without a port, it needs ports. An IPv6 address with a port has brackets. No URL \
               or zone id; letters outside ASCII in their xn-- form.",
        values: Values::Text {
            description: "`host:port`, or a name or an address",
            pattern: r"^[\[\]A-Za-z0-9_.:-]+$",
            max_length: Some(260),
        },
        omitted: Omitted::Required,
        examples: &[("name", "localhost:22"), ("IPv4", "127.0.0.1:80"), ("IPv6", "[::1]:443")],
    },
    Parameter {
        name: "module",
        meaning: "what to do with the target",
        more: "",
        values: Values::Words(&["tcp_connect"]),
        omitted: Omitted::Default("tcp_connect"),
        examples: &[],
    },
    Parameter {
        omitted: Omitted::Otherwise("the port of `target`; required if it has none"),
        meaning: "ports to scan, if `target` has no port",
        ..of_scan("ports")
    },
    Parameter {
        meaning: "ports that ought to be open, and no others",
        omitted: Omitted::Otherwise("the port of `target`; no comparison if it has none"),
        ..of_scan("expect")
    },
    Parameter {
        more: "Without it, a port has half of the probe's time, or an eighth if there are more \
               than 4096 ports; and 2 s at most.",
        omitted: Omitted::Otherwise("2000, or less if the scrape's timeout is short"),
        ..of_scan("timeoutMs")
    },
    of_scan("rate"),
    Parameter {
        meaning: "which addresses of a name to scan",
        more: "It must not exclude a target that is an address.",
        ..of_scan("family")
    },
    Parameter {
        name: "debug",
        meaning: "reply with what was found in words, and the metrics after it",
        more: "",
        values: Values::Boolean,
        omitted: Omitted::Default("false"),
        examples: &[],
    },
];
