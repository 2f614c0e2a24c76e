//! Candidates: transactions that may pay us, as the scan finds them, with the providers that show
//! them.

use std::collections::BTreeMap;

use crate::domain::evm::TxHash;

/// Transactions with their blocks, and who shows them.
#[derive(Debug, Default)]
pub(super) struct Candidates(BTreeMap<TxHash, Find>);

#[derive(Debug)]
struct Find {
    block_number: u64,
    /// Bit by bit, in the order of the providers.
    witnesses: u64,
}

impl Candidates {
    /// A transaction that the provider at that place shows in a block.
    pub(super) fn add(&mut self, tx_hash: TxHash, block_number: u64, witness: usize) {
        let find = self.0.entry(tx_hash).or_insert(Find { block_number, witnesses: 0 });
        // Beyond 64 providers some would count as one, which errs to the side of caution.
        let bit = u32::try_from(witness % 64).unwrap_or(0);
        find.witnesses |= 1_u64.checked_shl(bit).unwrap_or(0);
    }

    /// All, with their blocks: first those that at least `quorum` show, then the others.
    pub(super) fn split(self, quorum: usize) -> [Vec<(TxHash, u64)>; 2] {
        let quorum = u32::try_from(quorum).unwrap_or(u32::MAX);
        let (shown, lone): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(_, find)| find.witnesses.count_ones() >= quorum);
        [shown, lone].map(|finds| {
            finds.into_iter().map(|(tx_hash, find)| (tx_hash, find.block_number)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_enough_providers_show_is_told_from_what_one_shows() {
        let mut finds = Candidates::default();
        let hash = |byte| TxHash([byte; 32]);
        for (byte, witness) in [(1, 0), (1, 1), (2, 1), (2, 1), (3, 2), (3, 0)] {
            finds.add(hash(byte), u64::from(byte), witness);
        }
        let [shown, lone] = finds.split(2);
        assert_eq!(shown, [(hash(1), 1), (hash(3), 3)]);
        assert_eq!(lone, [(hash(2), 2)]);
    }
}
