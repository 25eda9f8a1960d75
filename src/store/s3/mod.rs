//! A store below a prefix of an S3 bucket, or of a bucket of a compatible service.
//!
//! Objects are created with `If-None-Match: *`, so that no PUT ever replaces one
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>), and with `x-amz-checksum-sha256`, so
//! that S3 refuses bytes that changed in transit and returns the hash later without reading the object. Each object is one
//! PUT: the checksum of a multipart upload would not be the SHA-256 of the object.
//!
//! Amazon S3 is strongly consistent: after the answer to a PUT, each read and each listing shows the object
//! (<https://aws.amazon.com/s3/consistency/>). The commit of a day relies on it, also with a
//! compatible service.
//!
//! An answer can be lost. A PUT that ends in a time-out or a reset may have created the object, so that it has the kind
//! [`StoreErrorKind::Unknown`], and the identical PUT is sent again: either it creates the object, or it is answered 412 and the
//! caller compares the stored hash.
//!
//! ```text
//! connect    credentials, region, endpoint and time-outs
//! failure    error answers as errors of a store
//! listing    listings, page by page
//! probe      what only `cxvault doctor` does
//! ```

mod connect;
mod failure;
mod listing;
pub mod probe;
mod settings;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime, Length};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, ObjectLockLegalHold, ObjectLockLegalHoldStatus,
    ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, ServerSideEncryption,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use crate::format::hash::{Digest, Hasher};
use crate::format::record::{Lock, LockMode};
use crate::private;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::file::READ;
use crate::store::s3::failure::{classify, has_no_hold, is_missing, lacks_object_lock, status_of};
use crate::store::s3::settings::ANSWER;
pub use crate::store::s3::settings::{S3Options, S3Settings};
use crate::store::{
    Body, Children, Hashed, LARGEST_GET, ListedObject, NewObject, ObjectVersion, PutOutcome,
    Result, Stat, Store, file, key, stronger,
};

// The failed operations, as messages name them.
const STORE: &str = "cannot store";
const LOCK: &str = "cannot lock";
const HOLD: &str = "cannot set or lift the legal hold of";

/// Largest body of one PUT, in bytes.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html>
const LARGEST_PUT: u64 = 5 << 30;
/// Size of a body, in bytes, from which on a HEAD checks first whether there is an object. A server that answers 412 before it
/// has read the body closes the connection, so that the client sees a reset instead of the answer. It also saves the upload.
const ASK_FIRST: u64 = 64 << 10;
/// Lowest rate of an upload, in bytes per second. A slower upload runs into its time-out.
const SLOWEST: u64 = 64 << 10;
/// Bytes of a file that are read at once.
const FILE_CHUNK: usize = 256 << 10;

/// A prefix of a bucket as a store.
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Prefix of all keys, with a slash at its end, or empty.
    prefix: String,
    kms_key_id: Option<String>,
}

impl S3Store {
    /// Opens the store: finds the credentials and the region. It sends no request to the bucket.
    ///
    /// # Errors
    /// If the endpoint, the region or the credentials cannot be used.
    pub async fn open(settings: S3Settings) -> Result<Self> {
        let client = connect::client(&settings).await?;
        let slash = if settings.prefix.is_empty() { "" } else { "/" };
        Ok(S3Store {
            client,
            bucket: settings.bucket,
            prefix: format!("{}{slash}", settings.prefix),
            kms_key_id: settings.options.kms_key_id,
        })
    }

    /// Returns a key as S3 has it.
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Returns the address of an object, for messages.
    fn address(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }

