//! Attempts at what a writer should not be able to do. Only `cxvault doctor` makes them, on objects of its own.

use crate::store::s3::failure::{classify, status_of};
use crate::store::s3::{Result, S3Store};

/// The result of an attempt to delete an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// The store refused.
    Refused,
    /// The object was deleted, or is hidden behind a delete marker.
    Done,
}

impl S3Store {
    /// Tries to delete one version of an object. Without a version it tries to delete the object, which a versioned bucket only
    /// hides behind a delete marker.
    ///
    /// # Errors
    /// If the answer neither refuses nor confirms it.
    pub(crate) async fn try_to_delete(
        &self,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<Deletion> {
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
            // 403 by a policy; AWS and other services answer 403 or 400 for a locked version.
            Err(error) if matches!(status_of(&error), Some(400 | 403 | 405)) => {
                Ok(Deletion::Refused)
            }
            Err(error) => Err(classify(error, "cannot try to delete", self.address(key))),
        }
    }

    /// Returns when the store has written an object, in UTC milliseconds with a resolution of one second; `None` if there is no
    /// object, or no time in the answer.
    ///
    /// # Errors
    /// If the properties of the object cannot be read.
    pub(crate) async fn written_at(&self, key: &str) -> Result<Option<i64>> {
        let found = self.head(key).await?;
        Ok(found.and_then(|found| found.last_modified().and_then(|time| time.to_millis().ok())))
    }
}
