//! From a download to a service: the file that `config init` writes and what `config check` says of
//! it. `scripts/test` runs this on SQLite alone.

mod check;
mod init;
