//! Who may stand in line to have a password checked: no client and no account fills the line by
//! itself.

use crate::accounts::identity::throttle::ClientAddress;
use crate::config::Accounts;
use crate::domain::ids::AccountId;
use crate::domain::unprintable::unprintable;
use crate::places::Rules;
use crate::places::shares::Tally;

/// Who asks for a check. Has no `Debug`, and lasts as long as the check.
#[derive(Clone)]
pub struct PasswordCaller(Vec<PlaceHolder>);

/// What a place counts for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum PlaceHolder {
    /// A client that is not logged in, by a network that it is in: bits and number.
    Guests(u8, u64),
    /// The same of those who are logged in: who guesses does not keep them out.
    Members(u8, u64),
    /// An account.
    Account(AccountId),
}

/// Places in the line. While less than half of them are taken, one client has a few; then it has
/// one, so that it takes many clients to fill the rest.
pub(super) struct PasswordQueue {
    max: usize,
    max_each: usize,
    ipv6_56_factor: usize,
    ipv6_48_factor: usize,
    taken: usize,
    holders: Tally<PlaceHolder>,
}

unprintable!(PasswordCaller, PlaceHolder, PasswordQueue);

impl PasswordCaller {
    /// Somebody who is not logged in.
    #[must_use]
    pub fn guest(client: ClientAddress) -> Self {
        let networks = client.networks().into_iter();
        Self(networks.map(|(bits, number)| PlaceHolder::Guests(bits, number)).collect())
    }

    /// Somebody who is.
    #[must_use]
    pub fn member(account: AccountId, client: ClientAddress) -> Self {
        let networks = client.networks().into_iter();
        let networks = networks.map(|(bits, number)| PlaceHolder::Members(bits, number));
        Self(networks.chain([PlaceHolder::Account(account)]).collect())
    }
}

impl PasswordQueue {
    /// So many places for all.
    #[must_use]
    pub(super) fn new(max: usize, settings: &Accounts) -> Self {
        let factor = |factor: u32| usize::try_from(factor).unwrap_or(usize::MAX);
        Self {
            max,
            max_each: settings.password_checks_per_client,
            ipv6_56_factor: factor(settings.ipv6_56_factor),
            ipv6_48_factor: factor(settings.ipv6_48_factor),
            taken: 0,
            holders: Tally::default(),
        }
    }

    /// What one holder may have now.
    fn share(&self, holder: PlaceHolder) -> usize {
        let each = if self.taken < self.max.div_euclid(2) { self.max_each } else { 1 };
        let factor = match holder {
            PlaceHolder::Guests(56, _) | PlaceHolder::Members(56, _) => self.ipv6_56_factor,
            PlaceHolder::Guests(48, _) | PlaceHolder::Members(48, _) => self.ipv6_48_factor,
            _ => 1,
        };
        each.saturating_mul(factor)
    }
}

impl Rules for PasswordQueue {
    type Who = PasswordCaller;

    fn fits(&mut self, who: &PasswordCaller) -> bool {
        let PasswordCaller(holders) = who;
        let has_room = |holder: &PlaceHolder| self.holders.of(holder) < self.share(*holder);
        self.taken < self.max && holders.iter().all(has_room)
    }

    fn take(&mut self, who: &PasswordCaller) {
        self.taken = self.taken.saturating_add(1);
        for holder in &who.0 {
            self.holders.add(*holder);
        }
    }

    fn give_back(&mut self, who: &PasswordCaller) {
        self.taken = self.taken.saturating_sub(1);
        for holder in &who.0 {
            self.holders.remove(holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::places::{Place, Places};

    /// Sixteen places, four each.
    fn line() -> Arc<Places<PasswordQueue>> {
        let settings = crate::config::load_for(
            &crate::config::Sources::default(),
            crate::config::LoadPurpose::Command,
        );
        Places::new(PasswordQueue::new(16, &settings.unwrap().accounts))
    }

    fn client(address: &str) -> ClientAddress {
        ClientAddress::new(address.parse().unwrap())
    }

    fn guest(address: &str) -> PasswordCaller {
        PasswordCaller::guest(client(address))
    }

    /// As many as one gets of twenty.
    fn all(line: &Arc<Places<PasswordQueue>>, who: &PasswordCaller) -> Vec<Place<PasswordQueue>> {
        (0..20).filter_map(|_| line.take(who)).collect()
    }

    #[test]
    fn a_client_has_four_places_and_one_of_the_second_half() {
        let line = line();
        let (one, two) = (all(&line, &guest("192.0.2.1")), all(&line, &guest("192.0.2.2")));
        assert_eq!((one.len(), two.len()), (4, 4));
        let others: Vec<_> =
            (3..20).map(|last| all(&line, &guest(&format!("192.0.2.{last}")))).collect();
        assert!(others.iter().take(8).all(|own| own.len() == 1));
        assert!(others.iter().skip(8).all(Vec::is_empty), "all are taken");
        drop((one, two, others));
        assert_eq!(all(&line, &guest("192.0.2.1")).len(), 4);
    }

    #[test]
    fn the_networks_of_ipv6_have_a_multiple_together() {
        let line = line();
        let own = all(&line, &guest("2001:db8:1:1::1"));
        assert_eq!((own.len(), all(&line, &guest("2001:db8:1:1::2")).len()), (4, 0));
        // Past the half a network of 56 bits has two, and one of 48 bits has four: it has got four
        // already.
        let other = all(&line, &guest("192.0.2.1"));
        assert_eq!((other.len(), all(&line, &guest("2001:db8:1:100::1")).len()), (4, 0));
        assert_eq!(all(&line, &guest("2001:db8:2::1")).len(), 1);
        drop(other);
        // Before it they have eight and sixteen.
        let next = all(&line, &guest("2001:db8:1:2::1"));
        assert_eq!((next.len(), all(&line, &guest("2001:db8:1:3::1")).len()), (4, 0));
    }

    #[test]
    fn who_is_logged_in_has_places_of_his_own() {
        let line = line();
        let guests = all(&line, &guest("192.0.2.1"));
        let member = |id, address| PasswordCaller::member(AccountId(id), client(address));
        let own = all(&line, &member(1, "192.0.2.1"));
        assert_eq!((guests.len(), own.len()), (4, 4));
        drop(guests);
        assert!(line.take(&member(2, "192.0.2.1")).is_none(), "many accounts of one client");
        assert!(line.take(&member(1, "192.0.2.2")).is_none(), "many clients of one account");
        assert!(line.take(&member(2, "192.0.2.2")).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_a_place_of_his_own_holds_up_nobody() {
        let line = line();
        let own = all(&line, &guest("192.0.2.1"));
        let until = tokio::time::Instant::now() + std::time::Duration::from_hours(1);
        let (greedy, other) = (guest("192.0.2.1"), guest("192.0.2.2"));
        let mut wait = Box::pin(line.wait(&greedy, until));
        assert!(futures_util::poll!(wait.as_mut()).is_pending());
        assert!(line.wait(&other, until).await.is_some());
        drop(own);
        assert!(wait.await.is_some());
    }
}
