//! A collector of traces (`tests/otlp/collector.py`), which reads what arrives by OpenTelemetry's
//! own messages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::wait::eventually;

/// See the module. It is gone with the test.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    child: Child,
}

/// The Python that has the messages: where `scripts/test api` says, or where it has put it before.
#[expect(clippy::disallowed_methods, reason = "the one word that the caller of the tests has")]
fn python() -> PathBuf {
    let given = std::env::var_os("OTLP_PYTHON").filter(|path| !path.is_empty());
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/otlp/bin/python");
    let path = given.map_or(installed, PathBuf::from);
    assert!(path.exists(), "there is no opentelemetry-proto: `scripts/test api` installs it");
    path
}

impl Collector {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp/collector.py");
        let child = Command::new(python())
            .arg(script)
            .args(["journal", "address"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut collector = Self { address: ([0, 0, 0, 0], 0).into(), folder, child };
        collector.address = eventually("the collector to listen", || {
            if let Some(status) = collector.child.try_wait().unwrap() {
                panic!("it ended: {status}");
            }
            std::fs::read_to_string(collector.folder.path().join("address")).ok()?.parse().ok()
        });
        collector
    }

    /// Every request that it has read so far.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("journal")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Value> {
        let journal = self.journal().into_iter();
        journal.flat_map(|request| request["spans"].as_array().unwrap().clone()).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
