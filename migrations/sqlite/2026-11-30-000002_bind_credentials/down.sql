ALTER TABLE sessions DROP COLUMN totp_secret;
ALTER TABLE outbox DROP COLUMN credentials_epoch;
ALTER TABLE email_tokens DROP COLUMN credentials_epoch;
ALTER TABLE log_in_steps DROP COLUMN credentials_epoch;
ALTER TABLE sessions DROP COLUMN credentials_epoch;
ALTER TABLE accounts DROP COLUMN credentials_epoch;
