-- What enough providers could not read or agree on. `doubted` may settle by itself; what lasts is `open`, a case for a
-- person; `dismissed` is not looked at. `ordinal` is a deposit's, where it is about one, else 0. Nothing here says whose
-- a transaction is: what is about an account's transactions goes with the account.
CREATE TABLE deposit_cases (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id     TEXT    NOT NULL UNIQUE,
    chain_id      INTEGER NOT NULL,
    tx_hash       BLOB    NOT NULL CHECK (length(tx_hash) = 32),
    kind          TEXT    NOT NULL CHECK (kind IN ('transaction', 'claim', 'deposit')),
    ordinal       INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('doubted', 'open', 'dismissed')),
    block_number  INTEGER,
    detail        TEXT    NOT NULL,
    doubted_at    INTEGER NOT NULL,
    opened_at     INTEGER,
    updated_at    INTEGER NOT NULL,
    UNIQUE (chain_id, tx_hash, kind, ordinal)
) STRICT;

CREATE INDEX deposit_cases_by_state ON deposit_cases (state, id);
