-- What a key may be used for, as words with blanks between them (RFC 6749, 3.3). Keys from before may do all that a key
-- may do, as ever; so may those that an earlier version makes while this one is being installed.
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'inference read billing';
