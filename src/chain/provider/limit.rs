//! How much a provider takes at once, as far as it has shown: blocks of a query, calls of a
//! request. What is refused is halved, whatever the words; after a while a little more is tried
//! again.

/// Successes at a provider's supposed limit after which a little more is tried.
const TRY_MORE_AFTER: u32 = 64;

/// A limit that is being learned. It never falls below one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnedLimit {
    most: u64,
    now: u64,
    /// So much was taken last, at most.
    taken: u64,
    /// So much was refused.
    refused: u64,
    successes: u32,
}

impl LearnedLimit {
    /// Nothing is known yet: as much as the settings allow.
    #[must_use]
    pub const fn new(most: u64) -> Self {
        let most = if most == 0 { 1 } else { most };
        Self { most, now: most, taken: 0, refused: u64::MAX, successes: 0 }
    }

    /// The same, begun with less.
    #[must_use]
    pub const fn starting_at(most: u64, first: u64) -> Self {
        let limit = Self::new(most);
        let now = if first < limit.most { first } else { limit.most };
        Self { now, ..limit }
    }

    /// What may be asked at once.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Whether more is tried than was ever taken, after a refusal.
    #[must_use]
    pub const fn is_tried(&self) -> bool {
        self.now > self.taken && self.refused != u64::MAX
    }

    /// So much was refused, or not answered; the provider may have proposed less. Then half is
    /// tried, or what was taken before, if that is more.
    pub fn refuse(&mut self, size: u64, proposed: Option<u64>) {
        self.refused = size;
        self.successes = 0;
        if self.taken >= size {
            self.taken = 0;
        }
        let less = proposed.unwrap_or_else(|| self.taken.max(size / 2));
        self.now = less.clamp(1, size.saturating_sub(1).max(1));
    }

    /// Not even one was answered, so that size was not the reason. Larger ones are tried again once
    /// one is.
    pub const fn fail_alone(&mut self) {
        self.refused = u64::MAX;
        self.successes = 0;
        self.taken = 0;
        self.now = 1;
    }

    /// So much was answered.
    pub fn take(&mut self, size: u64) {
        if size < self.now {
            return;
        }
        self.successes = self.successes.saturating_add(1);
        if self.successes >= TRY_MORE_AFTER {
            self.successes = 0;
            self.refused = self.refused.saturating_add(self.refused / 2).saturating_add(1);
        }
        self.taken = self.taken.max(size);
        let quarter = (self.now / 4).saturating_add(1);
        // Between what is taken and what is refused, the middle.
        let half_way = self.refused.saturating_sub(self.now) / 2;
        let more = self.now.saturating_add(quarter.min(half_way));
        self.now = more.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_settles_below_what_is_refused_and_tries_more_now_and_then() {
        let mut limit = LearnedLimit::new(1000);
        let mut refusals = 0;
        for _ in 0..500 {
            if limit.now() > 10 {
                refusals += 1;
                limit.refuse(limit.now(), None);
            } else {
                limit.take(limit.now());
            }
        }
        assert!((8..=30).contains(&refusals), "{refusals}");
        // What is taken again is used again.
        for _ in 0..2000 {
            limit.take(limit.now());
        }
        assert_eq!(limit.now(), 1000);
        limit.refuse(1000, Some(100));
        assert_eq!(limit.now(), 100);
        limit.refuse(2, Some(900));
        assert_eq!(limit.now(), 1);
        assert_eq!(LearnedLimit::new(0).now(), 1);
    }

    #[test]
    fn a_limit_is_found_with_few_refusals_and_kept() {
        for most in [1, 2, 3, 7, 10, 64, 100, 999] {
            let (mut limit, mut refusals) = (LearnedLimit::new(1000), 0);
            for _ in 0..60 {
                if limit.now() > most {
                    refusals += 1;
                    limit.refuse(limit.now(), None);
                } else {
                    limit.take(limit.now());
                }
            }
            assert_eq!(limit.now(), most);
            assert!(refusals <= 17, "{most}: {refusals}");
        }
        // What was taken once may be too much later.
        let mut limit = LearnedLimit::new(1000);
        limit.refuse(1000, None);
        limit.take(500);
        limit.refuse(limit.now(), None);
        assert_eq!(limit.now(), 500);
        limit.refuse(500, None);
        assert_eq!(limit.now(), 250);
    }

    #[test]
    fn a_failure_of_one_alone_says_nothing_about_size() {
        let mut limit = LearnedLimit::new(20);
        for size in [20, 10, 5, 2] {
            limit.refuse(size, None);
        }
        limit.fail_alone();
        assert_eq!(limit.now(), 1);
        let mut taken = 0;
        while limit.now() < 20 {
            limit.take(limit.now());
            taken += 1;
        }
        assert!(taken < 12, "{taken}");
        // Less than the limit proves nothing about it.
        limit.refuse(20, None);
        let before = limit;
        for _ in 0..500 {
            limit.take(1);
        }
        assert_eq!(limit, before);
    }
}
