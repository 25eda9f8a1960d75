//! One row a segment: its metadata, both summaries, and where each came from.

pub mod change;
pub mod observation;
pub mod omit;
pub mod recheck;
pub mod schema;
pub mod segment;
pub mod tally;

use serde_json::{Map, Value};

use crate::format::row::observation::{Observation, SummaryKind};
use crate::format::row::omit::Omission;
use crate::format::row::schema::{COLUMNS, Cell, CellRef, Cells, LEAF_ORDER};
use crate::format::row::segment::{METADATA_FIELDS, Metadata, Segment, canonical_json};

/// One segment with both of its summaries, as a revision of a day holds it. `T` holds the texts, or borrows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T = String> {
    pub segment: Segment<T>,
    /// A JSON array of differing objects that discovery gave for the same segment, verbatim; the row shows the last.
    pub other_answers: Option<T>,
    /// The segment's end lies outside the archive day, or is unknown.
    pub out_of_day: bool,
    pub agent: Observation<T>,
    pub auto: Observation<T>,
    pub revision: u32,
    /// When the window's answer had arrived, by the API's clock where it told it.
    pub discovered_at: i64,
    /// Id of the run that asked the window.
    pub discovered_by: T,
    /// Discovery no longer returns the segment.
    pub vanished: bool,
}

