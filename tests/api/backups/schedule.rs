//! Backups that the server makes: when, and which are kept.

use std::path::Path;

use sluice::backups::folder;
use sluice::backups::manifest::{MANIFEST, Manifest};
use sluice::jobs::backup::ScheduledBackup;
use sluice::jobs::job::RunJob;

use super::{back_up, served};
use crate::support::alerting::Watched;
use crate::support::app::TestApp;
use crate::support::desk::Cli;
use crate::support::wait::eventually;

const HOUR: i64 = 3_600_000;

fn names(into: &Path) -> Vec<String> {
    let all = folder::complete(into).unwrap();
    all.iter().map(|one| one.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Has the server look, until it has done what is expected.
fn looks(app: &TestApp, what: &str, is_done: impl Fn() -> bool) {
    eventually(what, || {
        app.scheduler.try_send(RunJob::of::<ScheduledBackup>()).unwrap();
        is_done().then_some(())
    });
}

#[test]
fn backups_are_made_when_due_and_the_newest_are_kept() {
    let builder = served();
    let into = builder.folder.path().join("kept");
    let app = builder
        .set("backup.directory", format!("\"{}\"", into.display()))
        .set("backup.every_hours", 2)
        .set("backup.keep", 2)
        .start();
    app.account("3");
    let seen = |time: &str| {
        let name = format!("sluice-20261122T{time}Z");
        move |into: &Path| names(into).contains(&name)
    };
    looks(&app, "the first backup", || seen("120000")(&into));
    let finished = "sluice_backup_finished_timestamp_seconds";
    let now = || u64::try_from(app.clock.now().as_millis() / 1000).unwrap();
    looks(&app, "its time", || app.metric(finished) == now());
    app.clock.advance(2 * HOUR - 1);
    looks(&app, "a look that comes to nothing", || names(&into).len() == 1);
    app.clock.advance(1);
    looks(&app, "the second backup", || seen("140000")(&into));
    // Somebody's own folders and files, and what is not complete, are left alone.
    std::fs::create_dir(into.join("sluice-old")).unwrap();
    std::fs::create_dir(into.join("sluice-20200101T000000Z")).unwrap();
    app.clock.advance(2 * HOUR);
    looks(&app, "the third backup", || seen("160000")(&into) && names(&into).len() == 2);
    assert_eq!(names(&into), ["sluice-20261122T160000Z", "sluice-20261122T140000Z"]);
    assert!(into.join("sluice-old").exists() && into.join("sluice-20200101T000000Z").exists());
    assert_eq!(app.metric("sluice_backup_failures_total"), 0);
    assert_eq!(app.metric("sluice_alerts_total{what=\"backup_failed\"}"), 0);
}

#[test]
fn a_backup_that_cannot_be_made_is_an_alert_and_is_tried_again_after_an_hour() {
    let builder = served();
    let into = builder.folder.path().join("file");
    std::fs::write(&into, "no folder").unwrap();
    let app = builder.set("backup.directory", format!("\"{}\"", into.display())).start();
    let failures = || app.metric("sluice_backup_failures_total");
    looks(&app, "a failure", || failures() == 1);
    looks(&app, "a pause", || failures() == 1);
    assert_eq!(app.metric("sluice_alerts_total{what=\"backup_failed\"}"), 1);
    let watched = Watched::new(app.admin_address);
    app.clock.advance(HOUR);
    looks(&app, "another failure", || failures() == 2);
    watched.fires(&["SluiceBackupFailed"]);
    std::fs::remove_file(&into).unwrap();
    app.clock.advance(HOUR);
    looks(&app, "the backup", || names(&into).len() == 1);
    assert_eq!(failures(), 2);
    let account = app.account("1");
    assert_eq!(app.balance(&account).available, 1_000_000_000, "the server goes on");
}

#[test]
fn the_newest_backup_whose_books_balance_is_never_pruned() {
    let app = served().start();
    let desk = Cli::beside(&app);
    let into = app.folder().join("kept");
    let good = back_up(&desk, &into);
    let old = folder::name(app.clock.now());
    let old = into.join(old);
    std::fs::rename(&good, &old).unwrap();
    for day in 1..=3 {
        let later = folder::name(app.clock.now().plus_millis(day * 24 * HOUR));
        let path = into.join(later);
        std::fs::create_dir(&path).unwrap();
        let mut manifest = Manifest::read(&old).unwrap();
        manifest.proof.balances = false;
        manifest.write(&path).unwrap();
        assert!(path.join(MANIFEST).exists());
    }
    let (deleted, oldest) = folder::prune(&into, 1).unwrap();
    assert_eq!((deleted, oldest.unwrap().path), (2, old.clone()));
    assert_eq!(names(&into).len(), 2);
    assert!(old.join("sluice.db").exists());
}

#[test]
fn a_journal_that_cannot_be_written_is_an_alert_and_its_events_wait() {
    let builder = served();
    let place = builder.folder.path().join("journal");
    std::fs::create_dir(&place).unwrap();
    let app = builder.set("backup.journal", format!("\"{}\"", place.display())).start();
    let watched = Watched::new(app.admin_address);
    let account = app.account("1");
    app.revoke(&account);
    looks(&app, "the alert", || app.metric("sluice_alerts_total{what=\"journal_failed\"}") == 1);
    watched.fires(&["SluiceJournalFailed"]);
    std::fs::remove_dir(&place).unwrap();
    looks(&app, "the journal", || std::fs::metadata(&place).is_ok_and(|file| file.len() > 0));
}
