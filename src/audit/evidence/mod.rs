//! A folder that proves a period without this program.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::audit::pack::Pack;
use crate::chain::archive::Archive;
use crate::chain::disposed::OmittedDays;
use crate::chain::inventory;
use crate::chain::timeline::Timeline;
use crate::format::place::key;
use crate::format::time::day::rfc3339;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure, Result};

const CHECK: &str = include_str!("check.sh");
const SQL: &str = include_str!("check.sql");
const README: &str = include_str!("README.txt");

/// What a pack holds.
#[derive(Debug, Default)]
pub struct EvidenceCounts {
    pub manifests: u64,
    pub rosters: u64,
    pub parts: u64,
    pub bytes: u64,
    pub heads: Vec<String>,
    /// Days of the period that were disposed of: their manifests are here, and none of their files.
    pub left_out: Vec<OmittedDays>,
}

/// Puts whole chains into `pack`, so that they can be checked from their first manifest, the roster's too, and the files of
/// the period.
/// `signers` is the text of an allowed_signers file; `now_ms` is when it is packed, in UTC milliseconds.
///
/// # Errors
/// [`Exit::Integrity`] when something is missing or has other bytes than its manifest names: evidence of that is what
/// `verify` gives.
pub async fn pack(
    source: &Archive,
    sub_accounts: &[String],
    days: &Days,
    signers: &str,
    now_ms: i64,
    pack: &mut Pack,
) -> Result<EvidenceCounts> {
    let mut packed = EvidenceCounts::default();
    let (mut keys, mut roster_head) = (BTreeSet::new(), None);
    pack.add_object(source, key::ARCHIVE, key::ARCHIVE, None)
        .await?;
    for sub_account in sub_accounts {
        let timeline = Timeline::read_after(source, sub_account, 0).await?;
        for act in &timeline.acts {
            pack.add_object(
                source,
                &act.manifest.key,
                &act.manifest.key,
                Some(act.manifest.sha256),
            )
            .await?;
            packed.manifests += 1;
            keys.extend(act.public_key.clone());
        }
        let disposed = timeline.disposed();
        let is_left_out = |date: Date| disposed.iter().any(|one| one.contains(date));
        for revision in &timeline.revisions {
            let link = &revision.manifest;
            pack.add_object(source, &link.key, &link.key, Some(link.sha256))
                .await?;
            packed.manifests += 1;
            keys.extend(revision.public_key.clone());
            if !days.contains(revision.record.date) || is_left_out(revision.record.date) {
                continue;
            }
            for file in &revision.record.files {
                pack.add_object(source, &file.key, &file.key, Some(file.sha256))
                    .await?;
                packed.parts += 1;
                packed.bytes += file.bytes;
            }
        }
        packed
            .left_out
            .extend(disposed.into_iter().filter(|one| one.touches(days)));
        packed.heads.push(timeline.head_ref().to_string());
    }
    for stored in inventory::read_all(source).await? {
        pack.add_object(source, &stored.key, &stored.key, Some(stored.sha256))
            .await?;
        packed.rosters += 1;
        keys.extend(
            stored
                .envelope
                .signature
                .as_ref()
                .map(|signature| signature.public_key.clone()),
        );
        roster_head = Some(stored.head_ref().to_string());
    }
    packed.heads.extend(roster_head);
    let (from, to) = bounds(days);
    let lines = |lines: &mut dyn Iterator<Item = &String>| {
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let range = serde_json::to_vec(&serde_json::json!({ "from": from, "to": to }))
        .map_err(|error| Failure::new(Exit::Unexpected, "cannot write the range").because(error))?;
    pack.add_bytes("range.json", &range)?;
    pack.add_bytes("heads.txt", lines(&mut packed.heads.iter()).as_bytes())?;
    pack.add_bytes("signers-seen.txt", lines(&mut keys.iter()).as_bytes())?;
    pack.add_bytes("allowed_signers", signers.as_bytes())?;
    pack.add_bytes("check.sh", CHECK.as_bytes())?;
    pack.add_bytes(
        "check.sql",
        SQL.replace("{FROM}", &from).replace("{TO}", &to).as_bytes(),
    )?;
    let readme = README
        .replace("{ARCHIVE}", &source.store.root())
        .replace("{ARCHIVE_ID}", &source.record.archive_id)
        .replace("{PERIOD}", &days.to_string())
        .replace("{PACKED_AT}", &rfc3339(now_ms));
    pack.add_bytes("README.txt", readme.as_bytes())?;
    Ok(packed)
}

/// First day, and the day after the last, as texts that compare.
fn bounds(days: &Days) -> (String, String) {
    let from = days
        .from
        .map_or_else(|| "0000-01-01".to_owned(), |date| date.to_string());
    let to = days
        .to
        .map_or_else(|| "9999-12-31".to_owned(), |date| date.to_string());
    (from, to)
}
