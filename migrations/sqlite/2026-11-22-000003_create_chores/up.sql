-- What is done now and then, and when it was last done to its end, whichever node did it.
CREATE TABLE chores (
    name         TEXT PRIMARY KEY,
    finished_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
