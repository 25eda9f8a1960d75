//! Whether a location may hold a copy of this archive: what is there already, and where it came from.
//!
//! Only an empty location, and one where an earlier copy of the same archive has begun, are accepted. Everything here
//! reads, and nothing is stored: a location that is refused stays as it was.
//!
//! What is checked: the records `copy.json` and `archive.json`, that no folder or object is foreign at the top, and that
//! the newest record of each chain of the copy is one of the source. Since each record names the one before it by its
//! SHA-256, the newest one stands for all. What is not checked: the files, which are confirmed one by one while they are
//! copied, and read by `cxvault verify`.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::{Archive, read};
use crate::copy::job::AT_ONCE;
use crate::format::place::key;
use crate::format::record::CopyRecord;
use crate::format::text::printable;
use crate::outcome::{Failure, Result};
use crate::store::{ObjectVersion, Store};

/// The remedy for a location that holds anything else.
const USE_AN_EMPTY_PLACE: &str = "Copy to an empty place, such as another prefix or folder.";

/// Returns whether an earlier copy of this archive has begun at `to`. `remote` says whether it is a bucket, which may have
/// versions.
///
/// # Errors
/// `Exit::Usage` where the location holds anything but an earlier copy; `Exit::Integrity` where that was changed.
pub(super) async fn has_begun(source: &Archive, to: &dyn Store, remote: bool) -> Result<bool> {
    if remote {
        for mark in [key::COPY, key::ARCHIVE] {
            refuse_versions(to, &to.versions(mark).await?)?;
        }
    }
    let original = source.store.get(key::ARCHIVE).await?;
    let (mark, record) = (to.get(key::COPY).await?, to.get(key::ARCHIVE).await?);
    let is_same = record.is_some() && record == original;
    let top = to.children("").await?;
    let has_chains = top.folders.iter().any(|folder| {
        matches!(
            folder.as_str(),
            "manifests" | "segments" | "roster" | "signers"
        )
    });
    let problem = match (mark, record) {
        (Some(_), None) if has_chains => "is missing, and the rest of the archive is there",
        (Some(mark), record) => {
            check_mark(to, &mark, source.id())?;
            if record.is_none() || is_same {
                return Ok(true);
            }
            "is not that of the archive which copy.json names"
        }
        (None, Some(_)) => return Err(unmarked(to, is_same)),
        (None, None) => {
            refuse_occupied(to, &top.folders, &top.objects)?;
            return Ok(false);
        }
    };
    Err(wrong(to, key::ARCHIVE, problem))
}

/// Returns the failure for an archive that is no copy: this one (`is_same`) or another.
fn unmarked(to: &dyn Store, is_same: bool) -> Failure {
    let root = to.root();
    if !is_same {
        return Failure::usage(format!("{root} holds another archive")).remedy(USE_AN_EMPTY_PLACE);
    }
    let message = format!("{root} holds this archive already, and is no copy that was made here");
    Failure::usage(message).remedy(
        "It is the archive itself, or was brought there by something else: copy to another place, and check this one with \
         `cxvault verify`.",
    )
}

/// Refuses a location with other objects, which would stay foreign objects of the copy for ever. What `cxvault doctor` left
/// is permitted.
fn refuse_occupied(to: &dyn Store, folders: &[String], objects: &[String]) -> Result<()> {
    let permitted = key::DOCTOR.trim_end_matches('/');
    let mut foreign = folders.iter().filter(|folder| *folder != permitted);
    let Some(first) = foreign.next().or(objects.first()) else {
        return Ok(());
    };
    let (root, first) = (to.root(), printable(first));
    let message = format!("{root} is not empty, and holds no copy: there is {first}");
    Err(Failure::usage(message).remedy(USE_AN_EMPTY_PLACE))
}

/// Checks that `bytes`, the content of `copy.json`, mark a copy of the archive with this id.
pub(super) fn check_mark(to: &dyn Store, bytes: &[u8], archive_id: &str) -> Result<()> {
    match CopyRecord::from_bytes(bytes) {
        None => Err(wrong(to, key::COPY, "is not the mark of a copy")),
        Some(record) if record.archive_id == archive_id => Ok(()),
        Some(record) => {
            let (root, id) = (to.root(), record.archive_id);
            let message = format!("{root} holds a copy of another archive, {id}");
            Err(Failure::usage(message).remedy(USE_AN_EMPTY_PLACE))
        }
    }
}

/// Refuses a copy that has records which the source lacks: it was taken over, and written to since. The newest record of
/// each chain decides.
///
/// # Errors
/// `Exit::Integrity` for the first chain that differs.
pub(super) async fn refuse_diverged(source: &dyn Store, to: &dyn Store) -> Result<()> {
    let mut chains = Vec::new();
    for folder in to.children(key::MANIFESTS).await?.folders {
        let Some(sub_account) = key::parse_sub_account(&folder) else {
            let folder = format!("{}{folder}", key::MANIFESTS);
            return Err(wrong(to, &folder, "is no sub-account's"));
        };
        chains.push(key::chain(sub_account));
    }
    // The roster comes last, since its difference follows from the others: the first difference is reported.
    chains.push(key::SIGNERS_FOLDER.to_owned());
    chains.push(key::ROSTERS.to_owned());
    stream::iter(chains)
        .map(|chain| check_newest(source, to, chain))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Checks that the newest record of a chain's folder in the copy is a record of the source.
async fn check_newest(source: &dyn Store, to: &dyn Store, chain: String) -> Result<()> {
    let Some(sequence) = read::newest_number(to, &chain).await? else {
        return Ok(());
    };
    let key = format!("{chain}{sequence:010}.json");
    let (original, copied) = (source.get(&key).await?, to.get(&key).await?);
    let Some(copied) = copied else {
        return Err(wrong(to, &key, "was listed, and is gone"));
    };
    let differs = match original {
        Some(original) if original == copied => return Ok(()),
        Some(_) => "is another one than there",
        None => "is not there",
    };
    let (to, source) = (to.root(), source.root());
    let message = format!(
        "the copy has diverged: {to}/{key} does not come from {source}, where it {differs}"
    );
    Err(Failure::integrity(message).remedy(
        "The copy was written to, after a takeover or without one: verify both. If the copy is the archive now, copy from it, \
         and to another location.",
    ))
}

/// Refuses objects that were deleted or overwritten: on a versioned bucket they have more than one version.
///
/// # Errors
/// `Exit::Integrity` for the first such object.
pub(super) fn refuse_versions(to: &dyn Store, versions: &[ObjectVersion]) -> Result<()> {
    for of_key in versions.chunk_by(|left, right| left.key == right.key) {
        if let [newest, older @ ..] = of_key
            && (newest.is_delete_marker || !older.is_empty())
        {
            let problem = "was overwritten or deleted: it has other versions";
            return Err(wrong(to, &newest.key, problem));
        }
    }
    Ok(())
}

/// Returns the failure for an object of the copy that is not the one of the source.
pub(super) fn wrong(to: &dyn Store, key: &str, problem: &str) -> Failure {
    let key = printable(key);
    Failure::integrity(format!("{}/{key} {problem}", to.root())).remedy(
        "Nothing was overwritten. Find out who changed the copy (`cxvault verify --archive` with its location shows the \
         rest), or copy to another location.",
    )
}

/// Returns the failure for a location that does not keep a lock or a hold which is required, as `what` says.
pub(super) fn unlockable(to: &dyn Store, what: &str) -> Failure {
    Failure::usage(format!("{what}, and {} does not support object locks", to.root())).remedy(
        "Copy to a bucket with Object Lock, or add --without-locks: then every user who can write there can also delete.",
    )
}
