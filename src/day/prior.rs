//! What a revision builds on: the day's committed rows, and parts of a revision that was never committed.
//!
//! A part can be stored without a manifest that lists it: its run died between steps 3 and 4, or another host is ahead of
//! this one. Such parts cannot be replaced, since objects are created and never overwritten. The next revision adopts those
//! that it can trust ([`crate::day::adopt`]), and names the others as leftovers.

use std::path::Path;

use crate::chain::Chain;
use crate::chain::archive::violated;
use crate::chain::days::one_version_each;
use crate::day::adopt::{AdoptedPart, adopt};
use crate::day::context::DayContext;
use crate::day::download::{Download, open_part};
use crate::format::hash::Digest;
use crate::format::part::PartError;
use crate::format::place::key;
use crate::format::record::{DayRecord, Discovery, Leftover, Link, manifest};
use crate::journal::{AnsweredWindow, Journal};
use crate::outcome::{Failure, Result};

/// The state of a day in the store before its next revision.
#[derive(Debug, Default)]
pub(super) struct PriorState {
    /// The committed revisions, oldest first.
    pub revisions: Vec<(Link, DayRecord)>,
    /// Stored parts of the next revision, which will hold all their rows.
    pub adopted: Vec<AdoptedPart>,
    /// Objects of this day that no manifest lists, and that no record has named as leftovers.
    pub leftovers: Vec<Leftover>,
    /// The number of the next part to store.
    pub next_part: u32,
}

impl PriorState {
    /// Returns the number of the revision that this run may commit; the first one is 1.
    pub fn revision(&self) -> u32 {
        self.revisions.last().map_or(1, |(_, day)| day.revision + 1)
    }

    /// Returns whether a committed revision was discovered by exactly these windows' answers.
    pub(crate) fn has_windows(&self, windows: &[AnsweredWindow]) -> bool {
        self.revisions.iter().any(|(_, day)| match &day.discovery {
            Discovery::Windows {
                windows: committed, ..
            } => committed
                .iter()
                .map(|window| {
                    (
                        window.window().start_ms,
                        window.sha256,
                        window.answered_at.as_millis(),
                    )
                })
                .eq(windows
                    .iter()
                    .map(|staged| (staged.window.start_ms, staged.sha256, staged.answered_at))),
            Discovery::Manifest(_) => false,
        })
    }

    /// Loads the state from the store, and loads every committed or adopted row into the journal.
    ///
    /// It can be repeated: what the journal had of it before is dropped first.
    ///
    /// # Errors
    /// An integrity failure where a committed file is missing or has other bytes, or an object was overwritten.
    pub async fn load(context: &DayContext<'_>, chain: &mut Chain) -> Result<PriorState> {
        let DayContext { archive, job, .. } = *context;
        let mut prior = PriorState {
            revisions: chain.revisions(archive, job.date).await?,
            ..PriorState::default()
        };
        // Later rows of the day lack the fields that its earlier rows lack: otherwise each row would differ.
        let omitted = prior
            .revisions
            .iter()
            .map(|(_, day)| day.omitted_anywhere())
            .reduce(|all, more| all.and(&more))
            .unwrap_or_default();
        context
            .journal
            .call(move |journal| {
                journal.clear_known_rows()?;
                journal.omit_fields(&omitted)
            })
            .await?;
        // All versions, not only the current ones: on a versioned bucket an overwritten object shows here.
        let day_key = key::day(&job.sub_account, job.date);
        let versions = archive.store.versions(&day_key).await?;
        one_version_each(&versions)?;
        for file in prior.revisions.iter().flat_map(|(_, day)| &day.files) {
            load_committed(context, file).await?;
        }
        // Listings are in key order: a part is judged after all parts with lower numbers.
        for version in &versions {
            prior.sort_object(context, &version.key).await?;
        }
        Ok(prior)
    }

