//! What an API key may be used for. How much of it is for [`super::key_limits`].

use std::fmt;
use std::str::FromStr;

/// One use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// It calls `/v1`, and reads its own usage and limits.
    Inference,
    /// It reads what is the account's.
    Read,
    /// It pays in.
    Billing,
}

/// The uses of a key. The default, of a key that was made without a word about it, is
/// [`Scope::Inference`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u8);

/// A word that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scopes are inference, read and billing; a key needs at least one")]
pub struct NoScope;

impl Scope {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Inference, Self::Read, Self::Billing];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Read => "read",
            Self::Billing => "billing",
        }
    }

    /// What a key of that scope does.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Inference => "sends requests to models, and reads its own usage and limits",
            Self::Read => {
                "reads the account's balance, usage, ledger, keys, deposits and wallets, and \
                 changes nothing"
            }
            Self::Billing => {
                "makes deposits: reads where to pay, submits transactions, links wallets, and \
                 follows deposits"
            }
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Inference => 1,
            Self::Read => 2,
            Self::Billing => 4,
        }
    }
}

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(NoScope)
    }
}

impl Scopes {
    /// All that a key may do.
    pub const ALL: Self = Self(Scope::Inference.bit() | Scope::Read.bit() | Scope::Billing.bit());

    /// From their names; each may be named again.
    ///
    /// # Errors
    /// [`NoScope`] for another word, and for none at all.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, NoScope> {
        let mut scopes = Self(0);
        for name in names {
            scopes.0 |= Scope::from_str(name)?.bit();
        }
        if scopes.0 == 0 { Err(NoScope) } else { Ok(scopes) }
    }

    /// As they are stored. A word that is not known, be it a later version's, allows nothing.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        let known = text.split(' ').filter_map(|name| Scope::from_str(name).ok());
        Self(known.fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Whether a use is among them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether its holder may learn what the account has.
    #[must_use]
    pub const fn tell_the_balance(self) -> bool {
        self.has(Scope::Read) || self.has(Scope::Billing)
    }

    /// Their names, in the order in which they are shown.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope)).map(Scope::as_str)
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self(Scope::Inference.bit())
    }
}

/// With blanks between them, as they are stored.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_in_their_order_and_unknown_words_allow_nothing() {
        let some = Scopes::named(["billing", "inference", "billing"]).unwrap();
        assert_eq!(some.to_string(), "inference billing");
        assert_eq!(Scopes::stored("inference billing"), some);
        assert!(some.has(Scope::Billing) && !some.has(Scope::Read));
        assert_eq!(Scopes::named(Scope::ALL.map(Scope::as_str)), Ok(Scopes::ALL));
        assert_eq!(Scopes::default().to_string(), "inference");
        assert_eq!(Scopes::named([]), Err(NoScope));
        assert_eq!(Scopes::named(["read", "write"]), Err(NoScope));
        let none = Scopes::stored("Read write  ");
        assert!(Scope::ALL.into_iter().all(|scope| !none.has(scope)));
    }
}
