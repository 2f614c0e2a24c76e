//! What people do with their account by themselves, over `/api/v1`: signing up, logging in and out,
//! passwords, addresses, the second factor, and what mail they want. Passwords are checked at the
//! cost that is in force, so sessions that a test only needs are put into the database.

mod addresses;
mod email;
mod epoch;
mod flood;
mod late;
mod log_in;
mod nodes;
mod password;
mod preferences;
mod sealed;
mod second_factor;
mod sessions;
mod sign_up;
mod stored;
mod throttle;
mod wrong_codes;

use crate::support::app::{Builder, TestApp};
use crate::support::upstream::Upstream;

/// Whose throttle is in nobody's way.
fn app_for_many_log_ins() -> TestApp {
    Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.failed_logins_max", 1000)
        .set("accounts.failed_logins_max_from_all", 1000)
        .start()
}
