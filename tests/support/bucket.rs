//! A bucket of the test's MinIO, and what the archive's owner, an administrator and an intruder do
//! with it.

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cxvault::format::hash::digest::Digest;
use cxvault::store::S3Settings;
use futures_util::future::join_all;
use tokio::runtime::Runtime;

use super::minio::{Minio, location};
use super::protocol::Contents;
use super::vault::Vault;

pub struct Bucket<'a> {
    pub minio: &'a Minio,
    pub settings: S3Settings,
    runtime: Runtime,
}

/// A version as S3 lists it.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    pub key: String,
    pub version_id: Option<String>,
    pub is_delete_marker: bool,
    pub lock: Option<(ObjectLockMode, i64)>,
    pub hold: bool,
}

impl<'a> Bucket<'a> {
    pub fn new(minio: &'a Minio, name: &str, object_lock: bool) -> Bucket<'a> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let settings = runtime.block_on(minio.bucket(name, object_lock));
        Bucket {
            minio,
            settings,
            runtime,
        }
    }

    pub fn location(&self) -> String {
        location(&self.settings).to_string()
    }

    /// Sets a user's archive to this bucket, reached at `endpoint` or directly.
    pub fn used_by(&self, vault: &mut Vault, endpoint: Option<&str>) {
        vault.set("ARCHIVE", &self.location());
        for (name, value) in self.minio.env() {
            vault.set_foreign(&name, &value);
        }
        if let Some(endpoint) = endpoint {
            vault.set("S3_ENDPOINT", endpoint);
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}/{key}", self.settings.prefix)
    }

    /// Returns every version below the archive's prefix, with its lock.
    pub fn versions(&self) -> Vec<Shown> {
        self.runtime.block_on(async {
            let client = self.minio.client();
            let bucket = &self.settings.bucket;
            let listed = client
                .list_object_versions()
                .bucket(bucket)
                .send()
                .await
                .unwrap();
            assert_ne!(listed.is_truncated(), Some(true));
            let mut shown = Vec::new();
            for version in listed.versions() {
                let key = version.key().unwrap();
                let head = client.head_object().bucket(bucket).key(key);
                let head = head
                    .version_id(version.version_id().unwrap())
                    .send()
                    .await
                    .unwrap();
                let until = head
                    .object_lock_retain_until_date()
                    .map(|until| until.to_millis().unwrap());
                shown.push(Shown {
                    key: self.relative(key),
                    version_id: version.version_id().map(str::to_owned),
                    is_delete_marker: false,
                    lock: head.object_lock_mode().cloned().zip(until),
                    hold: head.object_lock_legal_hold_status()
                        == Some(&ObjectLockLegalHoldStatus::On),
                });
            }
            for marker in listed.delete_markers() {
                let key = self.relative(marker.key().unwrap());
                let version_id = marker.version_id().map(str::to_owned);
                shown.push(Shown {
                    key,
                    version_id,
                    is_delete_marker: true,
                    lock: None,
                    hold: false,
                });
            }
            shown
        })
    }

    fn relative(&self, key: &str) -> String {
        key.strip_prefix(&format!("{}/", self.settings.prefix))
            .expect("nothing lies beside the archive")
            .to_owned()
    }

    /// Returns every current object.
    pub fn contents(&self) -> Contents {
        self.runtime.block_on(async {
            let client = self.minio.client();
            let bucket = &self.settings.bucket;
            let listed = client
                .list_objects_v2()
                .bucket(bucket)
                .send()
                .await
                .unwrap();
            assert_ne!(listed.is_truncated(), Some(true));
            let mut contents = BTreeMap::new();
            for object in listed.contents() {
                let key = object.key().unwrap();
                let got = client
                    .get_object()
                    .bucket(bucket)
                    .key(key)
                    .send()
                    .await
                    .unwrap();
                contents.insert(
                    self.relative(key),
                    got.body.collect().await.unwrap().into_bytes(),
                );
            }
            contents
        })
    }

