//! `cxvault hold`: legal holds on days, each for a case.
//!
//! A day is held while at least one case holds it. The record in the chain says for which case, why and by whom; the legal hold
//! of the store protects the objects. A store without legal holds only has the record, which every report says in capitals.
//!
//! `hold add` and `hold remove` append a signed record to the chain of each sub-account, and then set or clear the legal hold of
//! every object of the days (S3 API, PutObjectLegalHold). S3 knows only whether an object is held, not for which case, so a
//! removal clears the hold of an object only if no other case of the chain holds its day. New revisions of a held day are stored
//! with the hold from the beginning.
//!
//! | killed | state | repaired by |
//! |---|---|---|
//! | before the record | nothing has changed | the same command |
//! | after the record of an addition | some objects lack their hold; `hold list` and `verify` report them | the same command |
//! | after the record of a removal | some objects are still held, for no open case | the same command |
//!
//! `hold list` only reads: it compares the cases of the chains with the holds that the store reports.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::chain::notes::hold::{add, remove};
use crate::chain::{
    Archive, HoldOutcome, HoldRequest, Mode, StandingObligations, Timeline, obligations,
};
use crate::cli::records::{HoldArgs, HoldCommand, HoldListArgs, RecordArgs};
use crate::command::archive::{self, head_of, print_record, record_each, unless_new, would_be};
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::{DateSpan, DayState, Hold, HoldAct};
use crate::format::time::Instant;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, Output, count, grouped, printable};

/// Number of objects whose hold is read concurrently. Each takes one request.
const AT_ONCE: usize = 16;

/// Runs one of the subcommands `list`, `add` and `remove`.
///
/// # Errors
/// If a range, a sub-account or the archive cannot be used.
pub(crate) async fn run(args: &HoldArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    match &args.command {
        HoldCommand::List(args) => list(args, settings, context).await,
        HoldCommand::Add(args) => {
            let request = request(&args.case, Some(args.range.span()?), &args.record);
            let mode = Mode::of(args.record.dry_run);
            change(HoldAct::Add, &request, mode, settings, context).await
        }
        HoldCommand::Remove(args) => {
            let request = request(&args.case, args.range.span()?, &args.record);
            let mode = Mode::of(args.record.dry_run);
            change(HoldAct::Remove, &request, mode, settings, context).await
        }
    }
}

/// Returns what is to be held or released. Without a range all days of the case are meant.
fn request(case: &str, range: Option<DateSpan>, record: &RecordArgs) -> HoldRequest {
    HoldRequest {
        case: case.to_owned(),
        range,
        reason: record.reason.clone(),
        by: record.by.clone(),
    }
}

/// Adds or removes a hold in all named sub-accounts. A failure in one of them is printed, and the others still get the hold.
async fn change(
    act: HoldAct,
    request: &HoldRequest,
    mode: Mode,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let archive = archive::open(settings, mode, context).await?;
    let mut sub_accounts = inspect::sub_accounts(&archive, context).await?;
    // A case is usually open in a few of many sub-accounts; in the others there is nothing to remove.
    if act == HoldAct::Remove && context.sub_accounts.is_empty() {
        sub_accounts = with_case(&archive, sub_accounts, &request.case).await?;
    }
    let exit = record_each(
        &archive,
        &sub_accounts,
        mode,
        context,
        async |sub_account| {
            let held = match act {
                HoldAct::Add => add(&archive, sub_account, request, mode).await?,
                HoldAct::Remove => remove(&archive, sub_account, request, mode).await?,
            };
            let report = HoldReport {
                sub_account,
                act,
                request,
                mode,
                held,
            };
            report.print(&archive.store.root(), context);
            Ok(())
        },
    );
    Ok(exit.await)
}

/// Returns the sub-accounts in which the case was ever opened.
///
/// Closed cases count as well, so that the removal can be repeated until every object is released.
///
/// # Errors
/// `Exit::Usage` if no chain knows the case: it is probably misspelt.
async fn with_case(source: &Archive, sub_accounts: Vec<String>, case: &str) -> Result<Vec<String>> {
    let mut with_case = Vec::new();
    for sub_account in sub_accounts {
        if obligations::read(source, &sub_account)
            .await?
            .orders
            .knows(case)
        {
            with_case.push(sub_account);
        }
    }
    if with_case.is_empty() {
        return Err(
            Failure::usage(format!("nothing was ever held for case {case}"))
                .remedy("`cxvault hold list` shows all cases and their days."),
        );
    }
    Ok(with_case)
}

