//! What a restore must not undo, until it is in the journal.

diesel::table! {
    journal_events (id) {
        id -> BigInt,
        event -> Text,
    }
}
