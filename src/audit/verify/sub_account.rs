//! One sub-account from its chain to its rows.
//!
//! # The order
//!
//! 1. The chain is read from its first record to its last, and each record is checked against those before it.
//! 2. The chain is compared with heads from second sources, and with the date of the archive's creation.
//! 3. The calendar of the range is compared with the days of the chain.
//! 4. The store's listing is compared with the files that the chain lists, in both directions.
//! 5. The files of the chosen days are checked, several days at the same time, down to their rows at level `deep`.
//!
//! The chain comes first because everything after it is judged by what the chain says. It is always read as a whole, even where
//! the options choose a few days or a share of them: a later record may hold, extend or dispose of any earlier day.
//!
//! # Shares
//!
//! With `--subset N/T` a day belongs to the share that a hash of its sub-account and date selects. So T runs cover every day
//! once, whichever host performs them, and new days do not move old ones to another share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::audit::blocking;
use crate::audit::verify::chain::ChainCheck;
use crate::audit::verify::days::CommittedDay;
use crate::audit::verify::finding::FindingCode;
use crate::audit::verify::heads::{Hashes, KnownHeads};
use crate::audit::verify::objects::{Listed, PlacementCounts, check_versions, date_of};
use crate::audit::verify::record::CLOCK_SLACK_MS;
use crate::audit::verify::verifier::{Level, Verifier};
use crate::audit::verify::{calendar, rows};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{File, HeadRef};
use crate::outcome::Result;
use crate::store::ObjectVersion;
use crate::store::file::hash_file;

/// The days of a chain by date.
type Days = BTreeMap<Date, CommittedDay>;

