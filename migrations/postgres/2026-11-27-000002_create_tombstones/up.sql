-- What is left of a deposit whose account was erased: an HMAC of its place on the chain, under a secret that is kept
-- outside the database. It keeps the transfer from being credited again, and says nothing to whoever has only this.
CREATE TABLE deposit_tombstones (
    hash  BYTEA PRIMARY KEY CHECK (octet_length(hash) = 32)
);

-- An HMAC of a fixed word under each secret that hashes in here were made with, so that another one is noticed.
CREATE TABLE secret_checks (
    name   TEXT  PRIMARY KEY,
    value  BYTEA NOT NULL CHECK (octet_length(value) = 32)
);

-- The planner's samples of what says whose a row is would outlive the row, in a table that no compaction of ours may
-- write anew. A change of type, be it to the same, drops those that there are.
ALTER TABLE accounts
    ALTER COLUMN public_id TYPE TEXT, ALTER COLUMN public_id SET STATISTICS 0,
    ALTER COLUMN email TYPE TEXT, ALTER COLUMN email SET STATISTICS 0,
    ALTER COLUMN password_hash TYPE TEXT, ALTER COLUMN password_hash SET STATISTICS 0,
    ALTER COLUMN totp_secret TYPE BYTEA, ALTER COLUMN totp_secret SET STATISTICS 0;
ALTER TABLE api_keys
    ALTER COLUMN public_id TYPE TEXT, ALTER COLUMN public_id SET STATISTICS 0,
    ALTER COLUMN name TYPE TEXT, ALTER COLUMN name SET STATISTICS 0,
    ALTER COLUMN hash TYPE BYTEA, ALTER COLUMN hash SET STATISTICS 0;
ALTER TABLE audit_log
    ALTER COLUMN subject TYPE TEXT, ALTER COLUMN subject SET STATISTICS 0,
    ALTER COLUMN detail TYPE TEXT, ALTER COLUMN detail SET STATISTICS 0;
ALTER TABLE chain_candidates
    ALTER COLUMN tx_hash TYPE BYTEA, ALTER COLUMN tx_hash SET STATISTICS 0;
ALTER TABLE deposit_addresses
    ALTER COLUMN address TYPE BYTEA, ALTER COLUMN address SET STATISTICS 0;
ALTER TABLE deposit_claims
    ALTER COLUMN public_id TYPE TEXT, ALTER COLUMN public_id SET STATISTICS 0,
    ALTER COLUMN tx_hash TYPE BYTEA, ALTER COLUMN tx_hash SET STATISTICS 0;
ALTER TABLE deposit_refunds
    ALTER COLUMN public_id TYPE TEXT, ALTER COLUMN public_id SET STATISTICS 0,
    ALTER COLUMN tx_hash TYPE BYTEA, ALTER COLUMN tx_hash SET STATISTICS 0;
ALTER TABLE deposits
    ALTER COLUMN public_id TYPE TEXT, ALTER COLUMN public_id SET STATISTICS 0,
    ALTER COLUMN tx_hash TYPE BYTEA, ALTER COLUMN tx_hash SET STATISTICS 0,
    ALTER COLUMN payer TYPE BYTEA, ALTER COLUMN payer SET STATISTICS 0,
    ALTER COLUMN payee TYPE BYTEA, ALTER COLUMN payee SET STATISTICS 0,
    ALTER COLUMN raw_amount TYPE TEXT, ALTER COLUMN raw_amount SET STATISTICS 0;
ALTER TABLE email_tokens
    ALTER COLUMN token_hash TYPE BYTEA, ALTER COLUMN token_hash SET STATISTICS 0,
    ALTER COLUMN email TYPE TEXT, ALTER COLUMN email SET STATISTICS 0;
ALTER TABLE ledger_entries
    ALTER COLUMN reference TYPE TEXT, ALTER COLUMN reference SET STATISTICS 0;
ALTER TABLE log_in_steps
    ALTER COLUMN token_hash TYPE BYTEA, ALTER COLUMN token_hash SET STATISTICS 0;
ALTER TABLE outbox
    ALTER COLUMN message_id TYPE TEXT, ALTER COLUMN message_id SET STATISTICS 0,
    ALTER COLUMN reference TYPE TEXT, ALTER COLUMN reference SET STATISTICS 0,
    ALTER COLUMN recipient TYPE TEXT, ALTER COLUMN recipient SET STATISTICS 0,
    ALTER COLUMN params TYPE TEXT, ALTER COLUMN params SET STATISTICS 0;
ALTER TABLE recovery_codes
    ALTER COLUMN code_hash TYPE BYTEA, ALTER COLUMN code_hash SET STATISTICS 0;
ALTER TABLE reservations
    ALTER COLUMN id TYPE TEXT, ALTER COLUMN id SET STATISTICS 0,
    ALTER COLUMN record TYPE TEXT, ALTER COLUMN record SET STATISTICS 0;
ALTER TABLE sessions
    ALTER COLUMN public_id TYPE TEXT, ALTER COLUMN public_id SET STATISTICS 0,
    ALTER COLUMN token_hash TYPE BYTEA, ALTER COLUMN token_hash SET STATISTICS 0;
ALTER TABLE usage_logs
    ALTER COLUMN id TYPE TEXT, ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE wallet_challenges
    ALTER COLUMN nonce TYPE TEXT, ALTER COLUMN nonce SET STATISTICS 0,
    ALTER COLUMN address TYPE BYTEA, ALTER COLUMN address SET STATISTICS 0;
ALTER TABLE wallets
    ALTER COLUMN public_id TYPE TEXT, ALTER COLUMN public_id SET STATISTICS 0,
    ALTER COLUMN address TYPE BYTEA, ALTER COLUMN address SET STATISTICS 0,
    ALTER COLUMN proof_hash TYPE BYTEA, ALTER COLUMN proof_hash SET STATISTICS 0,
    ALTER COLUMN proof_signature TYPE BYTEA, ALTER COLUMN proof_signature SET STATISTICS 0;
