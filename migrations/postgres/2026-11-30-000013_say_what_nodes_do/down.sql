ALTER TABLE nodes DROP COLUMN max_streams;
ALTER TABLE nodes DROP COLUMN open_exchanges;
ALTER TABLE nodes DROP COLUMN lapses;
ALTER TABLE nodes DROP COLUMN drift_ms;
ALTER TABLE nodes DROP COLUMN started_at;
ALTER TABLE nodes DROP COLUMN generation;
ALTER TABLE nodes DROP COLUMN version;
