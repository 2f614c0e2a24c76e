//! How often the server allocates memory, counted: never for an event of a stream, and so often for
//! a request. Counts do not depend on the speed of the machine.
//!
//! The real server runs in this process, so that the counter sees its workers and its ledger. Its
//! upstream is a process of its own, and the client here allocates nothing between two readings.

#[cfg(test)]
mod counts;
#[cfg(test)]
mod server;
#[cfg(test)]
#[path = "../api/support/wait.rs"]
mod wait;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;
