//! Rows of CSV as RFC 4180 writes them, safe to open in a spreadsheet: a text that would be taken
//! for a formula is defused.

use crate::domain::spreadsheet::defused;

/// One row in the making.
#[derive(Default)]
pub(super) struct CsvRow {
    text: String,
    has_fields: bool,
}

impl CsvRow {
    /// A number or another value of our own making, which may begin with a minus.
    pub(super) fn plain(&mut self, value: &str) -> &mut Self {
        self.field(value);
        self
    }

    /// Words: a person's, a provider's or the config's.
    pub(super) fn words(&mut self, words: &str) -> &mut Self {
        self.field(&defused(words));
        self
    }

    /// The row with its line end.
    pub(super) fn end(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }

    fn field(&mut self, value: &str) {
        if self.has_fields {
            self.text.push(',');
        }
        self.has_fields = true;
        if value.contains([',', '"', '\r', '\n']) {
            self.text.push('"');
            self.text.push_str(&value.replace('"', "\"\""));
            self.text.push('"');
        } else {
            self.text.push_str(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_formulas_defused() {
        let mut row = CsvRow::default();
        row.plain("-1").words("a, \"b\"\r\nc").words("").words("=1+1").words(" @x").words("\tx");
        row.words("－1").words("fine");
        let expected = "-1,\"a, \"\"b\"\"\r\nc\",,'=1+1,' @x,'\tx,'－1,fine\r\n";
        assert_eq!(row.end(), expected);
    }
}
