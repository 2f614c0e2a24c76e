//! What an API key may do, what it has cost, and what follows for the next request.

use super::clock::{CalendarMonth, UnixMillis};
use super::key_scopes::Scopes;
use super::mail::BudgetPeriod;
use super::money::{MoneyError, NanoUsd};

/// What a total budget refuses it refuses until the key's limits change.
pub const FOR_GOOD: UnixMillis = UnixMillis::from_millis(i64::MAX);

/// What a key may do. `None` is no limit of the key's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// What it may be used for.
    pub scopes: Scopes,
    /// The priced ids of the models that it may ask for.
    pub models: Option<Vec<String>>,
    /// What it may cost in a calendar month, UTC.
    pub monthly_budget: Option<NanoUsd>,
    /// What it may cost in its life.
    pub total_budget: Option<NanoUsd>,
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Exchanges open at once.
    pub max_streams: Option<u32>,
    /// From when on it is refused.
    pub expires_at: Option<UnixMillis>,
}

impl KeyLimits {
    /// Whether the key may ask for the model of this id.
    #[must_use]
    pub fn allows(&self, model_id: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|allowed| allowed == model_id))
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The budget for a time.
    #[must_use]
    pub const fn budget(&self, period: BudgetPeriod) -> Option<NanoUsd> {
        match period {
            BudgetPeriod::Month => self.monthly_budget,
            BudgetPeriod::Total => self.total_budget,
        }
    }
}

/// What a key has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpending {
    /// In its life.
    pub spent: NanoUsd,
    /// The month that `month_spent` is about.
    pub month: CalendarMonth,
    /// In that month.
    pub month_spent: NanoUsd,
    /// A budget has refused a request until then, or is used up: its owner was told.
    pub paused_until: Option<UnixMillis>,
}

/// A budget that does not cover what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Which.
    pub period: BudgetPeriod,
    /// All of it.
    pub budget: NanoUsd,
    /// What is neither spent nor held; not below zero.
    pub left: NanoUsd,
}

impl KeySpending {
    /// What it has cost in the month of `now`, or in the later one that another node's clock has
    /// seen begin.
    #[must_use]
    pub fn month_spent_at(&self, now: UnixMillis) -> NanoUsd {
        if now.month() > self.month { NanoUsd::ZERO } else { self.month_spent }
    }

    /// What it has cost in the time of a budget.
    #[must_use]
    pub fn spent_in(&self, period: BudgetPeriod, now: UnixMillis) -> NanoUsd {
        match period {
            BudgetPeriod::Month => self.month_spent_at(now),
            BudgetPeriod::Total => self.spent,
        }
    }

    /// Adds what an exchange has cost.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn add(&mut self, cost: NanoUsd, now: UnixMillis) -> Result<(), MoneyError> {
        self.month_spent = self.month_spent_at(now).plus(cost)?;
        self.month = self.month.max(now.month());
        self.spent = self.spent.plus(cost)?;
        Ok(())
    }

    /// The budget that does not cover `amount` beside what open reservations hold; the total one
    /// first, since it does not come back.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn exhausted(
        &self,
        limits: &KeyLimits,
        held: NanoUsd,
        amount: NanoUsd,
        now: UnixMillis,
    ) -> Result<Option<Exhausted>, MoneyError> {
        for period in [BudgetPeriod::Total, BudgetPeriod::Month] {
            let Some(budget) = limits.budget(period) else { continue };
            let left = budget.minus(self.spent_in(period, now))?.minus(held)?;
            if left < amount || left.is_negative() {
                return Ok(Some(Exhausted { period, budget, left: left.max(NanoUsd::ZERO) }));
            }
        }
        Ok(None)
    }

    /// The budget that is used up, if one is.
    #[must_use]
    pub fn used_up(&self, limits: &KeyLimits, now: UnixMillis) -> Option<BudgetPeriod> {
        [BudgetPeriod::Total, BudgetPeriod::Month].into_iter().find(|&period| {
            limits.budget(period).is_some_and(|budget| self.spent_in(period, now) >= budget)
        })
    }

    /// The budget that was too small for a request, though something is left of it.
    #[must_use]
    pub fn runs_short(&self, limits: &KeyLimits, now: UnixMillis) -> Option<BudgetPeriod> {
        let until = self.paused_until.filter(|until| *until > now)?;
        let period = if until == FOR_GOOD { BudgetPeriod::Total } else { BudgetPeriod::Month };
        let budget = limits.budget(period)?;
        (self.spent_in(period, now) < budget).then_some(period)
    }
}

/// The moment until which a budget refuses what it has refused once.
#[must_use]
pub fn pause_end(period: BudgetPeriod, now: UnixMillis) -> UnixMillis {
    match period {
        BudgetPeriod::Month => now.month().next().begin(),
        BudgetPeriod::Total => FOR_GOOD,
    }
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It may ask.
    Active,
    /// Its owner has stopped it, until they resume it.
    PausedByOwner,
    /// A budget of it is used up.
    Paused(BudgetPeriod),
    /// Its time is over.
    Expired,
    /// Taken back for good.
    Revoked,
}

