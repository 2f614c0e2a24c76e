//! An account that has something in every table that refers to one.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use sluice::db::AnyConnection;
use sluice::db::models::audit::{self, Decision};
use sluice::db::models::deposit_claims::{self, ClaimRow};
use sluice::db::models::deposits;
use sluice::db::models::wallets::{self, EVERY_CHAIN, WalletRow};
use sluice::db::schema::{
    deposit_refunds as refunds, deposits as deposits_table, log_in_steps, wallet_challenges,
};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::ClaimState;
use sluice::domain::evm::{ChainId, TxHash};
use sluice::domain::mail::MailKind;

use crate::support::app::{Account, TestApp};
use crate::support::deposit_rows::row;
use crate::support::sandbox::body;
use crate::support::wallet_rows;

const SIGNATURE: [u8; 65] = [0x5a; 65];

/// One row in every table that may have one, and none that the server's purge takes for over.
pub(crate) fn fill(app: &TestApp, account: &Account) {
    let now = app.clock.now().as_millis();
    app.messages(account, &body("claude-haiku-4-5", false, "")).expect_ok();
    app.only_row(account);
    let id = account.id;
    app.db(|conn| {
        let wallet = WalletRow {
            kind: "contract".to_owned(),
            chain_id: ChainId(8453),
            proof_hash: Some(vec![3; 32]),
            proof_signature: Some(SIGNATURE.to_vec()),
            ..wallet_rows::row(id, 2)
        };
        wallets::link(conn, &wallet).unwrap();
        assert_ne!(wallet.chain_id, EVERY_CHAIN);
        deposits::insert(conn, &row(account, 1, "rejected", None)).unwrap();
        let deposit: i64 = deposits_table::table.select(deposits_table::id).first(conn).unwrap();
        diesel::insert_into(refunds::table)
            .values((
                refunds::public_id.eq("ref_1"),
                refunds::deposit_id.eq(deposit),
                refunds::state.eq("posted"),
                refunds::amount_nanousd.eq(0),
                refunds::created_at.eq(0),
                refunds::updated_at.eq(0),
            ))
            .execute(conn)
            .unwrap();
        let claim = ClaimRow {
            id: 0,
            public_id: "claim_1".to_owned(),
            account_id: id,
            chain_id: ChainId(1),
            tx_hash: TxHash([9; 32]),
            state: ClaimState::NotFound,
            reason: None,
            tries: 1,
            check_at: None,
            created_at: UnixMillis::from_millis(now),
            updated_at: UnixMillis::from_millis(now),
        };
        deposit_claims::submit(conn, &claim).unwrap();
        let (action, subject, detail) = ("rejected", "dep_1", "a reason");
        let word = Decision { action, subject, account_id: Some(id), detail };
        audit::write(conn, &word, app.clock.now()).unwrap();
    });
    fill_the_rest(app, account);
}

/// What passes by, and what no verb makes without a chain.
fn fill_the_rest(app: &TestApp, account: &Account) {
    let id = account.id;
    app.db(|conn| {
        diesel::insert_into(wallet_challenges::table)
            .values((
                wallet_challenges::nonce.eq("nonce1"),
                wallet_challenges::account_id.eq(id.0),
                wallet_challenges::chain_id.eq(1),
                wallet_challenges::address.eq(vec![2_u8; 20]),
                wallet_challenges::issued_at.eq(0),
                wallet_challenges::expires_at.eq(i64::MAX / 1_000_000),
            ))
            .execute(conn)
            .unwrap();
        diesel::insert_into(log_in_steps::table)
            .values((
                log_in_steps::token_hash.eq(vec![8_u8; 32]),
                log_in_steps::account_id.eq(id.0),
                log_in_steps::expires_at.eq(i64::MAX / 1_000_000),
            ))
            .execute(conn)
            .unwrap();
        conn.batch_execute(&format!(
            "INSERT INTO deposit_addresses (address, xpub_fingerprint, derivation_index,
                account_id, created_at)
             VALUES ({}, 'ffffffff', 0, {}, 0)",
            bytes(conn, "0404040404040404040404040404040404040404"),
            id.0
        ))
        .unwrap();
        conn.batch_execute(&format!(
            "INSERT INTO deposit_arrivals (chain_id, address, after_number, block_number,
                raw_amount, tries,
                 created_at, updated_at) VALUES (1, {}, 1, 2, '3', 1, 0, 0)",
            bytes(conn, "0404040404040404040404040404040404040404"),
        ))
        .unwrap();
        conn.batch_execute(&format!(
            "INSERT INTO usage_passes (usage_id, ordinal, kind, input_tokens, output_tokens,
                cache_write_5m_tokens,
                 cache_write_1h_tokens, cache_read_tokens, is_credit_redeemed)
             SELECT id, 0, 'answer', 1, 1, 0, 0, 0, {} FROM usage_logs WHERE account_id = {}",
            if matches!(conn, AnyConnection::Sqlite(_)) { "0" } else { "FALSE" },
            id.0
        ))
        .unwrap();
        // A node that lives, so that nobody recovers what it runs.
        let lease = "INSERT INTO nodes (id, lease_expires_at) VALUES ('nobody', 9000000000000)";
        conn.batch_execute(lease).unwrap();
        conn.batch_execute(&format!(
            "INSERT INTO reservations (id, account_id, api_key_id, node_id, amount_nanousd,
                record, created_at)
             SELECT 'req_1', account_id, id, 'nobody', 0, '{{}}', 0 FROM api_keys WHERE account_id
             = {}",
            id.0
        ))
        .unwrap();
    });
    refuse_some(app, account);
    let email = app.db(|conn| sluice::db::models::accounts::get(conn, id).unwrap().unwrap().email);
    app.link(sluice::accounts::identity::email_tokens::LinkPurpose::Reset, Some(id), &email);
    app.db(|conn| {
        use sluice::db::models::outbox::{NewMail, enqueue};
        let (reference, params) = ("x".to_owned(), serde_json::json!({}));
        let kind = MailKind::PasswordChanged;
        let mail = NewMail { kind, reference, account_id: Some(id), recipient: &email, params };
        enqueue(conn, &mail, app.clock.now().plus_millis(1_000_000_000)).unwrap();
    });
}

/// Requests of the account's keys that were refused.
fn refuse_some(app: &TestApp, account: &Account) {
    let insert = format!(
        "INSERT INTO refused_requests (account_id, api_key_id, day, reason, requests)
         SELECT account_id, id, 20779, 'balance', 3 FROM api_keys WHERE account_id = {}",
        account.id.0
    );
    app.db(|conn| conn.batch_execute(&insert).unwrap());
}

fn bytes(conn: &AnyConnection, hex: &str) -> String {
    match conn {
        AnyConnection::Sqlite(_) => format!("X'{hex}'"),
        AnyConnection::Postgres(_) => format!("'\\x{hex}'"),
    }
}
