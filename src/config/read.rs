//! From the merged tree to typed sections. A value that cannot be read is noted and set back to its
//! default, so that one pass finds every mistake.

mod chains;
mod section;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::section::nearest;
use super::chains::Chain;
use super::database::DatabaseSection;
use super::layers::Layers;
use super::mail::{Mail, MailSection};
use super::pricing::{ModelSection, PricingSection, price_list};
use super::problems::{ConfigErrors, KeyPath, KeyStep, Problems};
use super::reload::KeyHashes;
use super::upstream::{UpstreamEntry, UpstreamSettings};
use super::{
    Abuse, Accounts, BackupSettings, DatabaseSettings, Deposits, Limits, LoadPurpose, Log, Otlp,
    PricesOfFile, Privacy, Reconcile, Requests, ReservationSettings, Server, Settings,
    SiteSettings, Stream, Tools, show,
};
use crate::domain::price_list::PriceList;

/// Every top-level name that may stand in a file.
const SECTIONS: [&str; 21] = [
    "server",
    "database",
    "limits",
    "stream",
    "reservation",
    "tools",
    "requests",
    "upstreams",
    "deposits",
    "accounts",
    "abuse",
    "reconcile",
    "privacy",
    "backup",
    "mail",
    "chains",
    "site",
    "log",
    "otlp",
    "pricing",
    "models",
];

/// The settings, or everything that is wrong with them.
pub(super) fn settings(
    layers: &Layers,
    env: &[(String, String)],
    purpose: LoadPurpose,
) -> Result<Settings, ConfigErrors> {
    let mut reader = SettingsReader { layers, problems: Problems::default() };
    reader.refuse_unknown_sections();
    let sections = reader.sections(env, purpose);
    let prices = reader.prices();
    let upstreams = reader.upstreams(env, purpose, prices.as_ref());
    let chains = reader.chains(env, purpose);
    if let Some(sections) = &sections {
        let at = KeyPath::default().key("deposits");
        sections.deposits.check_with(&at, &chains, &mut reader.problems);
    }
    let mail = reader.mail(env, purpose);
    let problems = reader.problems;
    match (sections, mail, prices) {
        (Some(sections), Some(mail), Some(prices)) if problems.is_empty() => Ok(Settings {
            server: sections.server,
            database: sections.database,
            limits: sections.limits,
            stream: sections.stream,
            reservation: sections.reservation,
            tools: sections.tools,
            requests: sections.requests,
            upstreams,
            deposits: sections.deposits,
            accounts: sections.accounts,
            abuse: sections.abuse,
            reconcile: sections.reconcile,
            privacy: sections.privacy,
            backup: sections.backup,
            chains,
            mail,
            site: sections.site,
            log: sections.log,
            otlp: sections.otlp,
            prices: Arc::new(prices),
            shown: show::toml(&layers.tree),
            hashes: KeyHashes::of(&layers.tree),
        }),
        _ => Err(problems.into_errors(&layers.places)),
    }
}

/// The models of a file over those of the reference.
pub(super) fn prices_of_file(mut layers: Layers) -> Result<PricesOfFile, ConfigErrors> {
    let models = KeyPath::default().key("models");
    let below = |at: &KeyPath| match at.0.get(1) {
        Some(KeyStep::Key(id)) if at.starts_with(&models) => Some(id.clone()),
        _ => None,
    };
    let names = layers.places.lines.keys().filter_map(below).collect();
    // The rest of the file is nobody's business here.
    let pricing = layers.reference.get("pricing").cloned().unwrap_or_default();
    if let Some(own) = layers.tree.get_mut("pricing") {
        *own = pricing;
    }
    let mut reader = SettingsReader { layers: &layers, problems: Problems::default() };
    let list = reader.prices();
    let problems = reader.problems;
    match list {
        Some(list) if problems.is_empty() => Ok(PricesOfFile { list, names }),
        _ => Err(problems.into_errors(&layers.places)),
    }
}

/// The sections of fixed keys.
struct Sections {
    server: Server,
    database: DatabaseSettings,
    limits: Limits,
    stream: Stream,
    reservation: ReservationSettings,
    tools: Tools,
    requests: Requests,
    deposits: Deposits,
    accounts: Accounts,
    abuse: Abuse,
    reconcile: Reconcile,
    privacy: Privacy,
    backup: BackupSettings,
    site: SiteSettings,
    log: Log,
    otlp: Otlp,
}

struct SettingsReader<'a> {
    layers: &'a Layers,
    problems: Problems,
}

