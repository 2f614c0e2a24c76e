-- For the status page: how many minutes of a day each part was looked at, and in how many of them it was not well.
CREATE TABLE status_days (
    part          TEXT    NOT NULL,
    day           INTEGER NOT NULL,
    minutes_seen  INTEGER NOT NULL,
    minutes_bad   INTEGER NOT NULL,
    PRIMARY KEY (part, day)
) STRICT;
