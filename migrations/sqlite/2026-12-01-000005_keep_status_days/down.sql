DROP TABLE status_days;
