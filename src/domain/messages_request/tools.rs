//! The `tools` and `fallbacks` of a request: their types, models and limits. Both are read entry by
//! entry, and only what a price depends on is kept.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::blocks::{Blocks, JsonText};
use super::fields::{self, Rule};
use super::names;
use super::{RequestBounds, RequestError};

/// A tool that carries a type of its own: run by the upstream, or typed and run by the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// `type`, such as `web_search_20250305`.
    pub kind: String,
    /// `max_uses`; above 0.
    pub max_uses: Option<u64>,
    /// A model that the tool runs by itself.
    pub model: Option<String>,
}

/// Whether a type is `prefix` with a date: `bash_20250124` of `bash_`. What has other words behind
/// a known one is another tool, with a price of its own.
#[must_use]
pub fn is_version_of(kind: &str, prefix: &str) -> bool {
    let date = kind.strip_prefix(prefix);
    date.is_some_and(|date| !date.is_empty() && date.bytes().all(|byte| byte.is_ascii_digit()))
}

/// One entry of `fallbacks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The model to try.
    pub model: String,
    /// Its own `max_tokens`.
    pub max_tokens: Option<u64>,
    /// Its own `speed`.
    pub speed: Option<String>,
}

/// Who may answer in the place of the model that is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fallbacks {
    /// Nobody.
    #[default]
    None,
    /// These, in their order; at least one.
    List(Vec<Fallback>),
    /// Whomever the upstream picks.
    Default,
}

impl Fallbacks {
    /// The entries that the request names.
    #[must_use]
    pub fn list(&self) -> &[Fallback] {
        match self {
            Self::List(entries) => entries,
            Self::None | Self::Default => &[],
        }
    }
}

const TOOLS: &str = "tools";
const FALLBACKS: &str = "fallbacks";
/// What a price or a rule depends on in a tool and in a fallback. A name that is one of these but
/// for its spelling is refused.
const TOOL_FIELDS: [&str; 4] = ["type", "model", "max_uses", "cache_control"];
const FALLBACK_FIELDS: [&str; 3] = ["model", "max_tokens", "speed"];

pub(super) fn read_fallbacks(
    value: &RawValue,
    bounds: &RequestBounds,
) -> Result<Fallbacks, RequestError> {
    let text = value.get();
    if text == "null" {
        return Ok(Fallbacks::None);
    }
    if text.starts_with('"') {
        let is_default = serde_json::from_str::<String>(text).is_ok_and(|word| word == "default");
        let words = "Input should be a list of models or \"default\"";
        return if is_default {
            Ok(Fallbacks::Default)
        } else {
            Err(RequestError::Invalid(FALLBACKS, words))
        };
    }
    let mut reader = ListReader { fault: None, most: bounds.fallbacks_max, entries: Vec::new() };
    let read = value.deserialize_seq(ListVisitor(&mut reader));
    let words = "Input should be a list of objects that name a model";
    reader.finish(FALLBACKS, read.map_err(|_| words))?;
    let entries = reader.entries;
    Ok(if entries.is_empty() { Fallbacks::None } else { Fallbacks::List(entries) })
}

pub(super) fn read_tools(
    value: &RawValue,
    bounds: &RequestBounds,
    blocks: &mut Blocks,
) -> Result<Vec<ToolUse>, RequestError> {
    if value.get() == "null" {
        return Ok(Vec::new());
    }
    let entries = ToolEntries { typed: Vec::new(), blocks };
    let mut reader = ListReader { fault: None, most: bounds.tools_max, entries };
    let read = value.deserialize_seq(ListVisitor(&mut reader));
    reader.finish(TOOLS, read.map_err(|_| "Input should be a valid list of tools"))?;
    Ok(reader.entries.typed)
}

/// Reads a list of objects and takes of each what it needs.
struct ListReader<T> {
    /// Why reading ended, where serde's own error would not tell.
    fault: Option<RequestError>,
    /// The most entries.
    most: usize,
    entries: T,
}

impl<T> ListReader<T> {
    fn fail<E: Error>(&mut self, fault: RequestError) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    fn finish(
        &mut self,
        place: &'static str,
        read: Result<(), &'static str>,
    ) -> Result<(), RequestError> {
        match (self.fault.take(), read) {
            (Some(fault), _) => Err(fault),
            (None, Err(words)) => Err(RequestError::Invalid(place, words)),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// What becomes of the fields of one entry.
trait Entries {
    const PLACE: &'static str;
    type Entry: Default;

    /// Takes a field, or skips it.
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        entry: &mut Self::Entry,
        name: &str,
        map: &mut A,
    ) -> Result<Result<(), RequestError>, A::Error>;

    /// Takes the entry when it has all its fields.
    fn end(&mut self, entry: Self::Entry) -> Result<(), RequestError>;
}

struct ListVisitor<'a, T>(&'a mut ListReader<T>);

impl<'de, T: Entries> Visitor<'de> for ListVisitor<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut count = 0_usize;
        while items.next_element_seed(One(self.0))?.is_some() {
            count = count.saturating_add(1);
            if count > self.0.most {
                let most = self.0.most;
                return Err(self.0.fail(RequestError::TooMany(T::PLACE, most)));
            }
        }
        Ok(())
    }
}

