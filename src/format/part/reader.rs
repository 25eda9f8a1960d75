//! Reads parts without trust: any object of the archive's location may be damaged or forged.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::TrySendError;

use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use crate::format::hash::{Digest, Tree};
use crate::format::part::rows::Rows;
use crate::format::part::statement::{SIGNATURE_KEY, STATEMENT_KEY, Statement};
use crate::format::row::schema::arrow_schema;
use crate::format::row::{FORMAT_VERSION, Row, RowError};
use crate::format::signature;
use crate::format::signature::PublicKey;

/// Why a file is not a part that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The Parquet library cannot read the file.
    #[error("not a readable Parquet file")]
    Parquet(#[from] ParquetError),
    /// The Arrow library cannot read a batch of rows.
    #[error("not a readable Parquet file: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The columns have other names, types or nullability, or another order.
    #[error("its columns are not those of format version {FORMAT_VERSION}")]
    Columns,
    /// The footer has no statement, or one in another form than the canonical one.
    #[error("its footer holds no statement of a part")]
    NoStatement,
    /// A row contradicts itself.
    #[error("row {row}: {error}")]
    Row {
        /// Number of the row in the file, from 0.
        row: u64,
        /// What is wrong with it.
        error: RowError,
    },
    /// The number of rows or their Merkle root differs from the statement.
    #[error("its rows are not those that its statement names")]
    Rows,
    /// The signature does not match the statement.
    #[error("its footer's signature does not hold: {0}")]
    Signature(String),
}

/// Reads one part, row by row, and checks the rows against the part's statement.
///
/// A reader does not check the signature by itself ([`PartReader::signer`]), nor that a manifest lists the file.
pub struct PartReader {
    statement: Statement,
    /// The armoured signature over the statement.
    signature: Option<String>,
    batches: ParquetRecordBatchReader,
    /// Rows that are in the tree already, and how many of them [`PartReader::next_row`] has returned.
    buffered: Option<(Rows, usize)>,
    tree: Tree,
    /// A buffer for leaves.
    leaf: Vec<u8>,
}

