//! Tables of what requests have used, and of how many were refused here.

#![expect(missing_docs, reason = "the macro makes modules that cannot carry a comment")]

diesel::table! {
    usage_passes (usage_id, ordinal) {
        usage_id -> Text,
        ordinal -> BigInt,
        kind -> Text,
        model -> Nullable<Text>,
        input_tokens -> BigInt,
        output_tokens -> BigInt,
        cache_write_5m_tokens -> BigInt,
        cache_write_1h_tokens -> BigInt,
        cache_read_tokens -> BigInt,
        waiver -> Nullable<Text>,
        is_credit_redeemed -> Bool,
    }
}

diesel::table! {
    usage_logs (id) {
        id -> Text,
        account_id -> BigInt,
        api_key_id -> BigInt,
        created_at -> BigInt,
        endpoint -> Text,
        requested_model -> Text,
        served_model -> Nullable<Text>,
        upstream -> Nullable<Text>,
        input_tokens -> BigInt,
        output_tokens -> BigInt,
        cache_write_5m_tokens -> BigInt,
        cache_write_1h_tokens -> BigInt,
        cache_read_tokens -> BigInt,
        web_searches -> BigInt,
        service_tier -> Nullable<Text>,
        inference_geo -> Nullable<Text>,
        speed -> Nullable<Text>,
        price_version -> Text,
        cost_nanousd -> BigInt,
        first_byte_ms -> Nullable<BigInt>,
        latency_ms -> BigInt,
        http_status -> Integer,
        ending -> Text,
        is_estimated -> Bool,
    }
}

diesel::table! {
    refused_requests (id) {
        id -> BigInt,
        account_id -> BigInt,
        api_key_id -> BigInt,
        day -> BigInt,
        reason -> Text,
        requests -> BigInt,
    }
}
