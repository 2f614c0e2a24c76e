//! Backups and journals that are not as they were written, disks that are full, and processes that
//! are killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sluice::backups::folder;
use sluice::backups::journal::{Journal, JournalError};
use sluice::db::models::journal as rows;
use sluice::domain::clock::UnixMillis;
use sluice::domain::ids::AccountId;
use sluice::domain::journal_event::JournalEvent;
use tempfile::TempDir;

use crate::support::app::open_account;
use crate::support::database::TestDatabase;
use crate::support::desk::Cli;
use crate::support::wait::eventually;

const NOW: UnixMillis = UnixMillis::from_millis(1_795_348_800_000);

/// A database with an account, and a backup of it.
struct Kept {
    folder: TempDir,
    database: TestDatabase,
    desk: Cli,
    backup: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::sqlite(folder.path());
        let mut conn = database.connect();
        sluice::db::migrate::run_pending(&mut conn).unwrap();
        open_account(&mut conn, "5");
        let desk = Cli::at_database(&database.url);
        let backup = super::back_up(&desk, &folder.path().join("backups"));
        Self { folder, database, desk, backup }
    }

    /// A restore to another path, which must fail and leave nothing there.
    fn refused(&self) -> String {
        let to = self.folder.path().join("restored.db");
        let words = ["restore", self.backup.to_str().unwrap(), "--to", to.to_str().unwrap()];
        let refusal = self.desk.refused(&words);
        assert!(!to.exists() && !self.folder.path().join("restored.db.restoring").exists());
        refusal
    }

    /// The journal of the database, and its file.
    fn journal(&self) -> (Journal, PathBuf) {
        let path = self.folder.path().join("sluice.db.journal");
        (Journal::at(&path), path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.backup.join(name)
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_backup_is_private_and_says_what_it_holds() {
    let kept = Kept::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kept.backup), 0o700);
    let mut names: Vec<String> = fs::read_dir(&kept.backup)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["manifest.json", "sluice.db"]);
    for name in &names {
        assert_eq!(mode(&kept.file(name)), 0o600, "{name}");
    }
    let text = fs::read_to_string(kept.file("manifest.json")).unwrap();
    assert!(!text.contains('@'), "{text}");
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["proof"]["accounts"], 1);
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    // The secret goes into another folder, on request alone.
    let secret = kept.folder.path().join("sluice.db.secret");
    fs::write(&secret, "s".repeat(64)).unwrap();
    let (into, apart) = (kept.folder.path().join("more"), kept.folder.path().join("secrets"));
    let (into, apart) = (into.to_str().unwrap(), apart.to_str().unwrap());
    let beside = kept.desk.refused(&["backup", into, "--secret-dir", into]);
    assert!(beside.contains("must not lie beside the backups"), "{beside}");
    // Backups are named by the second.
    let second = eventually("another second", || {
        let ran = kept.desk.run(&["backup", into, "--secret-dir", apart, "--json"]);
        (ran.code == 0).then(|| ran.json())
    });
    let copy = PathBuf::from(second["secret"].as_str().unwrap());
    assert_eq!((mode(&copy), fs::read_to_string(&copy).unwrap()), (0o600, "s".repeat(64)));
}

#[test]
fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let kept = Kept::new();
    let copy = kept.file("sluice.db");
    let good = fs::read(&copy).unwrap();
    flip(&copy, good.len() / 2);
    let refusal = kept.refused();
    assert!(refusal.contains("sluice.db has another SHA-256"), "{refusal}");
    fs::write(&copy, &good[..good.len() - 1]).unwrap();
    let refusal = kept.refused();
    assert!(refusal.contains(&format!("has {} bytes instead of", good.len() - 1)), "{refusal}");
    fs::remove_file(&copy).unwrap();
    assert!(kept.refused().contains("sluice.db is missing"));
    fs::write(&copy, &good).unwrap();
    let manifest = kept.file("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"accounts\": 1", "\"accounts\": 2")).unwrap();
    let refusal = kept.refused();
    assert!(refusal.contains("manifest.json does not match its own checksum"), "{refusal}");
    fs::write(&manifest, text.split_at(text.len() / 2).0).unwrap();
    assert!(kept.refused().contains("manifest.json cannot be read"));
    fs::remove_file(&manifest).unwrap();
    assert!(kept.refused().contains("is missing, so the backup is incomplete"));
}

#[test]
fn a_backup_of_a_later_version_is_refused() {
    let kept = Kept::new();
    let copy = kept.file("sluice.db");
    let mut conn = super::connect(&copy);
    diesel::connection::SimpleConnection::batch_execute(
        &mut conn,
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')",
    )
    .unwrap();
    drop(conn);
    // As that version would have written it down.
    let manifest = sluice::backups::manifest::Manifest::read(&kept.backup).unwrap();
    fs::remove_file(kept.file("manifest.json")).unwrap();
    let entry = sluice::backups::manifest::FileEntry::of(&kept.backup, "sluice.db").unwrap();
    let version = "99.0.0".to_owned();
    let later = sluice::backups::manifest::Manifest { files: vec![entry], version, ..manifest };
    later.write(&kept.backup).unwrap();
    let refusal = kept.refused();
    assert!(refusal.contains("made by version 99.0.0"), "{refusal}");
    assert!(refusal.contains("29990101000000"), "{refusal}");
}

