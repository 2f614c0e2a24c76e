//! What the meter makes of the usage objects of one answer.

use super::tests::{DELTA, START, STOP, fed, len, reported};
use super::*;
use crate::domain::usage::{Iteration, IterationKind, TokenCounts};

#[test]
fn a_present_count_replaces_and_a_missing_one_keeps() {
    let all = r#"{"input_tokens":10,"output_tokens":1,"cache_read_input_tokens":5,
        "cache_creation_input_tokens":7,
        "cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},
        "server_tool_use":{"web_search_requests":1},
        "service_tier":"standard","inference_geo":"us","speed":"fast"}"#;
    let first = reported(&[all]).reported();
    let tokens =
        TokenCounts { input: 10, output: 1, cache_write_5m: 3, cache_write_1h: 4, cache_read: 5 };
    let expected = Usage {
        served_model: Some("m".to_owned()),
        tokens,
        web_searches: 1,
        service_tier: Some("standard".to_owned()),
        inference_geo: Some("us".to_owned()),
        speed: Some("fast".to_owned()),
        ..Usage::default()
    };
    assert_eq!(first, expected);
    let later = r#"{"input_tokens":null,"output_tokens":6,"inference_geo":null,
        "server_tool_use":{"web_search_requests":2},"speed":"standard"}"#;
    let meter = reported(&[all, later]);
    let expected = Usage {
        tokens: TokenCounts { output: 6, ..first.tokens },
        web_searches: 2,
        speed: Some("standard".to_owned()),
        ..expected
    };
    assert_eq!(meter.reported(), expected);
    assert!(meter.anomalies().is_empty());
}

