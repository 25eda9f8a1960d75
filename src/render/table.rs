//! Tables of aligned columns.

use std::fmt::{self, Write as _};

/// A table for people: a header, rows of cells, and columns that are as wide as their widest cell.
///
/// Columns of numbers are aligned to the right, all others to the left. A column is one of numbers if each of its
/// cells below the header is empty, is `-`, or begins with a digit.
///
/// # Examples
/// ```
/// use cxvault::render::Table;
///
/// let mut table = Table::new("day | segments");
/// table.row(["2026-11-20", "1,234"]).row(["2026-11-21", "7"]);
/// assert_eq!(
///     table.to_string(),
///     "       day  segments\n2026-11-20     1,234\n2026-11-21         7"
/// );
/// ```
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The header first. Rows may be shorter than the header.
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows. `header` names the columns, with `|` between them.
    pub fn new(header: &str) -> Self {
        let names = header.split('|').map(|name| name.trim().to_owned());
        Table {
            rows: vec![names.collect()],
        }
    }

    /// Appends a row. Foreign text must have gone through [`crate::format::text::printable`] before.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Returns the width of a column in characters, and whether it is a column of numbers.
    fn column(&self, n: usize) -> (usize, bool) {
        let cells: Vec<&String> = self.rows.iter().filter_map(|row| row.get(n)).collect();
        let widths = cells.iter().map(|cell| cell.chars().count());
        let mut body = cells.iter().skip(1).filter(|cell| !cell.is_empty());
        let is_numeric = body.clone().next().is_some()
            && body.all(|cell| *cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit()));
        (widths.max().unwrap_or(0), is_numeric)
    }
}

impl fmt::Display for Table {
    /// Writes lines without blanks at their ends, and without a newline after the last line.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let columns: Vec<_> = (0..columns).map(|n| self.column(n)).collect();
        for (n, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, &(width, is_numeric)) in row.iter().zip(&columns) {
                match is_numeric {
                    true => write!(line, "{cell:>width$}  ")?,
                    false => write!(line, "{cell:<width$}  ")?,
                }
            }
            write!(out, "{}{}", if n == 0 { "" } else { "\n" }, line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align() {
        let mut table = Table::new("| agent | note");
        table
            .row(["present", "1,234", "ok"])
            .row(["not found", "-", ""])
            .row(["empty", "7", "höher"]);
        let expected = "           agent  note\npresent    1,234  ok\nnot found      -\nempty          7  höher";
        assert_eq!(table.to_string(), expected);
    }
}
