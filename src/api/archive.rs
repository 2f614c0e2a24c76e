//! `/api/v1/account/archive`: everything that is held on an account, as one file. One at a time for
//! each account.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::Data;

use super::Api;
use super::answer::File;
use super::download::{FileSource, send};
use super::extractors::{AnyStanding, SessionCaller};
use super::refusal::Refusal;
use crate::accounts::deletion::archive::Archive;
use crate::accounts::usage::export::ExportError;
use crate::db::AnyConnection;
use crate::domain::ids::AccountId;

/// Whose archives are being made on this node.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashSet<AccountId>>);

/// An account's turn, until it is dropped.
struct ArchiveTurn {
    turns: Arc<Turns>,
    account_id: AccountId,
}

impl Turns {
    fn take(self: &Arc<Self>, account_id: AccountId) -> Result<ArchiveTurn, Refusal> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.insert(account_id) {
            Ok(ArchiveTurn { turns: Arc::clone(self), account_id })
        } else {
            Err(Refusal::ArchiveRunning)
        }
    }
}

impl Drop for ArchiveTurn {
    fn drop(&mut self) {
        self.turns.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.account_id);
    }
}

/// An archive, and the turn that it takes for as long as it is read.
struct HeldArchive {
    /// The state of its compression is large.
    archive: Box<Archive>,
    _turn: ArchiveTurn,
}

impl FileSource for HeldArchive {
    fn next_piece(&mut self, conn: &mut AnyConnection) -> Result<Option<Vec<u8>>, ExportError> {
        self.archive.next_piece(conn)
    }
}

/// Download all account data.
///
/// Everything we hold about the account, as one ZIP: profile, preferences, sessions, keys, wallets
/// with their proofs, deposits, claims, refunds, addresses, ledger, usage log, queued emails and
/// decisions of the operator. Hashes and secrets are left out. `manifest.json`, the last file,
/// describes each file with its rows, bytes and SHA-256. Suspended accounts and accounts being
/// deleted can download it too.
#[utoipa::path(
    get, path = "/api/v1/account/archive", operation_id = "get_account_archive",
    responses(
        (status = 200, description = "The file.", content_type = "application/zip", body = Vec<u8>),
        (status = 429, description = "`archive_running`: an archive is already being downloaded."),
    ),
)]
pub(super) async fn download(
    caller: SessionCaller<AnyStanding>,
    api: Data<Api>,
) -> Result<File, Refusal> {
    let account_id = caller.session.account_id();
    let (turn, now) = (api.archives.take(account_id)?, api.now());
    let archive = api.run(move |conn| Archive::begin(conn, account_id, now).map(Box::new)).await?;
    let name = format!("account-{}.zip", now.day());
    send(&api, (name, "application/zip"), HeldArchive { archive, _turn: turn }).await
}
