//! On which line of the operator's file each key stands.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml_edit::{Array, Document, Item, TableLike};

use super::problems::{ConfigErrors, KeyPath, Problem, SettingLocation};

/// The line of every key and of every entry of an array.
///
/// # Errors
/// The first mistake of syntax, with its line and column.
pub(super) fn of(text: &str, path: &Path) -> Result<BTreeMap<KeyPath, usize>, ConfigErrors> {
    let document = Document::parse(text).map_err(|error| {
        let position = error.span().map(|span| position(text, span.start));
        let place = SettingLocation::File {
            path: path.to_owned(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
        };
        let reason = error.message().replace('\n', ", ");
        ConfigErrors { problems: vec![Problem { place, key: String::new(), reason }] }
    })?;
    let mut index = Index { text, lines: BTreeMap::new() };
    index.table(document.as_table(), &KeyPath::default());
    Ok(index.lines)
}

struct Index<'a> {
    text: &'a str,
    lines: BTreeMap<KeyPath, usize>,
}

impl Index<'_> {
    fn table(&mut self, table: &dyn TableLike, at: &KeyPath) {
        for (name, item) in table.iter() {
            let at = at.key(name);
            self.note(&at, table.key(name).and_then(toml_edit::Key::span));
            self.item(item, &at);
        }
    }

    fn item(&mut self, item: &Item, at: &KeyPath) {
        if let Some(tables) = item.as_array_of_tables() {
            for (position, table) in tables.iter().enumerate() {
                let at = at.index(position);
                self.note(&at, table.span());
                self.table(table, &at);
            }
        } else if let Some(array) = item.as_array() {
            self.array(array, at);
        } else if let Some(table) = item.as_table_like() {
            // The key may have been seen on the way to a table below; the header is the better
            // place.
            self.note(at, item.as_table().and_then(toml_edit::Table::span));
            self.table(table, at);
        }
    }

    fn array(&mut self, array: &Array, at: &KeyPath) {
        for (position, value) in array.iter().enumerate() {
            let at = at.index(position);
            self.note(&at, value.span());
            if let Some(table) = value.as_inline_table() {
                self.table(table, &at);
            }
        }
    }

    fn note(&mut self, at: &KeyPath, span: Option<Range<usize>>) {
        if let Some(span) = span {
            self.lines.insert(at.clone(), position(self.text, span.start).0);
        }
    }
}

/// Line and column of a byte, both counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column =
        before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()).saturating_add(1);
    (line, column)
}
