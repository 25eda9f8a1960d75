//! An archive as a map of objects, and what an attacker who may write to its store can do to it:
//! with the key of the archive's owner, with another key, or with none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use bytes::Bytes;
use cxvault::format::hash::digest::Digest;
use cxvault::format::hash::merkle::{Tree, leaf_hash};
use cxvault::format::part::{
    PartContext, PartReader, PartWriter, SIGNATURE_KEY, STATEMENT_KEY, Statement,
};
use cxvault::format::place::key;
use cxvault::format::row::Row;
use cxvault::format::signature;
use cxvault::format::signature::SigningKey;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use super::protocol::Contents;

/// A place in an object's bytes.
#[derive(Debug, Clone, Copy)]
pub enum Spot {
    Start,
    Middle,
    End,
}

/// The key that signs a forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pen {
    /// No key: the old signature stays.
    Stale,
    /// No key: the old signature is removed.
    Bare,
    /// The archive's own key; in an unsigned archive no key is needed.
    Own,
    /// Another key.
    Stranger,
}

/// A key that no allowed_signers file lists.
pub static STRANGER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

/// All objects of an archive by their keys.
#[derive(Clone)]
pub struct Archive {
    pub objects: Contents,
    pub owner: Option<Arc<SigningKey>>,
}

impl Archive {
    /// Reads an archive from a folder; `tmp/` is not a part of it.
    pub fn in_folder(root: &Path, owner: Option<Arc<SigningKey>>) -> Archive {
        fn collect(root: &Path, folder: &Path, into: &mut Contents) {
            for path in fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
            {
                if path.is_dir() {
                    collect(root, &path, into);
                } else {
                    let key = path
                        .strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned();
                    into.insert(key, fs::read(&path).unwrap().into());
                }
            }
        }
        let mut objects = BTreeMap::new();
        collect(root, root, &mut objects);
        objects.retain(|key, _| !key.starts_with("tmp/"));
        Archive { objects, owner }
    }

