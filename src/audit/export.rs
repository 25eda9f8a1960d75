//! Rows in forms that people and other systems take, one file at a time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use jiff::civil::Date;

use crate::audit::pack::unwritable;
use crate::format::part::table::{TableWriter, names, safe_texts};
use crate::format::row::Row;
use crate::format::row::observation::{Status, SummaryKind};
use crate::format::row::schema::{COLUMNS, Cell, Type};
use crate::format::time::day::rfc3339;
use crate::outcome::Result;

/// The data's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    JsonLines,
    Html,
    Parquet,
}

impl Format {
    /// The file for a day of a sub-account: a month together, but for HTML, which people read.
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

/// One file under way.
pub struct ExportWriter(Form);

enum Form {
    Csv(Box<csv::Writer<BufWriter<File>>>),
    JsonLines(BufWriter<File>),
    Html(BufWriter<File>),
    Parquet(Box<TableWriter<BufWriter<File>>>),
}

impl ExportWriter {
    pub fn create(format: Format, path: &Path, title: &str) -> Result<ExportWriter> {
        let failed = |error| unwritable(path, error);
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        let form = match format {
            Format::Csv => {
                // A byte order mark: without it spreadsheets take UTF-8 for something else.
                file.write_all("\u{feff}".as_bytes()).map_err(failed)?;
                let mut csv = csv::Writer::from_writer(file);
                csv.write_record(names())
                    .map_err(|error| failed(error.into()))?;
                Form::Csv(Box::new(csv))
            }
            Format::JsonLines => Form::JsonLines(file),
            Format::Html => {
                file.write_all(html_begin(title).as_bytes())
                    .map_err(failed)?;
                Form::Html(file)
            }
            Format::Parquet => Form::Parquet(Box::new(
                TableWriter::new(file).map_err(|error| failed(std::io::Error::other(error)))?,
            )),
        };
        Ok(ExportWriter(form))
    }

    pub fn push(&mut self, sub_account: &str, dt: &str, row: Row) -> std::io::Result<()> {
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
            Form::Html(file) => file.write_all(html_row(&row).as_bytes()),
            Form::Parquet(table) => table
                .push(sub_account, dt, row)
                .map_err(std::io::Error::other),
        }
    }

    pub fn finish(self) -> std::io::Result<()> {
        match self.0 {
            Form::Csv(mut csv) => csv.flush(),
            Form::JsonLines(mut file) => file.flush(),
            Form::Html(mut file) => {
                file.write_all(HTML_END.as_bytes())?;
                file.flush()
            }
            Form::Parquet(table) => table.finish().map_err(std::io::Error::other)?.flush(),
        }
    }
}

/// All columns, nulls too, so that every line has the same members.
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

fn html_begin(title: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>\
         :root{{color-scheme:light dark}}body{{font:15px/1.45 system-ui,sans-serif;margin:2rem}}\
         table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;vertical-align:top;padding:.5rem;\
         border-bottom:1px solid #8884}}td{{overflow-wrap:anywhere}}.text{{white-space:pre-wrap}}\
         .none{{opacity:.6;font-style:italic}}</style></head><body><h1>{title}</h1><table><thead><tr>\
         <th>Segment end</th><th>Segment</th><th>Channel</th><th>Agent</th><th>Agent's summary</th>\
         <th>AI's summary</th></tr></thead><tbody>\n",
        title = escaped(title)
    )
}

fn html_row(row: &Row) -> String {
    let metadata = &row.segment.metadata;
    let text = |value: &Option<String>| escaped(value.as_deref().unwrap_or_default());
    let summary = |kind: SummaryKind| {
        let look = row.observation(kind);
        match (&look.summary, look.status) {
            (Some(text), Status::Present) => {
                format!("<div class=\"text\" dir=\"auto\">{}</div>", escaped(text))
            }
            (_, status) => format!("<span class=\"none\">{}</span>", status.name()),
        }
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td>{} {}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        metadata.segment_end_time.map(rfc3339).unwrap_or_default(),
        escaped(&row.segment.key()),
        text(&metadata.channel_class),
        text(&metadata.channel_type),
        text(&metadata.segment_participant_id),
        summary(SummaryKind::Agent),
        summary(SummaryKind::Auto),
    )
}

/// Somebody else's text inside a page.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Neither HTML nor XML can carry these.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
