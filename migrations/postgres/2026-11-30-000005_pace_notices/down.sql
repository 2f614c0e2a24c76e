DROP INDEX outbox_by_turn;
ALTER TABLE outbox DROP COLUMN is_notice;
CREATE INDEX outbox_by_turn ON outbox (is_bulk, due_at, id);
ALTER TABLE api_keys DROP COLUMN pause_notified_at;
ALTER TABLE accounts DROP COLUMN low_balance_notified_at;
