//! What is read of a request, and what is refused.

use super::*;

/// The bounds of the reference.
const BOUNDS: RequestBounds = RequestBounds { fields_max: 256, fallbacks_max: 16, tools_max: 4096 };

fn parse(body: &[u8]) -> Result<MessagesRequest, RequestError> {
    super::parse(body, &BOUNDS)
}

fn read(body: &str) -> MessagesRequest {
    parse(body.as_bytes()).unwrap()
}

#[test]
fn the_span_of_the_model_is_its_value_with_quotes() {
    let body = r#" { "max_tokens": 5, "model" : "a\u0062c", "messages": [] } "#;
    let request = read(body);
    assert_eq!(request.model, "abc");
    assert_eq!(body.get(request.model_span), Some(r#""a\u0062c""#));
}

#[test]
fn a_field_that_stands_twice_is_refused_even_if_escaped() {
    let body = br#"{"model":"a","mod\u0065l":"b","max_tokens":1}"#;
    assert_eq!(parse(body).unwrap_err(), RequestError::RepeatedField);
}

#[test]
fn refusals_name_the_field_and_never_repeat_its_value() {
    let cases = [
        ("[]", RequestError::NotAnObject),
        ("{}", RequestError::Missing("model")),
        (r#"{"model":"SECRET""#, RequestError::Json { line: 1, column: 17 }),
        (r#"{"model":{"SECRET":1}}"#, RequestError::Invalid("model", "")),
        (r#"{"model":"a","max_tokens":"SECRET"}"#, RequestError::Invalid("max_tokens", "")),
        (r#"{"model":"a","max_tokens":-1}"#, RequestError::Invalid("max_tokens", "")),
        (r#"{"model":"a","stream":"SECRET"}"#, RequestError::Invalid("stream", "")),
        (r#"{"model":"a","tools":[{"type":5}]}"#, RequestError::Invalid("tools", "")),
        (r#"{"model":"a","fallbacks":["SECRET"]}"#, RequestError::Invalid("fallbacks", "")),
        (r#"{"model":"a"} x"#, RequestError::Json { line: 1, column: 15 }),
    ];
    for (body, expected) in cases {
        let error = parse(body.as_bytes()).unwrap_err();
        let is_same = match (&error, &expected) {
            (RequestError::Invalid(a, _), RequestError::Invalid(b, _)) => a == b,
            _ => error == expected,
        };
        assert!(is_same, "{body}: {error:?}");
        assert!(!error.to_string().contains("SECRET"));
    }
}

#[test]
fn nesting_without_end_is_skipped_or_refused_but_never_walked() {
    let deep = |inside: &str| {
        inside.replace('_', &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)))
    };
    assert!(parse(deep(r#"{"model":"a","x":_}"#).as_bytes()).is_ok());
    let refused = parse(deep(r#"{"model":"a","messages":_}"#).as_bytes());
    assert!(matches!(refused, Err(RequestError::Invalid("messages", _))));
}

#[test]
fn encoded_images_count_as_images_and_not_as_text() {
    let data = "A".repeat(10_000);
    let image = format!(
        r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png",
            "data":"{data}"}}}}"#
    );
    let inside = format!(r#"{{"type":"tool_result","tool_use_id":"x","content":[{image}]}}"#);
    let body =
        format!(r#"{{"model":"a","messages":[{{"role":"user","content":[{image},{inside}]}}]}}"#);
    let request = read(&body);
    assert_eq!(request.images, 2);
    assert_eq!(request.ascii_bytes, wide(body.len()) - 20_000);
}

#[test]
fn text_that_poses_as_an_image_still_counts_as_text() {
    let text = "A".repeat(10_000);
    for block in [
        format!(r#"{{"type":"text","text":"x","source":{{"type":"base64","data":"{text}"}}}}"#),
        format!(
            r#"{{"type":"tool_use","input":{{"source":{{"type":"base64","data":"{text}"}}}}}}"#
        ),
        format!(r#"{{"type":"image","source":{{"type":"url","data":"{text}"}}}}"#),
    ] {
        let body = format!(r#"{{"model":"a","messages":[{{"content":[{block}]}}]}}"#);
        assert_eq!(read(&body).ascii_bytes, wide(body.len()), "{block:.40}");
    }
}

#[test]
fn caches_files_documents_and_other_bytes_are_noticed() {
    let body = r#"{"model":"a","system":[{"type":"text","text":"é",
        "cache_control":{"type":"ephemeral","ttl":"1h"}}],
        "messages":[{"role":"user","content":[
          {"type":"document","source":{"type":"url","url":"https://example.org/a.pdf"}},
          {"type":"document","source":{"type":"text","media_type":"text/plain","data":"abc"}},
          {"type":"document","source":{"type":"file","file_id":"file_1"}}]}]}"#;
    let request = read(body);
    assert!(request.uses_1h_cache && request.uses_cache && request.uses_stored_file);
    assert_eq!((request.documents, request.remote_documents, request.other_bytes), (2, 2, 2));
    let plain = read(
        r#"{"model":"a","messages":[{"content":[{"type":"text",
            "cache_control":{"type":"ephemeral"}}]}]}"#,
    );
    assert!(plain.uses_cache && !plain.uses_1h_cache && !plain.uses_stored_file);
}

#[test]
fn every_field_that_the_price_depends_on_is_read() {
    let request = read(
        r#"{"model":"a","max_tokens":7,"stream":true,"inference_geo":"us","speed":"fast",
            "fallbacks":[{"model":"b","max_tokens":9,"speed":"standard"}],
            "cache_control":{"type":"ephemeral"},"x":1}"#,
    );
    assert_eq!((request.max_tokens, request.is_stream), (Some(7), true));
    assert_eq!(request.inference_geo.as_deref(), Some("us"));
    assert_eq!(request.speed.as_deref(), Some("fast"));
    let speed = Some("standard".to_owned());
    let fallback = Fallback { model: "b".to_owned(), max_tokens: Some(9), speed };
    assert_eq!(request.fallbacks.list(), [fallback]);
    assert!(request.uses_cache && !request.uses_1h_cache);
    let names = ["model", "max_tokens", "stream", "inference_geo", "speed", "fallbacks"];
    let found: Vec<&str> = request.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(found[..6], names);
    assert_eq!(found[6..], ["cache_control", "x"]);
    let bare = read(r#"{"model":"a","stream":null,"inference_geo":null,"fallbacks":null}"#);
    assert_eq!((bare.max_tokens, bare.is_stream), (None, false));
    assert!(bare.inference_geo.is_none() && bare.fallbacks == Fallbacks::None && !bare.uses_cache);
}

#[test]
fn tools_with_a_type_or_a_model_are_named_and_those_of_the_client_are_not() {
    let request = read(
        r#"{"model":"a","tools":[{"name":"own","input_schema":{}},
            {"type":"web_search_20250305","max_uses":3},{"name":"x","model":"b"},
            {"type":"advisor_20260301","model":"c","cache_control":{"ttl":"1h"}}]}"#,
    );
    let tool = |kind: &str, max_uses, model: Option<&str>| {
        let (kind, model) = (kind.to_owned(), model.map(str::to_owned));
        ToolUse { kind, max_uses, model }
    };
    let expected = [
        tool("web_search_20250305", Some(3), None),
        tool("custom", None, Some("b")),
        tool("advisor_20260301", None, Some("c")),
    ];
    assert_eq!(request.typed_tools, expected);
    assert!(request.uses_cache && request.uses_1h_cache);
}

#[test]
fn a_version_of_a_tool_is_its_prefix_with_a_date() {
    for (kind, expected) in [
        ("bash_20250124", true),
        ("bash_", false),
        ("bash", false),
        ("bash_2025012x", false),
        ("bash_code_execution_20250124", false),
        ("my_bash_20250124", false),
    ] {
        assert_eq!(is_version_of(kind, "bash_"), expected, "{kind}");
    }
}

#[test]
fn content_of_another_shape_is_refused() {
    for (body, field) in [
        (r#"{"model":"a","messages":5}"#, "messages"),
        (r#"{"model":"a","messages":[{"content":[{"type":5}]}]}"#, "messages"),
        (r#"{"model":"a","system":5}"#, "system"),
        (r#"{"model":"a","cache_control":5}"#, "cache_control"),
        (r#"{"model":"a","tools":[{"cache_control":5}]}"#, "cache_control"),
        (r#"{"model":"a","speed":5}"#, "speed"),
    ] {
        let error = parse(body.as_bytes()).unwrap_err();
        assert!(
            matches!(error, RequestError::Invalid(name, _) if name == field),
            "{body}: {error:?}"
        );
    }
    assert_eq!(parse(b"[").unwrap_err(), RequestError::Json { line: 1, column: 1 });
    assert_eq!(parse(b"{\n").unwrap_err(), RequestError::Json { line: 2, column: 0 });
}

/// A request whose one message has these blocks.
fn blocks(blocks: &str) -> MessagesRequest {
    read(&format!(r#"{{"model":"a","messages":[{{"content":[{blocks}]}}]}}"#))
}

#[test]
fn files_held_upstream_are_noticed_by_each_of_their_marks() {
    for block in [
        r#"{"type":"image","source":{"type":"file"}}"#,
        r#"{"type":"image","source":{"file_id":"f"}}"#,
        r#"{"type":"container_upload"}"#,
        r#"{"type":"future","file_id":"f"}"#,
    ] {
        assert!(blocks(block).uses_stored_file, "{block}");
    }
    let plain = r#"{"type":"image","source":{"type":"url","url":"file_id"}},{"type":"text"}"#;
    assert!(!blocks(plain).uses_stored_file);
}

#[test]
fn documents_that_stand_in_the_body_are_text_and_what_is_within_them_counts() {
    let image = r#"{"type":"image","source":{"type":"base64","data":"AAAA"}}"#;
    let document =
        format!(r#"{{"type":"document","source":{{"type":"content","content":[{image}]}}}}"#);
    let request = blocks(&document);
    assert_eq!((request.documents, request.images), (0, 1));
    let encoded = blocks(r#"{"type":"document","source":{"type":"base64","data":"AAAA"}}"#);
    assert_eq!((encoded.documents, encoded.remote_documents, encoded.images), (1, 0, 0));
    assert_eq!(blocks(r#"{"type":"document","source":{"type":"text","data":"A"}}"#).documents, 0);
}

#[test]
fn names_may_be_escaped_or_null_and_content_may_be_text_or_null() {
    assert_eq!(blocks(r#"{"typ\u0065":"im\u0061ge"},{"type":null},null,"text""#).images, 1);
    let request =
        read(r#"{"model":"a","system":"text","messages":[{"content":"é"},{"content":null}]}"#);
    assert_eq!((request.images, request.other_bytes), (0, 2));
}

#[test]
fn one_content_that_asks_for_the_longer_cache_is_enough() {
    let request = blocks(r#"{"cache_control":{"ttl":"1h"}},{"cache_control":{"ttl":"5m"}}"#);
    assert!(request.uses_1h_cache && request.uses_cache);
    let request = blocks(r#"{"cache_control":{"ttl":"5m"}}"#);
    assert!(!request.uses_1h_cache && request.uses_cache);
    let request = read(r#"{"model":"a","messages":[{"cache_control":{"ttl":"1h"}}]}"#);
    assert!(request.uses_1h_cache);
    assert!(!blocks(r#"{"input":{"cache_control":{"ttl":"1h"}}}"#).uses_cache);
}

fn error(body: &str) -> RequestError {
    parse(body.as_bytes()).unwrap_err()
}

#[test]
fn the_tools_and_fallbacks_of_a_request_have_no_names_in_disguise() {
    let twin = RequestError::Twin;
    for (body, expected) in [
        (r#"{"model":"a","MAX_TOKENS":64000}"#, twin("The request body", "max_tokens")),
        (r#"{"model":"a","Container":"x"}"#, twin("The request body", "container")),
        (r#"{"model":"a","tools":[{"Type":"code_execution_20260120"}]}"#, twin("tools", "type")),
        (r#"{"model":"a","tools":[{"type":"x","Max_uses":9}]}"#, twin("tools", "max_uses")),
        (r#"{"model":"a","tools":[{"type":"x","maxUses":9}]}"#, twin("tools", "max_uses")),
        (r#"{"model":"a","tools":[{},{"MODEL":"b"}]}"#, twin("tools", "model")),
        (
            r#"{"model":"a","tools":[{"Cache_control":{"ttl":"1h"}}]}"#,
            twin("tools", "cache_control"),
        ),
        (r#"{"model":"a","fallbacks":[{"Model":"b"}]}"#, twin("fallbacks", "model")),
        (
            r#"{"model":"a","fallbacks":[{"model":"b","maxTokens":9}]}"#,
            twin("fallbacks", "max_tokens"),
        ),
        (
            r#"{"model":"a","fallbacks":[{"model":"b","\u017fpeed":"fast"}]}"#,
            twin("fallbacks", "speed"),
        ),
        (r#"{"model":"a","fallbacks":[{"model":"b","Tools":[]}]}"#, twin("fallbacks", "tools")),
    ] {
        assert_eq!(error(body), expected, "{body}");
    }
    // A schema's own names are nobody's.
    read(r#"{"model":"a","tools":[{"name":"own","input_schema":{"Type":"object","Model":1}}]}"#);
}

#[test]
fn an_entry_of_fallbacks_brings_nothing_that_is_priced_or_refused_at_the_top() {
    for name in ["tools", "inference_geo", "container", "thread", "fallbacks", "messages"] {
        let body = format!(r#"{{"model":"a","fallbacks":[{{"model":"b","{name}":null}}]}}"#);
        assert_eq!(error(&body), RequestError::Within("fallbacks", name));
    }
    let allowed = r#"{"model":"b","thinking":{"type":"disabled"},"output_config":{},"new":1}"#;
    let request = read(&format!(r#"{{"model":"a","fallbacks":[{allowed}]}}"#));
    assert_eq!(request.fallbacks.list().len(), 1);
}

#[test]
fn the_upstream_may_be_asked_to_pick_the_fallback_and_no_other_word_is_known() {
    assert_eq!(read(r#"{"model":"a","fallbacks":"default"}"#).fallbacks, Fallbacks::Default);
    assert_eq!(read(r#"{"model":"a","fallbacks":"def\u0061ult"}"#).fallbacks, Fallbacks::Default);
    assert_eq!(read(r#"{"model":"a","fallbacks":[]}"#).fallbacks, Fallbacks::None);
    for value in
        [r#""Default""#, r#""none""#, r#""""#, "5", "{}", "[null]", r#"["default"]"#, "[{}]"]
    {
        let error = error(&format!(r#"{{"model":"a","fallbacks":{value}}}"#));
        assert!(matches!(error, RequestError::Invalid("fallbacks", _)), "{value}: {error:?}");
    }
}

#[test]
fn a_name_that_stands_twice_in_a_tool_or_a_fallback_is_refused() {
    for (place, body) in [
        ("tools", r#"{"type":"bash_20250124","type":"code_execution_20260120"}"#),
        ("tools", r#"{"type":"x","max_uses":1,"max_uses":1000}"#),
        ("tools", r#"{"model":null,"model":"b"}"#),
        ("tools", r#"{"cache_control":null,"cache_control":{"ttl":"1h"}}"#),
        ("fallbacks", r#"{"model":"b","mod\u0065l":"c"}"#),
        ("fallbacks", r#"{"model":"b","max_tokens":1,"max_tokens":9}"#),
    ] {
        let error = error(&format!(r#"{{"model":"a","{place}":[{body}]}}"#));
        assert!(
            matches!(error, RequestError::Invalid(name, _) if name == place),
            "{body}: {error:?}"
        );
    }
}

#[test]
fn no_output_may_be_asked_for_and_no_use_of_a_tool_may_not() {
    assert_eq!(read(r#"{"model":"a","max_tokens":0}"#).max_tokens, Some(0));
    let none = error(r#"{"model":"a","tools":[{"type":"web_search_20250305","max_uses":0}]}"#);
    assert!(none.to_string().contains("max_uses"), "{none}");
}

#[test]
fn more_of_anything_than_is_allowed_ends_the_reading_at_once() {
    let bounds = RequestBounds { fields_max: 3, fallbacks_max: 2, tools_max: 2 };
    let read = |body: &str| super::parse(body.as_bytes(), &bounds);
    let many = RequestError::TooMany;
    assert!(
        read(r#"{"model":"a","tools":[{},{}],"fallbacks":[{"model":"b"},{"model":"b"}]}"#).is_ok()
    );
    let fields = "The fields of the request body";
    assert_eq!(read(r#"{"model":"a","b":1,"c":1,"d":1}"#).unwrap_err(), many(fields, 3));
    // What comes later is not looked at.
    let third = r#"{"model":"a","tools":[{},{},{},{"type":5}]}"#;
    assert_eq!(read(third).unwrap_err(), many("tools", 2));
    let third = r#"{"model":"a","fallbacks":[{"model":"b"},{"model":"b"},{"model":"b"},{}]}"#;
    assert_eq!(read(third).unwrap_err(), many("fallbacks", 2));
}

#[test]
fn the_largest_bodies_of_each_kind_are_refused_by_their_count() {
    let large = |open: &str, piece: &str, close: &str| {
        let pieces = piece.repeat(30_000_000 / piece.len());
        format!(r#"{{"model":"a",{open}{}{close}}}"#, pieces.trim_end_matches(','))
    };
    let fallback = r#"{"model":"claude-opus-5","speed":"fast"},"#;
    let many = |body: String| matches!(error(&body), RequestError::TooMany(..));
    assert!(many(large(r#""fallbacks":["#, fallback, "]")));
    assert!(many(large(r#""tools":["#, "{},", "]")));
    let names: Vec<String> = (0..3_000_000).map(|number| format!(r#","x{number}":1"#)).collect();
    assert!(many(format!(r#"{{"model":"a"{}}}"#, names.concat())));
}
