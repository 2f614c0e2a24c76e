DROP TABLE deposit_cases;
