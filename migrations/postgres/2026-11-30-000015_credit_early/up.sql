-- When a deposit was credited before its block was final, as `[[chains.tiers]]` allow, and with how much; and whether it is not
-- known yet that its block stayed.
ALTER TABLE deposits ADD COLUMN early_credit_at BIGINT;
ALTER TABLE deposits ADD COLUMN early_value_nanousd BIGINT;
ALTER TABLE deposits ADD COLUMN is_provisional BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX deposits_credited_early ON deposits (chain_id, early_credit_at) WHERE early_credit_at IS NOT NULL;
CREATE INDEX deposits_provisional ON deposits (chain_id, is_provisional, block_number) WHERE early_credit_at IS NOT NULL;
