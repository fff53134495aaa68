//! `GET /`: help, in plain text.

use std::sync::LazyLock;

use hyper::StatusCode;

use crate::fields::plain;
use crate::http::exchange::reply::{PLAIN, Reply, with_body};
use crate::request::parameters::{Omitted, PARAMETERS, Parameter};
use crate::request::probe::parameters::OF_PROBE;
use crate::request::sweep::parameters::OF_SWEEP;

/// The help, with examples that ask `host`.
pub(crate) fn help(host: &str) -> Reply {
    with_body(StatusCode::OK, PLAIN, HELP.replace("{host}", host).into())
}

/// The help, with `{host}` where its examples name the service.
pub(crate) static HELP: LazyLock<String> = LazyLock::new(|| {
    let lines = PARAMETERS.each_ref().map(line).join("\n");
    let is_common = |parameter: &&Parameter| PARAMETERS.contains(parameter);
    let own = OF_SWEEP.iter().filter(|parameter| !is_common(parameter));
    let own: Vec<String> = own.map(line).collect();
    let common = OF_SWEEP.iter().filter(is_common).map(|parameter| parameter.name);
    let common: Vec<&str> = common.collect();
    include_str!("help.txt")
        .replace("{parameters}", &lines)
        .replace("{sweep parameters}", &own.join("\n"))
        .replace("{common parameters}", &common.join(", "))
        .replace("{probe parameters}", &OF_PROBE.each_ref().map(line).join("\n"))
});

fn line(parameter: &Parameter) -> String {
    let Parameter { name, meaning, values, omitted, .. } = parameter;
    let omitted = match omitted {
        Omitted::Required | Omitted::RequiredWithout(_) => omitted.to_string(),
        Omitted::Default(_) | Omitted::Otherwise(_) => format!("default: {omitted}"),
    };
    plain(&format!("  {name:<18}{meaning}: {values} ({omitted})"))
}
