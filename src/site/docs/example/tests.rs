//! Every example on the page of the interface is what the schema beside it allows.

use serde_json::json;

use super::*;
use crate::config::{LoadPurpose, Sources, load_for};
use crate::domain::clock::{UnixMillis, UtcDay};

fn document() -> Value {
    let settings = load_for(&Sources::default(), LoadPurpose::Command).unwrap();
    serde_json::to_value(crate::api::describe(&settings.site).tree()).unwrap()
}

/// Why a value is not one of a schema, if it is not.
fn fault(tree: &Value, schema: &Value, value: &Value) -> Option<String> {
    let rules = schema.as_object().unwrap();
    rules.iter().find_map(|(keyword, rule)| {
        let holds = match keyword.as_str() {
            "$ref" | "properties" | "items" | "allOf" | "oneOf" | "anyOf" => {
                return nested_fault(tree, (keyword, rule), value);
            }
            "required" | "additionalProperties" => has_right_names(schema, (keyword, rule), value),
            "pattern" | "minLength" | "maxLength" | "format" => {
                value.as_str().is_none_or(|text| is_right_text((keyword, rule), text))
            }
            _ => is_right(keyword, rule, value),
        };
        (!holds).then(|| format!("{keyword}: {value} of {schema}"))
    })
}

/// The same of keywords that have schemas of their own.
fn nested_fault(tree: &Value, (keyword, rule): (&str, &Value), value: &Value) -> Option<String> {
    match keyword {
        "$ref" => {
            let named = tree.pointer(rule.as_str().unwrap().trim_start_matches('#'));
            fault(tree, named.expect("what is referred to"), value)
        }
        "properties" => rule
            .as_object()
            .unwrap()
            .iter()
            .find_map(|(name, field)| fault(tree, field, value.get(name)?)),
        "items" => value.as_array().into_iter().flatten().find_map(|item| fault(tree, rule, item)),
        "allOf" => rule.as_array().unwrap().iter().find_map(|part| fault(tree, part, value)),
        _ => {
            let parts = rule.as_array().unwrap().iter();
            let count = parts.filter(|part| fault(tree, part, value).is_none()).count();
            let is_right = if keyword == "oneOf" { count == 1 } else { count > 0 };
            (!is_right).then(|| format!("{keyword}: {value} of {rule}"))
        }
    }
}

fn has_right_names(schema: &Value, (keyword, rule): (&str, &Value), value: &Value) -> bool {
    let Some(fields) = value.as_object() else { return true };
    if keyword == "required" {
        return rule
            .as_array()
            .unwrap()
            .iter()
            .all(|name| fields.contains_key(name.as_str().unwrap()));
    }
    let known = schema.get("properties").and_then(Value::as_object);
    let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
    *rule != json!(false) || fields.keys().all(is_known)
}

fn is_right_text((keyword, rule): (&str, &Value), text: &str) -> bool {
    let length = || u64::try_from(text.chars().count()).unwrap();
    match (keyword, rule.as_str()) {
        ("pattern", Some(pattern)) => regex::Regex::new(pattern).unwrap().is_match(text),
        ("minLength", _) => length() >= rule.as_u64().unwrap(),
        ("maxLength", _) => length() <= rule.as_u64().unwrap(),
        ("format", Some("date")) => UtcDay::parse(text).is_some(),
        ("format", Some("date-time")) => UnixMillis::parse_rfc3339(text).is_some(),
        ("format", Some("email")) => text.contains('@'),
        _ => true,
    }
}

fn is_right(keyword: &str, rule: &Value, value: &Value) -> bool {
    let items = || value.as_array().map(|items| u64::try_from(items.len()).unwrap());
    match keyword {
        "type" => {
            let is_one = |kind: &Value| is_of(kind.as_str().unwrap(), value);
            rule.as_array().map_or_else(|| is_one(rule), |all| all.iter().any(is_one))
        }
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "minItems" => items().is_none_or(|count| count >= rule.as_u64().unwrap()),
        "maxItems" => items().is_none_or(|count| count <= rule.as_u64().unwrap()),
        "minimum" => !value.is_number() || value.as_f64() >= rule.as_f64(),
        "maximum" => !value.is_number() || value.as_f64() <= rule.as_f64(),
        "description" | "example" | "examples" | "default" | "title" | "propertyNames"
        | "writeOnly" | "readOnly" | "contentMediaType" | "contentEncoding" => true,
        other => panic!("{other} is a keyword that this test does not know"),
    }
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
