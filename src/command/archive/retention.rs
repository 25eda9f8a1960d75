//! `cxvault retention`: how long days are locked, and for longer.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use serde::Serialize;

use crate::chain::append::Mode;
use crate::chain::archive::Archive;
use crate::chain::notes::retention::{ExtensionOutcome, ExtensionRequest, extend};
use crate::chain::obligations;
use crate::chain::timeline::CommittedRevision;
use crate::cli::records::{RetentionArgs, RetentionCommand, RetentionExtendArgs};
use crate::command::archive::anchor;
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::lock::{Lock, LockMode};
use crate::format::record::obligations::Obligations;
use crate::format::time::day::rfc3339;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Table, grouped};

/// Days that are looked at at once.
const AT_ONCE: usize = 16;

pub async fn run(args: &RetentionArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    match &args.command {
        None => show(&args.range.days()?, settings, context).await,
        Some(RetentionCommand::Show(args)) => show(&args.range.days()?, settings, context).await,
        Some(RetentionCommand::Extend(args)) => lengthen(args, settings, context).await,
        Some(RetentionCommand::Dispose(args)) => {
            crate::command::archive::disposal::run(args, settings, context).await
        }
    }
}

async fn lengthen(
    args: &RetentionExtendArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let wish = ExtensionRequest {
        range: args.range.span()?,
        until_ms: args.until_ms()?,
        reason: args.reason.clone(),
        by: args.by.clone(),
    };
    let mode = Mode::of(args.dry_run);
    let archive = crate::command::archive::open(settings, mode, context).await?;
    let mut exits = Vec::new();
    let sub_accounts = inspect::sub_accounts(&archive, context).await?;
    for sub_account in &sub_accounts {
        match extend(&archive, sub_account, &wish, mode).await {
            Ok(extended) => tell(sub_account, &wish, &extended, mode, context),
            Err(failure) => {
                context.output.failure(&failure);
                exits.push(failure.exit);
            }
        }
    }
    exits.push(anchor::settle(&archive, &sub_accounts, mode, context).await);
    Ok(Exit::worst(exits))
}

fn tell(
    sub_account: &str,
    wish: &ExtensionRequest,
    extended: &ExtensionOutcome,
    mode: Mode,
    context: &Context,
) {
    #[derive(Serialize)]
    struct RetentionEvent<'a> {
        event: &'static str,
        sub_account: &'a str,
        days: &'a [crate::format::record::notes::ExtendedDay],
        retain_until: String,
        records: u64,
        objects: u64,
        raised: u64,
        days_disposed: u64,
        head: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        dry_run: bool,
    }
    let head = extended
        .head
        .as_ref()
        .map(|head| head.of_chain(sub_account).to_string());
    let ExtensionOutcome {
        records,
        days,
        objects,
        raised,
        days_disposed,
        ..
    } = extended;
    let dry_run = mode == Mode::DryRun;
    let until = rfc3339(wish.until_ms);
    let before = if *records == 0 {
        " (the chain said so already)"
    } else {
        ""
    };
    let would = if dry_run { "would be " } else { "" };
    let mut lines = vec![format!(
        "{sub_account} {}: {} days {would}kept until {until}, {} objects, {} locks {would}raised{before}",
        wish.range,
        grouped(days.len() as u64),
        grouped(*objects),
        grouped(*raised)
    )];
    if *days_disposed > 0 {
        lines.push(format!(
            "  {} days of these were disposed of, and are left alone",
            grouped(*days_disposed)
        ));
    }
    lines.extend(head.iter().map(|head| format!("head {head}")));
    context.output.print_info(lines.join("\n"));
    context.output.event(&RetentionEvent {
        event: "retention-extended",
        sub_account,
        days,
        retain_until: until,
        records: *records,
        objects: *objects,
        raised: *raised,
        days_disposed: *days_disposed,
        head: head.as_deref(),
        dry_run,
    });
}

/// A lock as people and programs read it.
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

