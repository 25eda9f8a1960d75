//! `cxvault report`: one HTML page that says what is archived and what is missing.
//!
//! The command reads each chain, reduces it to what the page shows ([`chain`]), verifies the archive or reads an earlier
//! verification ([`verification`]), and renders the page ([`page`]). A chain that fails verification while it is read is
//! part of the page as well, and the exit code is 4 then. The file appears under its name when it is complete; a crash
//! before that leaves a temporary file beside it, named `.cxvault-report-` and six characters, which can be deleted.
//!
//! ```text
//! chain, details, days   one sub-account: numbers, signers, and the days for the script
//! exceptions             what needs attention
//! contents               all sub-accounts together
//! verification           findings, made for the page or read from a file
//! page                   HTML, with the words and templates
//! ```
//!
//! The page has numbers, ids of sub-accounts and names of agent groups, and no summary: it can be given to readers who must not
//! see what was said.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::audit::calendar::Calendar;
use crate::audit::verify;
use crate::audit::verify::{Level, VerifyOptions, VerifyProgress};
use crate::chain::record::fetch;
use crate::chain::{Archive, Timeline, inventory};
use crate::cli::audit::ReportArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::command::Context;
use crate::command::inspect::report::chain::ReportedChain;
use crate::command::inspect::report::contents::{Damage, Report};
use crate::command::inspect::report::details::ChainDetails;
use crate::command::inspect::report::verification::Verification;
use crate::command::inspect::sub_accounts;
use crate::command::inspect::verify::reading;
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::{HeadRef, Manifest};
use crate::format::time::Days;
use crate::outcome::{Exit, Failure, Result};
use crate::private;
use crate::render::{Amount, Event, size};

pub mod chain;
pub mod contents;
pub mod days;
pub mod details;
pub mod exceptions;
pub mod page;
pub mod verification;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] if the file exists or cannot be written, or if the earlier verification is unusable; otherwise as the
/// readers of the archive. Damage of the archive is no error: it is part of the page, and of the exit code.
pub(crate) async fn run(args: &ReportArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    // This fails early, before years of manifests are read; `write_new` makes sure of it later.
    if args.out.exists() {
        return Err(already_exists(&args.out));
    }
    let source =
        crate::command::inspect::open(settings, args.allowed_signers.as_deref(), context).await?;
    let report = read(args, &source, context).await?;
    let bytes = write_new(&args.out, page::render(&report)?.as_bytes())?;
    let exit = match report.violated() {
        true => Exit::Integrity,
        false => Exit::Done,
    };
    print_result(&report, &args.out, bytes, exit, context);
    Ok(exit)
}

/// Collects what the page shows.
async fn read(args: &ReportArgs, source: &Archive, context: &Context) -> Result<Report> {
    let names = sub_accounts(source, context).await?;
    let verification = match (&args.verification, args.level) {
        (Some(file), _) => Some(Verification::read(file)?),
        (None, None) => None,
        (None, Some(level)) => Some(verify_now(level, args, source, context).await?),
    };
    let range = args.range.days()?;
    let mut report = Report {
        archive: source.store.root(),
        archive_id: source.record.archive_id.clone(),
        made_at: SystemClock.now_ms(),
        chains: Vec::new(),
        roster: None,
        damaged: Vec::new(),
        verification,
    };
    for name in &names {
        let chain = read_chain(source, name, &range, report.made_at).await;
        report
            .chains
            .extend(unless_damaged(chain, name, &mut report.damaged)?);
    }
    let roster = inventory::read(source).await;
    report.roster = unless_damaged(roster, key::ROSTER, &mut report.damaged)?.flatten();
    if let Some(file) = &args.verification {
        check_same_archive(file, &report.verification, &names, source).await?;
    }
    Ok(report)
}

/// Reads one chain and reduces it.
///
/// # Errors
/// [`Exit::Integrity`] for a chain that is damaged; errors of the store.
async fn read_chain(
    source: &Archive,
    sub_account: &str,
    range: &Days,
    now_ms: i64,
) -> Result<ReportedChain> {
    let timeline = Timeline::read(source, sub_account, range).await?;
    Ok(ReportedChain::of(
        &Calendar::of(&timeline, range),
        &ChainDetails::of(&timeline),
        range.to.is_none().then_some(now_ms),
    ))
}

