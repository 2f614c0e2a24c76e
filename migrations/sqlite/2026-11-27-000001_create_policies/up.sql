-- What the privacy policy and the terms said, and from when: each version with the operator's words about what it
-- changes and the whole text as it was rendered, so that nobody has to take anybody's word for it. A version is never
-- changed, but for how far its notices are: `noticed_account_id` is the last account that they have come to, of those up to
-- `last_account_id`, the newest account when it was published. `noticed_at` is when the last of them was put into
-- the outbox; of a version without notices, when it was published.
CREATE TABLE policy_versions (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind                TEXT    NOT NULL CHECK (kind IN ('privacy', 'terms')),
    number              INTEGER NOT NULL CHECK (number > 0),
    in_force_at         INTEGER NOT NULL,
    is_significant      INTEGER NOT NULL CHECK (is_significant IN (0, 1)),
    words               TEXT    NOT NULL,
    body                TEXT    NOT NULL,
    body_hash           BLOB    NOT NULL CHECK (length(body_hash) = 32),
    published_at        INTEGER NOT NULL,
    last_account_id     INTEGER NOT NULL,
    noticed_account_id  INTEGER NOT NULL,
    notices             INTEGER NOT NULL,
    noticed_at          INTEGER,
    UNIQUE (kind, number)
) STRICT;

CREATE INDEX policy_versions_to_notice ON policy_versions (id) WHERE noticed_at IS NULL;

-- Links that turn notices off, by the SHA-256 of their token. They work without a log-in, and as often as they are used.
CREATE TABLE unsubscribe_tokens (
    token_hash  BLOB    PRIMARY KEY CHECK (length(token_hash) = 32),
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX unsubscribe_tokens_by_account ON unsubscribe_tokens (account_id);
CREATE INDEX unsubscribe_tokens_by_expiry ON unsubscribe_tokens (expires_at);

-- What goes to everybody waits behind what somebody waits for.
ALTER TABLE outbox ADD COLUMN is_bulk INTEGER NOT NULL DEFAULT 0 CHECK (is_bulk IN (0, 1));

DROP INDEX outbox_due;
CREATE INDEX outbox_by_turn ON outbox (is_bulk, due_at, id);
