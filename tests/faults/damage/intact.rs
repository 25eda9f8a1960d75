//! What must hold: intact archives, copies of them, and subsets; and that the tools of the forger
//! write the same as the archive's own.

use std::path::Path;

use cxvault::audit::verify::finding::{FindingCode, Severity};
use cxvault::format::place::key;
use tempfile::TempDir;

use super::archives::{BETWEEN, FILLED, MADE, OTHER, SUB, commit_in, lock, manifest, parts};
use super::case::{Level, Verdict};
use crate::support::bucket::Bucket;
use crate::support::damage::{Archive, Pen, Spot};
use crate::support::minio::minio;

const LEVELS: [Level; 3] = [Level::Quick, Level::Full, Level::Deep];

fn signers() -> Vec<String> {
    vec![
        "--allowed-signers".to_owned(),
        MADE.signers.to_str().unwrap().to_owned(),
    ]
}

/// Verifies at a level; everything must hold, with no findings but `notices`.
#[track_caller]
fn holds(location: &str, level: Level, more: &[String], notices: &[FindingCode]) -> Verdict {
    let verdict = Verdict::of(&MADE, location, level, more);
    assert_eq!(
        verdict.holds(),
        Vec::<String>::new(),
        "{location} {level:?}"
    );
    for (code, object) in &verdict.found {
        // These archives have no roster; the one that has is below.
        let known = notices.contains(code) || *code == FindingCode::NoRoster;
        assert!(known, "{location} {level:?}: {code:?} of {object}");
    }
    verdict
}

fn laid(archive: &Archive) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    archive.lay(folder.path());
    let location = folder.path().to_str().unwrap().to_owned();
    (folder, location)
}

fn heads() -> Vec<String> {
    let expect = |(sub, n)| {
        let sha256 =
            cxvault::format::hash::digest::Digest::of(&MADE.signed.bytes(&key::manifest(sub, n)));
        ["--expect-head".to_owned(), format!("{sub}:{n}:{sha256}")]
    };
    [(SUB, BETWEEN), (SUB, FILLED), (OTHER, 1)]
        .into_iter()
        .flat_map(expect)
        .collect()
}

#[test]
fn intact_archives_hold_at_every_level_and_say_what_was_verified() {
    let (_keep, signed) = laid(&MADE.signed);
    let (_keep, unsigned) = laid(&MADE.unsigned);
    for level in LEVELS {
        let verdict = holds(&signed, level, &signers(), &[FindingCode::NoExpectedHead]);
        let counts = &verdict.verified;
        let parts = MADE
            .signed
            .objects
            .keys()
            .filter(|key| key.ends_with(".parquet"))
            .count();
        let bytes: usize = MADE
            .signed
            .objects
            .iter()
            .filter(|(key, _)| key.ends_with(".parquet"))
            .map(|(_, b)| b.len())
            .sum();
        let rows: usize = MADE
            .signed
            .objects
            .keys()
            .filter(|key| key.ends_with(".parquet"))
            .map(|key| MADE.signed.rows(key).len())
            .sum();
        assert_eq!(
            (&counts["manifests"], &counts["signed_manifests"]),
            (&6.into(), &6.into()),
            "{counts}"
        );
        assert_eq!(
            (&counts["days_complete"], &counts["days_empty"]),
            (&4.into(), &1.into()),
            "{counts}"
        );
        assert_eq!(counts["files"], parts, "{counts}");
        // A level reports what it has not read.
        assert_eq!(
            counts["bytes"],
            if level == Level::Quick { 0 } else { bytes },
            "{counts}"
        );
        assert_eq!(
            counts["rows"],
            if level == Level::Deep { rows } else { 0 },
            "{counts}"
        );
        assert_eq!(counts["violations"], 0, "{counts}");
        holds(&signed, level, &[signers(), heads()].concat(), &[]);
        holds(
            &signed,
            level,
            &[],
            &[FindingCode::NoExpectedHead, FindingCode::NoAllowedSigners],
        );
        holds(
            &unsigned,
            level,
            &[],
            &[FindingCode::NoExpectedHead, FindingCode::ChainUnsigned],
        );
    }
}

