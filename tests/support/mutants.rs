//! Records with a single change each, for comparing what the schema, the reader and the verifier
//! refuse.

use serde_json::{Value, json};

/// Returns every place in a JSON value as a JSON pointer.
fn places(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, value)| places(value, format!("{at}/{name}"), into));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, value)| places(value, format!("{at}/{n}"), into));
        }
        _ => {}
    }
    into.push(at);
}

/// Returns values that replace any other: of each type, and just beyond the allowed range.
fn strangers() -> Vec<Value> {
    let big: u64 = 1 << 53;
    vec![
        json!(null),
        json!(true),
        json!(""),
        json!("x"),
        json!("caf\u{e9}"),
        json!("\u{1}"),
        json!("\u{7f}"),
        json!("0".repeat(63)),
        json!("A".repeat(64)),
        json!("g".repeat(64)),
        json!("2026-13-01"),
        json!("2026-1-1"),
        json!("20261120"),
        json!("2026-11-20T00:00:00Z"),
        json!("2026-11-20T24:00:00.000Z"),
        json!("2026-11-20T00:00:00.000+00:00"),
        json!("2026-11-20t00:00:00.000z"),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(u64::from(u32::MAX) + 1),
        json!(big),
        json!(u64::MAX),
        json!(1e300),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!({ "another": 1 }),
    ]
}

/// A record with a single change.
pub struct Mutant {
    pub what: String,
    pub value: Value,
}

pub fn mutants(valid: &Value) -> Vec<Mutant> {
    let mut all = Vec::new();
    places(valid, String::new(), &mut all);
    let mut mutants = Vec::new();
    let mut add = |what: String, value: Value| mutants.push(Mutant { what, value });
    for place in all {
        for stranger in strangers() {
            let mut value = valid.clone();
            *value.pointer_mut(&place).unwrap() = stranger.clone();
            add(format!("{place} = {stranger}"), value);
        }
        if let Value::Object(members) = valid.pointer(&place).unwrap() {
            for name in members.keys() {
                let mut value = valid.clone();
                value
                    .pointer_mut(&place)
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .remove(name);
                add(format!("{place} without {name}"), value);
            }
            for (name, member) in [
                ("another", json!(1)),
                ("", json!({})),
                ("Kind", json!("day")),
                ("\u{e9}", json!(1)),
            ] {
                let mut value = valid.clone();
                value.pointer_mut(&place).unwrap()[name] = member;
                add(format!("{place} with {name:?}"), value);
            }
        }
    }
    mutants
}
