//! What is left of erased accounts' deposits, and what tells the secret of it.

#![expect(missing_docs, reason = "the macro makes modules that cannot carry a comment")]

diesel::table! {
    deposit_tombstones (hash) {
        hash -> Binary,
    }
}

diesel::table! {
    secret_checks (name) {
        name -> Text,
        value -> Binary,
    }
}
