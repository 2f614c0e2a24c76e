//! Who is asked, in which order: by tier, and within a tier so that a conversation stays where its
//! prompt cache is. That takes no memory and is the same on every node: each upstream is ranked by
//! a hash of its name and the conversation (rendezvous hashing). One that rests passes its
//! conversations to the next in rank, gets them back, and moves no others.

use std::cmp::Reverse;

use sha2::{Digest, Sha256};

use super::client::UpstreamClient;
use super::health::Availability;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::unprintable::unprintable;

/// What a conversation is recognised by: a hash, never stored and never logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Conversation(u64);

unprintable!(Conversation);

impl Conversation {
    /// The conversation of an account that a client calls so. Of two accounts it is never the same.
    #[must_use]
    pub fn new(account: AccountId, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(account.0.to_le_bytes());
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        Self(first_eight(&hash.finalize()))
    }

    /// The rank of an upstream of that weight: it is the highest one for as large a share of all
    /// conversations as the weight is of all weights.
    fn rank(self, name: &str, weight: u32) -> u64 {
        let name = first_eight(&Sha256::digest(name.as_bytes()));
        let places = 0..u64::from(weight.max(1));
        places.map(|place| mixed(mixed(self.0 ^ name).wrapping_add(place))).max().unwrap_or(0)
    }
}

/// A good mixture of all bits (the finalizer of splitmix64).
const fn mixed(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn first_eight(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Whether there is a tier of several, so that it matters which conversation a request is of.
#[must_use]
pub fn has_shared_tier(upstreams: &[UpstreamClient]) -> bool {
    let tiers = upstreams.iter().enumerate().map(|(place, client)| tier_of(client, place));
    let mut tiers: Vec<u32> = tiers.collect();
    let count = tiers.len();
    tiers.sort_unstable();
    tiers.dedup();
    tiers.len() < count
}

fn tier_of(client: &UpstreamClient, place: usize) -> u32 {
    let priority = client.upstream.settings.priority;
    priority.unwrap_or_else(|| u32::try_from(place).unwrap_or(u32::MAX))
}

/// The upstreams that serve all the models and may be asked, in order. Those of which something is
/// known against this account or model come behind all others.
///
/// # Errors
/// The seconds after which one may be asked again, if all that serve the models rest; `None` if
/// none serves them.
pub fn order(
    upstreams: &[UpstreamClient],
    model_ids: &[String],
    (account, conversation): (AccountId, Conversation),
    now: UnixMillis,
) -> Result<Vec<UpstreamClient>, Option<u64>> {
    let (mut ranked, mut failing, mut soonest) = (Vec::new(), Vec::new(), None);
    let model_id = model_ids.first().map_or("", String::as_str);
    for (place, client) in upstreams.iter().enumerate() {
        let (upstream, settings) = (&client.upstream, &client.upstream.settings);
        if !model_ids.iter().all(|id| upstream.serves(id)) {
            continue;
        }
        let standing = upstream.health.standing(account, model_id, now);
        let tier = tier_of(client, place);
        let rank = Reverse(conversation.rank(&settings.name, settings.weight));
        if let Availability::Rests(until) = standing {
            if upstream.health.is_worth_a_try() {
                failing.push(((false, tier, rank), client));
            }
            let secs = u64::try_from(until.millis_since(now)).unwrap_or(0).div_ceil(1000);
            soonest = Some(soonest.map_or(secs, |known: u64| known.min(secs)));
            continue;
        }
        ranked.push(((standing == Availability::Last, tier, rank), client));
    }
    if ranked.is_empty() {
        ranked = failing;
    }
    if ranked.is_empty() {
        return Err(soonest);
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    Ok(ranked.into_iter().map(|(_, client)| client.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [(&str, u32); 3] = [("one", 1), ("two", 2), ("three", 3)];

    fn best(conversation: u64, names: &[(&'static str, u32)]) -> &'static str {
        let conversation = Conversation::new(AccountId(1), &[&conversation.to_le_bytes()]);
        let best = names.iter().max_by_key(|(name, weight)| conversation.rank(name, *weight));
        best.unwrap().0
    }

    #[test]
    fn conversations_are_shared_out_by_weight() {
        for (name, weight) in NAMES {
            let count = (0..6_000).filter(|at| best(*at, &NAMES) == name).count();
            let expected = usize::try_from(weight).unwrap() * 1_000;
            assert!(count.abs_diff(expected) * 100 < expected * 10, "{name}: {count}");
        }
    }

    #[test]
    fn one_that_rests_moves_its_own_conversations_only() {
        let without: Vec<_> = NAMES.into_iter().filter(|(name, _)| *name != "two").collect();
        let mut moved = std::collections::BTreeSet::new();
        for at in 0..2_000 {
            let (before, after) = (best(at, &NAMES), best(at, &without));
            if before == "two" {
                moved.insert(after);
            } else {
                assert_eq!(before, after);
            }
        }
        assert_eq!(moved.len(), 2, "its own are shared out too");
    }

    #[test]
    fn a_conversation_is_its_accounts_own_and_no_two_ways_to_write_it_are_the_same() {
        let of = |account, parts: &[&[u8]]| Conversation::new(AccountId(account), parts).0;
        assert_eq!(of(1, &[b"a", b"b"]), of(1, &[b"a", b"b"]));
        let all = [of(1, &[b"a"]), of(2, &[b"a"]), of(1, &[b"ab"]), of(1, &[b"a", b"b"])];
        let distinct: std::collections::BTreeSet<_> = all.into_iter().collect();
        assert_eq!(distinct.len(), 4);
    }
}
