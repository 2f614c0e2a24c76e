//! A request of our own: whether an upstream refuses our credential, or does not answer at all,
//! whatever single accounts have met. It says nothing of any client, and is sent once a second at
//! most for each upstream.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::DATE;
use tokio::time::timeout;

use super::body::{REFUSAL, read_short};
use super::client::{UpstreamClient, UpstreamError, UpstreamResponse};
use super::fault::Fault;
use super::health::Probed;
use super::node::CallContext;
use super::{credential, refusal};

/// A list that every upstream of this wire has, as short as it can be.
pub const PATH: &str = "/v1/models?limit=1";
/// Time for the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks beside whatever goes on, and notes what comes of it.
pub(super) fn spawn(node: &CallContext, client: &UpstreamClient) {
    let (node, client) = (node.clone(), client.clone());
    let tracker = node.tracker.clone();
    tracker.spawn(async move {
        let asking = timeout(PATIENCE, ask_with_newest(&node, &client));
        let probed = tokio::select! {
            asked = asking => asked.unwrap_or(Probed::Broken),
            () = node.tracker.cut_token().cancelled() => return,
        };
        let upstream = &client.upstream;
        let limits = upstream.limits();
        let change = upstream.health.note_probe(probed, node.clock.now(), &limits);
        node.tell(upstream, change);
    });
}

/// Asks again where the credential that was refused is not in force any more.
async fn ask_with_newest(node: &CallContext, client: &UpstreamClient) -> Probed {
    let number = client.upstream.credential.number();
    match ask(node, client).await {
        Probed::Refused if credential::is_renewed(node, &client.upstream, number) => {
            ask(node, client).await
        }
        probed => probed,
    }
}

/// What came of a request of our own, for an operator.
pub struct ProbeAnswer {
    /// What it means.
    pub probed: Probed,
    /// The status, or why there is none.
    pub said: Result<StatusCode, UpstreamError>,
    /// The `date` header.
    pub date: Option<String>,
}

/// Asks an upstream for its list of models.
pub async fn ask(node: &CallContext, client: &UpstreamClient) -> Probed {
    examine(node, client).await.probed
}

/// The same, with what was said.
pub async fn examine(node: &CallContext, client: &UpstreamClient) -> ProbeAnswer {
    let mut answer = match client.get(PATH).await {
        Ok(answer) => answer,
        Err(error) => {
            return ProbeAnswer { probed: Probed::Broken, said: Err(error), date: None };
        }
    };
    let date = answer.headers.get(DATE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let said = Ok(answer.status);
    ProbeAnswer { probed: sort(node, client, &mut answer).await, said, date }
}

/// What an answer means.
async fn sort(
    node: &CallContext,
    client: &UpstreamClient,
    answer: &mut UpstreamResponse,
) -> Probed {
    let status = answer.status;
    if status.is_success() {
        return Probed::Fine;
    }
    let Ok(body) = read_short(node, answer, REFUSAL).await else {
        return Probed::Unclear;
    };
    match refusal::sort(status, &body, &client.upstream.settings.credential_phrases).fault {
        Fault::Credential | Fault::Forbidden => Probed::Refused,
        Fault::Broken if status.is_server_error() => Probed::Broken,
        // A list that is limited was asked for with a good credential.
        Fault::Limited => Probed::Fine,
        _ => Probed::Unclear,
    }
}
