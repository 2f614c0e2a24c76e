//! The disk is full, and then it is not.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use diesel::connection::SimpleConnection;
use rlimit::Resource;

use super::{Stage, assert_billed_in_full, end_unpaid, json_answer};
use crate::support::database::TestDatabase;
use crate::support::process::Process;

/// Streams go on, the disk fills, they end; then there is room again.
fn fill_and_give_back(
    stage: Stage,
    reason: &str,
    fill: impl FnOnce(&Stage),
    give_back: impl FnOnce(&Stage),
) {
    stage.begin().end_paid();
    stage.settled(0, 1);
    let running: Vec<_> = (0..5).map(|_| stage.begin()).collect();
    let json = stage.send(false);
    let json_exchange = stage.upstream.next();
    // While somebody reads, the log does not begin again where it has room already.
    let mut reader = stage.process.database.connect();
    reader.batch_execute("BEGIN; SELECT count(*) FROM accounts").unwrap();
    fill(&stage);
    stage.expect_refusal();
    json_exchange.answer_json(&json_answer());
    json.answer(false).finish().expect_error(503, "api_error");
    end_unpaid(running);
    stage.expect_refusal();
    let log = stage.process.log();
    assert!(log.contains("ledger unavailable") && log.contains(reason), "{log}");
    drop(reader);
    give_back(&stage);
    stage.expect_service();
    assert_billed_in_full(&stage.settled(6, 2));
    stage.finish();
}

#[test]
fn a_file_that_cannot_grow_refuses_new_work_and_loses_nothing() {
    let stage = Stage::start(|_| {}, Process::start_limitable);
    let limit = |stage: &Stage, bytes: u64| {
        let id = i32::try_from(stage.process.id()).unwrap();
        rlimit::prlimit(id, Resource::FSIZE, Some((bytes, u64::MAX)), None).unwrap();
    };
    let fill = |stage: &Stage| {
        // Commits are appended to this file, which is longer than the log on standard error.
        let wal = stage.process.folder.path().join("sluice.db-wal");
        limit(stage, std::fs::metadata(wal).unwrap().len());
    };
    fill_and_give_back(stage, "disk I/O error", fill, |stage| limit(stage, u64::MAX));
}

/// A small disk of its own; gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "sluice-test"]).arg(at);
        let is_mounted = mount.output().is_ok_and(|done| done.status.success());
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_refuses_new_work_and_loses_nothing() {
    let mut disk = None;
    let place = |builder: &mut crate::support::app::Builder| {
        disk = SmallDisk::mount(&builder.folder.path().join("disk"));
        if let Some(SmallDisk(path)) = &disk {
            builder.database = Some(TestDatabase::sqlite(path));
        }
    };
    let stage = Stage::start(place, |builder| Process::start(builder, &[]));
    let Some(SmallDisk(path)) = &disk else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    let filler = path.join("filler");
    let fill = |_: &Stage| {
        let mut file = std::fs::File::create(&filler).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    };
    fill_and_give_back(stage, "database or disk is full", fill, |_| {
        std::fs::remove_file(&filler).unwrap();
    });
}
