//! `cxvault report`: one page that says what is archived, and what is not.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use crate::audit::calendar::Calendar;
use crate::audit::verify;
use crate::audit::verify::finding::Finding;
use crate::audit::verify::{Level, VerifyOptions, VerifyProgress};
use crate::chain::archive::Archive;
use crate::chain::inventory;
use crate::chain::read;
use crate::chain::timeline::Timeline;
use crate::cli::audit::{ReportArgs, ReportLevel};
use crate::clock::{Clock as _, SystemClock};
use crate::command::Context;
use crate::command::inspect::report::chain::{ChainDetails, ReportedChain};
use crate::command::inspect::report::page::{Damage, Report};
use crate::command::inspect::report::verification::Verification;
use crate::command::inspect::sub_accounts;
use crate::command::inspect::verify::reading;
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::manifest::Manifest;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Amount, size};

pub mod chain;
pub mod exceptions;
pub mod page;
pub mod verification;

pub async fn run(args: &ReportArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = args.range.days()?;
    // Said before years of manifests are read; the write below makes sure of it.
    if args.out.exists() {
        return Err(exists(&args.out));
    }
    let source =
        crate::command::inspect::open(settings, args.allowed_signers.as_deref(), context).await?;
    let names = sub_accounts(&source, context).await?;
    let verification = match (&args.verification, args.level) {
        (Some(file), _) => Some(Verification::read(file)?),
        (None, ReportLevel::None) => None,
        (None, ReportLevel::Quick) => Some(verified(Level::Quick, args, &source, context).await?),
        (None, ReportLevel::Full) => Some(verified(Level::Full, args, &source, context).await?),
        (None, ReportLevel::Deep) => Some(verified(Level::Deep, args, &source, context).await?),
    };
    let made_at = SystemClock.now_ms();
    let (chains, mut damaged) = read(&source, &names, &range, made_at).await?;
    let roster = match inventory::read(&source).await {
        Err(failure) if failure.exit == Exit::Integrity => {
            damaged.push(Damage {
                sub_account: key::ROSTER.to_owned(),
                message: failure.message,
            });
            None
        }
        read => read?,
    };
    if let Some(file) = &args.verification {
        of_this_archive(file, &verification, &names, &source).await?;
    }
    let archive_id = source.record.archive_id.clone();
    let archive = source.store.root();
    let report = Report {
        archive,
        archive_id,
        made_at,
        range,
        chains,
        roster,
        damaged,
        verification,
    };
    let bytes = write_new(&args.out, page::render(&report).as_bytes())?;
    let exit = if report.violated() {
        Exit::Integrity
    } else {
        Exit::Done
    };
    tell(&report, &args.out, bytes, exit, context);
    Ok(exit)
}

/// The chains, and those that do not hold: the page has to be made then more than ever, for whoever opens it.
async fn read(
    source: &Archive,
    names: &[String],
    range: &Days,
    made_at: i64,
) -> Result<(Vec<ReportedChain>, Vec<Damage>)> {
    let (mut chains, mut damaged) = (Vec::new(), Vec::new());
    for name in names {
        match Timeline::read(source, name, range).await {
            Ok(timeline) => {
                let today = range.to.is_none().then_some(made_at);
                chains.push(ReportedChain::of(
                    &Calendar::of(&timeline, range),
                    &ChainDetails::of(&timeline),
                    today,
                ));
            }
            Err(failure) if failure.exit == Exit::Integrity => {
                damaged.push(Damage {
                    sub_account: name.clone(),
                    message: failure.message,
                });
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok((chains, damaged))
}

/// Verifies what the page will show.
async fn verified(
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
        // A page is made with read access to the archive alone; `verify --json` makes one that knows the anchors.
        anchors: None,
        allowed: source.allowed.clone(),
    };
    let found = Mutex::new(Verification::default());
    // As `verify --json` would tell it, so that there is one way to read it.
    let take = |event: &str, mut body: serde_json::Value| {
        body["event"] = json!(event);
        found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(body);
    };
    let meter = VerifyProgress::default();
    let totals = {
        let finding = |finding: Finding| take("finding", json!(finding));
        let work = verify::verify(
            source.store.clone(),
            &options,
            source.stop.clone(),
            &meter,
            &finding,
        );
        let progress = Amount::new(&context.output, Arc::new(SystemClock), "verifying");
        progress.during(work, || reading(&meter)).await?
    };
    let mut ended = json!(totals);
    ended["level"] = json!(level);
    take("verified", ended);
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A verification of another archive would clear this one.
async fn of_this_archive(
    file: &Path,
    verification: &Option<Verification>,
    names: &[String],
    source: &Archive,
) -> Result<()> {
    let heads = verification
        .iter()
        .flat_map(|one| &one.ended)
        .flat_map(|ended| &ended.heads);
    for text in heads {
        let mut parts = text.split(':');
        let (sub_account, sequence) = (parts.next().unwrap_or_default(), parts.next());
        if !names.iter().any(|name| name == sub_account) {
            continue;
        }
        let there = match sequence.and_then(|sequence| sequence.parse().ok()) {
            Some(sequence) => read::fetch::<Manifest>(source, sub_account, sequence)
                .await
                .map(|stored| stored.sha256.hex()),
            None => Ok(String::new()),
        };
        if there.is_ok_and(|sha256| Some(sha256.as_str()) == parts.next()) {
            continue;
        }
        let message = format!(
            "{}: its head {text} is not in this archive's chain",
            file.display()
        );
        return Err(Failure::new(Exit::Usage, message).remedy(format!(
            "It is the verification of another archive, or this one was rewritten since: `cxvault verify \
             --expect-head {text}` tells."
        )));
    }
    Ok(())
}

/// Gives the whole page its name at once, so that nobody mails half of it.
fn write_new(path: &Path, page: &[u8]) -> Result<u64> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let cannot = |error: io::Error| {
        Failure::new(Exit::Usage, format!("cannot write {}", path.display()))
            .because(error)
            .remedy("Name a file in a folder that exists and where you may write.")
    };
    let mut new = tempfile::Builder::new();
    new.prefix(".cxvault-report-");
    // As any new file: what the user's umask lets others read.
    #[cfg(unix)]
    new.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = new.tempfile_in(folder).map_err(cannot)?;
    file.write_all(page)
        .and_then(|()| file.as_file().sync_all())
        .map_err(cannot)?;
    file.persist_noclobber(path)
        .map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists(path),
            _ => cannot(error.error),
        })?;
    Ok(page.len() as u64)
}

fn exists(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} exists, and is left as it is", path.display()),
    )
    .remedy("Name another file, or move that one away.")
}

fn tell(report: &Report, path: &Path, bytes: u64, exit: Exit, context: &Context) {
    #[derive(Serialize)]
    struct ReportEvent<'a> {
        event: &'static str,
        file: &'a Path,
        bytes: u64,
        exit: u8,
        standing: page::ArchiveCondition,
        verdict: &'a str,
        sub_accounts: usize,
        damaged: usize,
    }
    let verdict = page::verdict(report);
    context.output.event(&ReportEvent {
        event: "report",
        file: path,
        bytes,
        exit: exit.code(),
        standing: report.standing(),
        verdict: &verdict,
        sub_accounts: report.chains.len(),
        damaged: report.damaged.len(),
    });
    context.output.print_info(format_args!(
        "{verdict}\nwritten to {} ({})",
        path.display(),
        size(bytes)
    ));
}
