//! What a key may do, as options and in a line.

use std::str::FromStr;

use clap::Args;

use crate::accounts::keys::KeyChange;
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::key_limits::KeyLimits;
use crate::domain::key_overlap::KeyOverlap;
use crate::domain::key_scopes::{NoScope, Scopes};
use crate::domain::money::NanoUsd;

/// What a key may do.
#[derive(Args, Clone)]
pub(in crate::cli) struct LimitArgs {
    /// Scopes, comma-separated: inference (send requests to models, and read its own usage and
    /// limits), read (read the account's data), billing (make deposits). Default for a new key:
    /// inference.
    #[arg(long, value_name = "SCOPES")]
    scopes: Option<ScopeList>,
    /// Models that it may use, comma-separated, or "none" for no such limit.
    #[arg(long, value_name = "MODELS")]
    models: Option<LimitArgument<Models>>,
    /// Most that it may cost in a calendar month (UTC), in dollars, or "none".
    #[arg(long, value_name = "USD")]
    monthly_budget: Option<LimitArgument<NanoUsd>>,
    /// Most that it may cost in total, in dollars, or "none".
    #[arg(long, value_name = "USD")]
    total_budget: Option<LimitArgument<NanoUsd>>,
    /// Requests per minute, or "none" for the account's limit only.
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<LimitArgument<u32>>,
    /// Requests open at once, or "none" for the account's limit only.
    #[arg(long, value_name = "COUNT")]
    max_streams: Option<LimitArgument<u32>>,
    /// When it expires: at the start of a day (UTC) such as 2027-01-31, at an RFC 3339 time, or
    /// "none".
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<LimitArgument<TimeArgument>>,
}

/// A value, or none.
#[derive(Clone)]
struct LimitArgument<T>(Option<T>);

impl<T: FromStr> FromStr for LimitArgument<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

#[derive(Clone)]
struct Models(Vec<String>);

impl FromStr for Models {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.split(',').map(|name| name.trim().to_owned()).collect()))
    }
}

#[derive(Clone, Copy)]
struct ScopeList(Scopes);

impl FromStr for ScopeList {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Scopes::named(text.split(',').map(str::trim)).map(Self)
    }
}

#[derive(Clone, Copy)]
pub(in crate::cli) struct OverlapArgument(pub(super) KeyOverlap);

impl FromStr for OverlapArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        KeyOverlap::parse(text).map(Self).ok_or("one of now, 1h, 24h and 7d")
    }
}

#[derive(Clone, Copy)]
struct TimeArgument(UnixMillis);

impl FromStr for TimeArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = UtcDay::parse(text).map(UtcDay::begin);
        let moment = moment.or_else(|| UnixMillis::parse_rfc3339(text));
        moment.map(Self).ok_or("neither a day, 2027-01-31, nor a time, 2027-01-31T12:00:00Z")
    }
}

impl LimitArgs {
    pub(super) fn change(self) -> KeyChange {
        KeyChange {
            name: None,
            scopes: self.scopes.map(|list| list.0),
            models: self.models.map(|setting| setting.0.map(|models| models.0)),
            monthly_budget: self.monthly_budget.map(|setting| setting.0),
            total_budget: self.total_budget.map(|setting| setting.0),
            requests_per_minute: self.requests_per_minute.map(|setting| setting.0),
            max_streams: self.max_streams.map(|setting| setting.0),
            expires_at: self.expires_at.map(|setting| setting.0.map(|moment| moment.0)),
            is_paused: None,
        }
    }

    pub(super) fn limits(self) -> KeyLimits {
        let change = self.change();
        KeyLimits {
            scopes: change.scopes.unwrap_or_default(),
            models: change.models.flatten(),
            monthly_budget: change.monthly_budget.flatten(),
            total_budget: change.total_budget.flatten(),
            requests_per_minute: change.requests_per_minute.flatten(),
            max_streams: change.max_streams.flatten(),
            expires_at: change.expires_at.flatten(),
        }
    }
}

pub(super) fn limits_line(limits: &KeyLimits) -> String {
    let parts = [
        limits.models.as_ref().map(|models| models.join(" ")),
        limits.monthly_budget.map(|budget| format!("{budget} USD per month")),
        limits.total_budget.map(|budget| format!("{budget} USD in total")),
        limits.requests_per_minute.map(|count| format!("{count} requests per minute")),
        limits.max_streams.map(|count| format!("{count} at once")),
        limits.expires_at.map(|at| format!("until {}", at.to_rfc3339_secs())),
    ];
    let line = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if line.is_empty() { "-".to_owned() } else { line }
}
