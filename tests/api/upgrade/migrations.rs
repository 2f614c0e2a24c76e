//! The rule for migrations: first expand, and contract a release later (`migrations/README.md`).

use std::path::Path;

use sluice::db::compatibility::GENERATION;

/// The last migration before there was a rule.
const BEFORE_THE_RULE: &str = "2026-11-30-000012";

/// What takes something away from programs that know the schema of before.
const CONTRACTIONS: [&str; 7] = [
    "DROP TABLE",
    "DROP COLUMN",
    "RENAME",
    "SET NOT NULL",
    " TYPE ",
    "ADD CONSTRAINT",
    "ADD CHECK",
];

/// Says which programs may serve it from then on.
const SAYS: &str = "UPDATE SCHEMA_COMPATIBILITY SET OLDEST_GENERATION =";

/// Or why all may.
const EXCUSE: &str = "-- Older programs may serve this: ";

/// Statements in capitals, without comments.
fn statements(sql: &str) -> Vec<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let words = lines.flat_map(str::split_whitespace).map(str::to_uppercase);
    let text = words.collect::<Vec<_>>().join(" ");
    text.split(';').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

/// Why older programs cannot serve what a migration makes, if so.
fn contraction(sql: &str) -> Option<String> {
    let statements = statements(sql);
    let is_said = statements.iter().any(|one| one.starts_with(SAYS));
    if is_said || sql.contains(EXCUSE) {
        return None;
    }
    statements.into_iter().find(|one| {
        let takes = CONTRACTIONS.iter().any(|word| one.contains(word));
        let adds = one.split("ADD COLUMN").skip(1);
        let mut demands =
            adds.map(|column| column.contains("NOT NULL") && !column.contains("DEFAULT"));
        takes || demands.any(|demands| demands)
    })
}

/// Every `up.sql`, with the name of its migration.
fn migrations() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for database in ["sqlite", "postgres"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.push((name, std::fs::read_to_string(path.join("up.sql")).unwrap()));
        }
    }
    found
}

#[test]
fn a_migration_expands_or_says_which_programs_may_serve_it() {
    let mut seen = 0;
    for (name, sql) in migrations() {
        if name.as_str() > BEFORE_THE_RULE && !name.starts_with(BEFORE_THE_RULE) {
            seen += 1;
            assert_eq!(contraction(&sql), None, "{name}: see migrations/README.md");
        }
    }
    assert!(seen >= 2, "there are none");
}

#[test]
fn no_schema_is_for_newer_programs_than_the_one_that_makes_it() {
    for (name, sql) in migrations() {
        let statements = statements(&sql);
        let oldest = statements.iter().filter_map(|one| {
            one.strip_prefix(SAYS)?.split_whitespace().next()?.parse::<i64>().ok()
        });
        assert!(oldest.max() <= Some(GENERATION), "{name}: raise `compatibility::GENERATION`");
    }
}

#[test]
fn what_older_programs_cannot_serve_is_told_from_what_they_can() {
    let expands = [
        "ALTER TABLE a ADD COLUMN b TEXT;",
        "ALTER TABLE a ADD COLUMN b BIGINT NOT NULL DEFAULT 0, ADD COLUMN c TEXT;",
        "CREATE TABLE a (b TEXT NOT NULL); -- no DROP TABLE here",
        "CREATE INDEX a_by_b ON a (b);",
        "ALTER TABLE a DROP COLUMN b;\nUPDATE schema_compatibility\n  SET oldest_generation = 2;",
        "-- Older programs may serve this: none reads it.\nDROP TABLE a;",
    ];
    for sql in expands {
        assert_eq!(contraction(sql), None, "{sql}");
    }
    let contracts = [
        "ALTER TABLE a ADD COLUMN b BIGINT NOT NULL;",
        "ALTER TABLE a ADD COLUMN b TEXT DEFAULT '', ADD COLUMN c BIGINT NOT NULL;",
        "alter table a\n  drop column b;",
        "DROP TABLE a;",
        "ALTER TABLE a RENAME COLUMN b TO c;",
        "ALTER TABLE a ALTER COLUMN b SET NOT NULL;",
        "ALTER TABLE a ALTER COLUMN b TYPE TEXT;",
        "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);",
    ];
    for sql in contracts {
        assert!(contraction(sql).is_some(), "{sql}");
    }
}
