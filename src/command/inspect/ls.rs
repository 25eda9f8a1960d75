//! `cxvault ls`: archived days and their files, or the segments of a day.

use jiff::civil::Date;
use serde::Serialize;

use crate::audit::calendar::Calendar;
use crate::audit::current::{RowSelection, rows};
use crate::audit::scratch::Scratch;
use crate::chain::archive::Archive;
use crate::chain::timeline::Timeline;
use crate::cli::audit::LsArgs;
use crate::command::Context;
use crate::config::Settings;
use crate::format::row::Row;
use crate::format::time::day::rfc3339;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Result};
use crate::render::{Output, Table, grouped, printable, size};

pub async fn run(args: &LsArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = match args.date {
        Some(date) => Days {
            from: Some(date),
            to: date.tomorrow().ok(),
        },
        None => args.range.days()?,
    };
    let source = crate::command::inspect::open(settings, None, context).await?;
    for sub_account in crate::command::inspect::sub_accounts(&source, context).await? {
        if args.date.is_some() {
            let (timeline, _) =
                crate::command::inspect::readable(&source, &sub_account, &range, &context.output)
                    .await?;
            segments(&source, &timeline, &context.output).await?;
        } else {
            let timeline = Timeline::read(&source, &sub_account, &range).await?;
            days(&timeline, &range, &context.output);
        }
    }
    if args.date.is_none() {
        crate::command::inspect::roster::tell(&source, &context.output).await?;
    }
    Ok(Exit::Done)
}

fn days(timeline: &Timeline, range: &Days, output: &Output) {
    #[derive(Serialize)]
    struct ListedRevisionEvent<'a> {
        event: &'static str,
        sub_account: &'a str,
        date: Date,
        revision: u32,
        manifest: &'a str,
        committed_at: String,
        run: &'a str,
        files: &'a [crate::format::record::manifest::File],
    }
    for revision in &timeline.revisions {
        output.event(&ListedRevisionEvent {
            event: "revision",
            sub_account: &timeline.sub_account,
            date: revision.record.date,
            revision: revision.record.revision,
            manifest: &revision.manifest.key,
            committed_at: rfc3339(revision.run.finished_at),
            run: &revision.run.id,
            files: &revision.record.files,
        });
    }
    let calendar = Calendar::of(timeline, range);
    let mut table = Table::new([
        "sub-account",
        "day",
        "revisions",
        "segments",
        "without answer",
        "files",
        "size",
        "state",
    ]);
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
    // Their manifests are listed above all the same: those stay.
    timeline
        .disposed()
        .iter()
        .for_each(|one| crate::command::inspect::tell_left_out(one, output));
}

/// Streams: a day may have a hundred thousand segments.
async fn segments(source: &Archive, timeline: &Timeline, output: &Output) -> Result<()> {
    let scratch = Scratch::new()?;
    for revisions in timeline.by_day() {
        let (output, sub_account) = (output.clone(), timeline.sub_account.clone());
        let each = move |row: Row| {
            tell(&row, &sub_account, &output);
            Ok(())
        };
        rows(source, &scratch, revisions, RowSelection::Current, each).await?;
    }
    Ok(())
}

fn tell(row: &Row, sub_account: &str, output: &Output) {
    #[derive(Serialize)]
    struct ListedRowEvent<'a> {
        event: &'static str,
        sub_account: &'a str,
        segment_id: &'a Option<String>,
        segment_end_time: Option<String>,
        channel_class: &'a Option<String>,
        channel_type: &'a Option<String>,
        segment_type: &'a Option<String>,
        segment_agent_group_id: &'a Option<String>,
        segment_participant_id: &'a Option<String>,
        agent_status: &'static str,
        auto_status: &'static str,
        revision: u32,
    }
    let metadata = &row.segment.metadata;
    let end = metadata.segment_end_time.map(rfc3339);
    let shown = |value: &Option<String>| value.as_deref().map(printable).unwrap_or_default();
    output.print(format!(
        "{:<24}  {:<40}  {:<8} {:<18} agent {:<9} auto {}",
        end.clone().unwrap_or_default(),
        printable(&row.segment.key()),
        shown(&metadata.channel_class),
        shown(&metadata.channel_type),
        row.agent.status.name(),
        row.auto.status.name(),
    ));
    output.event(&ListedRowEvent {
        event: "segment",
        sub_account,
        segment_id: &metadata.segment_id,
        segment_end_time: end,
        channel_class: &metadata.channel_class,
        channel_type: &metadata.channel_type,
        segment_type: &metadata.segment_type,
        segment_agent_group_id: &metadata.segment_agent_group_id,
        segment_participant_id: &metadata.segment_participant_id,
        agent_status: row.agent.status.name(),
        auto_status: row.auto.status.name(),
        revision: row.revision,
    });
}
