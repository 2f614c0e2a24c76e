//! How often something may be tried. Whom it is counted against is known by a keyed hash only, in memory, under a key
//! that lasts as long as the process: nothing here is stored, logged, or can be read back into an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::config::Accounts;
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::ids::{AccountId, NoRandomness, random_bytes};
use crate::domain::unprintable::unprintable;

/// Counters kept at most.
const CAPACITY: usize = 65_536;
/// Counters that an attempt may add.
const ADDED: usize = 2;

/// Where a client is: an IPv4 address, or the network of an IPv6 address (its first 64 bits, which one client has to
/// itself). Has no `Debug`, so that it gets into no log.
#[derive(Clone, Copy)]
pub struct ClientAddress([u8; 16]);

impl ClientAddress {
    /// Of an address as the connection or a proxy has it.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => Self((address.to_bits() >> 64 << 64).to_be_bytes()),
        }
    }
}

/// What is counted, and against whom.
#[derive(Clone, Copy)]
pub(super) enum Attempt<'a> {
    /// Guessing the password or code of an account, by its address, whether or not there is such an account; and who
    /// guesses. It counts against both together, and against the account alone.
    Guess(&'a str, ClientAddress),
    /// Anything that somebody does who is not logged in.
    Client(ClientAddress),
    /// A mail to an address.
    MailTo(&'a str),
    /// A mail to wherever an account wants it.
    MailFrom(AccountId),
}

/// More than that is not tried now.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooMany {
    pub(super) retry_after_secs: u64,
}

/// See the module.
pub(super) struct Throttle {
    key: [u8; 32],
    clock: Clock,
    settings: Accounts,
    windows: Mutex<HashMap<[u8; 32], Window>>,
}

unprintable!(ClientAddress, Attempt<'static>, Throttle);

#[derive(Clone, Copy)]
struct Window {
    began: UnixMillis,
    count: u32,
    /// Of the count, what a window that is shared with others has too: which one, by its beginning, and how much.
    shared: (UnixMillis, u32),
}

impl Window {
    const fn new(began: UnixMillis) -> Self {
        Self { began, count: 0, shared: (began, 0) }
    }
}

/// A key of the windows, and what a window of it may count to.
type Counter = ([u8; 32], u32);

impl Throttle {
    /// Nothing counted so far.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn new(settings: &Accounts, clock: Clock) -> Result<Self, NoRandomness> {
        let (key, settings) = (random_bytes()?, settings.clone());
        Ok(Self { key, clock, settings, windows: Mutex::default() })
    }

    /// Counts an attempt before it is made, so that many at once are counted too: in all windows that it belongs to, or,
    /// where one of them is full, in none.
    ///
    /// # Errors
    /// [`TooMany`]; then it was not counted.
    pub(super) fn count(&self, attempt: Attempt<'_>) -> Result<(), TooMany> {
        let (now, span) = (self.clock.now(), self.settings.attempts_window);
        let is_open = |window: &Window| window.began.plus(span) > now;
        let (own, shared) = (self.own(attempt), self.shared(attempt));
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut windows, is_open);
        let full = [Some(own), shared].into_iter().flatten().filter_map(|(key, most)| {
            windows.get(&key).filter(|window| is_open(window) && window.count >= most)
        });
        if let Some(began) = full.map(|window| window.began).max() {
            let left = began.plus(span).millis_since(now);
            let retry_after_secs = u64::try_from(left).unwrap_or(0).div_ceil(1000);
            return Err(TooMany { retry_after_secs });
        }
        let mut count = |(key, _): Counter| {
            let window = windows.entry(key).or_insert(Window::new(now));
            if !is_open(window) {
                *window = Window::new(now);
            }
            window.count = window.count.saturating_add(1);
            window.began
        };
        let shared_began = shared.map(&mut count);
        count(own);
        if let (Some(began), Some(window)) = (shared_began, windows.get_mut(&own.0)) {
            // What an earlier window of all counted went with it.
            let before = if window.shared.0 == began { window.shared.1 } else { 0 };
            window.shared = (began, before.saturating_add(1));
        }
        Ok(())
    }

    /// Takes one count back: the attempt was none.
    pub(super) fn take_back(&self, attempt: Attempt<'_>) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = windows.get_mut(&self.own(attempt).0) else { return };
        window.count = window.count.saturating_sub(1);
        let (began, shared) = window.shared;
        window.shared.1 = shared.saturating_sub(1);
        self.take_from_shared(&mut windows, attempt, (began, shared.min(1)));
    }

    /// Starts anew after a success: what others have tried stays counted.
    pub(super) fn forget(&self, attempt: Attempt<'_>) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = windows.remove(&self.own(attempt).0) else { return };
        self.take_from_shared(&mut windows, attempt, window.shared);
    }

    /// Starts anew for all, since there is nothing left to be guessed at.
    pub(super) fn forget_all(&self, attempt: Attempt<'_>) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&self.own(attempt).0);
        if let Some((key, _)) = self.shared(attempt) {
            windows.remove(&key);
        }
    }

    /// Takes so many counts out of the window that is shared, if it is still the one that has them.
    fn take_from_shared(
        &self,
        windows: &mut HashMap<[u8; 32], Window>,
        attempt: Attempt<'_>,
        (began, count): (UnixMillis, u32),
    ) {
        let Some((key, _)) = self.shared(attempt) else { return };
        if let Some(window) = windows.get_mut(&key).filter(|window| window.began == began) {
            window.count = window.count.saturating_sub(count);
        }
    }

    /// What an attempt counts in first.
    fn own(&self, attempt: Attempt<'_>) -> Counter {
        let hash = Sha256::new_with_prefix(self.key);
        let (hash, most) = match attempt {
            Attempt::Guess(address, client) => (
                hash.chain_update(b"guess by").chain_update(client.0).chain_update(address),
                self.settings.failed_logins_max,
            ),
            Attempt::Client(address) => (
                hash.chain_update(b"client").chain_update(address.0),
                self.settings.attempts_per_client_max,
            ),
            Attempt::MailTo(address) => (
                hash.chain_update(b"mail to").chain_update(address),
                self.settings.mails_per_address_max,
            ),
            Attempt::MailFrom(account) => (
                hash.chain_update(b"mail from").chain_update(account.0.to_be_bytes()),
                self.settings.mails_per_address_max,
            ),
        };
        (hash.finalize().into(), most)
    }

    /// And where else, together with the attempts of others.
    fn shared(&self, attempt: Attempt<'_>) -> Option<Counter> {
        let Attempt::Guess(address, _) = attempt else { return None };
        let hash = Sha256::new_with_prefix(self.key).chain_update(b"guess").chain_update(address);
        Some((hash.finalize().into(), self.settings.failed_logins_max_from_all))
    }
}