/// What [`change`] did in one sub-account, or with [`Mode::DryRun`] would be done.
struct HoldReport<'a> {
    sub_account: &'a str,
    act: HoldAct,
    request: &'a HoldRequest,
    mode: Mode,
    held: HoldOutcome,
}

impl HoldReport<'_> {
    /// Prints the result, writes the event, and warns if no store enforces the hold.
    fn print(&self, store: &str, context: &Context) {
        let (sub_account, held) = (self.sub_account, &self.held);
        let case = self.request.case.as_str();
        if !held.enforced && self.mode == Mode::Act {
            tracing::warn!(
                sub_account,
                case,
                "This hold is not enforced: {store} is not a bucket with Object Lock. The hold is only recorded in the chain; \
                 users with permission to delete can still delete the objects."
            );
        }
        let mut lines = vec![self.line()];
        lines.extend(disposed(held));
        let event = Event::new("hold")
            .with("sub_account", sub_account)
            .with("act", self.act)
            .with("case", case)
            .with("range", self.request.range)
            .with("enforced", held.enforced)
            .with("records", held.records)
            .with("objects", held.objects)
            .with("changed", held.changed)
            .with("held_by_others", held.held_by_others)
            .with("days_disposed", held.days_disposed)
            .with("files_gone", held.files_gone);
        let head = head_of(held.head.as_ref(), sub_account);
        print_record(event, lines, head, self.mode, context);
    }

    /// Returns the result in one line. Whether the store enforces the hold comes first in importance, so it is in capitals if
    /// it does not.
    fn line(&self) -> String {
        let held = &self.held;
        let [objects, changed, others] =
            [held.objects, held.changed, held.held_by_others].map(grouped);
        let would = would_be(self.mode);
        let range = self
            .request
            .range
            .map(|range| format!(" {range}"))
            .unwrap_or_default();
        let done = match (self.act, held.enforced) {
            (_, false) => {
                format!("{would}recorded, NOT ENFORCED: this store has no legal holds")
            }
            (HoldAct::Add, true) => {
                format!("{objects} objects {would}held, {changed} of them now")
            }
            (HoldAct::Remove, true) => {
                format!("{changed} objects {would}released, {others} stay held for other cases")
            }
        };
        format!(
            "{} case {}{range}: {done}{}",
            self.sub_account,
            self.request.case,
            unless_new(held.records)
        )
    }
}

/// Returns a line about held days that were disposed of, whose files may not exist any more.
fn disposed(held: &HoldOutcome) -> Option<String> {
    let gone = match held.enforced {
        true => format!("{} of their files are gone", grouped(held.files_gone)),
        false => "their files may be gone".to_owned(),
    };
    (held.days_disposed > 0).then(|| {
        let days = count(held.days_disposed, "day");
        format!("  disposed of after their retention: {days}; {gone}; their audit records stay")
    })
}

/// A case in one sub-account, as the event `case` shows it. The fields are the event's members, in this order.
#[derive(Serialize)]
struct HeldCase<'a> {
    sub_account: &'a str,
    case: &'a str,
    /// Ranges of held days; empty if the case is closed.
    open: Vec<DateSpan>,
    /// Whether the records say that the store enforces the hold on all of these days.
    enforced: bool,
    /// Number of objects of these days.
    objects: u64,
    /// Number of these objects that the store reports as held.
    held: u64,
    records: Vec<HoldRecord<'a>>,
}

/// A record of a case: an addition or a removal, with its reason and its author.
#[derive(Serialize)]
struct HoldRecord<'a> {
    manifest: &'a str,
    committed_at: Instant,
    host: &'a str,
    #[serde(flatten)]
    hold: &'a Hold,
}

/// Lists the cases of all named sub-accounts, open and closed, with all their records.
///
/// # Errors
/// Errors of the store, and a chain that is damaged. Objects without their hold are no error: they are in the exit code.
async fn list(args: &HoldListArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let source = inspect::open(settings, None, context).await?;
    let mut exits = Vec::new();
    let mut cases = 0;
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let standing = obligations::read(&source, &sub_account).await?;
        for name in standing.orders.cases() {
            if args.case.as_deref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            let case = case(&source, &sub_account, &standing, name).await?;
            cases += 1;
            exits.push(print_case(&case, &source, &context.output));
        }
    }
    if cases == 0 {
        context
            .output
            .print_info("there is no case, and there never was one");
    }
    Ok(Exit::worst(exits))
}

