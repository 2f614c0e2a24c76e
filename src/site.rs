//! The website: pages made on the server, and forms that work without a script. Whatever it does,
//! it does by the same verbs as `/api/v1`.
//!
//! A page is a file: it reads its form, calls a verb, and fills in its template. Who asks, where
//! forms come from, and the headers of every answer are the business of [`page_request`] alone.

mod account;
mod assets;
mod chart;
mod compression;
mod dashboard;
mod deposits;
#[cfg(debug_assertions)]
mod dev_style;
mod docs;
mod fields;
mod flash;
mod format;
mod home;
mod icons;
mod keys;
mod layout;
mod ledger;
mod log_in;
mod log_out;
mod page_error;
mod page_request;
pub mod policies;
mod preferences;
mod price_table;
mod qr;
mod query_link;
mod receipt;
mod reset;
mod return_to;
pub mod routes;
mod select_option;
mod sign_up;
mod status;
mod theme;
mod unsubscribe;
mod usage;
mod wallets;
mod well_known;
mod zone;

use std::sync::Arc;

use actix_web::web::Data;

use crate::accounts::identity::email_tokens::LinkPurpose;
use crate::accounts::identity::{AuthError, Identity};
use crate::api::{Api, ApiParts};
use crate::config::{Limits, Settings};
use crate::db::AnyConnection;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use compression::CompressedBodies;
use docs::reference::Reference;
use layout::SiteLayout;
use page_error::PageError;
use status::past::PastCache;

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
    layout: Arc<SiteLayout>,
    form: Limits,
    /// The page of the interface, which does not change.
    reference: Reference,
    /// What the status page knows of the past.
    past: PastCache,
    /// Pages and files as browsers take them.
    compressed: CompressedBodies,
}

impl Site {
    /// From its parts.
    #[must_use]
    pub fn new(parts: SiteParts) -> Self {
        let settings = &parts.api.context.settings;
        let form = settings.limits.of_small_body(FORM_BYTES);
        let layout = Arc::new(SiteLayout::new(&settings.site, &settings.accounts));
        let reference = Reference::of(parts.interface.document());
        Self {
            parts,
            layout,
            form,
            reference,
            past: PastCache::default(),
            compressed: CompressedBodies::default(),
        }
    }

    fn now(&self) -> UnixMillis {
        self.parts.api.context.clock.now()
    }

    fn people(&self) -> &Identity {
        &self.parts.api.people
    }

    /// Whether a mailed link is still good, without using it up.
    async fn link_works(&self, purpose: LinkPurpose, token: &str) -> Result<bool, PageError> {
        match self.people().check_link(purpose, token).await {
            Ok(_) => Ok(true),
            Err(AuthError::BadLink) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn settings(&self) -> &Settings {
        &self.parts.api.context.settings
    }

    /// Does something with the database, on a thread that may block. The outer error is storage's;
    /// what the verb itself refuses is left to the page, which knows the form to show it on.
    async fn attempt<T, E, F>(&self, work: F) -> Result<Result<T, E>, PageError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        Ok(self.parts.api.context.database.run(move |conn| Ok(work(conn))).await?)
    }

    /// The same where no refusal is the visitor's to mend.
    async fn run<T, E, F>(&self, work: F) -> Result<T, PageError>
    where
        T: Send + 'static,
        E: Into<PageError> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.attempt(work).await?.map_err(Into::into)
    }

    /// See [`ApiParts::run_long`].
    async fn run_long<T, E, F>(&self, account_id: AccountId, work: F) -> Result<T, PageError>
    where
        T: Send + 'static,
        E: Into<PageError> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.parts.api.run_long(account_id, work).await
    }
}
