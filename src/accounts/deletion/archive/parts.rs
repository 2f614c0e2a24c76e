//! The files of an archive: what each is called and holds, and which tables it is made of.

/// A file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchivePart {
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
    /// Counts of refused requests.
    Refusals,
    /// The ledger.
    Ledger,
    /// Wallets.
    Wallets,
    /// Messages to sign.
    Challenges,
    /// The account's own addresses.
    Addresses,
    /// Arrivals at them that are not deposits.
    Arrivals,
    /// Deposits.
    Deposits,
    /// Submitted transaction hashes.
    Claims,
    /// Refunds.
    Refunds,
    /// Mail that waits.
    Mail,
    /// What operators decided.
    Decisions,
}

impl ArchivePart {
    /// All of them, in the order in which they stand in an archive.
    pub const ALL: [Self; 19] = [
        Self::Account,
        Self::Sessions,
        Self::LogIns,
        Self::Links,
        Self::Keys,
        Self::Running,
        Self::Usage,
        Self::Passes,
        Self::Refusals,
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
                "The account: email address, balance, status, preferences and login settings. The \
                 password, the two-factor key and the recovery codes are left out, as they are \
                 secrets or hashes; the file says whether they are set.",
            ),
            Self::Sessions => (
                "sessions.jsonl",
                "sessions",
                "Sessions, including ended ones that are not deleted yet. We store only a hash of \
                 each token.",
            ),
            Self::LogIns => (
                "log_ins.jsonl",
                "log_in_steps",
                "Log-ins waiting for a two-factor code. We store only a hash of each token.",
            ),
            Self::Links => (
                "links.jsonl",
                "email_tokens",
                "Valid links in emails. We store only a hash of each link.",
            ),
            Self::Keys => (
                "keys.jsonl",
                "api_keys",
                "API keys with their limits and spending. We store only a hash of each key.",
            ),
            Self::Running => (
                "running.jsonl",
                "reservations",
                "Requests in progress: the amount on hold for each, and its usage log row so far.",
            ),
            Self::Usage => ("usage.csv", "usage_logs", "The usage log: one row per request."),
            Self::Passes => (
                "usage_passes.jsonl",
                "usage_passes",
                "Responses with several model runs, or with a free one: the usage of each run.",
            ),
            Self::Refusals => (
                "refusals.jsonl",
                "refused_requests",
                "Requests that this service refused: how many by key, UTC day and reason.",
            ),
            Self::Ledger => ("ledger.csv", "ledger_entries", "All balance changes."),
            Self::Wallets => (
                "wallets.jsonl",
                "wallets",
                "Linked wallets, including ended links, with the stored proofs.",
            ),
            Self::Challenges => ("challenges.jsonl", "wallet_challenges", "Messages to sign."),
            Self::Addresses => {
                ("addresses.jsonl", "deposit_addresses", "The deposit addresses of this account.")
            }
            Self::Arrivals => {
                ("arrivals.jsonl", "deposit_arrivals", "Arrivals at them that are not deposits.")
            }
            Self::Deposits => ("deposits.jsonl", "deposits", "Deposits with all their details."),
            Self::Claims => ("claims.jsonl", "deposit_claims", "Submitted transaction hashes."),
            Self::Refunds => ("refunds.jsonl", "deposit_refunds", "Refunds of deposits."),
            Self::Mail => ("mail.jsonl", "outbox", "Queued emails."),
            Self::Decisions => (
                "decisions.jsonl",
                "audit_log",
                "Decisions of the operator about this account and its deposits.",
            ),
        }
    }
}
