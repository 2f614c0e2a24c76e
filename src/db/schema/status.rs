//! How parts of the service did, day by day.

diesel::table! {
    status_days (part, day) {
        part -> Text,
        day -> BigInt,
        minutes_seen -> BigInt,
        minutes_bad -> BigInt,
    }
}
