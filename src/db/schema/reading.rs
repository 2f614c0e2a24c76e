//! Tables of how far chains were read, and what their providers are asked.

#![expect(missing_docs, reason = "the macro makes modules that cannot carry a comment")]

diesel::table! {
    chains (chain_id) {
        chain_id -> BigInt,
        revision -> BigInt,
        first_number -> BigInt,
        scanned_number -> BigInt,
        scanned_hash -> Binary,
        final_number -> BigInt,
        head_number -> BigInt,
        status -> Text,
        status_detail -> Nullable<Text>,
        node_id -> Text,
        lease_expires_at -> BigInt,
        updated_at -> BigInt,
        block_millis -> Nullable<BigInt>,
    }
}

diesel::table! {
    chain_blocks (chain_id, number) {
        chain_id -> BigInt,
        number -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    chain_candidates (chain_id, tx_hash) {
        chain_id -> BigInt,
        tx_hash -> Binary,
        block_number -> BigInt,
        tries -> BigInt,
        check_at -> BigInt,
    }
}

diesel::table! {
    chain_providers (chain_id, name) {
        chain_id -> BigInt,
        name -> Text,
        asked_per_day -> Nullable<BigInt>,
        refusal -> Nullable<Text>,
        refused_at -> Nullable<BigInt>,
        log_blocks -> Nullable<BigInt>,
        batch_calls -> BigInt,
        calls_per_second -> BigInt,
        updated_at -> BigInt,
    }
}
