//! `[accounts]`: who may sign up, how people log in, and what they may try.

use std::time::Duration;

use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::value;

/// Who may sign up, how people log in, and what they may try.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Whether anybody may open an account.
    #[serde(deserialize_with = "value::flag")]
    pub sign_up_open: bool,
    /// Logarithm of the rounds of bcrypt. 12 is some 250 ms.
    #[serde(deserialize_with = "value::whole::<12, 16, _, _>")]
    pub bcrypt_cost: u32,
    /// Characters of a password at least.
    #[serde(deserialize_with = "value::whole::<8, 64, _, _>")]
    pub password_min_chars: usize,
    /// Passwords of one client, or of one account, that are checked or stand in line for it.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub password_checks_per_client: usize,
    /// Longest time that somebody stays logged in.
    #[serde(rename = "session_hours", deserialize_with = "value::hours::<1, 8_760, _>")]
    pub session: Duration,
    /// Time without a request after which a session ends.
    #[serde(rename = "session_idle_hours", deserialize_with = "value::hours::<1, 8_760, _>")]
    pub session_idle: Duration,
    /// Time for which a link in mail works.
    #[serde(rename = "mail_link_secs", deserialize_with = "value::secs::<300, 604_800, _>")]
    pub mail_link: Duration,
    /// Failed log-ins of one client address to one account within a window, after which more are
    /// refused unseen.
    #[serde(deserialize_with = "value::whole::<3, 1_000, _, _>")]
    pub failed_logins_max: u32,
    /// The same of all client addresses together.
    #[serde(deserialize_with = "value::whole::<3, 100_000, _, _>")]
    pub failed_logins_max_from_all: u32,
    /// Attempts of one client address within a window: log-ins, sign-ups, resets.
    #[serde(deserialize_with = "value::whole::<3, 100_000, _, _>")]
    pub attempts_per_client_max: u32,
    /// Times as much is allowed to the clients of an IPv6 network of 56 bits together.
    #[serde(deserialize_with = "value::whole::<1, 256, _, _>")]
    pub ipv6_56_factor: u32,
    /// Times as much is allowed to the clients of an IPv6 network of 48 bits together.
    #[serde(deserialize_with = "value::whole::<1, 65_536, _, _>")]
    pub ipv6_48_factor: u32,
    /// Mails to one address within a window that somebody may ask for without being logged in.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub mails_per_address_max: u32,
    /// That window.
    #[serde(rename = "attempts_window_secs", deserialize_with = "value::secs::<60, 86_400, _>")]
    pub attempts_window: Duration,
    /// Wrong codes of the second factor in one log-in, after which the password is asked for again.
    #[serde(deserialize_with = "value::whole::<1, 100, _, _>")]
    pub wrong_codes_max_per_log_in: u32,
    /// Wrong codes of an account within a window, after which its owner is told.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub wrong_codes_before_mail: u32,
    /// The same, after which none of the app's codes are looked at.
    #[serde(deserialize_with = "value::whole::<3, 1_000, _, _>")]
    pub wrong_codes_max: u32,
    /// That window.
    #[serde(
        rename = "wrong_codes_window_secs",
        deserialize_with = "value::secs::<60, 604_800, _>"
    )]
    pub wrong_codes_window: Duration,
    /// Keys that one account may have, revoked ones aside.
    #[serde(deserialize_with = "value::whole::<1, 10_000, _, _>")]
    pub keys_max_per_account: u32,
    /// Time between the wish to delete an account and its erasure.
    #[serde(rename = "closing_grace_hours", deserialize_with = "value::hours::<0, 2_160, _>")]
    pub closing_grace: Duration,
}

impl Accounts {
    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if self.failed_logins_max_from_all < self.failed_logins_max {
            let reason =
                "must not be below failed_logins_max, or one client would keep all others out";
            problems.add(&at.key("failed_logins_max_from_all"), reason);
        }
        if self.wrong_codes_max < self.wrong_codes_before_mail {
            let reason =
                "must not be below wrong_codes_before_mail, or the owner would never be notified";
            problems.add(&at.key("wrong_codes_max"), reason);
        }
        if self.ipv6_48_factor < self.ipv6_56_factor {
            let reason = "must not be below ipv6_56_factor: the larger network has the smaller \
                one's clients too";
            problems.add(&at.key("ipv6_48_factor"), reason);
        }
    }
}
