//! Conversations stay where their prompt cache is: many of them, over three upstreams of one tier,
//! on one node and on two. The scripted upstreams act a prompt cache, so that the metrics show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::Request;
use crate::support::sandbox::body_with;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, json_response, message};
use crate::support::wait::eventually;

/// Their names and the account are the same on every run, and so is where they come.
const CONVERSATIONS: usize = 900;
const AT_ONCE: usize = 8;
/// Tokens of a prompt that a cache keeps, and those that are new each time.
const KEPT: u64 = 4000;
const NEW: u64 = 10;
const SESSION: &str = "x-claude-code-session-id";

/// Where each conversation was served.
type Places = BTreeMap<usize, &'static str>;

/// Upstreams of one tier.
struct Fleet([Member; 3]);

struct Member {
    name: &'static str,
    weight: usize,
    upstream: Upstream,
    state: Arc<State>,
}

/// What an upstream knows.
#[derive(Default)]
struct State {
    is_refusing: AtomicBool,
    cached: Mutex<BTreeSet<usize>>,
    /// The conversations of the requests that have come.
    served: Mutex<Vec<usize>>,
}

impl State {
    /// Answers as an upstream with a prompt cache does, or refuses our credential.
    fn answer(&self, mut exchange: Exchange) {
        let headers = &exchange.request.headers;
        let is_named = |name: &str| name.contains("session") || name.contains("agent-id");
        assert!(!headers.iter().any(|(name, _)| is_named(name)), "{headers:?}");
        if self.is_refusing.load(Ordering::SeqCst) {
            return exchange.refuse(401, "no");
        }
        let body: Value = serde_json::from_slice(&exchange.request.body).unwrap();
        let conversation = body["messages"][0]["content"].as_str().unwrap().parse().unwrap();
        self.served.lock().unwrap().push(conversation);
        let is_new = self.cached.lock().unwrap().insert(conversation);
        let (written, read) = if is_new { (KEPT, 0) } else { (0, KEPT) };
        let answer = message(&json!({
            "input_tokens": NEW, "output_tokens": 1,
            "cache_creation_input_tokens": written, "cache_read_input_tokens": read,
        }));
        // Who closes a connection without a word meets requests that are on their way, which
        // then go elsewhere.
        let is_last = "\r\nconnection: close\r\n";
        exchange.send(json_response(200, &answer).replacen("\r\n", is_last, 1));
    }
}

