//! What a verification finds: codes that scripts can rely on, each with its severity and its meaning.
//!
//! Codes and meanings are part of the documented interface (`schemas/EVENTS.md`): a code is never renamed or used for
//! something else.
//!
//! # Severities
//!
//! A **violation** means that something differs from what was committed, or that the archive contradicts itself: exit code 4. A
//! **gap** means that something was never archived, although what is archived is intact: exit code 3. A **notice** changes no
//! exit code; it says what this verification could not know, or what an auditor should know of the archive's history.
//!
//! # Wording
//!
//! `expected` and `found` are for people, and are not stable. They may contain keys, hashes, counts, times, dates and ids of
//! sub-accounts. They never contain a text of a row: a report is passed on to readers who may not read the archive.

use serde::Serialize;

/// How severe a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something that a reader should know, and that is no fault.
    Notice,
    /// Something was never archived. What is archived is intact.
    Gap,
    /// Something differs from what was committed.
    Violation,
}

/// One finding. It never quotes a summary, a phone number or a row.
///
/// # Examples
/// ```
/// use cxvault::audit::verify::finding::{Finding, FindingCode, Severity};
///
/// let finding = Finding::new(FindingCode::DayMissing, "12345 2026-11-20", "an archived day", "nothing");
/// assert_eq!(finding.severity, Severity::Gap);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of finding it is.
    pub code: FindingCode,
    /// The severity of the code.
    pub severity: Severity,
    /// Key of the object; `SUB_ACCOUNT DATE` for a day without objects.
    pub object: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The meaning of the code, as a sentence for the reader.
    pub meaning: &'static str,
}

impl Finding {
    /// Returns a finding about an object, with the severity and the meaning of its code.
    pub fn new(
        code: FindingCode,
        object: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (severity, meaning) = (code.severity(), code.meaning());
        Finding {
            code,
            severity,
            object: object.into(),
            expected: expected.into(),
            found: found.into(),
            meaning,
        }
    }
}

/// The findings about one record, while it is checked.
pub(super) struct Findings<'a> {
    /// Key of the record.
    object: &'a str,
    pub found: Vec<Finding>,
}

impl<'a> Findings<'a> {
    /// Returns an empty list for the record with this key.
    pub fn new(object: &'a str) -> Self {
        Findings {
            object,
            found: Vec::new(),
        }
    }

    /// Adds a finding.
    pub fn add(
        &mut self,
        code: FindingCode,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.found
            .push(Finding::new(code, self.object, expected, found));
    }

    /// Adds a finding if two values differ; `what` names them.
    pub(crate) fn add_unless_equal<T: PartialEq + std::fmt::Display>(
        &mut self,
        code: FindingCode,
        what: &str,
        expected: T,
        found: T,
    ) {
        if expected != found {
            self.add(code, format!("{what} {expected}"), found.to_string());
        }
    }
}

/// Declares the codes, so that none can lack a severity or a meaning.
macro_rules! codes {
    ($($code:ident $name:literal $severity:ident $meaning:literal;)+) => {
        /// The kind of a finding. Its name never changes, so that scripts can rely on it.
        ///
        /// # Examples
        /// ```
        /// use cxvault::audit::verify::finding::{FindingCode, Severity};
        ///
        /// let code = FindingCode::FileMissing;
        /// assert_eq!((code.name(), code.severity()), ("file-missing", Severity::Violation));
        /// assert!(code.meaning().starts_with("A committed file does not exist"));
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum FindingCode {
            $(#[doc = $meaning] #[serde(rename = $name)] $code,)+
        }

        impl FindingCode {
            /// Every code, in the order of the checks.
            pub const ALL: &[FindingCode] = &[$(FindingCode::$code),+];

            /// Returns the code, such as `file-missing`.
            pub fn name(self) -> &'static str {
                match self { $(FindingCode::$code => $name,)+ }
            }

            /// Returns how severe each finding of this kind is.
            pub fn severity(self) -> Severity {
                match self { $(FindingCode::$code => Severity::$severity,)+ }
            }

            /// Returns what a finding of this kind means, as a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(FindingCode::$code => $meaning,)+ }
            }
        }
    };
}

