//! What a request for messages says of its price, read without making a tree of it and without
//! keeping any of it: sizes, counts and the names of models and tools.

use super::unprintable::unprintable;

mod blocks;
pub mod fields;
pub mod names;
pub mod prefix;
#[cfg(test)]
mod tests;
mod tools;

use std::borrow::Cow;
use std::ops::Range;

use serde::de::{Deserialize as _, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use blocks::{Blocks, JsonText};
pub use fields::TopField;
pub use tools::{Fallback, Fallbacks, ToolUse, is_version_of};

/// Bytes of a body up to which it is read on an event loop: that takes a millisecond or two, less
/// than handing it to a thread costs.
pub const LARGE_BYTES: usize = 262_144;

/// How much a request may have of what is read one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBounds {
    /// Fields at the top.
    pub fields_max: usize,
    /// Entries of `fallbacks`.
    pub fallbacks_max: usize,
    /// Entries of `tools`.
    pub tools_max: usize,
}

/// The parts of a request that its price depends on. Holds names, never content.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
#[derive(Clone, Debug, Default)]
pub struct MessagesRequest {
    /// `model`, as the client wrote it.
    pub model: String,
    /// Where the value of `model` stands in the body, quotes included.
    pub model_span: Range<usize>,
    /// `max_tokens`; 0 only fills the cache. `None` where the endpoint does not need it.
    pub max_tokens: Option<u64>,
    /// `stream`.
    pub is_stream: bool,
    /// `inference_geo`.
    pub inference_geo: Option<String>,
    /// `speed`.
    pub speed: Option<String>,
    /// `fallbacks`.
    pub fallbacks: Fallbacks,
    /// `tools` that carry a type of their own.
    pub typed_tools: Vec<ToolUse>,
    /// All fields of the top level, for the rules on them.
    pub fields: Vec<TopField>,
    /// Bytes of ASCII that the model may have to read.
    pub ascii_bytes: u64,
    /// Other bytes that the model may have to read.
    pub other_bytes: u64,
    /// Images in messages and tool results.
    pub images: u64,
    /// Documents whose length the body does not tell.
    pub documents: u64,
    /// Documents among them that the upstream fetches: nobody knows what it finds.
    pub remote_documents: u64,
    /// Some content asks for the 1-hour cache.
    pub uses_1h_cache: bool,
    /// Some content asks for a cache at all.
    pub uses_cache: bool,
    /// Some content refers to a file that the upstream holds.
    pub uses_stored_file: bool,
}

/// Why a body is no request. The texts name fields and positions, never content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, or nested too deeply.
    #[error("The request body is not valid JSON (line {line}, column {column}).")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON, but no object.
    #[error("The request body must be a JSON object.")]
    NotAnObject,
    /// A name stands twice at the top.
    #[error("The request body repeats a top-level field.")]
    RepeatedField,
    /// Too many of something.
    #[error("{0}: There should be at most {1}")]
    TooMany(&'static str, usize),
    /// A field's name is longer than any.
    #[error("{0}: A field's name is longer than 256 bytes")]
    LongName(&'static str),
    /// A field's name is a known one but for its spelling.
    #[error("{0}: A field's name differs from \"{1}\" only in case, punctuation or Unicode form")]
    Twin(&'static str, &'static str),
    /// A field stands where it would not be priced.
    #[error("{0}: The field \"{1}\" is not supported within an entry")]
    Within(&'static str, &'static str),
    /// A field is missing.
    #[error("{0}: Field required")]
    Missing(&'static str),
    /// A field has the wrong type or range.
    #[error("{0}: {1}")]
    Invalid(&'static str, &'static str),
}

/// Reads a body.
///
/// # Errors
/// [`RequestError`] with a text for the client.
pub fn parse(body: &[u8], bounds: &RequestBounds) -> Result<MessagesRequest, RequestError> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'{') {
        serde_json::from_slice::<serde::de::IgnoredAny>(body).map_err(|e| json_error(&e))?;
        return Err(RequestError::NotAnObject);
    }
    let mut input = serde_json::Deserializer::from_slice(body);
    let fields = TopLevel::read(&mut input, bounds)?;
    input.end().map_err(|error| json_error(&error))?;
    let mut request = fields.into_request(body, bounds)?;
    let other = body.iter().filter(|byte| !byte.is_ascii()).count();
    request.other_bytes = wide(other);
    request.ascii_bytes =
        wide(body.len().saturating_sub(other)).saturating_sub(request.ascii_bytes);
    Ok(request)
}

