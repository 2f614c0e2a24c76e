//! A request's body, read as far as the sandbox needs it, and refused where upstream would refuse
//! it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal::SandboxError;
use super::script::{Flag, Scenario, Script};
use super::usage::{self, BYTES_PER_TOKEN, Split};

/// The current version of the API, which no longer takes sampling parameters.
const VERSION_CURRENT: &str = "2026-10-21";
const VERSIONS: [&str; 2] = ["2023-06-01", VERSION_CURRENT];

/// What a script begins with where it stands among other words.
const MARK: &str = "sandbox:";

/// The body as it stands in the request.
#[derive(Debug, Deserialize)]
struct RequestBody<'a> {
    model: Option<String>,
    max_tokens: Option<u64>,
    #[serde(default)]
    stream: bool,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    tool_choice: Option<TypedObject>,
    thinking: Option<TypedObject>,
    metadata: Option<RequestMetadata>,
    inference_geo: Option<String>,
    speed: Option<String>,
    #[serde(borrow)]
    fallbacks: Option<&'a RawValue>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    top_k: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
struct TypedObject {
    #[serde(default)]
    r#type: String,
}

#[derive(Debug, Default, Deserialize)]
struct RequestMetadata {
    user_id: Option<String>,
}

/// A tool of the request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Tool {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) input_schema: serde_json::Value,
}

/// What an answer is made from.
#[derive(Debug)]
pub(super) struct MessageRequest {
    pub(super) model: String,
    pub(super) max_tokens: u64,
    pub(super) stream: bool,
    /// The prompt's tokens. Only [`super::caches`] knows of any that are not uncached input.
    pub(super) prompt: Split,
    /// The first model that may stand in for `model`.
    pub(super) fallback: Option<String>,
    pub(super) first_tool: Option<Tool>,
    pub(super) inference_geo: Option<String>,
    pub(super) speed: Option<String>,
    pub(super) scenario: Scenario,
    pub(super) script: Script,
    /// Checksum of what was asked. It makes the answer's ids.
    pub(super) digest: u32,
}

impl MessageRequest {
    /// Reads a body; `header` is the script that came with the head, `version` its API version.
    ///
    /// # Errors
    /// A 400 that says what is wrong.
    pub(super) fn parse(
        bytes: &[u8],
        header: Option<&str>,
        version: &str,
    ) -> Result<Self, SandboxError> {
        let body = read(bytes, version)?;
        let (model, script) = body.script(header)?;
        let max_tokens =
            body.max_tokens.ok_or_else(|| SandboxError::invalid("max_tokens: Field required"))?;
        Ok(Self {
            model: model.to_owned(),
            max_tokens,
            stream: body.stream,
            prompt: Split::cold(body.input_tokens()),
            fallback: body.first_fallback(),
            first_tool: body.first_tool()?,
            scenario: script.scenario.unwrap_or_else(|| body.natural_scenario()),
            digest: body.digest(model),
            script,
            inference_geo: body.inference_geo,
            speed: body.speed,
        })
    }
}

/// Tokens of a body that asks only for their count: as many as `message_start` would report in all
/// classes together, or none where the script says so. `input` is what the prompt holds where that
/// is counted in another way.
///
/// # Errors
/// A 400 that says what is wrong.
pub(super) fn count_tokens(
    bytes: &[u8],
    header: Option<&str>,
    version: &str,
    input: Option<u64>,
) -> Result<Option<u64>, SandboxError> {
    let body = read(bytes, version)?;
    let (_, script) = body.script(header)?;
    if script.has(Flag::CountFails) {
        return Err(SandboxError::overloaded());
    }
    if script.has(Flag::NoCount) {
        return Ok(None);
    }
    let scenario = script.scenario.unwrap_or_else(|| body.natural_scenario());
    let prompt = Split::cold(input.unwrap_or_else(|| body.input_tokens()));
    Ok(Some(usage::told(scenario, &script, prompt).total()))
}

