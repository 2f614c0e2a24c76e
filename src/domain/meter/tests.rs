//! What the meter lets go of a stream, and what it makes of the events in it.

use super::*;
use crate::domain::usage::{Iteration, IterationKind, TokenCounts};

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":\
    {\"model\":\"m\",\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\
    \"delta\":{\"type\":\"text_delta\",\"text\":\"123456789\"}}\n\n";
const FINAL: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\
    \"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\"}\n\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// More than any event of these tests.
const EVENT_BYTES: usize = 1_000_000;

fn fed(pieces: &[&str]) -> Meter {
    let mut meter = Meter::new(EVENT_BYTES);
    for piece in pieces {
        meter.feed(piece.as_bytes());
    }
    meter
}

fn len(pieces: &[&str]) -> u64 {
    pieces.iter().map(|piece| u64::try_from(piece.len()).unwrap()).sum()
}

/// A meter that has seen a `message_start` with this usage and a `message_delta` for each other.
fn reported(usages: &[&str]) -> Meter {
    let mut meter = Meter::new(EVENT_BYTES);
    for (index, usage) in usages.iter().enumerate() {
        let data = match index {
            0 => format!(r#"{{"type":"message_start","message":{{"model":"m","usage":{usage}}}}}"#),
            _ => format!(r#"{{"type":"message_delta","usage":{usage}}}"#),
        };
        // Each line of the data is one of the event.
        meter.feed(format!("data: {}\n\n", data.replace('\n', "\ndata: ")).as_bytes());
    }
    meter
}

#[test]
fn content_is_let_go_at_once_and_the_end_is_held() {
    let meter = fed(&[START, DELTA]);
    assert_eq!(meter.releasable(), len(&[START, DELTA]));
    assert!(!meter.has_stop_reason() && !meter.is_stopped());
    let meter = fed(&[START, DELTA, FINAL]);
    assert_eq!(meter.releasable(), len(&[START, DELTA]));
    assert!(meter.has_stop_reason() && !meter.is_stopped());
    let meter = fed(&[START, DELTA, FINAL, STOP, PING]);
    assert_eq!(meter.releasable(), len(&[START, DELTA]));
    assert!(meter.is_stopped() && meter.error().is_none());
    let meter = fed(&[START, STOP]);
    assert_eq!(meter.releasable(), len(&[START]), "a stop without a final delta");
}

#[test]
fn a_message_delta_without_a_stop_reason_is_not_the_end() {
    let early = "event: message_delta\ndata: {\"delta\":{\"stop_reason\":null},\
        \"usage\":{\"output_tokens\":5}}\n\n";
    let meter = fed(&[START, early]);
    assert_eq!(meter.releasable(), len(&[START, early]));
    assert!(!meter.has_stop_reason());
    assert_eq!(meter.reported().tokens.output, 5);
}

#[test]
fn an_unfinished_event_waits_for_its_rest() {
    for held in ["event: message_delta\nda", "event: message_stop\n", "event: error\ndata: {"] {
        assert_eq!(fed(&[START, held]).releasable(), len(&[START]), "{held:?}");
    }
    for content in ["event: content_block_delta\n", "event: ping\ndata: {", "event: message\n"] {
        assert_eq!(fed(&[START, content]).releasable(), len(&[START]), "{content:?}");
    }
    for unnamed in ["e", "event: content_block_de", "data: {\"type\":\"mess"] {
        assert_eq!(fed(&[START, unnamed]).releasable(), len(&[START]), "{unnamed:?}");
    }
}

#[test]
fn an_unfinished_event_is_held_up_to_a_size_and_not_beyond() {
    let most = usize::try_from(UNFINISHED_HOLD_BYTES).unwrap();
    let short = "x".repeat(most - 1);
    assert_eq!(fed(&[START, &short]).releasable(), len(&[START]));
    let long = "x".repeat(most);
    assert_eq!(fed(&[START, &long]).releasable(), len(&[START, &long]));
}

#[test]
fn an_error_is_kept_with_its_position_and_held() {
    let meter = fed(&[START, DELTA, ERROR, PING]);
    assert_eq!(meter.error(), Some(&br#"{"type":"error"}"#[..]));
    assert_eq!(meter.whole_until(), len(&[START, DELTA]));
    assert_eq!(meter.releasable(), len(&[START, DELTA]));
    assert!(!meter.is_stopped());
}

#[test]
fn what_comes_first_is_content_or_an_error_and_never_a_ping() {
    assert_eq!(fed(&[]).first_event(), None);
    assert_eq!(fed(&[": note\n\n", PING, "data: {\"type\":\"ping\"}\n\n"]).first_event(), None);
    assert_eq!(fed(&[PING, START, ERROR]).first_event(), Some(FirstEvent::Content));
    assert_eq!(fed(&[PING, ERROR, START]).first_event(), Some(FirstEvent::Error));
    assert_eq!(fed(&["data: no json\n\n"]).first_event(), Some(FirstEvent::Content));
}

#[test]
fn events_without_a_name_go_by_their_type() {
    let named = [START, DELTA, FINAL, STOP];
    let unnamed = named.map(|event| event.split_once('\n').unwrap().1);
    let (named, unnamed_meter) = (fed(&named), fed(&unnamed));
    assert_eq!(unnamed_meter.reported(), named.reported());
    assert_eq!(unnamed_meter.deltas.total(), 9);
    assert!(unnamed_meter.is_stopped());
    assert_eq!(unnamed_meter.releasable(), len(&unnamed[..2]));
    let error = fed(&["data: {\"type\":\"error\"}\n\n"]);
    assert_eq!(error.first_event(), Some(FirstEvent::Error));
}

#[test]
fn what_cannot_be_read_is_told_once_and_a_final_delta_among_it_is_held() {
    for name in ["message_start", "content_block_start", "message_delta"] {
        let event = format!("event: {name}\ndata: {{\n\n");
        let meter = fed(&[DELTA, &event, &event]);
        assert_eq!(
            meter.anomalies(),
            [Anomaly::UnreadableEvent, Anomaly::RepeatedStart]
                .get(..if name == "message_start" { 2 } else { 1 })
                .unwrap(),
            "{name}"
        );
        let is_held = meter.releasable() == len(&[DELTA]);
        assert_eq!(is_held, name == "message_delta", "{name}");
    }
    assert_eq!(reported(&[r#""text""#]).anomalies(), [Anomaly::UnreadableEvent]);
    assert!(reported(&["null", "null"]).anomalies().is_empty());
    assert_eq!(fed(&[START, START]).anomalies(), [Anomaly::RepeatedStart]);
    assert!(fed(&[START, DELTA, FINAL, STOP]).anomalies().is_empty());
}

#[test]
fn anomalies_have_names_of_their_own() {
    let all = [
        (Anomaly::BadCount, "usage: not a count"),
        (Anomaly::FallingCount, "usage: a count fell"),
        (Anomaly::UnsplitCacheWrite, "usage: cache writes beyond their split"),
        (Anomaly::SplitBeyondTotal, "usage: a cache split beyond its total"),
        (Anomaly::UnknownIteration, "usage: unknown kind of iteration"),
        (Anomaly::UnreadableEvent, "an event cannot be read"),
        (Anomaly::RepeatedStart, "a second message_start"),
    ];
    for (anomaly, name) in all {
        assert_eq!(anomaly.as_str(), name);
    }
}

#[test]
fn blocks_that_are_neither_text_nor_a_call_may_hide_work() {
    let hides = |kinds: &[&str]| {
        let mut meter = Meter::new(EVENT_BYTES);
        for kind in kinds {
            let data = format!(r#"{{"content_block":{{"type":"{kind}"}}}}"#);
            meter.feed(format!("event: content_block_start\ndata: {data}\n\n").as_bytes());
        }
        meter.has_hidden_work()
    };
    assert!(!hides(&[]) && !hides(&["text", "tool_use"]));
    assert!(hides(&["thinking"]) && hides(&["server_tool_use", "text"]));
}

#[test]
fn what_was_delivered_is_the_larger_of_report_and_estimate() {
    // Nine bytes of content, one token reported.
    let mut meter = fed(&[START, DELTA]);
    assert_eq!(meter.delivered_deltas().total(), 0, "nothing went out");
    meter.note_forwarded(len(&[START, DELTA]));
    assert_eq!(meter.delivered_deltas().total(), 9);
    for (symbols, output, is_estimated) in
        [(3_000, 3, true), (4_000, 2, true), (9_000, 1, false), (9_001, 1, false)]
    {
        let figures = BytesPerToken { symbols, ..BytesPerToken::SAFE };
        let (usage, flag) = meter.delivered(&figures);
        assert_eq!((usage.tokens.output, flag), (output, is_estimated), "{symbols}");
        assert_eq!(usage.tokens.input, 10);
        assert_eq!(meter.output_so_far(&figures), output);
    }
    let meter = fed(&[START, DELTA, FINAL]);
    let figures = BytesPerToken { symbols: 3_000, ..BytesPerToken::SAFE };
    assert_eq!(meter.delivered(&figures), (meter.reported(), false));
    assert_eq!(meter.output_so_far(&figures), 7);
}

#[test]
fn a_delta_beyond_what_is_kept_counts_with_its_frame() {
    let mut meter = Meter::new(50);
    meter.feed(DELTA.as_bytes());
    let data = DELTA.lines().nth(1).unwrap().strip_prefix("data: ").unwrap();
    assert_eq!(meter.deltas.total(), len(&[data]));
}

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
}

#[test]
fn the_record_of_passes_is_kept_as_reported_and_the_newest_list_that_counts_no_less() {
    let entry = |kind: &str, output: u32| {
        format!(
            r#"{{"type":"{kind}","model":"{kind}-model","input_tokens":1,"output_tokens":{output}}}"#
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
            "event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}},\"usage\":{{\"output_tokens\":{output}}}}}\n\n"
        )
    };
    let block = |kind: &str, text: &str| {
        format!(
            "event: content_block_start\ndata: {{\"content_block\":{{\"type\":\"{kind}\",\"text\":\"{text}\"}}}}\n\n"
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
    let json = |content: &str, reason: &str, output: u32| {
        let body = format!(
            r#"{{"content":{content},"stop_reason":"{reason}","usage":{{"input_tokens":5,"output_tokens":{output}}}}}"#
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
fn an_error_in_another_shape_is_an_error() {
    for data in [
        r#"{"error":{"message":"overloaded"}}"#,
        r#"{"type":"failure","error":"overloaded"}"#,
        r#"{"object":"error","error":{"code":500}}"#,
    ] {
        for name in ["", "event: message\n"] {
            let meter = fed(&[&format!("{name}data: {data}\n\n")]);
            assert_eq!(meter.first_event(), Some(FirstEvent::Error), "{name}{data}");
            assert_eq!(meter.error(), Some(data.as_bytes()));
        }
    }
    let named = fed(&["event: later\ndata: {\"error\":null}\n\n"]);
    assert_eq!(named.first_event(), Some(FirstEvent::Content));
}

#[test]
fn e1_a_last_event_that_lacks_only_its_end_counts_at_the_end_of_the_body() {
    let ended = |last: &str| {
        let mut meter = fed(&[START, DELTA, FINAL, last]);
        meter.end();
        meter
    };
    for last in
        [STOP.trim_end(), STOP.strip_suffix('\n').unwrap(), "data: {\"type\":\"message_stop\"}"]
    {
        assert!(ended(last).is_stopped(), "{last:?}");
    }
    let cut = ended("event: message_stop\ndata: {\"type\":\"mess");
    assert!(!cut.is_stopped());
    assert_eq!(cut.whole_until(), len(&[START, DELTA, FINAL]));
}

#[test]
fn blocks_that_were_begun_are_known_to_have_ended() {
    let start = "event: content_block_start\ndata: {\"content_block\":{\"type\":\"text\"}}\n\n";
    let stop = "event: content_block_stop\ndata: {\"index\":0}\n\n";
    assert!(!fed(&[START]).has_closed_blocks());
    assert!(!fed(&[START, start]).has_closed_blocks());
    assert!(fed(&[START, start, stop]).has_closed_blocks());
    assert!(!fed(&[START, start, stop, start]).has_closed_blocks());
    let thinking = start.replace("text", "thinking");
    assert!(fed(&[START, &thinking]).is_hiding());
    assert!(!fed(&[START, &thinking, stop]).is_hiding() && !fed(&[START, start]).is_hiding());
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
    assert!(answer.has_usage);
    let empty = read_json_answer(b"{}").unwrap();
    assert!(!empty.has_usage && empty.content.total() == 0 && empty.anomalies.is_empty());
    assert!(read_json_answer(b"[]").is_none() && read_json_answer(b"{").is_none());
}
