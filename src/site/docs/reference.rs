//! The OpenAPI document as a page has it: operations in their groups, and the shapes that they
//! name. It is read as JSON, as any reader of the document would.

use serde_json::{Map, Value};

use super::example;
use crate::api::openapi::Document;
use crate::telemetry::Causes;

/// The methods of a path in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// See the module.
#[derive(Debug, Default)]
pub(in crate::site) struct Reference {
    pub(in crate::site) paragraphs: Vec<ReferenceText>,
    pub(in crate::site) groups: Vec<OperationGroup>,
    pub(in crate::site) shapes: Vec<ReferenceShape>,
}

/// Operations under one heading.
#[derive(Debug)]
pub(in crate::site) struct OperationGroup {
    pub(in crate::site) name: String,
    pub(in crate::site) words: ReferenceText,
    pub(in crate::site) operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug)]
pub(in crate::site) struct Operation {
    pub(in crate::site) id: String,
    pub(in crate::site) method: String,
    pub(in crate::site) path: String,
    pub(in crate::site) summary: String,
    pub(in crate::site) words: ReferenceText,
    pub(in crate::site) who: String,
    pub(in crate::site) parameters: Vec<ReferenceField>,
    pub(in crate::site) body: Option<TypeText>,
    /// A body that it takes, as JSON.
    pub(in crate::site) body_example: Option<String>,
    pub(in crate::site) answers: Vec<OperationResponse>,
    /// The status and the JSON of what it answers when all is well.
    pub(in crate::site) answer_example: Option<(String, String)>,
}

/// What an operation may answer.
#[derive(Debug)]
pub(in crate::site) struct OperationResponse {
    pub(in crate::site) status: String,
    pub(in crate::site) words: ReferenceText,
    pub(in crate::site) shape: Option<TypeText>,
}

/// An object, or a text of a certain form.
#[derive(Debug)]
pub(in crate::site) struct ReferenceShape {
    pub(in crate::site) name: String,
    pub(in crate::site) words: ReferenceText,
    pub(in crate::site) fields: Vec<ReferenceField>,
    pub(in crate::site) values: Vec<String>,
}

/// A field of an object, or a parameter.
#[derive(Debug)]
pub(in crate::site) struct ReferenceField {
    pub(in crate::site) name: String,
    pub(in crate::site) kind: TypeText,
    pub(in crate::site) is_required: bool,
    pub(in crate::site) words: ReferenceText,
}

/// What kind of value something is: words, and the shapes that they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::site) struct TypeText(pub(in crate::site) Vec<TypeTextPart>);

/// A piece of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::site) struct TypeTextPart {
    pub(in crate::site) text: String,
    /// Whether it is the name of a shape.
    pub(in crate::site) is_shape: bool,
}

/// A sentence with code in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::site) struct ReferenceText(pub(in crate::site) Vec<TextSpan>);

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::site) struct TextSpan {
    pub(in crate::site) text: String,
    pub(in crate::site) is_code: bool,
}

impl Reference {
    pub(in crate::site) fn of(document: &Document) -> Self {
        match serde_json::to_value(document.tree()) {
            Ok(tree) => Self::read(&tree),
            Err(error) => {
                tracing::error!(error = %Causes(&error), "the API cannot be described");
                Self::default()
            }
        }
    }

    fn read(tree: &Value) -> Self {
        let operations = operations(tree);
        let tags = tree.pointer("/tags").and_then(Value::as_array).into_iter().flatten();
        let mut groups: Vec<OperationGroup> = tags
            .map(|tag| OperationGroup {
                name: text_of(tag, "name"),
                words: ReferenceText::of(&text_of(tag, "description")),
                operations: Vec::new(),
            })
            .collect();
        for (tag, operation) in operations {
            if let Some(group) = groups.iter_mut().find(|group| group.name == tag) {
                group.operations.push(operation);
            } else {
                let words = ReferenceText::default();
                groups.push(OperationGroup { name: tag, words, operations: vec![operation] });
            }
        }
        groups.retain(|group| !group.operations.is_empty());
        let description = tree.pointer("/info/description").and_then(Value::as_str);
        Self {
            paragraphs: description
                .unwrap_or_default()
                .split("\n\n")
                .map(ReferenceText::of)
                .collect(),
            groups,
            shapes: object(tree, "/components/schemas").map(ReferenceShape::read).collect(),
        }
    }
}

