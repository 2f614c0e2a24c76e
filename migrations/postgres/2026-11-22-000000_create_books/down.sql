DROP TABLE nodes;
DROP TABLE usage_logs;
DROP TABLE reservations;
DROP TABLE ledger_entries;
DROP TABLE api_keys;
DROP TABLE accounts;