/// Forgets what is over; if that is not enough, what was tried once; and then everything. Who fills this has tried
/// from very many addresses.
fn make_room(windows: &mut HashMap<[u8; 32], Window>, is_open: impl Fn(&Window) -> bool) {
    let is_full = |windows: &HashMap<_, _>| windows.len() + ADDED > CAPACITY;
    if !is_full(windows) {
        return;
    }
    windows.retain(|_, window| is_open(window));
    if is_full(windows) {
        windows.retain(|_, window| window.count > 1);
    }
    if is_full(windows) {
        windows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> (Throttle, Clock) {
        let settings = crate::config::load_for(
            &crate::config::Sources::default(),
            crate::config::Purpose::Command,
        );
        let clock = Clock::manual(1_000);
        let settings = Accounts {
            failed_logins_max: 3,
            failed_logins_max_from_all: 7,
            ..settings.unwrap().accounts
        };
        (Throttle::new(&settings, clock.clone()).unwrap(), clock)
    }

    fn guess(address: &str, client: u8) -> Attempt<'_> {
        Attempt::Guess(address, ClientAddress::new([192, 0, 2, client].into()))
    }

    #[test]
    fn what_is_beyond_the_limit_waits_for_the_window_to_end() {
        let (throttle, clock) = throttle();
        let attempt = guess("a@example.org", 1);
        for _ in 0..3 {
            throttle.count(attempt).unwrap();
        }
        clock.advance(1_500);
        assert_eq!(throttle.count(attempt).unwrap_err().retry_after_secs, 899);
        throttle.count(guess("b@example.org", 1)).unwrap();
        throttle.count(Attempt::MailTo("a@example.org")).unwrap();
        clock.advance(898_499);
        throttle.count(attempt).unwrap_err();
        clock.advance(1);
        throttle.count(attempt).unwrap();
    }

    #[test]
    fn what_was_no_attempt_is_taken_back() {
        let (throttle, _) = throttle();
        let attempt = guess("a@example.org", 1);
        for _ in 0..10 {
            throttle.count(attempt).unwrap();
            throttle.take_back(attempt);
        }
        for _ in 0..3 {
            throttle.count(attempt).unwrap();
        }
        throttle.count(attempt).unwrap_err();
        throttle.forget(attempt);
        throttle.count(attempt).unwrap();
    }

    #[test]
    fn all_clients_share_a_larger_limit_and_a_success_takes_back_its_own_alone() {
        let (throttle, clock) = throttle();
        let [one, two, three] = [1, 2, 3].map(|client| guess("a@example.org", client));
        for attempt in [one, one, one, two, two, two] {
            throttle.count(attempt).unwrap();
        }
        throttle.count(one).unwrap_err();
        // What is full for one is not counted for all.
        throttle.count(three).unwrap();
        clock.advance(500_000);
        assert_eq!(throttle.count(three).unwrap_err().retry_after_secs, 400);
        throttle.forget(two);
        for _ in 0..2 {
            throttle.count(three).unwrap();
        }
        throttle.count(two).unwrap();
        throttle.count(two).unwrap_err();
        throttle.forget_all(three);
        throttle.count(three).unwrap();
        throttle.count(one).unwrap_err();
    }

    #[test]
    fn what_an_earlier_window_of_all_has_counted_is_not_taken_from_the_next() {
        let (throttle, clock) = throttle();
        let [one, two] = [1, 2].map(|client| guess("a@example.org", client));
        throttle.count(two).unwrap();
        clock.advance(899_000);
        for _ in 0..2 {
            throttle.count(one).unwrap();
        }
        // The window of all is a new one now, that of the first client is not.
        clock.advance(1_000);
        for _ in 0..3 {
            throttle.count(two).unwrap();
        }
        throttle.forget(one);
        throttle.take_back(one);
        for client in 3..7 {
            throttle.count(guess("a@example.org", client)).unwrap();
        }
        throttle.count(guess("a@example.org", 7)).unwrap_err();
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| ClientAddress::new(text.parse().unwrap()).0;
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn a_flood_of_addresses_does_not_wash_away_who_guesses() {
        let (throttle, _) = throttle();
        let attempt = guess("a@example.org", 1);
        for _ in 0..3 {
            throttle.count(attempt).unwrap();
        }
        for one in 0..70_000 {
            throttle.count(guess(&format!("{one}@example.org"), 1)).unwrap();
        }
        throttle.count(attempt).unwrap_err();
        assert!(throttle.windows.lock().unwrap().len() <= CAPACITY);
    }
}
