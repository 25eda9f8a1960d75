//! One row a segment: its metadata, both summaries, and where each came from.
//!
//! ```text
//! column       types, storage and values of columns        observation  what one request for one summary returned
//! metadata     the table of the typed metadata fields      omit         fields that are left out before anything is stored
//! schema       all columns in their order                  change       what a revision adds to committed rows
//! segment      one object of a discovery answer            recheck      scope and result of a recheck
//! leaf         the Merkle leaf of a row                    tally        counts that must balance
//! ```

pub mod change;
mod column;
mod leaf;
pub mod metadata;
pub mod observation;
pub mod omit;
pub mod recheck;
pub mod schema;
pub mod segment;
pub mod tally;

pub(crate) use column::{Cell, CellRef, Cells, Column, RowError, Storage, Type};
pub(crate) use leaf::leaf_by_column;
pub use leaf::{leaf, leaf_of};
pub(crate) use observation::{Observation, Status, SummaryKind};
pub(crate) use omit::Omission;
pub(crate) use recheck::{Changes, RecheckScope, SummaryChanges};
pub(crate) use schema::{COLUMNS, FORMAT_VERSION};
pub(crate) use segment::Segment;
pub(crate) use tally::{Failures, GroupShare, Groups, Statuses, Tally};

use metadata::{METADATA_COLUMNS, Metadata, NAMES};
use segment::canonical_json;

/// One segment with both of its summaries, as a revision of a day holds it. `T` owns the texts, or borrows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T = String> {
    /// The segment's object and its typed metadata.
    pub segment: Segment<T>,
    /// A JSON array of the differing objects that discovery returned earlier for the same segment, verbatim. The row
    /// shows the last object.
    pub other_answers: Option<T>,
    /// Whether the segment's end lies outside the archive day, or is unknown.
    pub out_of_day: bool,
    /// The summary that the agent wrote.
    pub agent: Observation<T>,
    /// The summary that the AI wrote.
    pub auto: Observation<T>,
    /// Number of the revision that holds this row, from 1.
    pub revision: u32,
    /// When the answer to the window had arrived, by the API's clock where the answer has a `Date`: UTC milliseconds.
    pub discovered_at: i64,
    /// Id of the run that requested the window.
    pub discovered_by: T,
    /// Whether discovery no longer returns the segment.
    pub vanished: bool,
}

impl<T> Row<T> {
    /// Returns the observation of one summary.
    pub fn observation(&self, kind: SummaryKind) -> &Observation<T> {
        match kind {
            SummaryKind::Agent => &self.agent,
            SummaryKind::Auto => &self.auto,
        }
    }

    /// Returns the observation of one summary, to be changed.
    pub fn observation_mut(&mut self, kind: SummaryKind) -> &mut Observation<T> {
        match kind {
            SummaryKind::Agent => &mut self.agent,
            SummaryKind::Auto => &mut self.auto,
        }
    }
}

impl Row {
    /// Returns the row's values in the order of [`COLUMNS`].
    pub fn into_cells(self) -> Cells {
        let mut cells: Cells = Vec::with_capacity(COLUMNS.len());
        cells.extend(self.segment.metadata.into_cells());
        cells.push(Cell::Text(self.segment.raw));
        cells.push(Cell::text(self.other_answers));
        cells.push(Cell::Bool(self.out_of_day));
        cells.extend(observation_cells(self.agent));
        cells.extend(observation_cells(self.auto));
        cells.push(Cell::Int(i64::from(self.revision)));
        cells.push(Cell::Int(self.discovered_at));
        cells.push(Cell::Text(self.discovered_by));
        cells.push(Cell::Bool(self.vanished));
        cells
    }

    /// Returns the bytes of the texts that may be long: nearly all the memory that a row occupies.
    pub(crate) fn text_bytes(&self) -> usize {
        let texts = [
            &self.other_answers,
            &self.agent.summary,
            &self.agent.binary,
            &self.auto.summary,
            &self.auto.binary,
        ];
        let lengths = texts.into_iter().flatten().map(String::len);
        self.segment.raw.len() + lengths.sum::<usize>()
    }

    /// Returns the row without these fields: they are cut out of its object and of the other answers, and the typed
    /// columns follow from the object that is left.
    pub fn without(self, fields: &Omission) -> Row {
        if fields.is_empty() {
            return self;
        }
        Row {
            segment: Segment::read(fields.cut(self.segment.raw)),
            other_answers: self.other_answers.map(|others| fields.cut_each(others)),
            ..self
        }
    }

    /// Returns whether both rows have the same metadata, even if their JSON is spelled differently.
    pub(crate) fn same_segment(&self, other: &Row) -> bool {
        self.segment.raw == other.segment.raw
            || canonical_json(&self.segment.raw) == canonical_json(&other.segment.raw)
    }
}

