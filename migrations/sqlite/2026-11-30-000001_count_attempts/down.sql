ALTER TABLE log_in_steps DROP COLUMN wrong_codes;
ALTER TABLE accounts DROP COLUMN wrong_codes_pardoned_at;
ALTER TABLE accounts DROP COLUMN wrong_codes_began_at;
ALTER TABLE accounts DROP COLUMN wrong_codes;
