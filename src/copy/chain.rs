//! One chain of the source. It is read completely before anything of it is copied, so that each manifest is the one that its
//! successor names, and a hold or longer retention that was recorded late applies to the objects of the early days it names.

use bytes::Bytes;
use jiff::civil::Date;

use crate::chain::archive::violated;
use crate::chain::{Archive, ChainWalk, Protection, StoredRecord};
use crate::copy::destination::CopyItem;
use crate::format::hash::Digest;
use crate::format::record::{
    ChainHead, Coverage, DayState, File, Lock, Manifest, Obligations, Record,
};
use crate::outcome::Result;

/// One manifest, and the files that must be in the copy before it.
#[derive(Debug)]
pub(crate) struct CopyStep {
    /// Key of the manifest.
    pub key: String,
    /// The manifest's object.
    pub bytes: Bytes,
    /// SHA-256 of `bytes`.
    pub sha256: Digest,
    /// The files that the manifest commits.
    pub files: Vec<File>,
    /// The protection that the chain requires of the manifest and its files.
    pub required: Protection,
    /// Whether its day was disposed of: the files may be gone, and are not copied in any case.
    pub disposed: bool,
    /// The day that the manifest is about; `None` for a record without rows.
    date: Option<Date>,
    /// The lock of the files, as the manifest names it.
    lock: Option<Lock>,
}

impl CopyStep {
    /// Returns the manifest as an object of the copy.
    pub(super) fn item(&self) -> CopyItem<'_> {
        CopyItem {
            key: &self.key,
            bytes: self.bytes.len() as u64,
            sha256: self.sha256,
            required: self.required,
        }
    }

    /// Returns the files to copy: none of a day that was disposed of.
    pub(super) fn files_to_copy(&self) -> &[File] {
        if self.disposed { &[] } else { &self.files }
    }
}

/// The manifests of one sub-account up to a head, in order.
#[derive(Debug)]
pub(crate) struct CopiedChain {
    /// Id of the sub-account.
    pub sub_account: String,
    /// One step for each manifest.
    pub steps: Vec<CopyStep>,
}

impl CopiedChain {
    /// Reads the chain up to `head`.
    ///
    /// # Errors
    /// Those of [`ChainWalk::next`], and [`Exit::Integrity`](crate::outcome::Exit::Integrity) where the head is another one.
    pub async fn read(source: &Archive, head: &ChainHead) -> Result<CopiedChain> {
        let ChainHead {
            id: sub_account,
            head,
        } = head;
        let mut steps: Vec<CopyStep> = Vec::new();
        let (mut obligations, mut coverage) = (Obligations::default(), Coverage::default());
        let mut walk = ChainWalk::<Manifest>::forwards(source, sub_account, 1, head.sequence);
        while let Some(stored) = walk.next().await? {
            source.check_stop()?;
            let manifest = &stored.envelope.manifest;
            obligations.push(stored.sequence, &manifest.record);
            coverage.clone_from(&manifest.coverage);
            steps.push(step(stored)?);
        }
        if steps.last().map(|newest| newest.sha256) != Some(head.sha256) {
            return Err(violated(format!(
                "the head of sub-account {sub_account} was changed while it was read"
            )));
        }
        // The head knows the state of every day, whichever record disposed of it.
        for step in &mut steps {
            let state = step.date.map(|date| coverage.state(date));
            step.disposed = state == Some(DayState::Disposed);
        }
        require_protection(&mut steps, &obligations);
        Ok(CopiedChain {
            sub_account: sub_account.clone(),
            steps,
        })
    }
}

/// Returns the step of one record, before the rest of the chain is known.
fn step(stored: StoredRecord) -> Result<CopyStep> {
    // These are the object's own bytes: a record in any other spelling was refused when it was read.
    let bytes = stored
        .envelope
        .to_bytes()
        .map_err(|error| violated(format!("{}: {error}", stored.key)))?;
    let (date, lock, files) = match stored.envelope.manifest.record {
        Record::Day(day) => (
            Some(day.date),
            day.object_lock.map(|lock| lock.lock()),
            day.files,
        ),
        _ => (None, None, Vec::new()),
    };
    Ok(CopyStep {
        key: stored.key,
        bytes: bytes.into(),
        sha256: stored.sha256,
        files,
        required: Protection::default(),
        disposed: false,
        date,
        lock,
    })
}

