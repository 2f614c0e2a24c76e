//! Attribution: the account of a transfer is the one whose own address was paid, or the one that
//! has proven the paying wallet, by the link in force at inclusion or else by the first later one.

use std::collections::{BTreeSet, HashMap};

use crate::db::models::deposit_turns::{self, Owner};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::wallets::{EVERY_CHAIN, WalletRow};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::evm::{ChainId, EvmAddress, TxHash};
use crate::domain::ids::AccountId;

/// Whose a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// An account's, by its own address or by the link of that row number.
    Account {
        /// Whose.
        account_id: AccountId,
        /// The link that says so.
        wallet_id: Option<i64>,
    },
    /// Nobody has proven the payer yet.
    Nobody,
    /// It was paid to an address of an account that is gone.
    ErasedAccount,
}

/// Gives the deposits of a transaction that were seen their owners, all of them in as many
/// statements as there are owners. Those that there were, as they stand now but for their revision.
/// Must run in a write transaction: a wallet that is proven meanwhile either is seen here or sees
/// the deposits.
pub fn attribute_all(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<Vec<DepositRow>, DbError> {
    deposits::lock_transaction(conn, chain_id, tx_hash)?;
    let mut rows = deposits::of_transaction(conn, chain_id, tx_hash)?;
    rows.retain(|row| row.state == DepositState::Seen);
    let addresses = |of: fn(&DepositRow) -> EvmAddress| -> Vec<EvmAddress> {
        let all: BTreeSet<EvmAddress> = rows.iter().map(of).collect();
        all.into_iter().collect()
    };
    let paid = addresses(|row| row.payee);
    let derived = deposit_turns::derived_among(conn, &paid)?.into_iter();
    let derived: HashMap<EvmAddress, Attribution> =
        derived.map(|(address, id)| (address, of_address(id))).collect();
    let mut links: HashMap<EvmAddress, Vec<WalletRow>> = HashMap::new();
    let paying = addresses(|row| row.payer);
    for link in deposit_turns::links_among(conn, &paying, chain_id)? {
        links.entry(link.address).or_default().push(link);
    }
    let mut owners: HashMap<(Owner, i64), Vec<i64>> = HashMap::new();
    for row in &mut rows {
        let proven = links.get(&row.payer).map_or(&[][..], Vec::as_slice);
        let own = derived.get(&row.payee).copied();
        let owner = owner(own.unwrap_or_else(|| of_links(proven, row.block_time)));
        (row.state, row.reason) = (owner.state, owner.reason);
        (row.account_id, row.wallet_id) = (owner.account_id, owner.wallet_id);
        owners.entry((owner, row.revision)).or_default().push(row.id);
    }
    for ((owner, revision), ids) in owners {
        if !deposit_turns::hand_over(conn, (&ids, revision), owner, now)? {
            // Another node has moved some of them: which, does not matter, since it has told of
            // them.
            rows.retain(|row| !ids.contains(&row.id));
        }
    }
    Ok(rows)
}

/// Whose a transfer is to an address that was derived for an account, which may be gone.
const fn of_address(account_id: Option<AccountId>) -> Attribution {
    match account_id {
        Some(account_id) => Attribution::Account { account_id, wallet_id: None },
        None => Attribution::ErasedAccount,
    }
}

/// Whose a transfer is by the links of its payer, in a block of the time `at`.
fn of_links(links: &[WalletRow], at: UnixMillis) -> Attribution {
    match deciding_link(links, at) {
        Some(link) => {
            Attribution::Account { account_id: link.account_id, wallet_id: Some(link.id) }
        }
        None => Attribution::Nobody,
    }
}

/// What a deposit becomes.
const fn owner(whose: Attribution) -> Owner {
    let (state, reason, account_id, wallet_id) = match whose {
        Attribution::Account { account_id, wallet_id } => {
            (DepositState::Confirming, None, Some(account_id), wallet_id)
        }
        Attribution::Nobody => (DepositState::Unattributed, None, None, None),
        Attribution::ErasedAccount => {
            (DepositState::Held, Some(DepositReason::ErasedAccount), None, None)
        }
    };
    Owner { state, reason, account_id, wallet_id }
}

/// The link in force at `at`, else the first that was made after it. `links` are in the order of
/// their proofs. Where a key and the code that it has delegated to (EIP-7702) speak for two
/// accounts at once, the key does: the code may accept anybody's signature.
fn deciding_link(links: &[WalletRow], at: UnixMillis) -> Option<&WalletRow> {
    let in_force = |link: &&WalletRow| {
        link.proven_at <= at && link.ended_at.is_none_or(|ended_at| ended_at > at)
    };
    let after = |link: &&WalletRow| link.proven_at > at;
    let is_key_pair = |link: &&WalletRow| link.chain_id == EVERY_CHAIN;
    let current = || links.iter().rev().filter(in_force);
    let by_key = current().find(is_key_pair);
    by_key.or_else(|| current().next()).or_else(|| links.iter().find(after))
}

/// Sends on what waits for a proof of `payer`, now that there is one: on its chain, or on all. The
/// watcher finds out whose each of them is.
pub fn send_on(
    conn: &mut AnyConnection,
    payer: EvmAddress,
    chain_id: Option<ChainId>,
    now: UnixMillis,
) -> Result<(), DbError> {
    for row in deposits::unattributed_of(conn, payer, chain_id)? {
        let seen = DepositRow { state: DepositState::Seen, check_at: now, ..row };
        // One that has changed since is looked at by whoever has changed it.
        deposits::change(conn, &seen, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: i64, proven_at: i64, ended_at: Option<i64>) -> WalletRow {
        WalletRow {
            id,
            public_id: format!("wal_{id}"),
            account_id: AccountId(id),
            kind: "eoa".to_owned(),
            chain_id: EVERY_CHAIN,
            address: EvmAddress([1; 20]),
            proof_hash: None,
            proof_signature: None,
            proven_at: UnixMillis::from_millis(proven_at),
            ended_at: ended_at.map(UnixMillis::from_millis),
            end_reason: None,
            label: None,
        }
    }

    #[test]
    fn a_key_goes_before_the_code_that_it_has_delegated_to() {
        let by_code = |link: WalletRow| WalletRow { chain_id: ChainId(8453), ..link };
        let links = [
            by_code(link(1, 100, None)),
            link(2, 200, Some(500)),
            by_code(link(3, 300, None)),
            by_code(link(4, 600, None)),
        ];
        let at = |at| deciding_link(&links, UnixMillis::from_millis(at)).map(|link| link.id);
        assert_eq!(at(50), Some(1));
        assert_eq!(at(150), Some(1));
        assert_eq!((at(250), at(450)), (Some(2), Some(2)));
        assert_eq!((at(550), at(700)), (Some(3), Some(4)));
    }

    #[test]
    fn the_link_at_inclusion_decides_and_else_the_first_proof_after_it() {
        let links = [link(1, 100, Some(200)), link(2, 300, Some(400)), link(3, 400, None)];
        let at = |at| deciding_link(&links, UnixMillis::from_millis(at)).map(|link| link.id);
        // Before any proof: the first.
        assert_eq!(at(50), Some(1));
        assert_eq!(at(100), Some(1));
        assert_eq!(at(199), Some(1));
        // Unlinked, then proven again by another: the transfer in between is the next one's.
        assert_eq!(at(200), Some(2));
        assert_eq!(at(399), Some(2));
        // Moved: from that moment on it is the new one's.
        assert_eq!(at(400), Some(3));
        assert_eq!(at(9999), Some(3));
        assert_eq!(deciding_link(&links[..1], UnixMillis::from_millis(200)), None);
        assert_eq!(deciding_link(&[], UnixMillis::from_millis(0)), None);
    }
}
