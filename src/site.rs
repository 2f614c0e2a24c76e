//! The website: pages made on the server, and forms that work without a script. Whatever it does,
//! it does by the same verbs as `/api/v1`.
//!
//! A page is a file: it reads its form, calls a verb, and fills in its template. Who asks, where
//! forms come from, and the headers of every answer are the business of [`visit`] alone.

mod account;
mod assets;
mod chart;
mod choice;
mod dashboard;
mod deposits;
mod docs;
mod fault;
mod fields;
mod home;
mod keys;
mod layout;
mod ledger;
mod log_in;
mod log_out;
mod next;
mod note;
pub mod policies;
mod preferences;
mod qr;
mod receipt;
mod reset;
pub mod routes;
mod show;
mod sign_up;
mod status;
mod theme;
mod unsubscribe;
mod usage;
mod visit;
mod wallets;

use std::sync::Arc;

use actix_web::web::Data;

use crate::accounts::identity::email_tokens::Purpose;
use crate::accounts::identity::{People, PeopleError};
use crate::api::{Api, ApiParts};
use crate::config::{Limits, Settings};
use crate::db::AnyConnection;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use docs::reference::Reference;
use fault::Fault;
use layout::Layout;

/// Bytes of a form.
const FORM_BYTES: usize = 32 * 1024;

/// What pages are made of.
pub struct SiteParts {
    /// What `/api/v1` works with too.
    pub api: ApiParts,
    /// `/api/v1` itself: how the service stands, and what describes it.
    pub interface: Data<Api>,
}

/// What pages work with.
pub struct Site {
    parts: SiteParts,
    layout: Arc<Layout>,
    form: Limits,
    /// The page of the interface, which does not change.
    reference: Reference,
}

impl Site {
    /// From its parts.
    #[must_use]
    pub fn new(parts: SiteParts) -> Self {
        let settings = &parts.api.context.settings;
        let form = settings.limits.of_small_body(FORM_BYTES);
        let layout = Arc::new(Layout::new(&settings.site, &settings.accounts));
        let reference = Reference::of(parts.interface.document());
        Self { parts, layout, form, reference }
    }

    fn now(&self) -> UnixMillis {
        self.parts.api.context.clock.now()
    }

    fn people(&self) -> &People {
        &self.parts.api.people
    }

    /// Whether a mailed link is still good, without using it up.
    async fn link_works(&self, purpose: Purpose, token: &str) -> Result<bool, Fault> {
        match self.people().check_link(purpose, token).await {
            Ok(_) => Ok(true),
            Err(PeopleError::BadLink) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn settings(&self) -> &Settings {
        &self.parts.api.context.settings
    }

    /// Does something with the database, on a thread that may block. The outer error is storage's;
    /// what the verb itself refuses is left to the page, which knows the form to show it on.
    async fn attempt<T, E, F>(&self, work: F) -> Result<Result<T, E>, Fault>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        Ok(self.parts.api.context.database.run(move |conn| Ok(work(conn))).await?)
    }

    /// The same where no refusal is the visitor's to mend.
    async fn run<T, E, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        E: Into<Fault> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.attempt(work).await?.map_err(Into::into)
    }

    /// See [`ApiParts::run_long`].
    async fn run_long<T, E, F>(&self, account_id: AccountId, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        E: Into<Fault> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.parts.api.run_long(account_id, work).await
    }
}
