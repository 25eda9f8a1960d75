//! The chain of one sub-account, read back from its head, each link checked on the way.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::archive::Archive;
use crate::chain::archive::violated;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::coverage::{Coverage, DayState};
use crate::format::record::envelope::{RecordBody, Signed};
use crate::format::record::head::HeadRef;
use crate::format::record::manifest::{DayRecord, Link, Manifest, Record, Run};
use crate::format::record::notes::Disposal;
use crate::format::signature;
use crate::format::time::range::Days;
use crate::outcome::Result;

/// Manifests read at once.
pub const AT_ONCE: usize = 32;

/// One manifest, or another record of a chain, as it lies in the store.
#[derive(Debug, Clone)]
pub struct ReadManifest<B = Manifest> {
    pub sequence: u64,
    pub key: String,
    pub bytes: u64,
    pub sha256: Digest,
    pub envelope: Signed<B>,
}

/// One committed revision of one archive day.
#[derive(Debug, Clone)]
pub struct CommittedRevision {
    pub sequence: u64,
    /// The manifest that committed it.
    pub manifest: Link,
    pub run: Run,
    /// Fingerprint of the key that signed the manifest; `None` when nobody did.
    pub signed_by: Option<String>,
    /// That key, as an OpenSSH line.
    pub public_key: Option<String>,
    pub record: DayRecord,
}

/// A record that commits no rows: an acknowledgement, a hold, longer retention, a disposal.
#[derive(Debug, Clone)]
pub struct NoteRecord {
    pub sequence: u64,
    pub manifest: Link,
    pub public_key: Option<String>,
}

/// A record that disposes of days.
#[derive(Debug, Clone)]
pub struct DisposalRecord {
    pub manifest: Link,
    pub run: Run,
    pub record: Disposal,
}

/// What the chain of one sub-account says of a range of days.
#[derive(Debug, Clone)]
pub struct Timeline {
    pub sub_account: String,
    /// The newest manifest: its number, and the SHA-256 of the whole object.
    pub head: (u64, Digest),
    /// When the head was committed, in UTC milliseconds by the writer's clock.
    pub committed_at: i64,
    pub coverage: Coverage,
    /// The zone of its archive days.
    pub zone: Option<String>,
    /// The revisions of the days in the range, by date and revision.
    pub revisions: Vec<CommittedRevision>,
    /// Other records, those that lay between; all of them where everything was read.
    pub acts: Vec<NoteRecord>,
    /// Those of them that dispose of days, newest first: of every archived day that was read, its own among them.
    pub disposals: Vec<DisposalRecord>,
}

