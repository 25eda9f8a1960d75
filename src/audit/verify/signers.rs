//! The chain of signers, which changes the keys that count ([`crate::audit::verify::keys`]).
//!
//! # What is checked
//!
//! The chain of signers is a chain like any other; in addition each record is judged by the keys of the record before it,
//! the heads that it names are compared with the chains later, and they never go back. A record that begins signing is
//! reported with the number of records for which nothing else vouches.

use std::sync::Arc;

use crate::audit::verify::finding::{Finding, FindingCode, Findings};
use crate::audit::verify::heads::KnownHeads;
use crate::audit::verify::keys::KeyHistory;
use crate::audit::verify::links::{ArchiveIdentity, LinkCheck, ReadRecord, RecordCheck};
use crate::audit::verify::record::check_run_times;
use crate::audit::verify::verifier::Verifier;
use crate::format::place::key;
use crate::format::record::{HeadRef, KeyChange, SignersRecord};
use crate::outcome::Result;

/// Takes the records of the chain of signers in order.
struct SignersCheck {
    links: LinkCheck,
    history: Arc<KeyHistory>,
}

impl RecordCheck for SignersCheck {
    type Record = SignersRecord;

    fn links(&mut self) -> &mut LinkCheck {
        &mut self.links
    }

    fn next(&mut self, sequence: u64, object: ReadRecord<SignersRecord>) -> Vec<Finding> {
        let key = key::manifest(key::SIGNERS, sequence);
        let mut found = Findings::new(&key);
        let sha256 = object.sha256;
        if let Some(envelope) = self.links.next(&mut found, sequence, object) {
            let record = &envelope.manifest;
            check_run_times(&mut found, &record.run);
            if let Some(change) = record.change() {
                self.check_heads(&mut found, change);
                self.history = Arc::new(self.history.with(record, change, sha256));
                self.links.keys = self.history.clone();
            }
        }
        found.found
    }
}

impl SignersCheck {
    fn new(archive: ArchiveIdentity<'_>, history: Arc<KeyHistory>) -> SignersCheck {
        SignersCheck {
            links: LinkCheck::new(archive, key::SIGNERS, history.clone()),
            history,
        }
    }

    /// Checks that no chain ends before the head that an earlier change names: the records in between would be judged by
    /// other keys then.
    fn check_heads(&self, found: &mut Findings<'_>, change: &KeyChange) {
        let Some(before) = self.history.steps.last() else {
            return;
        };
        for earlier in &before.change.chains {
            let named = change.chains.iter().find(|named| named.id == earlier.id);
            let now = named.map_or(0, |named| named.head.sequence);
            if now < earlier.head.sequence {
                let (id, least) = (&earlier.id, earlier.head.sequence);
                let expected = format!("{id} at {least} at least");
                found.add(FindingCode::SignersWrong, expected, now.to_string());
            }
        }
    }

    /// Returns the notice about records that are not signed and for which the beginning of signing vouches.
    fn vouched(&self) -> Option<Finding> {
        let begin = self.history.steps.iter().find(|step| step.change.begin)?;
        let records: u64 = begin
            .change
            .chains
            .iter()
            .map(|named| named.head.sequence)
            .sum();
        let found = format!("{records} records for which only this record vouches");
        let key = &begin.link.key;
        let expected = "signatures";
        Some(Finding::new(FindingCode::VouchedOnly, key, expected, found))
    }
}

impl Verifier<'_> {
    /// Reads the chain of signers: all other chains are judged by it.
    pub async fn signers(&mut self) -> Result<()> {
        let listed = std::mem::take(&mut self.listed_signers);
        let history = Arc::new(KeyHistory::new(listed, self.options.allowed.clone()));
        let mut check = SignersCheck::new(self.identity(), history);
        let known = self.known_heads(key::SIGNERS).await?;
        let hashes = self.read_chain(&mut check, &known.numbers()).await?;
        self.finish_chain(&mut check.links, &known, true);
        self.report_all(known.check(&check.links, &hashes));
        self.check_unread(&check.links);
        self.report_all(check.vouched());
        self.signers_head = check.links.head.map(|(sequence, sha256)| {
            let chain = key::SIGNERS.to_owned();
            HeadRef {
                chain,
                sequence,
                sha256,
            }
            .to_string()
        });
        self.keys = check.history;
        Ok(())
    }

    /// Reports the objects at the end of a chain that are no records. `has_begun` says whether the archive has records that
    /// count: then a chain without one is an attacker's, or has not begun.
    pub(crate) fn finish_chain(&self, links: &mut LinkCheck, known: &KnownHeads, has_begun: bool) {
        let known_to = known.numbers().last().copied().unwrap_or(0);
        self.report_all(links.finish(known_to, has_begun));
    }
}
