//! The real binary, as an operator runs it.
