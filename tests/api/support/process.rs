//! The real binary, as an operator runs it, and how foreign servers are run.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::app::Builder;
use super::database::TestDatabase;
use super::wait::eventually;

/// The program with nothing in its environment but what is given.
fn program(env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.env_clear().envs(env.iter().copied()).stdin(Stdio::null());
    command
}

/// The unprivileged user of Debian.
const NOBODY: u32 = 65_534;

/// Whether this process is root: its folder in `/proc` belongs to its user.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A foreign server, which root does not run as itself.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
    command
}

/// What that server has to read or write.
pub(crate) fn give_to_nobody(paths: &[&Path]) {
    for path in paths.iter().filter(|_| is_root()) {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// What a command printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str], env: &[(&str, &str)]) -> Ran {
    let Output { status, stdout, stderr } = program(env).args(args).output().unwrap();
    Ran {
        code: status.code().expect("no signal ends it"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// Runs a command that reads what a person types.
pub(crate) fn run_typed(args: &[&str], env: &[(&str, &str)], typed: &str) -> Ran {
    use std::io::Write as _;
    let mut command = program(env);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ran {
        code: status.code().expect("no signal ends it"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

impl Ran {
    /// The JSON that a command that succeeded has printed.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// `sluice serve`, started; it writes where it listens once it does.
fn launch(mut program: Command, config: &Path, folder: &Path, log: &Path) -> Child {
    let addresses = folder.join("addresses");
    drop(std::fs::remove_file(&addresses));
    program
        .args([Path::new("serve"), Path::new("--config"), config])
        .args([Path::new("--address-file"), &addresses])
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(log).unwrap())
        .spawn()
        .unwrap()
}

/// `sluice serve`, running.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    pub(crate) config: PathBuf,
    pub(crate) database: TestDatabase,
    pub(crate) folder: TempDir,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(builder: Builder, env: &[(&str, &str)]) -> Self {
        Self::spawn(builder, program(env))
    }

    /// A server that is told when a file may not grow further, instead of being ended by SIGXFSZ.
    pub(crate) fn start_limitable(builder: Builder) -> Self {
        let mut shell = Command::new("/bin/sh");
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        shell.env_clear().stdin(Stdio::null()).args(["-c", script, env!("CARGO_BIN_EXE_sluice")]);
        Self::spawn(builder, shell)
    }

    /// A server that would leave a core file in a folder, as far as its surroundings are concerned.
    pub(crate) fn start_dumping(builder: Builder, into: &Path) -> Self {
        let mut shell = Command::new("/bin/sh");
        let script = "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$0\" \"$@\"";
        shell.env_clear().stdin(Stdio::null()).current_dir(into);
        shell.args(["-c", script, env!("CARGO_BIN_EXE_sluice")]);
        Self::spawn(builder, shell)
    }

    fn spawn(mut builder: Builder, program: Command) -> Self {
        let file = builder.write();
        let (database, folder) = (builder.database.take().unwrap(), builder.folder);
        let log = folder.path().join("stderr.log");
        let child = launch(program, &file, folder.path(), &log);
        let nowhere: SocketAddr = ([0, 0, 0, 0], 0).into();
        let mut process = Self {
            address: nowhere,
            admin_address: nowhere,
            config: file,
            database,
            folder,
            child,
            log,
        };
        process.wait_to_listen();
        process
    }

    /// Ends it with SIGKILL, wherever it is, and starts it again on the same database.
    pub(crate) fn kill_and_restart(&mut self, env: &[(&str, &str)]) {
        self.kill_and_restart_after(env, || {});
    }

    /// The same with something done while it does not run.
    pub(crate) fn kill_and_restart_after(
        &mut self,
        env: &[(&str, &str)],
        meanwhile: impl FnOnce(),
    ) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        meanwhile();
        self.child = launch(program(env), &self.config, self.folder.path(), &self.log);
        self.wait_to_listen();
    }

    fn wait_to_listen(&mut self) {
        let addresses = self.folder.path().join("addresses");
        let text = eventually("the server to listen", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended: {status}\n{}", self.log());
            }
            std::fs::read_to_string(&addresses).ok()
        });
        let address = |name: &str| {
            let address = text.lines().find_map(|line| line.strip_prefix(name));
            address.expect("an address").parse().unwrap()
        };
        (self.address, self.admin_address) = (address("client="), address("admin="));
    }

    /// Everything that it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let status = eventually("the server to end", || self.child.try_wait().unwrap());
        status.code()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
