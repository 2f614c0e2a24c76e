//! What a quote makes of funds and of usage, and what becomes of a reservation that is let go open.

use actix::Arbiter;
use tokio::sync::Semaphore;

use super::*;
use crate::accounts;
use crate::accounts::keys::{self, NewKey};
use crate::actors::ledger::LedgerHandle;
use crate::config::{Purpose, Sources, load_for};
use crate::db::{Database, api_keys, migrate, usage_logs};
use crate::domain::clock::Clock;
use crate::domain::ids::{AccountId, ApiKeyId, RequestId};
use crate::domain::price_list::tests::{built_in, day};
use crate::domain::usage::Iteration;
use crate::ledger::EntryKind;

/// 5 and 25 dollars per million; 200,000 tokens of context, answers of 64,000.
const DEAR: &str = "claude-opus-4-5";
/// 1 and 5 dollars per million, of the same size.
const CHEAP: &str = "claude-haiku-4-5";

/// Of a request to the first of these models that may read 1000 tokens.
fn quote(models: &[&str]) -> Quote {
    let prices = built_in("1");
    let at = day("2026-11-22");
    let candidates: Vec<Arc<Rates>> =
        models.iter().map(|name| Arc::clone(prices.rates(name, at).unwrap())).collect();
    let model = Arc::clone(prices.find(models[0]).unwrap());
    Quote {
        context_ceiling: model.context_tokens,
        output_ceiling: model.max_output_tokens,
        model,
        rates: Arc::clone(&candidates[0]),
        prices,
        at,
        candidates,
        model_ids: models.iter().map(|&name| name.to_owned()).collect(),
        server_tool_uses: 0,
        web_searches_allowed: 0,
        input_tokens: 1000,
        web_searches: 0,
        uses_5m_cache: false,
        uses_1h_cache: false,
        geo: None,
        speed: None,
        reserved_output: 100,
        max_output: 100,
    }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { tokens: TokenCounts { input, output, ..TokenCounts::default() }, ..Usage::default() }
}

const HELD: NanoUsd = NanoUsd::from_nanos(777);

#[test]
fn the_dearest_candidate_counts_wherever_it_stands() {
    for models in [[DEAR, CHEAP], [CHEAP, DEAR]] {
        let quote = quote(&models);
        let amount = NanoUsd::from_nanos(1000 * 5_000 + 100 * 25_000);
        assert_eq!(quote.amount(100), Ok(amount), "{models:?}");
        assert_eq!(quote.affordable_output(amount), Some(100), "{models:?}");
    }
}

#[test]
fn an_offer_of_no_output_is_none() {
    let quote = quote(&[CHEAP]);
    let affordable = |nanos| quote.affordable_output(NanoUsd::from_nanos(nanos));
    assert_eq!(affordable(1000 * 1_000 - 1), None);
    assert_eq!(affordable(1000 * 1_000), None);
    assert_eq!(affordable(1000 * 1_000 + 4_999), None);
    assert_eq!(affordable(1000 * 1_000 + 5_000), Some(1));
}

#[test]
fn only_a_model_that_is_named_and_has_no_price_is_told() {
    let quote = quote(&[CHEAP]);
    let price = |served: Option<&str>| {
        let served_model = served.map(str::to_owned);
        let priced = quote.price(&Usage { served_model, ..usage(10, 1) }, HELD);
        assert!(!priced.is_capped);
        (priced.amount.as_nanos(), priced.alerts.len())
    };
    assert_eq!(price(None), (15_000, 0));
    assert_eq!(price(Some(CHEAP)), (15_000, 0));
    assert_eq!(price(Some(DEAR)), (75_000, 0));
    assert_eq!(price(Some("nobody")), (15_000, 1));
}

