//! The SQLite file goes from its place. SQLite would go on writing into it and say that all is
//! well, so this is for the server to notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Stage, assert_billed_in_full, end_unpaid};
use crate::support::alerting::Watched;
use crate::support::database::TestDatabase;
use crate::support::process::Process;

/// The folder that the database has to itself.
fn place(stage: &Stage) -> PathBuf {
    stage.process.folder.path().join("data")
}

/// Streams go on, the file goes, they end; then it is back.
fn take_and_put_back(take: impl FnOnce(&Path), put_back: impl FnOnce(&Path)) {
    let own_folder = |builder: &mut crate::support::app::Builder| {
        let folder = builder.folder.path().join("data");
        fs::create_dir(&folder).unwrap();
        builder.database = Some(TestDatabase::sqlite(&folder));
    };
    let stage = Stage::start(own_folder, |builder| Process::start(builder, &[]));
    stage.begin().end_paid();
    stage.settled(0, 1);
    let running: Vec<_> = (0..3).map(|_| stage.begin()).collect();
    let folder = place(&stage);
    let names = || {
        let entries = fs::read_dir(&folder).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let watched = Watched::new(stage.process.admin_address);
    take(&folder);
    let left = names();
    stage.expect_refusal();
    assert_eq!(stage.readyz().status, 503);
    assert!(stage.readyz().text().contains("the database file is not in its place"));
    end_unpaid(running);
    stage.expect_refusal();
    watched.fires(&["SluiceDatabaseUnreachable"]);
    let log = stage.process.log();
    assert!(log.contains("the database file was moved, deleted or replaced"), "{log}");
    assert_eq!(names(), left, "nothing is made in its place");
    put_back(&folder);
    stage.expect_service();
    assert_billed_in_full(&stage.settled(3, 2));
    stage.finish();
}

fn moved(folder: &Path, from: &str, to: &str) {
    fs::rename(folder.join(from), folder.join(to)).unwrap();
}

#[test]
fn a_file_that_was_renamed_is_missed_until_it_is_back() {
    take_and_put_back(
        |folder| moved(folder, "sluice.db", "old.db"),
        |folder| moved(folder, "old.db", "sluice.db"),
    );
}

#[test]
fn a_file_that_was_deleted_is_missed_until_it_is_back() {
    // A second name stands for whatever brings a deleted file back.
    let take = |folder: &Path| {
        fs::hard_link(folder.join("sluice.db"), folder.join("kept.db")).unwrap();
        fs::remove_file(folder.join("sluice.db")).unwrap();
    };
    take_and_put_back(take, |folder| moved(folder, "kept.db", "sluice.db"));
}

#[test]
fn another_file_in_its_place_is_not_taken_for_it() {
    let take = |folder: &Path| {
        moved(folder, "sluice.db", "old.db");
        fs::copy(folder.join("old.db"), folder.join("sluice.db")).unwrap();
    };
    take_and_put_back(take, |folder| moved(folder, "old.db", "sluice.db"));
}

#[test]
fn a_write_ahead_log_that_went_away_is_missed_as_much() {
    take_and_put_back(
        |folder| moved(folder, "sluice.db-wal", "old.db-wal"),
        |folder| moved(folder, "old.db-wal", "sluice.db-wal"),
    );
}

#[test]
fn a_folder_that_was_exchanged_is_missed_until_it_is_back() {
    let aside = |folder: &Path| folder.with_extension("aside");
    let take = |folder: &Path| {
        fs::rename(folder, aside(folder)).unwrap();
        fs::create_dir(folder).unwrap();
    };
    take_and_put_back(take, |folder| {
        fs::remove_dir(folder).unwrap();
        fs::rename(aside(folder), folder).unwrap();
    });
}

#[test]
fn a_locked_file_refuses_a_crowd_as_soon_as_one() {
    let stage = Stage::start(|_| {}, |builder| Process::start(builder, &[]));
    stage.begin().end_paid();
    let lock = stage.process.database.lock();
    let began = Instant::now();
    let crowd: Vec<_> = (0..20).map(|_| stage.send(true)).collect();
    for connection in crowd {
        connection.answer(false).finish().expect_error(503, "api_error");
    }
    // Each command by itself would have waited twice for the lock, 300 ms each time.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    drop(lock);
    stage.expect_service();
    stage.settled(0, 2);
    stage.finish();
}
