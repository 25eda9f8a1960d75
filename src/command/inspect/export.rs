//! `cxvault export`: a range of days, or what is new, in forms that people and other systems take.
//!
//! The order of the steps makes an interruption visible: the manifests and the data of each sub-account are written first,
//! then `export.json`, and SHA256SUMS last. A folder without SHA256SUMS is incomplete.
//!
//! With `--after` a second system can follow the archive: `export.json` names the values of `--after` with which the
//! next export contains exactly the rows that were committed in between.
//!
//! Parts are read one after the other and compared with the SHA-256 in their manifest before a row of them is used. Days
//! that were disposed of are left out and listed in `export.json`, even if their files are still in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template as _;
use jiff::civil::Date;
use serde::Serialize;

use crate::audit::current::rows;
use crate::audit::export::{ExportWriter, HtmlIndex};
use crate::audit::pack::{Pack, unwritable};
use crate::audit::scratch::Scratch;
use crate::chain::{Archive, CommittedRevision, OmittedDays, Timeline, inventory};
use crate::cli::audit::ExportArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::place::key;
use crate::format::time::Days;
use crate::format::time::day::rfc3339;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, count};

/// Writes a range of days, or what was committed after a manifest, into a new folder.
///
/// The folder also receives the manifests, `export.json` and SHA256SUMS. A folder that was left by an interrupted export
/// has no SHA256SUMS, and the next export refuses it because it is not empty.
///
/// # Errors
/// [`Exit::Usage`] for a folder that cannot be used; [`Exit::Integrity`] for a damaged chain or part.
pub(crate) async fn run(args: &ExportArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = args.range.days()?;
    let source = inspect::open(settings, None, context).await?;
    let mut pack = Pack::begin(&args.out)?;
    let mut about = ExportAbout::new(args, &range, &source);
    pack.add_object(&source, key::ARCHIVE, key::ARCHIVE, None)
        .await?;
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let mut timeline = timeline(&source, &sub_account, args, &range).await?;
        for left_out in timeline.leave_out_disposed() {
            inspect::print_left_out(&left_out, &context.output);
            about.left_out.push(left_out);
        }
        for revision in &timeline.revisions {
            let CommittedRevision { manifest, .. } = revision;
            pack.add_object(&source, &manifest.key, &manifest.key, Some(manifest.sha256))
                .await?;
        }
        let written = export(&source, &timeline, args, &mut pack).await?;
        about.rows += written.rows;
        about.files.extend(written.files);
        about.heads.push(timeline.head_ref().to_string());
        about
            .next
            .push(format!("{sub_account}={}", timeline.head.0));
    }
    // The newest record of the roster names the heads of all chains, so it ties the exported chains together.
    if let Some(roster) = inventory::read(&source).await? {
        pack.add_object(
            &source,
            &roster.link.key,
            &roster.link.key,
            Some(roster.link.sha256),
        )
        .await?;
        about.heads.push(roster.head);
    }
    if about.format == "html" {
        let index = HtmlIndex {
            files: &about.files,
        };
        let index = index
            .render()
            .map_err(|error| Failure::unexpected("cannot make index.html").because(error))?;
        pack.add_bytes("index.html", index.as_bytes())?;
    }
    // Written after all data, because it states their number.
    let text = serde_json::to_vec_pretty(&about)
        .map_err(|error| Failure::unexpected("cannot write export.json").because(error))?;
    pack.add_bytes("export.json", &text)?;
    let files = pack.finish()?.files;
    print_summary(&about, files, args, context);
    Ok(Exit::Done)
}

/// Reads the days of the range, or with `--after` those that were committed after the given manifest.
///
/// If a sub-account has several `--after`, the last one counts; if it has none, all its days are new.
async fn timeline(
    source: &Archive,
    sub_account: &str,
    args: &ExportArgs,
    range: &Days,
) -> Result<Timeline> {
    if args.after.is_empty() {
        return Timeline::read(source, sub_account, range).await;
    }
    let after = args
        .after
        .iter()
        .rev()
        .find(|after| after.sub_account == sub_account);
    let sequence = after.map_or(0, |after| after.sequence);
    Timeline::read_after(source, sub_account, sequence).await
}

