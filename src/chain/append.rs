//! The commit point of every record: one object, stored create-only at the next number of its chain (protocol step 4).
//!
//! A crash before the PUT leaves nothing of the record. A crash after it leaves a committed record that this host does not
//! remember, and that may not be anchored: the next run finds it in the chain, and anchors it at its end.

use bytes::Bytes;

use crate::chain::anchor;
use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::read::ChainReader;
use crate::chain::record;
use crate::chain::writer::Writer;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{Anchor, Manifest, Record, RecordBody, Run, Signed};
use crate::format::row::FORMAT_VERSION;
use crate::format::row::tally::plain;
use crate::format::time::Instant;
use crate::format::time::day::tz_database_version;
use crate::journal::Head;
use crate::outcome::{Failure, Result};
use crate::store;
use crate::store::{NewObject, PutOutcome};

/// How one attempt ended.
#[derive(Debug)]
pub(crate) enum Appended {
    /// The record is committed.
    Done(Head),
    /// Another record took the number. The chain was read again, with all its checks: before the next attempt the caller
    /// must examine what was committed in between.
    Taken,
}

/// Appends `record` to a sub-account's chain: signed, and stored with the lock and the hold of `protection`.
///
/// # Errors
/// Those of [`put`].
pub(crate) async fn append(
    archive: &Writer,
    chain: &mut Chain,
    record: Record,
    protection: Protection,
    clock_skew_ms: Option<i64>,
) -> Result<Appended> {
    let manifest = manifest(archive, chain, record, clock_skew_ms)?;
    put(archive, chain, manifest, protection).await
}

/// Signs a record and stores it at the number after the head of `chain`, which the record names as its own.
///
/// # Errors
/// `Exit::Usage` where the record would not count; `Exit::Integrity` where the number is anchored and not there, or where the chain no longer holds; errors of the store.
/// After an error of the store the record may be committed: the next attempt finds it.
pub(crate) async fn put<B: RecordBody>(
    archive: &Writer,
    chain: &mut ChainReader<B>,
    record: B,
    protection: Protection,
) -> Result<Appended> {
    // Another host may have changed the keys since the archive was opened. A change that is committed between this and the
    // PUT makes the record a foreign object: the command that makes the change looks for it, and the next run repeats it.
    archive.learn_signers().await?;
    if record.begins_with().is_none() {
        archive.check_may_write()?;
    }
    let envelope = Signed::seal(record, archive.signers.key.as_ref()).map_err(unwritable)?;
    let bytes: Bytes = envelope.to_bytes().map_err(unwritable)?.into();
    let sha256 = Digest::of(&bytes);
    read_own(archive, chain, &envelope, &bytes)?;
    let place = envelope.manifest.place();
    let (key, sequence) = (place.key.to_owned(), place.sequence);
    let head = envelope.manifest.head(sha256);
    let anchor = Anchor::of(&envelope.manifest, sha256);
    if anchor::holds_number_of(archive, &anchor).await {
        open_again(archive, chain).await?;
        return match chain.next_sequence() > sequence {
            true => Ok(Appended::Taken),
            false => Err(anchor::cut_off(archive, &anchor)),
        };
    }
    let passed_over = chain.passed_over().map(|object| object.key.as_str());
    if let Some(place) = anchor::first_anchored(archive, &chain.name, passed_over).await {
        // A record was there once, and what lies there now is none: its end was exchanged.
        return Err(anchor::exchanged(archive, &place));
    }
    let object = NewObject {
        key: key.clone(),
        body: store::Body::Bytes(bytes.clone()),
        sha256,
        lock: protection.lock,
        legal_hold: protection.hold,
    };
    // The commit point: from the moment at which the store has the object, the record exists.
    let put = archive.store.put_new(&object).await?;
    if put == PutOutcome::Exists && archive.store.get(&key).await? != Some(bytes) {
        open_again(archive, chain).await?;
        return Ok(Appended::Taken);
    }
    archive.state.remember_head(&chain.name, &head)?;
    // A crash here leaves a head that is not anchored; the end of the next run anchors it.
    anchor::committed(archive, &anchor).await;
    Ok(Appended::Done(head))
}

