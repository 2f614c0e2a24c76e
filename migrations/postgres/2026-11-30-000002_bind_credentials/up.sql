-- Counts the changes of what an account logs in with. Whatever was asked for under an earlier count opens nothing.
ALTER TABLE accounts ADD COLUMN credentials_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN credentials_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_in_steps ADD COLUMN credentials_epoch BIGINT NOT NULL DEFAULT 0;
-- NULL where there was no account. What waits at this moment was asked for under the first count.
ALTER TABLE email_tokens ADD COLUMN credentials_epoch BIGINT DEFAULT 0;
ALTER TABLE outbox ADD COLUMN credentials_epoch BIGINT DEFAULT 0;

-- A second factor that is being set up belongs to the session that does it. Whoever is in the middle of it begins again.
ALTER TABLE sessions ADD COLUMN totp_secret BYTEA;
UPDATE accounts SET totp_secret = NULL, totp_last_step = NULL WHERE totp_enabled_at IS NULL;
ALTER TABLE sessions ALTER COLUMN totp_secret SET STATISTICS 0;
