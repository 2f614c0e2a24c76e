//! What needs a chain: `scripts/test chain` runs it, with anvil at hand.

mod deposits;
mod faults;
mod node;
mod provider;
