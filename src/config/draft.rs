//! A settings file to begin with: answers in, a commented text out. What an answer may be is not
//! decided here: the text is read and checked like any other file.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::examples::{self, chain_names};
use super::{is_loopback_host, show};
use crate::domain::clock::UtcDay;

/// What the operator answers. Whatever is left out keeps its default.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Draft {
    /// Domain of the service, such as llm.example.org; https is assumed. A whole address is taken
    /// as it is. Without it, only this host is served.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Where users write with questions.
    #[arg(long, value_name = "ADDRESS")]
    pub support_email: Option<String>,
    /// Who runs the service, for the privacy policy and the terms.
    #[arg(long, value_name = "NAME")]
    pub operator: Option<String>,
    /// Whose law the terms are under, such as "the law of Exampleland".
    #[arg(long, value_name = "LAW")]
    pub jurisdiction: Option<String>,
    /// Certificate with its chain, PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "behind_proxy")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A proxy on this host speaks TLS.
    #[arg(long)]
    pub behind_proxy: bool,
    /// Address and port for clients. Default: all addresses, port 443, with a certificate;
    /// otherwise 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Mail server, as HOST or HOST:PORT. Without it, emails are written into a folder.
    #[arg(long, value_name = "HOST")]
    pub mail_server: Option<String>,
    /// Sender of emails, such as "Sluice <mail@example.org>".
    #[arg(long, value_name = "ADDRESS")]
    pub mail_from: Option<String>,
    /// How the connection to the mail server is protected: starttls, tls or none.
    #[arg(long, value_name = "HOW")]
    pub mail_tls: Option<String>,
    /// User name at the mail server.
    #[arg(long, value_name = "NAME")]
    pub mail_user: Option<String>,
    /// File with the password at the mail server.
    #[arg(long, value_name = "FILE", conflicts_with = "mail_password_env")]
    pub mail_password_file: Option<PathBuf>,
    /// Environment variable with the password at the mail server.
    #[arg(long, value_name = "NAME")]
    pub mail_password_env: Option<String>,
    /// Upstream: "anthropic", or its address without /v1. Repeat it for more.
    #[arg(long = "upstream", value_name = "URL")]
    pub upstreams: Vec<String>,
    /// File with the credential of the upstream; one for each, in their order.
    #[arg(long, value_name = "FILE", conflicts_with = "credential_env")]
    pub credential_file: Vec<PathBuf>,
    /// Environment variable with the credential of the upstream; one for each, in their order.
    #[arg(long, value_name = "NAME")]
    pub credential_env: Vec<String>,
    /// Chain on which deposits are accepted, by its name in the reference. Repeat it for more.
    #[arg(long = "chain", value_name = "CHAIN")]
    pub chains: Vec<String>,
    /// Extended public key (xpub…) from which each account's own deposit address is derived.
    #[arg(long, value_name = "XPUB")]
    pub account_xpub: Option<String>,
    /// Address that linked wallets pay to, on every chain.
    #[arg(long, value_name = "ADDRESS")]
    pub treasury: Option<String>,
    /// RPC provider: its address, or CHAIN=ADDRESS with several chains. At least two for each
    /// chain.
    #[arg(long = "provider", value_name = "URL")]
    pub providers: Vec<String>,
    /// Database: `sqlite://PATH`. Default: `sluice.db` beside the settings file.
    #[arg(long, value_name = "URL", conflicts_with = "database_url_file")]
    pub database: Option<String>,
    /// File with the URL of a PostgreSQL database.
    #[arg(long, value_name = "FILE", requires = "tombstone_secret_file")]
    pub database_url_file: Option<PathBuf>,
    /// File with the secret that deposits of erased accounts are hashed with. SQLite makes one by
    /// itself.
    #[arg(long, value_name = "FILE")]
    pub tombstone_secret_file: Option<PathBuf>,
    /// Folder for a backup of an SQLite database each day; best on another disk.
    #[arg(long, value_name = "FOLDER")]
    pub backup_folder: Option<PathBuf>,
}

/// Why answers make no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The reference has no such chain.
    #[error("--chain: \"{0}\" is not in the reference, which has: {1}")]
    UnknownChain(String, String),
    /// A provider of a chain that is not asked for.
    #[error(
        "--provider: write CHAIN=ADDRESS, where CHAIN is one of the chains that you have chosen"
    )]
    ProviderOfNoChain,
}

