//! `cxvault hold`: days that a legal case claims.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::chain::append::Mode;
use crate::chain::archive::Archive;
use crate::chain::notes::hold::{HoldOutcome, HoldRequest, add, remove};
use crate::chain::obligations;
use crate::chain::obligations::StandingObligations;
use crate::chain::timeline::Timeline;
use crate::cli::records::{HoldArgs, HoldCommand, HoldListArgs};
use crate::command::archive::anchor;
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::Run;
use crate::format::record::notes::{DateSpan, Hold, HoldAct};
use crate::format::time::day::rfc3339;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Output, grouped, printable};

/// Objects that are asked for at once.
const AT_ONCE: usize = 16;

pub async fn run(args: &HoldArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let (act, claim, mode) = match &args.command {
        HoldCommand::List(args) => return list(args, settings, context).await,
        HoldCommand::Add(args) => {
            let (case, reason, by) = (
                args.case.clone(),
                args.record.reason.clone(),
                args.record.by.clone(),
            );
            let claim = HoldRequest {
                case,
                range: Some(args.range.span()?),
                reason,
                by,
            };
            (HoldAct::Add, claim, Mode::of(args.record.dry_run))
        }
        HoldCommand::Remove(args) => {
            let (case, reason, by) = (
                args.case.clone(),
                args.record.reason.clone(),
                args.record.by.clone(),
            );
            (
                HoldAct::Remove,
                HoldRequest {
                    case,
                    range: args.range.span()?,
                    reason,
                    by,
                },
                Mode::of(args.record.dry_run),
            )
        }
    };
    let archive = crate::command::archive::open(settings, mode, context).await?;
    let mut sub_accounts = inspect::sub_accounts(&archive, context).await?;
    if act == HoldAct::Remove && context.sub_accounts.is_empty() {
        sub_accounts = knowing(&archive, sub_accounts, &claim.case).await?;
    }
    let mut exits = Vec::new();
    for sub_account in &sub_accounts {
        let ended = match act {
            HoldAct::Add => add(&archive, sub_account, &claim, mode).await,
            HoldAct::Remove => remove(&archive, sub_account, &claim, mode).await,
        };
        // What is wrong with one sub-account must not leave the others unheld.
        match ended {
            Ok(held) => {
                let told = HoldReport {
                    sub_account,
                    act,
                    claim: &claim,
                    mode,
                    held: &held,
                };
                told.tell(&archive.store.root(), &context.output);
            }
            Err(failure) => {
                context.output.failure(&failure);
                exits.push(failure.exit);
            }
        }
    }
    exits.push(anchor::settle(&archive, &sub_accounts, mode, context).await);
    Ok(Exit::worst(exits))
}

/// Those in which the case was ever opened.
async fn knowing(source: &Archive, sub_accounts: Vec<String>, case: &str) -> Result<Vec<String>> {
    let mut knowing = Vec::new();
    for sub_account in sub_accounts {
        if obligations::read(source, &sub_account)
            .await?
            .orders
            .knows(case)
        {
            knowing.push(sub_account);
        }
    }
    if knowing.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("nothing was ever held for case {case}"),
        )
        .remedy("`cxvault hold list` shows the cases and their days."));
    }
    Ok(knowing)
}

/// What was done in one sub-account, or would be.
struct HoldReport<'a> {
    sub_account: &'a str,
    act: HoldAct,
    claim: &'a HoldRequest,
    mode: Mode,
    held: &'a HoldOutcome,
}

impl HoldReport<'_> {
    fn tell(&self, store: &str, output: &Output) {
        #[derive(Serialize)]
        struct HoldEvent<'a> {
            event: &'static str,
            sub_account: &'a str,
            act: HoldAct,
            case: &'a str,
            range: Option<DateSpan>,
            enforced: bool,
            records: u64,
            objects: u64,
            changed: u64,
            held_by_others: u64,
            days_disposed: u64,
            files_gone: u64,
            head: Option<&'a str>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            dry_run: bool,
        }
        let HoldReport {
            sub_account,
            act,
            claim,
            mode,
            held,
        } = *self;
        let head = held
            .head
            .as_ref()
            .map(|head| head.of_chain(sub_account).to_string());
        let HoldOutcome {
            enforced,
            records,
            objects,
            changed,
            held_by_others,
            days_disposed,
            files_gone,
            ..
        } = *held;
        let case = claim.case.as_str();
        output.event(&HoldEvent {
            event: "hold",
            sub_account,
            act,
            case,
            range: claim.range,
            enforced,
            records,
            objects,
            changed,
            held_by_others,
            days_disposed,
            files_gone,
            head: head.as_deref(),
            dry_run: mode == Mode::DryRun,
        });
        if !enforced && mode == Mode::Act {
            tracing::warn!(
                sub_account,
                case,
                "NOTHING ENFORCES THIS HOLD: {store} keeps no legal holds (it is no bucket with Object Lock); the record in the \
                 chain is all there is, and whoever can delete objects there still can"
            );
        }
        let mut lines = vec![self.line()];
        lines.extend(disposed(held));
        lines.extend(head.map(|head| format!("head {head}")));
        output.print_info(lines.join("\n"));
    }

    fn line(&self) -> String {
        let HoldOutcome {
            enforced,
            records,
            objects,
            changed,
            held_by_others,
            ..
        } = *self.held;
        let would = if self.mode == Mode::DryRun {
            "would be "
        } else {
            ""
        };
        let range = self
            .claim
            .range
            .map(|range| format!(" {range}"))
            .unwrap_or_default();
        let done = match (self.act, enforced) {
            (_, false) => {
                format!("{would}recorded, and ENFORCED BY NOTHING: this store keeps no legal holds")
            }
            (HoldAct::Add, true) => {
                format!(
                    "{} objects {would}held, {} of them now",
                    grouped(objects),
                    grouped(changed)
                )
            }
            (HoldAct::Remove, true) => format!(
                "{} objects {would}released, {} stay held for other cases",
                grouped(changed),
                grouped(held_by_others)
            ),
        };
        let before = if records == 0 {
            " (the chain said so already)"
        } else {
            ""
        };
        format!(
            "{} case {}{range}: {done}{before}",
            self.sub_account, self.claim.case
        )
    }
}

