//! Three upstreams, of which one fails in each of the ways that there are: clients see only what
//! they must, each answer is paid for once, nothing is sent to one upstream twice, and what rests
//! is asked again in its time.

mod faults;
mod mixed;

use std::time::Duration;

use super::{KINDS, Kind, answer, expect_answer, expect_billed, expect_free, send};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::Connection;
use crate::support::prices::haiku;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream};
use crate::support::wait::eventually;
use faults::{faults, named, refuse};

const NAMES: [&str; 3] = ["first", "second", "third"];
/// Long enough that no note of a test is over by then; rests are begun with a quarter of it.
const REST_SECS: i64 = 40;
const LOW: &str = "Your credit balance is too low to access the Anthropic API.";

/// A server in front of three upstreams.
struct Trio {
    app: TestApp,
    upstreams: [Upstream; 3],
}

impl Trio {
    fn new(fault: &Fault) -> Self {
        let first = if fault.is_dead() { Upstream::dead() } else { Upstream::start() };
        if let Some((status, body)) = &fault.own {
            first.answer_probes(Some((*status, body)));
        }
        let upstreams = [first, Upstream::start(), Upstream::start()];
        let lines = format!("failures_max = 3\nrest_secs = {REST_SECS}");
        let mut builder = Builder::new()
            .set("stream.first_byte_secs", 2)
            .set("stream.hold_head_max_secs", 1)
            .set("stream.json_head_secs", 1);
        for (name, upstream) in NAMES.iter().zip(&upstreams) {
            builder = builder.upstream_with(name, &format!("http://{}", upstream.address), &lines);
        }
        Self { app: builder.start(), upstreams }
    }

    fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|at: usize| self.upstreams[at].count())
    }

    /// Whether each of them is left alone by everybody.
    fn resting(&self) -> [u64; 3] {
        NAMES
            .map(|name| self.app.metric(&format!("sluice_upstream_resting{{upstream=\"{name}\"}}")))
    }

    fn send(&self, account: &Account, kind: Kind) -> Connection {
        send(&self.app, account, kind)
    }

    /// A request at the first of them or at the second.
    fn arrival(&self) -> (usize, Exchange) {
        let next = |at: usize| {
            let exchange = self.upstreams[at].next_within(Duration::from_millis(5));
            exchange.map(|exchange| (at, exchange))
        };
        eventually("a request", || next(0).or_else(|| next(1)))
    }

    /// Somebody asks, and the first of them to be asked, that one, answers.
    fn served_at(&self, at: usize, account: &Account, kind: Kind) {
        let before = self.counts();
        let connection = self.send(account, kind);
        expect_answer(kind, self.upstreams[at].next(), connection);
        let mut after = before;
        after[at] += 1;
        assert_eq!(self.counts(), after);
    }

    /// The first fails somebody.
    fn fail_first(&self, fault: &Fault, kind: Kind) -> Option<Exchange> {
        match fault.meets {
            Meets::Nobody => None,
            Meets::By(fail) => fail(kind, self.upstreams[0].next()),
        }
    }
}

/// What there is instead of an answer.
#[derive(Clone, Copy)]
enum Meets {
    /// Nobody listens.
    Nobody,
    /// What is done with a request; what is given back stays open.
    By(fn(Kind, Exchange) -> Option<Exchange>),
}

/// What a client sees of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// An answer, of another upstream.
    Nothing,
    /// That status, and nobody else is asked.
    Status(u16, &'static str),
    /// The beginning of an answer that ends with an error event, and nobody else is asked.
    Beginning,
}

/// Who asks elsewhere afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rests {
    /// Nobody, however often it is met.
    Never,
    /// Everybody, for so many seconds, once so many accounts have met it: it is left alone.
    Whole { accounts: usize, secs: i64 },
    /// Everybody first, for the one model, once so many accounts have met it. It serves as ever.
    Model { accounts: usize, secs: i64 },
    /// The account alone that has met it.
    Account,
}

/// A way to fail.
struct Fault {
    name: &'static str,
    meets: Meets,
    /// What the server's own requests are told, if not the list of models.
    own: Option<(u16, String)>,
    seen: fn(Kind) -> Seen,
    rests: Rests,
}

impl Fault {
    fn is_dead(&self) -> bool {
        matches!(self.meets, Meets::Nobody)
    }

    /// What a client sees of it.
    fn seen(&self, kind: Kind) -> Seen {
        (self.seen)(kind)
    }
}

