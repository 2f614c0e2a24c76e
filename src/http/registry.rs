//! Every connection of clients: how many there are, of whom, and what each is doing. Where there is
//! no room for a new one, one is asked to go that nobody waits for: the longest idle first, then
//! who has sent a part of a head for the longest time, or as a stranger a part of a body, then a
//! request of an account without credit that waits for its client. Any other request is never
//! asked.
//!
//! Addresses are here in memory, for as long as their connections are open, and nowhere else.

mod entry;
mod networks;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::networks::Networks;
use crate::accounts::identity::throttle::ClientAddress;
use crate::config::Server;
use crate::domain::unprintable::unprintable;
use crate::metrics::connections::ConnectionMetrics;
pub(crate) use entry::ConnectionEntry;

/// Connections that were asked to go and have not gone yet, at most.
pub(crate) const LEAVING_MAX: usize = 256;

/// What a connection does while nobody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lull {
    /// Between two requests.
    Idle,
    /// Its client has not sent the whole of a head yet.
    Head,
    /// Its client, of whom nobody knows who it is, has not sent the whole of a body, or does not
    /// read its answer.
    Stranger,
    /// The same of one who is known. Everybody may have an account.
    Account,
}

impl Lull {
    /// The order in which they go; of one rank the oldest first. Whoever has just come has no more
    /// than a head: were that a rank of its own, he would go for those behind him before strangers
    /// who have been here for long.
    const fn rank(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Head | Self::Stranger => 1,
            Self::Account => 2,
        }
    }
}

/// See the module.
pub(crate) struct ConnectionRegistry {
    max: usize,
    state: Mutex<RegistryState>,
    metrics: ConnectionMetrics,
}

struct RegistryState {
    known: HashMap<u64, OpenSocket>,
    /// Who may be asked to go, in that order: by what they do, and since when.
    order: BTreeMap<(u8, u64), (u64, Lull)>,
    leaving: usize,
    tickets: u64,
    /// Nothing is counted by address where a proxy is everybody's.
    networks: Option<Networks>,
    passes: HashSet<SocketAddr>,
}

struct OpenSocket {
    entry: ConnectionEntry,
    at: Option<(u8, u64)>,
    is_asked: bool,
    network: Option<ClientAddress>,
}

/// A connection that is in; it has gone when this is dropped.
pub(crate) struct Member(ConnectionEntry);

/// A connection of our own that is let in whoever shares its address, until this is dropped.
pub(crate) struct ProbePass {
    registry: Arc<ConnectionRegistry>,
    from: SocketAddr,
}

unprintable!(ConnectionRegistry, RegistryState, OpenSocket, Member, ProbePass);

/// Connections of clients at most.
pub(crate) const fn connections_max(settings: &Server) -> usize {
    settings.max_streams.saturating_add(settings.idle_connections_max)
}

impl ConnectionRegistry {
    pub(crate) fn new(settings: &Server, metrics: ConnectionMetrics) -> Arc<Self> {
        let by_address = !settings.behind_tls_proxy;
        let networks = by_address.then(|| Networks::new(settings.connections_max_per_address));
        let state = RegistryState {
            known: HashMap::new(),
            order: BTreeMap::new(),
            leaving: 0,
            tickets: 0,
            networks,
            passes: HashSet::new(),
        };
        Arc::new(Self { max: connections_max(settings), state: Mutex::new(state), metrics })
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a new connection in, if its address has not too many. Where there is no room, another
    /// one is asked to go; nothing if there is nobody whom one could ask.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Member> {
        let mut state = self.lock();
        let network =
            if state.passes.contains(&peer) { None } else { Some(ClientAddress::new(peer.ip())) };
        let network = network.filter(|_| state.networks.is_some());
        if let (Some(network), Some(networks)) = (network, &state.networks)
            && !networks.has_room(network)
        {
            self.metrics.count_refused("address");
            return None;
        }
        let open = state.known.len();
        let is_full = open.saturating_sub(state.leaving) >= self.max;
        let is_in =
            open < self.max.saturating_add(LEAVING_MAX) && (!is_full || self.ask(&mut state));
        if !is_in {
            self.metrics.count_refused("full");
            return None;
        }
        if let (Some(network), Some(networks)) = (network, &mut state.networks) {
            networks.add(network);
        }
        let id = state.ticket();
        let entry = ConnectionEntry::new(id, Arc::clone(self));
        let known = OpenSocket { entry: entry.clone(), at: None, is_asked: false, network };
        state.known.insert(id, known);
        state.put(id, Some(Lull::Head));
        self.metrics.open.inc();
        Some(Member(entry))
    }

    /// Asks the first in order to go; whether there was one.
    fn ask(&self, state: &mut RegistryState) -> bool {
        let Some((_, (id, lull))) = state.order.pop_first() else { return false };
        state.leaving = state.leaving.saturating_add(1);
        if let Some(known) = state.known.get_mut(&id) {
            known.at = None;
            known.is_asked = true;
            known.entry.ask();
        }
        self.metrics.count_closed(match lull {
            Lull::Idle => "idle",
            Lull::Head => "head",
            Lull::Stranger => "stranger",
            Lull::Account => "account",
        });
        true
    }

    /// Notes what a connection does now; nothing where it may keep its request.
    fn put(&self, id: u64, lull: Option<Lull>) {
        self.lock().put(id, lull);
    }

    /// Whoever was asked to go has had a request on its way, and stays.
    fn stay(&self, id: u64) {
        let mut state = self.lock();
        let Some(known) = state.known.get_mut(&id) else { return };
        if std::mem::replace(&mut known.is_asked, false) {
            state.leaving = state.leaving.saturating_sub(1);
        }
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        let Some(known) = state.known.remove(&id) else { return };
        if let Some(at) = known.at {
            state.order.remove(&at);
        }
        if known.is_asked {
            state.leaving = state.leaving.saturating_sub(1);
        }
        if let (Some(network), Some(networks)) = (known.network, &mut state.networks) {
            networks.remove(network);
        }
        self.metrics.open.dec();
    }

    /// Lets the connection in that will come from there, however many others its address has.
    pub(crate) fn pass(self: &Arc<Self>, from: SocketAddr) -> ProbePass {
        self.lock().passes.insert(from);
        ProbePass { registry: Arc::clone(self), from }
    }
}

impl RegistryState {
    const fn ticket(&mut self) -> u64 {
        self.tickets = self.tickets.wrapping_add(1);
        self.tickets
    }

    fn put(&mut self, id: u64, lull: Option<Lull>) {
        let ticket = self.ticket();
        let Some(known) = self.known.get_mut(&id) else { return };
        if let Some(before) = known.at.take() {
            self.order.remove(&before);
        }
        // Who was asked has its answer to give first.
        if let Some(lull) = lull.filter(|_| !known.is_asked) {
            let at = (lull.rank(), ticket);
            known.at = Some(at);
            self.order.insert(at, (id, lull));
        }
    }
}

impl Member {
    /// What the connection does, as it tells itself.
    pub(crate) const fn entry(&self) -> &ConnectionEntry {
        &self.0
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for ProbePass {
    fn drop(&mut self) {
        self.registry.lock().passes.remove(&self.from);
    }
}

#[cfg(test)]
mod tests;
