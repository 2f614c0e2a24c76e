//! An answer before it takes a form: blocks, usage, stop reason. A stream and a JSON body are two
//! renderings of the same value.

use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::content::{BlockDelta, Citation, Content, ContentBlock, Hop, SearchResult, Trigger};
use super::iterations::{declines, iterations};
use super::passage;
use super::request::{MessageRequest, Tool};
use super::script::{Flag, NumberOption, Scenario, Script};
use super::usage::WireIteration;
use super::usage::{
    AnswerCounts, BYTES_PER_TOKEN, DeltaUsage, FallbackCredit, LastWord, MessageUsage, Selectors,
};

/// Everything that is said in answer to one request.
#[derive(Debug)]
pub(super) struct SandboxResponse {
    pub(super) blocks: Vec<ContentBlock>,
    pub(super) stop_reason: &'static str,
    script: Script,
    counts: AnswerCounts,
    iterations: Option<Vec<WireIteration>>,
    id: String,
    model: String,
    selectors: Selectors,
}

/// `stop_details`, which only a refusal has.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "refusal")]
pub(super) struct StopDetails {
    category: Option<&'static str>,
    explanation: Option<&'static str>,
}

/// The `message` of the wire.
#[derive(Debug, Serialize)]
pub(super) struct WireMessage<'a> {
    model: &'a str,
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    content: Vec<Content>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<StopDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<MessageUsage>,
}

impl SandboxResponse {
    /// Composes the answer to a request.
    ///
    /// # Errors
    /// Where JSON written here is not JSON: a defect of the sandbox.
    pub(super) fn to(request: &MessageRequest) -> serde_json::Result<Self> {
        let script = &request.script;
        let model = served(request);
        let blocks = blocks(request, model)?;
        let written: usize = blocks.iter().flat_map(|b| &b.deltas).map(BlockDelta::written).sum();
        let tokens = u64::try_from(written).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN);
        // A model never writes more than it may. The words stay, only their count is held.
        let least = u64::from(!blocks.is_empty()).min(request.max_tokens);
        let output = tokens.clamp(least, request.max_tokens);
        let counts = AnswerCounts::of(request.scenario, script, request.prompt, output);
        let stop_reason = match request.scenario {
            _ if request.max_tokens == 0 => "max_tokens",
            Scenario::Refusal => "refusal",
            Scenario::ToolUse | Scenario::Mixed => "tool_use",
            _ if tokens > request.max_tokens => "max_tokens",
            _ => "end_turn",
        };
        Ok(Self {
            blocks,
            stop_reason: script.stop.unwrap_or(stop_reason),
            iterations: iterations(request.scenario, script, &counts, &request.model, model),
            counts,
            id: format!("msg_sandbox{:08x}", request.digest),
            model: model.to_owned(),
            selectors: Selectors {
                service_tier: "standard",
                inference_geo: request.inference_geo.clone().unwrap_or_else(|| "global".into()),
                speed: request.speed.clone(),
            },
            script: script.clone(),
        })
    }

    /// The message as `message_start` announces it.
    pub(super) fn announced(&self) -> WireMessage<'_> {
        self.message(Vec::new(), None, false)
    }

    /// The message when all is said.
    ///
    /// # Errors
    /// As [`SandboxResponse::to`].
    pub(super) fn whole(&self) -> serde_json::Result<WireMessage<'_>> {
        let content =
            self.blocks.iter().map(ContentBlock::whole).collect::<serde_json::Result<_>>()?;
        Ok(self.message(content, Some(self.stop_reason), true))
    }

    /// The usage of `message_delta`.
    pub(super) fn delta_usage(&self) -> Option<DeltaUsage> {
        let usage = || self.counts.delta_usage(&self.script, self.last_word());
        (!self.script.has(Flag::NoUsage)).then(usage)
    }

    /// What `message_delta` says of a refusal.
    pub(super) fn stop_details(&self) -> Option<StopDetails> {
        (self.stop_reason == "refusal").then_some(StopDetails { category: None, explanation: None })
    }

    fn last_word(&self) -> LastWord {
        LastWord {
            iterations: self.iterations.clone(),
            fallback_credit: FallbackCredit::scripted(&self.script),
        }
    }

    fn message(
        &self,
        content: Vec<Content>,
        stop_reason: Option<&'static str>,
        is_final: bool,
    ) -> WireMessage<'_> {
        let last = is_final.then(|| self.last_word());
        let usage = || self.counts.message_usage(&self.script, last, self.selectors.clone());
        WireMessage {
            model: &self.model,
            id: &self.id,
            r#type: "message",
            role: "assistant",
            content,
            stop_reason,
            stop_sequence: None,
            stop_details: if is_final { self.stop_details() } else { None },
            usage: (!self.script.has(Flag::NoUsage)).then(usage),
        }
    }
}

/// The model that the answer names.
fn served(request: &MessageRequest) -> &str {
    let fallback = match request.scenario {
        Scenario::Fallback => request.fallback.as_ref(),
        _ => None,
    };
    request.script.served.as_ref().or(fallback).unwrap_or(&request.model)
}