fn erased(account: i64) -> JournalEvent {
    JournalEvent::AccountErased { account: AccountId(account) }
}

#[test]
fn a_torn_last_line_is_left_out_and_a_damaged_one_is_refused_by_its_number() {
    let kept = Kept::new();
    let mut conn = kept.database.connect();
    let (journal, path) = kept.journal();
    let add = |conn: &mut _, account| {
        rows::note(conn, &erased(account)).unwrap();
        journal.drain(conn, NOW).unwrap()
    };
    for account in 91..=94 {
        assert_eq!(add(&mut conn, account), 1);
    }
    let good = fs::read(&path).unwrap();
    // A process ended while it wrote.
    fs::write(&path, [&good[..], b"0123abcd 5 17953"].concat()).unwrap();
    let content = journal.read().unwrap();
    assert!(content.is_torn && content.last() == 4, "{content:?}");
    let to = kept.folder.path().join("drill.db");
    let words = ["restore", kept.backup.to_str().unwrap(), "--to", to.to_str().unwrap()];
    let said = kept.desk.json(&words);
    assert_eq!((&said["journal_torn"], &said["events"]), (&true.into(), &4.into()), "{said}");
    // The next one takes its place.
    add(&mut conn, 95);
    let content = journal.read().unwrap();
    assert!(!content.is_torn && content.last() == 5, "{content:?}");

    let lines = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    fs::write(&path, lines.replace("93}", "39}")).unwrap();
    let refusal = kept.refused();
    assert!(refusal.contains("line 4 does not match its checksum"), "{refusal}");
    let without: Vec<&str> = lines.lines().filter(|line| !line.contains("93}")).collect();
    fs::write(&path, without.join("\n") + "\n").unwrap();
    assert!(kept.refused().contains("line 4 is event 4, where 3 should be"));
    fs::write(&path, "something else\n").unwrap();
    assert!(kept.refused().contains("is not a journal"));
    fs::remove_file(&path).unwrap();
    let refusal = kept.refused();
    assert!(refusal.contains("is missing") && refusal.contains("--without-journal"), "{refusal}");
    let bare = kept.folder.path().join("bare.db");
    let words = ["restore", kept.backup.to_str().unwrap(), "--to", bare.to_str().unwrap()];
    assert_eq!(kept.desk.json(&[&words[..], &["--without-journal"]].concat())["events"], 0);
}

#[test]
fn what_a_crash_came_between_is_written_once() {
    let kept = Kept::new();
    let mut conn = kept.database.connect();
    let (journal, _) = kept.journal();
    rows::note(&mut conn, &erased(91)).unwrap();
    let before = rows::pending(&mut conn).unwrap();
    journal.drain(&mut conn, NOW).unwrap();
    // The line was written, but the row is still there.
    let (id, event) = &before[0];
    let again = format!("INSERT INTO journal_events VALUES ({id}, '{event}')");
    diesel::connection::SimpleConnection::batch_execute(&mut conn, &again).unwrap();
    rows::note(&mut conn, &erased(92)).unwrap();
    assert_eq!(journal.drain(&mut conn, NOW).unwrap(), 1);
    // A database that was put back by hand counts from where it stood.
    let back = "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'journal_events'";
    diesel::connection::SimpleConnection::batch_execute(&mut conn, back).unwrap();
    rows::note(&mut conn, &erased(93)).unwrap();
    assert_eq!(journal.drain(&mut conn, NOW).unwrap(), 1);
    rows::note(&mut conn, &erased(94)).unwrap();
    assert_eq!(journal.drain(&mut conn, NOW).unwrap(), 1);
    let content = journal.read().unwrap();
    let accounts: Vec<i64> =
        content.lines.iter().map(|line| line.event.account().unwrap().0).collect();
    assert_eq!(accounts, [91, 92, 93, 94]);
    // What no backup needs goes, but for the last line.
    let later = UnixMillis::from_millis(NOW.as_millis() + 1);
    assert_eq!(journal.prune(2, NOW).unwrap(), 0, "too young");
    assert_eq!(journal.prune(2, later).unwrap(), 2);
    assert!(matches!(journal.after(1), Err(JournalError::TooLate { first: 3, wanted: 1, .. })));
    assert_eq!(journal.after(2).unwrap().lines.len(), 2);
    assert_eq!(journal.prune(9, later).unwrap(), 1);
    assert_eq!(journal.read().unwrap().last(), 4);
}