/// Sets the protection that the chain requires of each step's objects. A manifest without files names no lock, although it
/// was stored with one: it gets the lock of the files that were committed before it, or at the chain's beginning after it.
fn require_protection(steps: &mut [CopyStep], obligations: &Obligations) {
    let mut usual = steps
        .iter()
        .find(|step| !step.files.is_empty())
        .and_then(|step| step.lock);
    for step in steps {
        if !step.files.is_empty() {
            usual = step.lock;
        }
        let ordered = step.date.and_then(|date| obligations.lock_on(date));
        step.required = Protection {
            lock: Lock::strongest([usual, ordered]),
            hold: step
                .date
                .is_some_and(|date| obligations.holds_objects(date)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::lock::LockMode;
    use crate::format::record::notes::{DateSpan, ExtendedDay, Extension, Hold, HoldAct};
    use crate::format::time::Instant;

    fn date(day: i8) -> Date {
        jiff::civil::date(2026, 11, day)
    }

    fn lock(until_ms: i64) -> Lock {
        Lock {
            mode: LockMode::Governance,
            until_ms,
        }
    }

    fn file() -> File {
        let digest = Digest::of(b"a file");
        File {
            key: "a".to_owned(),
            bytes: 6,
            rows: 1,
            sha256: digest,
            merkle_root: digest,
            schema_sha256: digest,
            min_segment_end: None,
            max_segment_end: None,
            version_id: None,
            adopted: false,
            omitted_fields: None,
        }
    }

    /// Which day, whether it has a file, and the lock that its manifest names.
    fn steps(of: &[(Option<i8>, bool, Option<i64>)]) -> Vec<CopyStep> {
        let step = |&(day, with_file, until): &(Option<i8>, bool, Option<i64>)| CopyStep {
            key: String::new(),
            bytes: Bytes::new(),
            sha256: Digest::of(b""),
            files: if with_file { vec![file()] } else { Vec::new() },
            required: Protection::default(),
            disposed: false,
            date: day.map(date),
            lock: until.map(lock),
        };
        of.iter().map(step).collect()
    }

    fn kept(
        of: &[(Option<i8>, bool, Option<i64>)],
        orders: &Obligations,
    ) -> Vec<(Option<i64>, bool)> {
        let mut steps = steps(of);
        require_protection(&mut steps, orders);
        steps
            .iter()
            .map(|step| step.required)
            .map(|required| (required.lock.map(|lock| lock.until_ms), required.hold))
            .collect()
    }

    #[test]
    fn a_manifest_without_files_is_kept_as_long_as_its_neighbour() {
        let chain = [
            (Some(1), false, None),
            (Some(2), true, Some(5_000)),
            (None, false, None),
            (Some(3), true, Some(9_000)),
            (Some(4), false, None),
            // From here on nothing was locked any more.
            (Some(5), true, None),
            (None, false, None),
        ];
        let expected = [
            Some(5_000),
            Some(5_000),
            Some(5_000),
            Some(9_000),
            Some(9_000),
            None,
            None,
        ];
        assert_eq!(
            kept(&chain, &Obligations::default()),
            expected.map(|until| (until, false))
        );
    }

    #[test]
    fn a_late_order_reaches_every_object_of_its_days() {
        let range = DateSpan::new(date(2), date(3)).unwrap();
        let mut orders = Obligations::default();
        let extended = ExtendedDay {
            date: date(2),
            mode: LockMode::Compliance,
            retain_until: Instant::from_millis(7_000),
        };
        let extension = Extension {
            range,
            days: vec![extended],
            reason: None,
            by: None,
        };
        let (case, reason) = ("A".to_owned(), "a test".to_owned());
        let hold = Hold {
            act: HoldAct::Add,
            case,
            range,
            reason,
            by: None,
            enforced: true,
        };
        orders.push(3, &Record::Retention(Box::new(extension)));
        orders.push(4, &Record::Hold(Box::new(hold)));
        let chain = [
            (Some(1), true, Some(9_000)),
            (Some(2), true, Some(5_000)),
            (Some(2), true, None),
        ];
        let expected = [
            (Some(9_000), false),
            (Some(7_000), true),
            (Some(7_000), true),
        ];
        assert_eq!(kept(&chain, &orders), expected);
    }
}
