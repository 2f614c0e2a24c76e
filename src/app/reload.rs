//! Reading the settings again while requests run. A file that is not in order changes nothing. What
//! is in order is taken up as a whole: the next request finds handlers that were made of it, and
//! those that run keep the ones they began with.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::{Mutex, watch};

use super::chains::ChainWatchers;
use super::handlers::Handlers;
use crate::config::{self, ConfigErrors, Problem, SettingLocation, Settings, Sources};
use crate::context::reload_requests::{ReloadQueue, ReloadResult};
use crate::mail::mailer::{ChangeSettings, Mailer};
use crate::policies::Shown;
use crate::site;
use crate::telemetry::{self, Causes};

/// See the module.
pub(super) struct Reloader {
    /// Where the settings are read from.
    pub(super) sources: Sources,
    /// Those that the program began with.
    pub(super) started: Arc<Settings>,
    /// Those that a request finds which begins now.
    pub(super) handlers: watch::Sender<Arc<Handlers>>,
    pub(super) chains: Arc<Mutex<ChainWatchers>>,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) mailer: Addr<Mailer>,
    /// What is held against the published policies.
    pub(super) shown: Shown,
}

impl Reloader {
    /// Answers requests, one after the other, until nobody can ask any more.
    pub(super) async fn run(self, mut queue: ReloadQueue) {
        while let Some(answer) = queue.recv().await {
            let result = self.reload().await;
            self.tell(&result);
            if answer.send(result).is_err() {
                tracing::debug!("who asked for the settings to be read again has left");
            }
        }
    }

    async fn reload(&self) -> ReloadResult {
        let read = config::load(&self.sources)?;
        let handlers = Arc::clone(&self.handlers.borrow());
        let before = &handlers.context.settings;
        let (settings, changes) = before.reloaded(read, &self.started);
        // Whatever may fail comes before anything is taken up.
        let shown = site::policies::shown(&settings).map_err(|error| self.refusal(&error))?;
        let context = Arc::new(handlers.context.with_settings(Arc::new(settings)));
        let mut chains = self.chains.lock().await;
        let providers = chains.prepare(&context, before, &self.tls);
        let providers = providers.map_err(|error| self.refusal(&error))?;
        let next = handlers.with_context(&context, &self.tls, &providers.providers);
        let next = next.map_err(|error| self.refusal(&error))?;
        context.metrics.declare_reloaded(&context.settings);
        chains.take_up(providers).await;
        self.handlers.send_replace(Arc::new(next));
        self.shown.change_to(&shown);
        if self.mailer.send(ChangeSettings(Arc::clone(&context.settings))).await.is_err() {
            tracing::error!("the mailer has ended");
        }
        telemetry::change_filter(&context.settings.log);
        Ok(changes)
    }

    /// Something that the check of the settings does not see, such as a broken template.
    fn refusal(&self, error: &dyn std::error::Error) -> ConfigErrors {
        let place = self.sources.file.clone().map_or(SettingLocation::Unwritten, |path| {
            SettingLocation::File { path, line: None, column: None }
        });
        let reason = format!("cannot be taken up: {}", Causes(error));
        ConfigErrors { problems: vec![Problem { place, key: String::new(), reason }] }
    }

    fn tell(&self, result: &ReloadResult) {
        let context = Arc::clone(&self.handlers.borrow().context);
        context.metrics.settings.count_reload(result.is_ok());
        match result {
            Ok(changes) => {
                context.metrics.settings.note_loaded(context.clock.now());
                tracing::info!(
                    applied = changes.applied.join(", "),
                    waiting_for_restart = changes.waiting.join(", "),
                    "settings read again"
                );
            }
            Err(errors) => {
                for problem in &errors.problems {
                    tracing::error!(%problem, "the settings are refused; those in force stay");
                }
            }
        }
    }
}
