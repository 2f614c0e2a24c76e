-- Which programs may serve this schema: those of `oldest_generation` and newer. One row.
CREATE TABLE schema_compatibility (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    oldest_generation  INTEGER NOT NULL,
    migrated_by        TEXT
) STRICT;

INSERT INTO schema_compatibility (id, oldest_generation) VALUES (1, 1);
