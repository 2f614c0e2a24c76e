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
    /// Guessing the password or code of an account, by its address, whether or not there is such an account.
    Guess(&'a str),
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
}

impl Throttle {
    /// Nothing counted so far.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn new(settings: &Accounts, clock: Clock) -> Result<Self, NoRandomness> {
        let (key, settings) = (random_bytes()?, settings.clone());
        Ok(Self { key, clock, settings, windows: Mutex::default() })
    }

    /// Counts an attempt before it is made, so that many at once are counted too.
    ///
    /// # Errors
    /// [`TooMany`]; then it was not counted.
    pub(super) fn count(&self, attempt: Attempt<'_>) -> Result<(), TooMany> {
        let (now, span) = (self.clock.now(), self.settings.attempts_window);
        let most = match attempt {
            Attempt::Guess(_) => self.settings.failed_logins_max,
            Attempt::Client(_) => self.settings.attempts_per_client_max,
            Attempt::MailTo(_) | Attempt::MailFrom(_) => self.settings.mails_per_address_max,
        };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut windows, |window| window.began.plus(span) > now);
        let window = windows.entry(self.key_of(attempt)).or_insert(Window { began: now, count: 0 });
        if window.began.plus(span) <= now {
            *window = Window { began: now, count: 0 };
        }
        if window.count >= most {
            let left = window.began.plus(span).millis_since(now);
            let retry_after_secs = u64::try_from(left).unwrap_or(0).div_ceil(1000);
            return Err(TooMany { retry_after_secs });
        }
        window.count = window.count.saturating_add(1);
        Ok(())
    }

    /// Takes one count back: the attempt was none.
    pub(super) fn take_back(&self, attempt: Attempt<'_>) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(&self.key_of(attempt)) {
            window.count = window.count.saturating_sub(1);
        }
    }

    /// Starts anew.
    pub(super) fn forget(&self, attempt: Attempt<'_>) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&self.key_of(attempt));
    }

    fn key_of(&self, attempt: Attempt<'_>) -> [u8; 32] {
        let hash = Sha256::new_with_prefix(self.key);
        let hash = match attempt {
            Attempt::Guess(address) => hash.chain_update(b"guess").chain_update(address),
            Attempt::Client(address) => hash.chain_update(b"client").chain_update(address.0),
            Attempt::MailTo(address) => hash.chain_update(b"mail to").chain_update(address),
            Attempt::MailFrom(account) => {
                hash.chain_update(b"mail from").chain_update(account.0.to_be_bytes())
            }
        };
        hash.finalize().into()
    }
}

/// Forgets what is over; if that is not enough, what was tried once; and then everything. Who fills this has tried
/// from very many addresses.
fn make_room(windows: &mut HashMap<[u8; 32], Window>, is_open: impl Fn(&Window) -> bool) {
    if windows.len() < CAPACITY {
        return;
    }
    windows.retain(|_, window| is_open(window));
    if windows.len() >= CAPACITY {
        windows.retain(|_, window| window.count > 1);
    }
    if windows.len() >= CAPACITY {
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
        let settings = Accounts { failed_logins_max: 3, ..settings.unwrap().accounts };
        (Throttle::new(&settings, clock.clone()).unwrap(), clock)
    }

    #[test]
    fn what_is_beyond_the_limit_waits_for_the_window_to_end() {
        let (throttle, clock) = throttle();
        let guess = Attempt::Guess("a@example.org");
        for _ in 0..3 {
            throttle.count(guess).unwrap();
        }
        clock.advance(1_500);
        assert_eq!(throttle.count(guess).unwrap_err().retry_after_secs, 899);
        throttle.count(Attempt::Guess("b@example.org")).unwrap();
        throttle.count(Attempt::MailTo("a@example.org")).unwrap();
        clock.advance(898_499);
        throttle.count(guess).unwrap_err();
        clock.advance(1);
        throttle.count(guess).unwrap();
    }

    #[test]
    fn what_was_no_attempt_is_taken_back() {
        let (throttle, _) = throttle();
        let guess = Attempt::Guess("a@example.org");
        for _ in 0..10 {
            throttle.count(guess).unwrap();
            throttle.take_back(guess);
        }
        for _ in 0..3 {
            throttle.count(guess).unwrap();
        }
        throttle.count(guess).unwrap_err();
        throttle.forget(guess);
        throttle.count(guess).unwrap();
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
        let guess = Attempt::Guess("a@example.org");
        for _ in 0..3 {
            throttle.count(guess).unwrap();
        }
        for one in 0..70_000 {
            throttle.count(Attempt::Guess(&format!("{one}@example.org"))).unwrap();
        }
        throttle.count(guess).unwrap_err();
        assert!(throttle.windows.lock().unwrap().len() <= CAPACITY);
    }
}
