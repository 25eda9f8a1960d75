//! A reference from one record to an object.

use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;

/// An object of the archive, named by its key and fixed by its SHA-256.
///
/// A record names the record before it by a link. To change a record unnoticed, all later ones would have to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The object's key, relative to the archive's root.
    pub key: String,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
}
