//! `cxvault verify`: prints findings while it reads, and a verdict at the end.
//!
//! The checks themselves are in [`crate::audit::verify`], which shares no code with the writer. Here the flags become
//! options, the anchors are opened, and findings are printed at once: a verification of years takes hours, and must not
//! keep a violation to itself until it ends.
//!
//! The command reads the archive and the anchors, and writes nothing. Three levels differ in what is read: `quick` reads
//! records and asks the store about each file, `full` also reads and hashes the files, `deep` also checks each row in them.
//! A verification that is stopped has printed the findings so far but no verdict, and therefore proves nothing; it begins
//! anew next time. `--subset` divides the files among several calls for archives that are too large for one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::audit::anchors::Anchors;
use crate::audit::verify;
use crate::audit::verify::finding::{Finding, Severity};
use crate::audit::verify::{Level, VerifyOptions, VerifyProgress, VerifyTotals};
use crate::cli::audit::VerifyArgs;
use crate::clock::SystemClock;
use crate::command::archive::anchor;
use crate::command::{Context, inspect, wiring};
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Amount, Event, Output, grouped, printable, size};
use crate::store::RetryingStore;

/// Verifies the archive and prints every finding.
///
/// # Errors
/// [`Exit::Usage`] if there is nothing to verify; [`Exit::Later`] if the store cannot be read. Findings are no errors:
/// they determine the exit code that is returned.
pub(crate) async fn run(args: &VerifyArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let options = VerifyOptions {
        days: args.range.days()?,
        sub_accounts: context.sub_accounts.clone(),
        level: args.level,
        subset: args.subset.map(|subset| (subset.n, subset.of)),
        heads: args.expect_head.clone(),
        anchors: anchors(args, settings, context).await?,
        allowed: inspect::trusted(settings, args.allowed_signers.as_deref())?,
    };
    let clock = Arc::new(SystemClock);
    let store = wiring::open_store(settings, clock.clone(), context).await?;
    let root = store.root();
    let meter = VerifyProgress::default();
    let output = &context.output;
    let progress = Amount::new(output, clock, "verifying");
    let totals = progress
        .during(
            verify::verify(
                store,
                &options,
                context.cancel.clone(),
                &meter,
                &|finding| {
                    print_finding(&finding, output);
                },
            ),
            || reading(&meter),
        )
        .await?;
    drop(progress);
    print_summary(&root, &options, &totals, output)
}

