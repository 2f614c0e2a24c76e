CREATE TABLE address_balances_old (
    chain_id      INTEGER NOT NULL,
    address       BLOB NOT NULL REFERENCES deposit_addresses (address) CHECK (length(address) = 20),
    block_number  INTEGER NOT NULL,
    balance       TEXT NOT NULL,
    PRIMARY KEY (chain_id, address)
) STRICT, WITHOUT ROWID;
INSERT INTO address_balances_old SELECT chain_id, address, block_number, balance FROM address_balances
    WHERE address IN (SELECT address FROM deposit_addresses);
DROP TABLE address_balances;
ALTER TABLE address_balances_old RENAME TO address_balances;

CREATE TABLE deposit_arrivals_old (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    chain_id      INTEGER NOT NULL,
    address       BLOB NOT NULL REFERENCES deposit_addresses (address) CHECK (length(address) = 20),
    token         BLOB CHECK (length(token) = 20),
    after_number  INTEGER NOT NULL,
    block_number  INTEGER NOT NULL,
    raw_amount    TEXT NOT NULL,
    tx_hash       BLOB CHECK (length(tx_hash) = 32),
    tries         INTEGER NOT NULL,
    check_at      INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;
INSERT INTO deposit_arrivals_old
    SELECT id, chain_id, address, token, after_number, block_number, raw_amount, tx_hash, tries, check_at,
           created_at, updated_at
    FROM deposit_arrivals WHERE address IN (SELECT address FROM deposit_addresses);
DROP TABLE deposit_arrivals;
ALTER TABLE deposit_arrivals_old RENAME TO deposit_arrivals;
CREATE UNIQUE INDEX deposit_arrivals_of_coins ON deposit_arrivals (chain_id, address, after_number, block_number)
    WHERE token IS NULL;
CREATE UNIQUE INDEX deposit_arrivals_of_tokens ON deposit_arrivals (chain_id, address, token) WHERE token IS NOT NULL;
CREATE INDEX deposit_arrivals_by_address ON deposit_arrivals (address, id);
CREATE INDEX deposit_arrivals_due ON deposit_arrivals (chain_id, check_at) WHERE check_at IS NOT NULL;
