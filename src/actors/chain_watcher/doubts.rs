//! What providers do not agree on at the moment. A doubt lasts from the round in which it came up until it is
//! settled, also through the rounds in which nobody asks: so the chain's state does not flicker.

use std::collections::BTreeMap;

use crate::domain::clock::UnixMillis;
use crate::domain::evm::TxHash;

/// How long a doubt outlasts the moment when it should have been looked at again, in milliseconds. Then it concerns
/// something that is gone.
const GRACE: i64 = 60_000;

/// A transaction as a whole, or the deposit at that place in it.
pub(super) type About = (TxHash, Option<i64>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<About, (String, UnixMillis)>);

impl Doubts {
    /// A doubt that is looked at again at `check_at`.
    pub(super) fn raise(&mut self, about: About, detail: String, check_at: UnixMillis) {
        self.0.insert(about, (detail, check_at.plus_millis(GRACE)));
    }

    /// It is settled, or its subject is gone.
    pub(super) fn settle(&mut self, about: About) {
        self.0.remove(&about);
    }

    /// All subjects may be gone.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// One of them, as long as there are any the same one; and how many there are.
    pub(super) fn first(&mut self, now: UnixMillis) -> Option<String> {
        self.0.retain(|_, (_, until)| *until >= now);
        let (detail, _) = self.0.values().next()?;
        match self.0.len() {
            1 => Some(detail.clone()),
            count => Some(format!("{detail} ({count} such cases)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_lasts_until_it_is_settled_or_its_subject_is_gone() {
        let at = UnixMillis::from_millis;
        let mut doubts = Doubts::default();
        assert_eq!(doubts.first(at(0)), None);
        let (one, two) = ((TxHash([1; 32]), None), (TxHash([2; 32]), Some(-1)));
        doubts.raise(two, "two".to_owned(), at(100));
        doubts.raise(one, "one".to_owned(), at(1000));
        assert_eq!(doubts.first(at(50)).as_deref(), Some("one (2 such cases)"));
        doubts.settle(one);
        assert_eq!(doubts.first(at(100 + GRACE)).as_deref(), Some("two"));
        assert_eq!(doubts.first(at(101 + GRACE)), None);
    }
}
