//! A request of our own: whether an upstream refuses our credential, or does not answer at all,
//! whatever single accounts have met. It says nothing of any client, and is sent once a second at
//! most for each upstream.

use std::time::Duration;

use tokio::time::timeout;

use super::body::{REFUSAL, read_short};
use super::client::UpstreamClient;
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

/// Asks an upstream for its list of models.
pub async fn ask(node: &CallContext, client: &UpstreamClient) -> Probed {
    let Ok(mut answer) = client.get(PATH).await else { return Probed::Broken };
    let status = answer.status;
    if status.is_success() {
        return Probed::Fine;
    }
    let Ok(body) = read_short(node, &mut answer, REFUSAL).await else {
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
