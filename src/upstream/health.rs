//! The circuit breaker of an upstream, on this node: whether it is asked, asked last, or left
//! alone.
//!
//! Nothing that one account alone brings about keeps others from an upstream. What one account has
//! met makes this upstream the last that is asked **for that account**. It rests for everybody only
//! where several accounts have met failures with no answer to anyone between them, where it cannot
//! be connected to, or where a request of our own has met the same. After its rest one request
//! tries it; the others wait for what comes of that.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::fault::Fault;
use crate::domain::backoff::Backoff;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;

mod tally;
#[cfg(test)]
mod tests;

use tally::{FailureRun, RecentRequests};

/// Notes on accounts and models that are kept; the oldest go first.
const NOTES_MAX: usize = 1024;
/// How long a limit lasts where the upstream does not say so. No jitter: clients ask in their own
/// time.
const LIMIT: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(64));
/// An upstream that names a time for its limit is believed up to here.
const LIMIT_MAX: Duration = Duration::from_hours(1);
/// Others wait no longer for a request that tries an upstream after a rest.
const TRIAL_MAX: Duration = Duration::from_secs(30);
/// Our own requests are so far apart, at least.
const PROBE_EVERY_MILLIS: i64 = 1000;

/// From when on a failure counts, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long an upstream rests.
    pub rest: Duration,
    /// Failures in a row until it does.
    pub failures_max: u32,
    /// Heads in a row that did not come in time until it does.
    pub timeouts_max: u32,
    /// Accounts that meet a 403 until it counts as a refusal of our credential; 0 is never.
    pub forbidden_accounts: usize,
    /// Time within which they do.
    pub forbidden_window: Duration,
}

/// Why an upstream rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It refuses our credential: a request of our own has been told so.
    Credential,
    /// It fails.
    Broken,
    /// It does not answer in time.
    Slow,
}

impl Why {
    /// Its name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Broken => "broken",
            Self::Slow => "slow",
        }
    }
}

/// What changed, for the log and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It rests.
    Rests(Why, Duration),
    /// It is asked again.
    Serves,
}

/// How an upstream stands for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It is asked in its turn.
    Ready,
    /// It is asked if no other answers.
    Last,
    /// It is not asked before that moment.
    Rests(UnixMillis),
}

/// What one of our own requests was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It was answered.
    Fine,
    /// Our credential was refused.
    Refused,
    /// It failed, or was not answered in time.
    Broken,
    /// Something that says nothing of either.
    Unclear,
}

/// A request that was not answered.
#[derive(Clone, Copy, Debug)]
pub struct Met<'a> {
    /// Whose.
    pub account: AccountId,
    /// For which model.
    pub model_id: &'a str,
    /// Whose fault it was.
    pub fault: Fault,
    /// Seconds after which the upstream wants to be asked again.
    pub retry_after_secs: Option<u64>,
    /// When.
    pub at: UnixMillis,
}

/// One upstream's health on this node.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    rest: Option<Rest>,
    run: FailureRun,
    share: RecentRequests,
    /// Who is to ask elsewhere first, and for which models everybody is.
    notes: VecDeque<Demotion>,
    /// Accounts that were last answered with 403 and when, each once, oldest first.
    forbidden: VecDeque<(AccountId, UnixMillis)>,
    probed_at: Option<UnixMillis>,
}

/// For everybody.
#[derive(Clone, Copy, Debug)]
struct Rest {
    why: Why,
    until: UnixMillis,
    /// How often it has rested without an answer between.
    times: u32,
    /// Since when a request is trying it.
    trial_at: Option<UnixMillis>,
    /// Whose try failed: another account's is next.
    barred: Option<(AccountId, UnixMillis)>,
}

/// That an upstream is asked last.
#[derive(Debug)]
struct Demotion {
    /// For this account alone.
    account: Option<AccountId>,
    /// For this model alone.
    model_id: Option<Box<str>>,
    /// What it was met by.
    fault: Fault,
    until: UnixMillis,
    /// How often in a row.
    times: u32,
}

