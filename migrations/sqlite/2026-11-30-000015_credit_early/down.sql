DROP INDEX deposits_provisional;
DROP INDEX deposits_credited_early;
ALTER TABLE deposits DROP COLUMN is_provisional;
ALTER TABLE deposits DROP COLUMN early_value_nanousd;
ALTER TABLE deposits DROP COLUMN early_credit_at;
