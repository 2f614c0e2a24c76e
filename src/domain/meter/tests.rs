//! What the meter lets go of a stream, and what it makes of the events in it.

use super::*;

pub(super) const START: &str = "event: message_start\ndata: \
    {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":10,\
    \"output_tokens\":1}}}\n\n";
pub(super) const DELTA: &str = "event: content_block_delta\ndata: \
    {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\
    \"text\":\"123456789\"}}\n\n";
const FINAL: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\
    \"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n";
pub(super) const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\"}\n\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// More than any event of these tests.
const EVENT_BYTES: usize = 1_000_000;

pub(super) fn fed(pieces: &[&str]) -> Meter {
    let mut meter = Meter::new(EVENT_BYTES);
    for piece in pieces {
        meter.feed(piece.as_bytes());
    }
    meter
}

pub(super) fn len(pieces: &[&str]) -> u64 {
    pieces.iter().map(|piece| u64::try_from(piece.len()).unwrap()).sum()
}

/// A meter that has seen a `message_start` with this usage and a `message_delta` for each other.
pub(super) fn reported(usages: &[&str]) -> Meter {
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
    for data in ["no json", r#"{"type":"later"}"#, r#"{"type":"later","error":null}"#] {
        let meter = fed(&[&format!("data: {data}\n\n")]);
        assert_eq!(meter.first_event(), Some(FirstEvent::Content), "{data}");
    }
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
        let figures = TokenFigures { symbols, ..TokenFigures::SAFE };
        let (usage, flag) = meter.delivered(&figures);
        assert_eq!((usage.tokens.output, flag), (output, is_estimated), "{symbols}");
        assert_eq!(usage.tokens.input, 10);
        assert_eq!(meter.output_so_far(&figures), output);
    }
    let meter = fed(&[START, DELTA, FINAL]);
    let figures = TokenFigures { symbols: 3_000, ..TokenFigures::SAFE };
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
    for last in [
        STOP.trim_end(),
        STOP.strip_suffix('\n').unwrap(),
        "data: {\"type\":\"message_stop\"}",
        "event: message_stop\ndata: {}",
    ] {
        assert!(ended(last).is_stopped(), "{last:?}");
    }
    // Only the end is: of anything else nobody knows whether it is whole.
    assert_eq!(ended(ERROR.trim_end()).error(), None);
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
