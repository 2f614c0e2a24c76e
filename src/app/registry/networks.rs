//! How many connections come from an address: an IPv4 address, or the networks around an IPv6 address, of which one
//! client may have many. Wider networks may have more.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::domain::unprintable::unprintable;

/// Widths that are counted, in bits that are left out of 128, and how many times the limit of one address each may
/// have. A home has a /64 or a /56, a customer of a hoster often a /48.
const WIDTHS: [(u32, usize); 3] = [(64, 1), (72, 2), (80, 4)];

/// Where a connection comes from.
#[derive(Clone, Copy)]
pub(super) struct Network(Bits);

#[derive(Clone, Copy)]
enum Bits {
    V4(u32),
    V6(u128),
}

/// See the module.
pub(super) struct Networks {
    max: usize,
    v4: HashMap<u32, usize>,
    /// By what is left out, so that a /56 is none of its /64.
    v6: HashMap<(u32, u128), usize>,
}

unprintable!(Network, Networks);

impl Network {
    pub(super) const fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(Bits::V4(address.to_bits())),
            IpAddr::V6(address) => Self(Bits::V6(address.to_bits())),
        }
    }
}

impl Networks {
    /// With so many for one address.
    pub(super) fn new(max: usize) -> Self {
        Self { max, v4: HashMap::new(), v6: HashMap::new() }
    }

    pub(super) fn has_room(&self, network: Network) -> bool {
        let is_below = |count: Option<&usize>, max| count.is_none_or(|count| *count < max);
        match network.0 {
            Bits::V4(bits) => is_below(self.v4.get(&bits), self.max),
            Bits::V6(bits) => WIDTHS.iter().all(|(left_out, times)| {
                let max = self.max.saturating_mul(*times);
                is_below(self.v6.get(&(*left_out, bits >> left_out)), max)
            }),
        }
    }

    pub(super) fn add(&mut self, network: Network) {
        let more = |count: &mut usize| *count = count.saturating_add(1);
        match network.0 {
            Bits::V4(bits) => more(self.v4.entry(bits).or_default()),
            Bits::V6(bits) => WIDTHS.iter().for_each(|(left_out, _)| {
                more(self.v6.entry((*left_out, bits >> left_out)).or_default());
            }),
        }
    }

    /// What nobody comes from any more is forgotten.
    pub(super) fn remove(&mut self, network: Network) {
        match network.0 {
            Bits::V4(bits) => fewer(&mut self.v4, &bits),
            Bits::V6(bits) => WIDTHS.iter().for_each(|(left_out, _)| {
                fewer(&mut self.v6, &(*left_out, bits >> left_out));
            }),
        }
    }
}

fn fewer<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many more get in from there.
    fn fill(networks: &mut Networks, address: &str) -> usize {
        let network = Network::of(address.parse().unwrap());
        let mut count = 0;
        while networks.has_room(network) {
            networks.add(network);
            count += 1;
        }
        count
    }

    #[test]
    fn wider_networks_have_more_and_no_address_has_all() {
        let mut networks = Networks::new(10);
        assert_eq!(fill(&mut networks, "192.0.2.1"), 10);
        assert_eq!(fill(&mut networks, "::ffff:192.0.2.1"), 0, "the same in another spelling");
        assert_eq!(fill(&mut networks, "192.0.2.2"), 10);
        // Three of one /56, which has room for two; three more of another, where the /48 is the limit.
        let counts =
            ["1::1", "1:0:0:1::1", "1:0:0:2::1", "1:0:0:100::1", "1:0:0:101::1", "1:0:0:200::1"]
                .map(|address| fill(&mut networks, address));
        assert_eq!(counts, [10, 10, 0, 10, 10, 0]);
        assert_eq!(fill(&mut networks, "1::ffff"), 0, "an address of the first /64");
        assert_eq!(fill(&mut networks, "1:0:1::1"), 10);
    }

    #[test]
    fn who_has_gone_makes_room_and_leaves_nothing_behind() {
        let mut networks = Networks::new(1);
        for address in ["192.0.2.1", "2001:db8::1"] {
            let network = Network::of(address.parse().unwrap());
            assert_eq!(fill(&mut networks, address), 1);
            networks.remove(network);
            assert!(networks.v4.is_empty() && networks.v6.is_empty());
            assert!(networks.has_room(network));
        }
    }
}
