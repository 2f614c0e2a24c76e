//! The tables as diesel sees them: one schema for both databases. A test compares it with what
//! the migrations make.

#![expect(missing_docs, reason = "the macro makes modules that cannot carry a comment")]

mod arrivals;
mod compatibility;
mod journal;
mod mail;
mod reading;
mod status;
mod tombstones;
mod usage;

pub use arrivals::{address_balances, deposit_arrivals, token_looks};
pub use compatibility::schema_compatibility;
pub use journal::journal_events;
pub use mail::{email_tokens, outbox, unsubscribe_tokens};
pub use reading::{chain_blocks, chain_candidates, chain_providers, chains};
pub use status::status_days;
pub use tombstones::{deposit_tombstones, secret_checks};
pub use usage::{refused_requests, usage_logs, usage_passes};

diesel::table! {
    accounts (id) {
        id -> BigInt,
        public_id -> Text,
        email -> Text,
        status -> Text,
        available_nanousd -> BigInt,
        reserved_nanousd -> BigInt,
        created_at -> BigInt,
        password_hash -> Nullable<Text>,
        totp_secret -> Nullable<Binary>,
        totp_enabled_at -> Nullable<BigInt>,
        totp_last_step -> Nullable<BigInt>,
        low_balance_nanousd -> Nullable<BigInt>,
        wants_notices -> Bool,
        closing_at -> Nullable<BigInt>,
        closing_waives_balance -> Bool,
        spend_notified_at -> Nullable<BigInt>,
        at_risk_nanousd -> BigInt,
        first_charged_at -> Nullable<BigInt>,
        wrong_codes -> BigInt,
        wrong_codes_began_at -> Nullable<BigInt>,
        wrong_codes_pardoned_at -> Nullable<BigInt>,
        credentials_epoch -> BigInt,
        low_balance_notified_at -> Nullable<BigInt>,
        deposit_notified_at -> Nullable<BigInt>,
        deposit_trouble_notified_at -> Nullable<BigInt>,
        log_in_expected_at -> Nullable<BigInt>,
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
        models -> Nullable<Text>,
        monthly_budget_nanousd -> Nullable<BigInt>,
        total_budget_nanousd -> Nullable<BigInt>,
        requests_per_minute -> Nullable<BigInt>,
        max_streams -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
        spent_nanousd -> BigInt,
        month -> BigInt,
        month_spent_nanousd -> BigInt,
        paused_until -> Nullable<BigInt>,
        scopes -> Text,
        pause_notified_at -> Nullable<BigInt>,
        hint -> Nullable<Text>,
        paused_at -> Nullable<BigInt>,
        rotated_at -> Nullable<BigInt>,
        previous_hash -> Nullable<Binary>,
        previous_hint -> Nullable<Text>,
        previous_expires_at -> Nullable<BigInt>,
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
        risk_nanousd -> BigInt,
        parked_at -> Nullable<BigInt>,
        parked_reason -> Nullable<Text>,
    }
}

diesel::table! {
    nodes (id) {
        id -> Text,
        lease_expires_at -> BigInt,
        version -> Nullable<Text>,
        generation -> Nullable<BigInt>,
        started_at -> Nullable<BigInt>,
        drift_ms -> Nullable<BigInt>,
        lapses -> Nullable<BigInt>,
        open_exchanges -> Nullable<BigInt>,
        max_streams -> Nullable<BigInt>,
    }
}

diesel::table! {
    wallets (id) {
        id -> BigInt,
        public_id -> Text,
        account_id -> BigInt,
        kind -> Text,
        chain_id -> BigInt,
        address -> Binary,
        proof_hash -> Nullable<Binary>,
        proof_signature -> Nullable<Binary>,
        proven_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        end_reason -> Nullable<Text>,
        label -> Nullable<Text>,
    }
}

