//! How often something may be tried. Whom it is counted against is known by a keyed hash only, in
//! memory, under a key that lasts as long as the process: nothing here is stored, logged, or can be
//! read back into an address.
//!
//! The memory is bounded, and nothing that is counted is forgotten before its time to keep it so:
//! see `counts`.

mod counts;
mod sketch;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use self::counts::AttemptCounts;
use crate::config::Accounts;
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::email_address::mailbox;
use crate::domain::ids::{AccountId, NoRandomness, random_bytes};
use crate::domain::unprintable::unprintable;

/// What something is counted under: a keyed hash.
type CountKey = [u8; 32];
/// A key, and what may be counted under it.
type CountLimit = (CountKey, u32);

/// Where a client is: an IPv4 address, or the network of an IPv6 address (its first 64 bits, which
/// one client has to itself). Has no `Debug`, so that it gets into no log.
#[derive(Clone, Copy)]
pub struct ClientAddress(NetworkNumber);

#[derive(Clone, Copy)]
enum NetworkNumber {
    V4([u8; 4]),
    V6(u64),
}

impl ClientAddress {
    /// Of an address as the connection or a proxy has it.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => NetworkNumber::V4(address.octets()),
            IpAddr::V6(address) => {
                NetworkNumber::V6((address.to_bits() >> 64).try_into().unwrap_or(0))
            }
        })
    }

    /// The networks that it is in, smallest first, as bits and number.
    #[must_use]
    pub fn networks(self) -> Vec<(u8, u64)> {
        match self.0 {
            NetworkNumber::V4(octets) => vec![(32, u64::from(u32::from_be_bytes(octets)))],
            NetworkNumber::V6(bits) => vec![(64, bits), (56, bits >> 8), (48, bits >> 16)],
        }
    }
}

/// What is counted, and against whom.
#[derive(Clone, Copy)]
pub(super) enum ThrottledAction<'a> {
    /// Guessing the password or code of an account, by its address, whether or not there is such an
    /// account; and who guesses. It counts against both together, and against the account alone.
    Guess(&'a str, ClientAddress),
    /// Anything that somebody does who is not logged in.
    Client(ClientAddress),
    /// A mail to an address.
    MailTo(&'a str),
    /// A mail to wherever an account wants it.
    MailFrom(AccountId),
}

/// An attempt that was counted, and when.
#[derive(Clone, Copy)]
pub(super) struct CountedAction<'a> {
    attempt: ThrottledAction<'a>,
    at: UnixMillis,
}

/// More than that is not tried now.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooMany {
    pub(super) retry_after_secs: u64,
}

/// See the module. What counts against clients, accounts and mailboxes is kept apart, so that who
/// has many addresses takes room from other clients only.
pub(super) struct Throttle {
    secret: [u8; 32],
    clock: Clock,
    settings: Accounts,
    clients: Mutex<AttemptCounts>,
    guesses: Mutex<AttemptCounts>,
    mails: Mutex<AttemptCounts>,
}

unprintable!(ClientAddress, ThrottledAction<'static>, CountedAction<'static>, Throttle);

impl Throttle {
    /// Nothing counted so far.
    pub(super) fn new(settings: &Accounts, clock: Clock) -> Result<Self, NoRandomness> {
        let counts = || Mutex::new(AttemptCounts::new(settings.attempts_window));
        let (secret, settings) = (random_bytes()?, settings.clone());
        let (clients, guesses, mails) = (counts(), counts(), counts());
        Ok(Self { secret, clock, settings, clients, guesses, mails })
    }

