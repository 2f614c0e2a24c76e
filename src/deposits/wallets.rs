//! Wallets and their accounts: a challenge to sign, a link when it was signed, and its end. A
//! wallet belongs to whoever has proven it last; what it paid before stays where it went.

use std::time::Duration;

use super::challenge::{Origin, OwnershipClaim};
use super::proof_error::ProofError;
use super::siwe::SiweMessage;
use super::{DepositError, attribution};
use crate::config;
use crate::db::models::wallets::{self, ChallengeRow, EVERY_CHAIN, WalletRow};
use crate::db::models::{accounts, tombstones};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{ChainId, EvmAddress};
use crate::domain::ids::{AccountId, nonce, public_id};
use crate::domain::tombstone::TombstoneKey;

/// Challenges that an account gets within an hour. Each lets it ask the providers about one
/// contract.
const CHALLENGES_PER_HOUR: i64 = 60;
/// Milliseconds of that hour.
const HOUR: i64 = 3_600_000;
/// Milliseconds for which a challenge that ran out is remembered, so that it is called expired
/// rather than unknown.
const REMEMBERED: i64 = 24 * HOUR;

/// How a wallet has proven itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By its key's signature, which holds on every chain.
    KeyPair,
    /// By its contract's word, which holds on its own chain, and is asked for again.
    Contract {
        /// What was signed.
        hash: [u8; 32],
        /// What it accepted.
        signature: Vec<u8>,
    },
}

/// What came of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linked {
    /// The wallet is the account's from now on.
    New(WalletRow),
    /// It had been already.
    Before(WalletRow),
    /// The nonce was used meanwhile.
    NonceUsed,
    /// The account has as many wallets as it may have.
    TooMany,
    /// An account that had linked it has gone with a debt.
    InDebt,
}

/// Makes a challenge and remembers its nonce. `None` if the account has had as many within the hour
/// as it may have.
pub fn challenge(
    conn: &mut AnyConnection,
    origin: &Origin,
    account_id: AccountId,
    (address, chain_id): (EvmAddress, ChainId),
    lifetime: Duration,
    now: UnixMillis,
) -> Result<Option<SiweMessage>, DepositError> {
    if wallets::challenges_since(conn, account_id, now.plus_millis(-HOUR))? >= CHALLENGES_PER_HOUR {
        return Ok(None);
    }
    let account = name_of(conn, account_id)?;
    let claim = OwnershipClaim { account: &account, address, chain_id };
    let message = origin.challenge(&claim, &nonce()?, now, lifetime);
    let row = ChallengeRow {
        nonce: message.nonce.clone(),
        account_id,
        chain_id,
        address,
        issued_at: now,
        expires_at: message.expires_at.unwrap_or(now),
        used_at: None,
    };
    transaction::write(conn, |conn| wallets::issue(conn, &row, now.plus_millis(-REMEMBERED)))?;
    Ok(Some(message))
}

/// Whether a message is the one that this account was given, and still counts.
pub fn check(
    conn: &mut AnyConnection,
    origin: &Origin,
    account_id: AccountId,
    message: &SiweMessage,
    now: UnixMillis,
) -> Result<Result<(), ProofError>, DepositError> {
    let Some(row) = wallets::challenge(conn, &message.nonce)? else {
        return Ok(Err(ProofError::UnknownNonce));
    };
    if row.account_id != account_id {
        return Ok(Err(ProofError::OtherAccount));
    }
    let account = name_of(conn, account_id)?;
    let claim = OwnershipClaim { account: &account, address: row.address, chain_id: row.chain_id };
    let checked = origin.check(message, &claim, now);
    Ok(checked.and_then(|()| match row.used_at {
        Some(_) => Err(ProofError::NonceUsed),
        // The message may have been told to last longer than we said.
        None if row.expires_at <= now => Err(ProofError::Expired),
        None => Ok(()),
    }))
}

/// Uses a nonce up ahead of the proof; `false` if it had been.
pub fn use_up(
    conn: &mut AnyConnection,
    nonce: &str,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    Ok(wallets::use_up(conn, nonce, now)?)
}

/// Links a wallet that has proven itself. A key's nonce is used up here; a contract's was, before
/// the contract was asked. A link to another account ends as moved, and whatever waited for a proof
/// is sent on.
pub fn link(
    conn: &mut AnyConnection,
    account_id: AccountId,
    message: &SiweMessage,
    proof: Proof,
    (limits, key): (&config::Deposits, &TombstoneKey),
    now: UnixMillis,
) -> Result<Linked, DepositError> {
    let row = row_of(account_id, message, proof, now)?;
    transaction::write(conn, |conn| {
        let is_key_pair = row.chain_id == EVERY_CHAIN;
        if is_key_pair && !wallets::use_up(conn, &message.nonce, now)? {
            return Ok(Linked::NonceUsed);
        }
        let current = wallets::in_force(conn, message.address, row.chain_id)?;
        match current {
            Some(current) if current.account_id == account_id && is_key_pair => {
                return Ok(Linked::Before(current));
            }
            // The new proof counts from now on, the old one for what was paid before.
            Some(current) if current.account_id == account_id => {
                wallets::end(conn, current.id, "unlinked", now)?;
            }
            // Only whoever has proven the wallet hears of it.
            _ if tombstones::is_of_debtor(conn, key, message.address, limits.debt_forgiven)? => {
                return Ok(Linked::InDebt);
            }
            _ if is_full(conn, account_id, limits)? => return Ok(Linked::TooMany),
            Some(current) => {
                wallets::end(conn, current.id, "moved", now)?;
            }
            None => {}
        }
        wallets::link(conn, &row)?;
        let chain_id = (!is_key_pair).then_some(message.chain_id);
        attribution::send_on(conn, row.address, chain_id, now)?;
        let stored = wallets::find(conn, account_id, &row.public_id)?;
        Ok(Linked::New(stored.unwrap_or(row)))
    })
}

/// Ends a link of the account; `false` if it has none of that name in force.
pub fn unlink(
    conn: &mut AnyConnection,
    account_id: AccountId,
    public_id: &str,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    match wallets::find(conn, account_id, public_id)? {
        Some(row) => Ok(wallets::end(conn, row.id, "unlinked", now)?),
        None => Ok(false),
    }
}

fn row_of(
    account_id: AccountId,
    message: &SiweMessage,
    proof: Proof,
    now: UnixMillis,
) -> Result<WalletRow, DepositError> {
    let (kind, chain_id, hash, signature) = match proof {
        Proof::KeyPair => ("eoa", EVERY_CHAIN, None, None),
        Proof::Contract { hash, signature } => {
            ("contract", message.chain_id, Some(hash.to_vec()), Some(signature))
        }
    };
    Ok(WalletRow {
        id: 0,
        public_id: public_id("wal_")?,
        account_id,
        kind: kind.to_owned(),
        chain_id,
        address: message.address,
        proof_hash: hash,
        proof_signature: signature,
        proven_at: now,
        ended_at: None,
        end_reason: None,
        label: None,
    })
}

fn is_full(
    conn: &mut AnyConnection,
    account_id: AccountId,
    limits: &config::Deposits,
) -> Result<bool, DbError> {
    Ok(wallets::count(conn, account_id)? >= limits.wallets_max_per_account.into())
}

fn name_of(conn: &mut AnyConnection, account_id: AccountId) -> Result<String, DepositError> {
    let account = accounts::get(conn, account_id)?;
    let account = account.ok_or(DbError::Query(diesel::result::Error::NotFound))?;
    Ok(account.public_id)
}