/// Lets the first fail one request, and checks what its client sees and pays.
fn one_request(fault: &Fault, kind: Kind) {
    let trio = Trio::new(fault);
    let account = trio.app.account("5.00");
    let connection = trio.send(&account, kind);
    let held = trio.fail_first(fault, kind);
    let first = usize::from(!fault.is_dead());
    let seen = fault.seen(kind);
    if seen == Seen::Nothing {
        expect_answer(kind, trio.upstreams[1].next(), connection);
        if kind == Kind::Count {
            expect_free(&trio.app, &account);
        } else {
            expect_billed(&trio.app, &account, ("E1", "second"), haiku(1000, 200));
        }
        assert_eq!(trio.counts(), [first, 1, 0]);
    } else {
        expect_its_own(&trio, &account, seen, connection, held);
        assert_eq!(trio.counts(), [1, 0, 0]);
    }
    // One failure leaves nothing alone, unless the server's own request has met the same.
    if fault.own.is_none() || kind == Kind::Count {
        assert_eq!(trio.resting(), [0; 3]);
    }
}

/// What is seen and paid where nobody else is asked.
fn expect_its_own(
    trio: &Trio,
    account: &Account,
    seen: Seen,
    connection: Connection,
    late: Option<Exchange>,
) {
    let response = connection.answer(false).finish();
    match (seen, late) {
        (Seen::Status(status, kind), Some(late)) => {
            response.expect_error(status, kind);
            // It comes after all, and is paid for, once: the upstream has made it.
            answer(Kind::Json, late);
            expect_billed(&trio.app, account, ("E3j", "first"), haiku(1000, 200));
        }
        (Seen::Status(status, kind), None) => {
            response.expect_error(status, kind);
            expect_billed(&trio.app, account, ("E6", "first"), 0);
        }
        _ => {
            let events = sse::read(response.expect_ok().text().as_bytes());
            let last = events.last().unwrap();
            assert_eq!((&*last.name, &last.json()["type"]), ("error", &"error".into()));
            assert!(events.iter().any(|event| event.data.contains("\"Hel\"")));
            expect_billed(&trio.app, account, ("E6", "first"), haiku(1000, 1));
        }
    }
}

#[test]
fn one_that_fails_a_stream_is_not_noticed_before_content() {
    for fault in faults() {
        one_request(&fault, Kind::Stream);
    }
}

#[test]
fn one_that_fails_a_call_for_json_is_not_noticed_before_an_answer_is_made() {
    for fault in faults() {
        one_request(&fault, Kind::Json);
    }
}

#[test]
fn one_that_fails_a_count_is_never_noticed_and_nothing_is_known_of_it() {
    for fault in faults() {
        one_request(&fault, Kind::Count);
    }
}

#[test]
fn two_that_fail_in_any_two_ways_leave_the_third_to_serve() {
    let all = faults();
    for (at, fault) in all.iter().enumerate() {
        let other = &all[(at + 1) % all.len()];
        let kind = KINDS[at % 3];
        let Meets::By(fail) = other.meets else { continue };
        if fault.seen(kind) != Seen::Nothing || other.seen(kind) != Seen::Nothing {
            continue;
        }
        let trio = Trio::new(fault);
        let account = trio.app.account("5.00");
        let connection = trio.send(&account, kind);
        let first = trio.fail_first(fault, kind);
        let second = fail(kind, trio.upstreams[1].next());
        expect_answer(kind, trio.upstreams[2].next(), connection);
        if kind != Kind::Count {
            expect_billed(&trio.app, &account, ("E1", "third"), haiku(1000, 200));
        }
        assert_eq!(
            trio.counts(),
            [usize::from(!fault.is_dead()), 1, 1],
            "{} {}",
            fault.name,
            other.name
        );
        drop((first, second));
    }
}

/// Lets the first fail three requests for messages, of one account after the other.
fn meet(trio: &Trio, fault: &Fault, accounts: &[&Account]) -> Vec<Exchange> {
    let mut held = Vec::new();
    for at in 0..3 {
        let account = accounts[at % accounts.len()];
        // A call for JSON that is late, or cut, has an end of its own.
        let is_json = at % 2 == 1 && fault.seen(Kind::Json) == Seen::Nothing;
        let kind = if is_json { Kind::Json } else { Kind::Stream };
        let before = trio.counts();
        let connection = trio.send(account, kind);
        // It may be asked last by then.
        let arrived = (!fault.is_dead()).then(|| trio.arrival());
        let is_first = arrived.as_ref().is_none_or(|(at, _)| *at == 0);
        match (arrived, fault.meets) {
            (Some((0, exchange)), Meets::By(fail)) => held.extend(fail(kind, exchange)),
            (Some((_, exchange)), _) => answer(kind, exchange),
            (None, _) => {}
        }
        if is_first && fault.seen(kind) == Seen::Nothing {
            answer(kind, trio.upstreams[1].next());
        }
        connection.answer(false).finish();
        assert_eq!(trio.counts()[2], before[2]);
    }
    held
}

