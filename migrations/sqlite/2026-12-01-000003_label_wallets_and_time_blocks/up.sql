-- The owner's own name for a linked wallet; and milliseconds from block to block, as last measured, for estimates on pages.
ALTER TABLE wallets ADD COLUMN label TEXT;
ALTER TABLE chains ADD COLUMN block_millis INTEGER;