    /// Writes all objects into an empty folder.
    pub fn lay(&self, root: &Path) {
        for (key, bytes) in &self.objects {
            let path = root.join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn signer(&self, pen: Pen) -> Option<&SigningKey> {
        match pen {
            Pen::Own => self.owner.as_deref(),
            Pen::Stranger => Some(&STRANGER),
            Pen::Stale | Pen::Bare => None,
        }
    }

    #[track_caller]
    pub fn bytes(&self, key: &str) -> Bytes {
        self.objects
            .get(key)
            .unwrap_or_else(|| panic!("there is no {key}"))
            .clone()
    }

    pub fn put(&mut self, key: &str, bytes: impl Into<Bytes>) {
        self.objects.insert(key.to_owned(), bytes.into());
    }

    #[track_caller]
    pub fn remove(&mut self, key: &str) -> Bytes {
        self.objects
            .remove(key)
            .unwrap_or_else(|| panic!("there is no {key}"))
    }

    /// Removes every object whose key has this prefix; there must be some.
    #[track_caller]
    pub fn remove_all(&mut self, prefix: &str) {
        let before = self.objects.len();
        self.objects.retain(|key, _| !key.starts_with(prefix));
        assert!(self.objects.len() < before, "nothing lies under {prefix}");
    }

    /// Changes a bit at one place.
    pub fn flip(&mut self, key: &str, spot: Spot) {
        let mut bytes = self.bytes(key).to_vec();
        let at = match spot {
            Spot::Start => 0,
            Spot::Middle => bytes.len() / 2,
            Spot::End => bytes.len() - 1,
        };
        bytes[at] ^= 1;
        self.put(key, bytes);
    }

    pub fn truncate(&mut self, key: &str, length: impl Fn(usize) -> usize) {
        let bytes = self.bytes(key);
        self.put(key, bytes.slice(..length(bytes.len())));
    }

    pub fn append(&mut self, key: &str, more: &[u8]) {
        let bytes = [&self.bytes(key)[..], more].concat();
        self.put(key, bytes);
    }

    pub fn copy(&mut self, from: &str, to: &str) {
        self.put(to, self.bytes(from));
    }

    pub fn swap(&mut self, one: &str, other: &str) {
        let (first, second) = (self.bytes(one), self.bytes(other));
        self.put(one, second);
        self.put(other, first);
    }
}

/// Manifests.
impl Archive {
    /// Returns the object at a number of a chain.
    #[track_caller]
    pub fn envelope(&self, sub: &str, sequence: u64) -> Value {
        serde_json::from_slice(&self.bytes(&key::manifest(sub, sequence))).unwrap()
    }

    pub fn manifests(&self, sub: &str) -> u64 {
        (1..)
            .take_while(|n| self.objects.contains_key(&key::manifest(sub, *n)))
            .count() as u64
    }

    /// Changes a manifest and signs it again, without changing those after it.
    pub fn edit(&mut self, sub: &str, sequence: u64, pen: Pen, change: impl Fn(&mut Value)) {
        let mut envelope = self.envelope(sub, sequence);
        let heads_root = envelope["manifest"]["heads_root"].clone();
        change(&mut envelope["manifest"]);
        // Unless it is the root itself that was changed.
        if !heads_root.is_null() && envelope["manifest"]["heads_root"] == heads_root {
            envelope["manifest"]["heads_root"] = self::heads_root(&envelope["manifest"]);
        }
        self.seal(&mut envelope, pen);
        self.put(
            &key::manifest(sub, sequence),
            serde_json_canonicalizer::to_vec(&envelope).unwrap(),
        );
    }

    /// Changes the whole object, including its signature.
    pub fn edit_envelope(&mut self, sub: &str, sequence: u64, change: impl Fn(&mut Value)) {
        let mut envelope = self.envelope(sub, sequence);
        change(&mut envelope);
        self.put(
            &key::manifest(sub, sequence),
            serde_json_canonicalizer::to_vec(&envelope).unwrap(),
        );
    }

    fn seal(&self, envelope: &mut Value, pen: Pen) {
        if pen == Pen::Stale {
            return;
        }
        let message = serde_json_canonicalizer::to_vec(&envelope["manifest"]).unwrap();
        envelope["signature"] = self.signer(pen).map_or(Value::Null, |signer| {
            json!({
                "format": "sshsig",
                "namespace": signature::MANIFEST,
                "public_key": signer.public_key().to_openssh_line(),
                "value": signer.sign(signature::MANIFEST, &message),
            })
        });
    }

    /// Changes a manifest and every later one of the chain so that they follow from it.
    pub fn forge(&mut self, sub: &str, sequence: u64, pen: Pen, change: impl Fn(&mut Value)) {
        self.forge_each(sub, sequence, pen, |n, manifest| {
            if n == sequence {
                change(manifest);
            }
        });
    }

    /// Changes every manifest from a number on, so that the chain stays consistent.
    pub fn forge_each(&mut self, sub: &str, from: u64, pen: Pen, change: impl Fn(u64, &mut Value)) {
        // The hash of each object before and after the change.
        let mut now = BTreeMap::<String, String>::new();
        for n in from..=self.manifests(sub) {
            let before = Digest::of(&self.bytes(&key::manifest(sub, n))).hex();
            let position = self.position(sub, n);
            self.edit(sub, n, pen, |manifest| {
                if n > from {
                    for (name, value) in position.as_object().unwrap() {
                        manifest[name] = value.clone();
                    }
                }
                for link in ["/previous/sha256", "/discovery/sha256"] {
                    let named = manifest.pointer(link).and_then(Value::as_str);
                    if let Some(sha256) = named.and_then(|named| now.get(named)) {
                        *manifest.pointer_mut(link).unwrap() = json!(sha256);
                    }
                }
                change(n, manifest);
            });
            now.insert(
                before,
                Digest::of(&self.bytes(&key::manifest(sub, n))).hex(),
            );
        }
    }

    /// Returns the position that the record with a number has after the records before it as they are now.
    pub fn position(&self, sub: &str, sequence: u64) -> Value {
        let mut tree = Tree::new();
        let mut since = Vec::new();
        for n in 1..sequence {
            let sha256 = Digest::of(&self.bytes(&key::manifest(sub, n)));
            let manifest = self.envelope(sub, n)["manifest"].take();
            if (n - 1) % 64 == 0 {
                since.clear();
            }
            tree.push(leaf_hash(&sha256.0));
            let kind = &manifest["kind"];
            let day = |name: &str| match kind == "day" {
                true => manifest[name].clone(),
                false => Value::Null,
            };
            since.push(json!([n, day("date"), kind, day("revision"), sha256]));
        }
        json!({ "index": sequence - 1, "peaks": tree.peaks(), "since": since })
    }

    /// Returns the tree over a chain as it is now, up to a number.
    pub fn tree(&self, sub: &str, sequence: u64) -> Value {
        let mut tree = Tree::new();
        for n in 1..=sequence {
            let sha256 = Digest::of(&self.bytes(&key::manifest(sub, n)));
            tree.push(leaf_hash(&sha256.0));
        }
        json!({ "size": sequence, "root": tree.root() })
    }

    /// Signs a whole chain again, or removes its signatures.
    pub fn sign_chain(&mut self, sub: &str, pen: Pen) {
        self.forge(sub, 1, pen, |_| {});
    }

    /// Returns the manifest that lists a part.
    #[track_caller]
    pub fn lister(&self, part: &str) -> (String, u64) {
        let sub = part
            .split("sub_account=")
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        let lists = |n: &u64| {
            let envelope = self.envelope(sub, *n);
            envelope["manifest"]["files"]
                .as_array()
                .unwrap()
                .iter()
                .any(|file| file["key"] == part)
        };
        let sequence = (1..=self.manifests(sub)).find(lists);
        (
            sub.to_owned(),
            sequence.unwrap_or_else(|| panic!("nobody lists {part}")),
        )
    }

    pub fn lister_key(&self, part: &str) -> String {
        let (sub, sequence) = self.lister(part);
        key::manifest(&sub, sequence)
    }
}

/// Parts.
impl Archive {
    /// Returns every part of a day's revision, in order.
    pub fn parts(&self, sub: &str, date: &str, revision: u32) -> Vec<String> {
        let prefix = key::revision(sub, date.parse().unwrap(), revision);
        self.objects
            .keys()
            .filter(|key| key.starts_with(&prefix))
            .cloned()
            .collect()
    }

    #[track_caller]
    pub fn rows(&self, part: &str) -> Vec<Row> {
        let mut reader = PartReader::open(self.bytes(part)).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row().unwrap() {
            rows.push(row);
        }
        rows
    }

    /// Replaces the rows of a part, and its statement accordingly.
    pub fn rewrite(&mut self, part: &str, pen: Pen, change: impl Fn(&mut Vec<Row>)) {
        let (statement, signature) = footer(&self.bytes(part));
        let mut rows = self.rows(part);
        change(&mut rows);
        let mut writer = PartWriter::new(Vec::new()).unwrap();
        rows.into_iter().for_each(|row| writer.push(row).unwrap());
        let Statement {
            archive_id,
            window,
            zone,
            omitted_fields,
            ..
        } = statement;
        let place = PartContext {
            archive_id,
            window,
            zone,
            omitted_fields,
        };
        let (bytes, _) = writer.finish(part, &place, self.signer(pen)).unwrap();
        self.put(part, bytes);
        if let (Pen::Stale, Some(signature)) = (pen, signature) {
            let (statement, _) = footer(&self.bytes(part));
            self.put_footer(part, &statement, Some(signature));
        }
    }

    /// Replaces the statement of a part about itself.
    pub fn restate(&mut self, part: &str, pen: Pen, change: impl Fn(&mut Statement)) {
        let (mut statement, old) = footer(&self.bytes(part));
        change(&mut statement);
        let signer = self.signer(pen);
        let new = signer
            .map(|signer| signer.sign(signature::PART, statement.canonical().unwrap().as_bytes()));
        self.put_footer(part, &statement, if pen == Pen::Stale { old } else { new });
    }

    /// Replaces the rows under the existing statement and signature.
    pub fn rewrite_under_old_statement(&mut self, part: &str, change: impl Fn(&mut Vec<Row>)) {
        let (statement, signature) = footer(&self.bytes(part));
        self.rewrite(part, Pen::Bare, change);
        self.put_footer(part, &statement, signature);
    }

    fn put_footer(&mut self, part: &str, statement: &Statement, signature: Option<String>) {
        let bytes = with_batches(&self.bytes(part), statement, signature, |batch| batch);
        self.put(part, bytes);
    }

    /// Changes a part column by column, as cxvault's writer never would; the statement stays.
    pub fn reshape(&mut self, part: &str, change: impl Fn(RecordBatch) -> RecordBatch) {
        let (statement, signature) = footer(&self.bytes(part));
        let bytes = with_batches(&self.bytes(part), &statement, signature, change);
        self.put(part, bytes);
    }

    /// Makes the manifest that lists a part, and the chain after it, follow from the part.
    pub fn enlist(&mut self, part: &str, pen: Pen) {
        let (sub, sequence) = self.lister(part);
        let bytes = self.bytes(part);
        let (statement, _) = footer(&bytes);
        self.forge(&sub, sequence, pen, |manifest| {
            let file = file_of(manifest, part);
            file["bytes"] = json!(bytes.len());
            file["sha256"] = json!(Digest::of(&bytes).hex());
            file["merkle_root"] = json!(statement.merkle_root.hex());
            file["rows"] = json!(statement.rows);
        });
    }

    /// Changes rows and every hash that covers them, but no count.
    pub fn forge_rows(&mut self, part: &str, pen: Pen, change: impl Fn(&mut Vec<Row>)) {
        self.rewrite(part, pen, change);
        self.enlist(part, pen);
    }

    /// Returns the first of `parts` with a matching row, and the index of the row in it.
    #[track_caller]
    pub fn find_row(&self, parts: &[String], wanted: impl Fn(&Row) -> bool) -> (String, usize) {
        let find = |part: &String| Some((part.clone(), self.rows(part).iter().position(&wanted)?));
        parts.iter().find_map(find).expect("a row to be changed")
    }
}

/// Returns the root over the heads that a roster record names.
fn heads_root(record: &Value) -> Value {
    let mut tree = Tree::new();
    for entry in record["sub_accounts"].as_array().unwrap_or(&Vec::new()) {
        let leaf = json!({ "head": entry["head"], "id": entry["id"] });
        tree.push(leaf_hash(&serde_json_canonicalizer::to_vec(&leaf).unwrap()));
    }
    json!(tree.root())
}

/// Returns the entry of a file in a manifest.
pub fn file_of<'a>(manifest: &'a mut Value, part: &str) -> &'a mut Value {
    let files = manifest["files"].as_array_mut().unwrap();
    files
        .iter_mut()
        .find(|file| file["key"] == part)
        .expect("the manifest lists the part")
}

/// Returns the statement of a part about itself, and its signature.
pub fn footer(part: &Bytes) -> (Statement, Option<String>) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(part.clone()).unwrap();
    let pairs = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    let value = |key: &str| {
        pairs
            .iter()
            .find(|pair| pair.key == key)
            .and_then(|pair| pair.value.clone())
    };
    (
        serde_json::from_str(&value(STATEMENT_KEY).unwrap()).unwrap(),
        value(SIGNATURE_KEY),
    )
}

fn with_batches(
    part: &Bytes,
    statement: &Statement,
    signature: Option<String>,
    change: impl Fn(RecordBatch) -> RecordBatch,
) -> Vec<u8> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(part.clone()).unwrap();
    let batches: Vec<RecordBatch> = builder
        .build()
        .unwrap()
        .map(|batch| change(batch.unwrap()))
        .collect();
    let statement = statement.canonical().unwrap();
    let mut pairs = vec![KeyValue::new(STATEMENT_KEY.to_owned(), statement)];
    pairs.extend(signature.map(|signature| KeyValue::new(SIGNATURE_KEY.to_owned(), signature)));
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(pairs))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(Vec::new(), batches[0].schema(), options).unwrap();
    batches
        .iter()
        .for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}
