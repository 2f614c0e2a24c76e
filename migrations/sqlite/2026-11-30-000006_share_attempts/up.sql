-- Attempts that count on all nodes together: wrong passwords for a mailbox, and mails to one. What is counted is a keyed
-- hash; no client's address is in it.
CREATE TABLE attempts (
    hash        BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    made        INTEGER NOT NULL CHECK (made >= 0),
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_expiry ON attempts (expires_at);
