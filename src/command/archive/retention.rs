//! `cxvault retention`: shows how long days are locked, and extends their locks.
//!
//! The chain records how long each day must be locked: the lock of its manifests, and later extensions. The store reports how
//! long each object is locked. `show` compares the two; an object whose lock is shorter is a finding.
//!
//! `extend` appends a signed record to the chain of each sub-account, and then raises the lock of every object of the days whose
//! lock ends earlier (S3 API, PutObjectRetention). A lock is never shortened: S3 refuses that in compliance mode, and this
//! program never tries it. The record comes first, so that a command that is killed in between leaves objects whose lock is
//! shorter than the chain requires, which `show` and `verify` report and the same command completes.
//!
//! `dispose` is in [`disposal`].

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use serde::Serialize;

use crate::chain::notes::retention::extend;
use crate::chain::{
    Archive, CommittedRevision, ExtensionOutcome, ExtensionRequest, Mode, obligations,
};
use crate::cli::records::{RetentionArgs, RetentionCommand, RetentionExtendArgs};
use crate::command::archive::{
    self, disposal, head_of, print_record, record_each, unless_new, would_be,
};
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::{Lock, LockMode, Obligations};
use crate::format::time::Days;
use crate::format::time::day::rfc3339;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, Table, count, grouped};

/// Number of days that are read concurrently. Each takes one request for each object of the day.
const AT_ONCE: usize = 16;

/// Runs the command.
///
/// # Errors
/// If a range, a sub-account or the archive cannot be used.
pub(crate) async fn run(
    args: &RetentionArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    match &args.command {
        None => show(&args.range.days()?, settings, context).await,
        Some(RetentionCommand::Show(args)) => show(&args.range.days()?, settings, context).await,
        Some(RetentionCommand::Extend(args)) => extend_retention(args, settings, context).await,
        Some(RetentionCommand::Dispose(args)) => disposal::run(args, settings, context).await,
    }
}

/// Extends the retention of days. Failures of single sub-accounts are printed, and decide the exit code.
///
/// # Errors
/// If the range, the end of the retention or the archive cannot be used.
async fn extend_retention(
    args: &RetentionExtendArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let request = ExtensionRequest {
        range: args.range.span()?,
        until_ms: args.until_ms()?,
        reason: args.reason.clone(),
        by: args.by.clone(),
    };
    let mode = Mode::of(args.dry_run);
    let archive = archive::open(settings, mode, context).await?;
    let sub_accounts = inspect::sub_accounts(&archive, context).await?;
    let exit = record_each(
        &archive,
        &sub_accounts,
        mode,
        context,
        async |sub_account| {
            let extended = extend(&archive, sub_account, &request, mode).await?;
            print_extension(sub_account, &request, &extended, mode, context);
            Ok(())
        },
    );
    Ok(exit.await)
}

/// Prints what was extended in a sub-account, and writes the event `retention-extended`.
fn print_extension(
    sub_account: &str,
    request: &ExtensionRequest,
    extended: &ExtensionOutcome,
    mode: Mode,
    context: &Context,
) {
    let until = rfc3339(request.until_ms);
    let would_be = would_be(mode);
    let mut lines = vec![format!(
        "{sub_account} {}: {} {would_be}retained until {until}, {}, {} {would_be}extended{}",
        request.range,
        count(extended.days.len() as u64, "day"),
        count(extended.objects, "object"),
        count(extended.raised, "lock"),
        unless_new(extended.records)
    )];
    if extended.days_disposed > 0 {
        lines.push(format!(
            "  disposed of, and not changed: {}",
            count(extended.days_disposed, "day")
        ));
    }
    let event = Event::new("retention-extended")
        .with("sub_account", sub_account)
        .with("days", &extended.days)
        .with("retain_until", until)
        .with("records", extended.records)
        .with("objects", extended.objects)
        .with("raised", extended.raised)
        .with("days_disposed", extended.days_disposed);
    let head = head_of(extended.head.as_ref(), sub_account);
    print_record(event, lines, head, mode, context);
}

/// A lock in an event: its mode, and its end as RFC 3339.
#[derive(Debug, Serialize)]
struct RetentionView {
    mode: LockMode,
    retain_until: String,
}

impl RetentionView {
    fn of(lock: Lock) -> RetentionView {
        RetentionView {
            mode: lock.mode,
            retain_until: rfc3339(lock.until_ms),
        }
    }
}

/// The locks of one day: those that the chain requires, and those that the store has.
#[derive(Debug, Serialize)]
struct RetentionDay<'a> {
    sub_account: &'a str,
    date: Date,
    /// The weakest required lock of its revisions, later records included; `None` if one of them requires no lock.
    recorded: Option<RetentionView>,
    /// The weakest lock of its objects; `None` if one of them has no lock.
    found: Option<RetentionView>,
    /// Number of its objects.
    objects: u64,
    /// Number of objects whose lock is shorter or weaker than recorded.
    short: u64,
    /// Number of objects under legal hold.
    held: u64,
}

