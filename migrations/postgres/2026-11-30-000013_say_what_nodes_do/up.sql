-- What a node says of itself whenever it renews its lease, for the operator. An older program says nothing.
ALTER TABLE nodes ADD COLUMN version TEXT;
ALTER TABLE nodes ADD COLUMN generation BIGINT;
ALTER TABLE nodes ADD COLUMN started_at BIGINT;
ALTER TABLE nodes ADD COLUMN drift_ms BIGINT;
ALTER TABLE nodes ADD COLUMN lapses BIGINT;
ALTER TABLE nodes ADD COLUMN open_exchanges BIGINT;
ALTER TABLE nodes ADD COLUMN max_streams BIGINT;
