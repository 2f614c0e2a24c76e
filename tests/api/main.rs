//! The promises of the contract, tested against the real server: `sluice::app::Application` on port
//! 0, with an upstream that does on command whatever an upstream can do, on SQLite or, where
//! `TEST_DATABASE_URL` names an administrator's PostgreSQL, on a database made for each test. What
//! is below `chain` also needs anvil, which `scripts/test chain` installs; what is below
//! `mail::server` needs aiosmtpd, what is below `proxy` nginx.

#[cfg(test)]
mod abuse;
#[cfg(test)]
mod alarms;
#[cfg(test)]
mod archive;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod bill;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod claim_races;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod deposit_cli;
#[cfg(test)]
mod deposit_events;
#[cfg(test)]
mod deposit_turns;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod first_minutes;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod holds;
#[cfg(test)]
mod idor;
#[cfg(test)]
mod install;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod interface;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod mail;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod migrate_to;
#[cfg(test)]
mod money;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod otlp;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod parked;
#[cfg(test)]
mod parsers;
#[cfg(test)]
mod people;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod public;
#[cfg(test)]
mod reconcile;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod site;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tombstones;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod wallets;