    /// Reads the properties of an object; `None` if there is none.
    async fn head(&self, key: &str) -> Result<Option<HeadObjectOutput>> {
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(self.full(key));
        match request.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(classify(
                error,
                "cannot read the properties of",
                self.address(key),
            )),
        }
    }

    /// Creates an object with one PUT.
    async fn put(&self, object: &NewObject, body: ByteStream, bytes: u64) -> Result<PutOutcome> {
        let lock = object.lock;
        let mut request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full(&object.key));
        request = request
            .if_none_match("*")
            .checksum_sha256(BASE64.encode(object.sha256.0))
            // Amazon S3 documents this header as required for an object with a retention period, which may also come from
            // the default of the bucket: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .content_length(i64::try_from(bytes).unwrap_or(i64::MAX))
            .set_object_lock_mode(lock.map(|lock| match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            }))
            .set_object_lock_retain_until_date(
                lock.map(|lock| DateTime::from_millis(lock.until_ms)),
            )
            .set_object_lock_legal_hold_status(
                object.legal_hold.then_some(ObjectLockLegalHoldStatus::On),
            );
        if let Some(id) = &self.kms_key_id {
            request = request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(id);
        }
        let longest = ANSWER + Duration::from_secs(bytes / SLOWEST);
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(longest)
            .operation_attempt_timeout(longest);
        let slower = Config::builder().timeout_config(timeouts.build());
        match request
            .body(body)
            .customize()
            .config_override(slower)
            .send()
            .await
        {
            Ok(stored) => Ok(PutOutcome::Created {
                version_id: version_id(stored.version_id()),
            }),
            Err(error) if status_of(&error) == Some(412) => Ok(PutOutcome::Exists),
            Err(error) => Err(classify(error, STORE, self.address(&object.key))),
        }
    }

    /// Opens the body of an object, or `range` of it, with the length that the answer announces; 0 if it announces none.
    async fn open_object(
        &self,
        key: &str,
        range: Option<&Range<u64>>,
    ) -> Result<Option<(ByteStream, u64)>> {
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.full(key));
        // A range of HTTP names its last byte.
        let range =
            range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        match request.set_range(range).send().await {
            Ok(found) => {
                let bytes = found
                    .content_length()
                    .and_then(|bytes| u64::try_from(bytes).ok())
                    .unwrap_or(0);
                Ok(Some((found.body, bytes)))
            }
            Err(error) if is_missing(&error) => Ok(None),
            // The object ends before the range begins.
            Err(error) if status_of(&error) == Some(416) => Ok(Some((ByteStream::default(), 0))),
            Err(error) => Err(classify(error, READ, self.address(key))),
        }
    }

    /// Replaces the lock of the current version.
    async fn put_retention(&self, key: &str, stat: &Stat, raised: Lock) -> Result<()> {
        let mode = match raised.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let until = DateTime::from_millis(raised.until_ms);
        let retention = ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(until)
            .build();
        // S3 regards every change from GOVERNANCE as a bypass of it, even a change to COMPLIANCE.
        let leaves_governance = stat.lock.is_some_and(|now| now.mode != raised.mode);
        let request = self
            .client
            .put_object_retention()
            .bucket(&self.bucket)
            .key(self.full(key));
        request
            .set_version_id(stat.version_id.clone())
            .retention(retention)
            .set_bypass_governance_retention(leaves_governance.then_some(true))
            .send()
            .await
            .map_err(|error| classify(error, LOCK, self.address(key)))?;
        Ok(())
    }

    /// Returns the next piece of a body; `None` at its end. A transfer that ends early is a failure that a retry may overcome.
    async fn next_piece(&self, key: &str, body: &mut ByteStream) -> Result<Option<Bytes>> {
        body.try_next().await.map_err(|error| {
            StoreError::new(StoreErrorKind::Unknown, READ, self.address(key)).because(error)
        })
    }

    /// Returns the properties of an object that is about to be changed, where a missing object is a failure.
    async fn stat_existing(&self, key: &str, what: &'static str) -> Result<Stat> {
        self.stat(key)
            .await?
            .ok_or_else(|| self.contradiction(key, what, "there is no such object"))
    }

    /// Returns the failure for an object or an answer that contradicts what this program stored or the protocol.
    fn contradiction(&self, key: &str, what: &'static str, why: impl Into<String>) -> StoreError {
        StoreError::new(StoreErrorKind::Contradiction, what, self.address(key)).because(why.into())
    }
}

#[async_trait]
impl Store for S3Store {
    fn root(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
            .trim_end_matches('/')
            .to_owned()
    }

