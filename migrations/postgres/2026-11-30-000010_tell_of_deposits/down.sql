ALTER TABLE accounts DROP COLUMN deposit_trouble_notified_at;
ALTER TABLE accounts DROP COLUMN deposit_notified_at;
