//! Narrows a difference over many blocks down to the blocks in which coins came in, by halves:
//! balance and nonce of the address in the middle tell in which half something is not explained.

use super::at_claim_priority;
use crate::chain::ProviderError;
use crate::chain::balances::{AddressState, standing};
use crate::chain::blocks::{NativeTransfer, blocks};
use crate::chain::quorum::{ProviderAnswer, agree, ask_each};
use crate::db::models::arrivals::{self as rows, ArrivalRow, KnownTransfer};
use crate::db::models::chains;
use crate::db::{AnyConnection, transaction};
use crate::deposits::arrivals::{of_coins, sum};
use crate::deposits::recipients::Recipients;
use crate::deposits::watcher::observe::View;
use crate::deposits::watcher::{RoundError, WatcherState, column, height};
use crate::domain::evm::{EvmAddress, RawAmount, TxHash};

/// Blocks at which an address is looked at in one search. What is left is searched at the next
/// look.
const PROBES: usize = 40;

/// A range of blocks, with how the address stood before its first and after its last.
type Range = ((u64, AddressState), (u64, AddressState));

/// Coins that came in within a range of blocks.
type IncomingRow = ((i64, i64), u128);

/// What a search came to: the rows that take the place of the one that was searched, and plain
/// transfers that no scan finds.
#[derive(Default)]
struct SearchOutcome {
    rows: Vec<IncomingRow>,
    plain: Vec<(TxHash, i64)>,
}

impl WatcherState {
    /// Searches the blocks of a row. Where the state of a block cannot be had, it stays as it is
    /// and is told so.
    pub(super) async fn search(
        &self,
        view: &View,
        ours: &Recipients,
        row: ArrivalRow,
        address: EvmAddress,
    ) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let range = (row.after_number, row.block_number);
        let known = move |conn: &mut AnyConnection| rows::known(conn, chain_id, address, range);
        let known = self.parts.database.run(known).await?;
        let Some(found) = self.blocks_of(view, ours, &row, (address, &known)).await else {
            return self.leave_a_while(row).await;
        };
        self.note_plain(found.plain).await?;
        // Its own line makes room for others.
        let count = move |conn: &mut AnyConnection| rows::count_of(conn, chain_id, address);
        let count = self.parts.database.run(count).await?;
        let most = i64::from(self.parts.deposits.arrivals_max_per_address);
        let room = most.saturating_sub(count).saturating_add(1);
        let room = usize::try_from(room).unwrap_or(0).max(1);
        if room == 1 && found.rows.len() > 1 {
            return self.leave_a_while(row).await;
        }
        let replace = move |conn: &mut AnyConnection| {
            rows::forget(conn, row.id)?;
            for (range, raw) in within(found.rows, room, &known) {
                rows::note(conn, &of_coins(chain_id, address, range, raw, now))?;
            }
            Ok(())
        };
        Ok(self.write(move |conn| transaction::write(conn, replace)).await?)
    }

    /// `None` where a block's state cannot be had.
    async fn blocks_of(
        &self,
        view: &View,
        ours: &Recipients,
        row: &ArrivalRow,
        (address, known): (EvmAddress, &[KnownTransfer]),
    ) -> Option<SearchOutcome> {
        let providers = at_claim_priority(&view.providers);
        let stood = async |number: u64| {
            standing(&providers, view.quorum, address, number).await.agreement.agreed()
        };
        let (after, to) = (height(row.after_number), height(row.block_number));
        let mut open: Vec<Range> = vec![((after, stood(after).await?), (to, stood(to).await?))];
        let (mut found, mut probes) = (SearchOutcome::default(), 2_usize);
        while let Some(((low, before), (high, then))) = open.pop() {
            let range = (column(low), column(high));
            let expected = before.balance.saturating_add(sum(known, range));
            if then.balance == expected && before.nonce == then.nonce {
                continue;
            }
            if high.saturating_sub(low) <= 1 {
                let part = ((high, before, then), known);
                self.came_in(view, ours, address, part, &mut found).await?;
            } else if probes >= PROBES {
                found.rows.push((range, then.balance.saturating_sub(before.balance)));
            } else {
                let middle = low.midpoint(high);
                let between = stood(middle).await?;
                probes = probes.saturating_add(1);
                let halves =
                    [((middle, between), (high, then)), ((low, before), (middle, between))];
                open.extend(halves);
                if is_late_first(row.tries, probes) {
                    let last = open.len().saturating_sub(1);
                    open.swap(last, last.saturating_sub(1));
                }
            }
        }
        found.rows.sort_unstable();
        Some(found)
    }

    /// Finds the row of a single block, if something came in that is not explained, or may have:
    /// all that came in beside what the operator has sent plainly. `None` where the block cannot be
    /// had.
    async fn came_in(
        &self,
        view: &View,
        ours: &Recipients,
        address: EvmAddress,
        ((number, before, then), known): ((u64, AddressState, AddressState), &[KnownTransfer]),
        found: &mut SearchOutcome,
    ) -> Option<()> {
        let plain = plain_transfers(view, number, address).await?;
        let amount = |raw: RawAmount| raw.to_u128().unwrap_or(0);
        let own = plain.iter().filter(|one| ours.is_own(one.from));
        let own = own.map(|one| amount(one.value)).fold(0, u128::saturating_add);
        // Among them those that are known, and those that are just being looked into.
        let others = plain.iter().filter(|one| !ours.is_own(one.from));
        let others = others.map(|one| amount(one.value)).fold(0, u128::saturating_add);
        found.plain.extend(self.unscanned(ours, number, &plain));
        let is_plain = |tx_hash: TxHash| plain.iter().any(|one| one.tx_hash == tx_hash);
        let inside: Vec<KnownTransfer> =
            known.iter().filter(|(_, tx_hash, _)| !is_plain(*tx_hash)).copied().collect();
        let range = (column(number.saturating_sub(1)), column(number));
        let inside = sum(&inside, range);

        let rise = then.balance.saturating_sub(before.balance);
        let explained = own.saturating_add(others).saturating_add(inside);
        let rest = rise.saturating_sub(explained);
        if rest > 0 {
            // What is known counts as well: so the row ends when the known reaches it.
            found.rows.push((range, rest.saturating_add(sum(known, range))));
            return Some(());
        }
        // What the address has sent may hide what it got: only a trace tells.
        let may_hide = before.nonce != then.nonce || then.balance < before.balance;
        found.rows.extend(may_hide.then_some((range, 0)));
        Some(())
    }

    /// The plain transfers of others in a block, if no scan reads blocks and so finds them.
    fn unscanned(
        &self,
        ours: &Recipients,
        number: u64,
        plain: &[NativeTransfer],
    ) -> Vec<(TxHash, i64)> {
        if self.parts.chain.reads_whole_blocks() {
            return Vec::new();
        }
        let others = plain.iter().filter(|one| !ours.is_own(one.from));
        others.map(|one| (one.tx_hash, column(number))).collect()
    }

    /// Has transactions looked into, as those that a scan has found.
    async fn note_plain(&self, found: Vec<(TxHash, i64)>) -> Result<(), RoundError> {
        if found.is_empty() {
            return Ok(());
        }
        let (chain_id, now) = (self.chain_id(), self.now());
        let note = move |conn: &mut AnyConnection| {
            transaction::write(conn, |conn| {
                Ok(chains::note_candidates(conn, chain_id, &found, now)?)
            })
        };
        Ok(self.write(note).await?)
    }

    /// Has the plain transfers of a single block looked into, if no scan reads blocks. `false`
    /// where it cannot be had.
    pub(super) async fn look_for_plain(
        &self,
        view: &View,
        ours: &Recipients,
        number: u64,
        address: EvmAddress,
    ) -> Result<bool, RoundError> {
        if self.parts.chain.reads_whole_blocks() {
            return Ok(true);
        }
        let Some(plain) = plain_transfers(view, number, address).await else { return Ok(false) };
        self.note_plain(self.unscanned(ours, number, &plain)).await?;
        Ok(true)
    }
}

