//! What a table holds, so that both sides can be compared: rows, sums of money, and a digest of
//! every row's content. The databases order rows differently, so that the digest does not depend on
//! their order.

use std::collections::BTreeMap;

use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::CopyError;
use super::tables::TableLayout;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableTally {
    /// Rows.
    pub rows: u64,
    /// Sums of the columns that hold money, in nano-dollars.
    pub sums: BTreeMap<String, i128>,
    digest: u128,
}

#[derive(QueryableByName)]
struct TallyLine {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Bytes {
    #[diesel(sql_type = Binary)]
    line: Vec<u8>,
}

impl TableTally {
    /// Of SQLite's table.
    pub(super) fn of_sqlite(
        layout: &TableLayout,
        conn: &mut SqliteConnection,
    ) -> Result<Self, CopyError> {
        let sql = layout.read_sqlite(None, usize::MAX >> 1);
        let mut tally = Self::empty(layout);
        for line in diesel::sql_query(sql).load_iter::<Bytes, _>(conn)? {
            tally.add(layout, &line?.line)?;
        }
        Ok(tally)
    }

    /// Of PostgreSQL's.
    pub(super) fn of_postgres(
        layout: &TableLayout,
        conn: &mut PgConnection,
    ) -> Result<Self, CopyError> {
        let mut tally = Self::empty(layout);
        let query = diesel::sql_query(layout.read_postgres());
        for line in query.load_iter::<TallyLine, PgRowByRowLoadingMode>(conn)? {
            tally.add(layout, line?.line.as_bytes())?;
        }
        Ok(tally)
    }

    fn empty(layout: &TableLayout) -> Self {
        let sums = layout.sums().map(|name| (name.to_owned(), 0)).collect();
        Self { sums, ..Self::default() }
    }

    fn add(&mut self, layout: &TableLayout, line: &[u8]) -> Result<(), CopyError> {
        let unreadable = |_| CopyError::Unreadable(layout.name);
        let mut row: BTreeMap<String, Value> = serde_json::from_slice(line).map_err(unreadable)?;
        for (name, sum) in &mut self.sums {
            let nanos = row.get(name).and_then(Value::as_i64).unwrap_or(0);
            *sum = sum.saturating_add(i128::from(nanos));
        }
        for value in row.values_mut() {
            // SQLite has no booleans of its own.
            if let Value::Bool(is) = value {
                *value = i64::from(*is).into();
            }
        }
        let text = serde_json::to_string(&row).map_err(unreadable)?;
        let hash = Sha256::digest(text.as_bytes());
        let first = hash.iter().take(16).fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
        self.digest = self.digest.wrapping_add(first);
        self.rows = self.rows.saturating_add(1);
        Ok(())
    }
}
