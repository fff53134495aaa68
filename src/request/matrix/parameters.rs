//! The parameters of `GET /matrix`, in a table. Most are those of `/open-ports`.
//!
//! As there, the query parser, its error for unknown names, the help page and the
//! OpenAPI document are made from the table, and a test compares docs/service.md.
//! What reads them is [`MatrixRequest::try_new`](super::MatrixRequest::try_new).

use crate::request::parameters::{Omitted, Parameter, Values, of_scan};

/// The parameters of `GET /matrix`, in the order of the documentation.
pub(crate) const OF_MATRIX: [Parameter; 9] = [
    of_scan("domain"),
    Parameter {
        name: "from",
        meaning: "who scans: all peers, each from where it runs, or this instance alone",
        more: "The peers are the addresses of the name that --peers gave the service. A service \
               without --peers refuses peers.",
        values: Values::Words(&["peers", "self"]),
        omitted: Omitted::Default("peers"),
        examples: &[],
    },
    of_scan("toPort"),
    of_scan("fromPort"),
    of_scan("ports"),
    of_scan("timeoutMs"),
    Parameter {
        meaning: "milliseconds that each scan may take",
        more: "A peer that has not answered 2 s later is not asked. The service's limit is 300 s \
               unless it was configured otherwise.",
        ..of_scan("deadlineMs")
    },
    Parameter { meaning: "most probes per second of each scan", ..of_scan("rate") },
    Parameter { meaning: "which addresses of the host to scan", ..of_scan("family") },
];