/// One day: what the chain records, what the store has.
#[derive(Debug, Serialize)]
struct RetentionDayEvent<'a> {
    event: &'static str,
    sub_account: &'a str,
    date: Date,
    /// The weakest of its revisions, what later records ask for included; none where one of them has no lock.
    recorded: Option<RetentionView>,
    /// The weakest of its objects.
    found: Option<RetentionView>,
    objects: u64,
    /// Objects whose lock is shorter or weaker than recorded.
    short: u64,
    /// Objects under a legal hold.
    held: u64,
}

async fn show(range: &Days, settings: &Settings, context: &Context) -> Result<Exit> {
    let source = inspect::open(settings, None, context).await?;
    let mut table = Table::new([
        "sub-account",
        "day",
        "mode",
        "kept until",
        "in the store",
        "objects",
        "short",
        "held",
    ]);
    let mut short = 0;
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let (timeline, _) =
            inspect::readable(&source, &sub_account, range, &context.output).await?;
        let orders = obligations::read(&source, &sub_account).await?.orders;
        let days = timeline
            .by_day()
            .map(|revisions| day(&source, &sub_account, revisions, &orders));
        let days: Vec<RetentionDayEvent<'_>> =
            stream::iter(days).buffered(AT_ONCE).try_collect().await?;
        for day in days {
            context.output.event(&day);
            short += day.short;
            let text = |shown: &Option<RetentionView>| {
                shown
                    .as_ref()
                    .map_or("no lock".to_owned(), |shown| shown.retain_until.clone())
            };
            let mode = day
                .recorded
                .as_ref()
                .map(|shown| format!("{:?}", shown.mode).to_lowercase());
            table.row([
                sub_account.clone(),
                day.date.to_string(),
                mode.unwrap_or_default(),
                text(&day.recorded),
                text(&day.found),
                grouped(day.objects),
                grouped(day.short),
                grouped(day.held),
            ]);
        }
    }
    context.output.print(table);
    // A folder is a copy: locks are bound to a place.
    if short == 0 || source.store.local(key::ARCHIVE).is_some() {
        return Ok(Exit::Done);
    }
    context.output.print_info(format!(
        "{} objects are locked for shorter than the chain says: run the interrupted `cxvault retention extend` again, or find \
         out who has lifted their locks",
        grouped(short)
    ));
    Ok(Exit::Integrity)
}

async fn day<'a>(
    source: &Archive,
    sub_account: &'a str,
    revisions: &[CommittedRevision],
    orders: &Obligations,
) -> Result<RetentionDayEvent<'a>> {
    let date = revisions
        .first()
        .map(|revision| revision.record.date)
        .unwrap_or_default();
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
                Failure::new(Exit::Integrity, format!("{object} is missing"))
                    .remedy("Run `cxvault verify` for all findings.")
            })?;
            objects += 1;
            held += u64::from(stat.legal_hold);
            let enough =
                |lock: Lock| expected.is_none_or(|expected| lock.stronger(expected) == lock);
            short += u64::from(expected.is_some() && !stat.lock.is_some_and(enough));
            found.add(stat.lock);
        }
    }
    let (recorded, found) = (
        recorded.0.flatten().map(RetentionView::of),
        found.0.flatten().map(RetentionView::of),
    );
    Ok(RetentionDayEvent {
        event: "retention",
        sub_account,
        date,
        recorded,
        found,
        objects,
        short,
        held,
    })
}

/// The weaker mode until the earlier time; no lock at all where one is missing.
#[derive(Default)]
struct Weakest(Option<Option<Lock>>);

impl Weakest {
    fn add(&mut self, lock: Option<Lock>) {
        let weaker = |one: Lock, other: Lock| {
            let complied = one.mode == LockMode::Compliance && other.mode == LockMode::Compliance;
            let mode = if complied {
                LockMode::Compliance
            } else {
                LockMode::Governance
            };
            Lock {
                mode,
                until_ms: one.until_ms.min(other.until_ms),
            }
        };
        self.0 = Some(match self.0 {
            None => lock,
            Some(known) => known.zip(lock).map(|(one, other)| weaker(one, other)),
        });
    }
}
