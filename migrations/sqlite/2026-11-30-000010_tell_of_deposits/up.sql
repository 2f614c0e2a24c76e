-- When an owner was last told of a credited deposit that is not large, and of one that is held or was undone: of neither
-- again for an hour, however many there are.
ALTER TABLE accounts ADD COLUMN deposit_notified_at INTEGER;
ALTER TABLE accounts ADD COLUMN deposit_trouble_notified_at INTEGER;
