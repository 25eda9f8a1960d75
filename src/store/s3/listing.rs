//! Listings of objects and of versions, page by page: a page has at most 1,000 entries.

use std::borrow::Cow;

use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::s3::failure::classify;
use crate::store::s3::{S3Store, version_id};
use crate::store::{Children, ListedObject, ObjectVersion, Result};

const LIST: &str = "cannot list";

impl S3Store {
    /// Implements [`Store::list`](crate::store::Store::list).
    pub(super) async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>> {
        let mut entries = Vec::new();
        let mut token = None;
        loop {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(self.full(prefix));
            let page = request
                // Another program's key may have characters that XML cannot carry; it must not make the listing fail.
                .encoding_type(EncodingType::Url)
                .set_start_after(after.map(|after| self.full(after)))
                .set_continuation_token(token.take())
                .send()
                .await
                .map_err(|error| classify(error, LIST, self.address(prefix)))?;
            for object in page.contents() {
                let key = self.relative(object.key())?;
                let bytes = object
                    .size()
                    .and_then(|bytes| u64::try_from(bytes).ok())
                    .ok_or_else(|| self.not_understood("an object without a length"))?;
                entries.push(ListedObject { key, bytes });
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            token = Some(self.next_page(page.next_continuation_token())?);
        }
        // Some services list in another order than AWS.
        entries.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(entries)
    }

    /// Implements [`Store::children`](crate::store::Store::children).
    pub(super) async fn list_children(&self, prefix: &str) -> Result<Children> {
        let mut children = Children::default();
        let mut token = None;
        loop {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(self.full(prefix));
            let page = request
                .delimiter("/")
                .encoding_type(EncodingType::Url)
                .set_continuation_token(token.take())
                .send()
                .await
                .map_err(|error| classify(error, LIST, self.address(prefix)))?;
            for folder in page.common_prefixes() {
                let key = self.relative(folder.prefix())?;
                let name = key
                    .strip_prefix(prefix)
                    .and_then(|name| name.strip_suffix('/'));
                children.folders.extend(name.map(str::to_owned));
            }
            for object in page.contents() {
                children.objects.push(self.relative(object.key())?);
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            token = Some(self.next_page(page.next_continuation_token())?);
        }
        children.folders.sort_unstable();
        children.objects.sort_unstable();
        Ok(children)
    }

    /// Implements [`Store::versions`](crate::store::Store::versions).
    pub(super) async fn list_versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>> {
        let mut found = Vec::new();
        let (mut next_key, mut next_version) = (None, None);
        loop {
            let request = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(self.full(prefix));
            let page = request
                .encoding_type(EncodingType::Url)
                .set_key_marker(next_key.take())
                .set_version_id_marker(next_version.take())
                .send()
                .await
                .map_err(|error| classify(error, LIST, self.address(prefix)))?;
            for version in page.versions() {
                let date = version.last_modified().copied();
                found.push((
                    self.version(
                        version.key(),
                        version.version_id(),
                        version.is_latest(),
                        false,
                    )?,
                    date,
                ));
            }
            for marker in page.delete_markers() {
                let date = marker.last_modified().copied();
                found.push((
                    self.version(marker.key(), marker.version_id(), marker.is_latest(), true)?,
                    date,
                ));
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            next_key = Some(self.decoded(Some(&self.next_page(page.next_key_marker())?))?);
            next_version = page.next_version_id_marker().map(str::to_owned);
        }
        // The SDK returns markers and versions in two lists, so that their common order is lost.
        found.sort_by(|left, right| {
            let ((left, left_date), (right, right_date)) = (left, right);
            left.key
                .cmp(&right.key)
                .then(right.is_latest.cmp(&left.is_latest))
                .then(right_date.cmp(left_date))
        });
        Ok(found.into_iter().map(|(version, _)| version).collect())
    }

    /// Returns a version from the fields of an entry.
    fn version(
        &self,
        key: Option<&str>,
        id: Option<&str>,
        is_latest: Option<bool>,
        is_delete_marker: bool,
    ) -> Result<ObjectVersion> {
        Ok(ObjectVersion {
            key: self.relative(key)?,
            version_id: version_id(id),
            is_latest: is_latest == Some(true),
            is_delete_marker,
        })
    }

    /// Returns a listed key without the prefix of the store.
    fn relative(&self, listed: Option<&str>) -> Result<String> {
        let key = self.decoded(listed)?;
        key.strip_prefix(&self.prefix)
            .map(str::to_owned)
            .ok_or_else(|| self.not_understood("a key outside the prefix"))
    }

    /// Decodes a key. S3 encodes keys as HTML forms are encoded: `+` is a space.
    fn decoded(&self, listed: Option<&str>) -> Result<String> {
        let spaced = listed
            .ok_or_else(|| self.not_understood("an entry without a key"))?
            .replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(Cow::into_owned)
            .map_err(|_| self.not_understood("a key that is not UTF-8"))
    }

    /// Returns the token of the next page.
    fn next_page(&self, token: Option<&str>) -> Result<String> {
        let token = token.filter(|token| !token.is_empty());
        token.map(str::to_owned).ok_or_else(|| {
            self.not_understood("an incomplete listing without the token of its next page")
        })
    }

    /// Returns the failure for an answer that contradicts the protocol.
    fn not_understood(&self, reason: &'static str) -> StoreError {
        StoreError::new(StoreErrorKind::Contradiction, LIST, self.address(""))
            .because(format!("the store sent {reason}"))
    }
}
