//! Which rows a transaction's transfers make. A transaction may hold thousands of transfers of next
//! to nothing: those of one payer to one payee in one coin count as one, their sum, and a sum that
//! is dust makes no row at all.

use std::collections::HashMap;

use super::recipients::{Recipients, TransferKind};
use crate::chain::facts::{Transfer, TxFacts};
use crate::db::models::deposits::DepositRow;
use crate::domain::deposit::Asset;
use crate::domain::evm::{EvmAddress, RawAmount};

/// The ordinal of what a transaction carries at its top, if it carries anything.
pub const TOP: i64 = -1;

/// So many coins that contracts move from one payer to one payee inside a transaction stand each
/// for itself.
const PIECES: usize = 16;

/// What becomes one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The transfer; or the first of several, with the sum of all.
    pub transfer: Transfer,
    /// Whether it is too little for a row of its own.
    pub is_dust: bool,
}

/// Who pays whom in what.
type TransferRoute = (EvmAddress, EvmAddress, Asset);

/// The parcels of what pays us, in the order of their ordinals' first appearance.
///
/// Transfers of a token are summed where each of them is below the limit of dust. What coins are
/// worth is not known here: those that contracts move inside are summed where there are many. The
/// coin at the top of a transaction stands for itself, since it is found without a trace as well.
#[must_use]
pub fn parcels(facts: &TxFacts, ours: &Recipients) -> Vec<Parcel> {
    let mut parcels: Vec<Parcel> = Vec::new();
    let mut sums: HashMap<TransferRoute, usize> = HashMap::new();
    let is_deposit = |transfer: &&Transfer| ours.bearing(transfer) == TransferKind::Deposit;
    let mut pieces: HashMap<TransferRoute, usize> = HashMap::new();
    for transfer in facts.transfers.iter().filter(is_deposit) {
        let count = pieces.entry(way(transfer)).or_default();
        *count = count.saturating_add(1);
    }
    for transfer in facts.transfers.iter().filter(is_deposit) {
        let is_small = ours.is_dust(transfer);
        let alone = Parcel { transfer: *transfer, is_dust: is_small };
        let is_summed = match transfer.asset {
            Asset::Token(_) => is_small,
            Asset::Native => {
                let has_many = pieces.get(&way(transfer)).is_some_and(|count| *count > PIECES);
                has_many && i64::from(transfer.ordinal) != TOP
            }
        };
        if !is_summed {
            parcels.push(alone);
            continue;
        }
        let place = *sums.entry(way(transfer)).or_insert(parcels.len());
        let sum = parcels.get(place).map(|parcel| add(parcel.transfer.raw, transfer.raw));
        match (parcels.get_mut(place), sum) {
            (Some(parcel), Some(Some(raw))) => {
                parcel.transfer.raw = raw;
                parcel.is_dust = ours.is_dust(&parcel.transfer);
            }
            // The first; or a sum beyond anything real, which a person looks at piece by piece.
            _ => parcels.push(alone),
        }
    }
    parcels
}

/// Whether a row is what the transaction holds at its place: a transfer, or a sum.
#[must_use]
pub fn stands(row: &DepositRow, facts: &TxFacts, ours: &Recipients) -> bool {
    let sums = || parcels(facts, ours).into_iter().map(|parcel| parcel.transfer);
    facts.transfers.iter().any(|one| is_same(one, row)) || sums().any(|sum| is_same(&sum, row))
}

/// Whether a row is this transfer.
#[must_use]
pub fn is_same(transfer: &Transfer, row: &DepositRow) -> bool {
    i64::from(transfer.ordinal) == row.ordinal
        && transfer.asset.to_column() == row.token
        && transfer.from == row.payer
        && transfer.to == row.payee
        && transfer.raw == row.raw_amount
}

const fn way(transfer: &Transfer) -> TransferRoute {
    (transfer.from, transfer.to, transfer.asset)
}

fn add(one: RawAmount, other: RawAmount) -> Option<RawAmount> {
    one.to_u128()?.checked_add(other.to_u128()?).map(RawAmount::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::UnixMillis;
    use crate::domain::evm::{BlockHash, TxHash};

    const US: EvmAddress = EvmAddress([0x7e; 20]);
    const USDC: Asset = Asset::Token(EvmAddress([0xcc; 20]));

    fn ours() -> Recipients {
        Recipients::of(US, &[(EvmAddress([0xcc; 20]), 6)], "0.01".parse().unwrap())
    }

    fn facts(transfers: &[(i32, u8, Asset, u128)]) -> TxFacts {
        let transfer = |&(ordinal, from, asset, raw): &(i32, u8, Asset, u128)| Transfer {
            ordinal,
            asset,
            from: EvmAddress([from; 20]),
            to: US,
            raw: raw.into(),
        };
        TxFacts {
            tx_hash: TxHash([1; 32]),
            sender: EvmAddress([1; 20]),
            is_success: true,
            is_status_told: true,
            block_number: 1,
            block_hash: BlockHash([1; 32]),
            block_time: UnixMillis::from_millis(1),
            transfers: transfers.iter().map(transfer).collect(),
            unread_logs_of: Vec::new(),
            is_traced: false,
            is_system: false,
        }
    }

    /// Ordinal, amount, and whether it is dust.
    fn found(transfers: &[(i32, u8, Asset, u128)]) -> Vec<(i32, u128, bool)> {
        let told = |parcel: Parcel| {
            let Transfer { ordinal, raw, .. } = parcel.transfer;
            (ordinal, raw.to_u128().unwrap(), parcel.is_dust)
        };
        parcels(&facts(transfers), &ours()).into_iter().map(told).collect()
    }

    #[test]
    fn small_transfers_of_one_payer_are_one_row_and_dust_is_none() {
        let many: Vec<_> = (0..3_800).map(|place| (place, 1, USDC, 1)).collect();
        assert_eq!(found(&many), [(0, 3_800, true)]);
        let many: Vec<_> = (0..3_800).map(|place| (place, 1, USDC, 3)).collect();
        assert_eq!(found(&many), [(0, 11_400, false)]);
        // Ten times a tenth of a cent is a cent, exactly.
        let many: Vec<_> = (0..10).map(|place| (place, 1, USDC, 1_000)).collect();
        assert_eq!(found(&many), [(0, 10_000, false)]);
        // A cent is no dust, and stands for itself as all that is more.
        let mixed =
            [(0, 1, USDC, 9_999), (1, 1, USDC, 10_000), (2, 2, USDC, 1), (3, 1, USDC, 9_999)];
        assert_eq!(found(&mixed), [(0, 19_998, false), (1, 10_000, false), (2, 1, true)]);
        let large = [(0, 1, USDC, 2_000_000), (2, 1, USDC, 2_000_000)];
        assert_eq!(found(&large), [(0, 2_000_000, false), (2, 2_000_000, false)]);
    }

    #[test]
    fn many_coins_inside_are_summed_and_the_coin_at_the_top_is_not() {
        let coins = |count: i32| -> Vec<_> {
            (1..=count).map(|place| (-place, 1, Asset::Native, 5)).collect()
        };
        assert_eq!(found(&coins(16)).len(), 16);
        let many = [coins(17), vec![(-18, 2, Asset::Native, 8)]].concat();
        assert_eq!(found(&many), [(-1, 5, false), (-2, 80, false), (-18, 8, false)]);
        let mut vast = coins(17);
        vast[1].3 = u128::MAX;
        let vast = found(&vast);
        assert_eq!((vast[1], vast[2], vast.len()), ((-2, u128::MAX, false), (-3, 5, false), 17));
    }
}
