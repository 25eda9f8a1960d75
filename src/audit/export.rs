//! Rows in forms that people and other systems read, one file at a time: CSV, JSON lines, HTML and Parquet.
//!
//! Files are written row by row, so their size is not bounded by memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use askama::Template;
use jiff::civil::Date;

use crate::audit::pack::unwritable;
use crate::format::named_enum;
use crate::format::part::table::{TableWriter, names, safe_texts};
use crate::format::row::{COLUMNS, Cell, Row, Status, SummaryKind, Type};
use crate::format::time::day::rfc3339;
use crate::outcome;
use crate::private;

named_enum! {
    /// The form of an exported file.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Format in ALL {
        /// CSV as RFC 4180 describes it, with a byte order mark and a header line.
        Csv = "csv",
        /// One JSON object for each line.
        JsonLines = "jsonl",
        /// A page with one table.
        Html = "html",
        /// The columns of the archive's parts, and the sub-account and date.
        Parquet = "parquet",
    }
}

impl Format {
    /// Returns the name of the file that contains a day: a file for each month, or in HTML, which people read, for each day.
    pub fn file_of(self, sub_account: &str, date: Date) -> String {
        let month = date.strftime("%Y-%m");
        match self {
            Format::Csv => format!("data/{sub_account}/{month}.csv"),
            Format::JsonLines => format!("data/{sub_account}/{month}.jsonl"),
            Format::Parquet => format!("data/{sub_account}/{month}.parquet"),
            Format::Html => format!("data/{sub_account}/{date}.html"),
        }
    }
}

/// A file that is being written.
pub(crate) struct ExportWriter(Form);

enum Form {
    Csv(Box<csv::Writer<BufWriter<File>>>),
    JsonLines(BufWriter<File>),
    Html(BufWriter<File>),
    Parquet(Box<TableWriter<BufWriter<File>>>),
}

impl ExportWriter {
    /// Creates a file. `title` is the title of an HTML page.
    ///
    /// # Errors
    /// As [`unwritable`].
    pub fn create(format: Format, path: &Path, title: &str) -> outcome::Result<ExportWriter> {
        Self::begin(format, path, title).map_err(|error| unwritable(path, error))
    }

    fn begin(format: Format, path: &Path, title: &str) -> io::Result<ExportWriter> {
        let mut file = BufWriter::new(private::create(path)?);
        let form = match format {
            Format::Csv => {
                // Without a byte order mark spreadsheets read the file in another encoding than UTF-8.
                file.write_all("\u{feff}".as_bytes())?;
                let mut csv = csv::Writer::from_writer(file);
                csv.write_record(names())?;
                Form::Csv(Box::new(csv))
            }
            Format::JsonLines => Form::JsonLines(file),
            Format::Html => {
                HtmlBegin {
                    title: &without_controls(title),
                }
                .write_into(&mut file)?;
                Form::Html(file)
            }
            Format::Parquet => {
                Form::Parquet(Box::new(TableWriter::new(file).map_err(io::Error::other)?))
            }
        };
        Ok(ExportWriter(form))
    }

    /// Appends a row of a day; `dt` is its date.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, sub_account: &str, dt: &str, row: Row) -> io::Result<()> {
        match &mut self.0 {
            Form::Csv(csv) => {
                let keys = [sub_account.to_owned(), dt.to_owned()];
                csv.write_record(keys.into_iter().chain(safe_texts(row)))
                    .map_err(Into::into)
            }
            Form::JsonLines(file) => {
                serde_json::to_writer(&mut *file, &object(sub_account, dt, row))?;
                file.write_all(b"\n")
            }
            Form::Html(file) => HtmlRow::of(&row).write_into(file),
            Form::Parquet(table) => table.push(sub_account, dt, row).map_err(io::Error::other),
        }
    }

    /// Writes what remains, so that the file is complete.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Form::Csv(mut csv) => csv.flush(),
            Form::JsonLines(mut file) => file.flush(),
            Form::Html(mut file) => {
                file.write_all(HTML_END.as_bytes())?;
                file.flush()
            }
            Form::Parquet(table) => table.finish().map_err(io::Error::other)?.flush(),
        }
    }
}

/// Returns a row as a JSON object with all columns, including those that are null, so that every line has the same
/// members.
fn object(sub_account: &str, dt: &str, row: Row) -> serde_json::Map<String, serde_json::Value> {
    let keys = [("sub_account", sub_account.into()), ("dt", dt.into())];
    let values = COLUMNS.iter().zip(row.into_cells()).map(|(column, cell)| {
        let value = match cell {
            Cell::Null => serde_json::Value::Null,
            Cell::Text(text) => text.into(),
            Cell::Bool(value) => value.into(),
            Cell::Int(number) if column.kind == Type::Time => rfc3339(number).into(),
            Cell::Int(number) => number.into(),
        };
        (column.name, value)
    });
    keys.into_iter()
        .chain(values)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

const HTML_END: &str = "</tbody></table></body></html>\n";

/// The page up to its first row.
#[derive(Template)]
#[template(path = "audit/export_html/begin.html")]
struct HtmlBegin<'a> {
    title: &'a str,
}

/// One row of the page.
#[derive(Template)]
#[template(path = "audit/export_html/row.html")]
struct HtmlRow {
    end: String,
    segment: String,
    channel: String,
    agent: String,
    /// The agent's and the AI's: a text, or the status of a summary without one.
    summaries: [Result<String, &'static str>; 2],
}

impl HtmlRow {
    fn of(row: &Row) -> HtmlRow {
        let metadata = &row.segment.metadata;
        let [class, channel_type, agent] = [
            &metadata.channel_class,
            &metadata.channel_type,
            &metadata.segment_participant_id,
        ]
        .map(|text| without_controls(text.as_deref().unwrap_or_default()));
        HtmlRow {
            end: metadata.segment_end_time.map(rfc3339).unwrap_or_default(),
            segment: without_controls(&row.segment.key()),
            channel: format!("{class} {channel_type}"),
            agent,
            summaries: [SummaryKind::Agent, SummaryKind::Auto].map(|kind| {
                let observation = row.observation(kind);
                match (&observation.summary, observation.status) {
                    (Some(text), Status::Present) => Ok(without_controls(text)),
                    (_, status) => Err(status.name()),
                }
            }),
        }
    }
}

/// The page that links to the files of an export in HTML.
#[derive(Template)]
#[template(path = "audit/export_html/index.html")]
pub(crate) struct HtmlIndex<'a> {
    /// Names of the files below the export's folder, `data/SUB_ACCOUNT/DATE.html`.
    pub files: &'a [String],
}

impl HtmlIndex<'_> {
    /// Returns `SUB_ACCOUNT DATE`.
    fn title(file: &str) -> String {
        file.trim_start_matches("data/")
            .trim_end_matches(".html")
            .replace('/', " ")
    }
}

/// Replaces control characters, which neither HTML nor XML can represent, by U+FFFD. Marks of writing direction stay:
/// texts in Arabic or Hebrew need them.
fn without_controls(text: &str) -> String {
    text.replace(
        |c: char| c.is_control() && !matches!(c, '\n' | '\t'),
        "\u{fffd}",
    )
}
