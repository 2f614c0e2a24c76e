//! The end of an account: the wish to have it deleted ([`closing`]), what becomes of it
//! ([`erasure`]), what stays known of its deposits ([`tombstones`]), and before that everything
//! that is held on it, as a ZIP ([`archive`]).

pub mod archive;
pub mod closing;
pub mod erasure;
pub mod tombstones;
