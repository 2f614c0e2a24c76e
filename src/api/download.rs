//! Exports as files: a page at a time as the client takes them, so that neither their length nor a
//! slow client costs memory or holds a transaction open.

use std::pin::Pin;

use actix_web::body::{BodyStream, BoxBody};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::Api;
use super::answer::File;
use super::refusal::Refusal;
use crate::accounts::usage::export::{Export, ExportError};
use crate::db::{AnyConnection, Database, DbError};
use crate::telemetry::Causes;

/// What a failed export ends with: the connection is cut, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the export cannot be finished")]
struct ExportFailed;

type FileStream = Pin<Box<dyn Stream<Item = Result<Bytes, ExportFailed>>>>;

/// A file that is made piece by piece.
pub(super) trait FileSource: Send + 'static {
    /// The next piece; `None` once all has been read.
    fn next_piece(&mut self, conn: &mut AnyConnection) -> Result<Option<Vec<u8>>, ExportError>;
}

impl FileSource for Export {
    fn next_piece(&mut self, conn: &mut AnyConnection) -> Result<Option<Vec<u8>>, ExportError> {
        Self::next_piece(self, conn)
    }
}

/// Begins an export. What fails before its first piece is refused as anything else is.
pub(super) async fn download(api: &Api, what: &str, export: Export) -> Result<File, Refusal> {
    let format = export.format();
    let name = format!("{what}-{}.{}", api.now().day(), format.extension());
    send(api, (name, format.content_type()), export).await
}

/// Begins a file of a name and type.
pub(super) async fn send(
    api: &Api,
    (name, content_type): (String, &'static str),
    source: impl FileSource,
) -> Result<File, Refusal> {
    let database = api.parts.context.database.clone();
    let (source, first) = next(&database, source).await?;
    let head = stream::iter(first.map(Ok));
    let rest = stream::try_unfold((database, source), |(database, source)| async move {
        match next(&database, source).await {
            Ok((source, Some(piece))) => Ok(Some((piece, (database, source)))),
            Ok((_, None)) => Ok(None),
            Err(error) => {
                tracing::error!(error = %Causes(&error), "an export was cut off");
                Err(ExportFailed)
            }
        }
    });
    let pieces: FileStream = Box::pin(head.chain(rest));
    let body = BoxBody::new(BodyStream::new(pieces));
    Ok(File { name, content_type, body })
}

async fn next<S: FileSource>(
    database: &Database,
    mut source: S,
) -> Result<(S, Option<Bytes>), ExportError> {
    let read = database.run(move |conn| {
        let piece = source.next_piece(conn);
        Ok::<_, DbError>((source, piece))
    });
    let (source, piece) = read.await?;
    Ok((source, piece?.map(Bytes::from)))
}

impl From<ExportError> for Refusal {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Db(error) => error.into(),
            other => {
                tracing::error!(error = %Causes(&other), "an export could not be started");
                Self::Unavailable
            }
        }
    }
}
