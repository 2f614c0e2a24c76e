//! The table that says which programs may serve the schema.

#![expect(missing_docs, reason = "the macro makes modules that cannot carry a comment")]

diesel::table! {
    schema_compatibility (id) {
        id -> BigInt,
        oldest_generation -> BigInt,
        migrated_by -> Nullable<Text>,
    }
}
