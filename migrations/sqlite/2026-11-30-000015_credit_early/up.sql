-- When a deposit was credited before its block was final, as `[[chains.tiers]]` allow.
ALTER TABLE deposits ADD COLUMN early_credit_at INTEGER;
CREATE INDEX deposits_credited_early ON deposits (chain_id, early_credit_at) WHERE early_credit_at IS NOT NULL;