impl Verifier<'_> {
    /// Verifies one sub-account: its chain, its calendar, its objects and, depending on the level, its files and rows.
    pub async fn sub_account(&self, sub_account: &str) -> Result<()> {
        let mut check = ChainCheck::new(self.identity(), sub_account, self.keys.clone());
        let known = self.known_heads(sub_account).await?;
        let hashes = self.read_chain(&mut check, &known.numbers()).await?;
        let has_begun = self.rostered.head.is_some();
        self.finish_chain(&mut check.links, &known, has_begun);
        self.check_chain(&check, &known, &hashes);
        self.check_calendar(sub_account, &check);
        let is_signed = check.links.signed > 0;
        let taken = self.rostered.taken.get(sub_account).copied().unwrap_or(0);
        let mut days = check.into_days(taken);
        let root = key::day_root(sub_account);
        let listed: Listed = self
            .store
            .list(&root, None)
            .await?
            .into_iter()
            .map(|entry| (entry.key, entry.bytes))
            .collect();
        let versions = match self.remote {
            true => self.store.versions(&root).await?,
            false => Vec::new(),
        };
        self.report_all(check_versions(&versions, |object| {
            let day = date_of(sub_account, object).and_then(|date| days.get(&date));
            day.is_some_and(|day| day.disposed.is_some())
        }));
        self.unlisted(sub_account, &listed, &days, is_signed)
            .await?;
        days.retain(|date, _| {
            self.options.days.contains(*date) && self.in_subset(sub_account, *date)
        });
        self.check_files(sub_account, days, &listed, &versions)
            .await?;
        self.count(|totals| totals.sub_accounts += 1);
        Ok(())
    }

    /// Checks a chain against what is known from outside of it: heads from second sources, the date of the archive's
    /// creation, and the trusted signers.
    fn check_chain(&self, check: &ChainCheck, known: &KnownHeads, hashes: &Hashes) {
        let links = &check.links;
        self.report_all(known.check(links, hashes));
        if links.records == 0 {
            return;
        }
        // A chain that the roster names is as long as the roster says; then the end of the roster is the question.
        if !known.is_known() && !self.rostered.heads.contains_key(&links.name) {
            self.report(known.unknown_end(links));
        }
        if let Some((first_commit, created_at)) = check.first_commit.zip(self.created_at)
            && first_commit < created_at.saturating_sub(CLOCK_SLACK_MS)
        {
            self.add(
                FindingCode::ArchiveRecord,
                key::ARCHIVE,
                "an archive that was created before its manifests",
                "a manifest that was committed before the archive was created",
            );
        }
        self.check_signed(links);
        self.check_unread(links);
        self.count(|totals| {
            totals.manifests += links.records;
            totals.signed_manifests += links.signed;
            totals.heads.extend(links.head.map(|(sequence, sha256)| {
                let chain = links.name.clone();
                HeadRef {
                    chain,
                    sequence,
                    sha256,
                }
                .to_string()
            }));
        });
    }

    /// Counts the days of the range, and reports days that are not complete and holds that are not enforced.
    fn check_calendar(&self, sub_account: &str, check: &ChainCheck) {
        let days = calendar::days(&self.options.days, sub_account, check);
        self.count(|totals| days.add_to(totals));
        self.report_all(days.findings);
        self.report_all(calendar::unenforced_holds(check, sub_account, self.remote));
    }

    /// Checks the files of all chosen days, several days at the same time.
    async fn check_files(
        &self,
        sub_account: &str,
        days: Days,
        listed: &Listed,
        versions: &[ObjectVersion],
    ) -> Result<()> {
        for (date, day) in &days {
            self.expired(sub_account, *date, day, listed, versions);
        }
        let bytes: u64 = days
            .values()
            .flat_map(CommittedDay::files)
            .filter(|file| listed.contains_key(&file.key))
            .map(|file| file.bytes)
            .sum();
        self.meter.bytes.fetch_add(bytes, Ordering::Relaxed);
        let placement = stream::iter(days.into_values())
            .map(|day| self.day(day, listed))
            .buffer_unordered(self.days_at_once())
            .try_fold(PlacementCounts::default(), |all, day| async {
                Ok(all.merge(day))
            })
            .await?;
        self.report_all(placement.into_findings(sub_account));
        Ok(())
    }

    /// Returns whether a day belongs to the chosen share. Shares are made of whole days, because rows of one segment may
    /// be in several revisions of its day.
    fn in_subset(&self, sub_account: &str, date: Date) -> bool {
        let Some((n, shares)) = self.options.subset else {
            return true;
        };
        let Digest(hash) = Digest::of(format!("{sub_account}/{date}").as_bytes());
        let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        number % shares.max(1) + 1 == n
    }

    /// Checks the objects of one day, and at the deepest level its rows.
    async fn day(&self, day: CommittedDay, listed: &Listed) -> Result<PlacementCounts> {
        let mut placement = PlacementCounts::default();
        let scratch = match self.options.level {
            Level::Deep => self.scratch(day.files().map(|file| file.key.as_str()))?,
            _ => None,
        };
        let mut parts = rows::Parts::new();
        for revision in &day.revisions {
            self.manifest_kept(revision, &mut placement).await?;
            for file in &revision.record.files {
                self.check_stop()?;
                let exists = self.file(file, revision, listed, &mut placement).await?;
                self.count(|totals| totals.files += u64::from(exists || !revision.may_be_gone));
                if !exists {
                    continue;
                }
                if self.options.level == Level::Deep
                    && let Some(path) = self.local(scratch.as_ref(), &file.key).await?
                {
                    parts.insert(file.key.clone(), path);
                }
                match (self.options.level, parts.get(&file.key)) {
                    (Level::Quick, _) => {}
                    // The copy is hashed, so that the object is not fetched twice.
                    (Level::Deep, Some(path))
                        if self.store.local(&file.key).as_ref() != Some(path) =>
                    {
                        self.hash_copy(file, path).await?;
                    }
                    _ => self.hash(file, revision).await?,
                }
            }
        }
        if self.options.level == Level::Deep {
            self.rows(day, parts).await?;
        }
        Ok(placement)
    }

    /// Checks the rows of one day on a thread that may block.
    async fn rows(&self, day: CommittedDay, parts: rows::Parts) -> Result<()> {
        let expected = rows::Expected {
            archive_id: self.archive_id.clone(),
            allowed: self.options.allowed.clone(),
        };
        let (findings, rows) = blocking(move || {
            let mut findings = Vec::new();
            let rows = rows::check_day(&expected, &day, &parts, &mut |finding| {
                findings.push(finding)
            });
            Ok((findings, rows))
        })
        .await?;
        self.report_all(findings);
        self.count(|totals| totals.rows += rows);
        Ok(())
    }

    /// Hashes the copy of a file that is not read in place.
    async fn hash_copy(&self, file: &File, path: &Path) -> Result<()> {
        if let Some(hashed) = hash_file(path).await? {
            self.hashed(file, hashed);
        }
        Ok(())
    }
}
