//! The chain of signers as readers and writers learn it: all of it, from the first record to the last, before any other
//! chain is read.
//!
//! Most archives have no such record, and then it takes one listing. A writer lists again before each commit, so that a key
//! which was removed during a run signs nothing more.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::chain::archive;
use crate::chain::archive::{Archive, violated};
use crate::chain::newest::{CANDIDATES, examine_raw, fetch_raw, numbered};
use crate::chain::read;
use crate::chain::read::{ChainWalk, check_follows};
use crate::chain::record::{Examined, StoredRecord};
use crate::chain::trust::{LearnedRules, SigningRules};
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::{ArchiveRecord, Link, SignersRecord};
use crate::format::signature::{AllowedSigners, PublicKey};
use crate::outcome::{Failure, Result};
use crate::store::Store;

impl Archive {
    /// Reads `archive.json`.
    ///
    /// # Errors
    /// `Exit::Usage` where there is no archive, and those of [`archive::record`].
    pub async fn open(
        store: Arc<dyn Store>,
        allowed: AllowedSigners,
        stop: CancellationToken,
    ) -> Result<Archive> {
        let Some(record) = archive::record(&*store).await? else {
            return Err(archive::none_at(&store.root()));
        };
        Archive::of(store, record, allowed, stop).await
    }

    /// Returns the archive whose `archive.json` was read already, and reads the chain of signers.
    ///
    /// # Errors
    /// Those of [`Archive::learn_signers`].
    pub async fn of(
        store: Arc<dyn Store>,
        record: ArchiveRecord,
        allowed: AllowedSigners,
        stop: CancellationToken,
    ) -> Result<Archive> {
        let archive = Archive::unlearned(store, record, allowed, stop)?;
        archive.learn_signers().await?;
        Ok(archive)
    }

    /// Reads the chain of signers, where it has objects that were not read yet.
    ///
    /// # Errors
    /// `Exit::Integrity` where the chain does not hold.
    pub(crate) async fn learn_signers(&self) -> Result<()> {
        let entries = self.store.list(key::SIGNERS_FOLDER, None).await?;
        let listed: BTreeMap<u64, u64> = entries
            .iter()
            .filter_map(|entry| Some((numbered(key::SIGNERS, &entry.key)?, entry.bytes)))
            .collect();
        if listed == self.learned().listed {
            return Ok(());
        }
        // The rules grow with each record, and each record is judged by those before it.
        self.learn(LearnedRules {
            rules: SigningRules::new(self.record.signers.clone(), self.allowed.clone()).into(),
            listed: listed.clone(),
        });
        let mut objects = stream::iter(listed.clone())
            .map(|(number, bytes)| async move {
                let object = fetch_raw(self, key::SIGNERS, number, Some(bytes)).await?;
                Ok::<_, Failure>((number, object))
            })
            .buffered(CANDIDATES);
        let mut newest: Option<Box<StoredRecord<SignersRecord>>> = None;
        while let Some((number, object)) = objects.try_next().await? {
            self.check_stop()?;
            let Examined::Record(record) =
                examine_raw::<SignersRecord>(self, key::SIGNERS, number, &object)?
            else {
                continue;
            };
            check_follows(newest.as_deref(), &record)?;
            let mut rules = (*self.rules()).clone();
            rules.push(&record.envelope.manifest, record.link());
            self.learn(LearnedRules {
                rules: rules.into(),
                listed: listed.clone(),
            });
            newest = Some(record);
        }
        Ok(())
    }

    /// Checks that the chain of signers has the record that a roster record names. A chain that was cut off would let keys
    /// count that were removed.
    ///
    /// # Errors
    /// `Exit::Integrity` where it has not.
    pub(crate) fn check_knows_signers(&self, named: Option<&Link>, by: &str) -> Result<()> {
        match named {
            Some(link) if !self.rules().knows(link) => Err(violated(format!(
                "{by} names {}, which is missing, or is another record: the chain of signers was changed",
                link.key
            ))),
            _ => Ok(()),
        }
    }
}

/// Reads every record of the chain of signers, oldest first.
///
/// # Errors
/// `Exit::Integrity` where the chain does not hold.
pub(crate) async fn read_all(archive: &Archive) -> Result<Vec<StoredRecord<SignersRecord>>> {
    let newest = read::newest::<SignersRecord>(archive, key::SIGNERS).await?;
    let last = newest.map_or(0, |newest| newest.sequence);
    let mut walk = ChainWalk::forwards(archive, key::SIGNERS, 1, last);
    let mut all = Vec::new();
    while let Some(record) = walk.next().await? {
        archive.check_stop()?;
        all.push(record);
    }
    Ok(all)
}

impl Writer {
    /// Returns the public key with which this writer signs.
    pub(crate) fn own_key(&self) -> Option<PublicKey> {
        self.signers.key.as_ref().map(|key| key.public_key())
    }

    /// Refuses a writer whose records would not count: one without a key in a signed archive, one with a key that the archive
    /// does not list, and one with a key in an archive that is not signed.
    ///
    /// # Errors
    /// `Exit::Usage`.
    pub(crate) fn check_may_write(&self) -> Result<()> {
        let (rules, root) = (self.rules(), self.store.root());
        let problem = match self.own_key() {
            None if rules.is_signed() => Failure::usage(format!(
                "{root} is a signed archive, and no signing key is configured"
            ))
            .remedy("Set CXVAULT_SIGNING_KEY_FILE to a key that counts; `cxvault signers list` names them."),
            Some(_) if !rules.is_signed() => Failure::usage(format!(
                "{root} is not signed, and a signing key is configured: its records would not count"
            ))
            .remedy(
                "`cxvault signers begin` makes this a signed archive. If it was signed before, its archive.json was \
                 exchanged: then do not write to it.",
            ),
            Some(own) if !rules.current().contains(&own) => Failure::usage(format!(
                "the signing key {} does not count in {root}",
                own.fingerprint()
            ))
            .remedy(
                "A key that counts must add it: `cxvault signers add` on a host that has one. `cxvault signers list` names \
                 the keys that count.",
            ),
            _ => return Ok(()),
        };
        Err(problem)
    }
}
