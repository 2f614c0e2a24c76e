//! Deposits: whose transfer it is, what it waits for, and when it is credited. Decisions and their storage; what
//! lives in time, and who asks a chain, stands elsewhere.

pub mod challenge;
pub mod proof_error;
pub mod siwe;
