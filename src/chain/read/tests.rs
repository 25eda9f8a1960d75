use super::*;
use crate::chain::archive::Trust;
use crate::chain::record::verify;
use crate::chain::trust::SigningRules;
use crate::format::record::Signed;
use crate::format::record::{
    ChainPosition, Continuity, KeyList, RosterEntry, RosterRecord, Run, SinceEntry, Takeover,
};
use crate::format::signature::{AllowedSigners, SigningKey};
use crate::format::time::Instant;
use crate::outcome::Exit;

const ARCHIVE: &str = "00112233445566778899aabbccddeeff";

/// The position of a record whose predecessor is the first of its chain, or that has none.
fn position(previous: Option<&Link>) -> ChainPosition {
    let entry = previous.map(|previous| SinceEntry {
        sequence: key::parse_manifest(&previous.key).unwrap(),
        date: None,
        kind: "takeover".to_owned(),
        revision: None,
        sha256: previous.sha256,
    });
    let first = ChainPosition::default();
    entry.map_or(first.clone(), |entry| first.after(entry))
}

/// A record of the roster's chain, as a writer would make it after `previous`.
fn body(sequence: u64, previous: Option<Link>) -> RosterRecord {
    let entry = RosterEntry::Takeover(Box::new(Takeover {
        from: None,
        copy: None,
        sub_accounts: Vec::new(),
        reason: "a test".to_owned(),
        by: None,
    }));
    RosterRecord {
        format_version: 1,
        archive_id: ARCHIVE.to_owned(),
        archive_sha256: Digest::of(b"archive.json"),
        key: key::manifest(key::ROSTER, sequence),
        sequence,
        position: position(previous.as_ref()),
        continuity: Continuity::default(),
        previous,
        run: Run {
            id: "a-run".to_owned(),
            tool_version: "0.1.0".to_owned(),
            libraries: "parquet 60.1".to_owned(),
            tz_database: "2026a".to_owned(),
            host: "a-host".to_owned(),
            settings_sha256: Digest::of(b"settings"),
            started_at: Instant::from_millis(0),
            finished_at: Instant::from_millis(0),
            clock_skew_ms: None,
        },
        place: "/srv/archive".to_owned(),
        object_lock: None,
        heads_root: entry.heads_root().unwrap(),
        signers: None,
        takeover: None,
        entry,
    }
}

fn sealed(mut body: RosterRecord, signer: Option<&SigningKey>) -> Vec<u8> {
    body.continuity.signed_from = signer.map(|_| body.sequence);
    Signed::seal(body, signer).unwrap().to_bytes().unwrap()
}

fn link(sequence: u64) -> Link {
    Link {
        key: key::manifest(key::ROSTER, sequence),
        sha256: Digest::of(b"the record before"),
    }
}

/// The rules of an archive with these signers, for a reader with these allowed signers.
fn rules(signers: &[&SigningKey], allowed: &[&SigningKey]) -> SigningRules {
    let signers = KeyList::of(signers.iter().map(|key| key.public_key()));
    let mut list = AllowedSigners::default();
    allowed.iter().for_each(|key| list.allow(key.public_key()));
    SigningRules::new(signers, list)
}

fn verified(
    bytes: &[u8],
    sequence: u64,
    rules: SigningRules,
) -> Result<StoredRecord<RosterRecord>> {
    let trust = Trust {
        archive_id: ARCHIVE,
        archive_sha256: Digest::of(b"archive.json"),
        rules: rules.into(),
    };
    verify(&trust, key::ROSTER, sequence, bytes)
}

#[test]
fn a_record_counts_at_its_own_place_only() {
    let changed = |change: fn(&mut RosterRecord)| {
        let mut record = body(2, Some(link(1)));
        change(&mut record);
        sealed(record, None)
    };
    let cases = [
        (changed(|_| ()), None),
        (
            changed(|record| record.archive_id = "another".to_owned()),
            Some("another place or archive"),
        ),
        (
            changed(|record| record.archive_sha256 = Digest::of(b"another")),
            Some("names another archive.json"),
        ),
        (
            changed(|record| record.position.index = 0),
            Some("contradicts itself"),
        ),
        (
            changed(|record| record.position.since[0].sha256 = Digest::of(b"another")),
            Some("contradicts itself"),
        ),
        (
            changed(|record| record.heads_root = Digest::of(b"another")),
            Some("contradicts itself"),
        ),
        (
            changed(|record| record.key = key::manifest(key::ROSTER, 3)),
            Some("another place or archive"),
        ),
        (
            changed(|record| record.sequence = 3),
            Some("another place or archive"),
        ),
        (
            changed(|record| record.previous = None),
            Some("contradicts itself"),
        ),
        (
            changed(|record| {
                record.previous = Some(link(2));
                record.position = position(record.previous.as_ref());
            }),
            Some("contradicts itself"),
        ),
        (
            changed(|record| record.format_version = 2),
            Some("is of format version 2"),
        ),
        (
            [changed(|_| ()), b"\n".to_vec()].concat(),
            Some("canonical"),
        ),
        (b"{}".to_vec(), Some("is damaged")),
    ];
    for (bytes, problem) in cases {
        match (verified(&bytes, 2, SigningRules::default()), problem) {
            (Ok(record), None) => assert_eq!(record.sha256, Digest::of(&bytes)),
            (Err(failure), Some(problem)) => {
                assert_eq!(failure.exit, Exit::Integrity);
                assert!(failure.message.contains(problem), "{}", failure.message);
            }
            (result, _) => panic!("expected {problem:?}, found {result:?}"),
        }
    }
}

