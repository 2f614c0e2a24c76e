-- Attempts that count on all nodes together: wrong passwords for a mailbox, and mails to one. What is counted is a keyed
-- hash; no client's address is in it.
CREATE TABLE attempts (
    hash        BYTEA  PRIMARY KEY CHECK (octet_length(hash) = 32),
    made        BIGINT NOT NULL CHECK (made >= 0),
    expires_at  BIGINT NOT NULL
);

CREATE INDEX attempts_by_expiry ON attempts (expires_at);

-- Samples of what a row is about would outlive it (see the erasure of accounts).
ALTER TABLE attempts ALTER COLUMN hash SET STATISTICS 0;
