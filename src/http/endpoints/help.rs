//! `GET /`: help, in plain text.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::VARY;

use super::page::VARIES;
use crate::fields::plain;
use crate::http::exchange::reply::{PLAIN, Reply, with_body};
use crate::request::matrix::parameters::OF_MATRIX;
use crate::request::parameters::{Omitted, PARAMETERS, Parameter};
use crate::request::probe::parameters::OF_PROBE;
use crate::request::sweep::parameters::OF_SWEEP;
use crate::request::watch::parameters::OF_WATCH;

/// The help, with examples that ask `host`.
pub(crate) fn help(host: &str) -> Reply {
    let mut reply = with_body(StatusCode::OK, PLAIN, HELP.replace("{host}", host).into());
    reply.headers_mut().insert(VARY, VARIES);
    reply
}

/// The help, with `{host}` where its examples name the service.
pub(crate) static HELP: LazyLock<String> = LazyLock::new(|| {
    let lines = PARAMETERS.each_ref().map(line).join("\n");
    include_str!("help.txt")
        .replace("{parameters}", &lines)
        .replace("{probe parameters}", &OF_PROBE.each_ref().map(line).join("\n"))
        .replace("{sweep parameters}", &own(&OF_SWEEP))
        .replace("{common parameters}", &common(&OF_SWEEP))
        .replace("{matrix parameters}", &own(&OF_MATRIX))
        .replace("{common with matrix}", &common(&OF_MATRIX))
        .replace("{watch parameters}", &own(&OF_WATCH))
        .replace("{common with watch}", &common(&OF_WATCH))
});

/// The lines of the parameters in `table` that a scan of one host has not.
fn own(table: &[Parameter]) -> String {
    let own = table.iter().filter(|parameter| !PARAMETERS.contains(parameter));
    own.map(line).collect::<Vec<_>>().join("\n")
}

/// The names of the others.
fn common(table: &[Parameter]) -> String {
    let common = table.iter().filter(|parameter| PARAMETERS.contains(parameter));
    common.map(|parameter| parameter.name).collect::<Vec<_>>().join(", ")
}

fn line(parameter: &Parameter) -> String {
    let Parameter { name, meaning, values, omitted, .. } = parameter;
    let omitted = match omitted {
        Omitted::Required | Omitted::RequiredWithout(_) => omitted.to_string(),
        Omitted::Default(_) | Omitted::Otherwise(_) => format!("default: {omitted}"),
    };
    plain(&format!("  {name:<18}{meaning}: {values} ({omitted})"))
}
