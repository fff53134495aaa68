//! `GET /`: help, in plain text.

use std::sync::LazyLock;

use hyper::StatusCode;

use crate::fields::plain;
use crate::http::exchange::reply::{PLAIN, Reply, with_body};
use crate::request::parameters::{Omitted, PARAMETERS, Parameter};

/// The help, with examples that ask `host`.
pub(crate) fn help(host: &str) -> Reply {
    with_body(StatusCode::OK, PLAIN, HELP.replace("{host}", host).into())
}

/// The help, with `{host}` where its examples name the service.
pub(crate) static HELP: LazyLock<String> = LazyLock::new(|| {
    let lines = PARAMETERS.each_ref().map(line).join("\n");
    include_str!("help.txt").replace("{parameters}", &lines)
});

fn line(parameter: &Parameter) -> String {
    let Parameter { name, meaning, values, omitted, .. } = parameter;
    let omitted = match omitted {
        Omitted::Required | Omitted::RequiredWithout(_) => omitted.to_string(),
        Omitted::Default(_) | Omitted::Otherwise(_) => format!("default: {omitted}"),
    };
    plain(&format!("  {name:<18}{meaning}: {values} ({omitted})"))
}