#[test]
fn input_or_output_is_a_usage_and_nothing_else_is() {
    assert!(reported(&[r#"{"input_tokens":0}"#]).has_usage());
    assert!(reported(&[r#"{"output_tokens":0}"#]).has_usage());
    assert!(!reported(&[r#"{"cache_read_input_tokens":5}"#]).has_usage());
    assert!(!reported(&["null"]).has_usage());
}

#[test]
fn a_prompt_of_no_tokens_is_not_counted_yet_nor_one_without_a_usage() {
    for (usage, expected) in [
        (r#"{"input_tokens":1}"#, true),
        (r#"{"input_tokens":0,"cache_read_input_tokens":5}"#, true),
        (r#"{"output_tokens":0,"cache_creation_input_tokens":5}"#, true),
        (r#"{"input_tokens":0,"output_tokens":9}"#, false),
        (r#"{"cache_read_input_tokens":5}"#, false),
        ("null", false),
    ] {
        assert_eq!(reported(&[usage]).has_prompt(), expected, "{usage}");
    }
}

#[test]
fn a_count_never_falls_and_what_is_no_count_is_told() {
    let counts = |later: &str| {
        let meter = reported(&[r#"{"output_tokens":5}"#, later]);
        (meter.reported().tokens.output, meter.anomalies().to_vec())
    };
    assert_eq!(counts(r#"{"output_tokens":5}"#), (5, vec![]));
    assert_eq!(counts(r#"{"output_tokens":4}"#), (5, vec![Anomaly::FallingCount]));
    assert_eq!(counts(r#"{"output_tokens":9007199254740992}"#), (1 << 53, vec![]));
    for bad in ["-1", "6.5", "\"6\"", "9007199254740993", "[6]"] {
        let found = counts(&format!(r#"{{"output_tokens":{bad}}}"#));
        assert_eq!(found, (5, vec![Anomaly::BadCount]), "{bad}");
        let bad = format!(r#"{{"output_tokens":{bad}}}"#);
        assert!(reported(&[r#"{"output_tokens":5}"#, &bad]).has_unread_output(), "{bad}");
        // What comes later and is a count says it again; what says nothing does not.
        assert!(!reported(&[&bad, r#"{"output_tokens":5}"#]).has_unread_output(), "{bad}");
        assert!(reported(&[&bad, r#"{"output_tokens":null}"#]).has_unread_output(), "{bad}");
    }
}

#[test]
fn cache_writes_beyond_their_split_are_of_the_five_minute_class_and_told() {
    let written = |usage: &str| {
        let meter = reported(&[usage]);
        let tokens = meter.reported().tokens;
        (tokens.cache_write_5m, tokens.cache_write_1h, meter.anomalies().to_vec())
    };
    assert_eq!(written(r#"{"cache_creation_input_tokens":7}"#), (7, 0, vec![]));
    let split = |total: u32| {
        let split = r#"{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":4}"#;
        written(&format!(r#"{{"cache_creation_input_tokens":{total},"cache_creation":{split}}}"#))
    };
    // More in the parts than in the whole: the whole counts, the dearer part first.
    assert_eq!(split(5), (1, 4, vec![Anomaly::SplitBeyondTotal]));
    assert_eq!(split(3), (0, 3, vec![Anomaly::SplitBeyondTotal]));
    assert_eq!(split(6), (2, 4, vec![]));
    assert_eq!(split(9), (5, 4, vec![Anomaly::UnsplitCacheWrite]));
    // One part alone is a split, too.
    let short = r#"{"cache_creation":{"ephemeral_5m_input_tokens":2}}"#;
    let long = r#"{"cache_creation":{"ephemeral_1h_input_tokens":4}}"#;
    assert_eq!((written(short), written(long)), ((2, 0, vec![]), (0, 4, vec![])));
}

#[test]
fn the_record_of_passes_is_kept_as_reported_and_the_newest_list_that_counts_no_less() {
    let entry = |kind: &str, output: u32| {
        format!(
            r#"{{"type":"{kind}","model":"{kind}-model","input_tokens":1,
                "output_tokens":{output}}}"#
        )
    };
    let list = |entries: &[String]| format!(r#"{{"iterations":[{}]}}"#, entries.join(","));
    let read = |kind, name: &str, output| Iteration {
        kind,
        model: Some(format!("{name}-model")),
        tokens: TokenCounts { input: 1, output, ..TokenCounts::default() },
    };
    let first = list(&[entry("message", 9), entry("compaction", 2)]);
    let expected = [
        read(IterationKind::Message, "message", 9),
        read(IterationKind::Compaction, "compaction", 2),
    ];
    let meter = reported(&[&first]);
    assert_eq!(meter.reported().iterations, expected);
    assert_eq!(meter.reported().served_model.as_deref(), Some("m"));
    assert!(meter.anomalies().is_empty());
    let second = list(&[entry("compaction", 9), entry("advisor_message", 3)]);
    let meter = reported(&[&first, &second]);
    let expected = [
        read(IterationKind::Compaction, "compaction", 9),
        read(IterationKind::AdvisorMessage, "advisor_message", 3),
    ];
    assert_eq!(meter.reported().iterations, expected);
    let meter = reported(&[&second, &list(&[])]);
    assert_eq!(meter.reported().iterations, expected);
    assert_eq!(meter.anomalies(), [Anomaly::FallingCount]);
    let meter = reported(&[&list(&[entry("fallback_message", 4)])]);
    assert_eq!(meter.reported().served_model.as_deref(), Some("fallback_message-model"));
    let meter = reported(&[&list(&[entry("future", 5)])]);
    assert!(meter.reported().iterations.is_empty());
    assert_eq!(meter.anomalies(), [Anomaly::UnknownIteration]);
}

#[test]
fn a_later_report_replaces_the_prompt_as_a_whole_unless_it_counts_less() {
    let tokens = |reports: &[&str]| reported(reports).reported().tokens;
    let prompt = |input, short, long, read| TokenCounts {
        input,
        output: 0,
        cache_write_5m: short,
        cache_write_1h: long,
        cache_read: read,
    };
    let split = |total: u64, short: u64, long: u64| {
        format!(
            r#"{{"input_tokens":1,"cache_creation_input_tokens":{total},"cache_creation":
            {{"ephemeral_5m_input_tokens":{short},"ephemeral_1h_input_tokens":{long}}}}}"#
        )
    };
    // bill-and-upstreams A 02: the same total, written for another time.
    let flipped = tokens(&[&split(463_184, 0, 463_184), &split(463_184, 463_184, 0)]);
    assert_eq!(flipped, prompt(1, 463_184, 0, 0));
    // A relay that tells late what was read from the cache.
    let late = tokens(&[
        r#"{"input_tokens":100000}"#,
        r#"{"input_tokens":1000,"cache_read_input_tokens":99000}"#,
    ]);
    assert_eq!(late, prompt(1_000, 0, 0, 99_000));
    // One that answers zeros at the end.
    let zeros = tokens(&[
        &split(500, 200, 300),
        r#"{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}"#,
    ]);
    assert_eq!(zeros, prompt(1, 200, 300, 0));
    // What was written turns out to be read: a token is in one class.
    let moved = tokens(&[
        &split(500, 0, 500),
        r#"{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":500}"#,
    ]);
    assert_eq!(moved, prompt(1, 0, 0, 500));
    // More of a prompt, as a search brings in.
    let more = tokens(&[r#"{"input_tokens":10}"#, r#"{"input_tokens":5000}"#]);
    assert_eq!(more, prompt(5_000, 0, 0, 0));
}

#[test]
fn a_refusal_before_any_output_is_marked_and_one_behind_it_is_not() {
    let refused = |events: &[&str]| {
        let mut meter = fed(events);
        meter.end();
        meter.reported().is_refused
    };
    let end = |reason: &str, output: u32| {
        format!(
            "event: message_delta\ndata: \
             {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}},\
             \"usage\":{{\"output_tokens\":{output}}}}}\n\n"
        )
    };
    let block = |kind: &str, text: &str| {
        format!(
            "event: content_block_start\ndata: \
             {{\"content_block\":{{\"type\":\"{kind}\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let empty = block("text", "");
    for output in [0, 1] {
        let end = end("refusal", output);
        assert!(refused(&[START, &end, STOP]), "{output}");
        assert!(refused(&[START, &empty, &end, STOP]), "{output}");
        assert!(!refused(&[START, DELTA, &end]), "content came");
        assert!(!refused(&[START, &block("text", "x"), &end]));
        assert!(!refused(&[START, &block("server_tool_use", ""), &end]));
    }
    assert!(!refused(&[START, &end("refusal", 2), STOP]), "output was counted");
    assert!(!refused(&[START, &end("end_turn", 0), STOP]));
    // Of a chain of fallbacks, the content may be what an earlier attempt wrote.
    for (kind, expected) in [("message", false), ("compaction", false), ("fallback_message", true)]
    {
        let entry = format!(r#"{{"iterations":[{{"type":"{kind}"}}],"output_tokens""#);
        let end = end("refusal", 0).replace("{\"output_tokens\"", &entry);
        assert_eq!(refused(&[START, DELTA, &end]), expected, "{kind}");
    }
    let json = |content: &str, reason: &str, output: u32| {
        let body = format!(
            r#"{{"content":{content},"stop_reason":"{reason}","usage":{{"input_tokens":5,
                "output_tokens":{output}}}}}"#
        );
        read_json_answer(body.as_bytes()).unwrap().usage.is_refused
    };
    assert!(json("[]", "refusal", 1) && json("null", "refusal", 0));
    assert!(json(r#"[{"type":"text","text":""}]"#, "refusal", 0));
    assert!(!json(r#"[{"type":"text","text":"I"}]"#, "refusal", 1));
    assert!(!json(r#"[{"type":"tool_use"}]"#, "refusal", 1));
    assert!(!json("[]", "refusal", 2) && !json("[]", "end_turn", 0));
}

#[test]
fn names_from_the_wire_are_cut_where_no_real_one_is_so_long() {
    let tier = |len: usize| {
        let usage = format!(r#"{{"service_tier":"{}"}}"#, "t".repeat(len));
        reported(&[&usage]).reported().service_tier.unwrap().len()
    };
    assert_eq!((tier(8), tier(128), tier(129)), (8, 128, 128));
    assert_eq!(reported(&[r#"{"service_tier":5}"#]).reported().service_tier, None);
    // No database takes every control character.
    let odd = r#"{"service_tier":"a\u0000b\u007f\nc","speed":"\u0085"}"#;
    let usage = reported(&[odd]).reported();
    assert_eq!((usage.service_tier.as_deref(), usage.speed.as_deref()), (Some("abc"), Some("")));
}

#[test]
fn a_json_answer_tells_its_usage_and_the_size_of_its_content() {
    let body = r#"{"model":"m","content":[{"text":"abc"}],
        "usage":{"input_tokens":3,"output_tokens":-1}}"#;
    let answer = read_json_answer(body.as_bytes()).unwrap();
    assert_eq!(answer.usage.served_model.as_deref(), Some("m"));
    assert_eq!(answer.usage.tokens.input, 3);
    assert_eq!(answer.content.total(), len(&[r#"[{"text":"abc"}]"#]));
    assert_eq!(answer.anomalies, [Anomaly::BadCount]);
    assert!(answer.has_usage && answer.has_unread_output);
    let empty = read_json_answer(b"{}").unwrap();
    assert!(!empty.has_usage && empty.content.total() == 0 && empty.anomalies.is_empty());
    assert!(read_json_answer(b"[]").is_none() && read_json_answer(b"{").is_none());
}
