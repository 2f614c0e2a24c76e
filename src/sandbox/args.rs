//! The command line of `sluice sandbox`. Its help is the manual of the scenarios.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::SandboxSettings;
use super::script::{FLAGS, NUMBERS, SCENARIOS, WORDS};

/// An upstream emulator: answers the Messages API without a model, for demos, tests and benchmarks.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = manual())]
pub struct SandboxArgs {
    /// Address to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    pub listen: SocketAddr,

    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,

    /// Keep prompt caches in memory as upstream does: marked prefixes are written, read again
    /// within their lifetime, and reported so, unless a script says what to report.
    #[arg(long)]
    pub caches: bool,

    /// File that receives the bound address once the sandbox listens.
    #[arg(long, value_name = "PATH")]
    pub address_file: Option<PathBuf>,
}

impl SandboxArgs {
    /// Writes the bound address where a script waits for it. The file appears whole or not at all.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn announce(&self, address: SocketAddr) -> io::Result<()> {
        let Some(path) = &self.address_file else { return Ok(()) };
        let unfinished = path.with_added_extension("new");
        fs::write(&unfinished, format!("{address}\n"))?;
        fs::rename(&unfinished, path)
    }

    /// What [`super::start`] needs of these.
    #[must_use]
    pub fn settings(&self) -> SandboxSettings {
        SandboxSettings {
            listen: self.listen,
            workers: usize::from(self.workers),
            caches: self.caches,
            handle_signals: true,
        }
    }
}

const MANUAL_HEAD: &str = "\
Any non-empty key is accepted, in `x-api-key` or as a bearer token. Answers depend on the request
alone, unless --caches is given: the same request gives the same bytes, and a JSON answer holds what
its stream would. Four bytes of a prompt or an answer count as one token.

A request chooses its answer with a script, `scenario;key=value;flag`, in the first of these that
it has:
  the header            x-sandbox-scenario: thinking;events=50;pace_ms=20
  metadata.user_id      \"sandbox:thinking;events=50;pace_ms=20\" (passes any gateway)
  the model's suffix    \"claude-haiku-4-5+thinking;events=50;pace_ms=20\"
  the user's last text  \"sandbox:thinking;events=50\" as its first line (passes anything)

Events are counted from message_start, pings included. Of a JSON answer, cut_at, end_at and
silent_at let half the body through, and error_at refuses it with 529.

`count_tokens` takes the same scripts and answers input + cache_read + cache_5m + cache_1h, so
that a count and the answer agree. `max_tokens: 0` is answered with nothing, and warms the caches.
";

fn manual() -> String {
    [
        MANUAL_HEAD.to_owned(),
        section("Scenarios", &SCENARIOS.map(|(name, _, help)| row(name, help))),
        section("Numbers", &NUMBERS.map(|(name, _, _, help)| row(&format!("{name}=N"), help))),
        section("Words", &WORDS.map(|(name, help)| row(name, help))),
        section("Flags", &FLAGS.map(|(name, _, help)| row(name, help))),
    ]
    .join("\n")
}

fn row(name: &str, help: &str) -> String {
    format!("  {name:<21} {help}\n")
}

fn section<const N: usize>(title: &str, rows: &[String; N]) -> String {
    format!("{title}:\n{}", rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_option() {
        let manual = manual();
        for (name, ..) in NUMBERS {
            assert!(manual.contains(&format!("  {name}=N")), "{name}");
        }
        for title in ["Scenarios:", "Numbers:", "Words:", "Flags:"] {
            assert!(manual.contains(title), "{title}");
        }
    }
}