/// The file `export.json` and the event `exported`: what was exported, and where the next export continues.
#[derive(Serialize)]
struct ExportAbout {
    event: &'static str,
    archive: String,
    archive_id: String,
    exported_at: String,
    format: &'static str,
    revisions: &'static str,
    /// `from..to`, excluding the end; a bound that is not given is empty.
    days: String,
    rows: u64,
    /// Days that were disposed of, and are not in the data.
    left_out: Vec<OmittedDays>,
    files: Vec<String>,
    heads: Vec<String>,
    /// Values of `--after` with which the next export contains only later rows.
    next: Vec<String>,
}

impl ExportAbout {
    /// Returns the description of an export without any data yet.
    fn new(args: &ExportArgs, range: &Days, source: &Archive) -> ExportAbout {
        ExportAbout {
            event: "exported",
            archive: source.store.root(),
            archive_id: source.record.archive_id.clone(),
            exported_at: rfc3339(SystemClock.now_ms()),
            format: args.format.name(),
            revisions: args.revisions.name(),
            days: range.to_string(),
            rows: 0,
            left_out: Vec::new(),
            files: Vec::new(),
            heads: Vec::new(),
            next: Vec::new(),
        }
    }
}

/// What was exported of one sub-account.
#[derive(Default)]
struct ExportedRows {
    rows: u64,
    files: Vec<String>,
}

/// The data of one sub-account, file by file: days come in order, so only one file is open.
async fn export(
    source: &Archive,
    timeline: &Timeline,
    args: &ExportArgs,
    pack: &mut Pack,
) -> Result<ExportedRows> {
    let scratch = Scratch::new()?;
    let mut by_file: BTreeMap<String, Vec<(Date, Vec<CommittedRevision>)>> = BTreeMap::new();
    for revisions in timeline.by_day() {
        let Some(date) = revisions.first().map(|revision| revision.record.date) else {
            continue;
        };
        let file = args.format.file_of(&timeline.sub_account, date);
        by_file
            .entry(file)
            .or_default()
            .push((date, revisions.to_vec()));
    }
    let mut written = ExportedRows::default();
    for (name, days) in by_file {
        let path = pack.path(&name)?;
        let title = format!(
            "{} {}",
            timeline.sub_account,
            days.first()
                .map(|(date, _)| date.to_string())
                .unwrap_or_default()
        );
        // Rows are pushed by a thread that may block, so the writer is shared with it.
        let writer = Arc::new(Mutex::new((
            ExportWriter::create(args.format, &path, &title)?,
            0_u64,
        )));
        for (date, revisions) in &days {
            let (to, path, sub_account, dt) = (
                writer.clone(),
                path.clone(),
                timeline.sub_account.clone(),
                date.to_string(),
            );
            rows(source, &scratch, revisions, args.revisions, move |row| {
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                to.1 += 1;
                to.0.push(&sub_account, &dt, row)
                    .map_err(|error| unwritable(&path, error))
            })
            .await?;
        }
        let (writer, count) = Arc::into_inner(writer)
            .ok_or_else(|| Failure::unexpected("a writer is still at work").remedy("Report this."))?
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        writer.finish().map_err(|error| unwritable(&path, error))?;
        pack.add_written(&name).await?;
        written.rows += count;
        written.files.push(name);
    }
    Ok(written)
}

/// Prints what was exported, and the arguments with which the next export continues.
fn print_summary(about: &ExportAbout, files: u64, args: &ExportArgs, context: &Context) {
    context.output.event(Event::of(about));
    let out = args.out.display();
    let new = if about.rows == 0 {
        "nothing to export"
    } else {
        "exported"
    };
    let next: Vec<String> = about
        .next
        .iter()
        .map(|next| format!("--after {next}"))
        .collect();
    context.output.print_info(format!(
        "{new}: {} as {} in {out} ({}; check: cd {out} && sha256sum -c SHA256SUMS)\nTo export only later rows: {}",
        count(about.rows, "row"),
        about.format,
        count(files, "file"),
        next.join(" "),
    ));
}
