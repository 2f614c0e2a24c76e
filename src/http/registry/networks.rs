//! How many connections come from an address: an IPv4 address, or the networks around an IPv6
//! address, of which one client may have many. Wider networks may have more.

use crate::accounts::identity::throttle::ClientAddress;
use crate::domain::unprintable::unprintable;
use crate::places::shares::Tally;

/// See the module.
pub(super) struct Networks {
    max: usize,
    open: Tally<(u8, u64)>,
}

unprintable!(Networks);

impl Networks {
    /// With so many for one address.
    pub(super) fn new(max: usize) -> Self {
        Self { max, open: Tally::default() }
    }

    pub(super) fn has_room(&self, client: ClientAddress) -> bool {
        let is_below =
            |network: &(u8, u64)| self.open.of(network) < self.max.saturating_mul(times(network.0));
        client.networks().iter().all(is_below)
    }

    pub(super) fn add(&mut self, client: ClientAddress) {
        for network in client.networks() {
            self.open.add(network);
        }
    }

    /// What nobody comes from any more is forgotten.
    pub(super) fn remove(&mut self, client: ClientAddress) {
        for network in client.networks() {
            self.open.remove(&network);
        }
    }
}

/// How many times the limit of one address a network of so many bits may have. A home has a /64 or
/// a /56, a customer of a hoster often a /48.
const fn times(bits: u8) -> usize {
    match bits {
        56 => 2,
        48 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many more get in from there.
    fn fill(networks: &mut Networks, address: &str) -> usize {
        let client = ClientAddress::new(address.parse().unwrap());
        let mut count = 0;
        while networks.has_room(client) {
            networks.add(client);
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
        // Three of one /56, which has room for two; three more of another, where the /48 is the
        // limit.
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
            let client = ClientAddress::new(address.parse().unwrap());
            assert_eq!(fill(&mut networks, address), 1);
            networks.remove(client);
            assert!(networks.open.is_empty());
            assert!(networks.has_room(client));
        }
    }
}
