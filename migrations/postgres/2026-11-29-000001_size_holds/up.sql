-- What running requests may cost beyond what they hold: a hold is a likely cost, and this is what it may be wrong by.
ALTER TABLE accounts ADD COLUMN at_risk_nanousd BIGINT NOT NULL DEFAULT 0 CHECK (at_risk_nanousd >= 0);
-- When a request of the account was charged for the first time: until some time after that nothing may be at risk.
ALTER TABLE accounts ADD COLUMN first_charged_at BIGINT;
UPDATE accounts SET first_charged_at = created_at WHERE EXISTS
    (SELECT 1 FROM ledger_entries WHERE account_id = accounts.id AND kind IN ('usage', 'carry_forward'));
ALTER TABLE reservations ADD COLUMN risk_nanousd BIGINT NOT NULL DEFAULT 0 CHECK (risk_nanousd >= 0);

-- The passes of an answer that took several, or one that is no ordinary one: what its receipt is made of.
CREATE TABLE usage_passes (
    usage_id               TEXT    NOT NULL REFERENCES usage_logs (id) ON DELETE CASCADE,
    ordinal                BIGINT  NOT NULL,
    kind                   TEXT    NOT NULL,
    model                  TEXT,
    input_tokens           BIGINT  NOT NULL,
    output_tokens          BIGINT  NOT NULL,
    cache_write_5m_tokens  BIGINT  NOT NULL,
    cache_write_1h_tokens  BIGINT  NOT NULL,
    cache_read_tokens      BIGINT  NOT NULL,
    waiver                 TEXT,
    is_credit_redeemed     BOOLEAN NOT NULL,
    PRIMARY KEY (usage_id, ordinal)
);
ALTER TABLE usage_passes ALTER COLUMN usage_id SET STATISTICS 0;
