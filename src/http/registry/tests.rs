//! Who goes where there is no room, and who does not.

use futures_util::future::poll_fn;
use futures_util::task::noop_waker;

use super::*;
use crate::http::standing::{ClientStanding, Listen};
use crate::metrics::Metrics;

fn registry(max: usize, max_per_address: usize) -> Arc<ConnectionRegistry> {
    let networks = Some(Networks::new(max_per_address));
    let state = RegistryState {
        known: HashMap::new(),
        order: BTreeMap::new(),
        leaving: 0,
        tickets: 0,
        networks,
        passes: HashSet::new(),
    };
    let metrics = Metrics::new().unwrap().connections;
    Arc::new(ConnectionRegistry { max, state: Mutex::new(state), metrics })
}

fn peer(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 4711).into()
}

impl Member {
    fn has_to_go(&self) -> bool {
        let waker = noop_waker();
        self.entry().is_asked(&std::task::Context::from_waker(&waker))
    }

    /// A request and its answer.
    fn use_once(&self) {
        drop(self.entry().begin(false));
    }
}

#[test]
fn the_longest_idle_go_first_then_unfinished_heads_and_requests_never() {
    let registry = registry(5, 100);
    let [first, second, third, busy, silent] =
        [1, 2, 3, 4, 5].map(|host| registry.enter(peer(host)).unwrap());
    let running = busy.entry().begin(false);
    for member in [&second, &third, &first] {
        member.use_once();
    }
    first.entry().note_bytes();
    let mut later = Vec::new();
    let mut expect = |goes: &Member| {
        assert!(!goes.has_to_go());
        later.push(registry.enter(peer(9)).unwrap());
        later.last().unwrap().use_once();
        assert!(goes.has_to_go());
    };
    // Not `first`, which has a part of a head by now, nor `silent`, which never had more.
    expect(&second);
    expect(&third);
    // Those that have come since are idle; they go before any head.
    drop(later.drain(..));
    drop((second, third));
    let idle = [registry.enter(peer(6)).unwrap(), registry.enter(peer(7)).unwrap()];
    idle.iter().for_each(Member::use_once);
    let newest: Vec<Member> = (0..4).map(|_| registry.enter(peer(8)).unwrap()).collect();
    assert!(idle.iter().all(Member::has_to_go));
    assert!(silent.has_to_go() && first.has_to_go() && !busy.has_to_go());
    assert!(newest.iter().all(|member| !member.has_to_go()));
    let requests: Vec<_> = newest.iter().map(|member| member.entry().begin(false)).collect();
    assert!(registry.enter(peer(9)).is_none(), "all have requests");
    drop((running, requests));
    assert!(registry.enter(peer(9)).is_some());
}

#[test]
fn an_answer_that_its_client_reads_slowly_is_no_idleness() {
    let registry = registry(1, 100);
    let member = registry.enter(peer(1)).unwrap();
    let running = member.entry().begin(false);
    member.entry().recognise(ClientStanding::Payer);
    member.entry().note_writing(true);
    drop(running);
    assert!(registry.enter(peer(2)).is_none());
    member.entry().note_writing(false);
    assert!(registry.enter(peer(2)).is_some() && member.has_to_go());
}

#[test]
fn a_request_that_crosses_the_word_is_answered() {
    let registry = registry(1, 100);
    let member = registry.enter(peer(1)).unwrap();
    member.use_once();
    let other = registry.enter(peer(2)).unwrap();
    let running = member.entry().begin(false);
    assert!(member.has_to_go() && member.entry().stays() && !member.has_to_go());
    drop(other);
    assert!(registry.enter(peer(3)).is_none(), "it has its place as before");
    drop(running);
    assert!(registry.enter(peer(3)).is_some() && member.has_to_go() && !member.entry().stays());
}

#[test]
fn whoever_does_not_go_although_asked_is_not_forgotten() {
    let registry = registry(1, 10_000);
    let members: Vec<Member> = std::iter::from_fn(|| registry.enter(peer(1))).collect();
    assert_eq!(members.len(), 1 + LEAVING_MAX);
    drop(members);
    let state = registry.lock();
    assert!(state.known.is_empty() && state.order.is_empty() && state.leaving == 0);
}

#[test]
fn an_address_has_so_many_and_our_own_connection_comes_in_all_the_same() {
    let registry = registry(100, 2);
    let members = [registry.enter(peer(1)).unwrap(), registry.enter(peer(1)).unwrap()];
    assert!(registry.enter(peer(1)).is_none());
    let pass = registry.pass(peer(1));
    let probe = registry.enter(peer(1));
    assert!(probe.is_some());
    drop((pass, probe));
    assert!(registry.enter(peer(1)).is_none(), "only for as long as the pass is there");
    drop(members);
    assert!(registry.enter(peer(1)).is_some());
}

#[actix_web::test]
async fn who_has_to_go_is_woken() {
    let registry = registry(1, 100);
    let member = registry.enter(peer(1)).unwrap();
    let goes = poll_fn(|cx| {
        if member.entry().is_asked(cx) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    });
    let enters = async { registry.enter(peer(2)).is_some() };
    let ((), is_in) = futures_util::future::join(goes, enters).await;
    assert!(is_in);
}

#[test]
fn requests_that_wait_for_their_client_go_last_strangers_first_and_one_that_is_paid_for_never() {
    let registry = registry(5, 100);
    let [payer, account, slow, uploads, head] =
        [1, 2, 3, 4, 5].map(|host| registry.enter(peer(host)).unwrap());
    let running: Vec<_> =
        [&payer, &account, &slow, &uploads].map(|member| member.entry().begin(true)).into();
    payer.entry().recognise(ClientStanding::Payer);
    account.entry().recognise(ClientStanding::Account);
    // It has its whole body, and does not read its answer.
    slow.entry().end_body();
    slow.entry().note_writing(true);
    let mut later = Vec::new();
    for goes in [&head, &uploads, &slow, &account] {
        assert!(!goes.has_to_go());
        let newest = registry.enter(peer(9)).unwrap();
        assert!(goes.has_to_go());
        // Nobody's turn: its body is whole, and it waits for us alone.
        let running = newest.entry().begin(true);
        newest.entry().end_body();
        later.push((running, newest));
    }
    payer.entry().note_writing(true);
    assert!(registry.enter(peer(9)).is_none() && !payer.has_to_go());
    drop(running);
}

#[test]
fn an_answer_that_is_read_bit_by_bit_is_as_old_as_its_first_wait() {
    let registry = registry(2, 100);
    let [first, second] = [1, 2].map(|host| registry.enter(peer(host)).unwrap());
    let _running = [&first, &second].map(|member| member.entry().begin(false));
    for member in [&first, &second, &first] {
        member.entry().note_writing(true);
        member.entry().note_writing(false);
    }
    assert!(registry.enter(peer(3)).is_some() && first.has_to_go() && !second.has_to_go());
}

#[test]
fn whose_payer_or_rest_of_a_body_crosses_the_word_stays() {
    let registry = registry(1, 100);
    let member = registry.enter(peer(1)).unwrap();
    for comes in [ConnectionEntry::end_body, |entry: &ConnectionEntry| {
        entry.recognise(ClientStanding::Payer);
    }] {
        let _running = member.entry().begin(true);
        drop(registry.enter(peer(2)).unwrap());
        assert!(member.has_to_go());
        comes(member.entry());
        assert!(member.entry().stays() && !member.has_to_go());
    }
}
