DROP INDEX ledger_entries_besides_usage;
DROP TABLE refused_requests;
