//! What the meter says of a stream that has been read up to any byte.

use proptest::prelude::*;

use super::*;

/// A byte for each token, so that tokens count bytes.
const BYTES: &TokenFigures = &TokenFigures { words: 1_000, ..TokenFigures::SAFE };

const STREAM: &str = "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":9}}}\n\
    \nevent: content_block_delta\ndata: \
    {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"first\\n\"}}\n\
    \n: a comment\n\nevent:content_block_delta\r\n\
    data:{\"type\":\"content_block_delta\",\"delta\":\r\ndata:{\"text\":\"in \\u00e9 two \
    lines\"}}\r\n\r\ndata: \
    {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"unnamed\"}}\n\
    \nevent: content_block_delta\ndata: \
    {\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\"}}\n\n";

fn fed(chunks: &[&[u8]], limit: usize) -> Meter {
    let mut meter = Meter::new(limit);
    for chunk in chunks {
        meter.feed(chunk);
    }
    meter
}

/// What has come. What went out is the same, or less by an event that waits for its rest.
fn output(meter: &mut Meter) -> u64 {
    let exact = meter.output_so_far(BYTES);
    assert!(meter.output_ceiling(BYTES) >= exact);
    meter.note_forwarded(meter.releasable());
    let delivered = meter.delivered(BYTES).0.tokens.output;
    if meter.releasable() == meter.sse.position() {
        assert_eq!(delivered, exact);
    } else {
        assert!(delivered <= exact, "{delivered} of {exact}");
    }
    exact
}

fn delta_of(bytes: usize) -> String {
    let text = "x".repeat(bytes);
    format!(
        "event: content_block_delta\ndata: \
         {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\
         \"text\":\"{text}\"}}}}\n\n"
    )
}

#[test]
fn e8_a_huge_delta_counts_while_it_comes_and_once() {
    let event = delta_of(360_000);
    let mut meter = Meter::new(1 << 20);
    let mut seen = 0;
    for chunk in event.as_bytes().chunks(4096) {
        meter.feed(chunk);
        seen += chunk.len();
        let (least, most) = (seen.saturating_sub(150), seen.min(360_000));
        let output = output(&mut meter);
        assert!((least..=most).contains(&usize::try_from(output).unwrap()), "{output} of {seen}");
    }
    assert_eq!(output(&mut meter), 360_000);
}

#[test]
fn e8_beyond_what_is_kept_of_an_event_its_bytes_count_as_they_are() {
    let event = delta_of(150_000);
    let (begun, _) = event.split_at(140_000);
    let mut meter = fed(&[begun.as_bytes()], 1000);
    assert!((139_950..=140_000).contains(&output(&mut meter)), "{}", output(&mut meter));
    let whole = output(&mut fed(&[event.as_bytes()], 1000));
    assert!((150_000..150_100).contains(&whole), "{whole}");
}

#[test]
fn what_is_held_back_or_is_no_delta_does_not_count() {
    let long = "y".repeat(100_000);
    let begun = [
        format!("event: ping\ndata: {{\"delta\":{{\"text\":\"{long}"),
        format!("event: content_block_start\ndata: {{\"delta\":{{\"text\":\"{long}"),
        format!("data: {{\"type\":\"ping\",\"delta\":{{\"text\":\"{long}"),
    ];
    for text in &begun {
        assert_eq!(output(&mut fed(&[text.as_bytes()], 1 << 20)), 0, "{text:.80}");
    }
    // A short one has come, and waits for its rest.
    let mut short = fed(
        &[
            b"event: content_block_delta\n",
            br#"data: {"type":"content_block_delta","delta":{"text":"short"#,
        ],
        1 << 20,
    );
    assert_eq!(output(&mut short), 5);
    assert_eq!(short.delivered(BYTES).0.tokens.output, 0);
    let unnamed = format!("data: {{\"type\":\"content_block_delta\",\"delta\":{{\"text\":\"{long}");
    assert_eq!(output(&mut fed(&[unnamed.as_bytes()], 1 << 20)), 100_000);
}

proptest! {
    #[test]
    fn at_any_byte_the_estimate_is_the_same_for_any_split_and_no_more_than_the_whole(
        end in 0..=STREAM.len(),
        cuts in proptest::collection::vec(0..=STREAM.len(), 0..12),
        limit in 40_usize..400,
    ) {
        let read = &STREAM.as_bytes()[..end];
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(end)).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([end]) {
            chunks.push(&read[from..cut]);
            from = cut;
        }
        let split = output(&mut fed(&chunks, limit));
        prop_assert_eq!(split, output(&mut fed(&[read], limit)));
        let whole = output(&mut fed(&[STREAM.as_bytes()], limit));
        prop_assert!(split <= whole, "{split} of {whole}");
    }
}
