//! What a revision builds on: the day's committed rows, and parts of a revision that nobody has committed yet.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::chain::archive::{Archive, violated};
use crate::chain::days::{Chain, one_version_each};
use crate::day::run::DayJob;
use crate::format::hash::digest::{Digest, Hasher};
use crate::format::part::{PartError, PartReader, Statement};
use crate::format::place::key;
use crate::format::record::manifest;
use crate::format::record::manifest::{DayRecord, Discovery, Leftover, Link};
use crate::format::row::observation::{Status, SummaryKind};
use crate::format::row::schema;
use crate::format::row::tally::{Failures, Tally, count_failure};
use crate::format::signature;
use crate::format::signature::AllowedSigners;
use crate::journal::{AnsweredWindow, DayIdentity, Journal, JournalHandle};
use crate::outcome::{Exit, Failure, Result};

/// The ground under the next revision of a day.
#[derive(Debug, Default)]
pub struct PriorState {
    /// The committed revisions, oldest first.
    pub revisions: Vec<(Link, DayRecord)>,
    /// Parts of the next revision that are in the store already, all of whose rows it will hold.
    pub adopted: Vec<Adopted>,
    /// Objects of this day that no manifest lists, and that none has named as a leftover.
    pub leftovers: Vec<Leftover>,
    /// The number of the next part to put.
    pub next_part: u32,
}

/// A part that an earlier attempt or another host has put, and that is trustworthy.
#[derive(Debug, Clone)]
pub struct Adopted {
    pub file: manifest::File,
    pub rows: Tally,
    pub failures: Failures,
    /// Rows SKIPPED by another filter, which this run wants.
    pub wanted_but_skipped: u64,
}

impl PriorState {
    /// The number of the revision that this run may commit.
    pub fn revision(&self) -> u32 {
        self.revisions.last().map_or(1, |(_, day)| day.revision + 1)
    }

    /// Whether a committed revision was discovered by exactly these windows' answers.
    pub fn has_windows(&self, windows: &[AnsweredWindow]) -> bool {
        let answer =
            |staged: &AnsweredWindow| (staged.window.start_ms, staged.sha256, staged.answered_at);
        self.revisions.iter().any(|(_, day)| match &day.discovery {
            Discovery::Windows {
                windows: committed, ..
            } => committed
                .iter()
                .map(|one| (one.start, one.sha256, one.answered_at))
                .eq(windows.iter().map(answer)),
            Discovery::Manifest(_) => false,
        })
    }

    /// Loads it from the store, and into the journal every row that is committed or adopted.
    pub async fn load(
        archive: &Archive,
        job: &DayJob,
        chain: &mut Chain,
        journal: &JournalHandle,
        scratch: &Path,
    ) -> Result<PriorState> {
        let revisions = chain.revisions(archive, job.date).await?;
        let mut basis = PriorState {
            revisions,
            ..PriorState::default()
        };
        // What a day's rows lack, its later rows lack as well: otherwise each of them would be a change.
        let omitted = basis
            .revisions
            .iter()
            .map(|(_, day)| day.omitted_anywhere());
        let omitted = omitted
            .reduce(|all, more| all.and(&more))
            .unwrap_or_default();
        journal
            .call(move |journal| {
                journal.clear_known_rows()?;
                journal.omit_fields(&omitted)
            })
            .await?;
        let day_key = key::day(&job.sub_account, job.date);
        let versions = archive.store.versions(&day_key).await?;
        one_version_each(&versions)?;
        let keys: Vec<String> = versions.into_iter().map(|version| version.key).collect();
        for (_, day) in basis.revisions.clone() {
            for file in &day.files {
                learn_committed(archive, job, journal, file, scratch).await?;
            }
        }
        basis
            .sort_objects(archive, job, journal, &keys, scratch)
            .await?;
        Ok(basis)
    }

    /// Tells committed files, parts to adopt, and leftovers apart.
    async fn sort_objects(
        &mut self,
        archive: &Archive,
        job: &DayJob,
        journal: &JournalHandle,
        keys: &[String],
        scratch: &Path,
    ) -> Result<()> {
        let revision = self.revision();
        let records = self.revisions.iter().map(|(_, day)| day);
        let accounted: BTreeSet<String> = records
            .flat_map(|day| {
                let files = day.files.iter().map(|file| file.key.clone());
                files.chain(day.leftovers.iter().map(|leftover| leftover.key.clone()))
            })
            .collect();
        for key in keys {
            let part = key::parse_part(key)
                .filter(|(of, _)| *of == revision)
                .map(|(_, part)| part);
            // Also where an earlier manifest has named it as a leftover: its name is taken.
            self.next_part = self
                .next_part
                .max(part.map_or(0, |part| part.saturating_add(1)));
            if accounted.contains(&printable(key)) {
                continue;
            }
            if part.is_none() {
                self.leave(archive, key, "not-committed", scratch).await?;
                continue;
            }
            // Listings are in key order, so lower parts have been judged before this one.
            match adopt(archive, job, journal, key, revision, scratch).await? {
                Ok(adopted) => self.adopted.push(adopted),
                Err(why) => {
                    tracing::warn!(
                        key,
                        why,
                        "a part that cannot be trusted; it stays a leftover"
                    );
                    self.leave(archive, key, why, scratch).await?;
                }
            }
        }
        Ok(())
    }

