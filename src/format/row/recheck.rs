//! Rechecks of a committed day: which summaries are requested again, and what has changed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::format::row::Row;
use crate::format::row::observation::{Observation, Status, SummaryKind};

/// The statuses whose summaries are requested again.
///
/// # Examples
///
/// ```
/// use cxvault::format::row::observation::Status;
/// use cxvault::format::row::recheck::RecheckScope;
///
/// let scope: RecheckScope = "empty,failed".parse()?;
/// assert!(scope.covers(Status::Failed) && !scope.covers(Status::Present));
/// assert_eq!(RecheckScope::default().to_string(), "empty,not-found,failed");
/// # Ok::<(), cxvault::format::row::recheck::NotAScope>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecheckScope(BTreeSet<Status>);

impl RecheckScope {
    /// Returns whether summaries of that status are requested again.
    pub fn covers(&self, status: Status) -> bool {
        self.0.contains(&status)
    }

    fn all() -> RecheckScope {
        // The summaries of a segment without an id cannot be requested.
        RecheckScope(
            Status::ALL
                .into_iter()
                .filter(|status| *status != Status::NoId)
                .collect(),
        )
    }
}

impl Default for RecheckScope {
    /// Returns the statuses of summaries that may have been written since. A text that was there is requested again only
    /// on demand.
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
        let names: Vec<String> = self.0.iter().copied().map(scope_name).collect();
        out.write_str(&names.join(","))
    }
}

/// Returns a status as the option `--statuses` spells it: `not-found`.
fn scope_name(status: Status) -> String {
    status.name().to_ascii_lowercase().replace('_', "-")
}

/// A text is not a scope; holds the part that is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of all, present, empty, not-found, binary, failed, skipped")]
pub struct NotAScope(String);

impl FromStr for RecheckScope {
    type Err = NotAScope;

    /// Reads `all`, or statuses with commas between them: `empty,not-found,failed`.
    fn from_str(text: &str) -> Result<Self, NotAScope> {
        if text.trim() == "all" {
            return Ok(RecheckScope::all());
        }
        let all = RecheckScope::all().0;
        let statuses = text.split(',').map(str::trim).map(|name| {
            let mut known = all.iter().copied();
            known
                .find(|status| scope_name(*status) == name)
                .ok_or_else(|| NotAScope(name.to_owned()))
        });
        statuses.collect::<Result<_, _>>().map(RecheckScope)
    }
}

/// What a revision changes in what was committed before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Segments that no earlier revision has.
    pub new_segments: u64,
    /// Segments that discovery no longer returns.
    pub vanished_segments: u64,
    /// Vanished segments that discovery returns again.
    pub returned_segments: u64,
    /// Segments whose metadata differ.
    pub changed_metadata: u64,
    /// Changes of the summaries that agents wrote.
    pub agent: SummaryChanges,
    /// Changes of the summaries that the AI wrote.
    pub auto: SummaryChanges,
}

/// What changed in the summaries of one kind, of segments that an earlier revision has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SummaryChanges {
    /// Summaries with a text where there was none.
    pub appeared: u64,
    /// Summaries with another text.
    pub edited: u64,
    /// Summaries without a text where there was one. The earlier revision still holds it.
    pub withdrawn: u64,
    /// Summaries still without a text, with another status: an answer instead of a failure, or 404 instead of an empty
    /// body.
    pub other: u64,
}

impl Changes {
    /// Returns whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// Returns the changes of one kind of summary.
    pub(crate) fn of(&self, kind: SummaryKind) -> &SummaryChanges {
        match kind {
            SummaryKind::Agent => &self.agent,
            SummaryKind::Auto => &self.auto,
        }
    }

    /// Counts the difference between the committed row (`known`) and the row of this revision.
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
        let [had_text, has_text] = [before, now]
            .map(|observed| matches!(observed.status, Status::Present | Status::Binary));
        match (had_text, has_text) {
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
