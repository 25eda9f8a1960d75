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

type Read = StoredRecord<Manifest>;

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
    /// Those of [`ChainReader::walk_until`], like all that follow.
    pub(crate) async fn newest_day(&mut self, archive: &Archive) -> Result<Option<DayRecord>> {
        self.walk_until(archive, |read| read.envelope.manifest.day().is_some())
            .await?;
        let mut newest_first = self.records().rev();
        Ok(newest_first
            .find_map(|read| read.envelope.manifest.day())
            .cloned())
    }

    /// Returns the newest acknowledgement of the gaps of `date`, with its manifest's key.
    pub(crate) async fn acknowledgement_of(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Option<(String, Acknowledgement)>> {
        let of_date = |read: &Read| match &read.envelope.manifest.record {
            Record::Acknowledgement(note) => note
                .days
                .iter()
                .any(|day| day.date == date)
                .then(|| (**note).clone()),
            _ => None,
        };
        self.walk_until(archive, |read| of_date(read).is_some())
            .await?;
        let mut newest_first = self.records().rev();
        Ok(
            newest_first
                .find_map(|read| Some((read.envelope.manifest.key.clone(), of_date(read)?))),
        )
    }

    /// Returns every revision of the archived days of `range`, by date and revision.
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
    pub async fn revisions(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Vec<(Link, DayRecord)>> {
        if self.coverage().state(date) == DayState::Missing {
            return Ok(Vec::new());
        }
        let first = |read: &Read| {
            read.envelope
                .manifest
                .day()
                .is_some_and(|day| day.date == date && day.revision == 1)
        };
        self.walk_until(archive, first).await?;
        let of_date = self.records().filter_map(|read| {
            let day = read
                .envelope
                .manifest
                .day()
                .filter(|day| day.date == date)?;
            Some((read.link(), day.clone()))
        });
        Ok(of_date.collect())
    }

    /// Returns the newest record of `date`; `None` where the day is missing.
    pub(crate) async fn record_of(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Option<DayRecord>> {
        if self.coverage().state(date) == DayState::Missing {
            return Ok(None);
        }
        let of_date = |read: &Read| {
            read.envelope
                .manifest
                .day()
                .is_some_and(|day| day.date == date)
        };
        self.walk_until(archive, of_date).await?;
        let mut newest_first = self.records().rev();
        Ok(newest_first
            .find(|read| of_date(read))
            .and_then(|read| read.envelope.manifest.day())
            .cloned())
    }

    /// Returns the newest record of each day that the last `count` manifests are about, by date.
    pub(crate) async fn recent(&mut self, archive: &Archive, count: u64) -> Result<Vec<DayRecord>> {
        let head = self.head.as_ref().map_or(0, |head| head.sequence);
        self.walk_to(archive, head.saturating_sub(count).max(1))
            .await?;
        let mut by_date = BTreeMap::new();
        for day in self
            .records()
            .filter_map(|read| read.envelope.manifest.day())
        {
            by_date.insert(day.date, day.clone());
        }
        Ok(by_date.into_values().collect())
    }
}
