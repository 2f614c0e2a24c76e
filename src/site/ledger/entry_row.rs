//! A change of the balance as a line of a list.

use crate::accounts::usage::statement::EntryDocument;
use crate::db::models::ledger_entries::ChargedDay;
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::money::NanoUsd;
use crate::site::format::{GroupedCount, Micros, ShortTime, SignedDollars};
use crate::site::usage::days;

/// Letters of an id that are shown: the whole is a tooltip.
const SHORT_ID: usize = 12;

/// See the module.
pub(in crate::site) struct EntryView {
    /// A moment, or the day of several charges.
    pub(in crate::site) at: EntryTime,
    pub(in crate::site) title: &'static str,
    /// The badge of the kind.
    pub(in crate::site) class: &'static str,
    /// Words or an id.
    pub(in crate::site) reference: String,
    /// The whole id, where it is one.
    pub(in crate::site) whole: Option<String>,
    /// The page of what it is about.
    pub(in crate::site) link: Option<String>,
    pub(in crate::site) nanos: NanoUsd,
    pub(in crate::site) amount: Micros,
    pub(in crate::site) balance: Option<Micros>,
    pub(in crate::site) exact_balance: Option<SignedDollars>,
}

/// When it was.
pub(in crate::site) enum EntryTime {
    Moment(ShortTime),
    Day(String),
}

impl EntryView {
    /// `None` where the document does not read back, which none of ours does.
    pub(super) fn of(document: &EntryDocument) -> Option<Self> {
        let dollars = |text: &str| text.parse::<NanoUsd>().ok();
        let amount = dollars(&document.amount)?;
        let link = document.about.as_deref().and_then(link);
        let (title, class) = kind_words(&document.kind, amount);
        let balance = document.balance.as_deref().and_then(dollars);
        let id = document.about.clone().unwrap_or_else(|| document.reference.clone());
        let is_id = link.is_some() || id.contains('_');
        Some(Self {
            at: EntryTime::Moment(ShortTime(UnixMillis::parse_rfc3339(&document.created_at)?)),
            title,
            class,
            reference: if is_id { shortened(&id) } else { document.meaning.clone() },
            whole: is_id.then(|| document.reference.clone()),
            link,
            nanos: amount,
            amount: Micros(amount),
            balance: balance.map(Micros),
            exact_balance: balance.map(SignedDollars),
        })
    }

    /// The charges of a day, with their place among other lines.
    pub(super) fn of_day(charged: &ChargedDay) -> (UnixMillis, i64, Self) {
        let day = UtcDay::from_number(charged.day);
        let plural = if charged.requests == 1 { "" } else { "s" };
        let view = Self {
            at: EntryTime::Day(days::short_day(day)),
            title: "Usage",
            class: "",
            reference: format!("{} request{plural}", GroupedCount(charged.requests)),
            whole: None,
            link: Some(format!("/ledger?show=entries&day={day}")),
            nanos: charged.amount_nanousd,
            amount: Micros(charged.amount_nanousd),
            balance: None,
            exact_balance: None,
        };
        (charged.last_at, i64::MAX, view)
    }
}

fn kind_words(kind: &str, amount: NanoUsd) -> (&'static str, &'static str) {
    match kind {
        "deposit" => ("Deposit", "good"),
        "usage" => ("Usage", ""),
        "refund" => ("Refund", "warn"),
        "reversal" if amount.is_negative() => ("Reversal", "bad"),
        "reversal" => ("Refund cancelled", "good"),
        "adjustment" => ("Adjustment", "info"),
        _ => ("Older entries", ""),
    }
}

fn shortened(id: &str) -> String {
    if id.chars().count() <= SHORT_ID + 4 {
        return id.to_owned();
    }
    let begin: String = id.chars().take(SHORT_ID).collect();
    format!("{begin}…")
}

fn link(about: &str) -> Option<String> {
    let is_plain = about.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_plain {
        return None;
    }
    match about.split_once('_') {
        Some(("dep", _)) => Some(format!("/deposits/{about}")),
        Some(("req", _)) => Some(format!("/usage/{about}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_leads_to_what_it_is_about() {
        assert_eq!(link("dep_0123").as_deref(), Some("/deposits/dep_0123"));
        assert_eq!(link("req_0123").as_deref(), Some("/usage/req_0123"));
        for other in
            ["", "dep", "refund_1", "dep_../..", "req_\" onclick=\"", "javascript:alert(1)"]
        {
            assert_eq!(link(other), None, "{other}");
        }
    }

    #[test]
    fn long_ids_are_shortened_and_short_ones_are_not() {
        assert_eq!(shortened("req_0123"), "req_0123");
        assert_eq!(shortened("req_0123456789abcdefghjkmnpq"), "req_01234567…");
    }
}
