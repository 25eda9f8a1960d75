//! `cxvault ls`: archived days and their files, or the segments of a day.
//!
//! Days and files come from the manifests; only `--date` reads parts, and only those of that day.
//!
//! Without `--date` the output is an index of the archive: for each revision the key of its manifest and of its files, with
//! lengths and hashes in the events, so that a script can fetch and check them without this program. Days that were disposed of
//! keep their manifests and are listed. The command writes nothing.

use crate::audit::calendar::Calendar;
use crate::audit::current::{RowSelection, rows};
use crate::audit::scratch::Scratch;
use crate::chain::{Archive, Timeline};
use crate::cli::audit::LsArgs;
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::row::Row;
use crate::format::time::Days;
use crate::format::time::day::rfc3339;
use crate::outcome::{Exit, Result};
use crate::render::{Event, Output, Table, grouped, printable, size};

/// Lists the days of a range, or the segments of one day.
///
/// # Errors
/// [`Exit::Usage`] for an empty range; [`Exit::Integrity`] for a damaged chain or part; the store's errors.
pub(crate) async fn run(args: &LsArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    // `--date` is a range of one day; the day after it is not part of the range.
    let range = match args.date {
        Some(date) => Days {
            from: Some(date),
            to: date.tomorrow().ok(),
        },
        None => args.range.days()?,
    };
    let source = inspect::open(settings, None, context).await?;
    for sub_account in inspect::sub_accounts(&source, context).await? {
        if args.date.is_some() {
            let (timeline, _) =
                inspect::readable(&source, &sub_account, &range, &context.output).await?;
            print_segments(&source, &timeline, &context.output).await?;
        } else {
            let timeline = Timeline::read(&source, &sub_account, &range).await?;
            print_days(&timeline, &range, &context.output);
        }
    }
    if args.date.is_none() {
        inspect::roster::print_roster(&source, &context.output).await?;
    }
    Ok(Exit::Done)
}

/// Prints one event for each revision, and a table of the days.
fn print_days(timeline: &Timeline, range: &Days, output: &Output) {
    for revision in &timeline.revisions {
        output.event(
            Event::new("revision")
                .with("sub_account", &timeline.sub_account)
                .with("date", revision.record.date)
                .with("revision", revision.record.revision)
                .with("manifest", &revision.manifest.key)
                .with("committed_at", revision.run.finished_at)
                .with("run", &revision.run.id)
                .with("files", &revision.record.files),
        );
    }
    let calendar = Calendar::of(timeline, range);
    let mut table =
        Table::new("sub-account | day | revisions | segments | unanswered | files | size | state");
    for day in calendar.days.iter().filter(|day| day.revisions > 0) {
        table.row([
            timeline.sub_account.clone(),
            day.date.to_string(),
            day.revisions.to_string(),
            grouped(day.counts.segments),
            grouped(day.counts.failed()),
            grouped(day.files),
            size(day.bytes),
            format!("{:?}", day.state).to_lowercase(),
        ]);
    }
    output.print(format!("{table}\n"));
    // The manifests of disposed days are listed above nevertheless, because they remain in the archive.
    timeline
        .disposed()
        .iter()
        .for_each(|days| inspect::print_left_out(days, output));
}

/// Prints the segments row by row while the parts are read: a day may have 100,000 segments.
async fn print_segments(source: &Archive, timeline: &Timeline, output: &Output) -> Result<()> {
    let scratch = Scratch::new()?;
    for revisions in timeline.by_day() {
        let (output, sub_account) = (output.clone(), timeline.sub_account.clone());
        rows(
            source,
            &scratch,
            revisions,
            RowSelection::Current,
            move |row| {
                print_row(&row, &sub_account, &output);
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

/// Prints the current row of one segment, as a line and as the event `segment`. The texts of the summaries are not shown; that
/// is what `cxvault show` is for.
fn print_row(row: &Row, sub_account: &str, output: &Output) {
    let metadata = &row.segment.metadata;
    let end = metadata.segment_end_time.map(rfc3339);
    output.print(format!(
        "{:<24}  {:<40}  {:<8} {:<18} agent {:<9} auto {}",
        end.clone().unwrap_or_default(),
        printable(&row.segment.key()),
        inspect::shown(&metadata.channel_class),
        inspect::shown(&metadata.channel_type),
        row.agent.status.name(),
        row.auto.status.name(),
    ));
    output.event(
        Event::new("segment")
            .with("sub_account", sub_account)
            .with("segment_id", &metadata.segment_id)
            .with("segment_end_time", end)
            .with("channel_class", &metadata.channel_class)
            .with("channel_type", &metadata.channel_type)
            .with("segment_type", &metadata.segment_type)
            .with("segment_agent_group_id", &metadata.segment_agent_group_id)
            .with("segment_participant_id", &metadata.segment_participant_id)
            .with("agent_status", row.agent.status.name())
            .with("auto_status", row.auto.status.name())
            .with("revision", row.revision),
    );
}
