//! The form of a key: every field as text, from a key, from a browser, and back.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::accounts::keys::KeyChange;
use crate::db::models::api_keys::ApiKeyRow;
use crate::domain::clock::UnixMillis;
use crate::domain::key_limits::KeyLimits;
use crate::domain::key_scopes::{NoScope, Scope, Scopes};
use crate::domain::money::NanoUsd;
use crate::domain::price_list::PriceList;
use crate::site::fields::FormFields;
use crate::site::select_option::SelectOption;

/// As browsers write a moment without its zone.
const MOMENT: &str = "%Y-%m-%dT%H:%M";
const NO_SCOPE: &str = "Choose at least one scope.";

/// See the module. An empty field is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::site) struct KeyForm {
    pub(in crate::site) name: String,
    pub(in crate::site) monthly_budget: String,
    pub(in crate::site) total_budget: String,
    pub(in crate::site) requests_per_minute: String,
    pub(in crate::site) max_streams: String,
    /// UTC.
    pub(in crate::site) expires_at: String,
    pub(in crate::site) models: Vec<SelectOption>,
    pub(in crate::site) scopes: Vec<SelectOption>,
}

impl KeyForm {
    /// For a new key.
    pub(super) fn blank(prices: &PriceList) -> Self {
        let scopes = scopes(Scopes::default().names());
        Self { models: models(prices, &[]), scopes, ..Self::default() }
    }

    /// As a key is limited now.
    pub(super) fn of(row: &ApiKeyRow, prices: &PriceList) -> Self {
        let limits = row.limits();
        let number = |limit: Option<u32>| limit.map(|count| count.to_string()).unwrap_or_default();
        let budget =
            |limit: Option<NanoUsd>| limit.map(|amount| amount.to_string()).unwrap_or_default();
        Self {
            name: row.name.clone(),
            monthly_budget: budget(limits.monthly_budget),
            total_budget: budget(limits.total_budget),
            requests_per_minute: number(limits.requests_per_minute),
            max_streams: number(limits.max_streams),
            expires_at: limits.expires_at.map(written).unwrap_or_default(),
            models: models(prices, &limits.models.unwrap_or_default()),
            scopes: scopes(limits.scopes.names()),
        }
    }

    /// As a browser has sent it.
    pub(super) fn sent(fields: &FormFields, prices: &PriceList) -> Self {
        let ticked: Vec<String> = fields.all("models").map(str::to_owned).collect();
        let text = |name| fields.word(name).to_owned();
        Self {
            name: text("name"),
            monthly_budget: text("monthly_budget"),
            total_budget: text("total_budget"),
            requests_per_minute: text("requests_per_minute"),
            max_streams: text("max_streams"),
            expires_at: text("expires_at"),
            models: models(prices, &ticked),
            scopes: scopes(fields.all("scopes")),
        }
    }

    /// The limits of a new key.
    ///
    /// # Errors
    /// What cannot be read, in a sentence.
    pub(super) fn limits(&self) -> Result<KeyLimits, &'static str> {
        Ok(KeyLimits {
            scopes: self.ticked_scopes().map_err(|NoScope| NO_SCOPE)?,
            models: self.ticked(),
            monthly_budget: dollars(&self.monthly_budget)?,
            total_budget: dollars(&self.total_budget)?,
            requests_per_minute: number(&self.requests_per_minute)?,
            max_streams: number(&self.max_streams)?,
            expires_at: moment(&self.expires_at)?,
        })
    }

    /// What is to change of a key whose form was `before`. A field that says the same as before
    /// changes nothing, be it that the form cannot say all that is stored.
    ///
    /// # Errors
    /// As [`KeyForm::limits`].
    pub(super) fn change_of(&self, before: &Self) -> Result<KeyChange, &'static str> {
        let limits = self.limits()?;
        Ok(KeyChange {
            name: (self.name != before.name).then(|| self.name.clone()),
            scopes: (self.scopes != before.scopes).then_some(limits.scopes),
            models: (self.ticked() != before.ticked()).then_some(limits.models),
            monthly_budget: (self.monthly_budget != before.monthly_budget)
                .then_some(limits.monthly_budget),
            total_budget: (self.total_budget != before.total_budget).then_some(limits.total_budget),
            requests_per_minute: (self.requests_per_minute != before.requests_per_minute)
                .then_some(limits.requests_per_minute),
            max_streams: (self.max_streams != before.max_streams).then_some(limits.max_streams),
            expires_at: (self.expires_at != before.expires_at).then_some(limits.expires_at),
            is_paused: None,
        })
    }

    fn ticked_scopes(&self) -> Result<Scopes, NoScope> {
        let ticked = self.scopes.iter().filter(|scope| scope.is_chosen);
        Scopes::named(ticked.map(|scope| scope.value.as_str()))
    }

    /// The models that are ticked, or none in particular.
    fn ticked(&self) -> Option<Vec<String>> {
        let ticked = self.models.iter().filter(|model| model.is_chosen);
        let ticked: Vec<String> = ticked.map(|model| model.value.clone()).collect();
        (!ticked.is_empty()).then_some(ticked)
    }
}

