//! The signed records of an archive: manifests, roster records, and what they contain.

pub mod anchor;
pub mod archive;
pub mod copy;
pub mod coverage;
pub mod envelope;
pub mod head;
pub mod lock;
pub mod manifest;
pub mod notes;
pub mod obligations;
pub mod receipt;
pub mod roster;
pub mod warning;
