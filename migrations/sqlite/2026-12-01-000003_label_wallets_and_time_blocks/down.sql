ALTER TABLE chains DROP COLUMN block_millis;
ALTER TABLE wallets DROP COLUMN label;
