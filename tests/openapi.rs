//! The OpenAPI document agrees with what the service does.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a document that is not as it should be has to fail the test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use open_ports::limits;
use open_ports::ports::PortSet;
use serde_json::{Value, json};

use support::ask::{request_head, serve};
use support::client::{Connection, Reply};
use support::own_address;
use support::service::Service;
use support::targets::{Listeners, Silent};

/// The document as the service sends it.
fn document(service: &Service) -> Value {
    let reply = service.get("/openapi.json");
    assert_eq!(reply.header("content-type"), Some("application/openapi+json"));
    reply.json()
}

/// What `value` refers to, or `value` itself.
fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let path = reference.strip_prefix('#').expect("a reference within the document");
            let target = document.pointer(path);
            followed(document, target.unwrap_or_else(|| panic!("nothing at {reference}")))
        }
        None => value,
    }
}

/// The schemas of the query parameters of `/open-ports`.
fn parameters(document: &Value) -> BTreeMap<String, Value> {
    let parameters = document["paths"]["/open-ports"]["parameters"].as_array().unwrap();
    let parameters = parameters.iter().map(|parameter| followed(document, parameter));
    let in_query = parameters.filter(|parameter| parameter["in"] == "query");
    let schema = |parameter: &Value| followed(document, &parameter["schema"]).clone();
    in_query
        .map(|parameter| (parameter["name"].as_str().unwrap().to_owned(), schema(parameter)))
        .collect()
}

/// The reply to a valid scan with one more parameter.
fn with(service: &Service, name: &str, value: &Value) -> Reply {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let value = value.replace('[', "%5B").replace(']', "%5D");
    // HEAD checks only the parameters.
    let mut pairs = vec![("domain", "localhost"), ("toPort", "65535")];
    match name {
        "ports" => pairs.retain(|(name, _)| *name != "toPort"),
        _ => pairs.retain(|(given, _)| *given != name),
    }
    if name == "expectFailStatus" {
        pairs.push(("expect", "none"));
    }
    if name == "states" {
        pairs.push(("format", "ndjson"));
    }
    pairs.push((name, &value));
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut connection = Connection::open(service.address);
    connection.send(request_head("HEAD", &format!("/open-ports?{}", query.join("&")), &[]));
    connection.reply_to_head()
}

#[track_caller]
fn assert_taken(service: &Service, name: &str, value: &Value, taken: bool) {
    let reply = with(service, name, value);
    assert_eq!(reply.status, if taken { 200 } else { 400 }, "{name}={value}: {reply:?}");
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let service = Service::start();
    let document = document(&service);
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    for reference in &used {
        assert!(document.pointer(&reference[1..]).is_some(), "nothing at {reference}");
    }
    for (kind, components) in document["components"].as_object().unwrap() {
        // Security schemes are referred to by name.
        for name in components.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(reference.as_str()), "{reference} is not used");
        }
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn its_parameters_are_those_that_the_parser_knows() {
    let service = Service::start();
    let problem = service.get("/open-ports?domain=localhost&toPort=1&nothing=1").problem(400);
    let (_, known) = problem["errors"]["nothing"][0]
        .as_str()
        .unwrap()
        .split_once("the parameters are ")
        .unwrap();
    let known: BTreeSet<&str> = known.split(", ").collect();
    let parameters = parameters(&document(&service));
    let documented: BTreeSet<&str> = parameters.keys().map(String::as_str).collect();
    assert_eq!(documented, known);
}

#[test]
fn its_ranges_and_defaults_are_those_of_the_limits() {
    let parameters = parameters(&document(&Service::start()));
    let milliseconds = |duration: std::time::Duration| json!(duration.as_millis() as u64);
    for (name, member, value) in [
        ("timeoutMs", "minimum", milliseconds(limits::MIN_TIMEOUT)),
        ("timeoutMs", "maximum", milliseconds(limits::MAX_TIMEOUT)),
        ("timeoutMs", "default", milliseconds(limits::DEFAULT_TIMEOUT)),
        ("deadlineMs", "minimum", milliseconds(limits::MIN_DEADLINE)),
        ("deadlineMs", "maximum", milliseconds(limits::MAX_MAX_DEADLINE)),
        ("rate", "minimum", json!(1)),
        ("rate", "maximum", json!(u32::MAX)),
        ("fromPort", "minimum", json!(PortSet::all().first())),
        ("fromPort", "maximum", json!(PortSet::all().last())),
        ("fromPort", "default", json!(1)),
        ("toPort", "minimum", json!(PortSet::all().first())),
        ("toPort", "maximum", json!(PortSet::all().last())),
    ] {
        assert_eq!(parameters[name][member], value, "{member} of {name}");
    }
    let text = document(&Service::start()).to_string();
    for (what, number) in [
        ("than {} bytes gets 414", limits::MAX_TARGET_BYTES as u64),
        ("of more than {} bytes 431", limits::MAX_HEAD_BYTES as u64),
        ("{} s unless it was configured otherwise", limits::DEFAULT_MAX_DEADLINE.as_secs()),
        ("more than {} addresses", limits::MAX_ADDRESSES as u64),
        ("\"maxItems\":{}", limits::MAX_ADDRESSES as u64),
    ] {
        let said = what.replace("{}", &number.to_string());
        assert!(text.contains(&said), "does not say: {said}");
    }
}

