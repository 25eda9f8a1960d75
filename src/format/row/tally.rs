//! Counts over rows. They must balance: for each kind of summary, the counts of all statuses sum to the segments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::format::row::Row;
use crate::format::row::observation::{Observation, Status, SummaryKind};

/// Number of summaries of one kind in each status. All seven are always written, zeros too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct Statuses {
    /// Summaries with a text.
    pub present: u64,
    /// Summaries with an empty body.
    pub empty: u64,
    /// Summaries that were not found.
    pub not_found: u64,
    /// Summaries whose body is not UTF-8.
    pub binary: u64,
    /// Summaries without an answer.
    pub failed: u64,
    /// Summaries that a filter left out.
    pub skipped: u64,
    /// Summaries of segments without an id.
    pub no_id: u64,
}

impl Statuses {
    /// Returns the count of one status.
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

    /// Returns the counts as tables show them: present, empty, not found, failed, and the rare statuses together.
    pub(crate) fn columns(&self) -> [u64; 5] {
        let rare = self.binary + self.skipped + self.no_id;
        [self.present, self.empty, self.not_found, self.failed, rare]
    }

    /// Returns the sum over all statuses.
    pub fn total(&self) -> u64 {
        Status::ALL.iter().map(|&status| self.get(status)).sum()
    }
}

/// Counts over rows: one row for each segment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Number of segments.
    pub segments: u64,
    /// Segments whose end lies outside the archive day, or is unknown.
    pub out_of_day: u64,
    /// Segments that discovery no longer returns.
    pub vanished: u64,
    /// Summaries that agents wrote, by status.
    pub agent: Statuses,
    /// Summaries that the AI wrote, by status.
    pub auto: Statuses,
}

impl Tally {
    /// Returns the counts of one kind of summary.
    pub fn statuses(&self, kind: SummaryKind) -> &Statuses {
        match kind {
            SummaryKind::Agent => &self.agent,
            SummaryKind::Auto => &self.auto,
        }
    }

    /// Counts a row.
    pub fn add<T>(&mut self, row: &Row<T>) {
        self.segments += 1;
        self.out_of_day += u64::from(row.out_of_day);
        self.vanished += u64::from(row.vanished);
        *self.agent.count(row.agent.status) += 1;
        *self.auto.count(row.auto.status) += 1;
    }

    /// Removes a row that [`Tally::add`] has counted.
    pub fn remove(&mut self, row: &Row) {
        minus(&mut self.segments, true);
        minus(&mut self.out_of_day, row.out_of_day);
        minus(&mut self.vanished, row.vanished);
        minus(self.agent.count(row.agent.status), true);
        minus(self.auto.count(row.auto.status), true);
    }

    /// Adds the counts of other rows.
    pub(crate) fn merge(&mut self, other: &Tally) {
        self.segments += other.segments;
        self.out_of_day += other.out_of_day;
        self.vanished += other.vanished;
        for status in Status::ALL {
            *self.agent.count(status) += other.agent.get(status);
            *self.auto.count(status) += other.auto.get(status);
        }
    }

    /// Returns whether the statuses of each kind sum to the segments.
    pub(crate) fn balances(&self) -> bool {
        self.agent.total() == self.segments && self.auto.total() == self.segments
    }

    /// Returns the number of wanted summaries without an answer, of both kinds.
    pub fn failed(&self) -> u64 {
        self.agent.failed + self.auto.failed
    }
}

/// Number of failures by class, such as `http_500`. It never holds what an error said.
pub type Failures = BTreeMap<String, u64>;

/// Counts the failure of an observation, where it has one.
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

/// One agent group's share of a day. It shows which queue's AI summaries were switched off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupShare {
    /// The group's segments.
    pub segments: u64,
    /// Their summaries with a text that an agent wrote.
    pub agent_present: u64,
    /// Their summaries with a text that the AI wrote.
    pub auto_present: u64,
}

/// Shares by the agent group's id. The empty id stands for segments without a group.
pub type Groups = BTreeMap<String, GroupShare>;

/// The most agent groups that a record names.
pub const MOST_GROUPS: usize = 1_000;

/// The agent groups that a record does not name, counted together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OtherGroups {
    /// Number of these groups; at least 1.
    pub groups: u64,
    /// Their segments.
    pub segments: u64,
    /// Their summaries with a text that an agent wrote.
    pub agent_present: u64,
    /// Their summaries with a text that the AI wrote.
    pub auto_present: u64,
}

/// The agent groups of a day as a record names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamedGroups {
    /// The groups with the most segments, at most [`MOST_GROUPS`].
    pub named: Groups,
    /// The others together; `None` where there are none.
    pub others: Option<OtherGroups>,
}

impl NamedGroups {
    /// Names the groups with the most segments; of groups with as many, those with the smallest ids. An account has some
    /// dozens of groups, but the ids are the API's, and a record must not become larger than its readers accept.
    ///
    /// # Examples
    /// ```
    /// use cxvault::format::row::tally::{GroupShare, Groups, NamedGroups};
    ///
    /// let share = |segments| GroupShare { segments, ..GroupShare::default() };
    /// let all: Groups = (0..1_200_u64).map(|n| (format!("{n:04}"), share(n))).collect();
    /// let groups = NamedGroups::of(all);
    /// assert_eq!(groups.named.len(), 1_000);
    /// let others = groups.others.unwrap();
    /// assert_eq!((others.groups, others.segments), (200, (0..200).sum()));
    /// ```
    pub fn of(all: Groups) -> NamedGroups {
        if all.len() <= MOST_GROUPS {
            let others = None;
            return NamedGroups { named: all, others };
        }
        let mut by_size: Vec<(String, GroupShare)> = all.into_iter().collect();
        // The sort is stable, so that groups of one size stay in the order of their ids.
        by_size.sort_by_key(|(_, share)| std::cmp::Reverse(share.segments));
        let mut others = OtherGroups::default();
        for (_, share) in by_size.drain(MOST_GROUPS..) {
            others.groups += 1;
            others.segments += share.segments;
            others.agent_present += share.agent_present;
            others.auto_present += share.auto_present;
        }
        NamedGroups {
            named: by_size.into_iter().collect(),
            others: Some(others),
        }
    }
}

/// Counts a row for its agent group.
pub fn count_group<T: AsRef<str>>(groups: &mut Groups, row: &Row<T>) {
    let share = groups.entry(group_of(row)).or_default();
    share.segments += 1;
    share.agent_present += u64::from(row.agent.status == Status::Present);
    share.auto_present += u64::from(row.auto.status == Status::Present);
}

/// Removes a row that [`count_group`] has counted.
pub(crate) fn uncount_group(groups: &mut Groups, row: &Row) {
    let Some(share) = groups.get_mut(&group_of(row)) else {
        return;
    };
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

/// Subtracts 1 from a count where `condition` holds.
fn minus(count: &mut u64, condition: bool) {
    *count = count.saturating_sub(u64::from(condition));
}

/// Returns the key of a row's agent group in [`Groups`].
fn group_of<T: AsRef<str>>(row: &Row<T>) -> String {
    let id = row.segment.metadata.segment_agent_group_id.as_ref();
    plain(id.map_or("", AsRef::as_ref))
}

/// Returns a foreign text as a manifest may hold it: the first 64 characters, with `?` for all but printable ASCII.
pub fn plain(text: &str) -> String {
    text.chars()
        .take(64)
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .collect()
}