impl KeyState {
    /// How a key stands at a moment.
    #[must_use]
    pub fn of(
        limits: &KeyLimits,
        spending: &KeySpending,
        (is_revoked, is_paused): (bool, bool),
        now: UnixMillis,
    ) -> Self {
        if is_revoked {
            return Self::Revoked;
        }
        if limits.is_expired(now) {
            return Self::Expired;
        }
        if is_paused {
            return Self::PausedByOwner;
        }
        spending.used_up(limits, now).map_or(Self::Active, Self::Paused)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused(_) | Self::PausedByOwner => "paused",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = UnixMillis::from_millis(1_795_348_800_000);
    const DECEMBER: UnixMillis = UnixMillis::from_millis(1_796_083_200_000);

    fn nanos(count: i64) -> NanoUsd {
        NanoUsd::from_nanos(count)
    }

    fn spending(spent: i64, month_spent: i64) -> KeySpending {
        KeySpending {
            spent: nanos(spent),
            month: NOON.month(),
            month_spent: nanos(month_spent),
            paused_until: None,
        }
    }

    #[test]
    fn a_budget_covers_what_is_spent_held_and_asked_to_the_last_nano() {
        let limits = KeyLimits { monthly_budget: Some(nanos(100)), ..KeyLimits::default() };
        let exhausted = |held, amount| {
            spending(999, 30).exhausted(&limits, nanos(held), nanos(amount), NOON).unwrap()
        };
        assert_eq!(exhausted(20, 50), None);
        let refused = exhausted(20, 51).unwrap();
        assert_eq!((refused.period, refused.left), (BudgetPeriod::Month, nanos(50)));
        assert_eq!(exhausted(90, 0).unwrap().left, nanos(0));
    }

    #[test]
    fn a_month_begins_with_nothing_spent_and_the_whole_life_goes_on() {
        let limits = KeyLimits {
            monthly_budget: Some(nanos(100)),
            total_budget: Some(nanos(150)),
            ..KeyLimits::default()
        };
        let mut key = spending(100, 100);
        assert_eq!(key.used_up(&limits, NOON), Some(BudgetPeriod::Month));
        assert_eq!(
            KeyState::of(&limits, &key, (false, false), NOON),
            KeyState::Paused(BudgetPeriod::Month)
        );
        assert_eq!(KeyState::of(&limits, &key, (false, false), DECEMBER), KeyState::Active);
        let refused = key.exhausted(&limits, nanos(0), nanos(51), DECEMBER).unwrap().unwrap();
        assert_eq!((refused.period, refused.left), (BudgetPeriod::Total, nanos(50)));
        key.add(nanos(50), DECEMBER).unwrap();
        assert_eq!((key.spent, key.month_spent), (nanos(150), nanos(50)));
        assert_eq!(key.used_up(&limits, DECEMBER), Some(BudgetPeriod::Total));
        // A node whose clock is behind does not go back to November.
        key.add(nanos(1), NOON).unwrap();
        assert_eq!((key.month, key.month_spent), (DECEMBER.month(), nanos(51)));
    }

    #[test]
    fn a_key_is_paused_when_nothing_is_left_and_runs_short_before() {
        let limits = KeyLimits { monthly_budget: Some(nanos(100)), ..KeyLimits::default() };
        let mut key = spending(99, 99);
        key.paused_until = Some(pause_end(BudgetPeriod::Month, NOON));
        assert_eq!(key.paused_until, Some(DECEMBER));
        let state = |key: &KeySpending, now| KeyState::of(&limits, key, (false, false), now);
        // A smaller request is still let through.
        assert_eq!(state(&key, NOON), KeyState::Active);
        assert_eq!(key.runs_short(&limits, NOON), Some(BudgetPeriod::Month));
        assert_eq!(key.runs_short(&limits, DECEMBER), None);
        key.add(nanos(1), NOON).unwrap();
        assert_eq!(state(&key, NOON), KeyState::Paused(BudgetPeriod::Month));
        assert_eq!(
            (key.runs_short(&limits, NOON), state(&key, DECEMBER)),
            (None, KeyState::Active)
        );
    }

    #[test]
    fn revoked_and_expired_come_before_paused_and_its_owner_before_a_budget() {
        let limits = KeyLimits {
            total_budget: Some(nanos(0)),
            expires_at: Some(DECEMBER),
            models: Some(vec!["m".to_owned()]),
            ..KeyLimits::default()
        };
        let key = spending(0, 0);
        assert_eq!(KeyState::of(&limits, &key, (true, false), DECEMBER), KeyState::Revoked);
        assert_eq!(KeyState::of(&limits, &key, (false, false), DECEMBER), KeyState::Expired);
        assert_eq!(
            KeyState::of(&limits, &key, (false, false), NOON),
            KeyState::Paused(BudgetPeriod::Total)
        );
        let by_owner = KeyState::of(&limits, &key, (false, true), NOON);
        assert_eq!((by_owner, by_owner.as_str()), (KeyState::PausedByOwner, "paused"));
        assert_eq!(KeyState::of(&limits, &key, (false, true), DECEMBER), KeyState::Expired);
        assert!(limits.allows("m") && !limits.allows("n") && KeyLimits::default().allows("n"));
    }
}
