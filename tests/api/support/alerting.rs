//! The alert rules of `packaging`, held against what a real server shows at `/metrics`: once before
//! the cause of an alert and once behind it. `promtool` makes Prometheus' own rules of the two.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::{Connection, Request};

/// Scrapes are this far apart.
const INTERVAL_SECS: usize = 30;
/// Scrapes before the cause and behind it: no rule waits longer than a quarter of an hour, and each
/// that asks for a rise asks for one within half an hour or more.
const BEFORE: usize = 20;
const BEHIND: usize = 33;

/// The series of a scrape that rules ask for, with their values.
type Scrape = BTreeMap<String, String>;

/// A server that was scraped before something happened to it.
pub(crate) struct Watched {
    address: SocketAddr,
    before: Scrape,
}

/// The rules' file.
pub(crate) fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus/sluice.rules.yml")
}

/// Runs `promtool`; what it printed, if it was content.
pub(crate) fn promtool(args: &[&str]) -> Result<String, String> {
    let ran = Command::new("promtool").args(args).env_clear().env("PATH", "/usr/bin:/bin").output();
    let ran = ran.expect("there is no promtool: `scripts/test` installs Debian's prometheus");
    let said =
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.success() { Ok(said) } else { Err(said) }
}

impl Watched {
    /// What the operator's listener at `address` shows now.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, before: scrape(address) }
    }

    /// The same server as it was before it ran: what is told from its start on is new.
    pub(crate) fn before_the_start(address: SocketAddr) -> Self {
        let up = ("up{instance=\"one\",job=\"sluice\"}".to_owned(), "1".to_owned());
        Self { address, before: Scrape::from([up]) }
    }

    /// Asserts that these alerts fire once this has gone on for a while, that no other does, and
    /// that none of them did before.
    pub(crate) fn fires(&self, alerts: &[&str]) {
        self.fires_beside(alerts, &[]);
    }

    /// The same where these others may fire as well.
    pub(crate) fn fires_beside(&self, alerts: &[&str], others: &[&str]) {
        self.judge(&scrape(self.address), alerts, others);
    }

    /// The same of a server that cannot be scraped any more.
    pub(crate) fn fires_without_it(&self, alerts: &[&str]) {
        let gone = scrape(self.address);
        assert_eq!(gone.len(), 1, "it answers");
        self.judge(&gone, alerts, &[]);
    }

    fn judge(&self, behind: &Scrape, alerts: &[&str], others: &[&str]) {
        let mut test = format!(
            "rule_files: ['{}']\nevaluation_interval: {INTERVAL_SECS}s\ntests:\n\
             - interval: {INTERVAL_SECS}s\n  input_series:\n",
            rules().display()
        );
        let names: std::collections::BTreeSet<_> =
            self.before.keys().chain(behind.keys()).collect();
        for name in names {
            let values = |scrape: &Scrape, count: usize| match scrape.get(name) {
                Some(value) => format!("{value}x{}", count - 1),
                None => format!("_x{count}"),
            };
            let (first, second) = (values(&self.before, BEFORE), values(behind, BEHIND));
            let name = name.replace('\'', "''");
            writeln!(test, "  - series: '{name}'\n    values: '{first} {second}'").unwrap();
        }
        test += "  promql_expr_test:\n";
        let (wanted, known) = (alerts.join("|"), [alerts, others].concat().join("|"));
        let mut expect = |scrape: usize, matcher: &str, count: usize| {
            let (secs, alerts) = (scrape * INTERVAL_SECS, "count(count by (alertname) (ALERTS{");
            writeln!(
                test,
                "  - expr: '{alerts}alertstate=\"firing\",{matcher}}})) or vector(0)'\n    \
                 eval_time: {secs}s\n    exp_samples: [{{ labels: '{{}}', value: {count} }}]"
            )
            .unwrap();
        };
        expect(BEFORE - 1, &format!("alertname=~\"{wanted}\""), 0);
        expect(BEFORE + BEHIND - 1, &format!("alertname=~\"{wanted}\""), alerts.len());
        expect(BEFORE + BEHIND - 1, &format!("alertname!~\"{known}\""), 0);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alert.yml");
        std::fs::write(&file, &test).unwrap();
        if let Err(said) = promtool(&["test", "rules", file.to_str().unwrap()]) {
            panic!("{alerts:?}: {said}\n{test}");
        }
    }
}

/// The series at an address, as Prometheus takes them: with the name of the instance, and `up`.
fn scrape(address: SocketAddr) -> Scrape {
    let asked = std::net::TcpStream::connect(address).map(|_| {
        let request = Request::get("/metrics").header("connection", "close");
        Connection::open(address).ask(&request).finish().text()
    });
    let rules = std::fs::read_to_string(rules()).unwrap();
    let text = asked.as_deref().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.to_owned())
    });
    let used = lines.filter(|(series, _)| rules.contains(series.split('{').next().unwrap()));
    let up = ("up{job=\"sluice\"}".to_owned(), usize::from(asked.is_ok()).to_string());
    used.chain([up])
        .map(|(series, value)| {
            let (name, labels) = series.split_once('{').unwrap_or((&series, "}"));
            let comma = if labels == "}" { "" } else { "," };
            (format!("{name}{{instance=\"one\"{comma}{labels}"), value)
        })
        .collect()
}
