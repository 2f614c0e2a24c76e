//! `sluice serve`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getpid, kill_process, set_dumpable_behavior,
    setrlimit,
};
use tokio::signal::unix::{Signal as Hangups, SignalKind, signal};

use super::CliError;
use crate::app::{Application, ShutdownSignals};
use crate::config::{self, Sources};
use crate::context::ReloadRequests;
use crate::domain::clock::Clock;
use crate::telemetry::{self, Causes};

/// Serve clients until SIGTERM or SIGINT. The first lets running exchanges finish, the second ends
/// them at once; both settle what was delivered.
#[derive(clap::Args)]
pub(super) struct ServeArgs {
    /// File to write the bound addresses to once the server listens, for scripts that use port 0.
    #[arg(long, value_name = "PATH")]
    address_file: Option<PathBuf>,
}

pub(super) fn run(args: &ServeArgs, sources: Sources) -> Result<ExitCode, CliError> {
    let settings = config::load(&sources)?;
    telemetry::start(&settings.log);
    forbid_core_dumps()?;
    actix_web::rt::System::new().block_on(async {
        let stop = stop_on_signals()?;
        end_in_time(&stop, Application::stop_max(&settings));
        let hangups = signal(SignalKind::hangup())?;
        let app = Application::build(Arc::new(settings), sources, Clock::System).await?;
        reload_on_signal(hangups, app.reloads.clone());
        if let Some(path) = &args.address_file {
            announce(path, &app)?;
        }
        let version = env!("CARGO_PKG_VERSION");
        let (clients, operator) = (app.client_address, app.admin_address);
        tracing::info!(version, %clients, %operator, "serving");
        let is_settled = app.run(stop).await;
        tracing::info!(is_settled, "stopped");
        Ok(if is_settled { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Ends the process where its stop does not: a call into a database that says nothing comes back
/// when it likes. What is left open is recovered by another node, or by the next start.
#[expect(clippy::disallowed_methods, reason = "nothing of the runtime may be needed for it")]
fn end_in_time(stop: &ShutdownSignals, after: Duration) {
    let told = stop.in_order.clone();
    drop(actix_web::rt::spawn(async move {
        told.cancelled().await;
        std::thread::spawn(move || {
            std::thread::sleep(after);
            tracing::error!(secs = after.as_secs(), "the stop takes too long; ending it now");
            // Not by an exit: libpq's own clean-up would wait for the same call.
            if let Err(error) = kill_process(getpid(), Signal::KILL) {
                tracing::error!(error = %Causes(&error), "it cannot be ended");
            }
        });
    }));
}

/// What is in memory may be somebody's prompt: a crash must not write it to the disk. A limit alone
/// is not heeded where a program such as systemd-coredump takes the dump.
fn forbid_core_dumps() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// The file appears whole or not at all.
fn announce(path: &Path, app: &Application) -> std::io::Result<()> {
    let unfinished = path.with_added_extension("new");
    let text = format!("client={}\nadmin={}\n", app.client_address, app.admin_address);
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, path)
}

/// SIGHUP has the settings read again.
#[expect(clippy::disallowed_methods, reason = "it lives as long as the process and holds nothing")]
fn reload_on_signal(mut hangups: Hangups, reloads: ReloadRequests) {
    drop(actix_web::rt::spawn(async move {
        while hangups.recv().await.is_some() {
            // What comes of it is in the log.
            drop(reloads.ask().await);
        }
    }));
}

/// The two words of the person or the system that stops the server.
#[expect(clippy::disallowed_methods, reason = "it lives as long as the process and holds nothing")]
fn stop_on_signals() -> std::io::Result<ShutdownSignals> {
    let words = ShutdownSignals::default();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = words.clone();
    drop(actix_web::rt::spawn(async move {
        for word in [told.in_order, told.at_once] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            word.cancel();
        }
    }));
    Ok(words)
}
