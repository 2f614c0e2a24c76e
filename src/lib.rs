//! Sluice: a prepaid, metered, streaming gateway for LLM APIs.
//!
//! The modules stand in the order of dependency: each may use those above it and none below.
//! `docs/architecture.md` is the map; it follows a request, a deposit and a purge file by file.

pub mod domain;

pub mod config;

pub mod metrics;
pub mod places;
pub mod telemetry;
pub mod tracker;

pub mod traces;

pub mod chain;
pub mod db;
pub mod upstream;

pub mod holds;
pub mod ledger;

pub mod accounts;

pub mod deposits;
pub mod mail;

pub mod policies;

pub mod backups;
pub mod operator;

pub mod context;

pub mod jobs;

pub mod http;

pub mod gateway;

pub mod api;

pub mod site;

pub mod admin;
pub mod app;
pub mod doctor;

pub mod cli;
pub mod sandbox;