impl SettingsReader<'_> {
    fn refuse_unknown_sections(&mut self) {
        let Some(table) = self.layers.tree.as_object() else { return };
        for name in table.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            let hint = nearest(name, SECTIONS.into_iter());
            self.problems.add(&KeyPath::default().key(name), section::unknown_key(hint));
        }
    }

    /// Reads every section before any is missed, so that all mistakes are found.
    fn sections(&mut self, env: &[(String, String)], purpose: LoadPurpose) -> Option<Sections> {
        let (at, server) = self.section::<Server>("server");
        if let Some(server) = &server {
            server.check(&at, &mut self.problems);
        }
        let (at, stream) = self.section::<Stream>("stream");
        if let Some(stream) = &stream {
            stream.check(&at, &mut self.problems);
        }
        let (at, database) = self.section::<DatabaseSection>("database");
        let url = |tree: &Value| tree.pointer("/database/url").cloned();
        let is_default_url = url(&self.layers.tree) == url(&self.layers.reference);
        let database =
            database.and_then(|section| section.resolve(&at, is_default_url, &mut self.problems));
        let (at, limits) = self.section::<Limits>("limits");
        if let Some(limits) = &limits {
            limits.check(&at, &mut self.problems);
        }
        let (_, reservation) = self.section("reservation");
        let (_, tools) = self.section("tools");
        let (_, requests) = self.section("requests");
        let (at, deposits) = self.section::<Deposits>("deposits");
        if let Some(deposits) = &deposits {
            deposits.check(&at, &mut self.problems);
        }
        let (at, accounts) = self.section::<Accounts>("accounts");
        if let Some(accounts) = &accounts {
            accounts.check(&at, &mut self.problems);
        }
        let (_, abuse) = self.section("abuse");
        let (_, reconcile) = self.section("reconcile");
        let (at, mut privacy) = self.section::<Privacy>("privacy");
        if let (Some(privacy), Some(database)) = (&mut privacy, &database) {
            privacy.find_secret(&at, &database.url, (env, purpose), &mut self.problems);
        }
        let (at, mut backup) = self.section::<BackupSettings>("backup");
        if let (Some(backup), Some(database)) = (&mut backup, &database) {
            backup.resolve(&at, &database.url, &mut self.problems);
        }
        let (at, site) = self.section::<SiteSettings>("site");
        if let Some(site) = &site {
            site.check(&at, &mut self.problems);
        }
        let (_, log) = self.section("log");
        let (at, otlp) = self.section::<Otlp>("otlp");
        if let Some(otlp) = &otlp {
            otlp.check(&at, &mut self.problems);
        }
        Some(Sections {
            server: server?,
            database: database?,
            limits: limits?,
            stream: stream?,
            reservation: reservation?,
            tools: tools?,
            requests: requests?,
            deposits: deposits?,
            accounts: accounts?,
            abuse: abuse?,
            reconcile: reconcile?,
            privacy: privacy?,
            backup: backup?,
            site: site?,
            log: log?,
            otlp: otlp?,
        })
    }

    fn prices(&mut self) -> Option<PriceList> {
        let (_, pricing) = self.section::<PricingSection>("pricing");
        let root = KeyPath::default().key("models");
        let reference = self.layers.reference.get("models");
        let mut models = Vec::new();
        let Some(tables) = self.layers.tree.get("models").and_then(Value::as_object) else {
            self.problems.add(&root, "must be a table of models");
            return None;
        };
        for (id, table) in tables {
            let at = root.key(id);
            let reference = reference.and_then(|models| models.get(id));
            let read =
                section::read::<ModelSection>(table.clone(), &at, reference, &mut self.problems);
            if let Some(model) = read {
                model.check(&at, &mut self.problems);
                models.push((id.clone(), model));
            }
        }
        let is_complete = models.len() == tables.len();
        let list = price_list(&pricing?, models, &mut self.problems);
        if is_complete { list } else { None }
    }

    fn upstreams(
        &mut self,
        env: &[(String, String)],
        purpose: LoadPurpose,
        prices: Option<&PriceList>,
    ) -> Vec<UpstreamSettings> {
        let root = KeyPath::default().key("upstreams");
        let entries = match self.layers.tree.get("upstreams") {
            None => &[],
            Some(Value::Array(entries)) => entries.as_slice(),
            Some(_) => {
                self.problems.add(&root, "must be an array of tables: write [[upstreams]]");
                return Vec::new();
            }
        };
        if entries.is_empty() && purpose == LoadPurpose::Serve {
            self.problems
                .add(&root, "is missing: requests need at least one [[upstreams]] to go to");
        }
        let mut upstreams = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for (position, entry) in entries.iter().enumerate() {
            let at = root.index(position);
            let table = entry.clone();
            let read = section::read_table::<UpstreamEntry>(table, &at, None, &mut self.problems);
            let Some(section::ReadTable { entry: upstream, .. }) = read else { continue };
            upstream.check(&at, prices, &mut self.problems);
            let is_named = entry.get("name").is_some();
            let first = is_named.then(|| names.insert(upstream.name().to_owned(), position));
            if let Some(first) = first.flatten() {
                let reason = format!("\"{}\" already names upstreams[{first}]", upstream.name());
                self.problems.add(&at.key("name"), reason);
            }
            if purpose == LoadPurpose::Serve {
                upstreams.extend(upstream.resolve(&at, env, &mut self.problems));
            }
        }
        upstreams
    }

    fn chains(&mut self, env: &[(String, String)], purpose: LoadPurpose) -> Vec<Chain> {
        let tree = &self.layers.tree;
        let has_xpub = tree.pointer("/deposits/account_xpub").is_some();
        let context = chains::Context { env, purpose, has_xpub };
        chains::chains(tree, &context, &mut self.problems)
    }

    fn mail(&mut self, env: &[(String, String)], purpose: LoadPurpose) -> Option<Mail> {
        let (at, mail) = self.section::<MailSection>("mail");
        mail?.resolve(&at, env, purpose, &mut self.problems)
    }

    fn section<T: DeserializeOwned>(&mut self, name: &str) -> (KeyPath, Option<T>) {
        let at = KeyPath::default().key(name);
        let value = self.layers.tree.get(name).cloned().unwrap_or_default();
        let read = section::read(value, &at, self.layers.reference.get(name), &mut self.problems);
        (at, read)
    }
}
