//! The Static Analysis Results Interchange Format, version 2.1.0 (OASIS): one run, and a
//! result for each thing that is wrong. The region of a result is the line of the file of
//! expectations.
//!
//! What was not scanned is an error, too: a log without results looks green. Apart from
//! that, `executionSuccessful` is false.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::SystemTime;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::checks::{Group, Rule};
use super::judge::{Closing, Counts};
use crate::expect::Origin;

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    let rules = Rule::ALL.map(|rule| {
        json!({
            "id": rule.id(),
            "shortDescription": { "text": rule.title() },
            "fullDescription": { "text": rule.meaning() },
            "help": { "text": rule.meaning() },
            "defaultConfiguration": { "level": "error" },
        })
    });
    let version = env!("CARGO_PKG_VERSION");
    let driver = json!({ "name": "open-ports", "version": version, "rules": rules });
    writeln!(out, "{{\"$schema\":\"{SCHEMA}\",\"version\":\"2.1.0\",\"runs\":[{{")?;
    write!(out, "\"tool\":{{\"driver\":{driver}}},\n\"results\":[")
}

/// What is wrong on a host. `before` is what was judged before it.
pub(super) fn group(out: &mut impl Write, group: &Group<'_>, before: Counts) -> io::Result<()> {
    let mut is_first = before.broken + before.unknown == 0;
    for check in &group.checks {
        let Some((rule, why)) = check.broken() else { continue };
        let target = group.host.map(|host| check.claim.target(host));
        let kind = check.claim.kind();
        let index = Rule::ALL.iter().position(|&known| known == rule);
        // Where it was written may change, and what is wrong stays the same.
        let fingerprint = fingerprint(rule, target.as_deref().unwrap_or_default());
        let result = json!({
            "ruleId": rule.id(),
            "ruleIndex": index,
            "level": "error",
            "message": { "text": why },
            "locations": locations(group.origin, target.as_deref().map(|target| (target, kind))),
            // GitHub reads the second, and would else make it of the line: two ports of
            // one line would be one finding.
            "partialFingerprints": {
                "openPorts/v1": &fingerprint,
                "primaryLocationLineHash": &fingerprint,
            },
        });
        write!(out, "{}\n{result}", if is_first { "" } else { "," })?;
        is_first = false;
    }
    Ok(())
}

pub(super) fn end(out: &mut impl Write, closing: &Closing<'_>) -> io::Result<()> {
    let Closing { command, started, elapsed, incomplete } = closing;
    let mut invocation = json!({
        "commandLine": command,
        "startTimeUtc": time(*started),
        "endTimeUtc": time(*started + *elapsed),
        "executionSuccessful": incomplete.is_none(),
    });
    if let Some(why) = incomplete {
        invocation["toolExecutionNotifications"] =
            json!([{ "level": "error", "message": { "text": why } }]);
    }
    writeln!(out, "\n],\n\"invocations\":[{invocation}]}}]}}")
}

/// Where a thing is wrong: in a file, and on a target of a kind.
fn locations(origin: Option<Origin<'_>>, target: Option<(&str, &str)>) -> Value {
    let mut location = json!({});
    if let Some(Origin { file, line }) = origin {
        let mut place = json!({ "artifactLocation": { "uri": uri(file) } });
        if let Some(line) = line {
            place["region"] = json!({ "startLine": line });
        }
        location["physicalLocation"] = place;
    }
    if let Some((target, kind)) = target {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": target, "kind": kind }]);
    }
    if location.as_object().is_some_and(serde_json::Map::is_empty) {
        return json!([]);
    }
    json!([location])
}

/// A number for what is wrong, which is the same in every run.
fn fingerprint(rule: Rule, target: &str) -> String {
    let hash = Sha256::digest(format!("{}\n{target}", rule.id()));
    hash.iter().take(FINGERPRINT_BYTES).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("to a string");
        text
    })
}

/// A file's name as a URI reference (RFC 3986). A relative name stays relative.
fn uri(file: &str) -> String {
    let (scheme, path) = match file.strip_prefix("./") {
        _ if file.starts_with('/') => ("file://", file),
        Some(path) => ("", path),
        None => ("", file),
    };
    path.bytes().fold(scheme.to_owned(), |mut uri, byte| {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            _ => write!(uri, "%{byte:02X}").expect("to a string"),
        }
        uri
    })
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// 128 bits: no two of any number of findings are the same by chance.
const FINGERPRINT_BYTES: usize = 16;
