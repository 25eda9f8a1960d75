//! Looking again at a day that is committed: at what, and what came of it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::format::row::Row;
use crate::format::row::observation::{Observation, Status, SummaryKind};

/// The statuses whose summaries are asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecheckScope(BTreeSet<Status>);

impl RecheckScope {
    pub fn covers(&self, status: Status) -> bool {
        self.0.contains(&status)
    }

    fn all() -> RecheckScope {
        // A segment without an id cannot be asked for.
        RecheckScope(
            Status::ALL
                .into_iter()
                .filter(|status| *status != Status::NoId)
                .collect(),
        )
    }
}

/// What may have been populated since: a text that was there is asked for again only on demand.
impl Default for RecheckScope {
    fn default() -> RecheckScope {
        RecheckScope(BTreeSet::from([
            Status::Empty,
            Status::NotFound,
            Status::Failed,
        ]))
    }
}

impl fmt::Display for RecheckScope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == RecheckScope::all() {
            return out.write_str("all");
        }
        let names: Vec<String> = self.0.iter().map(|status| spoken(*status)).collect();
        out.write_str(&names.join(","))
    }
}

fn spoken(status: Status) -> String {
    status.name().to_ascii_lowercase().replace('_', "-")
}

/// A text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of all, present, empty, not-found, binary, failed, skipped")]
pub struct NotAScope(String);

/// `all`, or statuses with commas between: `empty,not-found,failed`.
impl FromStr for RecheckScope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        if text.trim() == "all" {
            return Ok(RecheckScope::all());
        }
        let named = |name: &str| {
            let known = RecheckScope::all()
                .0
                .into_iter()
                .find(|status| spoken(*status) == name.trim());
            known.ok_or_else(|| NotAScope(name.trim().to_owned()))
        };
        text.split(',')
            .map(named)
            .collect::<Result<_, _>>()
            .map(RecheckScope)
    }
}

/// What a revision changes in what was committed before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// Segments that no earlier revision has.
    pub new_segments: u64,
    /// Segments that discovery no longer returns.
    pub vanished_segments: u64,
    /// Vanished ones that it returns again.
    pub returned_segments: u64,
    /// Segments whose metadata is another.
    pub changed_metadata: u64,
    pub agent: SummaryChanges,
    pub auto: SummaryChanges,
}

/// What changed in the summaries of one kind, of segments that an earlier revision has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryChanges {
    /// There is a text where there was none.
    pub appeared: u64,
    /// There is another text.
    pub edited: u64,
    /// There is no text any more; the earlier revision keeps it.
    pub withdrawn: u64,
    /// Still no text, but for another reason: an answer where there was a failure, or 404 for an empty body.
    pub other: u64,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    pub fn of(&self, kind: SummaryKind) -> &SummaryChanges {
        match kind {
            SummaryKind::Agent => &self.agent,
            SummaryKind::Auto => &self.auto,
        }
    }

    /// Counts `row`, which a revision holds beyond `known`.
    pub fn count(&mut self, known: Option<&Row>, row: &Row) {
        let Some(known) = known else {
            self.new_segments += 1;
            return;
        };
        match (known.vanished, row.vanished) {
            (false, true) => self.vanished_segments += 1,
            (true, false) => self.returned_segments += 1,
            _ => {}
        }
        self.changed_metadata += u64::from(!row.same_segment(known));
        self.agent.count(&known.agent, &row.agent);
        self.auto.count(&known.auto, &row.auto);
    }
}

impl SummaryChanges {
    fn count(&mut self, before: &Observation, now: &Observation) {
        let has_text = |look: &Observation| matches!(look.status, Status::Present | Status::Binary);
        match (has_text(before), has_text(now)) {
            (false, true) => self.appeared += 1,
            (true, false) => self.withdrawn += 1,
            (true, true) => self.edited += u64::from(before.sha256 != now.sha256),
            (false, false) => self.other += u64::from(before.status != now.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_written_as_it_is_read() {
        for text in ["all", "empty,not-found,failed", "present", "empty,skipped"] {
            assert_eq!(text.parse::<RecheckScope>().unwrap().to_string(), text);
        }
        assert_eq!(
            RecheckScope::default().to_string(),
            "empty,not-found,failed"
        );
        assert_eq!(
            " failed , empty"
                .parse::<RecheckScope>()
                .unwrap()
                .to_string(),
            "empty,failed"
        );
        assert_eq!(
            "present,binary,empty,not-found,failed,skipped".parse::<RecheckScope>(),
            "all".parse()
        );
        for bad in ["", "no-id", "empty,", "EMPTY", "all,empty"] {
            assert!(bad.parse::<RecheckScope>().is_err(), "{bad}");
        }
        assert!(!"all".parse::<RecheckScope>().unwrap().covers(Status::NoId));
    }
}
