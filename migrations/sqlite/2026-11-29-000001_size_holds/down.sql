DROP TABLE usage_passes;
ALTER TABLE reservations DROP COLUMN risk_nanousd;
ALTER TABLE accounts DROP COLUMN first_charged_at;
ALTER TABLE accounts DROP COLUMN at_risk_nanousd;
