//! The nouns of Sluice: money, prices, usage, identifiers. Nothing in here does I/O.

pub mod clock;
pub mod ids;
pub mod messages_request;
pub mod meter;
pub mod money;
pub mod sse;
pub mod api_key;
pub mod usage;
pub mod usage_record;