impl PartReader {
    /// Opens a part and reads its footer.
    ///
    /// # Errors
    /// [`PartError`] where the file is not a part of this format.
    pub fn open<R: ChunkReader + 'static>(file: R) -> Result<PartReader, PartError> {
        contained(move || Self::read_footer(file))
    }

    fn read_footer<R: ChunkReader + 'static>(file: R) -> Result<PartReader, PartError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        if !same_columns(builder.schema()) {
            return Err(PartError::Columns);
        }
        let pairs = builder
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .cloned()
            .unwrap_or_default();
        let [statement, signature] = [STATEMENT_KEY, SIGNATURE_KEY].map(|key| {
            let pair = pairs.iter().find(|pair| pair.key == key);
            pair.and_then(|pair| pair.value.clone())
        });
        let statement = statement
            .and_then(|text| Statement::read(&text))
            .ok_or(PartError::NoStatement)?;
        let batches = builder.with_batch_size(256).build()?;
        Ok(PartReader {
            statement,
            signature,
            batches,
            buffered: None,
            tree: Tree::new(),
            leaf: Vec::new(),
        })
    }

    /// Returns what the part says of itself.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Checks the signature of the statement, and returns the key that made it; `None` where there is no signature.
    ///
    /// # Errors
    /// [`PartError::Signature`] where the signature does not match the statement.
    pub fn signer(&self) -> Result<Option<PublicKey>, PartError> {
        let Some(armored) = &self.signature else {
            return Ok(None);
        };
        let statement = self.statement.canonical();
        let statement = statement.map_err(|error| PartError::Signature(error.to_string()))?;
        signature::verify(armored, signature::PART, statement.as_bytes())
            .map(Some)
            .map_err(|error| PartError::Signature(error.to_string()))
    }

    /// Returns the number of rows that have been read, and the Merkle root over them.
    pub fn read_so_far(&self) -> (u64, Digest) {
        (self.tree.leaves(), self.tree.root())
    }

    /// Returns the next row. After the last row it checks that the rows were those of the statement, and returns `None`.
    ///
    /// # Errors
    /// [`PartError`]; the rows that were returned before are then not trustworthy.
    pub fn next_row(&mut self) -> Result<Option<Row>, PartError> {
        loop {
            if let Some((rows, given)) = &mut self.buffered
                && *given < rows.len()
            {
                let n = *given;
                *given += 1;
                let row = rows.first() + n as u64;
                return rows
                    .owned_row(n)
                    .map(Some)
                    .map_err(|error| PartError::Row { row, error });
            }
            let Some(rows) = self.next_rows()? else {
                return Ok(None);
            };
            self.buffered = Some((rows, 0));
        }
    }

    /// Returns the next rows, a batch at a time. After the last batch it checks that the rows were those of the statement,
    /// and returns `None`. It must not be mixed with [`PartReader::next_row`].
    ///
    /// # Errors
    /// As [`PartReader::next_row`].
    pub(crate) fn next_rows(&mut self) -> Result<Option<Rows>, PartError> {
        let Some(rows) = self.next_batch()? else {
            return self.end().map(|()| None);
        };
        self.tree.extend(rows.leaf_hashes(&mut self.leaf));
        Ok(Some(rows))
    }

    /// Reads the rest, and checks that the rows are those of the statement, value by value, without building rows.
    ///
    /// Hashing takes longer than decoding, so a second thread hashes the batches that it can accept, and this thread
    /// hashes the rest.
    ///
    /// # Errors
    /// [`PartError::Rows`] where the rows differ, or as [`PartReader::next_row`].
    pub fn check(mut self) -> Result<(), PartError> {
        let (rows, incoming) = std::sync::mpsc::sync_channel::<Rows>(2);
        let (hashed, leaves) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let hashing = scope.spawn(move || {
                let mut json = Vec::new();
                // The receiver is gone only when reading has failed.
                incoming
                    .iter()
                    .try_for_each(|rows| hashed.send(rows.leaf_hashes(&mut json)))
                    .ok()
            });
            let mut open = VecDeque::new();
            while let Some(batch) = self.next_batch()? {
                open.push_back(match rows.try_send(batch) {
                    Ok(()) => None,
                    Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                        Some(batch.leaf_hashes(&mut self.leaf))
                    }
                });
                self.grow(&mut open, || leaves.try_recv().ok());
            }
            drop(rows);
            self.grow(&mut open, || leaves.recv().ok());
            hashing.join().map(drop).map_err(|_| PartError::Rows)
        })?;
        self.end()
    }

    /// Adds the leaf hashes of open batches to the tree in their order, as far as they are known. `None` stands for a batch
    /// of the other thread, whose hashes `next` returns in the order of its batches.
    fn grow(
        &mut self,
        open: &mut VecDeque<Option<Vec<Digest>>>,
        next: impl Fn() -> Option<Vec<Digest>>,
    ) {
        while let Some(first) = open.front_mut() {
            let Some(leaves) = first.take().or_else(&next) else {
                return;
            };
            self.tree.extend(leaves);
            open.pop_front();
        }
    }

    /// Checks that the rows were those of the statement.
    fn end(&self) -> Result<(), PartError> {
        if self.read_so_far() == (self.statement.rows, self.statement.merkle_root) {
            Ok(())
        } else {
            Err(PartError::Rows)
        }
    }

    fn next_batch(&mut self) -> Result<Option<Rows>, PartError> {
        let batches = &mut self.batches;
        let Some(batch) = contained(|| Ok(batches.next().transpose()?))? else {
            return Ok(None);
        };
        Ok(Some(Rows::new(&batch, self.tree.leaves())))
    }
}

/// Runs `read` and turns a panic into an error.
///
/// The Parquet library panics on some damaged files (for example a division by a page's length of zero), and a file of
/// the bucket may hold any bytes: a panic means only that the file is not readable.
pub(super) fn contained<T>(read: impl FnOnce() -> Result<T, PartError>) -> Result<T, PartError> {
    std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(ParquetError::General("the Parquet reader gave up".to_owned()).into())
    })
}

/// Returns whether a file has the columns of the format: names, types, nullability and order. Metadata of fields do not
/// count.
pub(super) fn same_columns(found: &Schema) -> bool {
    let expected = arrow_schema();
    expected.fields().len() == found.fields().len()
        && std::iter::zip(expected.fields(), found.fields()).all(|(expected, found)| {
            expected.name() == found.name()
                && expected.data_type() == found.data_type()
                && expected.is_nullable() == found.is_nullable()
        })
}