/// Whoever counts on data should hear at once that some of it is no more.
fn disposed(held: &HoldOutcome) -> Option<String> {
    let gone = match held.enforced {
        true => format!("{} of their files are gone", grouped(held.files_gone)),
        false => "their files may be gone".to_owned(),
    };
    (held.days_disposed > 0).then(|| {
        let days = grouped(held.days_disposed);
        format!(
            "  {days} days of these were disposed of after their retention: {gone}; their audit records stay"
        )
    })
}

/// A case in one sub-account.
#[derive(Serialize)]
struct CaseEvent<'a> {
    event: &'static str,
    sub_account: &'a str,
    case: &'a str,
    /// None where it is closed.
    open: Vec<DateSpan>,
    /// Of the open days: whether the records say that the store enforces it on all of them.
    enforced: bool,
    objects: u64,
    held: u64,
    records: Vec<HoldRecordEvent<'a>>,
}

#[derive(Serialize)]
struct HoldRecordEvent<'a> {
    manifest: &'a str,
    committed_at: String,
    host: &'a str,
    #[serde(flatten)]
    hold: &'a Hold,
}

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
            exits.push(tell_case(&case, &source, &context.output));
        }
    }
    if cases == 0 {
        context
            .output
            .print_info("no case holds anything, or ever did");
    }
    Ok(Exit::worst(exits))
}

async fn case<'a>(
    source: &Archive,
    sub_account: &'a str,
    standing: &'a StandingObligations,
    name: &'a str,
) -> Result<CaseEvent<'a>> {
    let open = standing.orders.open_ranges(name, None);
    let (mut objects, mut held) = (0, 0);
    for range in &open {
        let (all, carrying) = carried(source, sub_account, *range).await?;
        objects += all;
        held += carrying;
    }
    let of_case = standing
        .holds
        .iter()
        .filter(|(_, _, hold)| hold.case == name);
    let record = |(manifest, run, hold): &'a (String, Run, Hold)| HoldRecordEvent {
        manifest,
        committed_at: rfc3339(run.finished_at),
        host: &run.host,
        hold,
    };
    Ok(CaseEvent {
        event: "case",
        sub_account,
        case: name,
        enforced: standing.orders.open_ranges(name, Some(false)).is_empty(),
        open,
        objects,
        held,
        records: of_case.map(record).collect(),
    })
}

/// The objects of the days, and how many of them the store says are held.
async fn carried(source: &Archive, sub_account: &str, range: DateSpan) -> Result<(u64, u64)> {
    let timeline = Timeline::read(source, sub_account, &range.days()).await?;
    let objects = timeline.revisions.iter().flat_map(|revision| {
        // Those of a day that was disposed of may be gone.
        let may_be_gone = timeline.coverage.state(revision.record.date) == DayState::Disposed;
        let parts = revision
            .record
            .files
            .iter()
            .map(move |file| (file.key.clone(), may_be_gone));
        parts.chain([(revision.manifest.key.clone(), false)])
    });
    let stat = |(object, may_be_gone): (String, bool)| async move {
        source.check_stop()?;
        let stat = source.store.stat(&object).await?;
        let counts = stat.is_some() || !may_be_gone;
        Ok::<_, Failure>(counts.then(|| stat.is_some_and(|stat| stat.legal_hold)))
    };
    let objects: Vec<(String, bool)> = objects.collect();
    let stats: Vec<Option<bool>> = stream::iter(objects)
        .map(stat)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let stats: Vec<bool> = stats.into_iter().flatten().collect();
    Ok((
        stats.len() as u64,
        stats.iter().filter(|held| **held).count() as u64,
    ))
}

fn tell_case(case: &CaseEvent<'_>, source: &Archive, output: &Output) -> Exit {
    output.event(case);
    let ranges = |open: &[DateSpan]| {
        open.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let folder = source.store.local(key::ARCHIVE).is_some();
    let lacking = case.objects - case.held;
    let state = match (case.open.is_empty(), case.enforced && !folder, lacking) {
        (true, _, _) => "closed".to_owned(),
        (_, false, _) => format!("open on {}; NOTHING HERE ENFORCES IT", ranges(&case.open)),
        (_, _, 0) => {
            format!(
                "open on {}; all {} objects carry it",
                ranges(&case.open),
                grouped(case.objects)
            )
        }
        (_, _, lacking) => format!(
            "open on {}; {} of {} objects LACK it: run `cxvault hold add` for these days again",
            ranges(&case.open),
            grouped(lacking),
            grouped(case.objects)
        ),
    };
    let mut lines = vec![format!(
        "{} case {}: {state}",
        case.sub_account,
        printable(case.case)
    )];
    for HoldRecordEvent {
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
    let lacks = !case.open.is_empty() && case.enforced && !folder && lacking > 0;
    if lacks { Exit::Integrity } else { Exit::Done }
}