/// Reads a case of a sub-account, and asks the store about each object of its days.
async fn case<'a>(
    source: &Archive,
    sub_account: &'a str,
    standing: &'a StandingObligations,
    name: &'a str,
) -> Result<HeldCase<'a>> {
    let open = standing.orders.open_ranges(name, None);
    let (mut objects, mut held) = (0, 0);
    for range in &open {
        let (all, carrying) = count_held(source, sub_account, *range).await?;
        objects += all;
        held += carrying;
    }
    let records = standing
        .holds
        .iter()
        .filter(|(_, _, hold)| hold.case == name)
        .map(|(manifest, run, hold)| HoldRecord {
            manifest,
            committed_at: run.finished_at,
            host: &run.host,
            hold,
        });
    Ok(HeldCase {
        sub_account,
        case: name,
        enforced: standing.orders.open_ranges(name, Some(false)).is_empty(),
        open,
        objects,
        held,
        records: records.collect(),
    })
}

/// Returns the number of objects of these days, and how many of them the store reports as held.
///
/// The files of days that were disposed of count only while they are there. A file of another day that is missing counts as an
/// object without a hold; `cxvault verify` reports it as missing.
async fn count_held(source: &Archive, sub_account: &str, range: DateSpan) -> Result<(u64, u64)> {
    let timeline = Timeline::read(source, sub_account, &range.days()).await?;
    let objects = timeline.revisions.iter().flat_map(|revision| {
        // The files of a day that was disposed of may have been deleted.
        let may_be_gone = timeline.coverage.state(revision.record.date) == DayState::Disposed;
        let parts = revision
            .record
            .files
            .iter()
            .map(move |file| (file.key.clone(), may_be_gone));
        parts.chain([(revision.manifest.key.clone(), false)])
    });
    let objects: Vec<(String, bool)> = objects.collect();
    let stats: Vec<Option<bool>> = stream::iter(objects)
        .map(|(object, may_be_gone)| async move {
            source.check_stop()?;
            let stat = source.store.stat(&object).await?;
            let counts = stat.is_some() || !may_be_gone;
            Ok::<_, Failure>(counts.then(|| stat.is_some_and(|stat| stat.legal_hold)))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let stats: Vec<bool> = stats.into_iter().flatten().collect();
    Ok((
        stats.len() as u64,
        stats.iter().filter(|held| **held).count() as u64,
    ))
}

/// Prints a case. The exit code is [`Exit::Integrity`] if objects lack a hold that the store should enforce.
fn print_case(case: &HeldCase<'_>, source: &Archive, output: &Output) -> Exit {
    output.event(Event::new("case").merge(case));
    let ranges = case
        .open
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let folder = source.store.local(key::ARCHIVE).is_some();
    let lacking = case.objects - case.held;
    let state = match (case.open.is_empty(), case.enforced && !folder, lacking) {
        (true, _, _) => "closed".to_owned(),
        (_, false, _) => format!("open on {ranges}; NOT ENFORCED by this store"),
        (_, _, 0) => {
            format!("open on {ranges}; held: {}", count(case.objects, "object"))
        }
        (_, _, lacking) => format!(
            "open on {ranges}; {} of {} WITHOUT the hold: repeat `cxvault hold add` for these days",
            grouped(lacking),
            count(case.objects, "object")
        ),
    };
    let mut lines = vec![format!(
        "{} case {}: {state}",
        case.sub_account,
        printable(case.case)
    )];
    for HoldRecord {
        committed_at,
        host,
        hold,
        ..
    } in &case.records
    {
        let act = if hold.act == HoldAct::Add {
            "added"
        } else {
            "removed"
        };
        let by = hold.by.as_deref().unwrap_or(host);
        let (by, reason) = (printable(by), printable(&hold.reason));
        lines.push(format!(
            "  {committed_at}  {act} {}  by {by}: {reason}",
            hold.range
        ));
    }
    output.print(lines.join("\n"));
    // A folder cannot hold objects: the archive in it is a copy, and the record is all that it has.
    let lacks = !case.open.is_empty() && case.enforced && !folder && lacking > 0;
    if lacks { Exit::Integrity } else { Exit::Done }
}
