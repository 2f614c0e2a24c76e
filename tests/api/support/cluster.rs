//! A PostgreSQL of one test's own, so that it can be stopped and started again.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;

use super::process::{give_to_nobody, unprivileged};

/// A throwaway cluster on the loopback; stopped and gone with the test.
pub(crate) struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
    password: String,
}

impl Cluster {
    /// Makes and starts one with the newest PostgreSQL that Debian has here.
    pub(crate) fn start() -> Self {
        let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed where tests run on it")
            .map(|version| version.unwrap().path())
            .collect();
        versions
            .sort_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u32>().ok());
        let bin = versions.pop().expect("a version of PostgreSQL").join("bin");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let password = sluice::domain::ids::public_id("").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, &password).unwrap();
        give_to_nobody(&[folder.path(), &password_file]);
        let cluster = Self { folder, bin, port, password };
        let data = cluster.path("data");
        let login = format!("--pwfile={}", cluster.path("password"));
        cluster.run(
            "initdb",
            &["--pgdata", &data, "--username=sluice", &login, "--auth=scram-sha-256"],
        );
        cluster.resume();
        cluster
    }

    /// The administrator's address.
    pub(crate) fn admin_url(&self) -> String {
        let Self { password, port, .. } = self;
        format!("postgres://sluice:{password}@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// Everything that it has on the disk.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops it as `pg_ctl` does in that mode: "fast" breaks sessions off, "immediate" crashes.
    pub(crate) fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["stop", "--wait", "--mode", mode, "--pgdata", &self.path("data")]);
    }

    /// Starts it again, and waits until it takes sessions.
    pub(crate) fn resume(&self) {
        let (data, log) = (self.path("data"), self.path("log"));
        let options = format!(
            "-c listen_addresses=127.0.0.1 -p {} -k {}",
            self.port,
            self.folder.path().display()
        );
        let args = ["start", "--wait", "--pgdata", &data, "--log", &log, "--options", &options];
        self.run("pg_ctl", &args);
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, program: &str, args: &[&str]) {
        assert!(self.try_run(program, args), "{program} {args:?}");
    }

    fn try_run(&self, program: &str, args: &[&str]) -> bool {
        let program = self.bin.join(program);
        let mut command = unprivileged(&program);
        // The server inherits the streams, so nobody may wait for their end.
        command.args(args).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.path("data");
        self.try_run("pg_ctl", &["stop", "--wait", "--mode", "immediate", "--pgdata", &data]);
    }
}
