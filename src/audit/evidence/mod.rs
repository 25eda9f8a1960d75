//! A folder with which the archived interactions of a period can be checked without this program.
//!
//! It has the whole chains, the files of the period, and a `README.txt` that explains each check and what it proves;
//! `check.sh` and `check.sql` perform the checks with `jq`, `sha256sum`, `ssh-keygen` and DuckDB. They are a third
//! implementation of the format's rules, beside the writer and `verify`. FORMAT.md, "Evidence packs", describes the folder.

use std::collections::BTreeSet;

use crate::audit::pack::Pack;
use crate::chain::{Archive, OmittedDays, Timeline, inventory, signers};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::time::Days;
use crate::format::time::day::rfc3339;
use crate::outcome::Result;

const CHECK: &str = include_str!("check.sh");
const SQL: &str = include_str!("check.sql");
const README: &str = include_str!("README.txt");

/// What an evidence pack contains.
#[derive(Debug, Default)]
pub(crate) struct EvidenceCounts {
    /// Number of records of sub-accounts.
    pub manifests: u64,
    /// Number of records of the roster.
    pub rosters: u64,
    /// Number of Parquet files.
    pub parts: u64,
    /// Size of the Parquet files in bytes.
    pub bytes: u64,
    /// The head of each chain, as `CHAIN:SEQUENCE:SHA256`, the roster's last.
    pub heads: Vec<String>,
    /// Days of the period that were disposed of: their manifests are in the pack, and their files are not.
    pub left_out: Vec<OmittedDays>,
}

/// Whose signatures the packing reader accepts.
#[derive(Debug)]
pub(crate) struct TrustedKeys<'a> {
    /// The text of an allowed_signers file; empty where the reader has none.
    pub text: &'a str,
    /// The principal of its lines that count.
    pub identity: &'a str,
}

/// Copies whole chains into `pack`, so that they can be checked from their first record on, and the files of the period.
///
/// `trusted` goes into the folder as it is; `now_ms` is the present time in UTC milliseconds.
///
/// # Errors
/// [`Exit::Integrity`] if an object is missing, or its SHA-256 is not the one that its manifest names: `verify` reports
/// such damage in detail.
pub(crate) async fn pack(
    source: &Archive,
    sub_accounts: &[String],
    days: &Days,
    trusted: &TrustedKeys<'_>,
    now_ms: i64,
    pack: &mut Pack,
) -> Result<EvidenceCounts> {
    let mut writer = EvidenceWriter {
        source,
        pack,
        counts: EvidenceCounts::default(),
        keys: BTreeSet::new(),
    };
    let archive = key::ARCHIVE;
    writer
        .pack
        .add_object(source, archive, archive, None)
        .await?;
    for sub_account in sub_accounts {
        writer.add_chain(sub_account, days).await?;
    }
    writer.add_signers().await?;
    writer.add_roster().await?;
    writer.add_texts(days, trusted, now_ms)?;
    Ok(writer.counts)
}

/// An evidence pack that is being written.
struct EvidenceWriter<'a> {
    source: &'a Archive,
    pack: &'a mut Pack,
    counts: EvidenceCounts,
    /// The public keys that signed records, as OpenSSH writes them.
    keys: BTreeSet<String>,
}

impl EvidenceWriter<'_> {
    /// Copies an object to the place in the folder that it has in the archive.
    async fn add(&mut self, key: &str, sha256: Digest) -> Result<()> {
        self.pack
            .add_object(self.source, key, key, Some(sha256))
            .await
    }

    /// Adds all records of a sub-account, and its files of the period.
    async fn add_chain(&mut self, sub_account: &str, days: &Days) -> Result<()> {
        let timeline = Timeline::read_after(self.source, sub_account, 0).await?;
        for note in &timeline.acts {
            self.add(&note.manifest.key, note.manifest.sha256).await?;
            self.counts.manifests += 1;
            self.keys.extend(note.public_key.clone());
        }
        let disposed = timeline.disposed();
        for revision in &timeline.revisions {
            self.add(&revision.manifest.key, revision.manifest.sha256)
                .await?;
            self.counts.manifests += 1;
            self.keys.extend(revision.public_key.clone());
            let date = revision.record.date;
            if !days.contains(date) || disposed.iter().any(|omitted| omitted.contains(date)) {
                continue;
            }
            for file in &revision.record.files {
                self.add(&file.key, file.sha256).await?;
                self.counts.parts += 1;
                self.counts.bytes += file.bytes;
            }
        }
        let left_out = disposed.into_iter().filter(|omitted| omitted.touches(days));
        self.counts.left_out.extend(left_out);
        self.counts.heads.push(timeline.head_ref().to_string());
        Ok(())
    }

    /// Adds the chain of signers, by which every other record is judged.
    async fn add_signers(&mut self) -> Result<()> {
        let records = signers::read_all(self.source).await?;
        for stored in &records {
            self.add(&stored.key, stored.sha256).await?;
            let signature = stored.envelope.signature.as_ref();
            self.keys
                .extend(signature.map(|signature| signature.public_key.clone()));
        }
        let head = records.last().map(|stored| stored.head_ref().to_string());
        self.counts.heads.extend(head);
        Ok(())
    }

    /// Adds all records about the archive as a whole.
    async fn add_roster(&mut self) -> Result<()> {
        let records = inventory::read_all(self.source).await?;
        for stored in &records {
            self.add(&stored.key, stored.sha256).await?;
            self.counts.rosters += 1;
            let signature = stored.envelope.signature.as_ref();
            self.keys
                .extend(signature.map(|signature| signature.public_key.clone()));
        }
        let head = records.last().map(|stored| stored.head_ref().to_string());
        self.counts.heads.extend(head);
        Ok(())
    }

    /// Adds what is not an object of the archive.
    fn add_texts(&mut self, days: &Days, trusted: &TrustedKeys<'_>, now_ms: i64) -> Result<()> {
        let (from, to) = bounds(days);
        let range =
            serde_json::json!({ "from": from, "identity": trusted.identity, "to": to }).to_string();
        let readme = README
            .replace("{ARCHIVE}", &self.source.store.root())
            .replace("{ARCHIVE_ID}", &self.source.record.archive_id)
            .replace("{PERIOD}", &days.to_string())
            .replace("{PACKED_AT}", &rfc3339(now_ms));
        let sql = SQL.replace("{FROM}", &from).replace("{TO}", &to);
        for (name, text) in [
            ("range.json", range.as_str()),
            ("heads.txt", &lines(&self.counts.heads)),
            ("signers-seen.txt", &lines(&self.keys)),
            ("allowed_signers", trusted.text),
            ("check.sh", CHECK),
            ("check.sql", &sql),
            ("README.txt", &readme),
        ] {
            self.pack.add_bytes(name, text.as_bytes())?;
        }
        Ok(())
    }
}

/// Returns a text with one line for each item.
fn lines<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    items.into_iter().map(|line| format!("{line}\n")).collect()
}

/// Returns the first day and the day after the last as texts whose order is that of the dates, also where there is no
/// bound: `check.sh` and `check.sql` compare them as texts.
fn bounds(days: &Days) -> (String, String) {
    let from = days
        .from
        .map_or_else(|| "0000-01-01".to_owned(), |date| date.to_string());
    let to = days
        .to
        .map_or_else(|| "9999-12-31".to_owned(), |date| date.to_string());
    (from, to)
}
