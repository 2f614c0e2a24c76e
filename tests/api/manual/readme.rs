//! Every command of the README is run, on addresses of the test's own. What is run elsewhere is
//! looked for there.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::wait::eventually;

/// Commands that take minutes, the script that runs each, and the line that does.
const ELSEWHERE: [(&str, &str, &str); 4] = [
    ("scripts/demo", "scripts/test", "part_demo() { scripts/demo --once; }"),
    ("scripts/test", ".ci/run", "/../scripts/test\""),
    ("scripts/release", "scripts/soak", "part_release() { scripts/release --twice; }"),
    (
        "cargo build --release",
        "scripts/lib.sh",
        "cargo build --locked --profile \"$profile\" \"$1\" \"$2\"",
    ),
];

/// Addresses that the README names because they are the defaults.
const SANDBOX: &str = "127.0.0.1:8788";
const GATEWAY: &str = "127.0.0.1:8080";

/// What starts a server in the background, and what stops both.
const BACKGROUND: &str = " &";
const STOP: &str = "kill %1 %2";

#[test]
fn every_command_of_the_readme_does_what_it_is_there_for() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> =
        blocks("sh").concat().lines().map(without_comment).map(str::to_owned).collect();
    let (settings, others) = settings();
    let mut reader = Reader { folder: folder.path(), gateway: String::new() };

    let mut servers = lines.iter().filter_map(|line| line.strip_suffix(BACKGROUND));
    let (sandbox, serve) = (servers.next().unwrap(), servers.next().unwrap());
    assert_eq!(servers.next(), None);
    let (mut sandbox, address) = reader.start(sandbox, "--listen 127.0.0.1:0");
    fs::write(folder.path().join("sluice.toml"), settings.replace(SANDBOX, &address)).unwrap();
    let begin = lines.iter().position(|line| line == &format!("{serve}{BACKGROUND}")).unwrap();
    let before = reader.run(&in_the_foreground(&lines[..begin]));
    let (mut gateway, addresses) = reader.start(serve, "");
    let address = addresses.lines().find_map(|line| line.strip_prefix("client="));
    reader.gateway = address.expect("where clients connect").to_owned();

    // In one shell, as whoever reads has one.
    let said = before + &reader.run(&in_the_foreground(&lines[begin..]));
    for words in ["sluice.toml: OK", "event: message_stop", "claude-haiku-4-5", "the books balance"]
    {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
    for other in others {
        fs::write(folder.path().join("other.toml"), other).unwrap();
        reader.run("ANTHROPIC_API_KEY=x sluice config check other.toml");
    }
    assert!(lines.iter().any(|line| line == STOP), "nothing stops what was started");
    gateway.stop();
    sandbox.stop();
}

#[test]
fn commands_of_the_readme_that_take_minutes_are_run_by_scripts() {
    let blocks = blocks("sh").concat();
    for (command, script, line) in ELSEWHERE {
        assert!(blocks.lines().any(|line| without_comment(line) == command), "{command}");
        assert!(read(script).contains(line), "{script} does not run {command}");
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What is in fences of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in read("README.md").lines() {
        if line.starts_with("```") {
            is_inside = line == format!("```{language}");
            if is_inside {
                blocks.push(String::new());
            }
        } else if is_inside && let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// The settings to try things with, and what may stand in their place.
fn settings() -> (String, Vec<String>) {
    let mut blocks = blocks("toml");
    let others = blocks.split_off(1);
    assert_eq!(others.len(), 1, "the sandbox, and Anthropic's API");
    (blocks.remove(0), others)
}

fn without_comment(line: &str) -> &str {
    line.split("  #").next().unwrap().trim_end()
}

/// What is run one after the other, as one script.
fn in_the_foreground(lines: &[String]) -> String {
    let is_left = |line: &&String| {
        !line.ends_with(BACKGROUND) && line.as_str() != STOP && !is_elsewhere(line)
    };
    lines.iter().filter(is_left).map(String::as_str).collect::<Vec<_>>().join("\n")
}

fn is_elsewhere(line: &str) -> bool {
    ELSEWHERE.iter().any(|(command, ..)| line == *command)
}

/// Whoever follows the README.
struct Reader<'a> {
    folder: &'a Path,
    gateway: String,
}

/// A server that goes with the test.
struct Server(Child);

impl Server {
    fn stop(&mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        let status = eventually("the server to end", || self.0.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Reader<'_> {
    fn shell(&self, script: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_sluice"));
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().unwrap().display());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(self.folder).env_clear();
        shell.env("PATH", path).stdin(Stdio::null());
        shell
    }

    /// Starts a server with words of the test's own; what it writes into its file of addresses.
    fn start(&self, line: &str, words: &str) -> (Server, String) {
        let name = line.rsplit(' ').next().unwrap();
        let (address, log) = (self.folder.join(format!("{name}.address")), self.folder.join(name));
        let script = format!("exec {line} {words} --address-file {}", address.display());
        let mut shell = self.shell(&script);
        shell.env("SLUICE__SERVER__LISTEN", "127.0.0.1:0");
        shell.env("SLUICE__SERVER__ADMIN_LISTEN", "127.0.0.1:0");
        shell.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut server = Server(shell.spawn().unwrap());
        let found = eventually(line, || {
            let ended = server.0.try_wait().unwrap();
            assert!(ended.is_none(), "{line}: {}", fs::read_to_string(&log).unwrap());
            fs::read_to_string(&address).ok()
        });
        (server, found.trim().to_owned())
    }

    fn run(&self, script: &str) -> String {
        let script = script.replace(GATEWAY, &self.gateway);
        let ran = self.shell(&script).output().unwrap();
        let said = [&ran.stdout[..], &ran.stderr].map(String::from_utf8_lossy).concat();
        assert!(ran.status.success(), "{script}\n{said}");
        said
    }
}
