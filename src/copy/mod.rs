//! An archive into another place: its own objects under their own names, each checked against the chain that names it,
//! and locked there as the chain asks.
//!
//! ```text
//! destination  may this place hold a copy, what lies there, and putting what does not
//! chain        one chain of the source, whole and checked, and what it asks of each object
//! roster       the archive-wide chain, which names the others' heads
//! ```
//!
//! Whatever was put before it was killed is an archive by itself: the mark that says "a copy", `archive.json`, then each
//! manifest after its files and after the manifest before it, and the archive-wide chain last of all. So there is
//! nothing to remember: the same command looks at what is there and goes on. How far the source has come is looked up
//! once, at the beginning; what it commits meanwhile is the next copy's work.

mod chain;
mod destination;
mod job;
mod roster;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use crate::audit::part::LocalPart;
use crate::audit::scratch::Scratch;
use crate::audit::verify::VerifyProgress;
use crate::chain::archive::Archive;
use crate::chain::read;
use crate::copy::chain::{CopiedChain, CopyStep};
use crate::copy::destination::{CopyItem, Destination, Listed};
use crate::copy::job::AT_ONCE;
pub use crate::copy::job::{Copied, CopyLocks, CopyOptions, Job};
use crate::format::place::key;
use crate::format::record::copy::CopyRecord;
use crate::format::record::head::Head;
use crate::format::record::manifest::File;
use crate::format::record::roster::ChainHead;
use crate::outcome::{Exit, Failure, Result};
use crate::store::Body;

