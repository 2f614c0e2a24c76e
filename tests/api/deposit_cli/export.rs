//! The export, read by a real reader of CSV.

use std::collections::HashMap;

use super::{Desk, GONE, NOON};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{ChainId, EvmAddress, RawAmount};
use sluice::domain::money::NanoUsd;

const DAY: i64 = 86_400_000;

/// Texts that break naive writers, or that a spreadsheet would run.
const HOSTILE: [&str; 7] = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "a, \"quoted\", field\nand another line",
    "\"",
    " =HYPERLINK(\"https://example.org\", \"here\")",
];

type Rows = Vec<HashMap<String, String>>;

fn rows(text: &str) -> Rows {
    assert!(text.split_inclusive("\r\n").all(|line| line.ends_with("\r\n")), "{text}");
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn export(desk: &Desk, args: &[&str]) -> Rows {
    rows(&desk.ok(&[&["export"], args].concat()))
}

#[test]
fn every_column_is_there_and_exact() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    let row = desk.deposit(|row| {
        row.state = DepositState::Confirming;
        row.account_id = Some(account.id);
        row.token = None;
        row.ordinal = -1;
        row.raw_amount = RawAmount::from(123_456_789_012_345_678_901);
        row.value_nanousd = Some(NanoUsd::from_nanos(246_913_578_024));
        row.price_feed = Some(EvmAddress([0xfe; 20]));
        row.price_round = Some("42".to_owned());
        row.price_answer = Some("200000000000".to_owned());
    });
    assert!(
        sluice::deposits::credit::credit(
            &mut desk.conn,
            &Desk::key(),
            &row,
            sluice::domain::money::NanoUsd::ZERO,
            NOON
        )
        .unwrap()
    );
    desk.ok(&["refund", "dep_1", "--amount", "1.5", "--reason", "asked for it"]);
    desk.ok(&["refund", "dep_1", "--tx", &format!("0x{}", "fe".repeat(32))]);
    let all = export(&desk, &[]);
    let row = &all[0];
    let expected = [
        ("deposit", "dep_1"),
        ("time", "2026-11-22T12:00:00.000Z"),
        ("chain", "base"),
        ("chain_id", "8453"),
        ("block", "100"),
        ("ordinal", "-1"),
        ("asset", "ETH"),
        ("token", ""),
        ("raw_amount", "123456789012345678901"),
        ("decimals", "18"),
        ("amount", "123.456789012345678901"),
        ("price_round", "42"),
        ("price_answer", "200000000000"),
        ("value_usd", "246.913578024"),
        ("state", "credited"),
        ("reason", ""),
        ("account", account.public_id.as_str()),
        ("credit_number", "1"),
        ("refund_state", "posted"),
        ("refund_usd", "1.50"),
        ("decision", "refund_posted"),
    ];
    for (column, value) in expected {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(row["tx_hash"], format!("0x{}", "01".repeat(32)));
    assert_eq!(row["refund_tx_hash"], format!("0x{}", "fe".repeat(32)));
    for (column, start) in
        [("from", "0xaA"), ("to", "0x7"), ("price_feed", "0x"), ("refund", "ref_")]
    {
        assert!(row[column].starts_with(start), "{column}: {}", row[column]);
    }
    assert_eq!(row["refund_time"].len(), "2026-11-22T12:00:00.000Z".len());
    assert_eq!(row.len(), 32);
}

#[test]
fn hostile_words_stay_words() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    for reason in HOSTILE {
        let id = desk.held(&account).public_id;
        desk.ok(&["reject", &id, &format!("--reason={reason}")]);
    }
    let all = export(&desk, &[]);
    assert_eq!(all.len(), HOSTILE.len());
    for (row, reason) in all.iter().zip(HOSTILE) {
        let reason = reason.trim();
        let found = &row["decision_detail"];
        assert_eq!(found.trim_start_matches('\''), reason);
        let is_formula = reason.starts_with(['=', '+', '-', '@']);
        assert_eq!(found.starts_with('\''), is_formula, "{found}");
        assert_eq!((row["state"].as_str(), row["decision"].as_str()), ("rejected", "rejected"));
    }
}

#[test]
fn days_are_whole_and_pages_join() {
    let mut desk = Desk::new();
    let midnight = NOON.as_millis() - DAY / 2;
    for time in [midnight - 1, midnight, midnight + DAY - 1, midnight + DAY] {
        desk.deposit(|row| row.block_time = UnixMillis::from_millis(time));
    }
    let ids = |args: &[&str]| -> Vec<String> {
        export(&desk, args).iter().map(|row| row["deposit"].clone()).collect()
    };
    assert_eq!(ids(&["--from", "2026-11-22", "--to", "2026-11-22"]), ["dep_2", "dep_3"]);
    assert_eq!(ids(&["--from", "2026-11-22"]), ["dep_2", "dep_3", "dep_4"]);
    assert_eq!(ids(&["--to", "2026-11-21"]), ["dep_1"]);
    assert_eq!(ids(&["--from", "2027-01-01"]), Vec::<String>::new());
    desk.wrong(&["export", "--from", "yesterday"], "2026-11-01");
    desk.refused(&["export", "--from", "2026-11-22", "--to", "2026-11-21"], &["is after"]);

    for number in 0..1000_u16 {
        let mut row = super::row(200);
        row.public_id = format!("dep_many_{number}");
        row.ordinal = number.into();
        row.chain_id = ChainId(GONE);
        sluice::db::models::deposits::insert(&mut desk.conn, &row).unwrap();
    }
    let all = export(&desk, &[]);
    assert_eq!(all.len(), 1004);
    // A token of a chain that is no longer configured: its smallest units are all that is known.
    let last = &all[1003];
    assert_eq!((last["chain"].as_str(), last["decimals"].as_str()), ("777", ""));
    assert_eq!((last["amount"].as_str(), last["raw_amount"].as_str()), ("", "1000000"));
}
