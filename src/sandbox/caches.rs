//! Prompt caches as upstream keeps them: which prefix of a prompt is read, what is written, what is
//! neither. One cache for whoever asks, in memory, of bounded size; of a prompt it keeps hashes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::prompt::{Prefix, Prompt, PromptPart};
use super::script::CacheTtl;
use super::usage::Split;
use crate::domain::clock::{Clock, UnixMillis};

/// Prefixes that are remembered at once: a few megabytes.
const ENTRIES_MAX: usize = 32_768;

/// A prefix that is shorter is not cached, though it be marked.
const TOKENS_MIN: u64 = 1024;

/// How many blocks, beginning with the marked one, are tried backwards from a mark.
const BLOCKS_BACK: usize = 20;

#[derive(Clone, Copy, Debug)]
struct CacheEntry {
    ttl: CacheTtl,
    expires_at: UnixMillis,
}

/// The entries of all prompts.
pub(super) struct Caches {
    clock: Clock,
    entries: Mutex<HashMap<Prefix, CacheEntry>>,
}

impl Caches {
    /// Empty caches that go by this clock.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, entries: Mutex::default() }
    }

    /// How an answer to this prompt reports its tokens, and what is cached from now on.
    ///
    /// Up to the longest known prefix the prompt is read; from there to the last mark of an hour it
    /// is written for an hour, then to the last mark for five minutes; what follows is plain input.
    pub(super) fn answer(&self, prompt: &Prompt) -> Split {
        let now = self.clock.now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = || {
            let parts = prompt.parts().iter().enumerate();
            let parts = parts.filter(|(_, part)| part.tokens >= TOKENS_MIN);
            parts.filter_map(|(index, part)| part.mark.map(|ttl| (index, part, ttl)))
        };
        let known =
            |part: &&PromptPart| entries.get(&part.prefix).is_some_and(|e| e.expires_at > now);
        let hit = marks()
            .filter_map(|(index, ..)| {
                let end = index.saturating_add(1);
                let parts = prompt.parts().get(end.saturating_sub(BLOCKS_BACK)..end)?;
                parts.iter().rev().find(known)
            })
            .max_by_key(|part| part.tokens)
            .copied();
        if let Some(hit) = hit
            && let Some(entry) = entries.get_mut(&hit.prefix)
        {
            entry.expires_at = expiry(now, entry.ttl);
        }
        for (_, part, ttl) in marks() {
            if entries.len() >= ENTRIES_MAX {
                make_room(&mut entries, now);
            }
            let entry = entries.entry(part.prefix).or_insert(CacheEntry { ttl, expires_at: now });
            // Who asks for less does not shorten what another one has asked for.
            if entry.expires_at <= now || ttl == CacheTtl::OneHour {
                entry.ttl = ttl;
            }
            entry.expires_at = expiry(now, entry.ttl);
        }
        let read = hit.map_or(0, |part| part.tokens);
        let end_of = |ttls: &[CacheTtl]| {
            let written = marks().filter(|(_, _, ttl)| ttls.contains(ttl));
            written.map(|(_, part, _)| part.tokens).max().unwrap_or(0)
        };
        let hour = end_of(&[CacheTtl::OneHour]).max(read);
        let marked = end_of(&[CacheTtl::OneHour, CacheTtl::FiveMinutes]).max(hour);
        Split {
            input: prompt.tokens().saturating_sub(marked),
            cache_read: read,
            cache_5m: marked.saturating_sub(hour),
            cache_1h: hour.saturating_sub(read),
        }
    }
}

const fn expiry(now: UnixMillis, ttl: CacheTtl) -> UnixMillis {
    now.plus_millis(match ttl {
        CacheTtl::FiveMinutes => 5 * 60_000,
        CacheTtl::OneHour => 60 * 60_000,
    })
}