#[test]
fn the_service_takes_what_a_schema_allows_and_no_more() {
    // The longest deadline that can be configured is the document's limit.
    let longest = limits::MAX_MAX_DEADLINE.as_secs().to_string();
    let service = serve(&["--max-deadline", &longest]);
    for (name, schema) in parameters(&document(&service)) {
        for allowed in schema["enum"].as_array().into_iter().flatten().chain(schema.get("default"))
        {
            assert_taken(&service, &name, allowed, true);
        }
        match schema["type"].as_str().unwrap() {
            "integer" => {
                let (least, most) = (schema["minimum"].as_u64(), schema["maximum"].as_u64());
                let (least, most) = (least.unwrap(), most.unwrap());
                for (value, taken) in
                    [(least, true), (most, true), (least - 1, false), (most + 1, false)]
                {
                    assert_taken(&service, &name, &json!(value), taken);
                }
                for odd in ["", "1.0", "%2B80", "-80", "1e2"] {
                    assert_taken(&service, &name, &json!(odd), false);
                }
            }
            "boolean" => {
                for (value, taken) in [("true", true), ("false", true), ("1", false), ("", false)] {
                    assert_taken(&service, &name, &json!(value), taken);
                }
            }
            "string" => {
                for odd in ["", "%20", "%00", "a%2F", "json%0A"] {
                    assert_taken(&service, &name, &json!(odd), false);
                }
            }
            other => panic!("{name} is of type {other}"),
        }
    }
}

#[test]
fn the_examples_of_parameters_are_taken() {
    let service = Service::start();
    let document = document(&service);
    for parameter in document["components"]["parameters"].as_object().unwrap().values() {
        let examples = parameter["examples"].as_object().into_iter().flat_map(|all| all.values());
        let examples = examples.map(|example| &example["value"]).chain(parameter.get("example"));
        for example in examples {
            assert_taken(&service, parameter["name"].as_str().unwrap(), example, true);
        }
    }
}

#[test]
fn its_paths_are_those_that_the_service_answers() {
    let service = Service::start();
    let document = document(&service);
    let paths = document["paths"].as_object().unwrap();
    let help = service.get("/").body;
    let helped = help.lines().filter_map(|line| line.strip_prefix("GET ")?.split(' ').next());
    assert_eq!(helped.collect::<BTreeSet<_>>(), paths.keys().map(String::as_str).collect());
    for (path, item) in paths {
        let answer = |method: &str, target: &str| {
            let mut connection = Connection::open(service.address);
            connection.send(request_head(method, target, &[]));
            if method == "HEAD" { connection.reply_to_head() } else { connection.reply() }
        };
        assert_documented(&document, &item["get"], &answer("GET", path));
        let head = item.get("head").unwrap_or(&item["get"]);
        assert_documented(&document, head, &answer("HEAD", path));
        for (status, fields) in [
            (400, ""),
            (403, "Host: localhost\r\nOrigin: http://evil.example\r\n"),
            (421, "Host: evil.example\r\n"),
        ] {
            let mut connection = Connection::open(service.address);
            connection.send(format!("GET {path} HTTP/1.1\r\n{fields}\r\n"));
            let refused = connection.reply();
            assert_eq!(refused.status, status, "{refused:?}");
            assert_documented(&document, &item["get"], &refused);
        }
        let other = answer("PUT", path);
        assert_eq!(other.status, 405, "{other:?}");
        assert_documented(&document, &item["get"], &other);
        assert_eq!(service.get(&format!("{path}nowhere")).status, 404, "{path}nowhere");
    }
}