impl Member {
    fn start((name, weight): (&'static str, usize)) -> Self {
        let (mut upstream, state) = (Upstream::start(), Arc::new(State::default()));
        let answering = Arc::clone(&state);
        upstream.answer_all(move |exchange| answering.answer(exchange));
        Self { name, weight, upstream, state }
    }

    fn refuse_our_credential(&self, is_refusing: bool) {
        self.state.is_refusing.store(is_refusing, Ordering::SeqCst);
        self.upstream.answer_probes(Some(if is_refusing { (401, "no") } else { (200, "{}") }));
    }

    /// Waits until a node leaves it alone, or asks it again.
    fn expect_resting(&self, node: &TestApp, is_resting: bool) {
        let line = format!("sluice_upstream_resting{{upstream=\"{}\"}}", self.name);
        let check = || (node.metric(&line) == u64::from(is_resting)).then_some(());
        eventually("what becomes of a rest", check);
    }
}

impl Fleet {
    fn start(members: [(&'static str, usize); 3]) -> Self {
        Self(members.map(Member::start))
    }

    /// A server in front of them.
    fn node(&self) -> Builder {
        self.0.iter().fold(Builder::new(), Self::with)
    }

    /// Another, in whose file they stand in another order.
    fn other_node(&self) -> Builder {
        self.0.iter().rev().fold(Builder::new(), Self::with)
    }

    fn with(builder: Builder, member: &Member) -> Builder {
        let lines = format!("priority = 1\nweight = {}", member.weight);
        let base_url = format!("http://{}", member.upstream.address);
        builder.upstream_with(member.name, &base_url, &lines)
    }

    /// Where the conversations were served since this was last asked: each at one of them.
    fn places(&self) -> Places {
        let mut places = Places::new();
        for member in &self.0 {
            for conversation in std::mem::take(&mut *member.state.served.lock().unwrap()) {
                let before = places.insert(conversation, member.name).unwrap_or(member.name);
                assert_eq!(before, member.name, "conversation {conversation} did not stay");
            }
        }
        places
    }

    /// Asserts that each has as many of them as its weight says, give or take 15 %.
    fn expect_shares(&self, places: &Places, resting: &str) {
        let weight = |member: &Member| if member.name == resting { 0 } else { member.weight };
        let weights: usize = self.0.iter().map(weight).sum();
        let shares: Vec<_> = self
            .0
            .iter()
            .map(|member| {
                let count = places.values().filter(|place| **place == member.name).count();
                (member.name, count, places.len() * weight(member) / weights)
            })
            .collect();
        for (_, count, expected) in &shares {
            assert!(count.abs_diff(*expected) * 100 <= expected * 15, "{shares:?}");
        }
    }

    /// Asserts how many requests have found their prompt in a cache and how many have not, by what
    /// a node has counted.
    fn expect_cached(&self, node: &TestApp, found: usize, missed: usize) {
        let tokens = |class: &str| -> u64 {
            let of = |member: &Member| {
                let labels = format!("{{class=\"{class}\",upstream=\"{}\"}}", member.name);
                node.metric(&format!("sluice_upstream_prompt_tokens_total{labels}"))
            };
            self.0.iter().map(of).sum()
        };
        let requests = |tokens: u64| usize::try_from(tokens).unwrap();
        assert_eq!(requests(tokens("read") / KEPT), found);
        assert_eq!(requests(tokens("written") / KEPT), missed);
        assert_eq!(requests(tokens("uncached") / NEW), found + missed);
    }
}

/// A request of a conversation that does not name it to the gateway.
fn nameless(account: &Account, conversation: usize) -> Request {
    let content = conversation.to_string();
    let more = json!({ "messages": [{ "role": "user", "content": content }] });
    Request::post("/v1/messages", body_with(sse::MODEL, false, "text", &more)).key(&account.key)
}

fn named(account: &Account, conversation: usize) -> Request {
    nameless(account, conversation).header(SESSION, &conversation.to_string())
}

/// Each conversation asks once, several of them at the same time.
fn ask_all(node: &TestApp, account: &Account) {
    std::thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let mut connection = node.connect();
            scope.spawn(move || {
                for conversation in (first..CONVERSATIONS).step_by(AT_ONCE) {
                    let answer = connection.ask(&named(account, conversation));
                    let (response, kept) = answer.finish_keeping();
                    response.expect_ok();
                    connection = kept;
                }
            });
        }
    });
}

fn expect_same(one: &Places, other: &Places) {
    let differ = one.iter().filter(|(conversation, place)| other.get(conversation) != Some(place));
    assert_eq!(
        (one.len(), differ.count()),
        (other.len(), 0),
        "conversations, and those that moved"
    );
}

#[test]
fn loads_are_as_the_weights_and_each_prompt_is_written_to_one_cache() {
    for weights in [[1, 2, 3], [1, 1, 1]] {
        let [one, two, three] = weights;
        let fleet = Fleet::start([("one", one), ("two", two), ("three", three)]);
        let node = fleet.node().start();
        let account = node.account("1000.00");
        ask_all(&node, &account);
        ask_all(&node, &account);
        let places = fleet.places();
        assert_eq!(places.len(), CONVERSATIONS);
        fleet.expect_shares(&places, "none");
        // One of each conversation's two.
        fleet.expect_cached(&node, CONVERSATIONS, CONVERSATIONS);
    }
}

