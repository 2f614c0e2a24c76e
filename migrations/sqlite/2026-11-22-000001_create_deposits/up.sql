-- How far a chain has been read, and which node reads it. `revision` guards against a second reader; nothing below
-- `first_number` is ever looked at.
CREATE TABLE chains (
    chain_id          INTEGER PRIMARY KEY,
    revision          INTEGER NOT NULL,
    first_number      INTEGER NOT NULL,
    scanned_number    INTEGER NOT NULL,
    scanned_hash      BLOB    NOT NULL CHECK (length(scanned_hash) = 32),
    final_number      INTEGER NOT NULL,
    head_number       INTEGER NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('ok', 'degraded', 'stopped')),
    status_detail     TEXT,
    node_id           TEXT    NOT NULL,
    lease_expires_at  INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;

-- The recent blocks as they were read, to find where a reorganisation began.
CREATE TABLE chain_blocks (
    chain_id  INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (chain_id, number)
) STRICT, WITHOUT ROWID;

-- Transactions in which something was found that may pay us. They are kept, with the cursor that found them, until
-- enough providers agree on what is in them; then deposits take their place.
CREATE TABLE chain_candidates (
    chain_id      INTEGER NOT NULL,
    tx_hash       BLOB    NOT NULL CHECK (length(tx_hash) = 32),
    block_number  INTEGER NOT NULL,
    tries         INTEGER NOT NULL,
    check_at      INTEGER NOT NULL,
    PRIMARY KEY (chain_id, tx_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX chain_candidates_due ON chain_candidates (chain_id, check_at);

-- Wallets that an account has proven, and when. A link that has ended stays: it attributes older transfers.
-- `chain_id` is 0 for a key pair, which is the same on every chain; a contract is proven on its own chain only,
-- and its proof is kept because it is asked again at each deposit's block.
CREATE TABLE wallets (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id        TEXT    NOT NULL UNIQUE,
    account_id       INTEGER NOT NULL REFERENCES accounts (id),
    kind             TEXT    NOT NULL CHECK (kind IN ('eoa', 'contract')),
    chain_id         INTEGER NOT NULL,
    address          BLOB    NOT NULL CHECK (length(address) = 20),
    proof_hash       BLOB    CHECK (length(proof_hash) = 32),
    proof_signature  BLOB,
    proven_at        INTEGER NOT NULL,
    ended_at         INTEGER,
    end_reason       TEXT    CHECK (end_reason IN ('unlinked', 'moved'))
) STRICT;

CREATE UNIQUE INDEX wallets_in_force ON wallets (address, chain_id) WHERE ended_at IS NULL;
CREATE INDEX wallets_by_address ON wallets (address, proven_at);
CREATE INDEX wallets_by_account ON wallets (account_id, id);

CREATE TABLE wallet_challenges (
    nonce       TEXT    PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    chain_id    INTEGER NOT NULL,
    address     BLOB    NOT NULL CHECK (length(address) = 20),
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX wallet_challenges_by_account ON wallet_challenges (account_id, issued_at);
CREATE INDEX wallet_challenges_by_expiry ON wallet_challenges (expires_at);

-- Never decreases, whatever happens to the accounts: an index is issued once.
CREATE TABLE derivation_counters (
    xpub_fingerprint  TEXT    PRIMARY KEY,
    next_index        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `account_id` is empty once the account is erased: then the address credits nobody.
CREATE TABLE deposit_addresses (
    address           BLOB    PRIMARY KEY CHECK (length(address) = 20),
    xpub_fingerprint  TEXT    NOT NULL,
    derivation_index  INTEGER NOT NULL,
    account_id        INTEGER UNIQUE REFERENCES accounts (id),
    created_at        INTEGER NOT NULL,
    UNIQUE (xpub_fingerprint, derivation_index)
) STRICT, WITHOUT ROWID;

-- Transfers to our addresses. `token` is empty for the native coin. `ordinal` is the place of the log within its
-- receipt, or -1-k for the k-th value-carrying call: both survive a reorganisation, unlike a log's index.
CREATE TABLE deposits (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id       TEXT    NOT NULL UNIQUE,
    chain_id        INTEGER NOT NULL,
    tx_hash         BLOB    NOT NULL CHECK (length(tx_hash) = 32),
    ordinal         INTEGER NOT NULL,
    token           BLOB    CHECK (length(token) = 20),
    payer           BLOB    NOT NULL CHECK (length(payer) = 20),
    payee           BLOB    NOT NULL CHECK (length(payee) = 20),
    raw_amount      TEXT    NOT NULL,
    block_number    INTEGER NOT NULL,
    block_hash      BLOB    NOT NULL CHECK (length(block_hash) = 32),
    block_time      INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    reason          TEXT,
    account_id      INTEGER REFERENCES accounts (id),
    wallet_id       INTEGER REFERENCES wallets (id),
    value_nanousd   INTEGER,
    price_feed      BLOB    CHECK (length(price_feed) = 20),
    price_round     TEXT,
    price_answer    TEXT,
    credit_number   INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    check_at        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (chain_id, tx_hash, ordinal)
) STRICT;

CREATE INDEX deposits_by_account ON deposits (account_id, id);
CREATE INDEX deposits_by_state ON deposits (chain_id, state, block_number);
CREATE INDEX deposits_by_payer ON deposits (payer, state);

-- Hashes that an account asks about. `check_at` is empty once nothing is left to look up.
CREATE TABLE deposit_claims (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id   TEXT    NOT NULL UNIQUE,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    chain_id    INTEGER NOT NULL,
    tx_hash     BLOB    NOT NULL CHECK (length(tx_hash) = 32),
    state       TEXT    NOT NULL CHECK (state IN ('submitted', 'matched', 'not_found', 'rejected')),
    reason      TEXT,
    tries       INTEGER NOT NULL,
    check_at    INTEGER,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (account_id, chain_id, tx_hash)
) STRICT;

CREATE INDEX deposit_claims_due ON deposit_claims (chain_id, tries, check_at) WHERE check_at IS NOT NULL;
CREATE INDEX deposit_claims_open ON deposit_claims (account_id, chain_id) WHERE check_at IS NOT NULL;
CREATE INDEX deposit_claims_by_transaction ON deposit_claims (chain_id, tx_hash);

-- Money on its way back: held first, then posted with the transaction that paid it, or released.
CREATE TABLE deposit_refunds (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id       TEXT    NOT NULL UNIQUE,
    deposit_id      INTEGER NOT NULL REFERENCES deposits (id),
    state           TEXT    NOT NULL CHECK (state IN ('held', 'posted', 'cancelled')),
    amount_nanousd  INTEGER NOT NULL,
    tx_hash         BLOB    CHECK (length(tx_hash) = 32),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX deposit_refunds_open ON deposit_refunds (deposit_id) WHERE state <> 'cancelled';

-- What an operator decided, about what, and why.
CREATE TABLE audit_log (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at  INTEGER NOT NULL,
    action      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    account_id  INTEGER REFERENCES accounts (id),
    detail      TEXT    NOT NULL
) STRICT;
