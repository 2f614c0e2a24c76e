DROP INDEX deposits_credited_early;
ALTER TABLE deposits DROP COLUMN early_credit_at;
