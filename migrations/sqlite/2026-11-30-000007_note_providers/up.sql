-- What each provider of a chain is asked and takes, for the operator's list. Of its address and words nothing is here.
CREATE TABLE chain_providers (
    chain_id         INTEGER NOT NULL,
    name             TEXT   NOT NULL,
    asked_per_day    INTEGER,
    refusal          TEXT,
    refused_at       INTEGER,
    log_blocks       INTEGER,
    batch_calls      INTEGER NOT NULL,
    calls_per_second INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    PRIMARY KEY (chain_id, name)
) STRICT, WITHOUT ROWID;
