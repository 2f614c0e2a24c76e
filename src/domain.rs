//! The nouns of Sluice: money, prices, usage, identifiers. Nothing in here does I/O.

pub mod clock;
pub mod cost;
pub mod ids;
pub mod money;
pub mod price_list;
pub mod usage;
