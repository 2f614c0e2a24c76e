DROP INDEX outbox_by_turn;
ALTER TABLE outbox DROP COLUMN is_bulk;
CREATE INDEX outbox_due ON outbox (due_at, id);
DROP TABLE unsubscribe_tokens;
DROP TABLE policy_versions;