fn read<'a>(bytes: &'a [u8], version: &str) -> Result<RequestBody<'a>, SandboxError> {
    if !VERSIONS.contains(&version) {
        return Err(SandboxError::invalid("anthropic-version: a known version is required"));
    }
    let body: RequestBody<'a> = serde_json::from_slice(bytes)
        .map_err(|error| SandboxError::invalid(format!("the body is not a request: {error}")))?;
    if body.model.as_deref().is_none_or(str::is_empty) {
        return Err(SandboxError::invalid("model: Field required"));
    }
    if !body.messages.is_some_and(|raw| raw.get().starts_with('[')) {
        return Err(SandboxError::invalid("messages: Field required"));
    }
    let samples = [("temperature", body.temperature), ("top_p", body.top_p), ("top_k", body.top_k)];
    match samples.iter().find(|(_, value)| value.is_some()) {
        Some((name, _)) if version == VERSION_CURRENT => {
            Err(SandboxError::invalid(format!("{name}: Extra inputs are not permitted")))
        }
        _ => Ok(body),
    }
}

impl RequestBody<'_> {
    fn shaping_parts(&self) -> impl Iterator<Item = &str> {
        [self.messages, self.system, self.tools].into_iter().flatten().map(RawValue::get)
    }

    /// Counted from what a model would read, so that `stream` and the like change nothing.
    fn input_tokens(&self) -> u64 {
        let bytes: usize = self.shaping_parts().map(str::len).sum();
        u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN)
    }

    /// Neither `stream` nor the script count, so that every rendering of an answer has one id.
    fn digest(&self, model: &str) -> u32 {
        let mut digest = crc32fast::Hasher::new();
        for part in std::iter::once(model).chain(self.shaping_parts()) {
            digest.update(part.as_bytes());
        }
        digest.finalize()
    }

    /// The model without its suffix, and the script of the first place that has one.
    fn script(&self, header: Option<&str>) -> Result<(&str, Script), SandboxError> {
        let asked = self.model.as_deref().unwrap_or_default();
        let (model, suffix) = asked.split_once('+').map_or((asked, None), |(m, s)| (m, Some(s)));
        let user_id = self.metadata.as_ref().and_then(|metadata| metadata.user_id.as_deref());
        let told = header.or_else(|| user_id.and_then(|id| id.strip_prefix(MARK))).or(suffix);
        let typed = if told.is_none() { self.messages.and_then(typed_script) } else { None };
        let script = told.or(typed.as_deref()).unwrap_or_default();
        let script = script.parse().map_err(|error: super::script::ScriptError| {
            SandboxError::invalid(error.to_string())
        })?;
        Ok((model, script))
    }

    fn first_fallback(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct FallbackModel {
            model: String,
        }
        let fallbacks: Vec<FallbackModel> = serde_json::from_str(self.fallbacks?.get()).ok()?;
        fallbacks.into_iter().next().map(|fallback| fallback.model)
    }

    fn first_tool(&self) -> Result<Option<Tool>, SandboxError> {
        let Some(raw) = self.tools else { return Ok(None) };
        let tools: Option<Vec<Tool>> = serde_json::from_str(raw.get())
            .map_err(|error| SandboxError::invalid(format!("tools: {error}")))?;
        Ok(tools.unwrap_or_default().into_iter().next())
    }

    /// What the request's own features call for, as a model would answer it.
    fn natural_scenario(&self) -> Scenario {
        let kind = |kind: &Option<TypedObject>| kind.as_ref().map(|kind| kind.r#type.clone());
        match (kind(&self.tool_choice).as_deref(), kind(&self.thinking).as_deref()) {
            (Some("any" | "tool"), _) if self.tools.is_some() => Scenario::ToolUse,
            (_, Some("enabled" | "adaptive")) => Scenario::Thinking,
            _ => Scenario::Text,
        }
    }
}

