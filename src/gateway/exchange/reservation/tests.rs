//! What becomes of a reservation that is let go open.

use super::*;
use crate::accounts;
use crate::accounts::keys::{self, NewKey};
use crate::config::{LoadPurpose, Sources, load_for};
use crate::db::models::{api_keys, usage_logs};
use crate::db::{Database, migrate};
use crate::domain::clock::Clock;
use crate::domain::ids::{AccountId, ApiKeyId, RequestId};
use crate::domain::price_list::tests::day;
use crate::domain::quote::tests::{CHEAP, quote, usage};
use crate::domain::tombstone::TombstoneKey;
use crate::holds::Holds;
use crate::ledger::EntryKind;
use crate::ledger::actor::LedgerHandle;
use crate::places::Places;
use crate::places::shares::Shares;

/// A ledger with an account that has a dollar, and who it is.
fn books(folder: &std::path::Path) -> (Arc<AppContext>, Database, AccountId, ApiKeyId) {
    let url = format!("sqlite://{}", folder.join("books.db").display());
    let env = vec![("SLUICE__DATABASE__URL".to_owned(), url)];
    let settings = load_for(&Sources { file: None, env }, LoadPurpose::Command).unwrap();
    let database = Database::open(&settings.database).unwrap();
    let mut conn = database.connect().unwrap();
    migrate::run_pending(&mut conn).unwrap();
    let now = day("2026-11-22");
    let account_id = accounts::open(&mut conn, "a@example.org", now).unwrap().id;
    let rules = (settings.prices.as_ref(), 10);
    let issued = keys::issue(
        &mut conn,
        &keys::KeyActor::Operator(account_id),
        &NewKey::named("k"),
        rules,
        now,
    )
    .unwrap();
    let holder = api_keys::holder(&mut conn, &issued.key.hash()).unwrap().unwrap();
    let clock = Clock::manual(now.as_millis());
    let metrics = Arc::new(crate::metrics::Metrics::new().unwrap());
    let context = AppContext {
        holds: Arc::new(Holds::new(&settings.reservation)),
        refusals: Arc::default(),
        ledger: LedgerHandle::start(&database, &clock, &metrics).0,
        settings: Arc::new(settings),
        database: database.clone(),
        tombstones: TombstoneKey::of(&"t".repeat(32).into()).unwrap(),
        clock,
        tracker: crate::tracker::Tracker::default(),
        node_id: "n".into(),
        standing: Arc::default(),
        drains: Places::new(Shares::new(1, 1)),
        metrics,
        traces: crate::traces::Tracer::default(),
        mail: crate::mail::mailer::OutboxNotifier::default(),
        reloads: crate::context::ReloadRequests::new().0,
    };
    (Arc::new(context), database, account_id, holder.api_key_id)
}

/// Waits until the ledger has taken all that was submitted before.
async fn credited(context: &AppContext, account_id: AccountId, reference: &str) {
    let amount = NanoUsd::from_nanos(1_000_000_000);
    let (kind, reference) = (EntryKind::Adjustment, reference.to_owned());
    let credit = Command::Credit { account_id, kind, reference, amount };
    assert_eq!(context.ledger.apply(credit).await.ok(), Some(Effect::Credited));
}

#[test]
fn e14_what_is_dropped_open_is_settled_at_its_last_checkpoint_and_what_is_posted_is_not() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let (context, database, account_id, api_key_id) = books(folder.path());
        credited(&context, account_id, "before").await;
        let open = async |id: &str| {
            let id = RequestId::from_stored(id.to_owned());
            let record = UsageRecord::blank(id, account_id, api_key_id, context.clock.now());
            let (held, node_id) = (NanoUsd::from_nanos(1_500_000), "n".into());
            let asked = Hold::exactly(held);
            let reserve = Command::Reserve { record: record.clone(), hold: asked, node_id };
            let reserved = context.ledger.apply(reserve).await;
            assert_eq!(reserved, Ok(Effect::Reserved { amount: held }));
            let (quote, lesson) = (quote(&[CHEAP]), Lesson::default());
            let draft = Draft { record, quote, lesson };
            Reservation::new(Opened { draft, held }, Arc::clone(&context))
        };
        let mut posted = open("req_posted").await;
        let (ending, usage_of_it) = (Outcome::Complete, Some((usage(20, 1), false)));
        let bill = Bill { ending, http_status: 200, has_head: true, usage: usage_of_it };
        posted.charge(&bill);
        assert!(posted.post(&bill).await);
        let mut voided = open("req_voided").await;
        voided.set_usage(&usage(30, 1), false);
        let bill = Bill::nothing(Outcome::Refused, 400);
        voided.charge(&bill);
        assert!(voided.post(&bill).await);
        assert!(context.metrics.render().contains("taking its last checkpoint\"} 0"));
        let mut dropped = open("req_dropped").await;
        dropped.set_usage(&usage(10, 1), false);
        dropped.checkpoint(&usage(10, 1));
        dropped.set_usage(&usage(10, 50), false);
        drop(dropped);
        credited(&context, account_id, "behind").await;
        let mut rows =
            usage_logs::latest(&mut database.connect().unwrap(), account_id, 10).unwrap();
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        let found: Vec<_> =
            rows.iter().map(|row| (row.ending.code(), row.cost_nanousd.as_nanos())).collect();
        assert_eq!(found, [("E14", 15_000), ("E1", 25_000), ("E2", 0)]);
        assert!(context.metrics.render().contains("taking its last checkpoint\"} 1"));
    });
}