    async fn leave(
        &mut self,
        archive: &Archive,
        key: &str,
        why: &str,
        scratch: &Path,
    ) -> Result<()> {
        let stat = archive.store.stat(key).await?;
        let sha256 = match stat.and_then(|stat| stat.sha256) {
            Some(sha256) => sha256,
            // Somebody else's upload, of any size.
            None => {
                let local = Download::get(archive, key, scratch).await?;
                local.map_or_else(|| Digest::of(b""), |local| local.sha256)
            }
        };
        self.leftovers.push(Leftover {
            key: printable(key),
            sha256,
            why: why.to_owned(),
        });
        Ok(())
    }
}

/// A foreign key as a manifest can name it: control characters, which canonical JSON cannot hold, as `%XX`. Whoever
/// can write to the bucket could otherwise keep a day from being committed by the name of one object.
fn printable(key: &str) -> String {
    let mut utf8 = [0; 4];
    let mut shown = String::new();
    for c in key.chars() {
        match c.is_control() {
            true => c
                .encode_utf8(&mut utf8)
                .bytes()
                .for_each(|byte| shown += &format!("%{byte:02X}")),
            false => shown.push(c),
        }
    }
    shown
}

/// Loads the rows of a file that a manifest lists; anything else than what it lists is a violation.
async fn learn_committed(
    archive: &Archive,
    job: &DayJob,
    journal: &JournalHandle,
    file: &manifest::File,
    scratch: &Path,
) -> Result<()> {
    let local = Download::get(archive, &file.key, scratch).await?;
    if local.as_ref().map(|local| local.sha256) != Some(file.sha256) {
        return Err(violated(format!(
            "{} is missing, or its bytes are not those that were committed",
            file.key
        )));
    }
    let key = file.key.clone();
    let (path, stop, _keep) = (scratch.join(DOWNLOAD), archive.stop.clone(), local);
    let learned = journal
        .call(move |journal| learn_rows(journal, &path, &stop))
        .await?;
    let identity = (&job.sub_account, job.date);
    learned.map_err(|error| {
        violated(format!(
            "{key} of {} {} is damaged: {error}",
            identity.0, identity.1
        ))
    })
}

/// Judges a part of an uncommitted revision, and takes it over with all its rows.
/// The inner error is the code by which the manifest names it as a leftover.
async fn adopt(
    archive: &Archive,
    job: &DayJob,
    journal: &JournalHandle,
    key: &str,
    revision: u32,
    scratch: &Path,
) -> Result<Result<Adopted, &'static str>> {
    let Some(local) = Download::get(archive, key, scratch).await? else {
        return Ok(Err("vanished"));
    };
    let allowed = archive
        .signers
        .key
        .as_ref()
        .map(|_| archive.signers.allowed.clone());
    let (path, key_owned, filters) = (scratch.join(DOWNLOAD), key.to_owned(), job.filters.clone());
    let stop = archive.stop.clone();
    let judged = journal
        .call(move |journal| {
            let wanted = |row: &crate::format::row::Row| filters.want_segment(&row.segment);
            journal.in_savepoint(|journal| {
                judge(
                    journal,
                    &path,
                    &key_owned,
                    revision,
                    allowed.as_ref(),
                    wanted,
                    &stop,
                )
            })?
        })
        .await;
    let mut adopted = match judged {
        Ok(adopted) => adopted,
        Err(NotAdoptable::Foreign(why)) => return Ok(Err(why)),
        Err(NotAdoptable::Failed(failure)) => return Err(failure),
    };
    adopted.file.bytes = local.bytes;
    adopted.file.sha256 = local.sha256;
    let stat = archive.store.stat(key).await?;
    adopted.file.version_id = stat.and_then(|stat| stat.version_id);
    Ok(Ok(adopted))
}

