//! Listings of objects and of versions, page by page: a page has at most 1,000 entries
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>).
//!
//! A listing decides which manifests a chain has, so that a listing that is cut short must be an error and never a shorter
//! list: each page that announces another page must also have its token. Keys are requested percent-encoded, and each of them
//! must begin with the prefix of the store.
//!
//! A service that lacks the listing of versions is refused: without it a deleted or replaced object would leave no trace.

use std::borrow::Cow;
use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::s3::failure::{classify, lacks_operation, status_of};
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
        let after = after.map(|after| self.full(after));
        let request = self.client.list_objects_v2().set_start_after(after);
        let mut entries = Vec::new();
        self.for_each_page(prefix, request, |page| {
            let encoding = page.encoding_type();
            for object in page.contents() {
                let key = self.relative(object.key(), encoding)?;
                let bytes = object
                    .size()
                    .and_then(|bytes| u64::try_from(bytes).ok())
                    .ok_or_else(|| self.not_understood("an object without a length"))?;
                entries.push(ListedObject { key, bytes });
            }
            Ok(())
        })
        .await?;
        // Some services list in another order than AWS.
        entries.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(entries)
    }

    /// Implements [`Store::children`](crate::store::Store::children).
    pub(super) async fn list_children(&self, prefix: &str) -> Result<Children> {
        let request = self.client.list_objects_v2().delimiter("/");
        let mut children = Children::default();
        self.for_each_page(prefix, request, |page| {
            let encoding = page.encoding_type();
            for folder in page.common_prefixes() {
                let key = self.relative(folder.prefix(), encoding)?;
                let name = key
                    .strip_prefix(prefix)
                    .and_then(|name| name.strip_suffix('/'));
                children.folders.extend(name.map(str::to_owned));
            }
            for object in page.contents() {
                children
                    .objects
                    .push(self.relative(object.key(), encoding)?);
            }
            Ok(())
        })
        .await?;
        children.folders.sort_unstable();
        children.objects.sort_unstable();
        Ok(children)
    }

    /// Requests a listing of the objects below `prefix`, and calls `take` with each page as it arrives, so that only one page
    /// is in memory.
    ///
    /// The SDK's own paginator is not used: it takes a page without a token for the last page, even if the page says that the
    /// listing is incomplete. Objects would be missing from the listing without any error.
    async fn for_each_page(
        &self,
        prefix: &str,
        request: ListObjectsV2FluentBuilder,
        mut take: impl FnMut(&ListObjectsV2Output) -> Result<()>,
    ) -> Result<()> {
        let request = request
            .bucket(&self.bucket)
            .prefix(self.full(prefix))
            // Another program's key may have characters that XML cannot carry; it must not make the listing fail.
            .encoding_type(EncodingType::Url);
        let mut token = None;
        loop {
            let page = request
                .clone()
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|error| classify(error, LIST, self.address(prefix)))?;
            take(&page)?;
            if page.is_truncated() != Some(true) {
                return Ok(());
            }
            token = Some(self.next_page(page.next_continuation_token())?);
        }
    }

    /// Implements [`Store::versions`](crate::store::Store::versions).
    pub(super) async fn list_versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>> {
        let request = self
            .client
            .list_object_versions()
            .bucket(&self.bucket)
            .prefix(self.full(prefix))
            .encoding_type(EncodingType::Url);
        let mut found = Vec::new();
        let (mut next_key, mut next_version) = (None, None);
        loop {
            let page = request
                .clone()
                .set_key_marker(next_key)
                .set_version_id_marker(next_version)
                .send()
                .await
                .map_err(|error| self.versions_not_listed(error, prefix))?;
            let encoding = page.encoding_type();
            for entry in page.versions() {
                let version = ObjectVersion {
                    key: self.relative(entry.key(), encoding)?,
                    version_id: version_id(entry.version_id()),
                    is_latest: entry.is_latest() == Some(true),
                    is_delete_marker: false,
                };
                found.push((version, entry.last_modified().copied()));
            }
            for marker in page.delete_markers() {
                let version = ObjectVersion {
                    key: self.relative(marker.key(), encoding)?,
                    version_id: version_id(marker.version_id()),
                    is_latest: marker.is_latest() == Some(true),
                    is_delete_marker: true,
                };
                found.push((version, marker.last_modified().copied()));
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            let marker = self.next_page(page.next_key_marker())?;
            next_key = Some(self.decoded(Some(&marker), encoding)?);
            next_version = page.next_version_id_marker().map(str::to_owned);
        }
        // The SDK returns markers and versions in two lists, so that their common order is lost. The newest version of a key
        // comes first, as S3 lists them.
        found.sort_by(|(left, left_date), (right, right_date)| {
            left.key
                .cmp(&right.key)
                .then(right.is_latest.cmp(&left.is_latest))
                .then(right_date.cmp(left_date))
        });
        Ok(found.into_iter().map(|(version, _)| version).collect())
    }

    /// Returns the failure of a listing of versions. Some compatible services lack this request: they refuse it, or take it
    /// for a listing of objects and answer with another document.
    fn versions_not_listed<E>(&self, error: SdkError<E, HttpResponse>, prefix: &str) -> StoreError
    where
        E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
    {
        if !lacks_operation(&error) {
            return classify(error, LIST, self.address(prefix));
        }
        let answer = match status_of(&error) {
            Some(status @ 200..=299) => format!("{status} with another document"),
            Some(status) => status.to_string(),
            None => "no answer".to_owned(),
        };
        StoreError::new(StoreErrorKind::Unusable, "cannot list the versions of", self.address(prefix))
            .because(format!("the service does not answer ListObjectVersions ({answer})"))
            .remedy(
                "Without versions a deleted or replaced object leaves no trace: use Amazon S3, MinIO, or another service that \
                 lists the versions of objects.",
            )
    }

    /// Returns a listed key without the prefix of the store.
    fn relative(&self, listed: Option<&str>, encoding: Option<&EncodingType>) -> Result<String> {
        let key = self.decoded(listed, encoding)?;
        key.strip_prefix(&self.prefix)
            .map(str::to_owned)
            .ok_or_else(|| self.not_understood("a key outside the prefix"))
    }

    /// Returns a key as it is stored. A page says whether its keys are encoded, as requested: some services never encode
    /// them. S3 encodes keys as HTML forms are encoded, where `+` is a space.
    fn decoded(&self, listed: Option<&str>, encoding: Option<&EncodingType>) -> Result<String> {
        let listed = listed.ok_or_else(|| self.not_understood("an entry without a key"))?;
        if encoding != Some(&EncodingType::Url) {
            return Ok(listed.to_owned());
        }
        percent_decode_str(&listed.replace('+', " "))
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
