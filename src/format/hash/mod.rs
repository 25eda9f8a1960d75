//! SHA-256, Merkle trees, and the canonical spelling of text.

pub mod digest;
pub mod json;
pub mod merkle;

pub(crate) use digest::{Digest, Hasher};
pub(crate) use merkle::Tree;
