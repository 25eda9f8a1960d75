//! Copies an archive to another location: its objects under their own keys, each checked against the chain that names it,
//! and locked in the copy as the chain requires.
//!
//! ```text
//! job          what is to be copied, and the result
//! location     whether a location may hold the copy
//! destination  which objects the copy has, and storing those that it lacks
//! chain        one chain of the source, complete and verified, and the protection that it requires of each object
//! roster       the chain about all sub-accounts, which names the heads of the others
//! ```
//!
//! The order of the objects makes every prefix of a copy an archive: `copy.json`, which marks it as a copy, then
//! `archive.json`, then each manifest after its files and after the manifest before it, and the roster last. So a crash at
//! any step leaves nothing to be remembered: the same command finds what is stored, and continues. The heads of the source
//! are read once, at the beginning; what the source commits later is left to the next copy.

mod chain;
mod destination;
mod job;
mod location;
mod roster;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use crate::audit::part::LocalPart;
use crate::audit::scratch::Scratch;
use crate::audit::verify::VerifyProgress;
use crate::chain::{Archive, read};
use crate::copy::chain::{CopiedChain, CopyStep};
use crate::copy::destination::{CopyItem, Destination, Listed};
use crate::copy::job::AT_ONCE;
pub use crate::copy::job::Copied;
pub(crate) use crate::copy::job::{CopyLocks, CopyOptions, Job};
use crate::format::place::key;
use crate::format::record::{ChainHead, CopyRecord, File, Head};
use crate::format::time::Instant;
use crate::outcome::{Exit, Failure, Result};
use crate::store::Body;

