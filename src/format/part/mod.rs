//! One Parquet file of a revision: written with pinned properties, read back without trust.
//!
//! ```text
//! statement   what a part says of itself in its footer      lookup   finds rows by an id through Bloom filters
//! writer      rows to a part                                table    rows of several days to one file for other programs
//! reader      a part to rows, checked                       rows     rows of a part, read without copying
//! ```
//!
//! A part is created once, under a key that names its day, revision and number. It counts only when a manifest lists it
//! with its SHA-256. Its footer holds a signed statement, so that a part that a killed run has left can be judged and
//! adopted without a manifest.

pub mod lookup;
mod reader;
pub mod rows;
mod statement;
pub mod table;
mod writer;

pub use reader::{PartError, PartReader};
pub use statement::{SIGNATURE_KEY, STATEMENT_KEY, Statement};
pub use writer::{EncodedRow, PartContext, PartSummary, PartWriter};
