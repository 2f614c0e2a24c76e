-- A settlement that the database refuses is parked: its reservation stays open, with the final record and the reason,
-- until an operator settles it.
ALTER TABLE reservations ADD COLUMN parked_at INTEGER;
ALTER TABLE reservations ADD COLUMN parked_reason TEXT;