/// Opens the place of anchors that the flag or the settings name; `None` with `--no-anchor`, and where none is configured.
async fn anchors(
    args: &VerifyArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Anchors>> {
    let named = args.anchor.as_ref().or(settings.anchor.location.as_ref());
    let Some(location) = named.filter(|_| !args.no_anchor) else {
        return Ok(None);
    };
    let store = anchor::open_bare(settings, location).await?;
    let store = RetryingStore::new(store, Arc::new(SystemClock), context.cancel.clone());
    Ok(Some(Anchors::new(Arc::new(store))))
}

/// Returns the bytes that are done and the bytes in all, as far as they are known, and the progress in sub-accounts.
pub fn reading(meter: &VerifyProgress) -> (u64, u64, String) {
    let (done, all) = (
        meter.sub_accounts_done.load(Relaxed),
        meter.sub_accounts.load(Relaxed),
    );
    let (bytes_done, bytes) = (meter.bytes_done.load(Relaxed), meter.bytes.load(Relaxed));
    // How much there is to read is known for a chain only when its manifests have been read.
    // The remaining sub-accounts are assumed to be as large as those that are known.
    let expected = bytes / (done + 1).min(all.max(1)) * all.max(1);
    (
        bytes_done,
        expected.max(bytes),
        format!("{done}/{all} sub-accounts"),
    )
}

/// Prints one finding; notices only without `--quiet`.
fn print_finding(finding: &Finding, output: &Output) {
    output.event(Event::new("finding").merge(finding));
    let weight = match finding.severity {
        Severity::Violation => "VIOLATION",
        Severity::Gap => "GAP",
        Severity::Notice => "NOTICE",
    };
    if finding.severity == Severity::Notice && output.quiet {
        return;
    }
    let Finding {
        code,
        object,
        expected,
        found,
        meaning,
        ..
    } = finding;
    let [object, expected, found] = [object, expected, found].map(|text| printable(text));
    output.print(format!(
        "{weight:<9}  {}  {object}\n           expected {expected}; found {found}\n           {meaning}",
        code.name()
    ));
}

/// Prints the verdict and returns its exit code.
///
/// # Errors
/// [`Exit::Usage`] if the location has no archive at all: an empty folder must not be reported as intact.
fn print_summary(
    root: &str,
    options: &VerifyOptions,
    totals: &VerifyTotals,
    output: &Output,
) -> Result<Exit> {
    let exit = totals.exit();
    output.event(
        Event::new("verified")
            .with("archive", root)
            .with("level", options.level)
            .with("exit", exit.code())
            .merge(totals)
            .with("checked", options.checked(totals)),
    );
    if totals.manifests == 0 && totals.violations == 0 {
        return Err(
            Failure::usage(format!("there is nothing to verify at {root}")).remedy(
                "Name the archive's root with --archive (s3://bucket/prefix, or a folder).",
            ),
        );
    }
    output.print_info(summary(totals, options));
    Ok(exit)
}

/// Returns what limits the verdict: members of records that only a later program understands.
fn unread(totals: &VerifyTotals) -> String {
    match totals.records_unread {
        0 => String::new(),
        records => format!(
            "; this is said of what this program knows: {} more than that, of which only hashes and signatures were checked",
            match records {
                1 => "1 record holds".to_owned(),
                records => format!("{} records hold", grouped(records)),
            }
        ),
    }
}

/// Returns the numbers, the heads and the verdict for people. The verdict is the last line, so that it is in sight after years
/// of findings.
fn summary(totals: &VerifyTotals, options: &VerifyOptions) -> String {
    let VerifyTotals {
        days_complete,
        days_empty,
        days_incomplete,
        days_acknowledged,
        days_missing,
        ..
    } = totals;
    let level = match options.level {
        Level::Quick => "not read",
        Level::Full => "read and hashed",
        Level::Deep => "read, hashed, and checked row by row",
    };
    let signed = match (totals.signed_manifests, options.allowed.is_empty()) {
        (0, _) => "not signed".to_owned(),
        (signed, true) => format!("{} signed; the signers were not checked", grouped(signed)),
        (signed, false) => format!("{} signed by allowed signers", grouped(signed)),
    };
    let disposed = match totals.days_disposed {
        0 => String::new(),
        days => format!(", {} disposed of", grouped(days)),
    };
    let share = options
        .subset
        .map(|(n, of)| format!(" (share {n} of {of})"))
        .unwrap_or_default();
    let mut text = format!(
        "\nsub-accounts  {}\nmanifests     {} ({signed})\nrosters       {}\ndays          {} complete, {} empty, {} incomplete, {} acknowledged, {} missing{disposed}\nfiles{share}         {} ({level}; {})\n",
        grouped(totals.sub_accounts),
        grouped(totals.manifests),
        grouped(totals.rosters),
        grouped(*days_complete),
        grouped(*days_empty),
        grouped(*days_incomplete),
        grouped(*days_acknowledged),
        grouped(*days_missing),
        grouped(totals.files),
        size(totals.bytes),
    );
    if options.level == Level::Deep {
        text.push_str(&format!("rows          {}\n", grouped(totals.rows)));
    }
    for head in &totals.heads {
        text.push_str(&format!("head          {head}\n"));
    }
    text.push('\n');
    for sentence in options.checked(totals) {
        text.push_str(&format!("checked       {sentence}\n"));
    }
    text + &format!("\n{}{}", options.verdict(totals), unread(totals))
}
