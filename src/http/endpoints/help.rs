//! `GET /`: help, in plain text.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::body::Bytes;

use crate::fields::plain;
use crate::http::exchange::reply::{PLAIN, Reply, with_body};
use crate::request::parameters::{Omitted, PARAMETERS, Parameter};

pub(crate) fn help() -> Reply {
    with_body(StatusCode::OK, PLAIN, HELP.clone())
}

pub(crate) static HELP: LazyLock<Bytes> = LazyLock::new(|| {
    let lines = PARAMETERS.each_ref().map(line).join("\n");
    Bytes::from(include_str!("help.txt").replace("{parameters}", &lines))
});

fn line(parameter: &Parameter) -> String {
    let Parameter { name, meaning, values, omitted, .. } = parameter;
    let omitted = match omitted {
        Omitted::Required | Omitted::RequiredWithout(_) => omitted.to_string(),
        Omitted::Default(_) | Omitted::Otherwise(_) => format!("default: {omitted}"),
    };
    plain(&format!("  {name:<12}{meaning}: {values} ({omitted})"))
}
