//! JSON events: what `--json` writes to stdout, one object a line.
//!
//! `schemas/EVENTS.md` documents the members of every event, and `schemas/events.v1.schema.json` checks them. Their order is
//! the order in which a command adds them, `event` first, because people read these lines as well; a map of `serde_json` would
//! sort the names. An event is therefore text from the beginning, and never a tree of values.

use std::fmt;

use serde::Serialize;

/// An event under construction. [`Output::event`](super::Output::event) writes it.
///
/// Values must not hold secrets. A value that has no form in JSON, such as a map whose keys are not texts, is left out and
/// logged: an event is a report, and must not end the command that it reports.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The object so far, without the closing brace.
    text: String,
}

impl Event {
    /// Creates an event that has only the member `event`.
    pub(crate) fn new(name: &'static str) -> Self {
        Event {
            text: format!("{{\"event\":\"{name}\""),
        }
    }

    /// Creates an event from a value that has the member `event` itself.
    pub(crate) fn of(event: &impl Serialize) -> Self {
        let mut text = json("event", event).unwrap_or_else(|| "{}".to_owned());
        text.pop();
        Event { text }
    }

    /// Appends a member.
    pub(crate) fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        if let Some(value) = json(name, &value) {
            self.text.push_str(&format!(",\"{name}\":{value}"));
        }
        self
    }

    /// Appends a member that only some events of this name have.
    pub(crate) fn with_if(
        self,
        is_present: bool,
        name: &'static str,
        value: impl Serialize,
    ) -> Self {
        if is_present {
            self.with(name, value)
        } else {
            self
        }
    }

    /// Appends the members of a struct, in the order of its fields.
    pub(crate) fn merge(mut self, members: &impl Serialize) -> Self {
        let object = json("merge", members).unwrap_or_default();
        let members = object
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        if let Some(members) = members.filter(|members| !members.is_empty()) {
            self.text.push(',');
            self.text.push_str(members);
        }
        self
    }
}

impl fmt::Display for Event {
    /// Writes the event as one line of JSON, without a newline.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}}}", self.text)
    }
}

/// Returns a value as JSON, or logs why it cannot be written.
fn json(member: &str, value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value)
        .inspect_err(|error| tracing::error!(%error, member, "cannot write an event as JSON"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Counts {
        present: u64,
        empty: Option<u64>,
    }

    #[test]
    fn members_keep_the_order_in_which_they_are_added() {
        let counts = Counts {
            present: 2,
            empty: None,
        };
        let event = Event::new("sample")
            .with("text", "a \"quoted\"\nline")
            .with_if(false, "dry_run", true)
            .merge(&counts)
            .with("counts", &counts);
        assert_eq!(
            event.to_string(),
            r#"{"event":"sample","text":"a \"quoted\"\nline","present":2,"empty":null,"counts":{"present":2,"empty":null}}"#
        );
    }

    #[test]
    fn an_event_may_have_no_other_member() {
        let nothing = std::collections::BTreeMap::<String, u64>::new();
        assert_eq!(
            Event::new("end").merge(&nothing).to_string(),
            r#"{"event":"end"}"#
        );
        assert_eq!(Event::of(&nothing).to_string(), "{}");
    }
}