    async fn put_new(&self, object: &NewObject) -> Result<PutOutcome> {
        key::check_new(&object.key)?;
        let (body, bytes) = open_body(&object.body).await?;
        if bytes > LARGEST_PUT {
            let why = format!("{bytes} bytes; S3 accepts at most {LARGEST_PUT} in one request");
            let address = self.address(&object.key);
            return Err(StoreError::new(StoreErrorKind::Unusable, STORE, address)
                .because(why)
                .remedy("Set a lower CXVAULT_PART_BYTES."));
        }
        if bytes >= ASK_FIRST && self.head(&object.key).await?.is_some() {
            return Ok(PutOutcome::Exists);
        }
        self.put(object, body, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let Some((mut body, bytes)) = self.open_object(key, None).await? else {
            return Ok(None);
        };
        let mut content = BytesMut::new();
        while let Some(piece) = self.next_piece(key, &mut body).await? {
            content.extend_from_slice(&piece);
            let length = bytes.max(content.len() as u64);
            if length > LARGEST_GET {
                let why = format!("it has {length} bytes, more than such an object can have");
                return Err(self.contradiction(key, READ, why));
            }
        }
        Ok(Some(content.freeze()))
    }

    async fn download(&self, key: &str, to: &Path) -> Result<bool> {
        let Some((mut body, _)) = self.open_object(key, None).await? else {
            return Ok(false);
        };
        let mut file = private::create(to)
            .map(tokio::fs::File::from_std)
            .map_err(|error| file::classify(error, file::WRITE, to))?;
        while let Some(piece) = self.next_piece(key, &mut body).await? {
            file.write_all(&piece)
                .await
                .map_err(|error| file::classify(error, file::WRITE, to))?;
        }
        file.flush()
            .await
            .map_err(|error| file::classify(error, file::WRITE, to))?;
        Ok(true)
    }

    async fn read_at(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            return Ok(self.head(key).await?.map(|_| Bytes::new()));
        }
        let Some((mut body, _)) = self.open_object(key, Some(&range)).await? else {
            return Ok(None);
        };
        let mut content = BytesMut::new();
        while let Some(piece) = self.next_piece(key, &mut body).await? {
            content.extend_from_slice(&piece);
            if content.len() as u64 > length {
                let why = "the store sent more bytes than were requested";
                return Err(self.contradiction(key, READ, why));
            }
        }
        Ok(Some(content.freeze()))
    }

    async fn hash(&self, key: &str) -> Result<Option<Hashed>> {
        let Some((mut body, _)) = self.open_object(key, None).await? else {
            return Ok(None);
        };
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        while let Some(piece) = self.next_piece(key, &mut body).await? {
            hasher.update(&piece);
            bytes += piece.len() as u64;
        }
        Ok(Some(Hashed {
            bytes,
            sha256: hasher.finish(),
        }))
    }

    async fn children(&self, prefix: &str) -> Result<Children> {
        self.list_children(prefix).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Stat>> {
        let Some(found) = self.head(key).await? else {
            return Ok(None);
        };
        let stat = stat_of(&found).ok_or_else(|| {
            self.contradiction(key, READ, "the answer has no length of the object")
        })?;
        Ok(Some(stat))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>> {
        self.list_objects(prefix, after).await
    }

    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>> {
        self.list_versions(prefix).await
    }

    async fn raise_lock(&self, key: &str, lock: Lock) -> Result<()> {
        let stat = self.stat_existing(key, LOCK).await?;
        let raised = stronger(stat.lock, lock);
        if stat.lock == Some(raised) {
            Ok(())
        } else {
            self.put_retention(key, &stat, raised).await
        }
    }

    async fn set_legal_hold(&self, key: &str, on: bool) -> Result<bool> {
        let stat = self.stat_existing(key, HOLD).await?;
        let status = if on {
            ObjectLockLegalHoldStatus::On
        } else {
            ObjectLockLegalHoldStatus::Off
        };
        let request = self
            .client
            .put_object_legal_hold()
            .bucket(&self.bucket)
            .key(self.full(key));
        let request = request.set_version_id(stat.version_id);
        match request
            .legal_hold(ObjectLockLegalHold::builder().status(status).build())
            .send()
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if lacks_object_lock(&error) => Ok(false),
            Err(error) => Err(classify(error, HOLD, self.address(key))),
        }
    }

    async fn keeps_locks(&self) -> Result<Option<bool>> {
        match self
            .client
            .get_object_lock_configuration()
            .bucket(&self.bucket)
            .send()
            .await
        {
            Ok(found) => {
                let enabled = found
                    .object_lock_configuration()
                    .and_then(|about| about.object_lock_enabled());
                Ok(Some(enabled.is_some()))
            }
            Err(error) if lacks_object_lock(&error) => Ok(Some(false)),
            // A service without this operation.
            Err(error) if matches!(status_of(&error), Some(405 | 501)) => Ok(Some(false)),
            Err(error) => match classify(
                error,
                "cannot read the Object Lock configuration of",
                self.root(),
            ) {
                // A writer does not need this permission for anything else. The first locked object will show it.
                denied if denied.kind == StoreErrorKind::Denied => Ok(None),
                error => Err(error),
            },
        }
    }

    async fn keeps_legal_holds(&self, key: &str) -> Result<bool> {
        let request = self
            .client
            .get_object_legal_hold()
            .bucket(&self.bucket)
            .key(self.full(key));
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if has_no_hold(&error) => Ok(true),
            Err(error) if lacks_object_lock(&error) => Ok(false),
            Err(error) => Err(classify(error, READ, self.address(key))),
        }
    }
}

