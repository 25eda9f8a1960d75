//! A sub-account's chain as a writer reads it: its head, and as many records before it as a question needs.
//!
//! A question about days finds their records by the lists that records carry ([`crate::chain::entries`]), and keeps what it
//! has read: a recent day costs little, and an old one of a chain of n records about n/64 requests.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::chain::archive::Archive;
use crate::chain::obligations;
use crate::chain::read::ChainReader;
pub(crate) use crate::chain::read::one_version_each;
use crate::chain::record::StoredRecord;
use crate::format::record::{
    Acknowledgement, Coverage, DayRecord, DayState, Link, Manifest, Obligations, Record, SinceEntry,
};
use crate::format::time::Days;
use crate::outcome::Result;

/// The chain of one sub-account.
pub(crate) type Chain = ChainReader<Manifest>;

impl Chain {
    /// Returns which days the chain covers, and how.
    pub fn coverage(&self) -> Coverage {
        self.newest()
            .map(|read| read.envelope.manifest.coverage.clone())
            .unwrap_or_default()
    }

    /// Returns the link to the newest hold or retention record, which the next manifest must name.
    pub(crate) fn orders_link(&self) -> Option<Link> {
        let newest = self.newest()?;
        newest.envelope.manifest.orders_for_next(newest.sha256)
    }

    /// Returns the legal holds and the longer retention that are in force.
    ///
    /// # Errors
    /// Those of [`obligations::read_back`].
    pub async fn orders(&self, archive: &Archive) -> Result<Obligations> {
        let Some(newest) = self.newest() else {
            return Ok(Obligations::default());
        };
        let found = obligations::read_back(archive, newest, |sequence| self.get(sequence));
        Ok(found.await?.orders)
    }

    /// Returns the newest record of any day.
    ///
    /// # Errors
    /// Those of [`ChainReader::records_of`], like all that follow.
    pub(crate) async fn newest_day(&mut self, archive: &Archive) -> Result<Option<DayRecord>> {
        self.newest_where(archive, |entry| entry.date.is_some())
            .await
    }

    /// Returns the newest day record whose entry fulfils a condition.
    async fn newest_where(
        &mut self,
        archive: &Archive,
        is_wanted: impl Fn(&SinceEntry) -> bool,
    ) -> Result<Option<DayRecord>> {
        let mut entries = self.entries_back_to(archive, &is_wanted).await?;
        entries.retain(is_wanted);
        let records = self.records_of(archive, &entries).await?;
        Ok(records.first().and_then(|record| record.day().cloned()))
    }

    /// Returns the newest acknowledgement of the gaps of `date`, with its manifest's key.
    ///
    /// # Errors
    /// Those of [`ChainReader::records_of`].
    pub(crate) async fn acknowledgement_of(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Option<(String, Acknowledgement)>> {
        // It is newer than the day's first revision.
        let mut entries = self
            .entries_back_to(archive, |entry| is_first_of(entry, date))
            .await?;
        entries.retain(|entry| entry.kind == "acknowledgement");
        let records = self.records_of(archive, &entries).await?;
        let found = records
            .iter()
            .find_map(|read| match &read.envelope.manifest.record {
                Record::Acknowledgement(note) if note.days.iter().any(|day| day.date == date) => {
                    Some((read.key.clone(), (**note).clone()))
                }
                _ => None,
            });
        Ok(found)
    }

    /// Returns every revision of the archived days of `range`, by date and revision, each with the link to its manifest.
    ///
    /// # Errors
    /// Those of [`ChainReader::records_of`].
    pub(crate) async fn revisions_in(
        &mut self,
        archive: &Archive,
        range: &Days,
    ) -> Result<Vec<(Link, DayRecord)>> {
        let wanted = archived(&self.coverage(), range);
        self.revisions_of(archive, wanted).await
    }

    /// Returns the revisions of `date`, oldest first.
    ///
    /// # Errors
    /// Those of [`ChainReader::records_of`].
    pub async fn revisions(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Vec<(Link, DayRecord)>> {
        let is_archived = self.coverage().state(date) != DayState::Missing;
        let wanted = is_archived.then_some(date).into_iter().collect();
        self.revisions_of(archive, wanted).await
    }

    /// Returns the revisions of some archived days, by date and revision. Only the records of these days are read, and one
    /// in 64 of the others, back to the oldest first revision.
    async fn revisions_of(
        &mut self,
        archive: &Archive,
        dates: BTreeSet<Date>,
    ) -> Result<Vec<(Link, DayRecord)>> {
        if dates.is_empty() {
            return Ok(Vec::new());
        }
        let mut missing = dates.clone();
        let mut entries = self
            .entries_back_to(archive, |entry| take_first(entry, &mut missing))
            .await?;
        entries.retain(|entry| entry.date.is_some_and(|date| dates.contains(&date)));
        let records = self.records_of(archive, &entries).await?;
        let mut revisions: Vec<(Link, DayRecord)> = records
            .iter()
            .filter_map(|read| Some((read.link(), read.day()?.clone())))
            .collect();
        revisions.sort_by_key(|(_, day)| (day.date, day.revision));
        Ok(revisions)
    }

    /// Returns the newest record of `date`; `None` where the day is missing.
    ///
    /// # Errors
    /// Those of [`ChainReader::records_of`].
    pub(crate) async fn record_of(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Option<DayRecord>> {
        if self.coverage().state(date) == DayState::Missing {
            return Ok(None);
        }
        self.newest_where(archive, |entry| entry.date == Some(date))
            .await
    }

    /// Returns the newest record of each day that the last `count` manifests are about, by date.
    ///
    /// # Errors
    /// Those of [`ChainReader::walk_to`].
    pub(crate) async fn recent(&mut self, archive: &Archive, count: u64) -> Result<Vec<DayRecord>> {
        let head = self.head.as_ref().map_or(0, |head| head.sequence);
        self.walk_to(archive, head.saturating_sub(count).max(1))
            .await?;
        // A later record of the same date replaces the earlier one.
        let days = self.records().filter_map(StoredRecord::day);
        let by_date: BTreeMap<Date, DayRecord> = days.map(|day| (day.date, day.clone())).collect();
        Ok(by_date.into_values().collect())
    }
}

/// Returns whether an entry is that of the first revision of `date`: no earlier record is about the day.
fn is_first_of(entry: &SinceEntry, date: Date) -> bool {
    entry.date == Some(date) && entry.revision == Some(1)
}

/// Removes the day of a first revision from those whose first revision is still to be found. Returns whether none is left.
pub(super) fn take_first(entry: &SinceEntry, missing: &mut BTreeSet<Date>) -> bool {
    if let Some(date) = entry.date.filter(|_| entry.revision == Some(1)) {
        missing.remove(&date);
    }
    missing.is_empty()
}

/// Returns the days of a range that a chain has archived.
pub(super) fn archived(coverage: &Coverage, days: &Days) -> BTreeSet<Date> {
    let (Some(first), Some(last)) = (coverage.first_day, coverage.last_day()) else {
        return BTreeSet::new();
    };
    days.within(first, last)
        .filter(|date| coverage.state(*date) != DayState::Missing)
        .collect()
}
