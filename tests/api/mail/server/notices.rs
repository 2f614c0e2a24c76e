//! P16: a significant change of policy is told to everybody who has an account, whatever the mail
//! server does and whenever the program is killed; twice only where nobody knows what became of the
//! first mail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::accounts;
use sluice::db::schema::{accounts as accounts_table, outbox, policy_versions};
use sluice::db::{AnyConnection, DbError, transaction};
use sluice::domain::clock::{Clock, UnixMillis};
use sluice::domain::mail::MailKind;
use sluice::domain::policy::PolicyKind;

use super::{HOUR_MILLIS, builder};
use crate::support::app::Builder;
use crate::support::client::{Connection, Request};
use crate::support::mail::MailServer;
use crate::support::process::{Process, run};
use crate::support::sandbox::sandbox;
use crate::support::wait::{eventually, within};

const AT_ONCE: usize = 16;
const WORDS: &str = "Logs are kept for 30 days.";

/// What a mail server does to the first mails of somebody.
const FAULTS: [&str; 7] =
    ["refuse", "reject", "put-off-1", "defer-1", "vanish-1", "drop-1", "slow"];

/// Addresses, every third of which meets a fault, and every two hundredth silence.
fn addresses(count: usize) -> Vec<String> {
    let command = |number: usize| match number {
        _ if number % 200 == 5 => "hang-1",
        _ if number.is_multiple_of(3) => FAULTS[number / 3 % FAULTS.len()],
        _ => "someone",
    };
    (0..count).map(|number| format!("{}@n{number}.example.net", command(number))).collect()
}

fn open_accounts(conn: &mut AnyConnection, addresses: &[String]) {
    let now = UnixMillis::from_millis(1_795_348_800_000);
    transaction::write(conn, |conn| {
        for address in addresses {
            accounts::open(conn, address, now).unwrap();
        }
        Ok::<_, DbError>(())
    })
    .unwrap();
}

/// What came of it.
#[derive(Debug, Default)]
struct Report {
    /// Who has it.
    told: usize,
    /// Mails that the server took, whether it said so or not.
    copies: usize,
    /// Of those, earlier ones of somebody's that the server never answered.
    unanswered: usize,
    /// And those that it did answer, when the program was killed before it was noted.
    killed: usize,
}

/// Everybody has the notice, each under one name, and a second one only where the outcome of the
/// first was unknown.
fn prove(journal: &[Value], addresses: &[String]) -> Report {
    let mut all: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for mail in journal {
        all.entry(mail["to"].as_str().unwrap()).or_default().push(mail);
    }
    let known: BTreeSet<&str> = addresses.iter().map(String::as_str).collect();
    assert!(all.keys().all(|address| known.contains(address)), "somebody else was told");
    let mut report = Report::default();
    let mut names = BTreeSet::new();
    for address in addresses {
        let mails = all.get(address.as_str()).map(Vec::as_slice).unwrap_or_default();
        let ids: BTreeSet<&str> =
            mails.iter().map(|mail| mail["message_id"].as_str().unwrap()).collect();
        assert!(ids.len() <= 1, "{address}: {mails:#?}");
        assert!(ids.iter().all(|id| names.insert((*id).to_owned())), "{address}: a foreign name");
        let codes: Vec<Option<&str>> = mails
            .iter()
            .map(|mail| mail["answer"].as_str().map(|words| words.split(' ').next().unwrap()))
            .collect();
        if address.starts_with("refuse") || address.starts_with("reject") {
            assert!(codes.iter().all(|code| *code == Some("554")), "{address}: {codes:?}");
            continue;
        }
        let mut taken = codes;
        taken.retain(|code| code.is_none_or(|code| code == "250"));
        let Some((_, before)) = taken.split_last() else { panic!("{address} was never told") };
        report.told += 1;
        report.copies += taken.len();
        report.unanswered += before.iter().filter(|code| code.is_none()).count();
        report.killed += before.iter().filter(|code| code.is_some()).count();
    }
    let refused = |to: &&String| to.starts_with("refuse") || to.starts_with("reject");
    assert_eq!(report.told, addresses.len() - addresses.iter().filter(refused).count());
    report
}

/// How many mails may be taken now, and how many wait at all.
fn waiting(conn: &mut AnyConnection, now: i64) -> (i64, i64) {
    let due = outbox::table.filter(outbox::due_at.le(now)).count().get_result(conn).unwrap();
    (due, outbox::table.count().get_result(conn).unwrap())
}

