-- What tells keys apart on pages: their beginning and their last four characters. Keys from before have none.
ALTER TABLE api_keys ADD COLUMN hint TEXT;

-- Since when its owner has paused it.
ALTER TABLE api_keys ADD COLUMN paused_at BIGINT;

-- When it got another secret, and the one from before, as long as that works beside it.
ALTER TABLE api_keys ADD COLUMN rotated_at BIGINT;
ALTER TABLE api_keys ADD COLUMN previous_hash BYTEA;
ALTER TABLE api_keys ADD COLUMN previous_hint TEXT;
ALTER TABLE api_keys ADD COLUMN previous_expires_at BIGINT;
CREATE UNIQUE INDEX api_keys_by_previous_hash ON api_keys (previous_hash);

-- No samples of what says whose a row is.
ALTER TABLE api_keys
    ALTER COLUMN hint SET STATISTICS 0,
    ALTER COLUMN previous_hash SET STATISTICS 0,
    ALTER COLUMN previous_hint SET STATISTICS 0;
