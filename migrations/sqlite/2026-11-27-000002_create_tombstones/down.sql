DROP TABLE deposit_tombstones;
DROP TABLE secret_checks;
