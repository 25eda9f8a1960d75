//! Whether the store lets us do what we must never be able to do. For `cxvault doctor`, on objects of its own.

use crate::store::s3::failure::{classify, status_of};
use crate::store::s3::{Result, S3Store};

/// How an attempt to delete ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The store refused.
    Refused,
    /// It is done.
    Done,
}

impl S3Store {
    /// Tries to delete one version of an object, or without a version the object as it is seen (a versioned bucket then
    /// hides it behind a delete marker).
    pub async fn try_to_delete(&self, key: &str, version_id: Option<&str>) -> Result<Deletion> {
        let request = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(self.full(key));
        match request
            .set_version_id(version_id.map(str::to_owned))
            .send()
            .await
        {
            Ok(_) => Ok(Deletion::Done),
            // 403 by a policy; AWS and others answer a locked version with 403 or 400.
            Err(error) if matches!(status_of(&error), Some(400 | 403 | 405)) => {
                Ok(Deletion::Refused)
            }
            Err(error) => Err(classify(error, "cannot try to delete", self.address(key))),
        }
    }

    /// When the store says that the object was written, in UTC milliseconds (whole seconds).
    pub async fn written_at(&self, key: &str) -> Result<Option<i64>> {
        let found = self.head(key).await?;
        Ok(found.and_then(|found| found.last_modified().and_then(|time| time.to_millis().ok())))
    }
}
