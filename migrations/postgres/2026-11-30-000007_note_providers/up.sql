-- What each provider of a chain is asked and takes, for the operator's list. Of its address and words nothing is here.
CREATE TABLE chain_providers (
    chain_id         BIGINT NOT NULL,
    name             TEXT   NOT NULL,
    asked_per_day    BIGINT,
    refusal          TEXT,
    refused_at       BIGINT,
    log_blocks       BIGINT,
    batch_calls      BIGINT NOT NULL,
    calls_per_second BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    PRIMARY KEY (chain_id, name)
);