/// Shows the locks of days, and returns [`Exit::Integrity`] if the store locks an object for a shorter time than the chain
/// requires.
///
/// # Errors
/// A chain that is damaged, an object that is missing, and errors of the store.
async fn show(range: &Days, settings: &Settings, context: &Context) -> Result<Exit> {
    let source = inspect::open(settings, None, context).await?;
    let mut table = Table::new(
        "sub-account | day | mode | retained until | in the store | objects | short | held",
    );
    let mut short = 0;
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let (timeline, _) =
            inspect::readable(&source, &sub_account, range, &context.output).await?;
        let orders = obligations::read(&source, &sub_account).await?.orders;
        let days = timeline
            .by_day()
            .map(|revisions| day(&source, &sub_account, revisions, &orders));
        let days: Vec<RetentionDay<'_>> =
            stream::iter(days).buffered(AT_ONCE).try_collect().await?;
        for day in days {
            context.output.event(Event::new("retention").merge(&day));
            short += day.short;
            table.row(row(&day));
        }
    }
    context.output.print(table);
    // A folder has no locks: the archive in it is a copy.
    if short == 0 || source.store.local(key::ARCHIVE).is_some() {
        return Ok(Exit::Done);
    }
    context.output.print_info(format!(
        "{} with a shorter lock than the chain requires: repeat an interrupted `cxvault retention extend`, or find \
         out how their locks were shortened",
        count(short, "object")
    ));
    Ok(Exit::Integrity)
}

/// Returns the row of a day in the table.
fn row(day: &RetentionDay<'_>) -> [String; 8] {
    let mode = day
        .recorded
        .as_ref()
        .map(|lock| format!("{:?}", lock.mode).to_lowercase());
    let [recorded, found] = [&day.recorded, &day.found].map(|lock| {
        lock.as_ref()
            .map_or("no lock".to_owned(), |lock| lock.retain_until.clone())
    });
    [
        day.sub_account.to_owned(),
        day.date.to_string(),
        mode.unwrap_or_default(),
        recorded,
        found,
        grouped(day.objects),
        grouped(day.short),
        grouped(day.held),
    ]
}

/// Reads the locks of the objects of a day: of each revision's files, and of its manifest.
///
/// What is required is the lock that the manifest itself states, or a stronger one by a later extension.
///
/// # Errors
/// `Exit::Integrity` for an object that is missing; errors of the store.
async fn day<'a>(
    source: &Archive,
    sub_account: &'a str,
    revisions: &[CommittedRevision],
    orders: &Obligations,
) -> Result<RetentionDay<'a>> {
    let Some(date) = revisions.first().map(|revision| revision.record.date) else {
        return Err(Failure::unforeseen());
    };
    let (mut recorded, mut found) = (Weakest::default(), Weakest::default());
    let (mut objects, mut short, mut held) = (0, 0, 0);
    for revision in revisions {
        source.check_stop()?;
        let own = revision.record.object_lock.as_ref().map(|lock| lock.lock());
        let expected = own
            .into_iter()
            .chain(orders.lock_on(date))
            .reduce(Lock::stronger);
        recorded.add(expected);
        let parts = revision.record.files.iter().map(|file| file.key.as_str());
        for object in parts.chain([revision.manifest.key.as_str()]) {
            let stat = source.store.stat(object).await?.ok_or_else(|| {
                Failure::integrity(format!("{object} is missing"))
                    .remedy("Run `cxvault verify` for all findings.")
            })?;
            objects += 1;
            held += u64::from(stat.legal_hold);
            let suffices =
                expected.is_none_or(|expected| stat.lock.is_some_and(|lock| lock.covers(expected)));
            short += u64::from(!suffices);
            found.add(stat.lock);
        }
    }
    let (recorded, found) = (
        recorded.0.flatten().map(RetentionView::of),
        found.0.flatten().map(RetentionView::of),
    );
    Ok(RetentionDay {
        sub_account,
        date,
        recorded,
        found,
        objects,
        short,
        held,
    })
}

/// The weakest of several locks: the weaker mode until the earliest time, and no lock if one of them is missing. `None` before
/// the first lock.
#[derive(Default)]
struct Weakest(Option<Option<Lock>>);

impl Weakest {
    fn add(&mut self, lock: Option<Lock>) {
        self.0 = Some(match self.0 {
            None => lock,
            Some(known) => known.zip(lock).map(|(known, lock)| Lock {
                mode: match (known.mode, lock.mode) {
                    (LockMode::Compliance, LockMode::Compliance) => LockMode::Compliance,
                    _ => LockMode::Governance,
                },
                until_ms: known.until_ms.min(lock.until_ms),
            }),
        });
    }
}
