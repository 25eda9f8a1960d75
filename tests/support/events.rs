//! Every event that the program prints is checked against `schemas/events.v1.schema.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

/// The schema of all events.
pub static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../schemas/events.v1.schema.json")).unwrap()
});

/// One validator for each event, so that a message names the member that is wrong.
static VALIDATORS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
    let validator = |name: &str| {
        let schema = json!({"$ref": format!("#/$defs/events/{name}"), "$defs": SCHEMA["$defs"]});
        jsonschema::validator_for(&schema).unwrap()
    };
    let names = SCHEMA["$defs"]["events"].as_object().unwrap().keys();
    names.map(|name| (name.as_str(), validator(name))).collect()
});

/// Panics if `event` is not as the schema defines it.
pub fn check(event: &Value) {
    let name = event["event"].as_str().unwrap_or_default();
    let validator = VALIDATORS
        .get(name)
        .unwrap_or_else(|| panic!("the schema has no event `{name}`: {event}"));
    validator
        .validate(event)
        .unwrap_or_else(|error| panic!("{error} at {}: {event}", error.instance_path()));
}
