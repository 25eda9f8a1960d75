//! Finds rows by an id in one part. Bloom filters are read first, so that hardly anything of other parts is read.

use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;

use crate::format::part::reader::{PartError, contained, same_columns};
use crate::format::part::rows::Rows;
use crate::format::row::{COLUMNS, Cell, Row};

/// The columns that a search by id covers: the ids of segment, dialog and interaction.
const ID_COLUMNS: [&str; 3] = ["segment_id", "dialog_id", "interaction_id"];

/// Returns the rows of which an id is `id`: that of the segment, the dialog or the interaction.
///
/// Reads the footer, the Bloom filters of each row group, and the row groups that may hold the id. It does not check
/// that the file is the committed one.
///
/// # Errors
/// [`PartError`] where the file is not a readable part.
pub(crate) fn rows_with_id<R: ChunkReader + Clone + 'static>(
    file: R,
    id: &str,
) -> Result<Vec<Row>, PartError> {
    let groups = {
        let (file, id) = (file.clone(), id.to_owned());
        contained(move || groups_with_id(file, &id))?
    };
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let id = id.to_owned();
    contained(move || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let batches = builder
            .with_row_groups(groups)
            .with_batch_size(256)
            .build()?;
        let mut rows = Vec::new();
        for batch in batches {
            let batch = Rows::new(&batch?, 0);
            for n in 0..batch.len() {
                if id_columns().any(|column| batch.value(n, column) == Cell::Text(&id)) {
                    let row = rows.len() as u64;
                    rows.push(
                        batch
                            .owned_row(n)
                            .map_err(|error| PartError::Row { row, error })?,
                    );
                }
            }
        }
        Ok(rows)
    })
}

/// Returns the numbers of the row groups that may hold the id.
fn groups_with_id<R: ChunkReader + 'static>(file: R, id: &str) -> Result<Vec<usize>, PartError> {
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, ArrowReaderOptions::new())?;
    if !same_columns(builder.schema()) {
        return Err(PartError::Columns);
    }
    let mut groups = Vec::new();
    for group in 0..builder.metadata().num_row_groups() {
        for column in id_columns() {
            let filter = builder.get_row_group_column_bloom_filter(group, column)?;
            // Without a filter, any value may be there.
            if filter.is_none_or(|filter| filter.check(&id)) {
                groups.push(group);
                break;
            }
        }
    }
    Ok(groups)
}

/// Returns the indexes of [`ID_COLUMNS`].
fn id_columns() -> impl Iterator<Item = usize> {
    (0..COLUMNS.len()).filter(|&column| ID_COLUMNS.contains(&COLUMNS[column].name))
}
