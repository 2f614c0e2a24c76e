-- `password_hash` is bcrypt's own text; empty for an account that an operator opened and nobody has logged in to.
-- `closing_at` is when its owner asked for it to be deleted: from then on it can do nothing but be kept after all.
-- With `closing_waives_balance` it is erased with whatever is left on it.
-- Notices go out unless `wants_notices` is 0; those about security and policy go out regardless.
ALTER TABLE accounts ADD COLUMN password_hash TEXT;
ALTER TABLE accounts ADD COLUMN totp_secret BLOB;
ALTER TABLE accounts ADD COLUMN totp_enabled_at INTEGER;
ALTER TABLE accounts ADD COLUMN totp_last_step INTEGER;
ALTER TABLE accounts ADD COLUMN low_balance_nanousd INTEGER CHECK (low_balance_nanousd > 0);
ALTER TABLE accounts ADD COLUMN wants_notices INTEGER NOT NULL DEFAULT 1 CHECK (wants_notices IN (0, 1));
ALTER TABLE accounts ADD COLUMN closing_at INTEGER;
ALTER TABLE accounts ADD COLUMN closing_waives_balance INTEGER NOT NULL DEFAULT 0 CHECK (closing_waives_balance IN (0, 1));

CREATE INDEX accounts_closing ON accounts (closing_at) WHERE closing_at IS NOT NULL;

-- What a key may do, and what it has cost. `models` is a JSON array of ids; empty is all of them. `month` numbers the
-- calendar month in UTC that `month_spent_nanousd` belongs to: year * 12 + month - 1. `paused_until` says that a budget
-- has stopped the key: until the next month begins, or for good.
ALTER TABLE api_keys ADD COLUMN models TEXT;
ALTER TABLE api_keys ADD COLUMN monthly_budget_nanousd INTEGER CHECK (monthly_budget_nanousd >= 0);
ALTER TABLE api_keys ADD COLUMN total_budget_nanousd INTEGER CHECK (total_budget_nanousd >= 0);
ALTER TABLE api_keys ADD COLUMN requests_per_minute INTEGER CHECK (requests_per_minute > 0);
ALTER TABLE api_keys ADD COLUMN max_streams INTEGER CHECK (max_streams > 0);
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN spent_nanousd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN month INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN month_spent_nanousd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN paused_until INTEGER;

UPDATE api_keys SET spent_nanousd = COALESCE(
    (SELECT SUM(cost_nanousd) FROM usage_logs WHERE usage_logs.api_key_id = api_keys.id), 0);

CREATE INDEX reservations_by_key ON reservations (api_key_id);

-- Somebody who is logged in. Only the token's SHA-256 is kept, and nothing of where they are.
CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id     TEXT    NOT NULL UNIQUE,
    account_id    INTEGER NOT NULL REFERENCES accounts (id),
    token_hash    BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at    INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_account ON sessions (account_id, id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Links in mail, by the SHA-256 of their token. `account_id` is empty for a sign-up: there is no account before
-- its address is proven.
CREATE TABLE email_tokens (
    token_hash  BLOB    PRIMARY KEY CHECK (length(token_hash) = 32),
    purpose     TEXT    NOT NULL CHECK (purpose IN ('sign_up', 'reset', 'change')),
    account_id  INTEGER REFERENCES accounts (id),
    email       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX email_tokens_by_account ON email_tokens (account_id);
CREATE INDEX email_tokens_by_expiry ON email_tokens (expires_at);

-- Somebody who has given the password and is asked for the second factor, by the SHA-256 of what they hold.
CREATE TABLE log_in_steps (
    token_hash  BLOB    PRIMARY KEY CHECK (length(token_hash) = 32),
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX log_in_steps_by_account ON log_in_steps (account_id);
CREATE INDEX log_in_steps_by_expiry ON log_in_steps (expires_at);

-- What logs in instead of a second factor, once each.
CREATE TABLE recovery_codes (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    code_hash   BLOB    NOT NULL CHECK (length(code_hash) = 32),
    PRIMARY KEY (account_id, code_hash)
) STRICT, WITHOUT ROWID;

-- Mail that has to go. The text is made when it is sent; a row goes when its mail has gone. `reference` is unique
-- within its kind, so that the same occasion writes once. `params` is JSON.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id  TEXT    NOT NULL UNIQUE,
    kind        TEXT    NOT NULL,
    reference   TEXT    NOT NULL,
    account_id  INTEGER REFERENCES accounts (id),
    recipient   TEXT    NOT NULL,
    params      TEXT    NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (kind, reference)
) STRICT;

CREATE INDEX outbox_due ON outbox (due_at, id);
