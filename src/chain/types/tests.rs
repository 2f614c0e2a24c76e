//! Tests of hashes, signatures and the ABI.
