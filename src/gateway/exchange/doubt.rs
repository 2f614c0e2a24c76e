//! An upstream that has sent pings and comments so far: whether it answers is known by what
//! follows, and is noted then.

use std::time::Instant;

use crate::domain::meter::{FirstEvent, Meter};
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Outcome;
use crate::upstream::call::UpstreamCall;
use crate::upstream::client::UpstreamClient;
use crate::upstream::fault::{Failure, FailureKind};
use crate::upstream::refusal;

/// See the module.
pub(super) struct Doubt {
    call: UpstreamCall,
    client: UpstreamClient,
    since: Instant,
}

unprintable!(Doubt);

impl Doubt {
    pub(super) fn new(call: UpstreamCall, client: UpstreamClient) -> Self {
        Self { call, client, since: Instant::now() }
    }

    /// Whether it is over, since an answer has begun.
    pub(super) fn is_answered(&self, meter: &Meter) -> bool {
        let is_answer = meter.first_event() == Some(FirstEvent::Content);
        if is_answer {
            self.call.note_answer(&self.client);
        }
        is_answer
    }

    /// The stream has ended without an answer.
    pub(super) fn end(self, ending: Outcome, meter: &Meter) {
        let Self { call, client, since } = self;
        let failure = match ending {
            Outcome::ErrorEvent => {
                let data = meter.error().unwrap_or_default();
                call.refused(&client, FailureKind::FirstEvent, refusal::status_of(data), data, None)
            }
            Outcome::CutOff => Failure::cut(),
            Outcome::Silent => Failure::silent(),
            // Ended by its client or by us: it says nothing of the upstream.
            _ => return,
        };
        call.note_failure(&client, &failure, since.elapsed());
    }
}
