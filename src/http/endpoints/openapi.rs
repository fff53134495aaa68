//! `GET /openapi.json`: the OpenAPI document.
//!
//! It is a file, except for the parameters of scans, sweeps and probes, which are made from
//! their tables.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::fields::plain;
use crate::http::exchange::reply::{Reply, with_body};
use crate::request::matrix::parameters::OF_MATRIX;
use crate::request::parameters::{Omitted, PARAMETERS, Parameter, Values};
use crate::request::probe::parameters::OF_PROBE;
use crate::request::sweep::parameters::{OF_DISCOVERY, OF_SWEEP, of_list};
use crate::request::watch::parameters::OF_WATCH;

pub(crate) fn openapi() -> Reply {
    with_body(StatusCode::OK, "application/openapi+json", DOCUMENT.clone())
}

pub(crate) static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let references = PARAMETERS.each_ref().map(|Parameter { name, .. }| {
        format!("{{ \"$ref\": \"#/components/parameters/{name}\" }},")
    });
    let components = PARAMETERS
        .each_ref()
        .map(|parameter| format!("\"{}\": {},", parameter.name, text(parameter, "      ")));
    let document = TEMPLATE
        .replace(REFERENCES, &references.join("\n        "))
        .replace(COMPONENTS, &components.join("\n      "))
        .replace(TARGETS, &text(&OF_SWEEP[0], "        "))
        .replace(OF_LIST, &texts(of_list()))
        .replace(DISCOVERY, &texts(&OF_DISCOVERY))
        .replace(PROBE, &texts(&OF_PROBE))
        .replace(MATRIX, &texts(&OF_MATRIX))
        .replace(WATCH, &texts(&OF_WATCH));
    Bytes::from(document)
});

/// Parameters, each followed by a comma.
fn texts(parameters: &[Parameter]) -> String {
    let texts = parameters.iter().map(|parameter| text(parameter, "        ") + ",");
    texts.collect::<Vec<_>>().join("\n        ")
}

/// A parameter, with its lines but the first indented.
fn text(parameter: &Parameter, indent: &str) -> String {
    let component = serde_json::to_string_pretty(&Component::new(parameter));
    let component = component.expect("texts and numbers can be written as JSON");
    component.replace('\n', &format!("\n{indent}"))
}

/// A parameter as OpenAPI has it.
#[derive(Serialize)]
struct Component {
    name: &'static str,
    r#in: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<bool>,
    description: String,
    schema: Value,
    #[serde(skip_serializing_if = "Map::is_empty")]
    examples: Map<String, Value>,
}

impl Component {
    fn new(parameter: &Parameter) -> Self {
        let examples = parameter.examples.iter();
        Self {
            name: parameter.name,
            r#in: "query",
            required: matches!(parameter.omitted, Omitted::Required).then_some(true),
            description: description(parameter),
            schema: schema(parameter),
            examples: examples
                .map(|&(name, text)| (name.to_owned(), json!({ "value": value(parameter, text) })))
                .collect(),
        }
    }
}

/// Sentences, from the phrases of the table.
fn description(parameter: &Parameter) -> String {
    let mut phrases = vec![parameter.meaning.to_owned()];
    // A schema says the others.
    if let Values::Text { description, .. } = parameter.values {
        phrases.push(description.to_owned());
    }
    if let Values::Number { setting: Some(_), .. } = &parameter.values {
        phrases.push(parameter.values.to_string());
    }
    let mut text = phrases.join(": ");
    match &parameter.omitted {
        omitted @ Omitted::RequiredWithout(_) => text += &format!(" ({omitted})"),
        omitted @ Omitted::Otherwise(_) => text += &format!(" (default: {omitted})"),
        Omitted::Required | Omitted::Default(_) => {}
    }
    let (first, rest) = text.split_at(1);
    let sentence = format!("{}{}. {}", first.to_uppercase(), rest, parameter.more);
    plain(sentence.trim_end())
}

fn schema(parameter: &Parameter) -> Value {
    let mut schema = match &parameter.values {
        Values::Words(words) => json!({ "type": "string", "enum": words }),
        Values::Number { least, most, .. } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Values::Boolean => json!({ "type": "boolean" }),
        Values::Text { pattern, max_length: None, .. } => {
            json!({ "type": "string", "pattern": pattern })
        }
        Values::Text { pattern, max_length: Some(most), .. } => {
            json!({ "type": "string", "maxLength": most, "pattern": pattern })
        }
    };
    if let Omitted::Default(text) = parameter.omitted {
        schema["default"] = value(parameter, text);
    }
    schema
}

/// `text` as a value of the parameter's type.
fn value(parameter: &Parameter, text: &str) -> Value {
    match parameter.values {
        Values::Number { .. } | Values::Boolean => {
            text.parse().expect("a number or a boolean is written as in JSON")
        }
        Values::Words(_) | Values::Text { .. } => text.into(),
    }
}

const TEMPLATE: &str = include_str!("openapi.json");

/// Where the path lists the parameters.
const REFERENCES: &str = r#"{ "$ref": "(scan parameters)" },"#;

/// Where they are described.
const COMPONENTS: &str = r#""(scan parameters)": {},"#;

/// Where sweeps have them, except for the one that a list replaces.
const OF_LIST: &str = r#"{ "$ref": "(list parameters)" },"#;

/// Where they have that one.
const TARGETS: &str = r#"{ "$ref": "(targets)" }"#;

/// Where service discovery has its own.
const DISCOVERY: &str = r#"{ "$ref": "(discovery parameters)" },"#;

/// Where a matrix has its own.
const MATRIX: &str = r#"{ "$ref": "(matrix parameters)" },"#;

/// Where probes have theirs.
const PROBE: &str = r#"{ "$ref": "(probe parameters)" },"#;
/// Where a watch has its own.
const WATCH: &str = r#"{ "$ref": "(watch parameters)" },"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Reason;

    #[test]
    fn the_parameters_are_inserted_where_the_template_says() {
        assert_eq!(TEMPLATE.matches(REFERENCES).count(), 1);
        assert_eq!(TEMPLATE.matches(COMPONENTS).count(), 1);
        assert_eq!(TEMPLATE.matches(OF_LIST).count(), 1);
        assert_eq!(TEMPLATE.matches(TARGETS).count(), 2);
        assert_eq!(TEMPLATE.matches(DISCOVERY).count(), 1);
        assert_eq!(TEMPLATE.matches(MATRIX).count(), 1);
        assert_eq!(TEMPLATE.matches(PROBE).count(), 1);
        assert_eq!(TEMPLATE.matches(WATCH).count(), 1);
        let document: Value = serde_json::from_slice(&DOCUMENT).unwrap();
        for Parameter { name, .. } in PARAMETERS {
            assert_eq!(document["components"]["parameters"][name]["name"], name);
        }
    }

    #[test]
    fn every_reason_of_a_port_is_documented() {
        let document: Value = serde_json::from_slice(&DOCUMENT).unwrap();
        let documented = &document["components"]["schemas"]["PortReason"]["enum"];
        assert_eq!(*documented, json!(Reason::ALL.map(Reason::name)));
    }
}
