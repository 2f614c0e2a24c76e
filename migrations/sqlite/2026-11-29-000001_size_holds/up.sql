-- What running requests may cost beyond what they hold: a hold is a likely cost, and this is what it may be wrong by.
ALTER TABLE accounts ADD COLUMN at_risk_nanousd INTEGER NOT NULL DEFAULT 0 CHECK (at_risk_nanousd >= 0);
-- When a request of the account was charged for the first time: until some time after that nothing may be at risk.
ALTER TABLE accounts ADD COLUMN first_charged_at INTEGER;
UPDATE accounts SET first_charged_at = created_at WHERE EXISTS
    (SELECT 1 FROM ledger_entries WHERE account_id = accounts.id AND kind IN ('usage', 'carry_forward'));
ALTER TABLE reservations ADD COLUMN risk_nanousd INTEGER NOT NULL DEFAULT 0 CHECK (risk_nanousd >= 0);

-- The passes of an answer that took several, or one that is no ordinary one: what its receipt is made of.
CREATE TABLE usage_passes (
    usage_id               TEXT    NOT NULL REFERENCES usage_logs (id) ON DELETE CASCADE,
    ordinal                INTEGER NOT NULL,
    kind                   TEXT    NOT NULL,
    model                  TEXT,
    input_tokens           INTEGER NOT NULL,
    output_tokens          INTEGER NOT NULL,
    cache_write_5m_tokens  INTEGER NOT NULL,
    cache_write_1h_tokens  INTEGER NOT NULL,
    cache_read_tokens      INTEGER NOT NULL,
    waiver                 TEXT,
    is_credit_redeemed     INTEGER NOT NULL CHECK (is_credit_redeemed IN (0, 1)),
    PRIMARY KEY (usage_id, ordinal)
) STRICT, WITHOUT ROWID;
