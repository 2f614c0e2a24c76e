//! Nothing of what people say, and no secret, stays anywhere: not in logs at the finest level, not in the database, not
//! in metrics and not in mail.
//!
//! `canaries` are words that must not be found again, with the places where one may be all the same; `search` looks for
//! them everywhere. `messages` follows single exchanges into all their ends.

mod canaries;
mod messages;
mod panics;
mod search;
mod secrets;