/// Lets some meet a fault, until the first upstream is asked as the documents say, and waits for
/// that to pass.
fn opens_and_closes(fault: &Fault) {
    let mut trio = Trio::new(fault);
    let [early, one, two, fresh, other] = [(); 5].map(|()| trio.app.account("5.00"));
    let needs_two =
        matches!(fault.rests, Rests::Whole { accounts: 2, .. } | Rests::Model { accounts: 2, .. });
    let mut held = Vec::new();
    if needs_two {
        // One account alone brings nothing about for others.
        held = meet(&trio, fault, &[&early]);
        trio.served_at(1, &early, Kind::Json);
        trio.served_at(0, &fresh, Kind::Json);
        assert_eq!(trio.resting(), [0; 3]);
    }
    let met = if needs_two { vec![&one, &two] } else { vec![&one] };
    held.extend(meet(&trio, fault, &met));
    if fault.rests == Rests::Account {
        eventually("a request of the server's own", || {
            (trio.upstreams[0].probes() > 0).then_some(())
        });
    }
    let is_whole = matches!(fault.rests, Rests::Whole { .. });
    let resting = [u64::from(is_whole), 0, 0];
    eventually(fault.name, || (trio.resting() == resting).then_some(()));
    let (of_met, of_fresh) = match fault.rests {
        Rests::Never => (0, 0),
        Rests::Account => (1, 0),
        Rests::Whole { .. } | Rests::Model { .. } => (1, 1),
    };
    for kind in KINDS {
        trio.served_at(of_met, &one, kind);
        trio.served_at(of_fresh, &fresh, kind);
    }
    if let Rests::Whole { secs, .. } | Rests::Model { secs, .. } = fault.rests {
        trio.app.clock.advance(secs * 1000 - 1);
        trio.served_at(1, &fresh, Kind::Stream);
        trio.app.clock.advance(1);
        if fault.is_dead() {
            trio.upstreams[0].listen();
        }
    }
    if is_whole {
        // One tries it, and the others are not sent after him.
        let connection = trio.send(&fresh, Kind::Json);
        let trying = trio.upstreams[0].next();
        trio.served_at(1, &other, Kind::Stream);
        assert_eq!(trio.resting(), [1, 0, 0]);
        expect_answer(Kind::Json, trying, connection);
    }
    for kind in KINDS {
        trio.served_at(0, &fresh, kind);
        trio.served_at(0, &other, kind);
    }
    // Who has met it comes back as well, at the latest after the longest rest.
    trio.app.clock.advance(REST_SECS * 1000);
    trio.served_at(0, &one, Kind::Stream);
    assert_eq!(trio.resting(), [0; 3]);
    drop(held);
}

#[test]
fn what_fails_is_left_alone_by_whom_it_must_be_and_for_as_long() {
    for fault in faults().iter().filter(|fault| !fault.name.starts_with("hangs")) {
        opens_and_closes(fault);
    }
}

#[test]
fn what_sends_no_head_is_left_alone_by_whom_it_must_be_and_for_as_long() {
    opens_and_closes(&named("hangs before the head"));
}

#[test]
fn what_hangs_in_a_refusal_is_left_alone_by_whom_it_must_be_and_for_as_long() {
    opens_and_closes(&named("hangs inside a refusal"));
}

#[test]
fn one_that_fails_again_when_it_is_tried_rests_for_twice_as_long() {
    let fault = named("522");
    let trio = Trio::new(&fault);
    let [one, two, fresh, ..] = [(); 3].map(|()| trio.app.account("5.00"));
    meet(&trio, &fault, &[&one, &two]);
    for (secs, trying) in [(REST_SECS / 4, &two), (REST_SECS / 2, &fresh)] {
        assert_eq!(trio.resting(), [1, 0, 0]);
        trio.app.clock.advance(secs * 1000 - 1);
        trio.served_at(1, trying, Kind::Json);
        trio.app.clock.advance(1);
        let connection = trio.send(trying, Kind::Json);
        drop(refuse(trio.upstreams[0].next(), 522, "no"));
        expect_answer(Kind::Json, trio.upstreams[1].next(), connection);
    }
    trio.app.clock.advance(REST_SECS * 1000 - 1);
    trio.served_at(1, &fresh, Kind::Json);
    trio.app.clock.advance(1);
    trio.served_at(0, &fresh, Kind::Json);
    assert_eq!(trio.resting(), [0; 3]);
}