fn operations(tree: &Value) -> Vec<(String, Operation)> {
    let mut found = Vec::new();
    for (path, item) in object(tree, "/paths") {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                let tag = operation.pointer("/tags/0").and_then(Value::as_str);
                let tag = tag.unwrap_or("other").to_owned();
                found.push((tag, Operation::read(tree, method, path, operation)));
            }
        }
    }
    found
}

impl Operation {
    fn read(tree: &Value, method: &str, path: &str, from: &Value) -> Self {
        let parameters = from.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let body = from.pointer("/requestBody/content").map(TypeText::of_content);
        let answers = object(from, "/responses");
        let json = "/requestBody/content/application~1json/schema";
        let body_example = from.pointer(json).map(|schema| example::text(tree, schema));
        Self {
            id: text_of(from, "operationId"),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text_of(from, "summary").trim_end_matches('.').to_owned(),
            words: ReferenceText::of(&text_of(from, "description")),
            who: who(from),
            parameters: parameters.map(ReferenceField::of_parameter).collect(),
            body,
            body_example,
            answer_example: answer_example(tree, from),
            answers: answers
                .map(|(status, answer)| OperationResponse::read(tree, status, answer))
                .collect(),
        }
    }
}

/// The first response of those that say that all is well, if it is a JSON document.
fn answer_example(tree: &Value, operation: &Value) -> Option<(String, String)> {
    let mut answers = object(operation, "/responses");
    let (status, answer) = answers.find(|(status, _)| status.starts_with('2'))?;
    let schema = answer.pointer("/content/application~1json/schema")?;
    Some((status.to_owned(), example::text(tree, schema)))
}

/// Who may ask; a key by any of the scopes that are named.
fn who(operation: &Value) -> String {
    let schemes = operation.get("security").and_then(Value::as_array);
    let of = |name: &'static str| {
        let schemes = schemes.into_iter().flatten();
        schemes.filter_map(move |scheme| scheme.get(name))
    };
    let scopes = of("api_key").filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let scopes = scopes.collect::<Vec<_>>().join(" or ");
    match (of("api_key").next(), of("session").next()) {
        (Some(_), _) => format!("API key ({scopes}) or session"),
        (None, Some(_)) => "session".to_owned(),
        (None, None) => "anybody".to_owned(),
    }
}

impl OperationResponse {
    fn read(tree: &Value, status: &str, from: &Value) -> Self {
        let shared = from.get("$ref").and_then(Value::as_str);
        let from = shared
            .and_then(|reference| tree.pointer(reference.trim_start_matches('#')))
            .unwrap_or(from);
        Self {
            status: status.to_owned(),
            words: ReferenceText::of(&text_of(from, "description")),
            shape: from.get("content").map(TypeText::of_content),
        }
    }
}

impl ReferenceShape {
    fn read((name, from): (&str, &Value)) -> Self {
        let parts = from.get("allOf").and_then(Value::as_array);
        let objects: Vec<&Value> = match parts {
            Some(parts) => parts.iter().collect(),
            None => vec![from],
        };
        let fields = objects.iter().flat_map(|part| {
            object(part, "/properties").map(|(name, field)| {
                let required = part.get("required").and_then(Value::as_array);
                let is_required =
                    required.is_some_and(|names| names.iter().any(|known| known == name));
                ReferenceField {
                    name: name.to_owned(),
                    kind: TypeText::of(field),
                    is_required,
                    words: ReferenceText::of(&text_of(field, "description")),
                }
            })
        });
        Self {
            name: name.to_owned(),
            words: ReferenceText::of(&text_of(from, "description")),
            fields: fields.collect(),
            values: words(from),
        }
    }
}

impl ReferenceField {
    fn of_parameter(from: &Value) -> Self {
        Self {
            name: text_of(from, "name"),
            kind: from.get("schema").map(TypeText::of).unwrap_or_default(),
            is_required: from.get("required") == Some(&Value::Bool(true)),
            words: ReferenceText::of(&text_of(from, "description")),
        }
    }
}

impl TypeText {
    /// Of the first kind of content.
    fn of_content(content: &Value) -> Self {
        let content = content.as_object().and_then(|kinds| kinds.iter().next());
        match content {
            Some((_, described)) if described.get("schema").is_some() => {
                described.get("schema").map(Self::of).unwrap_or_default()
            }
            Some((content_type, _)) => Self::word(content_type),
            None => Self::default(),
        }
    }

