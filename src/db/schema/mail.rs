//! Mail that waits, and the links in mail that was sent.

#![expect(missing_docs, reason = "the macro makes modules that cannot carry a comment")]

diesel::table! {
    outbox (id) {
        id -> BigInt,
        message_id -> Text,
        kind -> Text,
        reference -> Text,
        account_id -> Nullable<BigInt>,
        recipient -> Text,
        params -> Text,
        tries -> BigInt,
        due_at -> BigInt,
        created_at -> BigInt,
        is_bulk -> Bool,
        credentials_epoch -> Nullable<BigInt>,
        is_notice -> Bool,
    }
}

diesel::table! {
    email_tokens (token_hash) {
        token_hash -> Binary,
        purpose -> Text,
        account_id -> Nullable<BigInt>,
        email -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        credentials_epoch -> Nullable<BigInt>,
    }
}

diesel::table! {
    unsubscribe_tokens (token_hash) {
        token_hash -> Binary,
        account_id -> BigInt,
        expires_at -> BigInt,
    }
}
