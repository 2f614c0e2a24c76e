-- When somebody was last told that an account spends far more than it used to: not again for a day.
ALTER TABLE accounts ADD COLUMN spend_notified_at INTEGER;
