//! Each case of a bill: where it comes from, what was asked and reported, and what is right.

/// A request as far as its bill depends on it.
pub(super) struct Asked {
    pub(super) models: &'static [&'static str],
    pub(super) max_output: u64,
    pub(super) turns: u64,
    pub(super) searches: u64,
}

pub(super) const fn plain(models: &'static [&'static str]) -> Asked {
    Asked { models, max_output: 10_000, turns: 1, searches: 0 }
}

/// A case: where it comes from, what was asked, the usage objects in their order, why it stopped
/// and whether it wrote anything, and the right bill in nano-dollars.
pub(super) struct Case {
    pub(super) source: &'static str,
    pub(super) asked: Asked,
    pub(super) reports: &'static [&'static str],
    pub(super) stop: (&'static str, bool),
    pub(super) bill: i64,
    pub(super) is_bounded: bool,
}

const fn case(
    source: &'static str,
    asked: Asked,
    reports: &'static [&'static str],
    bill: i64,
) -> Case {
    Case { source, asked, reports, stop: ("end_turn", true), bill, is_bounded: false }
}

pub(super) const CASES: &[Case] = &[
    case(
        "bill A 02: the same 463,184 tokens written, first for an hour, then for five minutes",
        plain(&["claude-opus-5-5"]),
        &[
            r#"{"input_tokens":0,"cache_creation_input_tokens":463184,
                "cache_creation":{"ephemeral_5m_input_tokens":0,
                "ephemeral_1h_input_tokens":463184}}"#,
            r#"{"input_tokens":0,"output_tokens":10,"cache_creation_input_tokens":463184,
                "cache_creation":{"ephemeral_5m_input_tokens":463184,
                "ephemeral_1h_input_tokens":0}}"#,
        ],
        463_184 * 5_000 + 10 * 20_000,
    ),
    case(
        "own: three reports, each with another split, the last without one",
        plain(&["claude-opus-5-5"]),
        &[
            r#"{"input_tokens":5,"cache_creation_input_tokens":1000}"#,
            r#"{"input_tokens":5,"cache_creation_input_tokens":1000,
                "cache_creation":{"ephemeral_5m_input_tokens":400,
                "ephemeral_1h_input_tokens":600}}"#,
            r#"{"output_tokens":1,"cache_creation_input_tokens":1000}"#,
        ],
        5 * 4_000 + 400 * 5_000 + 600 * 8_000 + 20_000,
    ),
    case(
        "issue: a relay that reports late what was read from the cache",
        plain(&["claude-opus-5-5"]),
        &[
            r#"{"input_tokens":100000,"output_tokens":1}"#,
            r#"{"input_tokens":1000,"cache_read_input_tokens":99000,"output_tokens":100}"#,
        ],
        1_000 * 4_000 + 99_000 * 200 + 100 * 20_000,
    ),
    case(
        "own: a relay that answers zeros at the end",
        plain(&["claude-opus-5-5"]),
        &[
            r#"{"input_tokens":1000,"cache_read_input_tokens":500,"output_tokens":1}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,
                "output_tokens":9}"#,
        ],
        1_000 * 4_000 + 500 * 200 + 9 * 20_000,
    ),
    Case {
        stop: ("refusal", false),
        ..case(
            "bill A 03: a refusal before any output",
            plain(&["claude-opus-5-5"]),
            &[r#"{"input_tokens":50000,"output_tokens":1}"#],
            0,
        )
    },
    Case {
        stop: ("refusal", true),
        ..case(
            "own: a refusal behind output",
            plain(&["claude-opus-5-5"]),
            &[r#"{"input_tokens":50000,"output_tokens":300}"#],
            50_000 * 4_000 + 300 * 20_000,
        )
    },
    case(
        "bill A 04: the first model wrote 2,000 tokens, then declined",
        plain(&["claude-fable-5-2", "claude-opus-5-5"]),
        &[r#"{"input_tokens":40000,"output_tokens":1200,"iterations":[
            {"type":"message","model":"claude-fable-5-2","input_tokens":40000,"output_tokens":2000},
            {"type":"fallback_message","model":"claude-opus-5-5","input_tokens":40000,
            "output_tokens":1200}]}"#],
        40_000 * 8_000 + 2_000 * 40_000 + 40_000 * 4_000 + 1_200 * 20_000,
    ),
    case(
        "bill A 04: the second model wrote the prompt to its cache",
        plain(&["claude-fable-5-2", "claude-opus-5-5"]),
        &[r#"{"input_tokens":0,"cache_creation_input_tokens":40000,"output_tokens":1200,
                "iterations":[
            {"type":"message","model":"claude-fable-5-2","input_tokens":40000,"output_tokens":2000},
            {"type":"fallback_message","model":"claude-opus-5-5","input_tokens":0,
            "cache_creation_input_tokens":40000,"output_tokens":1200}]}"#],
        40_000 * 8_000 + 2_000 * 40_000 + 40_000 * 5_000 + 1_200 * 20_000,
    ),
    case(
        "own: an attempt that declined before output is free, also where its model is not named",
        plain(&["claude-fable-5-2", "claude-opus-5-5"]),
        &[r#"{"input_tokens":100,"output_tokens":10,"iterations":[
            {"type":"message","input_tokens":100,"output_tokens":0},
            {"type":"fallback_message","model":"claude-opus-5-5","input_tokens":100,
            "output_tokens":10}]}"#],
        100 * 4_000 + 10 * 20_000,
    ),
    case(
        "own: an attempt whose model is not named ran the one that was asked for",
        plain(&["claude-fable-5-2", "claude-opus-5-5"]),
        &[r#"{"input_tokens":100,"output_tokens":10,"iterations":[
            {"type":"message","input_tokens":100,"output_tokens":50},
            {"type":"fallback_message","model":"claude-opus-5-5","input_tokens":100,
            "output_tokens":10}]}"#],
        100 * 8_000 + 50 * 40_000 + 100 * 4_000 + 10 * 20_000,
    ),
    Case {
        stop: ("refusal", true),
        ..case(
            "own: the last of a chain refuses, and what the first one wrote is charged",
            plain(&["claude-fable-5-2", "claude-opus-5-5"]),
            &[r#"{"input_tokens":100,"output_tokens":0,"iterations":[
                {"type":"message","model":"claude-fable-5-2","input_tokens":100,"output_tokens":70},
                {"type":"fallback_message","model":"claude-opus-5-5","input_tokens":100,
                "output_tokens":0}]}"#],
            100 * 8_000 + 70 * 40_000,
        )
    },
    case(
        "own: a top level that is the sum over all attempts",
        plain(&["claude-fable-5-2", "claude-opus-5-5"]),
        &[r#"{"input_tokens":300,"output_tokens":80,"iterations":[
            {"type":"message","model":"claude-fable-5-2","input_tokens":100,"output_tokens":70},
            {"type":"fallback_message","model":"claude-opus-5-5","input_tokens":200,
            "output_tokens":10}]}"#],
        100 * 8_000 + 70 * 40_000 + 200 * 4_000 + 10 * 20_000,
    ),
    case(
        "bill A 38: a redeemed fallback credit",
        plain(&["claude-opus-5-5"]),
        &[r#"{"input_tokens":50,"cache_creation_input_tokens":200000,"output_tokens":100,
            "fallback_credit":{"status":"redeemed"}}"#],
        50 * 4_000 + 200_000 * 200 + 100 * 20_000,
    ),
    case(
        "own: the same as SDK 2.14 has it",
        plain(&["claude-opus-5-5"]),
        &[r#"{"input_tokens":50,"cache_creation_input_tokens":200000,"output_tokens":100,
            "fallback_credit":{"status":{"type":"redeemed"}}}"#],
        50 * 4_000 + 200_000 * 200 + 100 * 20_000,
    ),
    case(
        "own: a credit that was not applied",
        plain(&["claude-opus-5-5"]),
        &[r#"{"input_tokens":50,"cache_creation_input_tokens":200000,"output_tokens":100,
            "fallback_credit":{"status":"not_applied","reason":"expired"}}"#],
        50 * 4_000 + 200_000 * 5_000 + 100 * 20_000,
    ),
    case(
        "field 5.4: a search loop of three turns, each below the long-prompt tier",
        Asked { turns: 5, searches: 5, ..plain(&["claude-haiku-5-5"]) },
        &[r#"{"input_tokens":180000,"output_tokens":300,
                "server_tool_use":{"web_search_requests":2},"iterations":[
            {"type":"message","input_tokens":60000,"output_tokens":100},
            {"type":"message","input_tokens":60000,"output_tokens":100},
            {"type":"message","input_tokens":60000,"output_tokens":100}]}"#],
        180_000 * 100 + 300 * 500 + 2 * 10_000_000,
    ),
    case(
        "own: turns without their cache split, which the top level has",
        Asked { turns: 2, ..plain(&["claude-opus-5-5"]) },
        &[r#"{"input_tokens":20,"output_tokens":30,"cache_creation_input_tokens":500,
            "cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":300},
            "iterations":[
            {"type":"message","input_tokens":10,"output_tokens":10,
            "cache_creation_input_tokens":400},
            {"type":"message","input_tokens":10,"output_tokens":20,
            "cache_creation_input_tokens":100}]}"#],
        20 * 4_000 + 200 * 5_000 + 300 * 8_000 + 30 * 20_000,
    ),
    case(
        "own: turns that do not add up are read by the top level",
        Asked { turns: 3, ..plain(&["claude-haiku-5-5"]) },
        &[r#"{"input_tokens":150000,"output_tokens":300,"iterations":[
            {"type":"message","input_tokens":60000,"output_tokens":100},
            {"type":"message","input_tokens":60000,"output_tokens":100}]}"#],
        150_000 * 500 + 300 * 2_500,
    ),
    case(
        "bill 39, 41: a compaction and an advisor come on top",
        plain(&["claude-haiku-5-5", "claude-opus-5"]),
        &[r#"{"input_tokens":60000,"output_tokens":100,"iterations":[
            {"type":"message","input_tokens":60000,"output_tokens":100},
            {"type":"compaction","input_tokens":100001,"output_tokens":200}]}"#],
        60_000 * 100 + 100 * 500 + 100_001 * 500 + 200 * 2_500,
    ),
    Case {
        is_bounded: true,
        ..case(
            "security S6: 2,000 compactions of a model that nobody asked for",
            Asked { max_output: 50, ..plain(&["claude-haiku-4-5"]) },
            &[r#"{"input_tokens":10,"output_tokens":50,"iterations":[
                {"type":"compaction","model":"claude-opus-4-7","input_tokens":199999,
                "output_tokens":64000},
                {"type":"compaction","model":"claude-opus-4-7","input_tokens":199999,
                "output_tokens":64000},
                {"type":"compaction","model":"claude-opus-4-7","input_tokens":199999,
                "output_tokens":64000}]}"#],
            10 * 1_000 + 50 * 5_000 + 199_999 * 1_000 + 50 * 5_000,
        )
    },
    Case {
        is_bounded: true,
        ..case(
            "security S6: 128,000 tokens of output for max_tokens 50",
            Asked { max_output: 50, ..plain(&["claude-haiku-4-5"]) },
            &[r#"{"input_tokens":1000,"output_tokens":128000}"#],
            1_000 * 1_000 + 50 * 5_000,
        )
    },
    Case {
        is_bounded: true,
        ..case(
            "security S13: 900,000 tokens on a model of 200,000",
            plain(&["claude-haiku-4-5"]),
            &[r#"{"input_tokens":900000,"output_tokens":1}"#],
            200_000 * 1_000 + 5_000,
        )
    },
    Case {
        is_bounded: true,
        ..case(
            "own: a billion tokens in each class",
            plain(&["claude-haiku-4-5"]),
            &[r#"{"input_tokens":1000000000,"output_tokens":1000000000,
                    "cache_read_input_tokens":1000000000,
                "cache_creation_input_tokens":1000000000,
                "server_tool_use":{"web_search_requests":1000000}}"#],
            200_000 * 1_250 + 10_000 * 5_000,
        )
    },
    Case {
        is_bounded: true,
        ..case(
            "own: a thousand searches more than the request's tools allow",
            Asked { searches: 2, turns: 3, ..plain(&["claude-haiku-4-5"]) },
            &[r#"{"input_tokens":10,"output_tokens":5,
                    "server_tool_use":{"web_search_requests":1002}}"#],
            10 * 1_000 + 5 * 5_000 + 2 * 10_000_000,
        )
    },
];
