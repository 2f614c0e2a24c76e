//! Rows as arrays, a column each: a statement then has the same text and plan however many rows
//! there are.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};

/// Some rows by their columns, with the names that SQL knows them by.
pub(super) struct Columns<'a, R> {
    rows: &'a [R],
    columns: Vec<(&'static str, ArrayColumn<'a>)>,
}

/// The columns alone.
pub(super) struct Unnested<'a>(Vec<(&'static str, ArrayColumn<'a>)>);

enum ArrayColumn<'a> {
    Integers(Vec<i64>),
    MaybeIntegers(Vec<Option<i64>>),
    Small(Vec<i32>),
    Flags(Vec<bool>),
    Texts(Vec<&'a str>),
    MaybeTexts(Vec<Option<&'a str>>),
}

impl<'a, R> Columns<'a, R> {
    pub(super) const fn of(rows: &'a [R]) -> Self {
        Self { rows, columns: Vec::new() }
    }

    pub(super) fn integer(self, name: &'static str, of: impl Fn(&'a R) -> i64) -> Self {
        let column = ArrayColumn::Integers(self.rows.iter().map(of).collect());
        self.with(name, column)
    }

    pub(super) fn maybe_integer(
        self,
        name: &'static str,
        of: impl Fn(&'a R) -> Option<i64>,
    ) -> Self {
        let column = ArrayColumn::MaybeIntegers(self.rows.iter().map(of).collect());
        self.with(name, column)
    }

    pub(super) fn small(self, name: &'static str, of: impl Fn(&'a R) -> i32) -> Self {
        let column = ArrayColumn::Small(self.rows.iter().map(of).collect());
        self.with(name, column)
    }

    pub(super) fn flag(self, name: &'static str, of: impl Fn(&'a R) -> bool) -> Self {
        let column = ArrayColumn::Flags(self.rows.iter().map(of).collect());
        self.with(name, column)
    }

    pub(super) fn text(self, name: &'static str, of: impl Fn(&'a R) -> &'a str) -> Self {
        let column = ArrayColumn::Texts(self.rows.iter().map(of).collect());
        self.with(name, column)
    }

    pub(super) fn maybe_text(
        self,
        name: &'static str,
        of: impl Fn(&'a R) -> Option<&'a str>,
    ) -> Self {
        let column = ArrayColumn::MaybeTexts(self.rows.iter().map(of).collect());
        self.with(name, column)
    }

    fn with(mut self, name: &'static str, column: ArrayColumn<'a>) -> Self {
        self.columns.push((name, column));
        self
    }

    pub(super) fn unnested(self) -> Unnested<'a> {
        Unnested(self.columns)
    }
}

impl Unnested<'_> {
    /// Puts `unnest($1, $2) AS name (a, b)`.
    pub(super) fn push<'b>(&'b self, name: &str, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("unnest(");
        for (place, (_, column)) in self.0.iter().enumerate() {
            if place > 0 {
                out.push_sql(", ");
            }
            column.push(out)?;
        }
        out.push_sql(") AS ");
        out.push_sql(name);
        out.push_sql(" (");
        self.push_names(out);
        out.push_sql(")");
        Ok(())
    }

    /// Puts `a, b`.
    pub(super) fn push_names(&self, out: &mut AstPass<'_, '_, Pg>) {
        for (place, (name, _)) in self.0.iter().enumerate() {
            if place > 0 {
                out.push_sql(", ");
            }
            out.push_sql(name);
        }
    }
}

impl ArrayColumn<'_> {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::Integers(values) => out.push_bind_param::<Array<BigInt>, _>(values),
            Self::MaybeIntegers(values) => {
                out.push_bind_param::<Array<Nullable<BigInt>>, _>(values)
            }
            Self::Small(values) => out.push_bind_param::<Array<Integer>, _>(values),
            Self::Flags(values) => out.push_bind_param::<Array<Bool>, _>(values),
            Self::Texts(values) => out.push_bind_param::<Array<Text>, _>(values),
            Self::MaybeTexts(values) => out.push_bind_param::<Array<Nullable<Text>>, _>(values),
        }
    }
}