#[test]
fn one_head_covers_an_archive_with_a_roster() {
    let (_keep, location) = laid(&MADE.rostered);
    let newest = MADE.rostered.manifests(key::ROSTER);
    let sha256 = cxvault::format::hash::digest::Digest::of(
        &MADE.rostered.bytes(&key::manifest(key::ROSTER, newest)),
    );
    let head = format!("{}:{newest}:{sha256}", key::ROSTER);
    for level in LEVELS {
        let verdict = Verdict::of(&MADE, &location, level, &signers());
        let of_roster = (FindingCode::NoExpectedHead, key::ROSTERS.to_owned());
        assert_eq!(
            (verdict.exit, verdict.found),
            (0, vec![of_roster]),
            "{level:?}"
        );
        assert_eq!(
            (&verdict.verified["rosters"], &verdict.verified["heads"][2]),
            (&5.into(), &head[..].into())
        );
        let expected = ["--expect-head".to_owned(), head.clone()];
        let verdict = Verdict::of(
            &MADE,
            &location,
            level,
            &[&signers()[..], &expected].concat(),
        );
        assert_eq!((verdict.exit, verdict.found), (0, Vec::new()), "{level:?}");
    }
}

#[test]
fn intact_buckets_and_copies_of_them_hold() {
    let here = Bucket::new(minio(), "intact", true);
    let committed = commit_in(&here, MADE.locked.clone());
    let elsewhere = Bucket::new(minio(), "copy", true);
    elsewhere.store(&committed.objects, Some(lock()));
    let unlocked = Bucket::new(minio(), "unlocked", false);
    unlocked.store(&committed.objects, None);
    let (_keep, folder) = laid(&committed);
    for level in LEVELS {
        holds(
            &here.location(),
            level,
            &signers(),
            &[FindingCode::NoExpectedHead],
        );
        let copied = [FindingCode::NoExpectedHead, FindingCode::RelocatedCopy];
        for copy in [elsewhere.location(), unlocked.location()] {
            // Version ids and locks belong to a place: the report says that they are not the
            // copy's.
            let verdict = holds(&copy, level, &signers(), &copied);
            assert!(
                verdict
                    .found
                    .iter()
                    .any(|(code, _)| *code == FindingCode::RelocatedCopy),
                "{level:?}"
            );
        }
        holds(&folder, level, &signers(), &copied);
    }
}

#[test]
fn a_damaged_copy_elsewhere_is_still_reported() {
    let part = &parts(BETWEEN)[1];
    let mut archive = MADE.locked.clone();
    archive.flip(part, Spot::Middle);
    let elsewhere = Bucket::new(minio(), "copy", true);
    elsewhere.store(&archive.objects, Some(lock()));
    let verdict = Verdict::of(&MADE, &elsewhere.location(), Level::Full, &signers());
    assert_eq!(verdict.exit, 4);
    assert!(
        verdict
            .found
            .contains(&(FindingCode::FileHash, part.clone())),
        "{:?}",
        verdict.found
    );
}

#[test]
fn exactly_one_subset_finds_a_damaged_part() {
    let mut archive = MADE.signed.clone();
    archive.flip(&parts(BETWEEN)[1], Spot::Middle);
    let (_keep, location) = laid(&archive);
    let exit = |n: u32| {
        let share = ["--subset".to_owned(), format!("{n}/3")];
        Verdict::of(
            &MADE,
            &location,
            Level::Full,
            &[&share, &signers()[..]].concat(),
        )
        .exit
    };
    let mut exits = [1, 2, 3].map(exit);
    exits.sort_unstable();
    assert_eq!(exits, [0, 0, 4]);
}

