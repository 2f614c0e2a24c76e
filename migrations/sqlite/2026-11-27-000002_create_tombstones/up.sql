-- What is left of a deposit whose account was erased: an HMAC of its place on the chain, under a secret that is kept
-- outside the database. It keeps the transfer from being credited again, and says nothing to whoever has only this.
CREATE TABLE deposit_tombstones (
    hash  BLOB PRIMARY KEY CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

-- An HMAC of a fixed word under each secret that hashes in here were made with, so that another one is noticed.
CREATE TABLE secret_checks (
    name   TEXT PRIMARY KEY,
    value  BLOB NOT NULL CHECK (length(value) = 32)
) STRICT, WITHOUT ROWID;
