//! A sub-account's chain as a writer reads it: its head, and as many records before it as a question needs.
//!
//! Each question reads back from the head until it is answered, and keeps what it has read. Recent days cost little.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::chain::archive::Archive;
use crate::chain::obligations;
pub(crate) use crate::chain::read::one_version_each;
use crate::chain::read::{ChainReader, StoredRecord};
use crate::format::record::{
    Acknowledgement, Coverage, DayRecord, DayState, Link, Manifest, Obligations, Record,
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
    /// Those of [`ChainReader::walk_to`], like all that follow.
    pub(crate) async fn newest_day(&mut self, archive: &Archive) -> Result<Option<DayRecord>> {
        self.find_newest(archive, |read| read.day().cloned()).await
    }

    /// Returns the newest acknowledgement of the gaps of `date`, with its manifest's key.
    ///
    /// # Errors
    /// Those of [`ChainReader::walk_to`].
    pub(crate) async fn acknowledgement_of(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Option<(String, Acknowledgement)>> {
        self.find_newest(archive, |read| match &read.envelope.manifest.record {
            Record::Acknowledgement(note) if note.days.iter().any(|day| day.date == date) => {
                Some((read.key.clone(), (**note).clone()))
            }
            _ => None,
        })
        .await
    }

    /// Returns every revision of the archived days of `range`, by date and revision, each with the link to its manifest.
    ///
    /// # Errors
    /// Those of [`ChainReader::walk_to`].
    pub(crate) async fn revisions_in(
        &mut self,
        archive: &Archive,
        range: &Days,
    ) -> Result<Vec<(Link, DayRecord)>> {
        let coverage = self.coverage();
        let mut all = Vec::new();
        if let (Some(first), Some(last)) = (coverage.first_day, coverage.last_day()) {
            for date in range.within(first, last) {
                all.extend(self.revisions(archive, date).await?);
            }
        }
        Ok(all)
    }

    /// Returns the revisions of `date`, oldest first; reads no further back than revision 1.
    ///
    /// # Errors
    /// Those of [`ChainReader::walk_to`].
    pub async fn revisions(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Vec<(Link, DayRecord)>> {
        if self.coverage().state(date) == DayState::Missing {
            return Ok(Vec::new());
        }
        self.find_newest(archive, |read| {
            read.day_on(date).filter(|day| day.revision == 1).map(drop)
        })
        .await?;
        let revisions = self
            .records()
            .filter_map(|read| Some((read.link(), read.day_on(date)?.clone())));
        Ok(revisions.collect())
    }

    /// Returns the newest record of `date`; `None` where the day is missing.
    ///
    /// # Errors
    /// Those of [`ChainReader::walk_to`].
    pub(crate) async fn record_of(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Option<DayRecord>> {
        if self.coverage().state(date) == DayState::Missing {
            return Ok(None);
        }
        self.find_newest(archive, |read| read.day_on(date).cloned())
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
