//! A body as an operation takes or returns it, made of its schema: of the examples in it, and of
//! what each type allows where there is none.

mod names;

use serde_json::{Map, Value};

/// How deep schemas may lie within each other.
const DEPTH_MAX: u8 = 32;
/// A day, where one is asked for.
const DAY: &str = "2026-11-22";
/// Text of which nothing is known.
const ANY_TEXT: &str = "…";

/// An example of a schema in the document `tree`, as indented JSON.
pub(super) fn text(tree: &Value, schema: &Value) -> String {
    let value = value(tree, (schema, ""), 0);
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// An example of a schema; of a field's, with the field's name.
fn value(tree: &Value, (schema, name): (&Value, &str), depth: u8) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let below = depth.saturating_add(1);
    let given = schema.get("example").or_else(|| schema.pointer("/examples/0"));
    if let Some(given) = given {
        return given.clone();
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let named = tree.pointer(reference.trim_start_matches('#'));
        return named.map_or(Value::Null, |named| value(tree, (named, name), below));
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let objects = parts.iter().map(|part| value(tree, (part, name), below));
        return merged(objects);
    }
    for choice in ["oneOf", "anyOf"] {
        let choices = schema.get(choice).and_then(Value::as_array);
        if let Some(first) = choices.and_then(|all| all.iter().find(|one| !is_null(one))) {
            return value(tree, (first, name), below);
        }
    }
    if let Some(fixed) = schema.get("const") {
        return fixed.clone();
    }
    let words = schema.get("enum").and_then(Value::as_array);
    if let Some(word) = words.and_then(|words| words.iter().find(|word| !word.is_null())) {
        return word.clone();
    }
    of_type(tree, (schema, name), below)
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

/// One object of the fields of several; what is none stands for all.
fn merged(parts: impl Iterator<Item = Value>) -> Value {
    let mut all = Map::new();
    for part in parts {
        match part {
            Value::Object(fields) => all.extend(fields),
            other => return other,
        }
    }
    Value::Object(all)
}

fn of_type(tree: &Value, (schema, name): (&Value, &str), depth: u8) -> Value {
    let kinds = schema.get("type").and_then(Value::as_array);
    let may_be_null = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null")
        }
        kind => kind.and_then(Value::as_str),
    };
    match kind {
        Some("object") => {
            let fields = schema.get("properties").and_then(Value::as_object);
            let fields = fields.into_iter().flatten();
            let of = |(name, field): (&String, &Value)| {
                (name.clone(), value(tree, (field, name), depth))
            };
            Value::Object(fields.map(of).collect())
        }
        Some("array") => {
            let item = schema.get("items").map(|items| value(tree, (items, name), depth));
            Value::Array(item.into_iter().collect())
        }
        Some("string") => Value::from(match schema.get("format").and_then(Value::as_str) {
            Some("date") => DAY,
            Some("password") => "correct horse battery staple",
            _ => match names::of(name) {
                Some(text) => text,
                None if may_be_null => return Value::Null,
                None => ANY_TEXT,
            },
        }),
        Some("integer" | "number") => {
            let least = schema.get("minimum").filter(|least| least.is_number());
            least.cloned().unwrap_or_else(|| 1.into())
        }
        Some("boolean") => Value::Bool(false),
        _ => Value::Object(Map::new()),
    }
}

#[cfg(test)]
mod tests;