#[test]
fn nothing_to_verify_is_no_success() {
    let folder = TempDir::new().unwrap();
    let bucket = Bucket::new(minio(), "empty", true);
    let missing = folder.path().join("missing");
    for location in [
        folder.path().to_str().unwrap(),
        missing.to_str().unwrap(),
        &bucket.location(),
    ] {
        let said = MADE
            .auditor
            .run(&["verify", "--archive", location])
            .expect(2);
        assert!(
            said.stderr.contains("nothing to verify") && said.stderr.contains(location),
            "{said}"
        );
    }
    let (_keep, location) = laid(&MADE.signed);
    for (args, exit) in [
        // A head of a chain that does not exist.
        (
            vec![
                "--expect-head".to_owned(),
                format!("77777777:1:{}", "0".repeat(64)),
            ],
            4,
        ),
        (
            vec![
                "--from".to_owned(),
                "2999-01-01".to_owned(),
                "--to".to_owned(),
                "2999-01-03".to_owned(),
            ],
            3,
        ),
    ] {
        let verdict = Verdict::of(&MADE, &location, Level::Quick, &args);
        assert_eq!(verdict.exit, exit, "{args:?}: {:?}", verdict.found);
        assert!(
            verdict
                .found
                .iter()
                .any(|(code, _)| code.severity() > Severity::Notice)
        );
    }
}

/// No finding quotes a summary or an address.
#[test]
fn findings_quote_no_summary_and_no_address() {
    let mut archive = MADE.unsigned.clone();
    let part = parts(BETWEEN)[0].clone();
    let rows = archive.rows(&part);
    archive.forge_rows(&part, Pen::Own, |rows| {
        for row in rows.iter_mut() {
            row.agent.sha256 = None;
            row.segment.metadata.contact_endpoint_address = Some("+15550000000".to_owned());
        }
        rows.reverse();
    });
    let (_keep, location) = laid(&archive);
    let done = MADE
        .auditor
        .run(&["verify", "--archive", &location, "--level", "deep"])
        .expect(4);
    let said = format!("{}{}", done.stdout, done.stderr);
    for row in rows {
        let secrets = [
            row.agent.summary,
            row.auto.summary,
            row.segment.metadata.contact_endpoint_address,
        ];
        for secret in secrets.into_iter().flatten().filter(|text| text.len() > 6) {
            assert!(!said.contains(&secret), "it quotes {secret}: {said}");
        }
        assert!(
            !said.contains(
                &row.segment
                    .metadata
                    .segment_id
                    .unwrap_or_else(|| "no id".to_owned())
            )
        );
    }
    assert!(!said.contains("+15550000000"), "{said}");
}

/// A forgery that changes nothing gives the same bytes: so the matrix damages what it means to
/// damage and nothing else.
#[test]
fn a_forgery_without_a_change_is_the_original() {
    for intact in [&MADE.signed, &MADE.unsigned] {
        let mut forged = intact.clone();
        for part in intact
            .objects
            .keys()
            .filter(|key| key.ends_with(".parquet"))
        {
            forged.forge_rows(part, Pen::Own, |_| {});
        }
        for sub in [SUB, OTHER] {
            forged.forge(sub, 1, Pen::Own, |_| {});
        }
        assert_eq!(
            forged.objects.keys().collect::<Vec<_>>(),
            intact.objects.keys().collect::<Vec<_>>()
        );
        for (key, bytes) in &intact.objects {
            assert!(forged.objects[key] == *bytes, "{key} is another");
        }
    }
}

/// Only what was meant changes, and what must follow from it.
#[test]
fn a_forgery_changes_the_part_its_manifest_and_those_after_it() {
    let mut forged = MADE.signed.clone();
    let part = parts(BETWEEN)[0].clone();
    forged.forge_rows(&part, Pen::Stranger, |rows| rows.swap(0, 1));
    let changed = |key: &&String| forged.objects[*key] != MADE.signed.objects[*key];
    let changed: Vec<&String> = forged.objects.keys().filter(changed).collect();
    assert_eq!(changed, [&manifest(BETWEEN), &manifest(FILLED), &part]);
    let folder = TempDir::new().unwrap();
    forged.lay(folder.path());
    assert_eq!(
        Archive::in_folder(Path::new(folder.path()), None).objects,
        forged.objects
    );
}
