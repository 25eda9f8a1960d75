//! `cxvault copy`: copies an archive to another location, and updates such a copy.
//!
//! The source is read as an auditor reads it: every object is checked against the chain that names it before it is written.
//! A command that is killed leaves a valid part of the copy, and the same command continues with the rest. The copy has the
//! mark `copy.json`, so that no run archives to it until `cxvault takeover` makes it the archive.
//!
//! Objects are copied in the order in which a chain was written: the files of a day before the manifest that lists them. A part
//! of a copy is therefore an archive that ends earlier, and never one with a manifest whose files are missing. Objects that are
//! there already are compared by their SHA-256 and not written again, so that updating a copy costs what is new.

use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::verify::VerifyProgress;
use crate::cli::copy::CopyArgs;
use crate::clock::{Clock, SystemClock};
use crate::command::{Context, inspect, wiring};
use crate::config::Settings;
use crate::copy::{Copied, CopyLocks, CopyOptions, Job, copy};
use crate::format::place::key;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Amount, Event, count, grouped, printable, size};

/// Largest number of heads that are printed as a command line. With more, the line would be too long to be read.
const HEADS_SHOWN: usize = 3;

/// Copies what the location does not have yet. Failures of single objects are printed as they occur; the copy continues with the others.
///
/// # Errors
/// If the source or the location of the copy cannot be used.
pub(crate) async fn run(args: &CopyArgs, settings: &Settings, context: &Context) -> Result<Exit> {
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
    // The copy reports failures from several tasks at once.
    let exits = Mutex::new(Vec::new());
    let meter = VerifyProgress::default();
    let progress = Amount::new(&context.output, clock, "copying");
    let copied = progress
        .during(
            copy(&job, &meter, &|failure: Failure| {
                context.output.failure(&failure);
                exits
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(failure.exit);
            }),
            || inspect::verify::reading(&meter),
        )
        .await?;
    drop(progress);
    let mut exits = exits.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The copy ends where the records that count do. If the records behind are the archive's own, and were changed, then a
    // copy that said nothing would be the second place where they are lost.
    if !job.source.foreign.keys().is_empty() {
        exits.push(Exit::Gaps);
    }
    let exit = Exit::worst(exits);
    print_result(&job, &copied, exit, &variables(&job, settings), context);
    Ok(exit)
}

/// Returns the variables of the environment that have to differ from the settings of the archive to read the copy, as a shell expects them before
/// a command.
fn variables(job: &Job, settings: &Settings) -> String {
    let folder = job.to.local(key::ARCHIVE).is_some();
    let unlocked =
        (folder && settings.object_lock.is_some()).then(|| "CXVAULT_OBJECT_LOCK=off ".to_owned());
    let endpoint = settings.copy.endpoint.as_ref().filter(|_| !folder);
    let endpoint = endpoint.map(|endpoint| format!("CXVAULT_S3_ENDPOINT={endpoint} "));
    unlocked.into_iter().chain(endpoint).collect()
}

/// Prints the summary and writes the event `copy`.
///
/// A copy without locks is also reported in the log: the summary of a nightly copy is often discarded.
fn print_result(job: &Job, copied: &Copied, exit: Exit, variables: &str, context: &Context) {
    let to = job.to.root();
    context.output.event(
        Event::new("copy")
            .with("from", job.source.store.root())
            .with("to", &to)
            .with("archive_id", &job.source.record.archive_id)
            .with("dry_run", job.options.dry_run)
            .with("exit", exit.code())
            .merge(copied),
    );
    if copied.unlocked > 0 {
        tracing::warn!(
            objects = copied.unlocked,
            to,
            "NOTHING LOCKS THIS COPY, although the archive requires locks: users who can write there can also delete"
        );
    }
    let command = format!("{variables}{}", verify_command(&to, &copied.heads));
    context
        .output
        .print_info(summary(job, copied, exit, &command));
}

/// Returns the summary for people. With [`CopyOptions::dry_run`] it counts what would be copied.
fn summary(job: &Job, copied: &Copied, exit: Exit, command: &str) -> String {
    let dry_run = job.options.dry_run;
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
        format!("from          {}", job.source.store.root()),
        format!("to            {}", job.to.root()),
        format!("sub-accounts  {}", grouped(*sub_accounts)),
        format!("manifests     {} {put}", grouped(*manifests)),
        format!("files         {} {put}", grouped(*files)),
    ];
    if *rosters > 0 {
        lines.push(format!("rosters       {} {put}", grouped(*rosters)));
    }
    lines.push(format!("size          {}", size(*bytes)));
    lines.push(format!("already there {}", grouped(*there)));
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
        (Exit::Done, true) => "Nothing was written. The same command without --dry-run copies it.".to_owned(),
        (Exit::Done, false) => format!("COPIED. Verify the copy with: {command}"),
        (Exit::Gaps, _) => format!(
            "COPIED UP TO THE LAST RECORDS THAT COUNT: {} and other objects beyond them are no records, because no key that \
             counts has signed them. Find out where they come from. Verify the copy with: {command}",
            job.source.foreign.keys().first().map(|key| printable(key)).unwrap_or_default()
        ),
        _ => "THE COPY IS INCOMPLETE: see the errors above. What was copied is valid, and the same command continues."
            .to_owned(),
    });
    lines.join("\n")
}

/// Returns the line about locks and legal holds: how many objects have them at the copy, or that none has although the archive
/// requires it.
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
            "{} locked, {} held",
            count(*locked, "object"),
            grouped(*held)
        ),
        _ => format!(
            "NONE, although {} should have one",
            count(*unlocked, "object")
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

/// Returns the command that verifies the copy. It has the heads, which the copy must contain.
fn verify_command(to: &str, heads: &[String]) -> String {
    // Quoted for a POSIX shell, since a path may have blanks and quotes.
    let mut line = format!("cxvault verify --archive '{}'", to.replace('\'', "'\\''"));
    if heads.len() > HEADS_SHOWN {
        return format!("{line}, with each head above as --expect-head");
    }
    heads
        .iter()
        .for_each(|head| line.push_str(&format!(" --expect-head {head}")));
    line
}
