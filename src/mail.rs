//! Mail: what it says, and how it leaves.
