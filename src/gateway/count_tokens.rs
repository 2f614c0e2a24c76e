//! `POST /v1/messages/count_tokens`: authenticated, limited, free. Nothing is reserved and no
//! usage row is left.

use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::Instant;

use super::admission::{self, Admitted};
use super::exchange::GatewayResponse;
use super::messages::{
    COUNT_TOKENS, check_betas, place, refuse_while_draining, upstream_request, upstreams_for,
};
use super::{Gateway, auth, limits, request_id, respond};
use crate::accounts::usage::refusals::KnownKey;
use crate::domain::api_error::ApiError;
use crate::domain::ids::RequestId;
use crate::http::body;
use crate::telemetry::{request_span, within};
use crate::upstream::call::UpstreamCall;
use crate::upstream::client::longest_head;
use crate::upstream::count as upstream_count;
use crate::upstream::fault::Failure;
use crate::upstream::headers;

/// See the module.
pub(super) async fn create(
    http: HttpRequest,
    mut payload: Payload,
    gateway: Data<Gateway>,
) -> HttpResponse {
    let id = match request_id(&gateway.context.clock) {
        Ok(id) => id,
        Err(no_name) => return no_name.into(),
    };
    let mut key = None;
    let counted = count(&http, &mut payload, &gateway, (&id, &mut key));
    let counted = within(request_span(&id), counted).await;
    if let Err(error) | Ok(GatewayResponse::Error { error, .. }) = &counted {
        gateway.count_refusal(&http, key, error);
    }
    match counted {
        Ok(reply) => respond::reply(&http, &id, reply),
        Err(error) => respond::unread(respond::error(&http, &id, &error), payload),
    }
}

async fn count(
    http: &HttpRequest,
    payload: &mut Payload,
    gateway: &Gateway,
    (id, key): (&RequestId, &mut Option<KnownKey>),
) -> Result<GatewayResponse, ApiError> {
    let now = gateway.context.clock.now();
    let holder = auth::identify_payer(&gateway.keys, http, auth::ALONE, now).await?;
    *key = Some(KnownKey::from(&holder));
    refuse_while_draining(gateway)?;
    gateway.limits.count_of_key(&holder)?;
    let until = Instant::now() + gateway.settings().limits.wait;
    let unpaid = limits::limit_without_credit(gateway.settings(), &holder);
    if let Some((limits, error)) = &unpaid
        && body::is_announced_beyond(http, limits.body_bytes)
    {
        return Err(error.clone());
    }
    let permit = match &unpaid {
        None => (Some(place(gateway, &holder, until).await?), None),
        Some(_) => (None, Some(gateway.limits.unpaid(holder.account_id, until).await?)),
    };
    check_betas(http, gateway)?;
    let share = gateway.intake.bodies.share(holder.account_id);
    let body_limits = unpaid.as_ref().map_or(&gateway.settings().limits, |(limits, _)| limits);
    let body = body::read_counted(http, payload, body_limits, share).await;
    let body = body.map_err(|error| match unpaid {
        Some((_, unpaid)) if error.status == 413 => unpaid,
        _ => error,
    })?;
    let admitted = admission::admit(gateway, http, (&holder, true), &body).await?;
    let Admitted { request, quote, conversation, now, .. } = admitted;
    let asker = (holder.account_id, conversation);
    let upstreams = upstreams_for(gateway, &quote, asker, now)?;
    let request = upstream_request(http, COUNT_TOKENS, body, &request, &quote);
    // A stop either refuses it or waits for it.
    let token = gateway.context.tracker.token();
    refuse_while_draining(gateway)?;
    let limit = longest_head(&upstreams, &gateway.settings().stream, true);
    let call = UpstreamCall {
        request_id: id.clone(),
        node: gateway.context.node(),
        account: holder.account_id,
        model_id: request.model_id.clone(),
        is_noted: false,
        patience: limit,
        wait: Duration::ZERO,
    };
    let counted = upstream_count::count(&call, &upstreams, &request, limit).await;
    drop((permit, token));
    Ok(match counted {
        Ok(count) => GatewayResponse::Json {
            headers: headers::passing_down(&count.headers),
            body: count.body,
        },
        Err(Failure { error, headers, .. }) => GatewayResponse::Error { error, headers },
    })
}
