//! `cxvault prove`: writes a receipt for the row of one segment.
//!
//! Of several rows of the segment the newest is proved, unless `--revision` names another. The receipt also lists later
//! manifests of the day, because one of them may contain a newer row, which its holder would not see otherwise.
//!
//! The receipt contains the row, its audit path to the Merkle root of its file (RFC 9162, section 2.1.3), and the manifests
//! from the one that lists the file up to the head (FORMAT.md, "Receipts"). It reveals no other row. `cxvault check-receipt`
//! checks it without the archive.
//!
//! The file is created only after everything was read and checked. A command that is killed while it writes leaves an incomplete
//! file, which is not JSON and is refused by the check; delete it, since the command never overwrites a file.

use std::io::{self, Write as _};
use std::path::Path;

use crate::audit::find::{FoundRow, find};
use crate::audit::prove::prove;
use crate::cli::audit::ProveArgs;
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::record::Receipt;
use crate::outcome::{Exit, Failure, Result};
use crate::private;
use crate::render::{Event, count, printable, size};

/// Finds the row of a segment and writes its receipt into a new file.
///
/// # Errors
/// [`Exit::Usage`] if no row, or rows of several sub-accounts, are found, or the file exists; [`Exit::Integrity`] for a
/// damaged chain or part.
pub(crate) async fn run(args: &ProveArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = args.range.days()?;
    let source = inspect::open(settings, None, context).await?;
    let (mut candidates, mut left_out) = (Vec::new(), false);
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let (timeline, without) =
            inspect::readable(&source, &sub_account, &range, &context.output).await?;
        left_out |= without;
        let found = find(&source, &timeline, &args.segment_id).await?;
        let found = found.into_iter().filter(|found| is_named(found, args));
        candidates.extend(found.map(|found| (timeline.clone(), found)));
    }
    // Ids are unique within RingCX, but nothing here relies on that: a receipt must be about one row.
    let several = candidates
        .iter()
        .any(|(_, found)| found.sub_account != candidates[0].1.sub_account);
    if several {
        let message = format!("several sub-accounts have {}", printable(&args.segment_id));
        return Err(Failure::usage(message).remedy("Name one of them with --sub-account."));
    }
    // The newest row is the one that a reader of the archive would be shown.
    let newest = candidates
        .into_iter()
        .max_by_key(|(_, found)| found.revision.sequence);
    let Some((timeline, found)) = newest else {
        let but = inspect::but_for_disposed(left_out);
        let message = format!(
            "no row is archived of segment {}{but}",
            printable(&args.segment_id)
        );
        return Err(Failure::usage(message)
            .remedy("Check the id, --revision, --from, --to and --sub-account; `cxvault show ID` shows what there is."));
    };
    let receipt = prove(&source, &timeline, &found).await?;
    let text = receipt
        .to_text()
        .map_err(|error| Failure::unexpected("cannot write the receipt").because(error))?;
    write_new(&args.out, text.as_bytes())?;
    print_summary(&receipt, text.len(), args, context);
    Ok(Exit::Done)
}

/// Returns whether a row is of the segment, and of the revision if the command names one. [`find`] also returns the rows of a
/// dialog or an interaction with that id, and no receipt may be about another segment than its reader asked for.
fn is_named(found: &FoundRow, args: &ProveArgs) -> bool {
    found.row.segment.metadata.segment_id.as_ref() == Some(&args.segment_id)
        && args
            .revision
            .is_none_or(|revision| revision == found.row.revision)
}

/// Prints what the receipt is about and how to check it.
fn print_summary(receipt: &Receipt, bytes: usize, args: &ProveArgs, context: &Context) {
    let Receipt {
        sub_account,
        date,
        revision,
        head,
        later_manifests_of_day,
        chain,
        ..
    } = receipt;
    let file = args.out.as_path();
    context.output.event(
        Event::new("receipt")
            .with("file", file)
            .with("sub_account", sub_account)
            .with("date", date)
            .with("revision", revision)
            .with("head", head)
            .with("later_manifests_of_day", later_manifests_of_day),
    );
    let later = match later_manifests_of_day.len() {
        0 => "The chain has no later manifest of that day.".to_owned(),
        n => format!(
            "The chain has {} of that day, which may contain a newer row.",
            count(n as u64, "later manifest")
        ),
    };
    context.output.print_info(format!(
        "{}: {}, row of {sub_account} {date}, revision {revision}, with {} up to head {head}\n{later}\nCheck it \
         with: cxvault check-receipt {}",
        file.display(),
        size(bytes as u64),
        count(chain.len() as u64, "manifest"),
        file.display(),
    ));
}

/// Creates a file that only this user can read. An existing file is never overwritten.
///
/// # Errors
/// [`Exit::Usage`] if the file exists or cannot be written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let opened = private::create_new(path);
    opened
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| {
            let exists = error.kind() == io::ErrorKind::AlreadyExists;
            let what = if exists {
                "exists, and is left as it is"
            } else {
                "cannot be written"
            };
            Failure::usage(format!("{} {what}", path.display()))
                .because(error)
                .remedy("Name another file with --out.")
        })
}
