//! Who somebody is, and what he does with his account by himself, behind pages and JSON alike: one
//! file for each verb ([`log_in`], [`sessions`], [`totp`] and their neighbours), with the limits on
//! guessing.

mod auth_error;
pub(in crate::accounts) mod credentials;
mod email_change;
pub mod email_tokens;
mod guesses;
pub mod log_in;
pub mod password;
pub mod people;
pub mod preferences;
pub mod reset;
mod session;
pub mod sessions;
mod shared_attempts;
mod sign_up;
pub mod throttle;
pub mod totp;
pub mod totp_key;
pub mod unsubscribe;
mod wrong_codes;

pub use auth_error::AuthError;
pub use people::Identity;