impl Draft {
    /// The file's text. Paths become absolute, those that are missing lie in `folder`; `today` is
    /// the day on which the policy and the terms come into force.
    ///
    /// # Errors
    /// [`DraftError`]; everything else is found by reading the text.
    pub fn render(&self, folder: &Path, today: UtcDay) -> Result<String, DraftError> {
        let mut text = Text(HEAD.to_owned());
        self.site(&mut text, today);
        self.server(&mut text);
        self.database(&mut text, folder);
        self.mail(&mut text, folder);
        self.upstreams(&mut text);
        self.chains(&mut text)?;
        Ok(text.0)
    }

    /// Whether people reach the service from elsewhere.
    #[must_use]
    pub fn is_public(&self) -> bool {
        let host = self.domain.as_deref().map_or("localhost", bare_host);
        !is_loopback_host(host)
    }

    fn site(&self, text: &mut Text, today: UtcDay) {
        text.section("[site]", "How the service presents itself.");
        let domain = self.domain.as_deref().unwrap_or("127.0.0.1:8080");
        let scheme = if self.is_public() { "https" } else { "http" };
        let url =
            if domain.contains("://") { domain.to_owned() } else { format!("{scheme}://{domain}") };
        text.comment("Address under which people reach the service.");
        text.key("base_url", &json!(url));
        text.comment("Where users write with questions.");
        text.optional("support_email", self.support_email.as_deref(), "support@example.org");
        text.comment("Who runs the service, and whose law the terms are under: both stand on");
        text.comment("/privacy and /terms.");
        text.optional("operator", self.operator.as_deref(), "Example Ltd, 1 Street, Town");
        let law = "the law of Exampleland";
        text.optional("jurisdiction", self.jurisdiction.as_deref(), law);
        text.comment("The day from which the privacy policy and the terms apply.");
        text.key("privacy_in_force", &json!(today.to_string()));
        text.key("terms_in_force", &json!(today.to_string()));
    }

    fn server(&self, text: &mut Text) {
        text.section("[server]", "Where clients connect, and how TLS comes about.");
        let has_files = self.tls_certificate.is_some() || self.tls_key.is_some();
        let default = if has_files { "[::]:443" } else { "127.0.0.1:8080" };
        text.key("listen", &json!(self.listen.as_deref().unwrap_or(default)));
        text.comment("Metrics and health, for you alone.");
        text.key("admin_listen", &json!("127.0.0.1:9090"));
        if has_files {
            text.comment("A renewed certificate is picked up without a restart.");
            text.path("tls_certificate_file", self.tls_certificate.as_deref());
            text.path("tls_key_file", self.tls_key.as_deref());
        }
        if self.behind_proxy {
            text.comment("A proxy in front speaks TLS. Its X-Forwarded-For is trusted.");
            text.key("behind_tls_proxy", &json!(true));
        }
    }

    fn database(&self, text: &mut Text, folder: &Path) {
        text.section("[database]", "Everything that must not be lost.");
        if let Some(file) = &self.database_url_file {
            text.path("url_file", Some(file));
        } else {
            let beside = || format!("sqlite://{}", folder.join("sluice.db").display());
            text.key("url", &json!(self.database.clone().unwrap_or_else(beside)));
        }
        if let Some(file) = &self.tombstone_secret_file {
            let about = "Back the file below up, apart from the database: it cannot be made again.";
            text.section("[privacy]", about);
            text.path("tombstone_secret_file", Some(file));
        }
        if let Some(folder) = &self.backup_folder {
            text.section("[backup]", "One a day; the newest seven are kept.");
            text.path("directory", Some(folder));
        }
    }