/// Why a part was not taken over.
enum NotAdoptable {
    /// It is no part of ours, for this reason.
    Foreign(&'static str),
    /// It could not be judged.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for NotAdoptable {
    fn from(error: E) -> Self {
        NotAdoptable::Failed(error.into())
    }
}

/// Trustworthy means: well formed, of this archive, key, zone and window, signed where we sign, sorted, of this
/// revision, and without a segment that it or a lower part has already. Otherwise whoever can write to the bucket could
/// have us sign their forgeries. Loads its rows into the journal as it goes.
fn judge(
    journal: &Journal,
    path: &Path,
    key: &str,
    revision: u32,
    allowed: Option<&AllowedSigners>,
    wanted: impl Fn(&crate::format::row::Row) -> bool,
    stop: &CancellationToken,
) -> Result<Adopted, NotAdoptable> {
    let malformed = |_: PartError| NotAdoptable::Foreign("malformed");
    let mut part = open(path).map_err(malformed)?;
    let statement = part.statement().clone();
    judge_statement(journal.identity(), &statement, key)?;
    let omitted = &statement.omitted_fields;
    if !omitted.is_allowed() || statement.format_version != schema::FORMAT_VERSION {
        return Err(NotAdoptable::Foreign("malformed"));
    }
    let signer = part
        .signer()
        .map_err(|_| NotAdoptable::Foreign("bad-signature"))?;
    if let Some(allowed) = allowed
        && !signer.is_some_and(|signer| allowed.contains(&signer, signature::PART))
    {
        return Err(NotAdoptable::Foreign("not-signed-by-us"));
    }
    let (mut rows, mut failures, mut wanted_but_skipped) = (Tally::default(), Failures::new(), 0);
    let mut segment_ends: Option<(i64, i64)> = None;
    let mut last: Option<(Option<i64>, String)> = None;
    while let Some(row) = part.next_row().map_err(malformed)? {
        if stop.is_cancelled() {
            return Err(Failure::interrupted().into());
        }
        let end = row.segment.metadata.segment_end_time;
        let place = (end, row.segment.key());
        let hashes_hold = SummaryKind::BOTH
            .iter()
            .all(|&kind| row.observation(kind).hash_holds());
        let unordered = last.as_ref().is_some_and(|last| *last >= place);
        if unordered || row.revision != revision || !hashes_hold || row.holds(omitted) {
            return Err(NotAdoptable::Foreign("malformed"));
        }
        if journal
            .known_row(&place.1)?
            .is_some_and(|(_, adopted)| adopted)
        {
            return Err(NotAdoptable::Foreign("repeats-a-segment"));
        }
        for kind in SummaryKind::BOTH {
            count_failure(&mut failures, row.observation(kind));
        }
        let skipped = SummaryKind::BOTH
            .iter()
            .any(|&kind| row.observation(kind).status == Status::Skipped);
        wanted_but_skipped += u64::from(skipped && wanted(&row));
        if let Some(end) = end {
            let (min, max) = segment_ends.unwrap_or((end, end));
            segment_ends = Some((min.min(end), max.max(end)));
        }
        rows.add(&row);
        last = Some(place);
        journal.add_known_row(row, true)?;
    }
    let file = manifest::File {
        key: key.to_owned(),
        bytes: 0,
        rows: statement.rows,
        sha256: Digest([0; 32]),
        merkle_root: statement.merkle_root,
        schema_sha256: schema::fingerprint(),
        min_segment_end: segment_ends.map(|(min, _)| min),
        max_segment_end: segment_ends.map(|(_, max)| max),
        version_id: None,
        adopted: true,
        omitted_fields: (omitted != journal.omission()).then(|| omitted.clone()),
    };
    Ok(Adopted {
        file,
        rows,
        failures,
        wanted_but_skipped,
    })
}

/// Whether a part's own statement is of this archive, key, zone and window.
fn judge_statement(
    day: &DayIdentity,
    statement: &Statement,
    key: &str,
) -> Result<(), NotAdoptable> {
    if statement.archive_id != day.archive_id || statement.key != key {
        return Err(NotAdoptable::Foreign("of-another-place"));
    }
    if statement.zone != day.zone || statement.window != day.window {
        return Err(NotAdoptable::Foreign("of-another-window"));
    }
    Ok(())
}

/// Loads every row of a committed part into the journal. The inner error says that the part is damaged.
fn learn_rows(
    journal: &Journal,
    path: &Path,
    stop: &CancellationToken,
) -> Result<Result<(), PartError>> {
    let mut part = match open(path) {
        Ok(part) => part,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        if stop.is_cancelled() {
            return Err(Failure::interrupted());
        }
        match part.next_row() {
            Ok(Some(row)) => journal.add_known_row(row, false)?,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn open(path: &Path) -> Result<PartReader, PartError> {
    let file = File::open(path).map_err(|error| PartError::Parquet(error.into()))?;
    PartReader::open(file)
}

const DOWNLOAD: &str = "download.parquet";

/// A stored object, copied into the scratch folder and hashed; removed when done with.
struct Download {
    path: PathBuf,
    bytes: u64,
    sha256: Digest,
}

impl Download {
    async fn get(archive: &Archive, key: &str, scratch: &Path) -> Result<Option<Download>> {
        let path = scratch.join(DOWNLOAD);
        if !archive.store.download(key, &path).await? {
            return Ok(None);
        }
        let hashing = path.clone();
        let hashed = tokio::task::spawn_blocking(move || hash_file(&hashing)).await;
        let (bytes, sha256) = hashed
            .unwrap_or_else(|_| Err(std::io::Error::other("hashing ended early")))
            .map_err(|error| {
                Failure::new(Exit::Later, format!("cannot read {}", path.display()))
                    .because(error)
                    .remedy("Check the disk of the state folder; then run again.")
            })?;
        Ok(Some(Download {
            path,
            bytes,
            sha256,
        }))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Length and SHA-256 of a local file.
pub fn hash_file(path: &Path) -> std::io::Result<(u64, Digest)> {
    use std::io::Read;
    let mut file = File::open(path)?;
    let (mut hasher, mut bytes) = (Hasher::new(), 0);
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hasher.finish())),
            n => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}
