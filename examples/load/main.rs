//! A load generator for one HTTP server: sends one request again and again, finds where each
//! response ends, and counts events. `scripts/bench` runs it; `docs/performance.md` explains the
//! figures.
//!
//! The request is a file with the bytes of one HTTP/1.1 request, so that this program knows nothing
//! of the API. It prints JSON; times are microseconds.

mod closed;
mod connection;
mod held;
mod open;
mod response;
mod tally;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::connection::Target;
use crate::tally::Tally;

#[derive(Parser)]
struct Args {
    /// Address of the server.
    #[arg(long)]
    address: SocketAddr,
    /// File with the bytes of one HTTP/1.1 request.
    #[arg(long)]
    request: PathBuf,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Each connection sends its next request once the response to the last one is complete.
    Closed {
        #[arg(long, default_value_t = 1)]
        connections: usize,
        /// In total, over all connections.
        #[arg(long)]
        requests: usize,
    },
    /// Requests start at fixed moments, however long responses take. A latency counts from the
    /// moment at which its request should have started.
    Open {
        /// Requests per second.
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        seconds: u32,
        /// Connections at most; beyond that, requests wait, and their latency grows.
        #[arg(long, default_value_t = 512)]
        connections: usize,
    },
    /// Opens streams one after the other and reads them until standard input ends. Prints the
    /// counts once all have begun, and again for each line of standard input.
    Held {
        #[arg(long)]
        streams: usize,
        /// Time from the start of one stream to the start of the next.
        #[arg(long, default_value_t = 2100)]
        stagger_us: u64,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit code has to do.
            drop(writeln!(io::stderr(), "load: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let target = Target {
        address: args.address,
        request: std::fs::read(&args.request)?.into(),
        tally: Arc::new(Tally::default()),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        match args.mode {
            Mode::Closed { connections, requests } => {
                print(&closed::run(&target, connections, requests).await?)
            }
            Mode::Open { rate, seconds, connections } => {
                print(&open::run(&target, rate, seconds, connections).await?)
            }
            Mode::Held { streams, stagger_us } => held::run(&target, streams, stagger_us).await,
        }
    })
}

/// One line of JSON, written at once.
fn print(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