#[test]
fn only_the_first_record_has_no_predecessor() {
    let check = |body| verified(&sealed(body, None), 1, SigningRules::default());
    assert!(check(body(1, None)).is_ok());
    assert!(check(body(1, Some(link(1)))).is_err());
}

#[test]
fn signatures_are_verified_and_strangers_refused() {
    let (own, stranger) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let by_own = sealed(body(1, None), Some(&own));
    let by_stranger = sealed(body(1, None), Some(&stranger));
    let unsigned = sealed(body(1, None), None);
    // With a signature of another record the bytes are canonical, and the signature is not valid.
    let mut forged = Signed::seal(body(1, None), Some(&own)).unwrap();
    forged.manifest.place = "/srv/elsewhere".to_owned();
    let forged = forged.to_bytes().unwrap();
    // The archive's signers, the reader's allowed signers, and which of the four records count.
    type Case<'a> = (&'a [&'a SigningKey], &'a [&'a SigningKey], [bool; 4]);
    let cases: [Case<'_>; 5] = [
        (&[], &[], [true, true, true, false]),
        (&[&own], &[], [true, false, false, false]),
        (&[&own], &[&own], [true, false, false, false]),
        (&[&own], &[&stranger], [false; 4]),
        (&[], &[&own], [true, false, false, false]),
    ];
    for (n, (signers, allowed, expected)) in cases.into_iter().enumerate() {
        let counts = [&by_own, &by_stranger, &unsigned, &forged]
            .map(|bytes| verified(bytes, 1, rules(signers, allowed)).is_ok());
        assert_eq!(counts, expected, "case {n}");
    }
}

#[test]
fn a_record_that_cannot_be_read_is_no_foreign_object_if_its_signature_counts() {
    let own = SigningKey::generate().unwrap();
    let later = |mut record: RosterRecord| {
        record.format_version = 2;
        sealed(record, Some(&own))
    };
    let examined = |bytes: &[u8], sequence| {
        let trust = Trust {
            archive_id: ARCHIVE,
            archive_sha256: Digest::of(b"archive.json"),
            rules: rules(&[&own], &[]).into(),
        };
        examine::<RosterRecord>(&trust, key::ROSTER, sequence, bytes)
    };
    assert!(examined(&later(body(1, None)), 1).is_err());
    // The same object at another number, or of another archive, is nothing that counts.
    let elsewhere = examined(&later(body(1, None)), 2);
    assert!(matches!(elsewhere, Ok(Examined::Foreign(_))));
    let mut other = body(1, None);
    other.archive_id = "another".to_owned();
    assert!(matches!(
        examined(&later(other), 1),
        Ok(Examined::Foreign(_))
    ));
    assert!(matches!(examined(b"junk", 1), Ok(Examined::Foreign(_))));
}

#[test]
fn a_record_follows_the_one_that_it_names() {
    let neighbour = |sequence: u64, previous: Option<Digest>, signed: bool| Neighbour {
        sequence,
        key: key::manifest(key::ROSTER, sequence),
        sha256: Digest::of(&sequence.to_be_bytes()),
        previous: previous.map(|sha256| Link {
            key: key::manifest(key::ROSTER, 1),
            sha256,
        }),
        signed,
        signed_from: signed.then_some(sequence),
        position: position((sequence > 1).then(|| link(1)).as_ref()),
        next: position(Some(&link(1))),
    };
    let named = Some(Digest::of(&1_u64.to_be_bytes()));
    let cases = [
        // Is the older one signed, what does the newer one name, and is it signed?
        (false, named, false, true),
        (false, named, true, true),
        (true, named, true, true),
        (true, named, false, false),
        (false, None, false, false),
        (true, Some(Digest::of(b"another")), true, false),
    ];
    for (older_signed, previous, newer_signed, follows) in cases {
        let older = neighbour(1, None, older_signed);
        let mut newer = neighbour(2, previous, newer_signed);
        if older_signed && newer_signed {
            newer.signed_from = Some(1);
        }
        let case = (older_signed, previous, newer_signed);
        assert_eq!(newer.check_follows(&older).is_ok(), follows, "{case:?}");
    }
    type Change = fn(&mut ChainPosition);
    let changes: [Change; 3] = [
        |position| position.index += 1,
        |position| position.peaks[0] = Digest::of(b"another tree"),
        |position| position.since[0].kind = "roster".to_owned(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut newer = neighbour(2, named, true);
        newer.signed_from = Some(1);
        change(&mut newer.position);
        let found = newer.check_follows(&neighbour(1, None, true)).unwrap_err();
        assert!(
            found.message.contains("index, peaks or since"),
            "change {n}"
        );
    }
}

#[test]
fn other_versions_of_an_object_are_noticed() {
    let version = |key: &str, is_delete_marker| ObjectVersion {
        key: key.to_owned(),
        version_id: None,
        is_latest: true,
        is_delete_marker,
    };
    let cases = [
        (vec![], true),
        (vec![version("a", false), version("b", false)], true),
        (vec![version("a", false), version("a", false)], false),
        (vec![version("a", true)], false),
    ];
    for (versions, fine) in cases {
        assert_eq!(one_version_each(&versions).is_ok(), fine, "{versions:?}");
    }
}