/// Adds a chain that failed verification to `damaged`, so that the page is made all the same: its reader needs it then
/// most.
fn unless_damaged<T>(
    read: Result<T>,
    sub_account: &str,
    damaged: &mut Vec<Damage>,
) -> Result<Option<T>> {
    match read {
        Err(failure) if failure.exit == Exit::Integrity => {
            damaged.push(Damage {
                sub_account: sub_account.to_owned(),
                message: failure.message,
            });
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Verifies what the page will show. The findings take the form of the events of `verify --json`, so that there is one
/// way to read them.
async fn verify_now(
    level: Level,
    args: &ReportArgs,
    source: &Archive,
    context: &Context,
) -> Result<Verification> {
    let options = VerifyOptions {
        days: args.range.days()?,
        sub_accounts: context.sub_accounts.clone(),
        level,
        subset: None,
        heads: args.expect_head.clone(),
        // A report needs read access to the archive only; a verification with anchors can be passed as a file.
        anchors: None,
        allowed: source.allowed.clone(),
    };
    let found = Mutex::new(Verification::default());
    let meter = VerifyProgress::default();
    let progress = Amount::new(&context.output, Arc::new(SystemClock), "verifying");
    let totals = progress
        .during(
            verify::verify(
                source.store.clone(),
                &options,
                source.stop.clone(),
                &meter,
                &|finding| take(&found, "finding", json!(finding)),
            ),
            || reading(&meter),
        )
        .await?;
    drop(progress);
    let mut end = json!(totals);
    end["level"] = json!(level);
    end["checked"] = json!(options.checked(&totals));
    take(&found, "verified", end);
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Gives a verification an event of this name.
fn take(verification: &Mutex<Verification>, event: &str, mut body: Value) {
    body["event"] = json!(event);
    verification
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take(body);
}

/// Makes sure that a verification from a file is one of this archive: each head that it names must be a record of the
/// chain. Otherwise the verification of an intact archive could make a damaged one look intact.
async fn check_same_archive(
    file: &Path,
    verification: &Option<Verification>,
    names: &[String],
    source: &Archive,
) -> Result<()> {
    let heads = verification
        .iter()
        .flat_map(|verification| &verification.ended)
        .flat_map(|end| &end.heads);
    for text in heads {
        if let Ok(head) = text.parse::<HeadRef>() {
            if !names.contains(&head.chain) {
                continue;
            }
            let stored = fetch::<Manifest>(source, &head.chain, head.sequence).await;
            if stored.is_ok_and(|stored| stored.sha256 == head.sha256) {
                continue;
            }
        }
        let message = format!(
            "{}: its head {text} is not in this archive's chain",
            file.display()
        );
        return Err(Failure::usage(message).remedy(format!(
            "The file is the verification of another archive, or this archive was rewritten since. Run `cxvault verify \
             --expect-head {text}` to find out."
        )));
    }
    Ok(())
}

/// Writes a new file under a temporary name and then renames it, so that a file of this name is always complete. Returns
/// its size in bytes.
fn write_new(path: &Path, page: &[u8]) -> Result<u64> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut file = private::temporary_file(".cxvault-report-", &folder)
        .map_err(|error| cannot_write(path, error))?;
    file.write_all(page)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| cannot_write(path, error))?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(page.len() as u64),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(already_exists(path))
        }
        Err(failed) => Err(cannot_write(path, failed.error)),
    }
}

/// Returns the failure of a page that cannot be written.
fn cannot_write(path: &Path, error: io::Error) -> Failure {
    Failure::usage(format!("cannot write {}", path.display()))
        .because(error)
        .remedy("Name a file in a folder that exists and that you may write to.")
}

/// Returns the failure for a name that is taken. A report may be evidence, so it is never replaced.
fn already_exists(path: &Path) -> Failure {
    Failure::usage(format!(
        "{} already exists and was not changed",
        path.display()
    ))
    .remedy("Name another file, or move the existing one.")
}

/// Prints the verdict of the page, and where the page is.
fn print_result(report: &Report, path: &Path, bytes: u64, exit: Exit, context: &Context) {
    let verdict = page::verdict(report);
    context.output.event(
        Event::new("report")
            .with("file", path)
            .with("bytes", bytes)
            .with("exit", exit.code())
            .with("standing", report.condition())
            .with("verdict", &verdict)
            .with("sub_accounts", report.chains.len())
            .with("damaged", report.damaged.len()),
    );
    context.output.print_info(format_args!(
        "{verdict}\nwritten to {} ({})",
        path.display(),
        size(bytes)
    ));
}
