//! The archive format, without any input or output: no tokio, no network, no file system, no clock.
//!
//! Everything here is a function of its arguments, so that it is tested with tables and properties, and so that the
//! writer and the verifier may share it. `schemas/FORMAT.md` specifies what is written here; where the two differ, one
//! of them has a bug.
//!
//! ```text
//! record      manifests, roster records, anchors, receipts, and what they contain
//! part        one Parquet file: written with pinned properties, read without trust
//! row         one segment with both summaries: columns, metadata, observations, counts
//! signature   Ed25519 in OpenSSH's formats
//! place       the keys of objects
//! hash        SHA-256, Merkle trees, canonical text
//! time        dates, windows, instants
//! named       enums whose values have names
//! text        foreign text made safe for a terminal, numbers with their nouns
//! ```

pub mod hash;
mod named;
pub mod part;
pub mod place;
pub mod record;
pub mod row;
pub mod signature;
pub mod text;
pub mod time;

pub(crate) use named::named_enum;
