//! From a download to a service: the file that `config init` writes and what `config check` says of
//! it, and what `doctor` finds. `scripts/test` runs this on SQLite alone.

mod check;
mod doctor;
mod init;
mod mail;