/// Copies; what is wrong with one chain goes to `failed`, and the others are copied all the same.
///
/// # Errors
/// [`Exit::Usage`] where the place cannot hold this copy, or its locks; [`Exit::Integrity`] where the copy was written to
/// by somebody else; whatever the stores say otherwise.
pub async fn copy(
    job: &Job,
    meter: &VerifyProgress,
    failed: &(dyn Fn(Failure) + Send + Sync),
) -> Result<Copied> {
    let source = &job.source;
    // First of all: the heads that it names are there, then, when the others are looked up.
    let roster = roster::head(&*source.store).await?;
    let all = source.sub_accounts(&[]).await?;
    let wanted = source.sub_accounts(&job.options.sub_accounts).await?;
    let heads = heads(source, &wanted).await?;
    if heads.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("nothing is archived at {}", source.store.root()),
        )
        .remedy(
            "Name the archive to be copied with --archive (s3://bucket/prefix, or a folder).",
        ));
    }
    // Of all chains, or of none: it names the heads of all.
    let roster = roster.filter(|_| wanted.len() == all.len());
    let destination = Destination::open(job).await?;
    let mark = CopyRecord {
        archive_id: source.record.archive_id.clone(),
        copied_at: job.clock.now_ms(),
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

/// The newest manifest of each chain.
async fn heads(source: &Archive, sub_accounts: &[String]) -> Result<Vec<ChainHead>> {
    let head = |id: String| async move {
        let stored = read::head(source, &id).await?;
        Ok::<_, Failure>(ChainHead {
            id,
            head: Head {
                sequence: stored.sequence,
                sha256: stored.sha256,
            },
        })
    };
    stream::iter(sub_accounts.to_vec())
        .map(head)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// What is wrong with one chain is told, and the others are none the worse for it. A store that does not answer is
/// everybody's trouble.
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

struct Copier<'a> {
    source: &'a Archive,
    destination: Destination,
    scratch: Scratch,
    meter: &'a VerifyProgress,
}

impl Copier<'_> {
    async fn copy(
        &self,
        heads: &[ChainHead],
        mark: &CopyRecord,
        failed: &(dyn Fn(Failure) + Send + Sync),
    ) -> Result<()> {
        self.meter.sub_accounts.store(heads.len() as u64, Relaxed);
        // All that can refuse the place is known before the first object is put: then it stays as it was.
        let rosters = match &mark.roster {
            Some(head) => unless_violated(roster::read(self.source, head).await, failed)?,
            None => None,
        };
        let keeps = rosters.iter().flatten().map(|step| step.keep);
        self.destination.refuse_unlockable("the roster", keeps)?;
        let (mut founded, mut whole) = (false, true);
        for chain_head in heads {
            let copied = match CopiedChain::read(self.source, chain_head).await {
                Ok(chain) => {
                    let (name, keeps) =
                        (&chain.sub_account, chain.steps.iter().map(|step| step.keep));
                    self.destination
                        .refuse_unlockable(&format!("sub-account {name}"), keeps)?;
                    if !founded {
                        self.destination.found(self.source, mark).await?;
                        founded = true;
                    }
                    self.chain(&chain).await
                }
                Err(failure) => Err(failure),
            };
            match unless_violated(copied, failed)? {
                Some(()) => self.count_head(&chain_head.id, &chain_head.head),
                None => whole = false,
            }
            self.meter.sub_accounts_done.fetch_add(1, Relaxed);
        }
        if let (Some(head), Some(steps), true) = (&mark.roster, rosters, whole) {
            let copied = roster::copy(self.source, &self.destination, &steps).await;
            if unless_violated(copied, failed)?.is_some() {
                self.count_head(key::ROSTER, head);
            }
        }
        if founded {
            self.destination.lock_marks().await
        } else {
            Ok(())
        }
    }

    fn count_head(&self, chain: &str, head: &Head) {
        self.destination.count(|copied| {
            copied.sub_accounts += u64::from(chain != key::ROSTER);
            copied.heads.push(head.of_chain(chain).to_string());
        });
    }

    /// One chain: files on their way side by side, and each manifest when its files and the one before it are there.
    async fn chain(&self, chain: &CopiedChain) -> Result<()> {
        let folders = [
            key::chain(&chain.sub_account),
            key::day_root(&chain.sub_account),
        ];
        let listed = self.destination.listed(&folders).await?;
        self.count_left_behind(chain).await?;
        let files = || {
            chain
                .steps
                .iter()
                .filter(|step| !step.disposed)
                .flat_map(|step| &step.files)
        };
        let missing = files()
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

    /// Tells which manifests have all their files there, in order. A file that cannot be copied ends it; the manifests
    /// before that one are still put.
    async fn files<'c>(
        &self,
        chain: &'c CopiedChain,
        listed: &Listed,
        ready: mpsc::Sender<&'c CopyStep>,
    ) -> Result<()> {
        let mut work = Vec::new();
        for step in &chain.steps {
            let files = if step.disposed { &[][..] } else { &step.files };
            work.extend(
                files
                    .iter()
                    .map(|file| (step, Some(file)))
                    .chain([(step, None)]),
            );
        }
        let carry = |(step, file): (&'c CopyStep, Option<&'c File>)| async move {
            match file {
                Some(file) => self.file(step, file, listed).await.map(|()| None),
                None => Ok(Some(step)),
            }
        };
        let mut carried = stream::iter(work).map(carry).buffered(AT_ONCE);
        while let Some(done) = carried.try_next().await? {
            if let Some(step) = done
                && ready.send(step).await.is_err()
            {
                // A manifest could not be put, which says its own error.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn manifests(&self, listed: &Listed, mut next: mpsc::Receiver<&CopyStep>) -> Result<()> {
        while let Some(step) = next.recv().await {
            self.source.check_stop()?;
            let (bytes, keep) = (step.bytes.len() as u64, step.keep);
            let item = CopyItem {
                key: &step.key,
                bytes,
                sha256: step.sha256,
                keep,
            };
            if let Some(&found) = listed.get(&step.key) {
                self.destination.there(&item, Some(found)).await?;
                continue;
            }
            let put = self
                .destination
                .put(&item, Body::Bytes(step.bytes.clone()))
                .await?;
            self.destination
                .count(|copied| copied.manifests += u64::from(put));
        }
        Ok(())
    }

    async fn file(&self, step: &CopyStep, file: &File, listed: &Listed) -> Result<()> {
        self.source.check_stop()?;
        let item = CopyItem {
            key: &file.key,
            bytes: file.bytes,
            sha256: file.sha256,
            keep: step.keep,
        };
        if let Some(&found) = listed.get(&file.key) {
            return self.destination.there(&item, Some(found)).await;
        }
        let put = if self.destination.dry_run {
            self.destination
                .put(&item, Body::Bytes(bytes::Bytes::new()))
                .await?
        } else {
            // Hashed here, before anything of it is sent: a damaged one never gets there.
            let part = LocalPart::get(self.source, &self.scratch, file).await?;
            self.destination
                .put(&item, Body::File(part.path.clone()))
                .await?
        };
        self.destination
            .count(|copied| copied.files += u64::from(put));
        self.meter.bytes_done.fetch_add(file.bytes, Relaxed);
        Ok(())
    }

    /// What is not copied, so that it can be said.
    async fn count_left_behind(&self, chain: &CopiedChain) -> Result<()> {
        let committed: BTreeSet<&str> = chain
            .steps
            .iter()
            .flat_map(|step| &step.files)
            .map(|file| file.key.as_str())
            .collect();
        let days = self
            .source
            .store
            .list(&key::day_root(&chain.sub_account), None)
            .await?;
        let records = self
            .source
            .store
            .list(&key::chain(&chain.sub_account), None)
            .await?;
        let unlisted = days
            .iter()
            .filter(|entry| !committed.contains(entry.key.as_str()))
            .count()
            + records
                .iter()
                .filter(|entry| key::parse_manifest(&entry.key).is_none())
                .count();
        let disposed: usize = chain
            .steps
            .iter()
            .filter(|step| step.disposed)
            .map(|step| step.files.len())
            .sum();
        self.destination.count(|copied| {
            copied.unlisted += unlisted as u64;
            copied.disposed += disposed as u64;
        });
        Ok(())
    }
}
