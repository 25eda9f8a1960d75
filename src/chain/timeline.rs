//! The chain of one sub-account as a reader sees it: the revisions of a range of days, read back from the head.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::chain::archive::Archive;
use crate::chain::read;
use crate::chain::read::{ChainWalk, StoredRecord};
use crate::format::hash::Digest;
use crate::format::record::{Coverage, DayRecord, DayState, Disposal, HeadRef, Link, Record, Run};
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
    /// The records without rows that were read on the way; all of them where everything was read.
    pub(crate) acts: Vec<NoteRecord>,
    /// Those of them that dispose of days, newest first.
    pub(crate) disposals: Vec<DisposalRecord>,
}

impl Timeline {
    /// Reads back from the head until every archived day of `days` is complete, so that recent days cost little.
    ///
    /// # Errors
    /// [`crate::outcome::Exit::Integrity`] where the chain does not hold: a missing number, another hash than the one
    /// that the successor names, a bad signature.
    pub async fn read(source: &Archive, sub_account: &str, days: &Days) -> Result<Timeline> {
        let head = read::head(source, sub_account).await?;
        let coverage = head.envelope.manifest.coverage.clone();
        let mut wanted = archived(&coverage, days);
        Self::read_until(source, sub_account, head, |stored| {
            if let Some(day) = stored.day().filter(|day| day.revision == 1) {
                wanted.remove(&day.date);
            }
            wanted.is_empty()
        })
        .await
        .map(|timeline| timeline.only(days))
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
        let mut timeline = Timeline {
            sub_account: sub_account.to_owned(),
            head: (head.sequence, head.sha256),
            committed_at: head.envelope.manifest.run.finished_at,
            coverage: head.envelope.manifest.coverage.clone(),
            zone: None,
            revisions: Vec::new(),
            acts: Vec::new(),
            disposals: Vec::new(),
        };
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
        timeline
            .revisions
            .sort_by_key(|revision| (revision.record.date, revision.record.revision));
        Ok(timeline)
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

/// Returns the days of a range that a chain has archived.
fn archived(coverage: &Coverage, days: &Days) -> BTreeSet<Date> {
    let (Some(first), Some(last)) = (coverage.first_day, coverage.last_day()) else {
        return BTreeSet::new();
    };
    days.within(first, last)
        .filter(|date| coverage.state(*date) != DayState::Missing)
        .collect()
}
