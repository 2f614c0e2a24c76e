-- When a deposit was credited before its block was final, as `[[chains.tiers]]` allow, and with how much; and whether it is not
-- known yet that its block stayed.
ALTER TABLE deposits ADD COLUMN early_credit_at INTEGER;
ALTER TABLE deposits ADD COLUMN early_value_nanousd INTEGER;
ALTER TABLE deposits ADD COLUMN is_provisional INTEGER NOT NULL DEFAULT 0 CHECK (is_provisional IN (0, 1));
CREATE INDEX deposits_credited_early ON deposits (chain_id, early_credit_at) WHERE early_credit_at IS NOT NULL;
CREATE INDEX deposits_provisional ON deposits (chain_id, is_provisional, block_number) WHERE early_credit_at IS NOT NULL;
