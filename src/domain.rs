//! The nouns of Sluice: money, prices, usage, identifiers. Nothing in here does I/O.

pub mod api_error;
pub mod api_key;
pub mod byte_counts;
pub mod clock;
pub mod colour;
pub mod cost;
pub mod deposit;
pub mod evm;
pub mod ids;
pub mod key_limits;
pub mod mail;
pub mod messages_request;
pub mod meter;
pub mod money;
pub mod policy;
pub mod price_list;
pub mod quote;
pub mod receipt;
pub mod secret_token;
pub mod spreadsheet;
pub mod sse;
pub mod tombstone;
pub(crate) mod unprintable;
pub mod usage;
pub mod usage_record;
pub mod xpub;