    /// Sorts one stored object of the day: a committed file, a part to adopt, or a leftover.
    async fn sort_object(&mut self, context: &DayContext<'_>, key: &str) -> Result<()> {
        let part = key::parse_part(key)
            .filter(|(revision, _)| *revision == self.revision())
            .map(|(_, part)| part);
        // Counted also where an earlier record names it as a leftover: its name is taken.
        self.next_part = self
            .next_part
            .max(part.map_or(0, |part| part.saturating_add(1)));
        if self.is_recorded(&printable(key)) {
            return Ok(());
        }
        if part.is_none() {
            return self.add_leftover(context, key, "not-committed").await;
        }
        match adopt(context, key, self.revision()).await? {
            Ok(adopted) => self.adopted.push(adopted),
            Err(why) => {
                tracing::warn!(
                    key,
                    why,
                    "a stored part cannot be trusted; it is recorded as a leftover"
                );
                self.add_leftover(context, key, why).await?;
            }
        }
        Ok(())
    }

    /// Returns whether a committed record lists `key`, as a file or as a leftover.
    fn is_recorded(&self, key: &str) -> bool {
        self.revisions.iter().any(|(_, day)| {
            day.files.iter().any(|file| file.key == key)
                || day.leftovers.iter().any(|leftover| leftover.key == key)
        })
    }

    /// Records an object as a leftover, with the reason and its SHA-256, so that verifiers can tell it from tampering.
    async fn add_leftover(&mut self, context: &DayContext<'_>, key: &str, why: &str) -> Result<()> {
        let stat = context.archive.store.stat(key).await?;
        let sha256 = match stat.and_then(|stat| stat.sha256) {
            Some(sha256) => sha256,
            // An object that another program has stored, of any size: the store has no SHA-256 of it.
            None => Download::fetch(context, key)
                .await?
                .map_or_else(|| Digest::of(b""), |local| local.sha256),
        };
        self.leftovers.push(Leftover {
            key: printable(key),
            sha256,
            why: why.to_owned(),
        });
        Ok(())
    }
}

/// Returns a foreign key as a manifest can name it, with control characters as `%XX`: canonical JSON (RFC 8785) cannot
/// hold them. Otherwise an attacker with write access to the bucket could prevent the commit of a day by the name of one
/// object.
fn printable(key: &str) -> String {
    let mut printable = String::new();
    for c in key.chars() {
        if c.is_control() {
            let mut utf8 = [0; 4];
            let bytes = c.encode_utf8(&mut utf8).bytes();
            bytes.for_each(|byte| printable += &format!("%{byte:02X}"));
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Loads the rows of a file that a manifest lists into the journal.
///
/// # Errors
/// An integrity failure where the object is not what the manifest lists.
async fn load_committed(context: &DayContext<'_>, file: &manifest::File) -> Result<()> {
    let DayContext { archive, job, .. } = *context;
    let Some(local) = Download::fetch(context, &file.key)
        .await?
        .filter(|local| local.sha256 == file.sha256)
    else {
        return Err(violated(format!(
            "{} is missing, or its bytes are not those that were committed",
            file.key
        )));
    };
    let stop = archive.stop.clone();
    let loaded = context
        .journal
        .call(move |journal| {
            let loaded = load_rows(journal, &local.path, || stop.is_cancelled());
            // A damaged part is no error of the journal: the transaction goes on.
            match loaded {
                Ok(()) => Ok(None),
                Err(RowsNotLoaded::Damaged(error)) => Ok(Some(error)),
                Err(RowsNotLoaded::Failed(failure)) => Err(failure),
            }
        })
        .await?;
    match loaded {
        None => Ok(()),
        Some(error) => Err(violated(format!(
            "{} of {} {} is damaged: {error}",
            file.key, job.sub_account, job.date
        ))),
    }
}

/// Why the rows of a committed part could not be loaded.
enum RowsNotLoaded {
    /// The file is not a valid part, although its SHA-256 is the committed one.
    Damaged(PartError),
    /// The journal failed, or the run was stopped.
    Failed(Failure),
}

impl From<PartError> for RowsNotLoaded {
    fn from(error: PartError) -> Self {
        RowsNotLoaded::Damaged(error)
    }
}

/// Loads the rows of a local part into the journal, as committed ones.
fn load_rows(
    journal: &Journal,
    path: &Path,
    is_stopped: impl Fn() -> bool,
) -> Result<(), RowsNotLoaded> {
    let mut part = open_part(path)?;
    while let Some(row) = part.next_row()? {
        if is_stopped() {
            return Err(RowsNotLoaded::Failed(Failure::interrupted()));
        }
        let learned = journal.add_known_row(row, false);
        learned.map_err(|error| RowsNotLoaded::Failed(error.into()))?;
    }
    Ok(())
}
