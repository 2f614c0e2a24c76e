//! Every place where something can stay, read to its last byte.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use diesel::prelude::*;
use diesel::sql_types::Text;
use sluice::db::AnyConnection;

use super::canaries::{Canaries, Place};
use crate::support::client::{Connection, Request};
use crate::support::process::Process;

/// Files of the server's folder that hold its secrets because the operator has written them there.
const OPERATORS: [&str; 2] = ["sluice.toml", "addresses"];
/// What its standard error goes into.
const LOG: &str = "stderr.log";

/// Looks for the canaries wherever a server leaves something. What is found where it must not be,
/// in words.
pub(super) fn search(process: &Process, canaries: &Canaries) -> Vec<String> {
    let log = process.log();
    assert!(log.contains("TRACE") && log.contains("actix"), "the log is at its finest: {log:.300}");
    let mut faults = canaries.found(Place::Log, "the log", log.as_bytes());
    let folder = process.folder.path();
    for path in files(folder) {
        let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        if name == LOG || OPERATORS.contains(&name.as_str()) {
            continue;
        }
        let place = if name.starts_with("mail") { Place::Mail } else { Place::Store };
        // A file may go while others are read: a write-ahead log does.
        let bytes = std::fs::read(&path).unwrap_or_default();
        let bytes = if place == Place::Mail { unfolded(&bytes) } else { bytes };
        faults.extend(canaries.found(place, &name, &bytes));
    }
    if process.database.is_postgres() {
        for (name, rows) in tables(&mut process.database.connect()) {
            faults.extend(canaries.found(Place::Store, &name, rows.as_bytes()));
        }
    }
    if TcpStream::connect(process.admin_address).is_ok() {
        let request = Request::get("/metrics").header("connection", "close");
        let metrics = Connection::open(process.admin_address).ask(&request).finish();
        assert!(metrics.text().contains("sluice_"), "{}", metrics.text());
        faults.extend(canaries.found(Place::Metrics, "the metrics", &metrics.body));
    }
    faults
}

/// Asserts that nothing was found.
pub(super) fn nothing(faults: &[String]) {
    let shown: Vec<&str> = faults.iter().take(20).map(String::as_str).collect();
    assert!(faults.is_empty(), "{} times:\n  {}\n", faults.len(), shown.join("\n  "));
}

/// Long lines of quoted-printable go on behind `=`.
fn unfolded(mail: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(mail).replace("=\r\n", "").replace("=3D", "=").into_bytes()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    row: String,
}

/// Every row of every table as text, with what PostgreSQL has gathered to plan its queries.
fn tables(conn: &mut AnyConnection) -> Vec<(String, String)> {
    let all = "SELECT format('%I.%I', table_schema, table_name) AS row \
               FROM information_schema.tables WHERE table_type = 'BASE TABLE' \
               AND table_schema NOT IN ('pg_catalog', 'information_schema')";
    let names = diesel::sql_query(all).load::<Row>(conn).unwrap();
    let names = names.into_iter().map(|Row { row }| row);
    let names: Vec<String> = names.chain(["pg_catalog.pg_statistic".to_owned()]).collect();
    assert!(names.len() > 20, "{names:?}");
    let read = |name: String| {
        let sql = format!("SELECT t::text AS row FROM {name} t");
        let rows = diesel::sql_query(sql).load::<Row>(conn).unwrap();
        let rows: Vec<String> = rows.into_iter().map(|Row { row }| row).collect();
        (name, rows.join("\n"))
    };
    names.into_iter().map(read).collect()
}
