//! For how long the secret that a key had before goes on working beside its new one.

use std::time::Duration;

use super::clock::UnixMillis;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOverlap {
    /// Not at all.
    None,
    /// An hour.
    Hour,
    /// Enough for whoever deploys once a day.
    Day,
    /// Enough for whoever is away for some days.
    Week,
}

impl KeyOverlap {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Hour, Self::Day, Self::Week];

    /// Its name in forms, in the API and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "now",
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// The overlap of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|overlap| overlap.as_str() == name)
    }

    /// As a choice on a page.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "Now",
            Self::Hour => "In 1 hour",
            Self::Day => "In 24 hours",
            Self::Week => "In 7 days",
        }
    }

    /// When a secret that is replaced now ends; `None` if that is at once.
    #[must_use]
    pub fn ends_at(self, now: UnixMillis) -> Option<UnixMillis> {
        let hours = match self {
            Self::None => return None,
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 24 * 7,
        };
        Some(now.plus(Duration::from_hours(hours)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_overlap_has_a_name_and_ends_after_the_one_before() {
        let now = UnixMillis::from_millis(1_000);
        for overlap in KeyOverlap::ALL {
            assert_eq!(KeyOverlap::parse(overlap.as_str()), Some(overlap));
        }
        assert_eq!(KeyOverlap::parse("2h"), None);
        let ends = KeyOverlap::ALL.map(|overlap| overlap.ends_at(now));
        assert!(ends.is_sorted() && ends[0].is_none(), "{ends:?}");
        assert_eq!(ends[3], Some(UnixMillis::from_millis(604_801_000)));
    }
}
