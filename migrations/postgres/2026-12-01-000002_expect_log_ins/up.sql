-- When a password was set by a link and nobody has logged in with it yet: that log-in is expected, and brings no mail.
ALTER TABLE accounts ADD COLUMN log_in_expected_at BIGINT;