/// A box for each scope.
fn scopes<'a>(ticked: impl IntoIterator<Item = &'a str>) -> Vec<SelectOption> {
    let ticked: Vec<&str> = ticked.into_iter().collect();
    let of = |scope: Scope| SelectOption {
        value: scope.as_str().to_owned(),
        text: format!("{}: it {}.", scope.as_str(), scope.words()),
        is_chosen: ticked.contains(&scope.as_str()),
    };
    Scope::ALL.map(of).into()
}

fn models(prices: &PriceList, ticked: &[String]) -> Vec<SelectOption> {
    SelectOption::boxes(prices.models().map(|model| model.id.as_str().to_owned()), ticked)
}

fn dollars(text: &str) -> Result<Option<NanoUsd>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let amount = text.strip_prefix('$').unwrap_or(text).parse();
    amount.map(Some).map_err(|_| "Enter a budget in dollars, for example 12.50.")
}

fn number(text: &str) -> Result<Option<u32>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "Enter request limits as whole numbers.")
}

fn moment(text: &str) -> Result<Option<UnixMillis>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = [MOMENT, "%Y-%m-%dT%H:%M:%S"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let moment = read.ok_or("Enter the expiry in the form 2026-12-31T23:59.")?;
    Ok(Some(UnixMillis::from_millis(moment.and_utc().timestamp_millis())))
}

fn written(moment: UnixMillis) -> String {
    let moment = DateTime::<Utc>::from_timestamp_millis(moment.as_millis()).unwrap_or_default();
    moment.format(MOMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> KeyForm {
        let fields = FormFields::parse(text).unwrap();
        let ticked: Vec<String> = fields.all("models").map(str::to_owned).collect();
        let models = SelectOption::boxes(["a", "b"].map(str::to_owned), &ticked);
        KeyForm {
            name: fields.word("name").to_owned(),
            monthly_budget: fields.word("monthly_budget").to_owned(),
            total_budget: fields.word("total_budget").to_owned(),
            requests_per_minute: fields.word("requests_per_minute").to_owned(),
            max_streams: fields.word("max_streams").to_owned(),
            expires_at: fields.word("expires_at").to_owned(),
            models,
            scopes: scopes(fields.all("scopes")),
        }
    }

    #[test]
    fn an_empty_field_is_no_limit_and_others_are_read_exactly() {
        assert_eq!(form("name=x&scopes=inference").limits(), Ok(KeyLimits::default()));
        let full = form(
            "monthly_budget=$1.5&total_budget=0.000000001&requests_per_minute=60&max_streams=2\
             &expires_at=2026-12-31T23:59&models=b&scopes=read&scopes=billing",
        );
        let expected = KeyLimits {
            scopes: Scopes::named(["read", "billing"]).unwrap(),
            models: Some(vec!["b".to_owned()]),
            monthly_budget: Some(NanoUsd::from_nanos(1_500_000_000)),
            total_budget: Some(NanoUsd::from_nanos(1)),
            requests_per_minute: Some(60),
            max_streams: Some(2),
            expires_at: UnixMillis::parse_rfc3339("2026-12-31T23:59:00Z"),
        };
        assert_eq!(full.limits(), Ok(expected));
        for bad in [
            "monthly_budget=1,5",
            "total_budget=much",
            "requests_per_minute=-1",
            "max_streams=1.5",
            "expires_at=31.12.2026",
        ] {
            let bad = format!("scopes=read&{bad}");
            assert!(form(&bad).limits().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_reads_otherwise_than_before_is_changed() {
        let before =
            form("scopes=read&name=x&monthly_budget=5.00&expires_at=2026-12-31T23:59&models=gone");
        let nothing = before.change_of(&before).unwrap();
        assert!(nothing.name.is_none() && nothing.models.is_none());
        assert!(nothing.monthly_budget.is_none() && nothing.expires_at.is_none());
        let change = form("scopes=read&name=y&models=a").change_of(&before).unwrap();
        assert_eq!(change.name.as_deref(), Some("y"));
        assert_eq!((change.monthly_budget, change.expires_at), (Some(None), Some(None)));
        assert_eq!(change.models, Some(Some(vec!["a".to_owned()])));
        assert!(change.total_budget.is_none() && change.scopes.is_none());
        let change = form("scopes=billing").change_of(&before).unwrap();
        assert_eq!(change.scopes, Some(Scopes::named(["billing"]).unwrap()));
        assert_eq!(form("name=x").limits(), Err(NO_SCOPE));
    }
}