/// Which half is searched first, another one at each try: what somebody puts in the way of a search
/// does not keep the same blocks out of it each time.
fn is_late_first(tries: i64, probes: usize) -> bool {
    let turns = u32::try_from(probes % 64).unwrap_or(0);
    let mixed = tries.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed.rotate_left(turns) & 1 == 1
}

/// As many rows as there is room for: the last one stands for all the rest.
fn within(mut found: Vec<IncomingRow>, room: usize, known: &[KnownTransfer]) -> Vec<IncomingRow> {
    if found.len() <= room {
        return found;
    }
    let rest = found.split_off(room.saturating_sub(1));
    let unexplained = rest.iter().map(|(range, raw)| raw.saturating_sub(sum(known, *range)));
    let unexplained = unexplained.fold(0, u128::saturating_add);
    if let (Some(((after, _), _)), Some(((_, to), _))) = (rest.first(), rest.last()) {
        let range = (*after, *to);
        found.push((range, unexplained.saturating_add(sum(known, range))));
    }
    found
}

/// The plain transfers of a block to an address, as a quorum has them: one alone could hide what
/// arrived.
async fn plain_transfers(
    view: &View,
    number: u64,
    address: EvmAddress,
) -> Option<Vec<NativeTransfer>> {
    let providers = at_claim_priority(&view.providers);
    let ask = |provider| async move {
        let mut read = blocks(provider, vec![number], true).await?;
        let block = read.pop().flatten().ok_or(ProviderError::BadAnswer("no such block"))?;
        Ok(block.transfers.into_iter().filter(|one| one.to == address).collect())
    };
    let said: Vec<ProviderAnswer<Vec<NativeTransfer>>> = ask_each(&providers, ask).await;
    agree(said, view.quorum, |_, _| "plain transfers").agreement.agreed()
}
