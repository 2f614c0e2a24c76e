-- Requests that this program refused itself, as counts: per key, UTC day and reason. Nothing of a request is here.
CREATE TABLE refused_requests (
    id          INTEGER PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    api_key_id  INTEGER NOT NULL REFERENCES api_keys (id),
    day         INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    requests    INTEGER NOT NULL CHECK (requests > 0),
    UNIQUE (api_key_id, day, reason)
) STRICT;

CREATE INDEX refused_requests_by_account ON refused_requests (account_id, day);
CREATE INDEX refused_requests_by_day ON refused_requests (day);

-- Deposits, refunds and adjustments of an account, without the many charges between them.
CREATE INDEX ledger_entries_besides_usage ON ledger_entries (account_id, id) WHERE kind <> 'usage';
