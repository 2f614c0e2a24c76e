-- Wrong codes of the second factor: of an account since the window began that they are counted in, and of one log-in.
ALTER TABLE accounts ADD COLUMN wrong_codes INTEGER NOT NULL DEFAULT 0 CHECK (wrong_codes >= 0);
ALTER TABLE accounts ADD COLUMN wrong_codes_began_at INTEGER;
-- When a new password last began the count anew: not again within a window, or who reads the mail could guess for ever.
ALTER TABLE accounts ADD COLUMN wrong_codes_pardoned_at INTEGER;
ALTER TABLE log_in_steps ADD COLUMN wrong_codes INTEGER NOT NULL DEFAULT 0 CHECK (wrong_codes >= 0);