#[test]
fn usage_beyond_what_an_upstream_can_have_counted_costs_what_is_held() {
    let is_billed = |quote: &Quote, usage: &Usage| {
        let priced = quote.price(usage, HELD);
        assert_eq!(priced.is_capped, priced.amount == HELD);
        assert_eq!(priced.is_capped, !priced.alerts.is_empty());
        !priced.is_capped
    };
    let mut quote = quote(&[CHEAP]);
    for uses in [0, 1, 4] {
        quote.server_tool_uses = uses;
        let passes = (uses + 1) * 2;
        let (input, output) = (passes * 200_000, passes * 64_000);
        assert!(is_billed(&quote, &usage(input, output)), "{uses}");
        assert!(!is_billed(&quote, &usage(input + 1, output)), "{uses}");
        assert!(!is_billed(&quote, &usage(input, output + 1)), "{uses}");
        let pass = |input, output| {
            let iterations = vec![Iteration { model: None, tokens: usage(input, output).tokens }];
            Usage { iterations, ..usage(1, 1) }
        };
        assert!(is_billed(&quote, &pass(400_000, 128_000)), "{uses}");
        assert!(!is_billed(&quote, &pass(400_001, 1)), "{uses}");
        assert!(!is_billed(&quote, &pass(1, 128_001)), "{uses}");
    }
    quote.web_searches_allowed = 3;
    assert!(is_billed(&quote, &Usage { web_searches: 3, ..usage(1, 1) }));
    assert!(!is_billed(&quote, &Usage { web_searches: 4, ..usage(1, 1) }));
}

/// A ledger with an account that has a dollar, and who it is.
fn books(folder: &std::path::Path) -> (Arc<Shared>, Database, AccountId, ApiKeyId) {
    let url = format!("sqlite://{}", folder.join("books.db").display());
    let env = vec![("SLUICE__DATABASE__URL".to_owned(), url)];
    let settings = load_for(&Sources { file: None, env }, Purpose::Command).unwrap();
    let database = Database::open(&settings.database).unwrap();
    let mut conn = database.connect().unwrap();
    migrate::run_pending(&mut conn).unwrap();
    let now = day("2026-11-22");
    let account_id = accounts::open(&mut conn, "a@example.org", now).unwrap().account_id();
    let rules = (settings.prices.as_ref(), 10);
    let issued = keys::issue(&mut conn, account_id, &NewKey::named("k"), rules, now).unwrap();
    let holder = api_keys::holder(&mut conn, &issued.key.hash()).unwrap().unwrap();
    let clock = Clock::manual(now.as_millis());
    let shared = Shared {
        ledger: LedgerHandle::start(&Arbiter::new().handle(), database.clone(), clock.clone()),
        settings: Arc::new(settings),
        clock,
        tracker: crate::tracker::Tracker::default(),
        node_id: "n".into(),
        drains: Arc::new(Semaphore::new(1)),
        metrics: Arc::new(crate::metrics::Metrics::new().unwrap()),
        mail: crate::actors::mailer::MailBell::default(),
    };
    (Arc::new(shared), database, account_id, holder.api_key_id)
}

/// Waits until the ledger has taken all that was submitted before.
async fn credited(shared: &Shared, account_id: AccountId, reference: &str) {
    let amount = NanoUsd::from_nanos(1_000_000_000);
    let (kind, reference) = (EntryKind::Adjustment, reference.to_owned());
    let credit = Command::Credit { account_id, kind, reference, amount };
    assert_eq!(shared.ledger.apply(credit).await.ok(), Some(Outcome::Credited));
}

#[test]
fn e14_what_is_dropped_open_is_settled_at_its_last_checkpoint_and_what_is_posted_is_not() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let (shared, database, account_id, api_key_id) = books(folder.path());
        credited(&shared, account_id, "before").await;
        let open = async |id: &str| {
            let id = RequestId::from_stored(id.to_owned());
            let record = UsageRecord::blank(id, account_id, api_key_id, shared.clock.now());
            let amount = NanoUsd::from_nanos(1_500_000);
            let quote = quote(&[CHEAP]);
            Reservation::open(record, quote, amount, Arc::clone(&shared)).await.ok().unwrap()
        };
        let mut posted = open("req_posted").await;
        posted.set_usage(&usage(20, 1), false);
        assert!(posted.post(Ending::E1, 200).await);
        let mut voided = open("req_voided").await;
        voided.set_usage(&usage(30, 1), false);
        assert!(voided.void(Ending::E2, 400).await);
        assert!(!shared.metrics.render().contains("taking its last checkpoint"));
        let mut dropped = open("req_dropped").await;
        dropped.set_usage(&usage(10, 1), false);
        dropped.checkpoint();
        dropped.set_usage(&usage(10, 50), false);
        drop(dropped);
        credited(&shared, account_id, "behind").await;
        let mut rows =
            usage_logs::latest(&mut database.connect().unwrap(), account_id, 10).unwrap();
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        let found: Vec<_> =
            rows.iter().map(|row| (row.ending.as_str(), row.cost_nanousd)).collect();
        assert_eq!(found, [("E14", 15_000), ("E1", 25_000), ("E2", 0)]);
        assert!(shared.metrics.render().contains("taking its last checkpoint"));
    });
}
