//! What people do with their account by themselves, over `/api/v1`: signing up, logging in and out, passwords,
//! addresses, the second factor, and what mail they want. Passwords are checked at the cost that is in force, so
//! sessions that a test only needs are put into the database.

mod addresses;
mod email;
mod epoch;
mod flood;
mod late;
mod log_in;
mod password;
mod preferences;
mod sealed;
mod second_factor;
mod sessions;
mod sign_up;
mod stored;
mod throttle;
mod wrong_codes;
