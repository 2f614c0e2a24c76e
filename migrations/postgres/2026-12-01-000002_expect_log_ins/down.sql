ALTER TABLE accounts DROP COLUMN log_in_expected_at;
