//! What the tests stand on: a server, its upstreams, a client that sees every byte, and prices
//! written down a second time.

pub(crate) mod alerting;
pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod chain;
pub(crate) mod claiming;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod database;
pub(crate) mod deposit_rows;
pub(crate) mod deposits;
pub(crate) mod desk;
pub(crate) mod forms;
pub(crate) mod kernel;
pub(crate) mod keys;
pub(crate) mod leaving;
pub(crate) mod mail;
pub(crate) mod nginx;
pub(crate) mod people;
pub(crate) mod policies;
pub(crate) mod prices;
pub(crate) mod process;
pub(crate) mod rpc;
pub(crate) mod sandbox;
pub(crate) mod sse;
pub(crate) mod upstream;
pub(crate) mod usage_rows;
pub(crate) mod wait;
pub(crate) mod wallet_rows;
pub(crate) mod wire;