#[test]
fn replies_to_scans_are_documented_with_their_header_fields() {
    let service = serve(&["--allow", "127.0.0.0/8", "--max-scans-per-caller", "1"]);
    let document = document(&service);
    let scan = &document["paths"]["/open-ports"]["get"];
    let ask = |target: &str, fields: &[(&str, &str)]| {
        let mut connection = Connection::open(service.address);
        connection.send(request_head("GET", target, fields));
        connection.reply()
    };
    // The service's own port is open, so that the reply in plain text has a line.
    let scanned = &format!("/open-ports?domain=127.0.0.1&ports={}", service.address.port());
    for (status, reply) in [
        (
            200,
            ask(
                scanned,
                &[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
            ),
        ),
        (200, ask(&format!("{scanned}&explain=true"), &[])),
        (200, ask(&format!("{scanned}&format=text"), &[])),
        (200, ask(&format!("{scanned}&expect=none"), &[])),
        (200, ask(&format!("{scanned}&format=html"), &[])),
        (409, ask(&format!("{scanned}&expect=none&expectFailStatus=409"), &[])),
        (409, ask(&format!("{scanned}&expect=none&expectFailStatus=409&format=html"), &[])),
        (412, ask(&format!("{scanned}&expect=none&expectFailStatus=412&format=text"), &[])),
        (424, ask(&format!("{scanned}&expect=none&expectFailStatus=424"), &[])),
        (400, ask("/open-ports", &[])),
        (403, ask("/open-ports?domain=192.0.2.1&ports=1", &[])),
        (406, ask(scanned, &[("Accept", "image/png")])),
        (414, ask(&format!("{scanned}&{}", "a".repeat(limits::MAX_TARGET_BYTES)), &[])),
        (431, ask(scanned, &[("Long", &"a".repeat(limits::MAX_HEAD_BYTES))])),
    ] {
        assert_eq!(reply.status, status, "{reply:?}");
        assert_documented(&document, scan, &reply);
    }
}

#[test]
fn replies_to_probes_are_documented_with_their_header_fields() {
    let service = serve(&["--allow", "127.0.0.0/8"]);
    let document = document(&service);
    let target = format!("/probe?target=127.0.0.1:{}", service.address.port());
    for (status, target, accept) in [
        (200, target.clone(), "*/*"),
        (200, target.clone(), "application/openmetrics-text"),
        (200, format!("{target}&expect=none&debug=true"), "*/*"),
        (400, "/probe".to_owned(), "*/*"),
        (403, "/probe?target=192.0.2.1:1".to_owned(), "*/*"),
        (414, format!("{target}&{}", "a".repeat(limits::MAX_TARGET_BYTES)), "*/*"),
    ] {
        let mut connection = Connection::open(service.address);
        connection.send(request_head("GET", &target, &[("Accept", accept)]));
        let reply = connection.reply();
        assert_eq!(reply.status, status, "{reply:?}");
        assert_documented(&document, &document["paths"]["/probe"]["get"], &reply);
    }
}

/// Checks that an operation documents the status of a reply, its media type, and each
/// header field that is not HTTP's own.
#[track_caller]
fn assert_documented(document: &Value, operation: &Value, reply: &Reply) {
    let response = &operation["responses"][reply.status.to_string()];
    let response = followed(document, response);
    assert!(response.is_object(), "not documented: {reply:?}");
    let media_type = reply.header("content-type").unwrap().split(';').next().unwrap();
    assert!(response["content"].get(media_type).is_some(), "{media_type}: {reply:?}");
    let documented = response["headers"].as_object();
    let documented: BTreeMap<String, &Value> = documented
        .into_iter()
        .flatten()
        .map(|(name, header)| (name.to_ascii_lowercase(), followed(document, header)))
        .collect();
    let sent = reply.head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let sent: BTreeSet<String> = sent.map(|(name, _)| name.to_ascii_lowercase()).collect();
    for name in &sent {
        let of_http = ["connection", "content-length", "content-type", "date"];
        assert!(
            documented.contains_key(name) || of_http.contains(&name.as_str()),
            "{name} is not documented: {reply:?}"
        );
    }
    for (name, header) in documented {
        assert!(header["required"] != true || sent.contains(&name), "no {name}: {reply:?}");
    }
}

#[test]
fn every_member_of_a_report_is_documented() {
    let service = Service::start();
    let (listeners, silent) = (Listeners::bind(own_address(), 2), Silent::bind(own_address(), 2));
    let document = document(&service);
    let schemas = &document["components"]["schemas"];
    for target in [
        format!("domain={}&ports={}&details=true&expect=none", listeners.address, listeners.list()),
        format!("domain={}&ports={}&timeoutMs=50&details=true", silent.address, silent.list()),
        format!("domain={}&ports=all&rate=1&deadlineMs=100", silent.address),
    ] {
        let report = service.get(&format!("/open-ports?{target}")).report();
        assert_members(&document, &schemas["Report"], &report, "report");
        let explanation = service.get(&format!("/open-ports?{target}&explain=true")).report();
        assert_members(&document, &schemas["Explanation"], &explanation, "explanation");
    }
    let problem = service.get("/open-ports").problem(400);
    assert_members(&document, &schemas["Problem"], &problem, "problem");
}

/// Checks that `schema` documents every member of `value`, at any depth.
#[track_caller]
fn assert_members(document: &Value, schema: &Value, value: &Value, path: &str) {
    let schema = followed(document, schema);
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = format!("{path}.{name}");
                let property = schema["properties"].get(name);
                let property = property.or_else(|| schema.get("additionalProperties"));
                let property = property.unwrap_or_else(|| panic!("{path} is not documented"));
                assert_members(document, property, value, &path);
            }
        }
        Value::Array(items) => {
            for item in items {
                assert_members(document, &schema["items"], item, path);
            }
        }
        _ => {}
    }
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{path} is {value}");
    }
}
