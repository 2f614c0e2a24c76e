//! Every example on the page of the interface is what the schema beside it allows.

use serde_json::json;

use super::*;
use crate::config::{LoadPurpose, Sources, load_for};

fn document() -> Value {
    let settings = load_for(&Sources::default(), LoadPurpose::Command).unwrap();
    serde_json::to_value(crate::api::describe(&settings.site).tree()).unwrap()
}

/// Why a value is not one of a schema, if it is not.
fn fault(tree: &Value, schema: &Value, value: &Value) -> Option<String> {
    let at = |what: &str| Some(format!("{what}: {value} of {schema}"));
    for (keyword, rule) in schema.as_object().unwrap() {
        let found = match keyword.as_str() {
            "$ref" => {
                let named = tree.pointer(rule.as_str().unwrap().trim_start_matches('#'));
                fault(tree, named.expect("what is referred to"), value)
            }
            "type" => {
                let is_one = |kind: &Value| is_of(kind.as_str().unwrap(), value);
                let fits =
                    rule.as_array().map_or_else(|| is_one(rule), |all| all.iter().any(is_one));
                if fits { None } else { at("type") }
            }
            "enum" if !rule.as_array().unwrap().contains(value) => at("enum"),
            "const" if rule != value => at("const"),
            "required" if value.is_object() => {
                let missing = rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|name| value.get(name.as_str().unwrap()).is_none());
                missing.and_then(|name| at(&format!("{name} is missing")))
            }
            "properties" => rule.as_object().unwrap().iter().find_map(|(name, field)| {
                value.get(name).and_then(|value| fault(tree, field, value))
            }),
            "additionalProperties" if *rule == json!(false) && value.is_object() => {
                let known = schema.get("properties").and_then(Value::as_object);
                let unknown = value
                    .as_object()
                    .unwrap()
                    .keys()
                    .find(|name| known.is_none_or(|known| !known.contains_key(*name)));
                unknown.and_then(|name| at(&format!("{name} is unknown")))
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                items.filter_map(|item| fault(tree, rule, item)).next()
            }
            "allOf" => rule.as_array().unwrap().iter().find_map(|part| fault(tree, part, value)),
            "oneOf" | "anyOf" => {
                let fits = rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|part| fault(tree, part, value).is_none());
                let count = fits.count();
                let is_right = if keyword == "oneOf" { count == 1 } else { count > 0 };
                if is_right { None } else { at(keyword) }
            }
            "pattern" => {
                let pattern = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                let text = value.as_str();
                if text.is_none_or(|text| pattern.is_match(text)) { None } else { at("pattern") }
            }
            "minLength" | "maxLength" => {
                let length = value.as_str().map(|text| text.chars().count() as u64);
                let limit = rule.as_u64().unwrap();
                let is_right = |length: u64| {
                    if keyword == "minLength" { length >= limit } else { length <= limit }
                };
                if length.is_none_or(is_right) { None } else { at(keyword) }
            }
            "minItems" | "maxItems" => {
                let length = value.as_array().map(|items| items.len() as u64);
                let limit = rule.as_u64().unwrap();
                let is_right = |length: u64| {
                    if keyword == "minItems" { length >= limit } else { length <= limit }
                };
                if length.is_none_or(is_right) { None } else { at(keyword) }
            }
            "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => at("minimum"),
            "maximum" if value.as_f64() > rule.as_f64() && value.is_number() => at("maximum"),
            "format" => {
                let is_right = match (rule.as_str().unwrap(), value.as_str()) {
                    ("date", Some(day)) => crate::domain::clock::UtcDay::parse(day).is_some(),
                    ("date-time", Some(at)) => {
                        crate::domain::clock::UnixMillis::parse_rfc3339(at).is_some()
                    }
                    ("email", Some(address)) => address.contains('@'),
                    _ => true,
                };
                if is_right { None } else { at("format") }
            }
            "enum"
            | "const"
            | "required"
            | "additionalProperties"
            | "minimum"
            | "maximum"
            | "description"
            | "example"
            | "examples"
            | "default"
            | "title"
            | "propertyNames"
            | "writeOnly"
            | "readOnly"
            | "contentMediaType"
            | "contentEncoding" => None,
            other => panic!("{other} is a keyword that this test does not know"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    }
}

#[test]
fn every_example_is_what_its_schema_allows() {
    let tree = document();
    let mut seen = 0;
    let operations = tree["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|path| path.as_object().unwrap().values()) {
        let body = operation.pointer("/requestBody/content").into_iter();
        let answers = operation["responses"].as_object().unwrap().values();
        let contents = body.chain(answers.filter_map(|answer| answer.get("content")));
        for content in contents.filter_map(|content| content.get("application/json")) {
            let Some(schema) = content.get("schema") else { continue };
            let example = value(&tree, (schema, ""), 0);
            let fault = fault(&tree, schema, &example);
            assert_eq!(fault, None, "{}", operation["operationId"]);
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn a_wrong_example_would_be_noticed() {
    let schema = json!({ "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": { "a": { "type": ["integer", "null"], "minimum": 1 } } });
    for wrong in [json!({}), json!({ "a": 0 }), json!({ "a": "x" }), json!({ "a": 1, "b": 1 })] {
        assert!(fault(&Value::Null, &schema, &wrong).is_some(), "{wrong}");
    }
    assert_eq!(fault(&Value::Null, &schema, &value(&Value::Null, (&schema, ""), 0)), None);
}
