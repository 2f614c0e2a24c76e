//! The parts that need a database: a file of their own, as durable as in earnest.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use sluice::accounts;
use sluice::accounts::keys::{self, ApiKeyCache, IssuedKey, KeyActor, NewKey};
use sluice::config::{self, DatabaseSettings, Sources};
use sluice::db::models::api_keys;
use sluice::db::{AnyConnection, Database, migrate};
use sluice::domain::api_key::PlainApiKey;
use sluice::domain::clock::UnixMillis;
use sluice::domain::ids::{AccountId, ApiKeyId, RequestId};
use sluice::domain::money::NanoUsd;
use sluice::domain::price_list::{Markup, PriceList};
use sluice::domain::usage_record::UsageRecord;
use sluice::ledger::{self, BalanceCache, Busy, Command, Effect, EntryKind, Hold};
use tempfile::TempDir;

use super::Work;

const NOW: UnixMillis = UnixMillis::from_millis(1_795_348_800_000);

/// A database with one account.
struct Books {
    conn: AnyConnection,
    database: Database,
    account_id: AccountId,
    issued: IssuedKey,
    _folder: TempDir,
}

impl Books {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&settings(&folder)).unwrap();
        let mut conn = database.connect().unwrap();
        migrate::run_pending(&mut conn).unwrap();
        let account_id = accounts::open(&mut conn, "someone@example.org", NOW).unwrap().id;
        let prices = PriceList::new(Vec::new(), Markup::ONE, 0).unwrap();
        let actor = KeyActor::Operator(account_id);
        let issued =
            keys::issue(&mut conn, &actor, &NewKey::named("k"), (&prices, 10), NOW).unwrap();
        let credit = Command::Credit {
            account_id,
            kind: EntryKind::Adjustment,
            reference: "bench".to_owned(),
            amount: "1000".parse().unwrap(),
        };
        ledger::apply(&mut conn, &[credit], NOW).unwrap();
        Self { conn, database, account_id, issued, _folder: folder }
    }
}

fn settings(folder: &TempDir) -> DatabaseSettings {
    let file = folder.path().join("sluice.toml");
    let toml = format!(
        "[database]
         url = \"sqlite://{}\"
         [mail]
         folder = \"{}\"
         [[upstreams]]
         name = \"none\"
         base_url = \"http://127.0.0.1:9\"
         credential = \"none\"",
        folder.path().join("sluice.db").display(),
        folder.path().join("mail").display(),
    );
    std::fs::write(&file, toml).unwrap();
    config::load(&Sources { file: Some(file), env: Vec::new() }).unwrap().database
}

/// The holder of a key that is known, from what a client sends.
pub(super) fn key_lookup() -> Work {
    let books = Books::open();
    let cache = ApiKeyCache::new(books.database.clone());
    let text = books.issued.key.reveal().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Box::new(move || {
        let _kept = &books;
        let hash = PlainApiKey::parse(black_box(&text)).unwrap().hash();
        let found = runtime.block_on(cache.holder(hash, Duration::from_hours(1)));
        assert!(found.unwrap().is_some());
    })
}

/// A group of commands that holds money for so many exchanges, and one that charges for them, as a
/// server applies them: with what its connection remembers.
pub(super) fn exchanges(together: usize) -> Work {
    let mut books = Books::open();
    let api_key_id =
        api_keys::holder(&mut books.conn, &books.issued.key.hash()).unwrap().unwrap().api_key_id;
    let node_id: Arc<str> = "node".into();
    let mut memory = BalanceCache::default();
    let mut number = 0_u64;
    Box::new(move || {
        let records: Vec<UsageRecord> = (0..together)
            .map(|_| {
                number += 1;
                record(number, books.account_id, api_key_id)
            })
            .collect();
        let holds = records.iter().map(|record| Command::Reserve {
            record: record.clone(),
            hold: Hold::exactly(NanoUsd::from_nanos(5_000)),
            node_id: Arc::clone(&node_id),
        });
        let holds: Vec<Command> = holds.collect();
        let mut apply = |commands: &[Command]| {
            let session = (&mut books.conn, &mut memory);
            ledger::apply_unless(session, commands.iter().collect(), Busy::Skip, NOW, &|| false)
        };
        let effects = apply(&holds).unwrap();
        assert!(effects.iter().all(|effect| matches!(effect, Effect::Reserved { .. })));
        let posts: Vec<Command> =
            records.into_iter().map(|record| Command::Post { record }).collect();
        black_box(apply(&posts).unwrap());
    })
}

fn record(number: u64, account_id: AccountId, api_key_id: ApiKeyId) -> UsageRecord {
    let id = RequestId::from_stored(format!("req_{number:024}"));
    UsageRecord {
        requested_model: "claude-haiku-4-5".to_owned(),
        input_tokens: 25,
        output_tokens: 40,
        cost: NanoUsd::from_nanos(1_000),
        ..UsageRecord::blank(id, account_id, api_key_id, NOW)
    }
}
