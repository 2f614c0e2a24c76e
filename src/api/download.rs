//! Exports as files: a page at a time as the client takes them, so that neither their length nor a slow client costs
//! memory or holds a transaction open.

use std::pin::Pin;

use actix_web::body::{BodyStream, BoxBody};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::Api;
use super::answer::{Answer, File};
use super::refusal::Refusal;
use crate::accounts::export::{Export, ExportError};
use crate::db::{Database, DbError};

/// What a failed export ends with: the connection is cut, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the export cannot be finished")]
struct Cut;

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Cut>>>>;

/// Begins an export. What fails before its first piece is refused as anything else is.
pub(super) async fn download(api: &Api, what: &str, export: Export) -> Result<Answer, Refusal> {
    let database = api.parts.database.clone();
    let format = export.format();
    let name = format!("{what}-{}.{}", api.now().day(), format.extension());
    let (export, first) = next(&database, export).await?;
    let head = stream::iter(first.map(Ok));
    let rest = stream::try_unfold((database, export), |(database, export)| async move {
        match next(&database, export).await {
            Ok((export, Some(piece))) => Ok(Some((piece, (database, export)))),
            Ok((_, None)) => Ok(None),
            Err(error) => {
                tracing::error!(error = %error, "an export was cut short");
                Err(Cut)
            }
        }
    });
    let pieces: Pieces = Box::pin(head.chain(rest));
    let body = BoxBody::new(BodyStream::new(pieces));
    Ok(Answer::File(File { name, content_type: format.content_type(), body }))
}

async fn next(
    database: &Database,
    mut export: Export,
) -> Result<(Export, Option<Bytes>), ExportError> {
    let read = database.run(move |conn| {
        let piece = export.next_piece(conn);
        Ok::<_, DbError>((export, piece))
    });
    let (export, piece) = read.await?;
    Ok((export, piece?.map(Bytes::from)))
}

impl From<ExportError> for Refusal {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Db(error) => error.into(),
            other => {
                tracing::error!(error = %other, "an export could not be begun");
                Self::Unavailable
            }
        }
    }
}