impl Timeline {
    /// Reads back from the head until every archived day of `days` is there: recent days cost little.
    ///
    /// # Errors
    /// [`crate::outcome::Exit::Integrity`] where the chain does not hold: a missing number, another hash than the one
    /// that the successor names, a bad signature.
    pub async fn read(source: &Archive, sub_account: &str, days: &Days) -> Result<Timeline> {
        let head = read_head(source, sub_account).await?;
        let coverage = head.envelope.manifest.coverage.clone();
        let mut wanted = archived(&coverage, days);
        Self::read_until(source, sub_account, head, |stored| {
            if let Some(day) = stored
                .envelope
                .manifest
                .day()
                .filter(|day| day.revision == 1)
            {
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
    pub async fn read_after(
        source: &Archive,
        sub_account: &str,
        sequence: u64,
    ) -> Result<Timeline> {
        let head = read_head(source, sub_account).await?;
        let mut timeline = Self::read_until(source, sub_account, head, |stored| {
            stored.sequence <= sequence + 1
        })
        .await?;
        timeline
            .revisions
            .retain(|revision| revision.sequence > sequence);
        Ok(timeline)
    }

    async fn read_until(
        source: &Archive,
        sub_account: &str,
        head: ReadManifest,
        mut enough: impl FnMut(&ReadManifest) -> bool,
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
        let read = |sequence| read_one(source, sub_account, sequence);
        let mut older = stream::iter((1..head.sequence).rev())
            .map(read)
            .buffered(AT_ONCE);
        let mut stored = head;
        loop {
            let done = enough(&stored);
            let previous = stored.envelope.manifest.previous.clone();
            let (sequence, key) = (stored.sequence, stored.key.clone());
            timeline.take(source, stored)?;
            // The zone is that of the days, and the newest records may be of other kinds.
            if (done && timeline.zone.is_some()) || sequence == 1 {
                break;
            }
            source.check_stop()?;
            let Some(next) = older.try_next().await? else {
                break;
            };
            if previous.map(|link| link.sha256) != Some(next.sha256) {
                return Err(violated(format!(
                    "{} is not the manifest that {key} names",
                    next.key
                )));
            }
            stored = next;
        }
        timeline
            .revisions
            .sort_by_key(|revision| (revision.record.date, revision.record.revision));
        Ok(timeline)
    }

    fn take(&mut self, source: &Archive, stored: ReadManifest) -> Result<()> {
        let signed_by = signed_by(source, &stored)?;
        let ReadManifest {
            sequence,
            key,
            sha256,
            envelope,
            ..
        } = stored;
        let public_key = envelope
            .signature
            .as_ref()
            .map(|signature| signature.public_key.clone());
        let (manifest, run) = (Link { key, sha256 }, envelope.manifest.run);
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
                    sequence,
                    manifest,
                    public_key,
                });
                return Ok(());
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
        Ok(())
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

    /// The revisions of each archived day, in order.
    pub fn by_day(&self) -> impl Iterator<Item = &[CommittedRevision]> {
        self.revisions
            .chunk_by(|one, other| one.record.date == other.record.date)
    }
}

/// The days of a range that a chain holds.
fn archived(coverage: &Coverage, days: &Days) -> BTreeSet<Date> {
    let (Some(first), Some(last)) = (coverage.first_day, coverage.last_day()) else {
        return BTreeSet::new();
    };
    days.within(first, last)
        .filter(|date| coverage.state(*date) != DayState::Missing)
        .collect()
}

/// The newest manifest of a chain.
pub async fn read_head(source: &Archive, sub_account: &str) -> Result<ReadManifest> {
    match newest(source, sub_account).await? {
        Some(newest) => read_one(source, sub_account, newest).await,
        None => Err(violated(format!(
            "{} holds no manifest",
            key::chain(sub_account)
        ))),
    }
}

/// The greatest number of a chain; `None` where it has no record.
pub(super) async fn newest(source: &Archive, chain: &str) -> Result<Option<u64>> {
    let listed = source.store.list(&key::chain(chain), None).await?;
    Ok(listed
        .iter()
        .filter_map(|entry| key::parse_manifest(&entry.key))
        .max())
}

/// Reads one manifest, and checks that it is the one that belongs at its place.
pub async fn read_one(source: &Archive, sub_account: &str, sequence: u64) -> Result<ReadManifest> {
    read_record(source, sub_account, sequence).await
}

/// Like [`read_one`], for a record of any chain.
pub async fn read_record<B: RecordBody>(
    source: &Archive,
    chain: &str,
    sequence: u64,
) -> Result<ReadManifest<B>> {
    let key = key::manifest(chain, sequence);
    let Some(bytes) = source.store.get(&key).await? else {
        return Err(violated(format!("{key} is missing")));
    };
    let envelope = Signed::<B>::from_bytes(&bytes)
        .map_err(|error| violated(format!("{key} is damaged: {error}")))?;
    let place = envelope.manifest.place();
    let own = place.key == key && place.sequence == sequence && place.chain == chain;
    if !own || place.archive_id != source.record.archive_id {
        return Err(violated(format!(
            "{key} is the manifest of another place or archive"
        )));
    }
    Ok(ReadManifest {
        sequence,
        key,
        bytes: bytes.len() as u64,
        sha256: Digest::of(&bytes),
        envelope,
    })
}

/// Whose signature a manifest bears, if it bears one; an invalid one, or a stranger's where signers are named, is an
/// error.
pub fn signed_by<B: RecordBody>(
    source: &Archive,
    stored: &ReadManifest<B>,
) -> Result<Option<String>> {
    let untrusted = |error: &dyn std::fmt::Display| {
        violated(format!("{} cannot be trusted: {error}", stored.key))
    };
    let Some(signer) = stored
        .envelope
        .signer()
        .map_err(|error| untrusted(&error))?
    else {
        return Ok(None);
    };
    if !source.allowed.is_empty() && !source.allowed.contains(&signer, signature::MANIFEST) {
        return Err(untrusted(&format!(
            "{} is not among the allowed signers",
            signer.fingerprint()
        )));
    }
    Ok(Some(signer.fingerprint()))
}