    fn mail(&self, text: &mut Text, folder: &Path) {
        text.section("[mail]", "Try it with `sluice mail test ADDRESS`.");
        if let Some(from) = &self.mail_from {
            text.key("from", &json!(from));
        }
        let Some(server) = &self.mail_server else {
            text.comment("Emails are written into a folder and reach nobody. For the public, set");
            text.comment("transport = \"smtp\", host, user and password_file.");
            text.key("transport", &json!("file"));
            text.key("folder", &json!(folder.join("mail")));
            return;
        };
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) => match port.parse::<u32>() {
                Ok(port) => (host, Some(port)),
                Err(_) => (server.as_str(), None),
            },
            None => (server.as_str(), None),
        };
        text.key("transport", &json!("smtp"));
        text.key("host", &json!(host));
        if let Some(port) = port {
            text.key("port", &json!(port));
        }
        let usual = if port == Some(465) { "tls" } else { "starttls" };
        let usual = if is_loopback_host(host) { "none" } else { usual };
        text.key("tls", &json!(self.mail_tls.as_deref().unwrap_or(usual)));
        if let Some(user) = &self.mail_user {
            text.key("user", &json!(user));
        }
        text.path("password_file", self.mail_password_file.as_deref());
        if let Some(variable) = &self.mail_password_env {
            text.key("password_env", &json!(variable));
        }
    }

    fn upstreams(&self, text: &mut Text) {
        for (position, upstream) in self.upstreams.iter().enumerate() {
            let about =
                if position == 0 { "Where requests go." } else { "Asked if the first fails." };
            text.section("[[upstreams]]", about);
            let name = match position {
                0 => "primary".to_owned(),
                more => format!("upstream-{}", more.saturating_add(1)),
            };
            text.key("name", &json!(name));
            let known = (upstream == "anthropic").then(examples::upstream_url).flatten();
            text.key("base_url", &json!(known.unwrap_or(upstream)));
            text.path("credential_file", self.credential_file.get(position).map(PathBuf::as_path));
            if let Some(variable) = self.credential_env.get(position) {
                text.key("credential_env", &json!(variable));
            }
        }
    }

    fn chains(&self, text: &mut Text) -> Result<(), DraftError> {
        if let Some(xpub) = &self.account_xpub {
            let about = "Each account gets its own address, derived from this public key.";
            text.section("[deposits]", about);
            text.key("account_xpub", &json!(xpub));
        }
        for name in &self.chains {
            let unknown = || DraftError::UnknownChain(name.clone(), chain_names().join(", "));
            let mut table = examples::chain(name).ok_or_else(unknown)?;
            let providers = self.providers_of(name)?;
            if let Some(treasury) = &self.treasury {
                table.insert("treasury".to_owned(), json!(treasury));
            }
            if providers.len() == 1 {
                table.insert("quorum".to_owned(), json!(1));
            }
            table.insert("providers".to_owned(), Value::Array(providers));
            text.0.push_str("\n# Compare the addresses with their issuers' lists.");
            let chains = Map::from_iter([("chains".to_owned(), json!([table]))]);
            text.0.push_str(&show::table(&chains));
        }
        Ok(())
    }

    fn providers_of(&self, chain: &str) -> Result<Vec<Value>, DraftError> {
        let mut urls = Vec::new();
        for written in &self.providers {
            let (of, url) = match written.split_once('=') {
                Some((name, url)) if !name.contains("://") => (Some(name), url),
                _ => (None, written.as_str()),
            };
            match of {
                None if self.chains.len() > 1 => return Err(DraftError::ProviderOfNoChain),
                Some(name) if !self.chains.iter().any(|known| known == name) => {
                    return Err(DraftError::ProviderOfNoChain);
                }
                Some(name) if name != chain => {}
                _ => urls.push(url),
            }
        }
        let named = urls.iter().zip(1_u32..);
        Ok(named
            .map(|(url, number)| json!({ "name": format!("provider-{number}"), "url": url }))
            .collect())
    }
}

const HEAD: &str = "\
# Settings of this service, written by `sluice config init`. Only what differs from the defaults
# stands here: docs/configuration.md explains every key. After a change: `sluice config check FILE`,
# then `sluice doctor --config FILE`.
";

/// The file as it grows.
struct Text(String);

impl Text {
    fn section(&mut self, header: &str, about: &str) {
        self.0.extend(["\n# ", about, "\n", header, "\n"]);
    }

    fn comment(&mut self, text: &str) {
        self.0.extend(["# ", text, "\n"]);
    }

    fn key(&mut self, key: &str, value: &Value) {
        self.0.extend([key, " = ", &show::inline(value), "\n"]);
    }

    /// A key, or an example of it, commented out.
    fn optional(&mut self, key: &str, value: Option<&str>, example: &str) {
        if value.is_none() {
            self.0.push_str("# ");
        }
        self.key(key, &json!(value.unwrap_or(example)));
    }

    /// A path from the root: the server may be started elsewhere. What begins with a name of
    /// systemd's stays as it is.
    fn path(&mut self, key: &str, path: Option<&Path>) {
        if let Some(path) = path {
            let is_named = path.to_string_lossy().starts_with("${");
            let absolute = if is_named { Ok(path.to_owned()) } else { std::path::absolute(path) };
            let absolute = absolute.unwrap_or_else(|_| path.to_owned());
            self.key(key, &json!(absolute));
        }
    }
}

/// The host of a domain or an address, without scheme and port.
fn bare_host(domain: &str) -> &str {
    let rest = domain.split_once("://").map_or(domain, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
