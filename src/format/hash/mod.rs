//! SHA-256, Merkle trees, the canonical spelling of text, and JSON that means one thing.

pub mod digest;
pub mod json;
pub mod merkle;
pub mod strict;

pub(crate) use digest::{Digest, Hasher};
pub(crate) use merkle::Tree;