impl<T: AsRef<str>> Row<T> {
    /// Returns whether the row holds any of these fields.
    pub fn holds(&self, fields: &Omission) -> bool {
        let others = self.other_answers.as_ref();
        fields.is_in(self.segment.raw.as_ref())
            || others.is_some_and(|others| fields.is_in_any(others.as_ref()))
    }

    /// Reads a row back from its values in the order of [`COLUMNS`].
    ///
    /// # Errors
    /// [`RowError`], also where the typed columns are not what the row's `segment_json` says.
    pub(crate) fn from_cells(cells: impl IntoIterator<Item = Cell<T>>) -> Result<Row<T>, RowError> {
        let mut cells = CellReader {
            cells: cells.into_iter(),
            column: 0,
        };
        let typed: [Cell<T>; NAMES.len()] = std::array::from_fn(|_| cells.next());
        let raw = cells.text()?;
        let expected = Metadata::read(raw.as_ref()).into_cells();
        for (n, column) in METADATA_COLUMNS.iter().enumerate() {
            if expected[n].value() != typed[n].value() {
                return Err(RowError::Contradiction(column.name));
            }
        }
        drop(expected);
        let metadata = Metadata::from_cells(typed)?;
        Ok(Row {
            segment: Segment { raw, metadata },
            other_answers: cells.optional_text()?,
            out_of_day: cells.boolean()?,
            agent: cells.observation()?,
            auto: cells.observation()?,
            revision: cells.number()?,
            discovered_at: cells.integer()?,
            discovered_by: cells.text()?,
            vanished: cells.boolean()?,
        })
    }
}

/// Returns the values of the columns `<kind>_*` in their order.
fn observation_cells(observed: Observation) -> [Cell; 11] {
    [
        Cell::Text(observed.status.name().to_owned()),
        Cell::text(observed.summary),
        Cell::text(observed.binary),
        Cell::text(observed.sha256.map(|sha256| sha256.hex())),
        Cell::int(observed.http_status.map(i64::from)),
        Cell::text(observed.content_type),
        Cell::int(observed.fetched_at),
        Cell::int(observed.server_date),
        Cell::Int(i64::from(observed.attempts)),
        Cell::text(observed.error),
        Cell::Text(observed.observed_by),
    ]
}

/// Takes cells one after another, in the order of [`COLUMNS`].
struct CellReader<I> {
    cells: I,
    /// Number of cells that were taken.
    column: usize,
}

impl<T: AsRef<str>, I: Iterator<Item = Cell<T>>> CellReader<I> {
    fn next(&mut self) -> Cell<T> {
        self.column += 1;
        self.cells.next().unwrap_or(Cell::Null)
    }

    /// Returns the name of the column of the cell that was taken last.
    fn name(&self) -> &'static str {
        COLUMNS
            .get(self.column.saturating_sub(1))
            .map_or("(beyond the last)", |column| column.name)
    }

    fn missing(&self) -> RowError {
        RowError::Missing(self.name())
    }

    fn unknown(&self) -> RowError {
        RowError::Unknown(self.name())
    }

    fn optional_text(&mut self) -> Result<Option<T>, RowError> {
        self.next().into_text(self.name())
    }

    fn text(&mut self) -> Result<T, RowError> {
        self.optional_text()?.ok_or_else(|| self.missing())
    }

    fn optional_integer(&mut self) -> Result<Option<i64>, RowError> {
        self.next().into_int(self.name())
    }

    fn integer(&mut self) -> Result<i64, RowError> {
        self.optional_integer()?.ok_or_else(|| self.missing())
    }

    fn number<N: TryFrom<i64>>(&mut self) -> Result<N, RowError> {
        N::try_from(self.integer()?).map_err(|_| self.unknown())
    }

    fn boolean(&mut self) -> Result<bool, RowError> {
        let value = self.next().into_bool(self.name())?;
        value.ok_or_else(|| self.missing())
    }

    fn observation(&mut self) -> Result<Observation<T>, RowError> {
        Ok(Observation {
            status: self.text()?.as_ref().parse().map_err(|_| self.unknown())?,
            summary: self.optional_text()?,
            binary: self.optional_text()?,
            sha256: match self.optional_text()? {
                Some(hex) => Some(hex.as_ref().parse().map_err(|_| self.unknown())?),
                None => None,
            },
            http_status: match self.optional_integer()? {
                Some(status) => Some(status.try_into().map_err(|_| self.unknown())?),
                None => None,
            },
            content_type: self.optional_text()?,
            fetched_at: self.optional_integer()?,
            server_date: self.optional_integer()?,
            attempts: self.number()?,
            error: self.optional_text()?,
            observed_by: self.text()?,
        })
    }
}