diesel::table! {
    wallet_challenges (nonce) {
        nonce -> Text,
        account_id -> BigInt,
        chain_id -> BigInt,
        address -> Binary,
        issued_at -> BigInt,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    derivation_counters (xpub_fingerprint) {
        xpub_fingerprint -> Text,
        next_index -> BigInt,
    }
}

diesel::table! {
    deposit_addresses (address) {
        address -> Binary,
        xpub_fingerprint -> Text,
        derivation_index -> BigInt,
        account_id -> Nullable<BigInt>,
        created_at -> BigInt,
    }
}

diesel::table! {
    deposits (id) {
        id -> BigInt,
        public_id -> Text,
        chain_id -> BigInt,
        tx_hash -> Binary,
        ordinal -> BigInt,
        token -> Nullable<Binary>,
        payer -> Binary,
        payee -> Binary,
        raw_amount -> Text,
        block_number -> BigInt,
        block_hash -> Binary,
        block_time -> BigInt,
        state -> Text,
        reason -> Nullable<Text>,
        account_id -> Nullable<BigInt>,
        wallet_id -> Nullable<BigInt>,
        value_nanousd -> Nullable<BigInt>,
        price_feed -> Nullable<Binary>,
        price_round -> Nullable<Text>,
        price_answer -> Nullable<Text>,
        credit_number -> BigInt,
        revision -> BigInt,
        check_at -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        early_credit_at -> Nullable<BigInt>,
        early_value_nanousd -> Nullable<BigInt>,
        is_provisional -> Bool,
    }
}

diesel::table! {
    deposit_claims (id) {
        id -> BigInt,
        public_id -> Text,
        account_id -> BigInt,
        chain_id -> BigInt,
        tx_hash -> Binary,
        state -> Text,
        reason -> Nullable<Text>,
        tries -> BigInt,
        check_at -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    deposit_cases (id) {
        id -> BigInt,
        public_id -> Text,
        chain_id -> BigInt,
        tx_hash -> Binary,
        kind -> Text,
        ordinal -> BigInt,
        state -> Text,
        block_number -> Nullable<BigInt>,
        detail -> Text,
        doubted_at -> BigInt,
        opened_at -> Nullable<BigInt>,
        updated_at -> BigInt,
    }
}

diesel::table! {
    deposit_refunds (id) {
        id -> BigInt,
        public_id -> Text,
        deposit_id -> BigInt,
        state -> Text,
        amount_nanousd -> BigInt,
        tx_hash -> Nullable<Binary>,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    audit_log (id) {
        id -> BigInt,
        created_at -> BigInt,
        action -> Text,
        subject -> Text,
        account_id -> Nullable<BigInt>,
        detail -> Text,
    }
}

diesel::table! {
    sessions (id) {
        id -> BigInt,
        public_id -> Text,
        account_id -> BigInt,
        token_hash -> Binary,
        created_at -> BigInt,
        last_seen_at -> BigInt,
        expires_at -> BigInt,
        credentials_epoch -> BigInt,
        totp_secret -> Nullable<Binary>,
    }
}

diesel::table! {
    log_in_steps (token_hash) {
        token_hash -> Binary,
        account_id -> BigInt,
        expires_at -> BigInt,
        wrong_codes -> BigInt,
        credentials_epoch -> BigInt,
    }
}

diesel::table! {
    attempts (hash) {
        hash -> Binary,
        made -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    recovery_codes (account_id, code_hash) {
        account_id -> BigInt,
        code_hash -> Binary,
    }
}

diesel::table! {
    policy_versions (id) {
        id -> BigInt,
        kind -> Text,
        number -> BigInt,
        in_force_at -> BigInt,
        is_significant -> Bool,
        words -> Text,
        body -> Text,
        body_hash -> Binary,
        published_at -> BigInt,
        last_account_id -> BigInt,
        noticed_account_id -> BigInt,
        notices -> BigInt,
        noticed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    chores (name) {
        name -> Text,
        finished_at -> BigInt,
    }
}

diesel::joinable!(api_keys -> accounts (account_id));
diesel::joinable!(sessions -> accounts (account_id));
diesel::joinable!(usage_logs -> api_keys (api_key_id));
diesel::joinable!(usage_passes -> usage_logs (usage_id));
diesel::joinable!(refused_requests -> api_keys (api_key_id));
diesel::joinable!(deposits -> accounts (account_id));
diesel::allow_tables_to_appear_in_same_query!(
    accounts,
    address_balances,
    api_keys,
    ledger_entries,
    refused_requests,
    reservations,
    usage_logs,
    usage_passes,
    nodes,
    chains,
    chain_blocks,
    chain_candidates,
    chain_providers,
    wallets,
    wallet_challenges,
    derivation_counters,
    deposit_addresses,
    deposit_arrivals,
    deposits,
    deposit_claims,
    deposit_cases,
    deposit_refunds,
    audit_log,
    chores,
    sessions,
    email_tokens,
    log_in_steps,
    attempts,
    recovery_codes,
    outbox,
    policy_versions,
    unsubscribe_tokens,
    deposit_tombstones,
    secret_checks
);
