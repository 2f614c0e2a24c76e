//! Nothing of what people say, and no secret, stays anywhere: not in logs at the finest level, not
//! in the database, not in metrics, mail or exports, and not in an answer to anybody else.
//!
//! `canaries` are words that must not be found again, with the places where one may be all the
//! same; `search` looks for them everywhere. `messages` follows single exchanges into all their
//! ends. `everywhere` goes through every route of the running server, and fails on one that it has
//! no way through.

mod canaries;
mod dumps;
mod everywhere;
mod messages;
mod panics;
mod search;
mod secrets;
