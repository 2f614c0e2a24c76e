//! The one table of request fields: which may go up, which have a price, which are refused, and
//! why. A field that is not in it passes, as clients send new ones every month.

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::blocks::JsonText;
use super::names::folded;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It goes up; it costs nothing beyond its tokens.
    Allowed,
    /// It goes up, and the price depends on it, so it is read.
    Priced,
    /// Refused unless its value is null or empty.
    Refused,
    /// It goes up, unless it has this field within that is neither null nor empty.
    RefusedWith(&'static str),
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// What becomes of it.
    pub rule: Rule,
    /// Why; a client whose field is refused reads it.
    pub reason: &'static str,
    /// `error.details.error_code` of the refusal, where clients act on one.
    pub error_code: Option<&'static str>,
}

/// A field of a request's top level as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopField {
    /// Its name; at most 256 bytes.
    pub name: String,
    /// There is nothing in it that a rule could refuse.
    pub is_empty: bool,
}

const TOKENS: &str = "is input for the model, or controls it";
const LABEL: &str = "is a label without effect on price or region";
const PAYER: &str = "it selects the upstream payer, which is always the operator's account";
const BETAS: &str = "name betas in the header anthropic-beta";

const fn allowed(name: &'static str, reason: &'static str) -> Field {
    Field { name, rule: Rule::Allowed, reason, error_code: None }
}

const fn priced(name: &'static str, reason: &'static str) -> Field {
    Field { name, rule: Rule::Priced, reason, error_code: None }
}

const fn refused(name: &'static str, reason: &'static str) -> Field {
    Field { name, rule: Rule::Refused, reason, error_code: None }
}

/// The table. Its source is the parameter list of the vendor's SDK 2.14.0.
pub const FIELDS: [Field; 39] = [
    priced("model", "selects the price"),
    priced("max_tokens", "limits the output to hold credit for; 0 only fills the cache"),
    priced("messages", "is input for the model"),
    priced("system", "is input for the model"),
    priced("tools", "is input for the model; server tools have their own prices"),
    priced("stream", "decides how much is held at first"),
    priced("cache_control", "selects the price of cache writes"),
    priced("inference_geo", "multiplies the price"),
    priced("speed", "multiplies the price"),
    priced("fallbacks", "names other models that may respond"),
    priced("fallback_credit_token", "costs at most as much as without the credit"),
    allowed("service_tier", "requests a tier; the response names the billed one"),
    allowed("metadata", LABEL),
    allowed("tags", LABEL),
    allowed("stop_sequences", TOKENS),
    allowed("temperature", TOKENS),
    allowed("top_k", TOKENS),
    allowed("top_p", TOKENS),
    allowed("thinking", TOKENS),
    allowed("tool_choice", TOKENS),
    allowed("output_config", TOKENS),
    allowed("output_format", TOKENS),
    allowed("prefill", TOKENS),
    allowed(
        "context_management",
        "shortens the prompt; its own passes appear in the response's usage",
    ),
    allowed("compaction", "shortens the prompt; its own passes appear in the response's usage"),
    allowed("safeguards", "is evaluated upstream and free"),
    allowed("anthropic_version", "replaces the header of that name for some upstreams"),
    Field {
        name: "thread",
        rule: Rule::Refused,
        reason: "the conversation would be stored in the operator's workspace, which all customers \
                 share, and its length would be unknown; send the messages themselves",
        error_code: Some("thread_unsupported_request"),
    },
    Field {
        name: "diagnostics",
        rule: Rule::RefusedWith("previous_message_id"),
        reason: "it refers to a message in the operator's workspace, which all customers share",
        error_code: None,
    },
    refused("billing_policy", PAYER),
    refused("user_profile_id", PAYER),
    refused("workspace_id", PAYER),
    refused("organization_id", PAYER),
    refused("anthropic_beta", BETAS),
    refused("betas", BETAS),
    refused(
        "container",
        "it is stored in the operator's workspace, which all customers share, and has no price \
         here",
    ),
    refused("mcp_servers", "the use of your own servers by the upstream has no price here"),
    refused(
        "skills",
        "they are stored in the operator's workspace, which all customers share, and have no price \
         here",
    ),
    refused(
        "files",
        "they are stored in the operator's workspace, which all customers share; send the content \
         itself",
    ),
];

/// Names of the table.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    FIELDS.iter().map(|field| field.name)
}

/// The line of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// The line by which one of these fields is refused.
#[must_use]
pub fn refused_by_table(fields: &[TopField]) -> Option<&'static Field> {
    let filled = fields.iter().filter(|field| !field.is_empty);
    filled
        .filter_map(|field| find(&field.name))
        .find(|known| matches!(known.rule, Rule::Refused | Rule::RefusedWith(_)))
}

