ALTER TABLE accounts DROP COLUMN spend_notified_at;