    /// Copies every current object into a folder.
    pub fn download(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
        for (key, bytes) in self.contents() {
            let path = folder.join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// Stores an object as an intruder would: as another version on a versioned bucket.
    pub fn overwrite(&self, key: &str, bytes: impl Into<Bytes>) {
        let put = self
            .minio
            .client()
            .put_object()
            .bucket(&self.settings.bucket)
            .key(self.full(key));
        let put = put.body(ByteStream::from(bytes.into())).send();
        self.runtime.block_on(put).unwrap();
    }

    /// Deletes an object as an intruder would: with a delete marker.
    pub fn delete(&self, key: &str) {
        let delete = self
            .minio
            .client()
            .delete_object()
            .bucket(&self.settings.bucket)
            .key(self.full(key))
            .send();
        self.runtime.block_on(delete).unwrap();
    }

    /// Deletes every version and marker as an administrator can, despite GOVERNANCE.
    pub fn purge(&self, key: &str) {
        self.runtime.block_on(async {
            let client = self.minio.client();
            let (bucket, full) = (&self.settings.bucket, self.full(key));
            let listed = client
                .list_object_versions()
                .bucket(bucket)
                .prefix(&full)
                .send()
                .await
                .unwrap();
            let versions = listed.versions().iter().map(|version| version.version_id());
            for id in versions.chain(
                listed
                    .delete_markers()
                    .iter()
                    .map(|marker| marker.version_id()),
            ) {
                let delete = client
                    .delete_object()
                    .bucket(bucket)
                    .key(&full)
                    .set_version_id(id.map(str::to_owned));
                delete
                    .bypass_governance_retention(true)
                    .send()
                    .await
                    .unwrap();
            }
        });
    }

    /// Stores objects as the archive's own writer does, with their checksums and one lock; returns
    /// their version ids.
    pub fn store(
        &self,
        objects: &Contents,
        lock: Option<(ObjectLockMode, i64)>,
    ) -> BTreeMap<String, Option<String>> {
        self.runtime.block_on(async {
            let client = self.minio.client();
            let puts = objects.iter().map(|(key, bytes)| {
                let put = client
                    .put_object()
                    .bucket(&self.settings.bucket)
                    .key(self.full(key));
                let put = put.checksum_sha256(STANDARD.encode(Digest::of(bytes).0));
                let (mode, until) = lock.clone().unzip();
                let put = put.set_object_lock_mode(mode);
                let put = put.set_object_lock_retain_until_date(until.map(DateTime::from_millis));
                let put = put.body(ByteStream::from(bytes.clone())).send();
                async move { (key.clone(), put.await.unwrap().version_id) }
            });
            join_all(puts).await.into_iter().collect()
        })
    }

    /// Sets or removes an object's legal hold, as an administrator can.
    pub fn set_hold(&self, key: &str, on: bool) {
        let status = if on {
            ObjectLockLegalHoldStatus::On
        } else {
            ObjectLockLegalHoldStatus::Off
        };
        let client = self.minio.client();
        let set = client
            .put_object_legal_hold()
            .bucket(&self.settings.bucket)
            .key(self.full(key));
        let set = set
            .legal_hold(ObjectLockLegalHold::builder().status(status).build())
            .send();
        self.runtime.block_on(set).unwrap();
    }

    /// Changes an object's lock despite GOVERNANCE, as an administrator can; `None` removes it.
    pub fn set_lock(&self, key: &str, lock: Option<(ObjectLockMode, i64)>) {
        let (mode, until) = lock.unzip();
        let retention = ObjectLockRetention::builder()
            .set_mode(mode.map(|mode| mode.as_str().into()))
            .set_retain_until_date(until.map(DateTime::from_millis))
            .build();
        let client = self.minio.client();
        let set = client
            .put_object_retention()
            .bucket(&self.settings.bucket)
            .key(self.full(key));
        let set = set
            .retention(retention)
            .bypass_governance_retention(true)
            .send();
        self.runtime.block_on(set).unwrap();
    }
}