impl Health {
    fn with<T>(&self, work: impl FnOnce(&mut HealthState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether requests may go there, as far as all accounts are concerned.
    #[must_use]
    pub fn is_asked_at(&self, now: UnixMillis) -> bool {
        let is_open = |rest: Rest| rest.until <= now || rest.why == Why::Broken;
        self.with(|state| state.rest.is_none_or(is_open))
    }

    /// Whether it rests since it fails. To ask it costs nothing but an error soon, so it is asked
    /// all the same where nobody else can be: a rest must not be an outage of its own.
    #[must_use]
    pub fn is_worth_a_try(&self) -> bool {
        self.with(|state| state.rest.is_some_and(|rest| rest.why == Why::Broken))
    }

    /// How it stands for a request of `account` for a model.
    #[must_use]
    pub fn standing(&self, account: AccountId, model_id: &str, now: UnixMillis) -> Availability {
        self.with(|state| match state.rest.as_ref().and_then(|rest| rest.closed_to(account, now)) {
            Some(until) => Availability::Rests(until),
            None if state.is_asked_last(account, model_id, now) => Availability::Last,
            None => Availability::Ready,
        })
    }

    /// Whether a request may be sent now. After a rest the first one is the try that others wait
    /// for, at most for `patience` or half a minute: an answer that is long is no reason to keep
    /// them out.
    #[must_use]
    pub fn admit(&self, account: AccountId, now: UnixMillis, patience: Duration) -> bool {
        self.with(|state| {
            let Some(rest) = &mut state.rest else { return true };
            if rest.closed_to(account, now).is_some() {
                return false;
            }
            rest.trial_at = Some(now.plus(patience.min(TRIAL_MAX)));
            true
        })
    }

    /// Notes that a request was answered: it works, and the credential has its rights.
    pub fn note_answer(
        &self,
        account: AccountId,
        model_id: &str,
        at: UnixMillis,
    ) -> Option<Change> {
        self.with(|state| {
            state.run = FailureRun::default();
            state.forbidden.clear();
            state.share.note(None, at);
            state.notes.retain(|note| {
                let is_own = note.account == Some(account);
                let is_model = note.model_id.as_deref().is_none_or(|id| id == model_id);
                !(is_model && (is_own || note.account.is_none()))
            });
            // What was sent before our credential was refused says nothing of it now.
            let is_over = |rest: &Rest| rest.why != Why::Credential || rest.until <= at;
            state.rest.take_if(|rest| is_over(rest)).map(|_| Change::Serves)
        })
    }

    /// Notes that a request was not answered: what changes, and whether we should ask ourselves.
    pub fn note_fault(&self, met: Met<'_>, limits: &Limits) -> (Option<Change>, bool) {
        self.with(|state| {
            if state.rest.is_some() {
                return state.tried(met, limits);
            }
            let is_suspect = state.note(met, limits);
            let change =
                state.verdict(met, limits).map(|why| state.begin_rest(why, met.at, limits));
            (change, is_suspect && change.is_none() && state.may_probe(met.at))
        })
    }

    /// Notes what a request of our own was told.
    pub fn note_probe(&self, probed: Probed, at: UnixMillis, limits: &Limits) -> Option<Change> {
        self.with(|state| match (probed, state.rest) {
            (Probed::Refused, Some(Rest { why: Why::Credential, until, .. })) if until > at => None,
            (Probed::Refused, _) => Some(state.begin_rest(Why::Credential, at, limits)),
            (Probed::Broken, None) if state.run.is_failing() => {
                let why = if state.run.timeouts() > 0 { Why::Slow } else { Why::Broken };
                Some(state.begin_rest(why, at, limits))
            }
            (Probed::Fine, Some(Rest { why: Why::Credential, .. })) => {
                state.rest = None;
                Some(Change::Serves)
            }
            _ => None,
        })
    }

    /// Notes that our credential is another one: what was known of the one before it is over, its
    /// rights and its limits too.
    pub fn note_new_credential(&self) -> Option<Change> {
        self.with(|state| {
            state.forbidden.clear();
            state.notes.clear();
            state.rest.take_if(|rest| rest.why == Why::Credential).map(|_| Change::Serves)
        })
    }

    /// Whether, with this 403 to `account`, so many accounts have met one within the window and
    /// none an answer that it counts as a refusal of our credential.
    #[must_use]
    pub fn note_forbidden(&self, account: AccountId, now: UnixMillis, limits: &Limits) -> bool {
        let (accounts, window) = (limits.forbidden_accounts, limits.forbidden_window);
        let window_millis = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        self.with(|state| {
            let recent = &mut state.forbidden;
            recent.retain(|(who, at)| *who != account && now.millis_since(*at) < window_millis);
            recent.push_back((account, now));
            let is_reached = recent.len() >= accounts;
            // More are not needed to know it again next time.
            while recent.len() > accounts {
                recent.pop_front();
            }
            is_reached && accounts > 0
        })
    }
}

impl Rest {
    /// Until when an account's requests do not go there.
    fn closed_to(&self, account: AccountId, now: UnixMillis) -> Option<UnixMillis> {
        let barred = self.barred.filter(|(who, _)| *who == account).map(|(_, until)| until);
        [Some(self.until), self.trial_at, barred].into_iter().flatten().filter(|at| *at > now).max()
    }
}

impl HealthState {
    fn is_asked_last(&self, account: AccountId, model_id: &str, now: UnixMillis) -> bool {
        self.notes.iter().any(|note| {
            note.until > now
                && note.account.is_none_or(|who| who == account)
                && note.model_id.as_deref().is_none_or(|id| id == model_id)
        })
    }

    /// Keeps what a failure means for its account and its model; whether it is a reason to ask
    /// ourselves.
    fn note(&mut self, met: Met<'_>, limits: &Limits) -> bool {
        let Met { account, model_id, fault, at, .. } = met;
        match fault {
            Fault::Request => {
                self.run = FailureRun::default();
                self.share.note(None, at);
                return false;
            }
            Fault::Limited => {
                self.ask_last((None, Some(model_id)), met, |times| limit_of(met, times));
                return false;
            }
            Fault::NotThere | Fault::SaidNotThere | Fault::Forbidden => {
                let is_others = |note: &Demotion| {
                    note.until > at
                        && note.fault == Fault::NotThere
                        && note.account.is_some_and(|who| who != account)
                        && note.model_id.as_deref() == Some(model_id)
                };
                // A 403 and an upstream's words can be brought about by what a request asks for.
                if fault == Fault::NotThere && self.notes.iter().any(is_others) {
                    self.ask_last((None, Some(model_id)), met, |_| limits.rest);
                }
                self.ask_last((Some(account), Some(model_id)), met, |_| limits.rest);
            }
            Fault::Credential => self.ask_last((Some(account), None), met, |_| limits.rest),
            Fault::Broken | Fault::Unreachable | Fault::Slow => {
                self.run.note(account, fault);
                self.share.note(Some(account), at);
                if self.run.is_enough(limits) {
                    self.ask_last((Some(account), None), met, |_| limits.rest);
                    return true;
                }
                return false;
            }
        }
        matches!(fault, Fault::Forbidden | Fault::Credential)
    }

    /// Whether what was met, by all accounts, is enough to leave it alone.
    fn verdict(&self, met: Met<'_>, limits: &Limits) -> Option<Why> {
        if !matches!(met.fault, Fault::Broken | Fault::Unreachable | Fault::Slow) {
            return None;
        }
        let why = if met.fault == Fault::Slow { Why::Slow } else { Why::Broken };
        let is_run = self.run.is_enough(limits) && self.run.is_everybodys();
        (is_run || self.share.is_bad(met.at)).then_some(why)
    }

    fn begin_rest(&mut self, why: Why, at: UnixMillis, limits: &Limits) -> Change {
        let times = self.rest.map_or(0, |rest| rest.times).saturating_add(1);
        let barred = self.rest.and_then(|rest| rest.barred);
        let span = match why {
            Why::Credential => limits.rest,
            // A passing trouble has a short one: a quarter of the longest at first.
            Why::Broken | Why::Slow => Backoff::new(limits.rest / 4, limits.rest).pause(times),
        };
        self.rest = Some(Rest { why, until: at.plus(span), times, trial_at: None, barred });
        (self.run, self.share) = (FailureRun::default(), RecentRequests::default());
        Change::Rests(why, span)
    }

    /// What came of a try after a rest.
    fn tried(&mut self, met: Met<'_>, limits: &Limits) -> (Option<Change>, bool) {
        let Some(rest) = &mut self.rest else { return (None, false) };
        if rest.until > met.at {
            // It was sent before the rest began.
            return (None, false);
        }
        let is_alive = matches!(
            met.fault,
            Fault::Request | Fault::NotThere | Fault::SaidNotThere | Fault::Limited
        );
        match met.fault {
            _ if is_alive && rest.why != Why::Credential => {
                self.rest = None;
                self.note(met, limits);
                (Some(Change::Serves), false)
            }
            // A refusal that our credential has nothing to do with: the next one tells more.
            Fault::Request | Fault::NotThere | Fault::SaidNotThere => {
                rest.trial_at = None;
                (None, self.may_probe(met.at))
            }
            Fault::Limited => {
                self.rest = None;
                (Some(Change::Serves), false)
            }
            Fault::Credential | Fault::Forbidden => {
                self.note(met, limits);
                (None, self.may_probe(met.at))
            }
            Fault::Broken | Fault::Unreachable | Fault::Slow => {
                let until = met.at.plus(limits.rest);
                if rest.barred.is_some_and(|(who, _)| who == met.account) {
                    // Not twice by the same account: another one's request tells more.
                    (rest.trial_at, rest.barred) = (None, Some((met.account, until)));
                    return (None, false);
                }
                rest.barred = Some((met.account, met.at));
                let why = if met.fault == Fault::Slow { Why::Slow } else { Why::Broken };
                (Some(self.begin_rest(why, met.at, limits)), false)
            }
        }
    }

    fn may_probe(&mut self, now: UnixMillis) -> bool {
        let is_due = self.probed_at.is_none_or(|last| now.millis_since(last) >= PROBE_EVERY_MILLIS);
        if is_due {
            self.probed_at = Some(now);
        }
        is_due
    }

    fn ask_last(
        &mut self,
        (account, model_id): (Option<AccountId>, Option<&str>),
        met: Met<'_>,
        span: impl FnOnce(u32) -> Duration,
    ) {
        let same =
            |note: &Demotion| note.account == account && note.model_id.as_deref() == model_id;
        let known = self.notes.iter().position(same).and_then(|at| self.notes.remove(at));
        let times = known.map_or(0, |note| note.times).saturating_add(1);
        let (model_id, until) = (model_id.map(Box::from), met.at.plus(span(times)));
        self.notes.push_back(Demotion { account, model_id, fault: met.fault, until, times });
        while self.notes.len() > NOTES_MAX {
            self.notes.pop_front();
        }
    }
}

/// How long a limit lasts: as long as the upstream says, else a second that doubles.
fn limit_of(met: Met<'_>, times: u32) -> Duration {
    let asked = met.retry_after_secs.map(Duration::from_secs);
    asked.unwrap_or_else(|| LIMIT.pause(times)).min(LIMIT_MAX)
}
