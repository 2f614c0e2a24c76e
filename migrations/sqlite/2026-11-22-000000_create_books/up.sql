CREATE TABLE accounts (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id          TEXT    NOT NULL UNIQUE,
    email              TEXT    NOT NULL UNIQUE,
    status             TEXT    NOT NULL CHECK (status IN ('active', 'suspended')),
    available_nanousd  INTEGER NOT NULL DEFAULT 0,
    reserved_nanousd   INTEGER NOT NULL DEFAULT 0 CHECK (reserved_nanousd >= 0),
    created_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id   TEXT    NOT NULL UNIQUE,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    name        TEXT    NOT NULL,
    hash        BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT;

CREATE INDEX api_keys_by_account ON api_keys (account_id, id);

-- Append-only: only the purge replaces old usage lines by one carry-forward.
CREATE TABLE ledger_entries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id      INTEGER NOT NULL REFERENCES accounts (id),
    kind            TEXT    NOT NULL CHECK (kind IN
        ('deposit', 'usage', 'adjustment', 'refund', 'reversal', 'carry_forward')),
    reference       TEXT    NOT NULL,
    amount_nanousd  INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (kind, reference)
) STRICT;

CREATE INDEX ledger_entries_by_account ON ledger_entries (account_id, id);

-- Open exchanges only: a post or a void deletes the row, and the usage row takes over its id.
-- `record` is the usage row to write if the node dies: cost 0 at first, then the last checkpoint.
CREATE TABLE reservations (
    id              TEXT    PRIMARY KEY,
    account_id      INTEGER NOT NULL REFERENCES accounts (id),
    api_key_id      INTEGER NOT NULL REFERENCES api_keys (id),
    node_id         TEXT    NOT NULL,
    amount_nanousd  INTEGER NOT NULL CHECK (amount_nanousd >= 0),
    record          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_logs (
    id                     TEXT    PRIMARY KEY,
    account_id             INTEGER NOT NULL REFERENCES accounts (id),
    api_key_id             INTEGER NOT NULL REFERENCES api_keys (id),
    created_at             INTEGER NOT NULL,
    endpoint               TEXT    NOT NULL,
    requested_model        TEXT    NOT NULL,
    served_model           TEXT,
    upstream               TEXT,
    input_tokens           INTEGER NOT NULL,
    output_tokens          INTEGER NOT NULL,
    cache_write_5m_tokens  INTEGER NOT NULL,
    cache_write_1h_tokens  INTEGER NOT NULL,
    cache_read_tokens      INTEGER NOT NULL,
    web_searches           INTEGER NOT NULL,
    service_tier           TEXT,
    inference_geo          TEXT,
    speed                  TEXT,
    price_version          TEXT    NOT NULL,
    cost_nanousd           INTEGER NOT NULL CHECK (cost_nanousd >= 0),
    first_byte_ms          INTEGER,
    latency_ms             INTEGER NOT NULL,
    http_status            INTEGER NOT NULL,
    ending                 TEXT    NOT NULL,
    is_estimated           INTEGER NOT NULL CHECK (is_estimated IN (0, 1))
) STRICT;

CREATE INDEX usage_logs_by_account ON usage_logs (account_id, created_at);
CREATE INDEX usage_logs_by_time ON usage_logs (created_at);

-- A node renews its lease while it lives; reservations of a node without one are recovered.
CREATE TABLE nodes (
    id               TEXT    PRIMARY KEY,
    lease_expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