/// A script as a person types it: the first line of the last text of the last message of the
/// user's, if that begins with `sandbox:`. This place also reaches `count_tokens`.
fn typed_script(messages: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct RequestMessage {
        role: String,
        content: serde_json::Value,
    }
    memchr::memmem::find(messages.get().as_bytes(), MARK.as_bytes())?;
    let messages: Vec<RequestMessage> = serde_json::from_str(messages.get()).ok()?;
    let last = messages.iter().rev().find(|message| message.role == "user")?;
    let text = match &last.content {
        serde_json::Value::Array(blocks) => {
            blocks.iter().rev().find_map(|block| block.get("text")?.as_str())?
        }
        content => content.as_str()?,
    };
    text.lines().next()?.strip_prefix(MARK).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::script::NumberOption;

    fn parse(body: &str, header: Option<&str>) -> MessageRequest {
        MessageRequest::parse(body.as_bytes(), header, VERSION_CURRENT).expect("a valid request")
    }

    #[test]
    fn the_script_comes_from_header_then_metadata_then_model() {
        let both = r#"{"model":"m+events=3","max_tokens":9,"messages":[],
            "metadata":{"user_id":"sandbox:events=2"}}"#;
        let events = |request: MessageRequest| request.script.number(NumberOption::Events);
        assert_eq!(events(parse(both, Some("events=1"))), Some(1));
        assert_eq!(events(parse(both, None)), Some(2));
        let suffix = both.replace("sandbox:", "someone-");
        assert_eq!(events(parse(&suffix, None)), Some(3));
        assert_eq!(parse(&suffix, None).model, "m");
    }

    #[test]
    fn a_script_can_be_typed_and_then_counts_too() {
        let typed = |content: &str| {
            format!(
                r#"{{"model":"m","max_tokens":9,"messages":[
                {{"role":"user","content":"sandbox:input=1"}},
                {{"role":"user","content":{content}}},{{"role":"system","content":"s"}}]}}"#
            )
        };
        let string = typed(r#""sandbox:input=7;cache_read=5\nand so on""#);
        let blocks = typed(
            r#"[{"type":"text","text":"a"},
            {"type":"text","text":"sandbox:input=7;cache_read=5"}]"#,
        );
        for body in [string, blocks] {
            assert_eq!(parse(&body, None).script.number(NumberOption::Input), Some(7), "{body}");
            let count = count_tokens(body.as_bytes(), None, VERSION_CURRENT, None);
            assert_eq!(count, Ok(Some(12)), "{body}");
        }
        let said = typed(r#""what is sandbox:input=7 about?""#);
        assert_eq!(parse(&said, None).script, Script::default());
    }

    #[test]
    fn a_count_is_the_sum_of_the_classes_that_a_message_would_report() {
        let body = r#"{"model":"m","max_tokens":9,"messages":["four"]}"#;
        let count = |script| {
            count_tokens(body.as_bytes(), Some(script), VERSION_CURRENT, None).expect(script)
        };
        assert_eq!(count(""), Some(2));
        assert_eq!(count("input=100;cache_read=20;cache_5m=3;cache_1h=4;output=9"), Some(127));
        assert_eq!(count("cache"), Some(2 + 2048 + 1024 + 512));
        assert_eq!(count("no_count"), None);
        assert!(count_tokens(body.as_bytes(), Some("nothing"), VERSION_CURRENT, None).is_err());
        let fails = count_tokens(body.as_bytes(), Some("count_fails"), VERSION_CURRENT, None);
        assert_eq!(fails, Err(SandboxError::overloaded()));
    }

    #[test]
    fn a_request_without_a_script_chooses_by_its_features() {
        let with = |features: &str| {
            let body = format!(r#"{{"model":"m","max_tokens":9,"messages":[]{features}}}"#);
            parse(&body, None).scenario
        };
        let tools = r#","tools":[{"name":"t"}],"tool_choice":{"type":"any"}"#;
        assert_eq!(with(""), Scenario::Text);
        assert_eq!(with(tools), Scenario::ToolUse);
        assert_eq!(with(&tools.replace("any", "auto")), Scenario::Text);
        assert_eq!(with(r#","thinking":{"type":"adaptive"}"#), Scenario::Thinking);
    }

    #[test]
    fn what_upstream_refuses_is_refused() {
        let good = r#"{"model":"m","max_tokens":9,"messages":[]}"#;
        let fails = |body: &str, version: &str| {
            MessageRequest::parse(body.as_bytes(), None, version).is_err()
        };
        assert!(!fails(good, "2023-06-01"));
        assert!(fails(good, "2020-01-01"));
        assert!(fails(&good.replace("max_tokens", "tokens"), "2023-06-01"));
        assert!(fails(&good.replace("[]", "1"), "2023-06-01"));
        assert!(fails(&good.replace('}', ""), "2023-06-01"));
        let warm = good.replace('}', r#","temperature":1}"#);
        assert!(!fails(&warm, "2023-06-01"));
        assert!(fails(&warm, VERSION_CURRENT));
    }
}
