ALTER TABLE reservations DROP COLUMN parked_reason;
ALTER TABLE reservations DROP COLUMN parked_at;
