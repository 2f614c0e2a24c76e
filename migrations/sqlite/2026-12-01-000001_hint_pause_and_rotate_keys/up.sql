-- What tells keys apart on pages: their beginning and their last four characters. Keys from before have none.
ALTER TABLE api_keys ADD COLUMN hint TEXT;

-- Since when its owner has paused it.
ALTER TABLE api_keys ADD COLUMN paused_at INTEGER;

-- When it got another secret, and the one from before, as long as that works beside it.
ALTER TABLE api_keys ADD COLUMN rotated_at INTEGER;
ALTER TABLE api_keys ADD COLUMN previous_hash BLOB;
ALTER TABLE api_keys ADD COLUMN previous_hint TEXT;
ALTER TABLE api_keys ADD COLUMN previous_expires_at INTEGER;
CREATE UNIQUE INDEX api_keys_by_previous_hash ON api_keys (previous_hash);
