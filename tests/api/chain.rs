//! What needs a chain: `scripts/test chain` runs it, with anvil at hand.

mod actor;
mod agreement;
mod claims;
mod crowd;
mod deposit_api;
mod deposit_words;
mod deposits;
mod erased;
mod facts;
mod faults;
mod feed;
mod kills;
mod liars;
mod node;
mod payers;
mod provider;
mod reading;
mod reorgs;
mod scan;
mod signatures;
mod status;
mod takeover;
mod theft;
mod troubles;
mod wallets;
mod wordings;
