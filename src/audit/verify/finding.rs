//! What a verification finds: stable codes, each with its weight and its meaning to a reader.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Notice,
    /// Something was never archived; what is archived holds.
    Gap,
    /// The archive is not what was committed.
    Violation,
}

/// One finding. Nothing in it quotes a summary, a phone number or a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: FindingCode,
    pub severity: Severity,
    /// Key of the object, or `SUB_ACCOUNT DATE` for a day that has none.
    pub object: String,
    pub expected: String,
    pub found: String,
    /// What it means to a reader.
    pub meaning: &'static str,
}

impl Finding {
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

/// Declares the codes, so that none can be without a weight and a meaning.
macro_rules! codes {
    ($($code:ident $name:literal $severity:ident $meaning:literal;)+) => {
        /// What kind of finding: a name that scripts may rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum FindingCode {
            $(#[doc = $meaning] #[serde(rename = $name)] $code,)+
        }

        impl FindingCode {
            /// Every code, in the order of the checks.
            pub const ALL: &[FindingCode] = &[$(FindingCode::$code),+];

            pub fn name(self) -> &'static str {
                match self { $(FindingCode::$code => $name,)+ }
            }

            pub fn severity(self) -> Severity {
                match self { $(FindingCode::$code => Severity::$severity,)+ }
            }

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
        "A number of the chain is missing: an audit record was removed.";
    ManifestUnreadable "manifest-unreadable" Violation
        "The object is not a manifest of this format: it was damaged, or never written by cxvault.";
    ManifestMisplaced "manifest-misplaced" Violation
        "The manifest belongs to another place or archive: it was copied here.";
    ChainBroken "chain-broken" Violation
        "The manifest is not the one that its successor names: history was rewritten.";
    ManifestUnsigned "manifest-unsigned" Violation
        "An earlier manifest of the chain is signed and this one is not: whoever wrote it did not have the key.";
    SignatureInvalid "signature-invalid" Violation
        "The signature does not fit the manifest: one of them was changed.";
    SignerNotAllowed "signer-not-allowed" Violation
        "The manifest is signed by a key that is not among the allowed signers.";
    HeadMissing "head-missing" Violation
        "The chain ends before a head that was seen earlier: its end was cut off.";
    HeadDiffers "head-differs" Violation
        "The manifest is not the one that was seen earlier at this number: history was rewritten.";
    RosterHead "roster-head" Violation
        "The chain is not the one that a roster has seen: its end was cut off, or history was rewritten.";
    RosterWrong "roster-wrong" Violation
        "The roster does not follow from the one before it: it forgets a sub-account, or what was known of one.";
    AnchorWrong "anchor-wrong" Violation
        "An object among the anchors is no head of this chain: it was damaged, or written by something else than cxvault.";
    RevisionOrder "revision-order-wrong" Violation
        "The day's revisions do not follow one another: one was removed or repeated.";
    CoverageWrong "coverage-wrong" Violation
        "The manifest's account of the days does not follow from the chain.";
    RecordWrong "record-wrong" Violation
        "An acknowledgement, a hold, a change of retention or a disposal does not follow from the chain before it.";
    OrdersWrong "orders-wrong" Violation
        "The manifest does not name the newest hold or retention record before it: later commits could miss a hold.";
    DayWindowWrong "day-window-wrong" Violation
        "The day's interval is not that of its date in the chain's time zone, so segments may be missing at its edges.";
    WindowsIncomplete "windows-incomplete" Violation
        "The discovery windows do not tile the day: segments may never have been asked for.";
    WindowTooEarly "window-too-early" Violation
        "A discovery window was answered before it was over: segments that ended later are missing.";
    DiscoveryUnknown "discovery-unknown" Violation
        "The manifest refers to windows of a manifest that is not there, or not of this day.";
    CountsWrong "counts-wrong" Violation
        "The manifest's counts do not add up: a record was changed, or rows are missing.";
    TimesWrong "times-wrong" Violation
        "The manifest's times contradict each other.";
    FileMisplaced "file-misplaced" Violation
        "The manifest lists a file that is not of this day and revision, or is listed already.";
    FileMissing "file-missing" Violation
        "A committed file is not there: rows were removed.";
    FileSize "file-size-differs" Violation
        "A committed file has another length than its manifest names.";
    StoreChecksum "store-checksum-differs" Violation
        "The store's own checksum of a committed file is not the manifest's.";
    FileHash "file-hash-differs" Violation
        "The bytes of a committed file are not those that were committed.";
    DeleteMarker "delete-marker" Violation
        "An object was deleted; the version under the marker may still be there.";
    OtherVersions "other-versions" Violation
        "An object that is never written twice has more than one version.";
    VersionDiffers "version-differs" Violation
        "The object is not the version that was committed: it was deleted and written again.";
    LockMissing "lock-missing" Violation
        "The object is not locked, although its manifest says so: it can be removed before its time.";
    LockWeaker "lock-weaker" Violation
        "The object's lock ends earlier, or is weaker, than its manifest says.";
    HoldMissing "hold-missing" Violation
        "The object is under an open legal hold by the chain, and the store does not hold it: it can be removed.";
    ForeignObject "foreign-object" Violation
        "An object that no manifest accounts for: it was added by something else than cxvault.";
    PartUnreadable "part-unreadable" Violation
        "The file is not a readable part of this format.";
    PartStatement "part-statement-wrong" Violation
        "The file's own statement is not of this archive, place, day or manifest: it was moved or exchanged.";
    PartSignature "part-signature-wrong" Violation
        "The file's signature does not hold, is missing where the manifest is signed, or is by a key not allowed.";
    SummaryHash "summary-hash-differs" Violation
        "A summary is not the one whose SHA-256 was recorded when it was fetched.";
    RowContradicts "row-contradicts-itself" Violation
        "A row's columns contradict each other, or what RingCX delivered for the segment.";
    OmittedField "omitted-field-there" Violation
        "A row holds a field that its manifest says was left out.";
    RowOrder "row-order-wrong" Violation
        "The file's rows are not in their order: rows were moved or exchanged.";
    SegmentRepeated "segment-repeated" Violation
        "A segment stands in a revision twice.";
    MerkleRoot "merkle-root-differs" Violation
        "The file's rows are not those that were committed.";
    RowCounts "row-counts-differ" Violation
        "Counting the rows gives other numbers than the manifest names.";
    RowTimes "row-times-wrong" Violation
        "A row was observed after its manifest was committed, or before the segment's day.";
    DayMissing "day-missing" Gap
        "The day was never archived.";
    DayIncomplete "day-incomplete" Gap
        "Some summaries of the day could not be had; the next run tries again.";
    SubAccountUnlisted "sub-account-unlisted" Gap
        "RingCX no longer lists the sub-account, so nothing is archived of it: access was lost, or it was closed.";
    SubAccountAcknowledged "sub-account-acknowledged" Notice
        "RingCX no longer lists the sub-account, and somebody has acknowledged that.";
    DayAcknowledged "day-acknowledged" Notice
        "Some summaries of the day could not be had, and somebody has acknowledged that with a reason.";
    Expired "expired" Notice
        "The day was disposed of after its retention: its files may be gone, and its audit records stay.";
    HoldNotEnforced "hold-not-enforced" Notice
        "A legal hold is open, and nothing here enforces it: this store keeps no legal holds, or kept none then.";
    Leftover "leftover" Notice
        "A part that no manifest lists: an interrupted run left it, and nothing relies on it.";
    RelocatedCopy "relocated-copy" Notice
        "The objects have other version ids than their manifests name: this is a copy, with locks of its own.";
    TakenOver "taken-over" Notice
        "The archive goes on at another place: version ids and locks of what was committed before are not those of here.";
    ChainUnsigned "chain-unsigned" Notice
        "No manifest of this chain is signed: whoever can write to the store could have rewritten all of it.";
    NoAllowedSigners "no-allowed-signers" Notice
        "Signatures hold, but nobody said whose count: give --allowed-signers.";
    NoRoster "no-roster" Notice
        "No roster says which sub-accounts there were: all of one could have been removed unseen.";
    NoExpectedHead "no-expected-head" Notice
        "Nothing tells whether the chain's end was cut off: give a head that was kept elsewhere with --expect-head or --anchor.";
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