/// The first of these fields that an operator's list refuses, however either spells it.
#[must_use]
pub fn refused_by_list<'a>(fields: &'a [TopField], refused: &[String]) -> Option<&'a str> {
    if refused.is_empty() {
        return None;
    }
    let refused: Vec<String> = refused.iter().map(|name| folded(name)).collect();
    let is_refused = |field: &&TopField| !field.is_empty && refused.contains(&folded(&field.name));
    fields.iter().find(is_refused).map(|field| field.name.as_str())
}

/// Names that are not in the table.
pub fn unknown(fields: &[TopField]) -> impl Iterator<Item = &str> {
    fields.iter().map(|field| field.name.as_str()).filter(|name| find(name).is_none())
}

/// Whether a value holds nothing that the rule of its name refuses.
pub(super) fn is_empty(name: &str, value: &RawValue) -> bool {
    match find(name).map(|known| known.rule) {
        Some(Rule::RefusedWith(inner)) => !holds(value, inner),
        _ => is_void(value),
    }
}

/// Null, `{}`, `[]` or `""`.
fn is_void(value: &RawValue) -> bool {
    let text = value.get().trim_ascii();
    let within = |open, close| {
        let inner = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner: &str| inner.trim_ascii().is_empty())
    };
    text == "null" || text == "\"\"" || within('{', '}') || within('[', ']')
}

/// Whether an object has a field of that name, or one that a parser could take for it, that is not
/// void.
fn holds(value: &RawValue, inner: &'static str) -> bool {
    struct FieldName(String);
    impl<'de> Visitor<'de> for FieldName {
        type Value = bool;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut is_held = false;
            while let Some(JsonText(name)) = map.next_key()? {
                if folded(&name) == self.0 {
                    is_held |= !is_void(map.next_value::<&RawValue>()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(is_held)
        }
    }
    // What is no object cannot have it.
    value.deserialize_map(FieldName(folded(inner))).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice_in_the_table_and_none_is_the_twin_of_another() {
        let mut seen = std::collections::BTreeSet::new();
        for field in FIELDS {
            assert!(seen.insert(folded(field.name)), "{}", field.name);
            assert!(!field.reason.is_empty() && !field.reason.ends_with('.'), "{}", field.name);
            assert!(field.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
    }

    #[test]
    fn null_and_empty_values_count_as_absent() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for value in ["null", "{}", "{ \n}", "[]", "[\t]", "\"\""] {
            assert!(is_empty("container", &raw(value)), "{value}");
        }
        for value in ["0", "false", "\" \"", "[null]", "{\"a\":null}", "[[]]", "\"{}\""] {
            assert!(!is_empty("container", &raw(value)), "{value}");
        }
    }

    #[test]
    fn of_diagnostics_only_those_about_another_message_count() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for value in ["null", "{}", "5", r#"{"x":1}"#, r#"{"previous_message_id":null}"#] {
            assert!(is_empty("diagnostics", &raw(value)), "{value}");
        }
        for value in [
            r#"{"previous_message_id":"msg_1"}"#,
            r#"{"previous_message_id":null,"previous_message_id":"msg_1"}"#,
            r#"{"previous_message_id":"msg_1","previous_message_id":null}"#,
            r#"{"Previous_Message_Id":"msg_1"}"#,
            r#"{"previousMessageId":"msg_1","x":[]}"#,
        ] {
            assert!(!is_empty("diagnostics", &raw(value)), "{value}");
        }
    }

    fn field(name: &str, is_empty: bool) -> TopField {
        TopField { name: name.to_owned(), is_empty }
    }

    #[test]
    fn a_filled_field_that_the_table_refuses_is_found_wherever_it_stands() {
        for (name, is_empty, expected) in [
            ("container", false, Some("container")),
            ("container", true, None),
            ("diagnostics", false, Some("diagnostics")),
            ("diagnostics", true, None),
            ("model", false, None),
            ("tags", false, None),
            ("new_field", false, None),
        ] {
            let fields = [field("max_tokens", false), field(name, is_empty), field("x", false)];
            let found = refused_by_table(&fields).map(|field| field.name);
            assert_eq!(found, expected, "{name} {is_empty}");
        }
    }

    #[test]
    fn names_that_are_not_in_the_table_are_unknown_empty_or_not() {
        let fields = ["model", "b", "thread", "a"].map(|name| field(name, name == "a"));
        assert_eq!(unknown(&fields).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn an_operators_list_refuses_a_name_however_it_is_spelled() {
        let list = ["new_field".to_owned()];
        let refused = |name: &str, is_empty| {
            refused_by_list(&[field("model", false), field(name, is_empty)], &list).is_some()
        };
        assert!(refused("new_field", false) && refused("New_Field", false));
        assert!(refused("newField", false) && !refused("newer_field", false));
        assert!(!refused("new_field", true));
        assert_eq!(refused_by_list(&[field("a", false)], &[]), None);
    }
}
