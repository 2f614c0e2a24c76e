DROP INDEX deposits_by_payee;
DROP TABLE token_looks;
DROP TABLE deposit_arrivals;
DROP TABLE address_balances;