codes! {
    ArchiveRecord "archive-record-wrong" Violation
        "archive.json is not the record that the manifests name, so this may be another archive.";
    ManifestMissing "manifest-missing" Violation
        "A number of the chain is missing: an audit record was removed, or cannot be listed.";
    ManifestUnreadable "manifest-unreadable" Violation
        "The object is not a manifest of this format: it was damaged, or never written by cxvault.";
    ManifestMisplaced "manifest-misplaced" Violation
        "The manifest belongs to another archive, chain or number: it was copied here.";
    ChainBroken "chain-broken" Violation
        "The manifest is not the one that its successor names: one of the two was changed or replaced.";
    PositionWrong "position-wrong" Violation
        "The manifest's index, peaks or since do not follow from the records before it: a proof by them would be wrong.";
    ManifestUnsigned "manifest-unsigned" Violation
        "An earlier manifest of the chain is signed and this one is not: it may have been written without the key.";
    SignatureInvalid "signature-invalid" Violation
        "The signature does not match the manifest: one of them was changed.";
    SignerNotAllowed "signer-not-allowed" Violation
        "The manifest is signed by a key that is not among the allowed signers.";
    SignersWrong "signers-wrong" Violation
        "The chain of signers is not the one that the roster names, or goes back: keys that were removed could count again.";
    HeadMissing "head-missing" Violation
        "The chain ends before a head that was seen earlier: its end was cut off, or cannot be listed.";
    HeadDiffers "head-differs" Violation
        "The manifest is not the one that was seen earlier at this number: history was rewritten.";
    RosterHead "roster-head" Violation
        "The chain is not the one that the roster names: its end was cut off, or history was rewritten.";
    RosterWrong "roster-wrong" Violation
        "The roster record contradicts the one before it: a sub-account, or what was known of it, is left out.";
    AnchorMissing "anchor-missing" Violation
        "The second place has no head of this archive: it is another place, or this is another archive.";
    AnchorWrong "anchor-wrong" Violation
        "An object among the anchors is not a head of this chain: it was damaged, or not written by cxvault.";
    RevisionOrder "revision-order-wrong" Violation
        "The numbers of the day's revisions are not consecutive: a revision was removed or repeated.";
    CoverageWrong "coverage-wrong" Violation
        "The manifest's list of day states does not agree with the chain before it.";
    RecordWrong "record-wrong" Violation
        "An acknowledgement, a hold, a change of retention or a disposal contradicts the chain before it.";
    OrdersWrong "orders-wrong" Violation
        "The manifest does not name the newest hold or retention record before it: later commits could miss a hold.";
    DayWindowWrong "day-window-wrong" Violation
        "The day's interval is not that of its date in the chain's time zone, so segments may be missing at its edges.";
    WindowsIncomplete "windows-incomplete" Violation
        "The discovery windows do not cover the whole day: some segments may never have been requested.";
    WindowTooEarly "window-too-early" Violation
        "A discovery window was answered before it was over: segments that ended later are missing.";
    DiscoveryUnknown "discovery-unknown" Violation
        "The manifest refers to the windows of a manifest that does not exist, or is not of this day.";
    CountsWrong "counts-wrong" Violation
        "The manifest's counts do not add up: a record was changed, or rows are missing.";
    TimesWrong "times-wrong" Violation
        "The manifest's times contradict each other.";
    FileMisplaced "file-misplaced" Violation
        "The manifest lists a file of another day or revision, or one that is already listed.";
    FileMissing "file-missing" Violation
        "A committed file does not exist, or is not visible to this user.";
    FileSize "file-size-differs" Violation
        "A committed file has another length than its manifest names.";
    StoreChecksum "store-checksum-differs" Violation
        "The store's own checksum of a committed file is not the manifest's.";
    FileHash "file-hash-differs" Violation
        "The bytes of a committed file are not those that were committed.";
    DeleteMarker "delete-marker" Violation
        "An object was deleted; the version under the delete marker may still exist.";
    OtherVersions "other-versions" Violation
        "An object that is never written twice has more than one version.";
    VersionDiffers "version-differs" Violation
        "The object is not the version that was committed: it was deleted and written again.";
    LockMissing "lock-missing" Violation
        "The object is not locked, although its manifest says so: it can be removed before its retention ends.";
    LockWeaker "lock-weaker" Violation
        "The object's lock ends earlier, or is weaker, than its manifest says.";
    HoldMissing "hold-missing" Violation
        "The chain has an open legal hold on the object, but the store has none: the object can be removed.";
    ForeignObject "foreign-object" Violation
        "No manifest accounts for the object, and it is not a leftover of an interrupted run.";
    PartUnreadable "part-unreadable" Violation
        "The file is not a readable part of this format.";
    PartStatement "part-statement-wrong" Violation
        "The file's own description is of another archive, key, day or manifest: it was moved or exchanged.";
    PartSignature "part-signature-wrong" Violation
        "The file's signature is invalid, missing although the manifest is signed, or by a key that is not trusted.";
    SummaryHash "summary-hash-differs" Violation
        "A summary is not the one whose SHA-256 was recorded when it was fetched.";
    RowContradicts "row-contradicts-itself" Violation
        "A row's columns contradict each other, or the segment as RingCX returned it.";
    OmittedField "omitted-field-there" Violation
        "A row contains a field that its manifest says was left out.";
    RowOrder "row-order-wrong" Violation
        "The file's rows are not in order: rows were moved or exchanged.";
    SegmentRepeated "segment-repeated" Violation
        "A segment occurs twice in a revision.";
    MerkleRoot "merkle-root-differs" Violation
        "The file's rows are not those that were committed.";
    RowCounts "row-counts-differ" Violation
        "The numbers of rows differ from those in the manifest.";
    RowTimes "row-times-wrong" Violation
        "A row was observed after its manifest was committed, or before the segment's day.";
    DayMissing "day-missing" Gap
        "The day was never archived.";
    DayIncomplete "day-incomplete" Gap
        "RingCX gave no answer for some summaries of the day; the next run requests them again.";
    SubAccountUnlisted "sub-account-unlisted" Gap
        "RingCX no longer lists the sub-account, so it is no longer archived: access was lost, or it was closed.";
    ForeignRecord "foreign-record" Gap
        "An object at a record's number is no record, because no key that counts has signed it. Readers and writers ignore it.";
    SubAccountAcknowledged "sub-account-acknowledged" Notice
        "RingCX no longer lists the sub-account, and this was acknowledged.";
    DayAcknowledged "day-acknowledged" Notice
        "RingCX gave no answer for some summaries of the day, and this was acknowledged with a reason.";
    Expired "expired" Notice
        "The day was disposed of after its retention: its files may have been deleted, and its audit records remain.";
    HoldNotEnforced "hold-not-enforced" Notice
        "A legal hold is open but not enforced: this store has no legal holds, or had none when it was set.";
    BesideArchive "beside-archive" Notice
        "The object or folder lies beside the archive's own folders, where cxvault neither writes nor reads.";
    Leftover "leftover" Notice
        "No manifest lists the part: an interrupted run left it, and nothing depends on it.";
    RelocatedCopy "relocated-copy" Notice
        "The objects have other version ids than their manifests name: this is a copy, with locks of its own.";
    TakenOver "taken-over" Notice
        "The archive continues here after a takeover: version ids and locks of earlier commits belong to the place before.";
    PassedOver "passed-over" Notice
        "The record names objects at the numbers before it that are no records: an attacker occupied them, in vain.";
    VouchedOnly "vouched-only" Notice
        "Records from before the beginning of signing are not signed: only the record that began it vouches for them.";
    CarriedUnread "carried-unread" Notice
        "A later program has added to these records. Their hashes and signatures were checked, but not what was added.";
    ChainUnsigned "chain-unsigned" Notice
        "No manifest of this chain is signed: a user with write access to the store could have rewritten all of it.";
    NoAllowedSigners "no-allowed-signers" Notice
        "The signatures are valid, but no trusted keys were given: pass --allowed-signers.";
    NoRoster "no-roster" Notice
        "There is no roster, so a sub-account that was removed as a whole would not be noticed.";
    NoExpectedHead "no-expected-head" Notice
        "It is not known whether the end of the chain was cut off: pass a head from a second source with --expect-head or --anchor.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_meanings_are_sentences() {
        let mut names: Vec<&str> = FindingCode::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FindingCode::ALL.len());
        for code in FindingCode::ALL {
            assert!(code.meaning().ends_with('.') && code.name() == code.name().to_lowercase());
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