fn blocks(request: &MessageRequest, served: &str) -> serde_json::Result<Vec<ContentBlock>> {
    let script = &request.script;
    // A request that only warms the cache is answered with nothing.
    if request.max_tokens == 0 {
        return Ok(Vec::new());
    }
    Ok(match request.scenario {
        Scenario::Refusal
            if script.number(NumberOption::Events).is_none_or(|events| events == 0) =>
        {
            Vec::new()
        }
        Scenario::Fallback => (0..declines(request.scenario, script))
            .map(|_| fallback(&request.model, served))
            .chain([text(script, None)])
            .collect(),
        Scenario::Text | Scenario::Cache | Scenario::Refusal => vec![text(script, None)],
        Scenario::Thinking => vec![thinking(request), text(script, None)],
        Scenario::ToolUse => vec![tool_use(request)?],
        Scenario::WebSearch => {
            let [search, results] = web_search(request.digest)?;
            vec![search, results, text(script, Some(CITATION))]
        }
        Scenario::Mixed => {
            let [search, results] = web_search(request.digest)?;
            let cited = text(script, Some(CITATION));
            vec![thinking(request), text(script, None), search, results, cited, tool_use(request)?]
        }
    })
}

const CITATION: Citation = Citation {
    cited_text: "The sandbox searches nothing.",
    url: "https://sandbox.invalid/results/1",
    title: "A page of the Sluice sandbox",
    encrypted_index: "c2FuZGJveC1pbmRleA==",
};

const RESULT: SearchResult = SearchResult {
    url: "https://sandbox.invalid/results/1",
    title: "A page of the Sluice sandbox",
    encrypted_content: "c2FuZGJveC1jb250ZW50",
    page_age: None,
};

fn text(script: &Script, citation: Option<Citation>) -> ContentBlock {
    let citations = citation.is_some().then(Vec::new);
    let cited = citation.into_iter().map(BlockDelta::Citation);
    ContentBlock {
        start: Content::Text { citations, text: String::new() },
        deltas: cited.chain(passage::text(script).into_iter().map(BlockDelta::Text)).collect(),
    }
}

fn fallback(from: &str, to: &str) -> ContentBlock {
    let hop = |model: &str| Hop { model: model.to_owned() };
    ContentBlock {
        start: Content::Fallback {
            from: hop(from),
            to: hop(to),
            trigger: Trigger { category: None },
        },
        deltas: Vec::new(),
    }
}

fn thinking(request: &MessageRequest) -> ContentBlock {
    let thoughts = passage::thinking(&request.script).into_iter().map(BlockDelta::Thinking);
    let signature = format!("sandbox{:08x}signature==", request.digest);
    ContentBlock {
        start: Content::Thinking { thinking: String::new(), signature: String::new() },
        deltas: thoughts.chain([BlockDelta::Signature(Rc::from(signature))]).collect(),
    }
}

fn web_search(digest: u32) -> serde_json::Result<[ContentBlock; 2]> {
    let id = format!("srvtoolu_sandbox{digest:08x}");
    let search = Content::ServerToolUse {
        id: id.clone(),
        name: "web_search",
        input: RawValue::from_string("{}".into())?,
    };
    let results = Content::WebSearchToolResult { tool_use_id: id, content: vec![RESULT] };
    let query = ["", r#"{"query""#, r#": "sluice "#, r#"sandbox"}"#];
    let query = query.map(|piece| BlockDelta::InputJson(Rc::from(piece))).to_vec();
    Ok([
        ContentBlock { start: search, deltas: query },
        ContentBlock { start: results, deltas: Vec::new() },
    ])
}

fn tool_use(request: &MessageRequest) -> serde_json::Result<ContentBlock> {
    let tool = request.first_tool.as_ref();
    let name = tool.map(|tool| tool.name.clone()).filter(|name| !name.is_empty());
    Ok(ContentBlock {
        start: Content::ToolUse {
            id: format!("toolu_sandbox{:08x}", request.digest),
            name: name.unwrap_or_else(|| "sandbox_tool".into()),
            input: RawValue::from_string("{}".into())?,
        },
        deltas: tool_input(tool, &request.script)?,
    })
}

/// Pieces of an input that fills the required properties of type string: the first with the
/// passage, piece by piece, the others with one word.
fn tool_input(tool: Option<&Tool>, script: &Script) -> serde_json::Result<Vec<BlockDelta>> {
    let mut pieces: Vec<Rc<str>> = vec![Rc::from("")];
    let mut names = required_strings(tool).into_iter();
    if let Some(first) = names.next() {
        pieces.push(Rc::from(format!("{{{}: \"", serde_json::to_string(first)?)));
        // The passages hold nothing that a JSON string would have to escape.
        pieces.extend(passage::text(script));
        pieces.push(Rc::from("\""));
        for name in names {
            let member = format!(", {}: \"sandbox\"", serde_json::to_string(name)?);
            pieces.push(Rc::from(member));
        }
        pieces.push(Rc::from("}"));
    } else {
        pieces.push(Rc::from("{}"));
    }
    Ok(pieces.into_iter().map(BlockDelta::InputJson).collect())
}

fn required_strings(tool: Option<&Tool>) -> Vec<&str> {
    let Some(schema) = tool.map(|tool| &tool.input_schema) else { return Vec::new() };
    let property = |name: &str| schema.get("properties")?.get(name)?.get("type")?.as_str();
    let required = schema.get("required").and_then(|required| required.as_array());
    required
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
        .filter(|name| property(name) == Some("string"))
        .collect()
}