    fn of(schema: &Value) -> Self {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or(reference);
            return Self(vec![TypeTextPart { text: name.to_owned(), is_shape: true }]);
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            if let Some(kinds) = schema.get(choice).and_then(Value::as_array) {
                return Self::either(kinds.iter().map(Self::of));
            }
        }
        match schema.get("type") {
            Some(Value::Array(kinds)) => {
                Self::either(kinds.iter().map(|kind| Self::named(kind.as_str(), schema)))
            }
            kind => Self::named(kind.and_then(Value::as_str), schema),
        }
    }

    fn named(kind: Option<&str>, schema: &Value) -> Self {
        match kind {
            Some("array") => {
                let mut pieces =
                    vec![TypeTextPart { text: "list of ".to_owned(), is_shape: false }];
                pieces.extend(schema.get("items").map(Self::of).unwrap_or_default().0);
                Self(pieces)
            }
            Some("string") => match words(schema) {
                values if values.is_empty() => Self::word("text"),
                values => Self::word(&values.join(" | ")),
            },
            Some("boolean") => Self::word("true or false"),
            Some("integer") => Self::word("whole number"),
            Some(other) => Self::word(other),
            None => Self::word("any"),
        }
    }

    fn word(text: &str) -> Self {
        Self(vec![TypeTextPart { text: text.to_owned(), is_shape: false }])
    }

    /// Each of them once, null last.
    fn either(kinds: impl Iterator<Item = Self>) -> Self {
        let null = Self::word("null");
        let (nulls, mut kinds): (Vec<_>, Vec<_>) = kinds.partition(|kind| *kind == null);
        kinds.extend(nulls.into_iter().take(1));
        let mut pieces = Vec::new();
        for (at, kind) in kinds.into_iter().enumerate() {
            if at > 0 {
                pieces.push(TypeTextPart { text: " or ".to_owned(), is_shape: false });
            }
            pieces.extend(kind.0);
        }
        Self(pieces)
    }
}

impl ReferenceText {
    /// Markdown's code, and nothing else of it.
    fn of(text: &str) -> Self {
        let spans = text.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
        let span = |(at, piece): (usize, &str)| TextSpan {
            text: piece.to_owned(),
            is_code: !at.is_multiple_of(2),
        };
        Self(spans.map(span).collect())
    }

    pub(in crate::site) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The words that a text may be.
fn words(schema: &Value) -> Vec<String> {
    let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn text_of(from: &Value, key: &str) -> String {
    from.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn object<'a>(from: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let found: Option<&Map<String, Value>> = from.pointer(pointer).and_then(Value::as_object);
    found.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(kind: &TypeText) -> String {
        kind.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn kinds_are_said_in_words() {
        for (schema, words) in [
            (json!({ "type": "string" }), "text"),
            (json!({ "type": ["string", "null"] }), "text or null"),
            (json!({ "type": ["null", "integer"] }), "whole number or null"),
            (json!({ "type": "string", "enum": ["a", "b"] }), "a | b"),
            (
                json!({ "type": "array", "items": { "$ref": "#/components/schemas/Key" } }),
                "list of Key",
            ),
            (
                json!({ "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Key" }] }),
                "Key or null",
            ),
            (json!({}), "any"),
        ] {
            assert_eq!(said(&TypeText::of(&schema)), words);
        }
    }

    #[test]
    fn an_operation_is_read_with_what_it_refers_to() {
        let tree = json!({
            "tags": [{ "name": "keys", "description": "Keys." }],
            "paths": { "/api/v1/keys": { "post": {
                "tags": ["keys"],
                "operationId": "create_key",
                "summary": "Makes a key.",
                "security": [{ "session": [] }],
                "requestBody": { "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/New" }
                } } },
                "responses": { "401": { "$ref": "#/components/responses/Unknown" } },
            } } },
            "components": {
                "responses": { "Unknown": { "description": "`unauthenticated`: no." } },
                "schemas": { "New": { "required": ["name"],
                    "properties": { "name": { "type": "string" } } } },
            },
        });
        let reference = Reference::read(&tree);
        let operation = &reference.groups[0].operations[0];
        assert_eq!((operation.method.as_str(), operation.who.as_str()), ("POST", "session"));
        assert_eq!(said(operation.body.as_ref().unwrap()), "New");
        let answer = &operation.answers[0].words;
        assert_eq!(answer.0.iter().map(|span| span.is_code).collect::<Vec<_>>(), [true, false]);
        assert!(reference.shapes[0].fields[0].is_required);
    }
}
