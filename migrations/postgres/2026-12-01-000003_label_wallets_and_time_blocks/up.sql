-- The owner's own name for a linked wallet; and milliseconds from block to block, as last measured, for estimates on pages.
ALTER TABLE wallets ADD COLUMN label TEXT;
ALTER TABLE chains ADD COLUMN block_millis BIGINT;

-- No samples of what says whose a row is.
ALTER TABLE wallets ALTER COLUMN label SET STATISTICS 0;
