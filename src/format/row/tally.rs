//! Counts that must balance: per kind, all statuses sum to the segments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::format::row::Row;
use crate::format::row::observation::{Observation, Status, SummaryKind};

/// How many summaries of one kind ended in each status. All seven are always written, zeros too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", deny_unknown_fields)]
pub struct Statuses {
    pub present: u64,
    pub empty: u64,
    pub not_found: u64,
    pub binary: u64,
    pub failed: u64,
    pub skipped: u64,
    pub no_id: u64,
}

impl Statuses {
    pub fn get(&self, status: Status) -> u64 {
        match status {
            Status::Present => self.present,
            Status::Empty => self.empty,
            Status::NotFound => self.not_found,
            Status::Binary => self.binary,
            Status::Failed => self.failed,
            Status::Skipped => self.skipped,
            Status::NoId => self.no_id,
        }
    }

    fn count(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Present => &mut self.present,
            Status::Empty => &mut self.empty,
            Status::NotFound => &mut self.not_found,
            Status::Binary => &mut self.binary,
            Status::Failed => &mut self.failed,
            Status::Skipped => &mut self.skipped,
            Status::NoId => &mut self.no_id,
        }
    }

    pub fn total(&self) -> u64 {
        Status::ALL.iter().map(|&status| self.get(status)).sum()
    }
}

/// Counts over rows, one a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    pub segments: u64,
    pub out_of_day: u64,
    pub vanished: u64,
    pub agent: Statuses,
    pub auto: Statuses,
}

impl Tally {
    pub fn statuses(&self, kind: SummaryKind) -> &Statuses {
        match kind {
            SummaryKind::Agent => &self.agent,
            SummaryKind::Auto => &self.auto,
        }
    }

    pub fn add<T>(&mut self, row: &Row<T>) {
        self.segments += 1;
        self.out_of_day += u64::from(row.out_of_day);
        self.vanished += u64::from(row.vanished);
        *self.agent.count(row.agent.status) += 1;
        *self.auto.count(row.auto.status) += 1;
    }

    /// Takes a row out that [`Tally::add`] had counted.
    pub fn remove(&mut self, row: &Row) {
        let minus = |count: &mut u64, by: bool| *count = count.saturating_sub(u64::from(by));
        minus(&mut self.segments, true);
        minus(&mut self.out_of_day, row.out_of_day);
        minus(&mut self.vanished, row.vanished);
        minus(self.agent.count(row.agent.status), true);
        minus(self.auto.count(row.auto.status), true);
    }

    /// Adds the counts of other rows.
    pub fn merge(&mut self, other: &Tally) {
        self.segments += other.segments;
        self.out_of_day += other.out_of_day;
        self.vanished += other.vanished;
        for status in Status::ALL {
            *self.agent.count(status) += other.agent.get(status);
            *self.auto.count(status) += other.auto.get(status);
        }
    }

    pub fn balances(&self) -> bool {
        self.agent.total() == self.segments && self.auto.total() == self.segments
    }

    /// Summaries that were wanted and have no answer.
    pub fn failed(&self) -> u64 {
        self.agent.failed + self.auto.failed
    }
}

/// Failures by class, such as `http_500`: classes only, never what an error said.
pub type Failures = BTreeMap<String, u64>;

/// Counts the failure of one observation, if it is one.
pub fn count_failure<T: AsRef<str>>(failures: &mut Failures, observation: &Observation<T>) {
    if observation.status == Status::Failed {
        let class = observation
            .error
            .as_ref()
            .map_or("unknown", AsRef::as_ref)
            .to_owned();
        *failures.entry(class).or_default() += 1;
    }
}

/// One agent group's share of a day, so that a queue whose AI summaries were switched off can be named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupShare {
    pub segments: u64,
    pub agent_present: u64,
    pub auto_present: u64,
}

/// Shares by agent group id; the empty id stands for segments that name none.
pub type Groups = BTreeMap<String, GroupShare>;

/// Counts a row for its agent group.
pub fn count_group<T: AsRef<str>>(groups: &mut Groups, row: &Row<T>) {
    let share = groups.entry(group_of(row)).or_default();
    share.segments += 1;
    share.agent_present += u64::from(row.agent.status == Status::Present);
    share.auto_present += u64::from(row.auto.status == Status::Present);
}

/// Takes a row out that [`count_group`] had counted.
pub fn uncount_group(groups: &mut Groups, row: &Row) {
    let Some(share) = groups.get_mut(&group_of(row)) else {
        return;
    };
    let minus = |count: &mut u64, by: bool| *count = count.saturating_sub(u64::from(by));
    minus(&mut share.segments, true);
    minus(
        &mut share.agent_present,
        row.agent.status == Status::Present,
    );
    minus(&mut share.auto_present, row.auto.status == Status::Present);
    if share.segments == 0 {
        groups.remove(&group_of(row));
    }
}

fn group_of<T: AsRef<str>>(row: &Row<T>) -> String {
    plain(
        row.segment
            .metadata
            .segment_agent_group_id
            .as_ref()
            .map_or("", AsRef::as_ref),
    )
}

/// A text from outside as a manifest may hold it: printable ASCII, at most 64 characters.
pub fn plain(text: &str) -> String {
    let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().take(64).map(printable).collect()
}