fn json_error(error: &serde_json::Error) -> RequestError {
    RequestError::Json { line: error.line(), column: error.column() }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The top level with its values still as text.
struct TopLevel<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

unprintable!(TopLevel<'static>);

struct TopVisitor<'f> {
    fields_max: usize,
    /// Why reading ended, where serde's own error would not tell.
    fault: &'f mut Option<RequestError>,
}

impl<'de> Visitor<'de> for TopVisitor<'_> {
    type Value = TopLevel<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, &RawValue)> = Vec::new();
        while let Some(JsonText(name)) = map.next_key()? {
            let value = map.next_value()?;
            let checked = names::check(&name, "The request body", fields::names());
            // The fields are few, or this is an error before long.
            let fault = match checked {
                _ if fields.iter().any(|(known, _)| *known == name) => RequestError::RepeatedField,
                _ if fields.len() >= self.fields_max => {
                    RequestError::TooMany("The fields of the request body", self.fields_max)
                }
                Err(fault) => fault,
                Ok(()) => {
                    fields.push((name, value));
                    continue;
                }
            };
            *self.fault = Some(fault);
            return Err(A::Error::custom("refused"));
        }
        Ok(TopLevel { fields })
    }
}

impl<'de> TopLevel<'de> {
    fn read<D>(input: D, bounds: &RequestBounds) -> Result<Self, RequestError>
    where
        D: Deserializer<'de, Error = serde_json::Error>,
    {
        let mut fault = None;
        let visitor = TopVisitor { fields_max: bounds.fields_max, fault: &mut fault };
        let read = input.deserialize_map(visitor);
        read.map_err(|error| fault.unwrap_or_else(|| json_error(&error)))
    }

    fn into_request(
        self,
        body: &[u8],
        bounds: &RequestBounds,
    ) -> Result<MessagesRequest, RequestError> {
        let mut request = MessagesRequest::default();
        let mut blocks = Blocks::default();
        let mut model = None;
        for (name, value) in &self.fields {
            match name.as_ref() {
                "model" => {
                    model = Some(text(value, "model")?);
                    request.model_span = span(body, value);
                }
                "max_tokens" => request.max_tokens = Some(count(value, "max_tokens")?),
                "stream" => request.is_stream = flag(value, "stream")?,
                "inference_geo" => request.inference_geo = optional_text(value, "inference_geo")?,
                "speed" => request.speed = optional_text(value, "speed")?,
                "fallbacks" => request.fallbacks = tools::read_fallbacks(value, bounds)?,
                "tools" => request.typed_tools = tools::read_tools(value, bounds, &mut blocks)?,
                "messages" => blocks.read_messages(value)?,
                "system" => blocks.read_content(value, "system")?,
                "cache_control" => blocks.read_cache_control(value)?,
                _ => {}
            }
        }
        request.model = model.ok_or(RequestError::Missing("model"))?;
        request.fields = self.fields.into_iter().map(top_field).collect();
        // For a moment the field holds what is not text; `parse` subtracts it from the body.
        request.ascii_bytes = blocks.encoded_bytes;
        request.images = blocks.images;
        request.documents = blocks.documents;
        request.remote_documents = blocks.remote_documents;
        request.uses_1h_cache = blocks.uses_1h_cache;
        request.uses_cache = blocks.uses_cache;
        request.uses_stored_file = blocks.uses_stored_file;
        Ok(request)
    }
}

fn top_field((name, value): (Cow<'_, str>, &RawValue)) -> TopField {
    let is_empty = fields::is_empty(&name, value);
    TopField { name: name.into_owned(), is_empty }
}

/// Where a borrowed value stands in the body that it was read from.
fn span(body: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start.saturating_add(value.get().len())
}

fn text(value: &RawValue, name: &'static str) -> Result<String, RequestError> {
    serde_json::from_str(value.get())
        .map_err(|_| RequestError::Invalid(name, "Input should be a valid string"))
}

fn optional_text(value: &RawValue, name: &'static str) -> Result<Option<String>, RequestError> {
    serde_json::from_str(value.get())
        .map_err(|_| RequestError::Invalid(name, "Input should be a valid string"))
}

fn flag(value: &RawValue, name: &'static str) -> Result<bool, RequestError> {
    Option::<bool>::deserialize(value)
        .map(Option::unwrap_or_default)
        .map_err(|_| RequestError::Invalid(name, "Input should be a valid boolean"))
}

fn count(value: &RawValue, name: &'static str) -> Result<u64, RequestError> {
    u64::deserialize(value)
        .map_err(|_| RequestError::Invalid(name, "Input should be an integer of at least 0"))
}
