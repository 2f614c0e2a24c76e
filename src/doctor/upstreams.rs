//! One cheap call to each upstream, and how far its clock is from ours.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::Check;
use crate::config::{Settings, UpstreamSettings};
use crate::domain::clock::{Clock, UnixMillis};
use crate::metrics::Metrics;
use crate::tracker::Tracker;
use crate::upstream::Upstream;
use crate::upstream::call::CallContext;
use crate::upstream::client::{UpstreamClient, tls_config};
use crate::upstream::health::Probed;
use crate::upstream::probe::{self, ProbeAnswer};

/// Time for one upstream.
const PATIENCE: Duration = Duration::from_secs(10);
/// A node whose clock is off by more from the database's does not start.
const DRIFT_MAX_MILLIS: i64 = 60_000;

pub(super) async fn examine(settings: &Settings, clock: &Clock) -> Vec<Check> {
    let (Ok(tls), Ok(metrics)) = (tls_config(), Metrics::new()) else {
        return vec![Check::fail("upstreams", "TLS cannot be set up", "install this program anew")];
    };
    let (metrics, tracker) = (Arc::new(metrics), Tracker::default());
    let node = CallContext { metrics, tracker, clock: clock.clone() };
    let asked = settings.upstreams.iter().map(|one| ask(one, &tls, &node));
    join_all(asked).await.into_iter().flatten().collect()
}

async fn ask(
    settings: &UpstreamSettings,
    tls: &Arc<rustls::ClientConfig>,
    node: &CallContext,
) -> Vec<Check> {
    let name = format!("upstream {}", settings.name);
    let reach = "check base_url, DNS and the firewall from this machine";
    let upstream = match Upstream::new(settings.clone(), tls) {
        Ok(upstream) => upstream,
        Err(error) => return vec![Check::fail(name, error.to_string(), "check ca_file")],
    };
    let client = UpstreamClient::new(Arc::new(upstream));
    let Ok(answer) = timeout(PATIENCE, probe::examine(node, &client)).await else {
        let found = format!("no answer within {} s", PATIENCE.as_secs());
        return vec![Check::fail(name, found, reach)];
    };
    let ProbeAnswer { probed, said, date } = answer;
    let said = said.map_or_else(|error| error.to_string(), |status| format!("status {status}"));
    let check = match probed {
        Probed::Fine => Check::ok(name, "answers, and takes the credential"),
        Probed::Unclear => Check::ok(name, format!("answers, but has no list of models ({said})")),
        Probed::Refused => Check::fail(
            name,
            format!("refuses the credential ({said})"),
            "put a valid one where credential_file or credential_env points, and see that its \
             account has credit",
        ),
        Probed::Broken => Check::fail(name, format!("does not answer as it should: {said}"), reach),
    };
    let drift = date.and_then(|date| drift(&settings.name, &date, node.clock.now()));
    std::iter::once(check).chain(drift).collect()
}

/// This machine's clock beside the upstream's, which has whole seconds.
fn drift(upstream: &str, date: &str, now: UnixMillis) -> Option<Check> {
    let theirs = DateTime::parse_from_rfc2822(date).ok()?.timestamp_millis();
    let ahead = now.millis_ahead_of(UnixMillis::from_millis(theirs));
    let found = format!("{} s from that of the upstream {upstream}", ahead / 1_000);
    if ahead.abs() <= DRIFT_MAX_MILLIS {
        return Some(Check::ok("clock", found));
    }
    let mend = "set this machine's clock right (timedatectl set-ntp true)";
    Some(Check::warn("clock", found, mend))
}