/// Copies an archive. A chain that does not hold is reported to `failed`, and the others are copied nevertheless.
///
/// # Errors
/// [`Exit::Usage`] where the location cannot hold this copy, or its locks; [`Exit::Integrity`] where another program wrote to
/// the copy; errors of the stores.
pub(crate) async fn copy(
    job: &Job,
    meter: &VerifyProgress,
    failed: &(dyn Fn(Failure) + Send + Sync),
) -> Result<Copied> {
    let source = &job.source;
    // The roster is read first: then the heads that it names are committed when the heads of the chains are read.
    let roster = unless_violated(roster::head(source).await, failed)?.flatten();
    let all = source.sub_accounts(&[]).await?;
    let wanted = source.sub_accounts(&job.options.sub_accounts).await?;
    let heads = heads(source, &wanted).await?;
    if heads.is_empty() {
        let message = format!("nothing is archived at {}", source.store.root());
        return Err(Failure::usage(message).remedy(
            "Name the archive to be copied with --archive (s3://bucket/prefix, or a folder).",
        ));
    }
    // The roster names the heads of all chains, and is copied only with all of them.
    let roster = roster.filter(|_| wanted.len() == all.len());
    let destination = Destination::open(job).await?;
    let mark = CopyRecord {
        archive_id: source.record.archive_id.clone(),
        copied_at: Instant::from_millis(job.clock.now_ms()),
        from: source.store.root(),
        format_version: source.record.format_version,
        roster,
        sub_accounts: heads.clone(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let copier = Copier {
        source,
        destination,
        scratch: Scratch::new()?,
        meter,
    };
    copier.copy(&heads, &mark, failed).await?;
    Ok(copier.destination.into_copied())
}

/// Returns the head of each chain.
async fn heads(source: &Archive, sub_accounts: &[String]) -> Result<Vec<ChainHead>> {
    stream::iter(sub_accounts.to_vec())
        .map(|id| async move {
            let head = read::head(source, &id).await?.head();
            Ok::<_, Failure>(ChainHead { id, head })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Reports a chain that does not hold, and returns `None`. Other failures, such as a store that does not answer, concern all
/// chains and end the copy.
fn unless_violated<T>(
    done: Result<T>,
    failed: &(dyn Fn(Failure) + Send + Sync),
) -> Result<Option<T>> {
    match done {
        Err(failure) if failure.exit == Exit::Integrity => {
            failed(failure);
            Ok(None)
        }
        done => done.map(Some),
    }
}

/// A copy in progress.
struct Copier<'a> {
    source: &'a Archive,
    destination: Destination,
    scratch: Scratch,
    meter: &'a VerifyProgress,
}

impl Copier<'_> {
    /// Copies the chains up to `heads`, one after another, and the roster after them if all are complete.
    async fn copy(
        &self,
        heads: &[ChainHead],
        mark: &CopyRecord,
        failed: &(dyn Fn(Failure) + Send + Sync),
    ) -> Result<()> {
        self.meter.sub_accounts.store(heads.len() as u64, Relaxed);
        // Every reason to refuse the location is found before the first object is stored, so that it stays unchanged.
        let rosters = match &mark.roster {
            Some(head) => unless_violated(roster::read_chain(self.source, head).await, failed)?,
            None => None,
        };
        let signers = roster::read_signers(self.source).await?;
        let required = rosters.iter().flatten().map(|step| step.required);
        self.destination.refuse_unlockable("the roster", required)?;
        let (mut created, mut complete) = (false, true);
        for chain_head in heads {
            let copied = match CopiedChain::read(self.source, chain_head).await {
                Ok(chain) => {
                    let name = format!("sub-account {}", chain.sub_account);
                    let required = chain.steps.iter().map(|step| step.required);
                    self.destination.refuse_unlockable(&name, required)?;
                    if !created {
                        self.destination.create(self.source, mark).await?;
                        let (from, to) = (self.source, &self.destination);
                        roster::copy(from, to, key::SIGNERS_FOLDER, &signers).await?;
                        created = true;
                    }
                    self.chain(&chain).await
                }
                Err(failure) => Err(failure),
            };
            match unless_violated(copied, failed)? {
                Some(()) => self.count_head(&chain_head.id, &chain_head.head),
                None => complete = false,
            }
            self.meter.sub_accounts_done.fetch_add(1, Relaxed);
        }
        if let (Some(head), Some(steps), true) = (&mark.roster, rosters, complete) {
            let copied = roster::copy(self.source, &self.destination, key::ROSTERS, &steps).await;
            if let Some(stored) = unless_violated(copied, failed)? {
                self.destination.count(|copied| copied.rosters += stored);
                self.count_head(key::ROSTER, head);
            }
        }
        match created {
            true => self.destination.lock_marks().await,
            false => Ok(()),
        }
    }

    /// Counts a chain that is complete in the copy.
    fn count_head(&self, chain: &str, head: &Head) {
        self.destination.count(|copied| {
            copied.sub_accounts += u64::from(chain != key::ROSTER);
            copied.heads.push(head.of_chain(chain).to_string());
        });
    }

    /// Copies one chain: files concurrently, and each manifest after its files and after the manifest before it.
    async fn chain(&self, chain: &CopiedChain) -> Result<()> {
        let folders = [
            key::chain(&chain.sub_account),
            key::day_root(&chain.sub_account),
        ];
        let listed = self.destination.listed(&folders).await?;
        self.count_left_behind(chain).await?;
        let files = chain.steps.iter().flat_map(CopyStep::files_to_copy);
        let missing = files
            .filter(|file| !listed.contains_key(&file.key))
            .map(|file| file.bytes)
            .sum();
        self.meter.bytes.fetch_add(missing, Relaxed);
        let (ready, next) = mpsc::channel(1);
        let (files, manifests) = tokio::join!(
            self.files(chain, &listed, ready),
            self.manifests(&listed, next)
        );
        files.and(manifests)
    }

    /// Copies the files, and sends each manifest to `ready` when all its files are stored, in order. A file that cannot be
    /// copied ends this; the manifests before it are still stored.
    async fn files<'c>(
        &self,
        chain: &'c CopiedChain,
        listed: &Listed,
        ready: mpsc::Sender<&'c CopyStep>,
    ) -> Result<()> {
        // The files of each step, and then `None`, which says that the step is complete.
        let work = chain.steps.iter().flat_map(|step| {
            let files = step.files_to_copy().iter().map(Some);
            files.chain([None]).map(move |file| (step, file))
        });
        let mut done = stream::iter(work)
            .map(|(step, file)| async move {
                match file {
                    Some(file) => self.file(step, file, listed).await.map(|()| None),
                    None => Ok(Some(step)),
                }
            })
            .buffered(AT_ONCE);
        while let Some(done) = done.try_next().await? {
            if let Some(step) = done
                && ready.send(step).await.is_err()
            {
                // A manifest could not be stored; that task returns the error.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Stores the manifests that arrive, in order, and confirms those that the copy has already.
    async fn manifests(&self, listed: &Listed, mut next: mpsc::Receiver<&CopyStep>) -> Result<()> {
        while let Some(step) = next.recv().await {
            self.source.check_stop()?;
            let (item, to) = (step.item(), &self.destination);
            if let Some(&found) = listed.get(&step.key) {
                to.confirm(&item, Some(found)).await?;
                continue;
            }
            let put = to.put(&item, Body::Bytes(step.bytes.clone())).await?;
            to.count(|copied| copied.manifests += u64::from(put));
        }
        Ok(())
    }

    /// Stores one file, or confirms that the copy has it.
    async fn file(&self, step: &CopyStep, file: &File, listed: &Listed) -> Result<()> {
        self.source.check_stop()?;
        let (item, to) = (CopyItem::file(file, step.required), &self.destination);
        if let Some(&found) = listed.get(&file.key) {
            return to.confirm(&item, Some(found)).await;
        }
        let put = if to.dry_run {
            to.put(&item, Body::Bytes(Bytes::new())).await?
        } else {
            // The file is hashed before anything of it is sent: a damaged file never reaches the copy.
            let part = LocalPart::get(self.source, &self.scratch, file).await?;
            to.put(&item, Body::File(part.path.clone())).await?
        };
        to.count(|copied| copied.files += u64::from(put));
        self.meter.bytes_done.fetch_add(file.bytes, Relaxed);
        Ok(())
    }

    /// Counts what is not copied, for the report.
    async fn count_left_behind(&self, chain: &CopiedChain) -> Result<()> {
        let committed: BTreeSet<&str> = chain
            .steps
            .iter()
            .flat_map(|step| &step.files)
            .map(|file| file.key.as_str())
            .collect();
        let (store, sub_account) = (&self.source.store, &chain.sub_account);
        let mut entries = store.list(&key::day_root(sub_account), None).await?;
        entries.retain(|entry| !committed.contains(entry.key.as_str()));
        let mut records = store.list(&key::chain(sub_account), None).await?;
        records.retain(|entry| key::parse_manifest(&entry.key).is_none());
        let disposed = chain.steps.iter().filter(|step| step.disposed);
        self.destination.count(|copied| {
            copied.unlisted += (entries.len() + records.len()) as u64;
            copied.disposed += disposed.map(|step| step.files.len() as u64).sum::<u64>();
        });
        Ok(())
    }
}
