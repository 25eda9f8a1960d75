//! Listings of objects and of versions, page by page.

use std::borrow::Cow;

use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::s3::failure::classify;
use crate::store::s3::{S3Store, version_id};
use crate::store::{Children, ListedObject, ObjectVersion, Result};

const LIST: &str = "cannot list";

impl S3Store {
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
                // Somebody else's key may hold characters that XML cannot, and must not blind the listing.
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
                    .unwrap_or(0);
                entries.push(ListedObject { key, bytes });
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            token = Some(self.next_page(page.next_continuation_token())?);
        }
        // Some stores list in another order than AWS.
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(entries)
    }

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
        // The SDK sorts markers and versions apart: their order in the answer is lost.
        found.sort_by(|(one, one_date), (other, other_date)| {
            let latest_first = other.is_latest.cmp(&one.is_latest);
            one.key
                .cmp(&other.key)
                .then(latest_first)
                .then(other_date.cmp(one_date))
        });
        Ok(found.into_iter().map(|(version, _)| version).collect())
    }

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

    /// A listed key without the root's prefix.
    fn relative(&self, listed: Option<&str>) -> Result<String> {
        let key = self.decoded(listed)?;
        key.strip_prefix(&self.prefix)
            .map(str::to_owned)
            .ok_or_else(|| self.not_understood("a key outside the prefix"))
    }

    /// S3 encodes as forms do: `+` is a space.
    fn decoded(&self, listed: Option<&str>) -> Result<String> {
        let spaced = listed.unwrap_or_default().replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(Cow::into_owned)
            .map_err(|_| self.not_understood("a key that is not UTF-8"))
    }

    fn next_page(&self, token: Option<&str>) -> Result<String> {
        let token = token.filter(|token| !token.is_empty());
        token
            .map(str::to_owned)
            .ok_or_else(|| self.not_understood("a listing that breaks off"))
    }

    fn not_understood(&self, reason: &'static str) -> StoreError {
        StoreError::new(StoreErrorKind::Contradiction, LIST, self.address(""))
            .because(format!("the store sent {reason}"))
    }
}