fn is_noticed(conn: &mut AnyConnection) -> bool {
    let open = policy_versions::table.filter(policy_versions::noticed_at.is_null());
    open.count().get_result::<i64>(conn).unwrap() == 0
}

#[test]
fn p16_everybody_is_told_through_a_server_that_refuses_delays_and_drops() {
    let server = MailServer::start();
    let app = builder(&server).set("mail.at_once", AT_ONCE).start();
    let addresses = addresses(210);
    let leaving = "leaving@example.net".to_owned();
    app.db(|conn| {
        open_accounts(conn, &addresses);
        open_accounts(conn, std::slice::from_ref(&leaving));
        // Whatever they want to be told otherwise.
        let all = diesel::update(accounts_table::table);
        all.set(accounts_table::wants_notices.eq(false)).execute(conn).unwrap();
        let one = accounts_table::table.filter(accounts_table::email.eq(&leaving));
        diesel::update(one).set(accounts_table::closing_at.eq(1)).execute(conn).unwrap();
    });
    app.publish(PolicyKind::Privacy, WORDS, None, true).unwrap();
    app.db(|conn| open_accounts(conn, &["late@example.net".to_owned()]));
    eventually("the notices", || app.db(is_noticed).then_some(()));
    let all = within(Duration::from_mins(2), || {
        let now = app.clock.now().as_millis();
        let (due, waiting) = app.db(|conn| waiting(conn, now));
        if waiting > 0 && due == 0 && app.metric("sluice_mails_under_way") == 0 {
            app.clock.advance(HOUR_MILLIS);
        }
        (waiting == 0).then_some(())
    });
    assert!(all.is_some(), "{} are left", app.waiting_mails());
    let journal = server.journal();
    let report = prove(&journal, &addresses);
    assert_eq!(report.killed, 0, "{report:?}");
    let unheard = |to: &&String| to.starts_with("vanish") || to.starts_with("hang");
    assert_eq!(report.unanswered, addresses.iter().filter(unheard).count());
    let words = journal[0]["plain"].as_str().unwrap();
    assert!(words.contains(WORDS) && words.contains("/privacy/versions/1"), "{words}");
    let count = u64::try_from(addresses.len()).unwrap();
    assert_eq!(app.metric("sluice_policy_notices_total{policy=\"privacy\"}"), count);
    assert_eq!(app.metric("sluice_policy_notices_left"), 0);
    let (row, is_new) = app.publish(PolicyKind::Privacy, WORDS, None, true).unwrap();
    assert_eq!((is_new, u64::try_from(row.notices).unwrap()), (false, count));
}

#[test]
fn p16_who_waits_for_a_mail_does_not_wait_behind_notices() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("mail.per_minute", 120)
        .set("mail.at_once", 4)
        .start();
    let addresses = addresses(300);
    app.db(|conn| open_accounts(conn, &addresses));
    app.publish(PolicyKind::Terms, "Words.", None, true).unwrap();
    eventually("the first notices", || (app.mails().len() > 1).then_some(()));
    eventually("all of them in line", || app.db(is_noticed).then_some(()));
    let began = Instant::now();
    app.put_mail(MailKind::PasswordChanged, "urgent@example.net", None);
    app.mails_to("urgent@example.net", 1);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(app.waiting_mails() > 200, "{}", app.waiting_mails());
}

#[test]
fn p16_notices_that_hang_leave_a_way_for_who_waits() {
    let server = MailServer::start();
    let app = builder(&server)
        .set("mail.timeout_secs", 600)
        .set("mail.at_once", 4)
        .set("server.drain_secs", 0)
        .start();
    let silent: Vec<String> =
        (0..20).map(|number| format!("hang-9@n{number}.example.net")).collect();
    app.db(|conn| open_accounts(conn, &silent));
    app.publish(PolicyKind::Terms, "Words.", None, true).unwrap();
    eventually("three notices to hang", || (server.lines() == 3).then_some(()));
    app.put_mail(MailKind::PasswordChanged, "urgent@example.net", None);
    eventually("the mail", || (server.lines() == 4).then_some(()));
    assert_eq!(server.journal()[3]["to"], "urgent@example.net");
}

/// A server of its own process that is killed now and then while it tells everybody.
struct Stage {
    server: MailServer,
    process: Process,
    addresses: Vec<String>,
    kills: usize,
}

