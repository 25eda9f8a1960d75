//! The Merkle leaf of a row: RFC 8785's form of an object with a member for each column that is not null.
//!
//! Instants are integers (UTC milliseconds). `schemas/FORMAT.md`, section "Merkle leaves", specifies the bytes.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::format::row::column::{Cell, CellRef};
use crate::format::row::schema::COLUMNS;

/// Indexes into [`COLUMNS`] in the order of the columns' names, which is the order of the members of a leaf.
static LEAF_ORDER: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let mut order: Vec<usize> = (0..COLUMNS.len()).collect();
    order.sort_by_key(|&column| COLUMNS[column].name);
    order
});

/// Replaces the content of `into` with the leaf of a row whose values are in the order of [`COLUMNS`].
pub fn leaf(cells: &[Cell], into: &mut Vec<u8>) {
    leaf_by_column(|column| cells[column].value(), into);
}

/// Replaces the content of `into` with the leaf of a row of which `value` returns the value of each column.
pub(crate) fn leaf_by_column<'a>(value: impl Fn(usize) -> CellRef<'a>, into: &mut Vec<u8>) {
    into.clear();
    into.push(b'{');
    for &column in LEAF_ORDER.iter() {
        let value = value(column);
        if value == CellRef::Null {
            continue;
        }
        if into.len() > 1 {
            into.push(b',');
        }
        into.push(b'"');
        into.extend_from_slice(COLUMNS[column].name.as_bytes());
        into.extend_from_slice(b"\":");
        value.write_json(into);
    }
    into.push(b'}');
}

/// Returns the leaf of a row that is given as JSON, as a receipt has it.
///
/// Returns `None` where a leaf cannot hold a value, or not in this form: `1.0` for `1` would be another leaf to other
/// programs that check. Integers keep all their digits, also beyond 2^53, where RFC 8785's own form of a number rounds.
pub fn leaf_of(row: &Map<String, Value>) -> Option<Vec<u8>> {
    let mut members: Vec<_> = row.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    let mut json = vec![b'{'];
    for (name, value) in members {
        if json.len() > 1 {
            json.push(b',');
        }
        Cell::Text(name.as_str()).write_json(&mut json);
        json.push(b':');
        let cell = match value {
            Value::String(text) => Cell::Text(text.as_str()),
            Value::Number(number) => Cell::Int(number.as_i64()?),
            Value::Bool(value) => Cell::Bool(*value),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        cell.write_json(&mut json);
    }
    json.push(b'}');
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf_text(row: &str) -> Option<String> {
        let row: Map<String, Value> = serde_json::from_str(row).unwrap();
        leaf_of(&row).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn members_are_sorted_and_integers_keep_their_digits() {
        let leaf = leaf_text(r#"{ "b": 9007199254740993, "a": "\u0041", "c": true }"#);
        let expected = r#"{"a":"A","b":9007199254740993,"c":true}"#;
        assert_eq!(leaf.as_deref(), Some(expected));
    }

    #[test]
    fn values_in_another_form_make_no_leaf() {
        for row in [
            r#"{"a":1.0}"#,
            r#"{"a":null}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
        ] {
            assert_eq!(leaf_text(row), None, "{row}");
        }
    }
}
