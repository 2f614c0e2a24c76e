-- What a restore must not undo, from its commit until it is in the journal beside the database.
CREATE TABLE journal_events (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    event  TEXT NOT NULL
);
