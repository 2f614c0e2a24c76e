-- The balance of an account's own address when the watcher last found it changed: more than is known since then is a
-- reason to look for what a contract has sent.
CREATE TABLE address_balances (
    chain_id      INTEGER NOT NULL,
    address       BLOB NOT NULL REFERENCES deposit_addresses (address) CHECK (length(address) = 20),
    block_number  INTEGER NOT NULL,
    balance       TEXT NOT NULL,
    PRIMARY KEY (chain_id, address)
) STRICT, WITHOUT ROWID;

-- What arrived at an account's own address and is no deposit: coins that no known transaction explains, somewhere
-- above `after_number` and up to `block_number`; and tokens that are not accepted. `token` is empty for coins, `tx_hash`
-- until the transaction is known. Nothing is credited by it.
CREATE TABLE deposit_arrivals (
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

CREATE UNIQUE INDEX deposit_arrivals_of_coins ON deposit_arrivals (chain_id, address, after_number, block_number)
    WHERE token IS NULL;
CREATE UNIQUE INDEX deposit_arrivals_of_tokens ON deposit_arrivals (chain_id, address, token) WHERE token IS NOT NULL;
CREATE INDEX deposit_arrivals_by_address ON deposit_arrivals (address, id);
CREATE INDEX deposit_arrivals_due ON deposit_arrivals (chain_id, check_at) WHERE check_at IS NOT NULL;

-- How far tokens that are not accepted were looked for.
CREATE TABLE token_looks (
    chain_id      INTEGER PRIMARY KEY,
    block_number  INTEGER NOT NULL,
    looked_at     INTEGER NOT NULL
) STRICT;

-- What is known to have come in at an address.
CREATE INDEX deposits_by_payee ON deposits (payee, block_number);
