//! The chain of one sub-account as a reader sees it: the revisions of a range of days, found by the lists that records carry.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::Archive;
use crate::chain::entries::{EntryReader, EntryWalk};
use crate::chain::read::ChainWalk;
use crate::chain::record::StoredRecord;
use crate::chain::{days, read};
use crate::format::hash::Digest;
use crate::format::record::{Coverage, DayRecord, Disposal, HeadRef, Link, Record, Run};
use crate::format::time::{Days, Instant};
use crate::outcome::Result;

/// One committed revision of one archive day.
#[derive(Debug, Clone)]
pub(crate) struct CommittedRevision {
    pub sequence: u64,
    /// The manifest that committed it.
    pub manifest: Link,
    pub run: Run,
    /// Fingerprint of the key that signed the manifest; `None` for an unsigned one.
    pub signed_by: Option<String>,
    /// That key, as an OpenSSH line.
    pub public_key: Option<String>,
    pub record: DayRecord,
}

/// A record without rows: an acknowledgement, a hold, longer retention, or a disposal.
#[derive(Debug, Clone)]
pub(crate) struct NoteRecord {
    pub manifest: Link,
    pub public_key: Option<String>,
}

/// A record that disposes of days.
#[derive(Debug, Clone)]
pub(crate) struct DisposalRecord {
    pub manifest: Link,
    pub run: Run,
    pub record: Disposal,
}

/// What the chain of one sub-account says about a range of days.
#[derive(Debug, Clone)]
pub struct Timeline {
    pub sub_account: String,
    /// The newest manifest: its number, and the SHA-256 of the whole object.
    pub head: (u64, Digest),
    /// When the head was committed, by the writer's clock.
    pub committed_at: Instant,
    pub coverage: Coverage,
    /// The time zone of its archive days.
    pub zone: Option<String>,
    /// The revisions of the days in the range, by date and revision.
    pub(crate) revisions: Vec<CommittedRevision>,
    /// The records without rows that were read: all of them after [`Timeline::read_after`], otherwise those that dispose of
    /// days.
    pub(crate) acts: Vec<NoteRecord>,
    /// Those of them that dispose of days, newest first.
    pub(crate) disposals: Vec<DisposalRecord>,
}

impl Timeline {
    /// Reads the revisions of the archived days of `days`, and the records that disposed of any day since. Of the other
    /// records, which are found by the lists that records carry, only one in 64 is read.
    ///
    /// # Errors
    /// [`crate::outcome::Exit::Integrity`] where the chain does not hold: a missing record, another hash than the one
    /// that a later record names, a bad signature.
    pub async fn read(source: &Archive, sub_account: &str, days: &Days) -> Result<Timeline> {
        let head = read::head(source, sub_account).await?;
        let wanted = days::archived(&head.envelope.manifest.coverage, days);
        let mut timeline = Timeline::at(&head);
        let mut missing = wanted.clone();
        let mut walk = EntryWalk::back_from(&head);
        let mut entries = Vec::new();
        let mut any_day = None;
        // The zone is that of any day, also where no day of the range is archived.
        let mut done = missing.is_empty();
        while !done || any_day.is_none() {
            let Some(entry) = walk.next(source).await? else {
                break;
            };
            done = done || days::take_first(&entry, &mut missing);
            if entry.date.is_some() && any_day.is_none() {
                any_day = Some(entry.clone());
            }
            let in_range = entry.date.is_some_and(|date| wanted.contains(&date));
            if in_range || entry.kind == "disposal" {
                entries.push(entry);
            }
        }
        if !entries.iter().any(|entry| entry.date.is_some()) {
            entries.extend(any_day);
        }
        let reader = &EntryReader::of(&head);
        let mut records = stream::iter(entries)
            .map(|entry| async move { reader.fetch(source, &entry).await })
            .buffered(read::AT_ONCE);
        while let Some(record) = records.try_next().await? {
            source.check_stop()?;
            timeline.take(record);
        }
        Ok(timeline.sorted().only(days))
    }

    /// Reads what was committed after number `sequence` (0 for everything).
    ///
    /// # Errors
    /// As [`Timeline::read`].
    pub(crate) async fn read_after(
        source: &Archive,
        sub_account: &str,
        sequence: u64,
    ) -> Result<Timeline> {
        let head = read::head(source, sub_account).await?;
        let mut timeline = Self::read_until(source, sub_account, head, |stored| {
            stored.sequence <= sequence + 1
        })
        .await?;
        timeline
            .revisions
            .retain(|revision| revision.sequence > sequence);
        Ok(timeline)
    }

    /// Reads back from `head` until `enough` has accepted a record, and the zone of the days is known: the newest
    /// records may be of other kinds.
    async fn read_until(
        source: &Archive,
        sub_account: &str,
        head: StoredRecord,
        mut enough: impl FnMut(&StoredRecord) -> bool,
    ) -> Result<Timeline> {
        let mut timeline = Timeline::at(&head);
        let mut older = ChainWalk::backwards(source, sub_account, &head, 1);
        let mut next = Some(head);
        while let Some(stored) = next {
            let done = enough(&stored);
            timeline.take(stored);
            if done && timeline.zone.is_some() {
                break;
            }
            source.check_stop()?;
            next = older.next().await?;
        }
        Ok(timeline.sorted())
    }

    /// Returns the timeline of a chain of which only the head was read.
    fn at(head: &StoredRecord) -> Timeline {
        let manifest = &head.envelope.manifest;
        Timeline {
            sub_account: manifest.sub_account.clone(),
            head: (head.sequence, head.sha256),
            committed_at: manifest.run.finished_at,
            coverage: manifest.coverage.clone(),
            zone: None,
            revisions: Vec::new(),
            acts: Vec::new(),
            disposals: Vec::new(),
        }
    }

    /// Puts the revisions into the order of days and revisions.
    fn sorted(mut self) -> Timeline {
        self.revisions
            .sort_by_key(|revision| (revision.record.date, revision.record.revision));
        self
    }

    fn take(&mut self, stored: StoredRecord) {
        let manifest = stored.link();
        let signed_by = stored.signer.map(|signer| signer.fingerprint());
        let StoredRecord {
            sequence, envelope, ..
        } = stored;
        let public_key = envelope.signature.map(|signature| signature.public_key);
        let run = envelope.manifest.run;
        let record = match envelope.manifest.record {
            Record::Day(record) => *record,
            other => {
                if let Record::Disposal(record) = other {
                    self.disposals.push(DisposalRecord {
                        manifest: manifest.clone(),
                        run,
                        record: *record,
                    });
                }
                self.acts.push(NoteRecord {
                    manifest,
                    public_key,
                });
                return;
            }
        };
        self.zone.get_or_insert_with(|| record.zone.clone());
        self.revisions.push(CommittedRevision {
            sequence,
            manifest,
            run,
            signed_by,
            public_key,
            record,
        });
    }

    fn only(mut self, days: &Days) -> Timeline {
        self.revisions
            .retain(|revision| days.contains(revision.record.date));
        self
    }

    /// Returns the chain's head, as `--expect-head` takes it.
    pub fn head_ref(&self) -> HeadRef {
        HeadRef {
            chain: self.sub_account.clone(),
            sequence: self.head.0,
            sha256: self.head.1,
        }
    }

    /// Returns the revisions of each archived day, in order.
    pub(crate) fn by_day(&self) -> impl Iterator<Item = &[CommittedRevision]> {
        self.revisions
            .chunk_by(|left, right| left.record.date == right.record.date)
    }
}