    /// Counts an attempt before it is made, so that many at once are counted too: under all keys
    /// that it belongs to, or, where one of them has come to its limit, under none.
    ///
    /// # Errors
    /// [`TooMany`]; then it was not counted.
    pub(super) fn count<'a>(
        &self,
        attempt: ThrottledAction<'a>,
    ) -> Result<CountedAction<'a>, TooMany> {
        let (own, shared) = self.limits(attempt);
        let at = self.clock.now();
        let mut counts = self.counts(attempt).lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::iter::once(&own).chain(&shared);
        let full = all.filter_map(|(key, most)| counts.full_until(key, *most, at));
        if let Some(until) = full.max() {
            let left = until.millis_since(at);
            let retry_after_secs = u64::try_from(left).unwrap_or(0).div_ceil(1000);
            return Err(TooMany { retry_after_secs });
        }
        counts.add(&own.0, &keys(&shared), at);
        Ok(CountedAction { attempt, at })
    }

    /// Takes one count back: the attempt was none. It stays counted if there was no room to count
    /// it exactly.
    pub(super) fn take_back(&self, CountedAction { attempt, at }: CountedAction<'_>) {
        let ((own, _), shared) = self.limits(attempt);
        let mut counts = self.counts(attempt).lock().unwrap_or_else(PoisonError::into_inner);
        counts.take_back(&own, &keys(&shared), at);
    }

    /// Starts anew after a success: what others have tried stays counted. Gives how often the same
    /// client had failed before.
    pub(super) fn forget(&self, CountedAction { attempt, .. }: CountedAction<'_>) -> u32 {
        let ((own, _), shared) = self.limits(attempt);
        let mut counts = self.counts(attempt).lock().unwrap_or_else(PoisonError::into_inner);
        // One of them was the success.
        counts.forget(&own, &keys(&shared)).saturating_sub(1)
    }

    /// Starts anew for all, since there is nothing left to be guessed at.
    pub(super) fn forget_all(&self, attempt: ThrottledAction<'_>) {
        let ((own, _), shared) = self.limits(attempt);
        let mut counts = self.counts(attempt).lock().unwrap_or_else(PoisonError::into_inner);
        for key in std::iter::once(own).chain(keys(&shared)) {
            counts.forget_all(&key);
        }
    }

    const fn counts(&self, attempt: ThrottledAction<'_>) -> &Mutex<AttemptCounts> {
        match attempt {
            ThrottledAction::Guess(..) => &self.guesses,
            ThrottledAction::Client(_) => &self.clients,
            ThrottledAction::MailTo(_) | ThrottledAction::MailFrom(_) => &self.mails,
        }
    }

    /// What an attempt counts in first, and where else, together with those of others.
    fn limits(&self, attempt: ThrottledAction<'_>) -> (CountLimit, Vec<CountLimit>) {
        let hash = Sha256::new_with_prefix(self.secret);
        let settings = &self.settings;
        match attempt {
            ThrottledAction::Guess(address, client) => {
                let mailbox = mailbox(address);
                let by = hash.clone().chain_update(b"guess by").chain_update(&mailbox);
                let (own, mut shared) = self.networks(&by, client, settings.failed_logins_max);
                let all = hash.chain_update(b"guess").chain_update(&mailbox);
                shared.push((all.finalize().into(), settings.failed_logins_max_from_all));
                (own, shared)
            }
            ThrottledAction::Client(client) => {
                let hash = hash.chain_update(b"client");
                self.networks(&hash, client, settings.attempts_per_client_max)
            }
            ThrottledAction::MailTo(address) => {
                let hash = hash.chain_update(b"mail to").chain_update(mailbox(address));
                ((hash.finalize().into(), settings.mails_per_address_max), Vec::new())
            }
            ThrottledAction::MailFrom(account) => {
                let hash = hash.chain_update(b"mail from").chain_update(account.0.to_be_bytes());
                ((hash.finalize().into(), settings.mails_per_address_max), Vec::new())
            }
        }
    }

    /// A client counts by itself, and with its neighbours: who has a whole network has many
    /// addresses.
    fn networks(
        &self,
        hash: &Sha256,
        client: ClientAddress,
        most: u32,
    ) -> (CountLimit, Vec<CountLimit>) {
        let limit = |(bits, number): (u8, u64)| {
            let hash = hash.clone().chain_update([0, bits]).chain_update(number.to_be_bytes());
            let factor = match bits {
                56 => self.settings.ipv6_56_factor,
                48 => self.settings.ipv6_48_factor,
                _ => 1,
            };
            (hash.finalize().into(), most.saturating_mul(factor))
        };
        let mut limits = client.networks().into_iter().map(limit);
        let own = limits.next().unwrap_or(([0; 32], 0));
        (own, limits.collect())
    }
}

fn keys(limits: &[CountLimit]) -> Vec<CountKey> {
    limits.iter().map(|(key, _)| *key).collect()
}

#[cfg(test)]
mod tests;
