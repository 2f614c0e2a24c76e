//! The form of a key: every field as text, from a key, from a browser, and back.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::accounts::keys::KeyChange;
use crate::db::models::api_keys::ApiKeyRow;
use crate::domain::clock::UnixMillis;
use crate::domain::key_limits::KeyLimits;
use crate::domain::key_scopes::{NoScope, Scope, Scopes};
use crate::domain::money::NanoUsd;
use crate::domain::price_list::PriceList;
use crate::site::fields::{self, FormFields};
use crate::site::select_option::SelectOption;

/// As browsers write a moment without its zone.
const MOMENT: &str = "%Y-%m-%dT%H:%M";
const NO_SCOPE: &str = "Choose at least one scope.";

/// A field of the form, or a group of boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyField {
    Name,
    Scopes,
    MonthlyBudget,
    TotalBudget,
    RequestsPerMinute,
    MaxStreams,
    ExpiresAt,
    Models,
}

impl KeyField {
    /// Its name in the form.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Scopes => "scopes",
            Self::MonthlyBudget => "monthly_budget",
            Self::TotalBudget => "total_budget",
            Self::RequestsPerMinute => "requests_per_minute",
            Self::MaxStreams => "max_streams",
            Self::ExpiresAt => "expires_at",
            Self::Models => "models",
        }
    }
}

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
    /// What is wrong, by field.
    errors: Vec<(KeyField, String)>,
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
            errors: Vec::new(),
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
            errors: Vec::new(),
        }
    }

    /// What is wrong with a field, if something is.
    pub(in crate::site) fn error(&self, name: &str) -> Option<&str> {
        let found = self.errors.iter().find(|(field, _)| field.as_str() == name);
        found.map(|(_, words)| words.as_str())
    }

    /// Whether something is wrong with a field.
    pub(in crate::site) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether something is wrong with a field other than the name, which may be folded away.
    pub(in crate::site) fn has_folded_errors(&self) -> bool {
        self.errors.iter().any(|(field, _)| *field != KeyField::Name)
    }

    /// Notes what is wrong with a field.
    pub(super) fn mark(&mut self, field: KeyField, words: String) {
        self.errors.push((field, words));
    }

    /// The limits of a new key; `None` if a field says something else, which is noted beside it.
    pub(super) fn limits(&mut self) -> Option<KeyLimits> {
        let scopes = self.ticked_scopes().map_err(|NoScope| NO_SCOPE);
        let monthly = budget(&self.monthly_budget);
        let total = budget(&self.total_budget);
        let rate = number(&self.requests_per_minute);
        let streams = number(&self.max_streams);
        let expires_at = moment(&self.expires_at);
        Some(KeyLimits {
            models: self.ticked(),
            monthly_budget: self.noted(KeyField::MonthlyBudget, monthly),
            total_budget: self.noted(KeyField::TotalBudget, total),
            requests_per_minute: self.noted(KeyField::RequestsPerMinute, rate),
            max_streams: self.noted(KeyField::MaxStreams, streams),
            expires_at: self.noted(KeyField::ExpiresAt, expires_at),
            scopes: self.noted(KeyField::Scopes, scopes),
        })
        .filter(|_| self.errors.is_empty())
    }

    /// What a field says; what is wrong with it is noted.
    fn noted<T: Default>(&mut self, field: KeyField, read: Result<T, &'static str>) -> T {
        read.unwrap_or_else(|words| {
            self.mark(field, words.to_owned());
            T::default()
        })
    }

    /// What is to change of a key whose form was `before`. A field that says the same as before
    /// changes nothing, be it that the form cannot say all that is stored. `None` as for
    /// [`KeyForm::limits`].
    pub(super) fn change_of(&mut self, before: &Self) -> Option<KeyChange> {
        let limits = self.limits()?;
        Some(KeyChange {
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

/// A box for each model, by the names that people know.
fn models(prices: &PriceList, ticked: &[String]) -> Vec<SelectOption> {
    let named = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    let offered = prices.models().map(|model| named(model.id.as_str(), &model.display_name));
    SelectOption::boxes(offered, ticked)
}

fn budget(text: &str) -> Result<Option<NanoUsd>, &'static str> {
    let amount = fields::dollars(text)?;
    match amount {
        Some(amount) if amount.is_negative() => Err("A budget must not be below zero."),
        _ => Ok(amount),
    }
}

fn number(text: &str) -> Result<Option<u32>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(0) => Err("Enter at least 1, or leave it empty for no limit."),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err("Enter a whole number, for example 60."),
    }
}

fn moment(text: &str) -> Result<Option<UnixMillis>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = [MOMENT, "%Y-%m-%dT%H:%M:%S"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let moment = read.ok_or("Enter a date and time in the form 2026-12-31T23:59.")?;
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
        let offered = ["a", "b"].map(|id| (id.to_owned(), id.to_uppercase()));
        let models = SelectOption::boxes(offered, &ticked);
        KeyForm {
            name: fields.word("name").to_owned(),
            monthly_budget: fields.word("monthly_budget").to_owned(),
            total_budget: fields.word("total_budget").to_owned(),
            requests_per_minute: fields.word("requests_per_minute").to_owned(),
            max_streams: fields.word("max_streams").to_owned(),
            expires_at: fields.word("expires_at").to_owned(),
            models,
            scopes: scopes(fields.all("scopes")),
            errors: Vec::new(),
        }
    }

    #[test]
    fn an_empty_field_is_no_limit_and_others_are_read_exactly() {
        assert_eq!(form("name=x&scopes=inference").limits(), Some(KeyLimits::default()));
        let mut full = form(
            "monthly_budget=$1,5&total_budget=0.000000001&requests_per_minute=60&max_streams=2\
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
        assert_eq!(full.limits(), Some(expected));
        for (field, bad) in [
            ("monthly_budget", "1,500"),
            ("monthly_budget", "-1"),
            ("total_budget", "much"),
            ("requests_per_minute", "-1"),
            ("requests_per_minute", "0"),
            ("max_streams", "1.5"),
            ("expires_at", "31.12.2026"),
        ] {
            let mut form = form(&format!("scopes=read&{field}={bad}"));
            assert_eq!(form.limits(), None, "{field} {bad}");
            assert!(form.error(field).is_some() && form.has_folded_errors(), "{field} {bad}");
            assert_eq!(form.error("name"), None);
        }
        let mut several = form("max_streams=x&total_budget=y");
        assert_eq!((several.limits(), several.errors.len()), (None, 3), "and no scope");
    }

    #[test]
    fn only_what_reads_otherwise_than_before_is_changed() {
        let before =
            form("scopes=read&name=x&monthly_budget=5.00&expires_at=2026-12-31T23:59&models=gone");
        let nothing = before.clone().change_of(&before).unwrap();
        assert!(nothing.name.is_none() && nothing.models.is_none());
        assert!(nothing.monthly_budget.is_none() && nothing.expires_at.is_none());
        let change = form("scopes=read&name=y&models=a").change_of(&before).unwrap();
        assert_eq!(change.name.as_deref(), Some("y"));
        assert_eq!((change.monthly_budget, change.expires_at), (Some(None), Some(None)));
        assert_eq!(change.models, Some(Some(vec!["a".to_owned()])));
        assert!(change.total_budget.is_none() && change.scopes.is_none());
        let change = form("scopes=billing").change_of(&before).unwrap();
        assert_eq!(change.scopes, Some(Scopes::named(["billing"]).unwrap()));
        let mut none = form("name=x");
        assert_eq!((none.limits(), none.error("scopes")), (None, Some(NO_SCOPE)));
    }
}