struct One<'a, T>(&'a mut ListReader<T>);

impl<'de, T: Entries> DeserializeSeed<'de> for One<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, T: Entries> Visitor<'de> for One<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut entry = T::Entry::default();
        while let Some(JsonText(name)) = map.next_key()? {
            if let Err(fault) = self.0.entries.field(&mut entry, &name, &mut map)? {
                return Err(self.0.fail(fault));
            }
        }
        self.0.entries.end(entry).map_err(|fault| self.0.fail(fault))
    }
}

/// A value that may stand once; null counts as standing there.
type Once<T> = Option<Option<T>>;

fn take<'de, A, T>(slot: &mut Once<T>, map: &mut A) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    T: serde::Deserialize<'de>,
{
    if slot.is_some() {
        return Err(A::Error::custom("twice"));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

struct ToolEntries<'b> {
    typed: Vec<ToolUse>,
    blocks: &'b mut Blocks,
}

#[derive(Default)]
struct ToolEntry {
    kind: Once<String>,
    max_uses: Once<u64>,
    model: Once<String>,
    has_cache_control: bool,
}

impl Entries for ToolEntries<'_> {
    const PLACE: &'static str = TOOLS;
    type Entry = ToolEntry;

    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        entry: &mut ToolEntry,
        name: &str,
        map: &mut A,
    ) -> Result<Result<(), RequestError>, A::Error> {
        match name {
            "type" => take(&mut entry.kind, map)?,
            "max_uses" => take(&mut entry.max_uses, map)?,
            "model" => take(&mut entry.model, map)?,
            "cache_control" if entry.has_cache_control => return Err(A::Error::custom("twice")),
            "cache_control" => {
                entry.has_cache_control = true;
                let value = map.next_value::<&RawValue>()?;
                return Ok(self.blocks.read_cache_control(value));
            }
            _ => {
                if let Err(fault) = names::check(name, TOOLS, TOOL_FIELDS.into_iter()) {
                    return Ok(Err(fault));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Ok(()))
    }

    fn end(&mut self, entry: ToolEntry) -> Result<(), RequestError> {
        let (kind, model) = (entry.kind.flatten(), entry.model.flatten());
        let max_uses = entry.max_uses.flatten();
        // Some upstreams take 0 for "no limit".
        if max_uses == Some(0) {
            return Err(RequestError::Invalid(TOOLS, "max_uses should be greater than 0"));
        }
        // A model is priced wherever it is named, even in a tool without a type.
        if kind.is_some() || model.is_some() {
            let kind = kind.unwrap_or_else(|| "custom".to_owned());
            self.typed.push(ToolUse { kind, max_uses, model });
        }
        Ok(())
    }
}

#[derive(Default)]
struct FallbackEntry {
    model: Once<String>,
    max_tokens: Once<u64>,
    speed: Once<String>,
}

impl Entries for Vec<Fallback> {
    const PLACE: &'static str = FALLBACKS;
    type Entry = FallbackEntry;

    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        entry: &mut FallbackEntry,
        name: &str,
        map: &mut A,
    ) -> Result<Result<(), RequestError>, A::Error> {
        match name {
            "model" => take(&mut entry.model, map)?,
            "max_tokens" => take(&mut entry.max_tokens, map)?,
            "speed" => take(&mut entry.speed, map)?,
            _ => {
                if let Err(fault) = check_fallback_field(name) {
                    return Ok(Err(fault));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Ok(()))
    }

    fn end(&mut self, entry: FallbackEntry) -> Result<(), RequestError> {
        let words = "Input should be a list of objects that name a model";
        let model = entry.model.flatten().ok_or(RequestError::Invalid(FALLBACKS, words))?;
        let (max_tokens, speed) = (entry.max_tokens.flatten(), entry.speed.flatten());
        self.push(Fallback { model, max_tokens, speed });
        Ok(())
    }
}

/// An entry changes fields of the request for its attempt. One that has a price or is refused at
/// the top, and is not read here, would be changed behind our back.
fn check_fallback_field(name: &str) -> Result<(), RequestError> {
    let is_allowed = |rule| matches!(rule, Rule::Allowed);
    let unread = fields::FIELDS.iter().filter(move |field| !is_allowed(field.rule));
    let unread = unread.map(|field| field.name).filter(|known| !FALLBACK_FIELDS.contains(known));
    if let Some(known) = unread.clone().find(|known| *known == name) {
        return Err(RequestError::Within(FALLBACKS, known));
    }
    names::check(name, FALLBACKS, FALLBACK_FIELDS.into_iter().chain(unread))
}
