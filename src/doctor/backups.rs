//! The age of the newest backup: folders `sluice-YYYYMMDDTHHMMSSZ` with a `manifest.json`, which a
//! backup that is complete has.

use std::path::Path;
use std::time::Duration;

use super::Check;
use crate::backups::folder;
use crate::domain::clock::{Clock, UnixMillis};

/// At least a day: backups may be made by hand.
const EVERY_MIN: Duration = Duration::from_hours(24);

/// One is due `every` so often; one more of these spans is for one that failed.
pub(super) async fn examine(
    directory: Option<&Path>,
    every: Duration,
    clock: &Clock,
) -> Vec<Check> {
    let Some(directory) = directory.map(Path::to_owned) else { return Vec::new() };
    let now = clock.now();
    super::aside("backups", move || vec![newest(&directory, every.max(EVERY_MIN) * 2, now)]).await
}

fn newest(directory: &Path, age_max: Duration, now: UnixMillis) -> Check {
    let (name, shown) = ("backups", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let found = format!("the folder {shown} cannot be read: {error}");
            return Check::fail(name, found, "create it, and let this user read it");
        }
    };
    let complete = entries.filter_map(Result::ok).filter(|entry| {
        let manifest = std::fs::read_to_string(entry.path().join("manifest.json"));
        manifest.is_ok_and(|text| serde_json::from_str::<serde_json::Value>(&text).is_ok())
    });
    let times = complete.filter_map(|entry| folder::moment(entry.file_name().to_str()?));
    let times = times.filter(|at| *at <= now);
    let mend = "look for the reason in the log, and make one now: `sluice backup`";
    let Some(last) = times.max() else {
        return Check::fail(name, format!("there is no complete backup in {shown}"), mend);
    };
    let hours = now.millis_since(last) / 3_600_000;
    let found = format!("the newest backup in {shown} is {hours} hours old");
    if last.plus(age_max) < now { Check::fail(name, found, mend) } else { Check::ok(name, found) }
}
