//! What became of a request, in the five words that lists, filters and charts tell apart. The
//! status alone does not say it: a stream that broke off had begun with 200.

use super::usage_record::Outcome;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestResult {
    /// A whole response.
    Ok,
    /// A response that had begun and has no proper end.
    CutShort,
    /// The upstream refused the request.
    Refused,
    /// There was no response.
    Error,
    /// The client disconnected or stopped reading.
    YouLeft,
}

impl RequestResult {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::CutShort, Self::Refused, Self::Error, Self::YouLeft];

    /// What an ending means.
    #[must_use]
    pub const fn of(ending: Outcome) -> Self {
        match ending {
            Outcome::Complete | Outcome::NoUsage => Self::Ok,
            Outcome::ErrorEvent
            | Outcome::CutOff
            | Outcome::Silent
            | Outcome::Stopped
            | Outcome::Killed
            | Outcome::NotDurable
            | Outcome::MaxDuration
            | Outcome::NotExtended => Self::CutShort,
            Outcome::Refused => Self::Refused,
            Outcome::Unreachable
            | Outcome::LateJson
            | Outcome::UnacceptableHead
            | Outcome::ErrorAtOnce
            | Outcome::CredentialRefused
            | Outcome::Panicked => Self::Error,
            Outcome::ClientLeft | Outcome::ClientLeftJson | Outcome::ClientStalled => Self::YouLeft,
        }
    }

    /// Whether it counts as an error: whoever leaves by themselves has met none.
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(self, Self::CutShort | Self::Refused | Self::Error)
    }

    /// The endings with this meaning.
    #[must_use]
    pub fn endings(self) -> Vec<Outcome> {
        Outcome::all().filter(|ending| Self::of(*ending) == self).collect()
    }

    /// Its name in queries and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::CutShort => "cut_short",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::YouLeft => "you_left",
        }
    }

    /// The result of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_one_result_and_every_result_has_endings() {
        let all: usize = RequestResult::ALL.iter().map(|result| result.endings().len()).sum();
        assert_eq!(all, Outcome::all().count());
        for result in RequestResult::ALL {
            assert!(!result.endings().is_empty());
            assert_eq!(RequestResult::parse(result.as_str()), Some(result));
        }
        assert_eq!(RequestResult::of(Outcome::CutOff), RequestResult::CutShort);
        assert!(!RequestResult::of(Outcome::ClientLeft).is_error());
    }
}
