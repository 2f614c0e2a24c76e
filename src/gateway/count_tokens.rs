//! `POST /v1/messages/count_tokens`: authenticated, limited, free. Nothing is reserved and no
//! usage row is left.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::messages::{
    COUNT_TOKENS, check_betas, parse, refuse_while_draining, upstream_request, upstreams_for,
};
use super::{Gateway, admission, auth, body, request_id, respond};
use crate::actors::stream::Reply;
use crate::domain::api_error::ApiError;
use crate::domain::ids::AccountId;
use crate::upstream::client::{Answer, SendError, UpstreamClient};
use crate::upstream::refusal::Refusal;

/// The answer is one number.
const ANSWER_BYTES: usize = 65_536;

/// See the module.
pub(super) async fn create(
    http: HttpRequest,
    mut payload: Payload,
    gateway: Data<Gateway>,
) -> HttpResponse {
    let id = match request_id(&gateway.shared.clock) {
        Ok(id) => id,
        Err(no_name) => return no_name.into(),
    };
    match count(&http, &mut payload, &gateway).await {
        Ok(reply) => respond::reply(&http, &id, reply),
        Err(error) => respond::unread(respond::error(&http, &id, &error), payload),
    }
}

async fn count(
    http: &HttpRequest,
    payload: &mut Payload,
    gateway: &Gateway,
) -> Result<Reply, ApiError> {
    let now = gateway.shared.clock.now();
    let holder = auth::identify(&gateway.keys, http, auth::ALONE, now).await?;
    refuse_while_draining(gateway)?;
    gateway.limits.count_of_key(&holder)?;
    let permit = gateway.limits.open(&holder)?;
    check_betas(http, gateway)?;
    let body = body::read(http, payload, &gateway.settings().limits).await?;
    let now = gateway.shared.clock.now();
    let request = parse(&body, gateway)?;
    let quote = admission::quote(&request, gateway.settings(), now)?;
    auth::check_models(&holder, &quote.model_ids)?;
    let upstreams = upstreams_for(gateway, &quote, now)?;
    let request = upstream_request(http, COUNT_TOKENS, body, &request, &quote);
    let mut last = ApiError::bad_gateway();
    for client in &upstreams {
        let sent = timeout(gateway.settings().stream.first_byte, client.send(&request));
        match sent.await {
            Err(_) => return Err(ApiError::timeout()),
            Ok(Err(SendError::Unreachable | SendError::BadAnswer(_))) => {}
            Ok(Ok(answer)) => match relay(gateway, client, answer, holder.account_id).await {
                Ok(reply) => return Ok(reply),
                Err((error, false)) => return Err(error),
                Err((error, true)) => last = error,
            },
        }
    }
    drop(permit);
    Err(last)
}

/// The answer, or an error and whether another upstream may do better.
async fn relay(
    gateway: &Gateway,
    client: &UpstreamClient,
    mut answer: Answer,
    account_id: AccountId,
) -> Result<Reply, (ApiError, bool)> {
    let status = answer.status;
    if status.is_client_error() || status.is_server_error() {
        let body = answer.read_short(ANSWER_BYTES).await;
        let now = gateway.shared.clock.now();
        return Err(match client.upstream.sort(status, &body, account_id, now) {
            Refusal::Credential => {
                gateway.shared.alert("upstream refuses our credential");
                client.upstream.health.rest(now.as_millis());
                (ApiError::unavailable(), true)
            }
            Refusal::Request { kind, message, details } => {
                let mut error = ApiError::of_status(status.as_u16());
                (error.kind, error.message, error.details) = (kind.into(), message.into(), details);
                (error, false)
            }
            Refusal::Forbidden | Refusal::Other => {
                (ApiError::of_status(status.as_u16()), status.is_server_error())
            }
        });
    }
    answer.check(false).map_err(|_| (ApiError::bad_gateway(), true))?;
    client.upstream.health.note_answer();
    let mut body = BytesMut::new();
    let idle = gateway.settings().stream.idle;
    while let Ok(Some(Ok(piece))) = timeout(idle, answer.body.next()).await {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES {
            return Err((ApiError::bad_gateway(), true));
        }
    }
    let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    if !is_whole {
        return Err((ApiError::bad_gateway(), true));
    }
    let headers = crate::actors::stream::passing_headers(&answer.headers);
    Ok(Reply::Json { body: body.freeze(), headers })
}