impl Stage {
    fn open(addresses: Vec<String>, at_once: usize) -> Self {
        let server = MailServer::start();
        let process = Process::start(builder(&server).set("mail.at_once", at_once), &[]);
        open_accounts(&mut process.database.connect(), &addresses);
        Self { server, process, addresses, kills: 0 }
    }

    fn publish(&self) {
        let words = self.process.folder.path().join("words.txt");
        std::fs::write(&words, WORDS).unwrap();
        let (words, config) = (words.to_str().unwrap(), self.process.config.to_str().unwrap());
        let args = ["policy", "publish", words, "--significant", "--json", "--config", config];
        assert_eq!(run(&args, &[]).json()["is_new"], true);
    }

    fn metric(&self, name: &str) -> i64 {
        let request = Request::get("/metrics").header("connection", "close");
        let text = Connection::open(self.process.admin_address).ask(&request).finish().text();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Ends it, lets the longest pause pass for whatever waits, and starts it again.
    fn kill(&mut self) {
        self.kills += 1;
        let database = self.process.database.beside();
        self.process.kill_and_restart_after(&[], || {
            let all = diesel::update(outbox::table).set(outbox::due_at.eq(0));
            all.execute(&mut database.connect()).unwrap();
        });
    }

    /// Waits until everything is sent, or all that is left waits for its next attempt; whether the
    /// former.
    fn rest(&self) -> bool {
        let mut conn = self.process.database.connect();
        let left = within(Duration::from_mins(20), || {
            let (due, waiting) = waiting(&mut conn, Clock::System.now().as_millis());
            let is_over = is_noticed(&mut conn) && due == 0;
            (is_over && self.metric("sluice_mails_under_way") == 0).then_some(waiting)
        });
        left.unwrap_or_else(|| panic!("it does not come to rest\n{}", self.process.log())) == 0
    }

    /// Kills it while it puts notices in and while it sends them, and then whenever all that is
    /// left waits.
    fn go_through(&mut self, kills: usize) -> Report {
        self.publish();
        let step = self.addresses.len() / (kills + 1);
        for number in 0..kills {
            let wanted = number * step;
            let reached =
                within(Duration::from_mins(10), || (self.server.lines() > wanted).then_some(()));
            assert!(reached.is_some(), "{} of {wanted}", self.server.lines());
            self.kill();
        }
        for _ in 0..6 {
            if self.rest() {
                return prove(&self.server.journal(), &self.addresses);
            }
            self.kill();
        }
        panic!("mails are left\n{}", self.process.log());
    }
}

#[test]
fn p16_killed_in_the_middle_everybody_is_told_and_hardly_anybody_twice() {
    let mut stage = Stage::open(addresses(210), AT_ONCE);
    let report = stage.go_through(3);
    assert!(report.killed <= stage.kills * AT_ONCE, "{report:?} by {} kills", stage.kills);
}

/// `scripts/soak notices`: NOTICES accounts, 10,000 unless it says otherwise, on the database that
/// the environment names.
#[test]
#[ignore = "takes minutes"]
fn p16_ten_thousand_are_told_through_faults_and_kills() {
    let count = number("NOTICES", 10_000);
    let mut stage = Stage::open(addresses(count), AT_ONCE);
    let began = Instant::now();
    let report = stage.go_through(number("NOTICES_KILLS", 10));
    let figures = json!({
        "accounts": count,
        "kills": stage.kills,
        "seconds": began.elapsed().as_secs(),
        "told": report.told,
        "copies": report.copies,
        "second copies without an answer": report.unanswered,
        "second copies by kills": report.killed,
        "mails that the server read": stage.server.lines(),
    });
    println!("{figures:#}");
    assert!(report.killed <= stage.kills * AT_ONCE, "{report:?}");
}

/// The same without faults and kills: how long sending takes.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_notices_take_a_sane_time() {
    let count = number("NOTICES", 10_000);
    for at_once in [4, 16] {
        let addresses = (0..count).map(|number| format!("someone@n{number}.example.net"));
        let stage = Stage::open(addresses.collect(), at_once);
        let began = Instant::now();
        stage.publish();
        assert!(stage.rest());
        let report = prove(&stage.server.journal(), &stage.addresses);
        assert_eq!((report.told, report.copies), (count, count));
        println!("{count} notices, {at_once} at once: {:.1} s", began.elapsed().as_secs_f64());
    }
}

#[expect(clippy::disallowed_methods, reason = "the size that the caller of the tests wants")]
fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}
