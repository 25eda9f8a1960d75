//! The tools of an attacker who knows the format and has no key that counts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cxvault::format::hash::digest::Digest;
use cxvault::format::place::key;
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::continuity::Continuity;
use cxvault::format::record::envelope::{RecordBody, Signed};
use cxvault::format::record::head::Head;
use cxvault::format::record::key_list::KeyList;
use cxvault::format::record::manifest::{Envelope, Link, Manifest, Record};
use cxvault::format::record::notes::{DateSpan, Disposal, DisposedDay};
use cxvault::format::record::position::ChainPosition;
use cxvault::format::record::roster::{RosterEntry, RosterEnvelope};
use cxvault::format::signature::SigningKey;

use crate::support::vault::{DAY, SUB, Vault};

fn path(vault: &Vault, key: &str) -> PathBuf {
    vault.archive().join(key)
}

pub fn read(vault: &Vault, key: &str) -> Vec<u8> {
    std::fs::read(path(vault, key)).unwrap()
}

pub fn write(vault: &Vault, key: &str, bytes: &[u8]) {
    let path = path(vault, key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Returns the number of a sub-account's newest object.
pub fn newest(vault: &Vault, sub: &str) -> u64 {
    vault.manifests(sub).len() as u64
}

/// Returns the record after the newest one, as a writer would make it, with another content.
fn next(vault: &Vault, record: impl FnOnce(&Manifest, &Link) -> Record) -> Manifest {
    let sequence = newest(vault, SUB);
    let bytes = read(vault, &key::manifest(SUB, sequence));
    let head = Envelope::from_bytes(&bytes).unwrap().manifest;
    let link = Link {
        key: head.key.clone(),
        sha256: Digest::of(&bytes),
    };
    let record = record(&head, &link);
    let mut coverage = head.coverage.clone();
    record.mark(&mut coverage);
    Manifest {
        sequence: sequence + 1,
        key: key::manifest(SUB, sequence + 1),
        position: head.next_position(link.sha256),
        continuity: Continuity::default(),
        orders: head.orders_for_next(link.sha256),
        previous: Some(link),
        coverage,
        record,
        ..head.clone()
    }
}

/// Returns a record that disposes of the newest day: who believes it, shows the day no more.
pub fn disposal(vault: &Vault) -> Manifest {
    next(vault, |head, link| {
        let day = head.day().unwrap();
        let date = DAY.parse().unwrap();
        Record::Disposal(Box::new(Disposal {
            range: DateSpan::new(date, date.tomorrow().unwrap()).unwrap(),
            days: vec![DisposedDay {
                date,
                revision: day.revision,
                manifest: link.clone(),
                files: day.files.len() as u64,
                bytes: day.files.iter().map(|file| file.bytes).sum(),
                lock: None,
            }],
            reason: "forged".to_owned(),
            by: None,
        }))
    })
}

/// Returns the first record.
pub fn first(vault: &Vault) -> Manifest {
    let bytes = read(vault, &key::manifest(SUB, 1));
    Envelope::from_bytes(&bytes).unwrap().manifest
}

/// Stores a record as it is, signed or not.
pub fn put(vault: &Vault, record: Manifest, signer: Option<&SigningKey>) -> String {
    let mut record = record;
    if signer.is_some() {
        record.continuity.signed_from = Some(1);
    }
    let key = record.key.clone();
    write(
        vault,
        &key,
        &record.seal(signer).unwrap().to_bytes().unwrap(),
    );
    key
}

/// Writes all chains again, in their order and properly linked, with other signatures or none, and with `archive.json` for
/// these signers. `change` changes each manifest.
pub fn rewrite(
    vault: &Vault,
    signers: &[&SigningKey],
    signer: Option<&SigningKey>,
    change: impl Fn(&mut Manifest),
) {
    let mut archive = ArchiveRecord::read(&read(vault, key::ARCHIVE)).unwrap();
    archive.signers = KeyList::of(signers.iter().map(|key| key.public_key()));
    let archive_bytes = archive.to_bytes().unwrap();
    let archive_sha256 = Digest::of(&archive_bytes);
    write(vault, key::ARCHIVE, &archive_bytes);
    let continuity = Continuity {
        signed_from: signer.map(|_| 1),
        passed_over: None,
    };
    let mut heads: BTreeMap<u64, Head> = BTreeMap::new();
    let (mut previous, mut position) = (None, ChainPosition::default());
    for sequence in 1..=newest(vault, SUB) {
        let key = key::manifest(SUB, sequence);
        let mut record = Envelope::from_bytes(&read(vault, &key)).unwrap().manifest;
        record.archive_sha256 = archive_sha256;
        record.previous = previous.take();
        record.position = position;
        record.continuity = continuity.clone();
        change(&mut record);
        let bytes = record.clone().seal(signer).unwrap().to_bytes().unwrap();
        let sha256 = Digest::of(&bytes);
        heads.insert(sequence, record.head(sha256));
        position = record.next_position(sha256);
        write(vault, &key, &bytes);
        previous = Some(Link { key, sha256 });
    }
    let (mut previous, mut position) = (None, ChainPosition::default());
    for sequence in 1.. {
        let key = key::manifest(key::ROSTER, sequence);
        if !path(vault, &key).exists() {
            break;
        }
        let mut record = RosterEnvelope::from_bytes(&read(vault, &key))
            .unwrap()
            .manifest;
        record.archive_sha256 = archive_sha256;
        record.previous = previous.take();
        record.position = position;
        record.continuity = continuity.clone();
        if let RosterEntry::Roster(roll) = &mut record.entry {
            for entry in &mut roll.sub_accounts {
                if let Some(head) = &mut entry.head {
                    *head = heads[&head.sequence].clone();
                }
            }
        }
        record.heads_root = record.entry.heads_root().unwrap();
        let signed = Signed::seal(record.clone(), signer).unwrap();
        let bytes = signed.to_bytes().unwrap();
        let sha256 = Digest::of(&bytes);
        position = record.next_position(sha256);
        write(vault, &key, &bytes);
        previous = Some(Link { key, sha256 });
    }
}
