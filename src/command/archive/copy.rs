//! `cxvault copy`: the archive into another place.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::audit::verify::VerifyProgress;
use crate::cli::copy::CopyArgs;
use crate::clock::{Clock, SystemClock};
use crate::command::{Context, inspect, wiring};
use crate::config::Settings;
use crate::copy::{Copied, CopyLocks, CopyOptions, Job, copy};
use crate::format::place::key;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Amount, grouped, size};

/// More heads than that make no command line.
const HEADS_SHOWN: usize = 3;

pub async fn run(args: &CopyArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let source = inspect::open(settings, None, context).await?;
    let to = wiring::open_copy(&args.to, settings, clock.clone(), context).await?;
    let options = CopyOptions {
        sub_accounts: context.sub_accounts.clone(),
        locks: if args.without_locks {
            CopyLocks::LeftOut
        } else {
            CopyLocks::Applied(args.object_lock)
        },
        check: args.check,
        dry_run: args.dry_run,
    };
    let job = Job {
        source,
        to,
        clock: clock.clone(),
        options,
    };
    let exits = Mutex::new(Vec::new());
    let failed = |failure: Failure| {
        context.output.failure(&failure);
        exits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(failure.exit);
    };
    let meter = VerifyProgress::default();
    let copied = {
        let progress = Amount::new(&context.output, clock, "copying");
        progress
            .during(copy(&job, &meter, &failed), || {
                inspect::verify::reading(&meter)
            })
            .await?
    };
    let exit = Exit::worst(exits.into_inner().unwrap_or_else(PoisonError::into_inner));
    tell(&job, &copied, exit, &surroundings(&job, settings), context);
    Ok(exit)
}

/// What differs for whoever reads the copy with the archive's settings, as a shell takes it before a command.
fn surroundings(job: &Job, settings: &Settings) -> String {
    let folder = job.to.local(key::ARCHIVE).is_some();
    let unlocked =
        (folder && settings.object_lock.is_some()).then(|| "CXVAULT_OBJECT_LOCK=off ".to_owned());
    let endpoint = settings.copy.endpoint.as_ref().filter(|_| !folder);
    let endpoint = endpoint.map(|endpoint| format!("CXVAULT_S3_ENDPOINT={endpoint} "));
    unlocked.into_iter().chain(endpoint).collect()
}

fn tell(job: &Job, copied: &Copied, exit: Exit, surroundings: &str, context: &Context) {
    #[derive(Serialize)]
    struct CopyEvent<'a> {
        event: &'static str,
        from: &'a str,
        to: &'a str,
        archive_id: &'a str,
        dry_run: bool,
        exit: u8,
        #[serde(flatten)]
        copied: &'a Copied,
    }
    let (from, to) = (job.source.store.root(), job.to.root());
    context.output.event(&CopyEvent {
        event: "copy",
        from: &from,
        to: &to,
        archive_id: &job.source.record.archive_id,
        dry_run: job.options.dry_run,
        exit: exit.code(),
        copied,
    });
    if copied.unlocked > 0 {
        tracing::warn!(
            objects = copied.unlocked,
            to,
            "NOTHING LOCKS THIS COPY, though the archive asks for it: whoever can write there can also delete"
        );
    }
    let advice = format!("{surroundings}{}", advice(&to, &copied.heads));
    context.output.print_info(summary(
        &from,
        &to,
        copied,
        (exit, job.options.dry_run),
        &advice,
    ));
}

fn summary(
    from: &str,
    to: &str,
    copied: &Copied,
    (exit, dry_run): (Exit, bool),
    advice: &str,
) -> String {
    let Copied {
        sub_accounts,
        manifests,
        files,
        rosters,
        bytes,
        there,
        ..
    } = copied;
    let put = if dry_run { "to be copied" } else { "copied" };
    let mut lines = vec![
        format!("from          {from}"),
        format!("to            {to}"),
        format!("sub-accounts  {}", grouped(*sub_accounts)),
        format!("manifests     {} {put}", grouped(*manifests)),
        format!("files         {} {put}", grouped(*files)),
    ];
    if *rosters > 0 {
        lines.push(format!("rosters       {} {put}", grouped(*rosters)));
    }
    lines.push(format!("size          {}", size(*bytes)));
    lines.push(format!("there already {}", grouped(*there)));
    lines.push(format!("locks         {}", locks(copied)));
    if copied.disposed + copied.unlisted > 0 {
        let (disposed, unlisted) = (grouped(copied.disposed), grouped(copied.unlisted));
        lines.push(format!(
            "not copied    {disposed} files of disposed days, {unlisted} objects that no manifest lists"
        ));
    }
    lines.extend(
        copied
            .heads
            .iter()
            .map(|head| format!("head          {head}")),
    );
    lines.push(String::new());
    lines.push(match (exit, dry_run) {
        (Exit::Done, true) => "Nothing was written: the same command without --dry-run copies it.".to_owned(),
        (Exit::Done, false) => format!("COPIED. Now check it: {advice}"),
        _ => "NOT ALL OF IT IS COPIED: see the errors above; what is there is in order, and the same command goes on."
            .to_owned(),
    });
    lines.join("\n")
}

fn locks(copied: &Copied) -> String {
    let Copied {
        locked,
        held,
        unlocked,
        held_beyond,
        ..
    } = copied;
    let mut text = match unlocked {
        0 => format!(
            "{} objects locked, {} held",
            grouped(*locked),
            grouped(*held)
        ),
        _ => format!(
            "NONE, though {} objects should have some",
            grouped(*unlocked)
        ),
    };
    if *held_beyond > 0 {
        text.push_str(&format!(
            "; {} are held there for no open case",
            grouped(*held_beyond)
        ));
    }
    text
}

/// The heads are what a copy is checked by.
fn advice(to: &str, heads: &[String]) -> String {
    let mut line = format!("cxvault verify --archive '{}'", to.replace('\'', "'\\''"));
    if heads.len() > HEADS_SHOWN {
        return format!("{line}, with each head above as --expect-head");
    }
    heads
        .iter()
        .for_each(|head| line.push_str(&format!(" --expect-head {head}")));
    line
}