/// The command with a limit on the size of files, as a full disk has one.
fn limited(kept: &Kept, blocks: u32, into: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    shell.env_clear().stdin(Stdio::null()).args(["-c", &script, env!("CARGO_BIN_EXE_sluice")]);
    shell.args(["backup", into.to_str().unwrap(), "--config", kept.desk.file.to_str().unwrap()]);
    shell
}

#[test]
fn a_full_disk_leaves_nothing_of_a_backup() {
    let kept = Kept::new();
    let into = kept.folder.path().join("full");
    let ran = limited(&kept, 200, &into).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written; nothing of it was kept"), "{said}");
    let left: Vec<_> = fs::read_dir(&into).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, [".sluice-backup.lock"], "{said}");
    super::back_up(&kept.desk, &into);
}

#[test]
fn what_a_killed_backup_has_left_goes_with_the_next_one() {
    let kept = Kept::new();
    let mut conn = kept.database.connect();
    let many = "CREATE TABLE bulk (text TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT \
                i + 1 FROM n WHERE i < 60000) INSERT INTO bulk SELECT hex(randomblob(400)) FROM n";
    diesel::connection::SimpleConnection::batch_execute(&mut conn, many).unwrap();
    let into = kept.folder.path().join("killed");
    let mut child = limited(&kept, 10_000_000, &into).stderr(Stdio::null()).spawn().unwrap();
    let partial = eventually("a copy that grows", || {
        let entries = fs::read_dir(&into).ok()?;
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let name = names.find(|name| name.ends_with(".partial"))?;
        let length = fs::metadata(into.join(&name).join("sluice.db")).map_or(0, |file| file.len());
        (length > 0).then_some(name)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(into.join(&partial).exists(), "it ended too soon");
    assert!(folder::complete(&into).unwrap().is_empty());
    super::back_up(&kept.desk, &into);
    assert!(!into.join(&partial).exists());
    assert_eq!(folder::complete(&into).unwrap().len(), 1);
}

#[test]
fn a_journal_that_has_gone_or_ends_too_early_is_never_taken_for_an_empty_one() {
    let kept = Kept::new();
    let mut conn = kept.database.connect();
    let (journal, path) = kept.journal();
    let add = |conn: &mut _, account| {
        rows::note(conn, &erased(account)).unwrap();
        journal.drain(conn, NOW)
    };
    for account in 91..=93 {
        add(&mut conn, account).unwrap();
    }
    let later = super::back_up(&kept.desk, &kept.folder.path().join("later"));
    let in_place = ["restore", later.to_str().unwrap(), "--force"];
    let whole = fs::read_to_string(&path).unwrap();
    // Its disk is away: no server and no command begins another in its place.
    fs::remove_file(&path).unwrap();
    assert!(matches!(add(&mut conn, 94), Err(JournalError::Missing(_))));
    assert!(!path.exists());
    let refusal = kept.desk.refused(&in_place);
    assert!(refusal.contains("is missing") && !path.exists(), "{refusal}");
    // An old copy of it, and one that was begun anew.
    let old: String = whole.split_inclusive('\n').take(2).collect();
    for text in [old.as_str(), ""] {
        fs::write(&path, text).unwrap();
        let drill = kept.folder.path().join("drill.db");
        let words = ["restore", later.to_str().unwrap(), "--to", drill.to_str().unwrap()];
        let refusal = kept.desk.refused(&words);
        assert!(refusal.contains("ends with event"), "{refusal}");
    }
    // A small file that is something else stays as it is.
    fs::write(&path, "a-credential").unwrap();
    assert!(matches!(add(&mut conn, 95), Err(JournalError::NotOne(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a-credential");
    // What waited meanwhile is written behind the rest.
    fs::write(&path, &whole).unwrap();
    assert_eq!(journal.drain(&mut conn, NOW).unwrap(), 2);
    assert_eq!(journal.read().unwrap().last(), 5);
}

#[test]
fn what_was_not_done_again_is_not_done_by_a_later_restore_either() {
    let kept = Kept::new();
    let mut conn = kept.database.connect();
    let (journal, _) = kept.journal();
    rows::note(&mut conn, &erased(91)).unwrap();
    journal.drain(&mut conn, NOW).unwrap();
    drop(conn);
    let words = ["restore", kept.backup.to_str().unwrap(), "--force", "--without-journal"];
    assert_eq!(kept.desk.json(&words)["events"], 0);
    let later = super::back_up(&kept.desk, &kept.folder.path().join("later"));
    let said = kept.desk.json(&["restore", later.to_str().unwrap(), "--force"]);
    assert_eq!(said["events"], 0, "{said}");
    // And no account has the number of the one that was erased.
    let account = open_account(&mut kept.database.connect(), "1");
    assert!(account.id.0 > 91, "{}", account.id.0);
}
