//! What needs a chain: `scripts/test chain` runs it, with anvil at hand.

mod actor;
mod agreement;
mod deposit_api;
mod deposit_words;
mod deposits;
mod facts;
mod faults;
mod feed;
mod node;
mod provider;
mod scan;
mod signatures;
mod theft;
mod wallets;
