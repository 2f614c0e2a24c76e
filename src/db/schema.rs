//! The tables as diesel sees them: one schema for both databases. A test compares it with what
//! the migrations make.

#![expect(missing_docs, reason = "the macro makes modules that cannot carry a comment")]

diesel::table! {
    accounts (id) {
        id -> BigInt,
        public_id -> Text,
        email -> Text,
        status -> Text,
        available_nanousd -> BigInt,
        reserved_nanousd -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    api_keys (id) {
        id -> BigInt,
        public_id -> Text,
        account_id -> BigInt,
        name -> Text,
        hash -> Binary,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    ledger_entries (id) {
        id -> BigInt,
        account_id -> BigInt,
        kind -> Text,
        reference -> Text,
        amount_nanousd -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    reservations (id) {
        id -> Text,
        account_id -> BigInt,
        api_key_id -> BigInt,
        node_id -> Text,
        amount_nanousd -> BigInt,
        record -> Text,
        created_at -> BigInt,
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
    nodes (id) {
        id -> Text,
        lease_expires_at -> BigInt,
    }
}

diesel::joinable!(api_keys -> accounts (account_id));
diesel::allow_tables_to_appear_in_same_query!(
    accounts,
    api_keys,
    ledger_entries,
    reservations,
    usage_logs,
    nodes
);