/// A row of a file contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("column {0} has no value, or one of another type")]
    Missing(&'static str),
    #[error("column {0} holds a value that the format does not know")]
    Unknown(&'static str),
    #[error("column {0} differs from what segment_json says")]
    Contradiction(&'static str),
}

impl<T> Row<T> {
    pub fn observation(&self, kind: SummaryKind) -> &Observation<T> {
        match kind {
            SummaryKind::Agent => &self.agent,
            SummaryKind::Auto => &self.auto,
        }
    }

    pub fn observation_mut(&mut self, kind: SummaryKind) -> &mut Observation<T> {
        match kind {
            SummaryKind::Agent => &mut self.agent,
            SummaryKind::Auto => &mut self.auto,
        }
    }
}

impl Row {
    /// The row's values in the order of [`COLUMNS`].
    pub fn into_cells(self) -> Cells {
        let Row {
            segment: Segment { raw, metadata: m },
            agent,
            auto,
            ..
        } = self;
        let mut cells: Cells = Vec::with_capacity(COLUMNS.len());
        cells.extend(metadata_cells(m));
        cells.push(Cell::Text(raw));
        cells.push(Cell::text(self.other_answers));
        cells.push(Cell::Bool(self.out_of_day));
        cells.extend(observation_cells(agent));
        cells.extend(observation_cells(auto));
        cells.push(Cell::Int(i64::from(self.revision)));
        cells.push(Cell::Int(self.discovered_at));
        cells.push(Cell::Text(self.discovered_by));
        cells.push(Cell::Bool(self.vanished));
        cells
    }

    /// Bytes of the texts that may be long: nearly all that a row takes in memory.
    pub fn text_bytes(&self) -> usize {
        let long = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let body = |look: &Observation| long(&look.summary) + long(&look.binary);
        self.segment.raw.len() + long(&self.other_answers) + body(&self.agent) + body(&self.auto)
    }

    /// The row as it is kept where these fields are left out: of its object, its columns, and the other answers.
    pub fn without(self, fields: &Omission) -> Row {
        if fields.is_empty() {
            return self;
        }
        let segment = Segment::read(fields.cut(self.segment.raw));
        let other_answers = self.other_answers.map(|others| fields.cut_each(others));
        Row {
            segment,
            other_answers,
            ..self
        }
    }

    /// The same metadata, whatever its spelling.
    pub fn same_segment(&self, other: &Row) -> bool {
        self.segment.raw == other.segment.raw
            || canonical_json(&self.segment.raw) == canonical_json(&other.segment.raw)
    }
}

impl<T: AsRef<str>> Row<T> {
    /// Whether the row holds any of these fields.
    pub fn holds(&self, fields: &Omission) -> bool {
        let others = self.other_answers.as_ref();
        fields.is_in(self.segment.raw.as_ref())
            || others.is_some_and(|others| fields.is_in_any(others.as_ref()))
    }

    /// Reads a row back, and refuses one whose typed columns are not what its `segment_json` says.
    pub fn from_cells(cells: impl IntoIterator<Item = Cell<T>>) -> Result<Row<T>, RowError> {
        let mut cells = CellReader {
            cells: cells.into_iter(),
            column: 0,
        };
        let typed: [Cell<T>; METADATA_FIELDS] = std::array::from_fn(|_| cells.next());
        let raw = cells.text()?;
        let said = metadata_cells(Metadata::read(raw.as_ref()));
        if let Some(column) = said
            .iter()
            .zip(&typed)
            .position(|(said, typed)| said.value() != typed.value())
        {
            return Err(RowError::Contradiction(COLUMNS[column].name));
        }
        let metadata = CellReader {
            cells: typed.into_iter(),
            column: 0,
        }
        .metadata()?;
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

/// The bytes of a row's Merkle leaf: RFC 8785's form of an object with a member for each column that is not
/// null; instants are integers (UTC milliseconds).
pub fn leaf(cells: &[Cell], into: &mut Vec<u8>) {
    leaf_by_column(|column| cells[column].value(), into);
}

/// [`leaf`] of values that lie anywhere, by column.
pub fn leaf_by_column<'a>(value: impl Fn(usize) -> CellRef<'a>, into: &mut Vec<u8>) {
    into.clear();
    into.push(b'{');
    for &column in LEAF_ORDER.iter() {
        let value = value(column);
        if value == CellRef::Null {
            continue;
        }
        if into.len() > 1 {
            into.push(b',');
        }
        into.push(b'"');
        into.extend_from_slice(COLUMNS[column].name.as_bytes());
        into.extend_from_slice(b"\":");
        value.write_json(into);
    }
    into.push(b'}');
}

/// The leaf of a row that is given as JSON, as a receipt has it. `None` where a value is none that a leaf can hold: the
/// same value in another form (`1.0` for `1`) would be another leaf to other checkers. Integers keep all their digits,
/// also those beyond 2^53, which RFC 8785's own form of a number would round.
pub fn leaf_of(row: &Map<String, Value>) -> Option<Vec<u8>> {
    fn cell(value: &Value) -> Option<CellRef<'_>> {
        match value {
            Value::String(text) => Some(CellRef::Text(text)),
            Value::Number(number) => number.as_i64().map(CellRef::Int),
            Value::Bool(value) => Some(CellRef::Bool(*value)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
    let mut members: Vec<_> = row.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    let mut json = vec![b'{'];
    for (name, value) in members {
        if json.len() > 1 {
            json.push(b',');
        }
        CellRef::Text(name).write_json(&mut json);
        json.push(b':');
        cell(value)?.write_json(&mut json);
    }
    json.push(b'}');
    Some(json)
}

fn metadata_cells<T>(m: Metadata<T>) -> [Cell<T>; METADATA_FIELDS] {
    [
        Cell::text(m.segment_id),
        Cell::text(m.dialog_id),
        Cell::text(m.interaction_id),
        Cell::text(m.sub_account_id),
        Cell::text(m.channel_id),
        Cell::text(m.channel_type),
        Cell::text(m.channel_class),
        Cell::text(m.channel_endpoint_address),
        Cell::text(m.contact_endpoint_address),
        Cell::text(m.dialog_origination),
        Cell::int(m.dialog_start_time),
        Cell::int(m.dialog_end_time),
        Cell::int(m.dialog_duration_ms),
        Cell::text(m.segment_type),
        Cell::text(m.segment_participant_id),
        Cell::text(m.segment_participant_rc_extension_id),
        Cell::int(m.segment_start_time),
        Cell::int(m.segment_end_time),
        Cell::int(m.segment_duration_ms),
        Cell::text(m.segment_agent_group_id),
        Cell::text(m.system_disposition),
        Cell::text(m.agent_disposition),
        Cell::text(m.agent_notes),
        Cell::bool(m.has_recording),
        Cell::bool(m.has_transcript),
        Cell::text(m.segment_events),
    ]
}

fn observation_cells(o: Observation) -> [Cell; 11] {
    [
        Cell::Text(o.status.name().to_owned()),
        Cell::text(o.summary),
        Cell::text(o.binary),
        Cell::text(o.sha256.map(|sha256| sha256.hex())),
        Cell::int(o.http_status.map(i64::from)),
        Cell::text(o.content_type),
        Cell::int(o.fetched_at),
        Cell::int(o.server_date),
        Cell::Int(i64::from(o.attempts)),
        Cell::text(o.error),
        Cell::Text(o.observed_by),
    ]
}

/// Takes cells one after the other, in the order of [`COLUMNS`].
struct CellReader<I> {
    cells: I,
    column: usize,
}

impl<T: AsRef<str>, I: Iterator<Item = Cell<T>>> CellReader<I> {
    fn next(&mut self) -> Cell<T> {
        self.column += 1;
        self.cells.next().unwrap_or(Cell::Null)
    }

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
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            _ => Err(self.missing()),
        }
    }

    fn text(&mut self) -> Result<T, RowError> {
        self.optional_text()?.ok_or_else(|| self.missing())
    }

    fn optional_integer(&mut self) -> Result<Option<i64>, RowError> {
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(number)),
            _ => Err(self.missing()),
        }
    }

    fn integer(&mut self) -> Result<i64, RowError> {
        self.optional_integer()?.ok_or_else(|| self.missing())
    }

    fn number<N: TryFrom<i64>>(&mut self) -> Result<N, RowError> {
        N::try_from(self.integer()?).map_err(|_| self.unknown())
    }

    fn optional_boolean(&mut self) -> Result<Option<bool>, RowError> {
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Bool(value) => Ok(Some(value)),
            _ => Err(self.missing()),
        }
    }

    fn boolean(&mut self) -> Result<bool, RowError> {
        self.optional_boolean()?.ok_or_else(|| self.missing())
    }

    fn metadata(&mut self) -> Result<Metadata<T>, RowError> {
        Ok(Metadata {
            segment_id: self.optional_text()?,
            dialog_id: self.optional_text()?,
            interaction_id: self.optional_text()?,
            sub_account_id: self.optional_text()?,
            channel_id: self.optional_text()?,
            channel_type: self.optional_text()?,
            channel_class: self.optional_text()?,
            channel_endpoint_address: self.optional_text()?,
            contact_endpoint_address: self.optional_text()?,
            dialog_origination: self.optional_text()?,
            dialog_start_time: self.optional_integer()?,
            dialog_end_time: self.optional_integer()?,
            dialog_duration_ms: self.optional_integer()?,
            segment_type: self.optional_text()?,
            segment_participant_id: self.optional_text()?,
            segment_participant_rc_extension_id: self.optional_text()?,
            segment_start_time: self.optional_integer()?,
            segment_end_time: self.optional_integer()?,
            segment_duration_ms: self.optional_integer()?,
            segment_agent_group_id: self.optional_text()?,
            system_disposition: self.optional_text()?,
            agent_disposition: self.optional_text()?,
            agent_notes: self.optional_text()?,
            has_recording: self.optional_boolean()?,
            has_transcript: self.optional_boolean()?,
            segment_events: self.optional_text()?,
        })
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