/// Drops what is over; if all of it is alive, the half that ends first.
fn make_room(entries: &mut HashMap<Prefix, CacheEntry>, now: UnixMillis) {
    entries.retain(|_, entry| entry.expires_at > now);
    if entries.len() < ENTRIES_MAX {
        return;
    }
    let mut ends: Vec<UnixMillis> = entries.values().map(|entry| entry.expires_at).collect();
    let half = ends.len() / 2;
    let (_, middle, _) = ends.select_nth_unstable(half);
    let middle = *middle;
    entries.retain(|_, entry| entry.expires_at > middle);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Blocks of about 1,000 tokens each; `marks` name those with a mark.
    fn prompt(blocks: usize, marks: &[(usize, &str)], last: &str) -> Prompt {
        let mut content: Vec<Value> = (0..blocks)
            .map(|n| json!({ "type": "text", "text": format!("{n:04}").repeat(1000) }))
            .collect();
        content.push(json!({ "type": "text", "text": last }));
        for (index, ttl) in marks {
            content[*index]["cache_control"] = json!({ "type": "ephemeral", "ttl": ttl });
        }
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
        Prompt::parse(body.to_string().as_bytes()).expect("a prompt")
    }

    fn caches() -> Caches {
        Caches::new(Clock::manual(1_000_000))
    }

    #[test]
    fn what_was_written_is_read_until_its_time_is_over() {
        for (ttl, minutes) in [("5m", 5), ("1h", 60)] {
            let caches = caches();
            let prompt = prompt(4, &[(3, ttl)], "end");
            let first = caches.answer(&prompt);
            assert_eq!((first.cache_read, first.total()), (0, prompt.tokens()), "{ttl}");
            assert!(first.cache_5m + first.cache_1h > 4000, "{ttl}");
            // Each read begins its time anew.
            for _ in 0..2 {
                caches.clock.advance(minutes * 60_000 - 1);
                let read = caches.answer(&prompt);
                let expected = first.cache_5m + first.cache_1h;
                assert_eq!(read, Split { cache_read: expected, ..Split::cold(first.input) });
            }
            caches.clock.advance(minutes * 60_000);
            assert_eq!(caches.answer(&prompt), first, "{ttl}");
        }
    }

    #[test]
    fn a_conversation_reads_what_its_last_turn_wrote_and_writes_the_rest() {
        let caches = caches();
        let mut before = caches.answer(&prompt(3, &[(2, "5m")], "a"));
        for blocks in 4..20 {
            let turn = caches.answer(&prompt(blocks, &[(blocks - 1, "5m")], "another"));
            assert_eq!(turn.cache_read, before.cache_read + before.cache_5m, "{blocks}");
            assert!((1000..1020).contains(&turn.cache_5m), "{turn:?}");
            before = turn;
        }
    }

    #[test]
    fn a_mark_looks_twenty_blocks_back_and_no_further() {
        for (marked, is_read) in [(11, true), (10, false)] {
            let caches = caches();
            caches.answer(&prompt(40, &[(marked, "5m")], ""));
            let split = caches.answer(&prompt(40, &[(30, "5m")], ""));
            assert_eq!(split.cache_read > 0, is_read, "{marked}");
        }
    }

    #[test]
    fn a_prefix_that_is_read_on_the_way_lives_on() {
        let caches = caches();
        let (long, short) = (prompt(4, &[(3, "5m")], "a"), prompt(2, &[(1, "5m")], "a"));
        caches.answer(&short);
        caches.clock.advance(4 * 60_000);
        assert!(caches.answer(&long).cache_read > 0);
        caches.clock.advance(4 * 60_000);
        assert!(caches.answer(&short).cache_read > 0);
    }

    #[test]
    fn each_token_is_of_one_class_by_the_marks_around_it() {
        let caches = caches();
        caches.answer(&prompt(8, &[(1, "1h")], "end"));
        let split = caches.answer(&prompt(8, &[(1, "1h"), (3, "1h"), (6, "5m")], "end"));
        let thousands = |tokens: u64| tokens / 1000;
        assert_eq!(thousands(split.cache_read), 2);
        assert_eq!(thousands(split.cache_1h), 2);
        assert_eq!(thousands(split.cache_5m), 3);
        assert_eq!(thousands(split.input), 1);
    }

    #[test]
    fn a_short_prefix_is_not_cached() {
        let caches = caches();
        let prompt = prompt(0, &[(0, "1h")], "short");
        assert_eq!(caches.answer(&prompt), Split::cold(prompt.tokens()));
        assert_eq!(caches.answer(&prompt), Split::cold(prompt.tokens()));
    }

    #[test]
    fn memory_is_bounded() {
        let now = UnixMillis::from_millis(0);
        let prefix = |n: usize| {
            let mut prefix = Prefix::default();
            prefix[..8].copy_from_slice(&n.to_be_bytes());
            prefix
        };
        let entry = |n: usize| CacheEntry {
            ttl: CacheTtl::OneHour,
            expires_at: now.plus_millis(i64::try_from(n).expect("small")),
        };
        let mut entries: HashMap<_, _> = (0..ENTRIES_MAX).map(|n| (prefix(n), entry(n))).collect();
        // The very first one has ended already.
        make_room(&mut entries, now);
        assert_eq!(entries.len(), ENTRIES_MAX - 1);
        entries.insert(prefix(0), entry(ENTRIES_MAX));
        make_room(&mut entries, now);
        assert!(entries.len() <= ENTRIES_MAX / 2 + 1, "{}", entries.len());
        assert!(entries.contains_key(&prefix(0)));
    }
}