/// Opens the content of a new object, with its length in bytes.
async fn open_body(body: &Body) -> Result<(ByteStream, u64)> {
    match body {
        Body::Bytes(bytes) => Ok((ByteStream::from(bytes.clone()), bytes.len() as u64)),
        Body::File(path) => {
            let about = tokio::fs::metadata(path).await;
            let bytes = about
                .map_err(|error| file::unreadable_body(error, path))?
                .len();
            let stream = ByteStream::read_from()
                .path(path)
                .length(Length::Exact(bytes))
                .buffer_size(FILE_CHUNK)
                .build()
                .await
                .map_err(|error| file::unreadable_body(std::io::Error::other(error), path))?;
            Ok((stream, bytes))
        }
    }
}

/// Returns the id of a version. Without versioning S3 calls the only version of an object `null`.
fn version_id(id: Option<&str>) -> Option<String> {
    id.filter(|id| !matches!(*id, "" | "null"))
        .map(str::to_owned)
}

/// Returns the properties of an object; `None` if the answer lacks its length.
fn stat_of(found: &HeadObjectOutput) -> Option<Stat> {
    let mode = match found.object_lock_mode() {
        Some(ObjectLockMode::Governance) => Some(LockMode::Governance),
        Some(ObjectLockMode::Compliance) => Some(LockMode::Compliance),
        _ => None,
    };
    let until_ms = found
        .object_lock_retain_until_date()
        .and_then(|date| date.to_millis().ok());
    // The composite checksum of a multipart upload is a digest too, but not that of the content. MinIO reports no type, but
    // its composite checksums end with `-` and the number of parts, which is not base64.
    let whole = matches!(found.checksum_type(), None | Some(ChecksumType::FullObject));
    let sha256 = found
        .checksum_sha256()
        .filter(|_| whole)
        .and_then(|text| BASE64.decode(text).ok());
    Some(Stat {
        bytes: u64::try_from(found.content_length()?).ok()?,
        sha256: sha256.and_then(|bytes| bytes.try_into().ok()).map(Digest),
        version_id: version_id(found.version_id()),
        lock: mode
            .zip(until_ms)
            .map(|(mode, until_ms)| Lock { mode, until_ms }),
        legal_hold: found.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn only_a_checksum_of_the_whole_object_counts() {
        let digest = Digest::of(b"content");
        let text = BASE64.encode(digest.0);
        let head = |text: &str, kind| {
            let found = HeadObjectOutput::builder()
                .checksum_sha256(text)
                .set_checksum_type(kind)
                .content_length(7)
                .build();
            stat_of(&found).unwrap().sha256
        };
        assert_eq!(head(&text, Some(ChecksumType::FullObject)), Some(digest));
        assert_eq!(head(&text, None), Some(digest));
        assert_eq!(head(&text, Some(ChecksumType::Composite)), None);
        assert_eq!(head(&format!("{text}-3"), None), None);
        assert_eq!(head("AAAA", None), None);
        let no_length = HeadObjectOutput::builder().checksum_sha256(&text).build();
        assert_eq!(stat_of(&no_length), None);
    }

    #[test]
    fn a_secret_does_not_show() {
        let credentials = Some(("id".to_owned(), SecretString::from("hush-hush")));
        let options = S3Options {
            credentials,
            ..S3Options::default()
        };
        assert!(!format!("{options:?}").contains("hush-hush"));
    }
}