#[test]
fn one_that_rests_moves_its_own_conversations_alone_by_weight_and_gets_them_back() {
    let fleet = Fleet::start([("one", 1), ("two", 2), ("three", 3)]);
    let node = fleet.node().start();
    let account = node.account("1000.00");
    ask_all(&node, &account);
    let before = fleet.places();

    let resting = &fleet.0[2];
    let is_own = |(_, place): &(&usize, &&str)| **place == resting.name;
    let own: BTreeSet<usize> = before.iter().filter(is_own).map(|(at, _)| *at).collect();
    let any = *own.first().unwrap();
    resting.refuse_our_credential(true);
    node.ask(&named(&account, any)).expect_ok();
    resting.expect_resting(&node, true);
    ask_all(&node, &account);
    let meanwhile = fleet.places();
    let mut moved = meanwhile.clone();
    moved.retain(|conversation, place| before[conversation] != *place);
    assert!(moved.keys().eq(&own), "{} moved, and {} were its own", moved.len(), own.len());
    fleet.expect_shares(&moved, resting.name);

    resting.refuse_our_credential(false);
    node.clock.advance(31_000);
    // While the first one tries it, the others do not come back.
    node.ask(&named(&account, any)).expect_ok();
    resting.expect_resting(&node, false);
    ask_all(&node, &account);
    expect_same(&fleet.places(), &before);
    // Where they came back to, their prompts were still there.
    let missed = CONVERSATIONS + moved.len();
    fleet.expect_cached(&node, 3 * CONVERSATIONS + 2 - missed, missed);
}

#[test]
fn two_nodes_ask_the_same_upstream_for_a_conversation() {
    let fleet = Fleet::start([("one", 1), ("two", 2), ("three", 3)]);
    let node = fleet.node().start();
    let account = node.account("1000.00");
    let mut other = fleet.other_node();
    // On SQLite the other one has a database of its own, and the same account in it.
    if node.database().is_postgres() {
        other.database = Some(node.database().beside());
    }
    let other = other.start();
    let account_there =
        if node.database().is_postgres() { account.clone() } else { other.account("1000.00") };
    assert_eq!(account_there.id, account.id);
    ask_all(&node, &account);
    let places = fleet.places();
    ask_all(&other, &account_there);
    expect_same(&fleet.places(), &places);
    fleet.expect_cached(&node, 0, CONVERSATIONS);
    fleet.expect_cached(&other, CONVERSATIONS, 0);
    // The one that made the database is the last to go.
    drop(other);
}

#[test]
fn a_session_is_known_by_header_body_or_key() {
    let fleet = Fleet::start([("one", 1), ("two", 1), ("three", 1)]);
    let node = fleet.node().start();
    let account = node.account("5.00");
    let in_body = |session: usize| {
        let user_id = json!({ "session_id": format!("s{session}") }).to_string();
        let content = session.to_string();
        let more = json!({
            "metadata": { "user_id": user_id },
            "messages": [{ "role": "user", "content": content }],
        });
        let text = body_with(sse::MODEL, false, "text", &more);
        Request::post("/v1/messages", text).key(&account.key)
    };
    let agents = |agent: usize| {
        let request = nameless(&account, agent).header(SESSION, "same");
        request.header("x-claude-code-agent-id", &agent.to_string())
    };
    let by_header =
        |session: usize| nameless(&account, session).header("x-session-id", &session.to_string());
    let kinds: [&dyn Fn(usize) -> Request; 3] = [&in_body, &agents, &by_header];
    let used = |places: Places| places.into_values().collect::<BTreeSet<_>>().len();
    for request in kinds {
        for conversation in (0..32).chain(0..32) {
            node.ask(&request(conversation)).expect_ok();
        }
        assert_eq!(used(fleet.places()), 3);
    }
    // Without one, all of a key's requests are together.
    for conversation in 0..16 {
        node.ask(&nameless(&account, conversation)).expect_ok();
    }
    assert_eq!(used(fleet.places()), 1);
}