/// Reads a record as every reader will, before it is stored: a record that cannot be read would end its chain for ever, and
/// no later program could remove it.
///
/// # Errors
/// `Exit::Unexpected` where a reader would refuse the record.
fn read_own<B: RecordBody>(
    archive: &Writer,
    chain: &ChainReader<B>,
    envelope: &Signed<B>,
    bytes: &[u8],
) -> Result<()> {
    let place = envelope.manifest.place();
    let own = record::verify::<B>(&archive.trust(), &chain.name, place.sequence, bytes);
    let read = own.and_then(|own| chain.check_continues(&own));
    read.map_err(|failure| {
        let reason = failure.reason();
        Failure::unexpected(format!(
            "{} was not written, because no reader could read it: {reason}",
            place.key
        ))
        .remedy(
            "Nothing is lost: what was fetched is kept in the state folder, and the chain is unchanged. Report this with \
             the message above.",
        )
    })
}

/// Returns to step 0 of the protocol: the chain is read again, with all its checks.
async fn open_again<B: RecordBody>(archive: &Writer, chain: &mut ChainReader<B>) -> Result<()> {
    archive.check_create_only().await?;
    *chain = ChainReader::open(archive, &chain.name).await?;
    Ok(())
}

/// Whether a command acts, or only reports what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything is done.
    Act,
    /// The same refusals, and nothing is written: neither into the store nor into the state folder.
    DryRun,
}

impl Mode {
    /// Returns the mode that a flag `--dry-run` selects.
    pub fn of(dry_run: bool) -> Mode {
        if dry_run { Mode::DryRun } else { Mode::Act }
    }
}

/// Opens a chain that has a head: records other than days are about days, and cannot be the first of a chain.
///
/// # Errors
/// `Exit::Usage` where nothing is archived, and those of [`Chain::open`].
pub(crate) async fn open_begun(archive: &Writer, sub_account: &str, mode: Mode) -> Result<Chain> {
    if mode == Mode::Act {
        archive.check_create_only().await?;
    }
    let chain = Chain::open(archive, sub_account).await?;
    match chain.head {
        Some(_) => Ok(chain),
        None => {
            let message = format!("nothing is archived of sub-account {sub_account}");
            let remedy =
                "Archive a day of it first: `cxvault run`, or `cxvault backfill --from --to`.";
            Err(Failure::usage(message).remedy(remedy))
        }
    }
}

/// Returns the manifest that continues `chain` with `record`.
fn manifest(
    archive: &Writer,
    chain: &Chain,
    record: Record,
    clock_skew_ms: Option<i64>,
) -> Result<Manifest> {
    let sequence = chain.next_sequence();
    let mut coverage = chain.coverage();
    record.mark(&mut coverage);
    Ok(Manifest {
        format_version: FORMAT_VERSION,
        archive_id: archive.id().to_owned(),
        archive_sha256: archive.sha256,
        key: key::manifest(&chain.name, sequence),
        sub_account: chain.name.clone(),
        sequence,
        previous: chain.link(),
        position: chain.next_position(),
        continuity: chain.next_continuity(archive)?,
        run: run(archive, clock_skew_ms),
        coverage,
        orders: chain.orders_link(),
        record,
    })
}

/// Returns what a record that is written now says of this run.
pub fn run(archive: &Writer, clock_skew_ms: Option<i64>) -> Run {
    Run {
        id: archive.run.id.clone(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        libraries: env!("CXVAULT_PARQUET_LIBRARY").to_owned(),
        tz_database: tz_database_version().to_owned(),
        host: plain(&archive.run.host),
        settings_sha256: archive.run.settings_sha256,
        started_at: archive.run.started_at,
        finished_at: Instant::from_millis(archive.clock.now_ms()),
        clock_skew_ms,
    }
}

pub(super) fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::unexpected("cannot write the manifest")
        .because(error)
        .remedy("Report this.")
}
