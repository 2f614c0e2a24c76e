//! The files of an archive: what each is called and holds, and which tables it is made of.

/// A file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The account itself.
    Account,
    /// Sessions.
    Sessions,
    /// Log-ins that wait for a second factor.
    LogIns,
    /// Links in mail.
    Links,
    /// API keys.
    Keys,
    /// Exchanges that are running.
    Running,
    /// The usage log.
    Usage,
    /// The passes of answers that took several.
    Passes,
    /// The ledger.
    Ledger,
    /// Wallets.
    Wallets,
    /// Messages to sign.
    Challenges,
    /// The account's own addresses.
    Addresses,
    /// What arrived there and is no deposit.
    Arrivals,
    /// Deposits.
    Deposits,
    /// Transaction hashes that were asked about.
    Claims,
    /// Refunds.
    Refunds,
    /// Mail that waits.
    Mail,
    /// What operators decided.
    Decisions,
}

impl Part {
    /// All of them, in the order in which they stand in an archive.
    pub const ALL: [Self; 18] = [
        Self::Account,
        Self::Sessions,
        Self::LogIns,
        Self::Links,
        Self::Keys,
        Self::Running,
        Self::Usage,
        Self::Passes,
        Self::Ledger,
        Self::Wallets,
        Self::Challenges,
        Self::Addresses,
        Self::Arrivals,
        Self::Deposits,
        Self::Claims,
        Self::Refunds,
        Self::Mail,
        Self::Decisions,
    ];

    /// Its name in the archive.
    #[must_use]
    pub const fn file(self) -> &'static str {
        self.facts().0
    }

    /// The table that it is made of.
    #[must_use]
    pub const fn table(self) -> &'static str {
        self.facts().1
    }

    /// What it is, for people.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.facts().2
    }

    const fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Account => (
                "account.json",
                "accounts",
                "The account: address, balance, standing, preferences, and what it logs in with. Password, second factor \
                 and recovery codes are secrets or hashes, and not here; whether they are set is.",
            ),
            Self::Sessions => (
                "sessions.jsonl",
                "sessions",
                "Sessions, those included that are over and not deleted yet. Of a session's token only a hash is stored.",
            ),
            Self::LogIns => (
                "log_ins.jsonl",
                "log_in_steps",
                "Log-ins that wait for a second factor. Of their token only a hash is stored.",
            ),
            Self::Links => (
                "links.jsonl",
                "email_tokens",
                "Links in mail that may still be opened. Of a link only a hash is stored.",
            ),
            Self::Keys => (
                "keys.jsonl",
                "api_keys",
                "API keys with their limits and what they have cost. Of a key only a hash is stored.",
            ),
            Self::Running => (
                "running.jsonl",
                "reservations",
                "Requests that run at this moment: what is held for each, and its row of the usage log so far.",
            ),
            Self::Usage => ("usage.csv", "usage_logs", "The usage log: one row for each request."),
            Self::Passes => (
                "usage_passes.jsonl",
                "usage_passes",
                "Of answers that took several runs of a model, or one that is free: what each of them used.",
            ),
            Self::Ledger => ("ledger.csv", "ledger_entries", "Every change of the balance."),
            Self::Wallets => (
                "wallets.jsonl",
                "wallets",
                "Wallets that were proven, the ended links included, with the proofs that are kept.",
            ),
            Self::Challenges => {
                ("challenges.jsonl", "wallet_challenges", "Messages given out to be signed.")
            }
            Self::Addresses => (
                "addresses.jsonl",
                "deposit_addresses",
                "Addresses for deposits that are this account's alone.",
            ),
            Self::Arrivals => {
                ("arrivals.jsonl", "deposit_arrivals", "What arrived there and is no deposit.")
            }
            Self::Deposits => {
                ("deposits.jsonl", "deposits", "Deposits with everything that is known of them.")
            }
            Self::Claims => {
                ("claims.jsonl", "deposit_claims", "Transaction hashes that were asked about.")
            }
            Self::Refunds => ("refunds.jsonl", "deposit_refunds", "Deposits that were paid back."),
            Self::Mail => ("mail.jsonl", "outbox", "Mail that waits to be sent."),
            Self::Decisions => (
                "decisions.jsonl",
                "audit_log",
                "What the operator decided about this account and its deposits.",
            ),
        }
    }
}
