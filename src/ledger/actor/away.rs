//! Since when the database is away, and when the log was last told: at first, and then once a
//! minute.

use std::time::Duration;

use tokio::time::Instant;

const REMINDER: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Default)]
pub(super) struct Away {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Away {
    /// Notes that it is; whether that is to be told now.
    pub(super) fn is_to_be_told(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= REMINDER);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    /// Notes that it is there; for how many seconds it was not, if it was away.
    pub(super) fn end(&mut self, now: Instant) -> Option<u64> {
        self.told = None;
        Some(now.duration_since(self.since.take()?).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_first_then_once_a_minute_and_anew_after_it_was_there() {
        let (mut away, begin) = (Away::default(), Instant::now());
        let at = |secs| begin + Duration::from_secs(secs);
        assert_eq!(away.end(at(0)), None);
        let told = [0, 1, 59, 60, 61].map(|secs| away.is_to_be_told(at(secs)));
        assert_eq!(told, [true, false, false, true, false]);
        assert_eq!(away.end(at(62)), Some(62));
        assert_eq!(away.end(at(62)), None);
        assert!(away.is_to_be_told(at(63)));
    }
}
