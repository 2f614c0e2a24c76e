-- What a node says of itself whenever it renews its lease, for the operator. An older program says nothing.
ALTER TABLE nodes ADD COLUMN version TEXT;
ALTER TABLE nodes ADD COLUMN generation INTEGER;
ALTER TABLE nodes ADD COLUMN started_at INTEGER;
ALTER TABLE nodes ADD COLUMN drift_ms INTEGER;
ALTER TABLE nodes ADD COLUMN lapses INTEGER;
ALTER TABLE nodes ADD COLUMN open_exchanges INTEGER;
ALTER TABLE nodes ADD COLUMN max_streams INTEGER;
