-- When an owner was last told that credit runs low, and that a budget has stopped a key: not again for an hour, however
-- often either happens.
ALTER TABLE accounts ADD COLUMN low_balance_notified_at BIGINT;
ALTER TABLE api_keys ADD COLUMN pause_notified_at BIGINT;

-- Whether nobody waits for the mail, so that it goes behind what somebody waits for.
ALTER TABLE outbox ADD COLUMN is_notice BOOLEAN NOT NULL DEFAULT FALSE;

DROP INDEX outbox_by_turn;
CREATE INDEX outbox_by_turn ON outbox (is_bulk, is_notice, due_at, id);
