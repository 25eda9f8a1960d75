//! `cxvault check-receipt`: checks a receipt, offline and without any other file.
//!
//! The check needs neither archive nor settings, so a court or a customer can do it. What a receipt cannot prove by
//! itself is that its head is the archive's: that takes a head from a second source (`--expect-head`).
//!
//! The check recomputes the hashes of the summaries, the Merkle root that follows from the row and its audit path (RFC 9162,
//! section 2.1.3.2), the hash of each manifest and the links up to the head, and verifies the signatures. The command reads
//! the receipt and the allowed_signers, and writes nothing.

use crate::cli::audit::CheckReceiptArgs;
use crate::command::{Context, inspect};
use crate::format::record::{Proven, Receipt};
use crate::format::signature::AllowedSigners;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, printable};

/// Checks a receipt and prints what it proves.
///
/// # Errors
/// [`Exit::Usage`] if the file is not a receipt; [`Exit::Integrity`] if the receipt is not valid.
pub(crate) fn run(args: &CheckReceiptArgs, context: &Context) -> Result<Exit> {
    let file = args.file.display();
    let text = std::fs::read(&args.file).map_err(|error| {
        Failure::usage(format!("cannot read {file}"))
            .because(error)
            .remedy("Name a receipt that `cxvault prove` has written.")
    })?;
    let receipt = Receipt::read(&text).map_err(|error| {
        Failure::usage(format!("{file} is not a receipt"))
            .because(place_of(&error))
            .remedy("Name a receipt that `cxvault prove` has written; a changed one may no longer be one.")
    })?;
    let allowed = match &args.allowed_signers {
        Some(file) => inspect::allowed_signers(file, &args.signer_identity)?,
        None => AllowedSigners::default(),
    };
    let proven = receipt.check(&allowed, &args.expect_head).map_err(|error| {
        Failure::integrity(format!("{file} does not hold: {error}"))
            .remedy("Do not rely on it; ask for another, and for the head of the chain from a second source.")
    })?;
    print_summary(&proven, &allowed, args, context);
    Ok(Exit::Done)
}

/// Returns the place of a JSON error without the text around it: a receipt contains summaries.
fn place_of(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// Prints what the receipt proves, and what it does not.
///
/// Three sentences depend on what the reader has brought: whether the signer is known, whether a head was expected, and whether
/// later manifests of the day may contain a newer row.
fn print_summary(
    proven: &Proven,
    allowed: &AllowedSigners,
    args: &CheckReceiptArgs,
    context: &Context,
) {
    context
        .output
        .event(Event::new("receipt-holds").merge(proven));
    let Proven {
        sub_account,
        date,
        revision,
        head,
        ..
    } = proven;
    let signed = match (proven.signed_by.as_slice(), allowed.is_empty()) {
        ([], _) => {
            "The manifest is not signed: a user with write access to the archive could have created this receipt.".to_owned()
        }
        (keys, true) => format!(
            "Signed by {}; decide whether you trust that key.",
            keys.join(", ")
        ),
        (keys, false) => format!("Signed by {}, an allowed signer.", keys.join(", ")),
    };
    let later = match proven.later_manifests_of_day.as_slice() {
        [] => "Up to that head, the chain has no later manifest of the day.".to_owned(),
        numbers => {
            format!("Later manifests of the day, which may contain a newer row: {numbers:?}.")
        }
    };
    let comparison = if args.expect_head.is_empty() {
        "\nThat head comes from the receipt itself: compare it with a head that was stored elsewhere (--expect-head)."
    } else {
        "\nThe expected heads are in its chain."
    };
    context.output.print_info(format!(
        "HOLDS: this row of segment {} was committed on {} as part of {sub_account} {date}, revision {revision}.\n\
         Its summaries have the SHA-256 that was recorded when they were fetched.\n\
         The chain leads to head {head}.{comparison}\n{signed}\n{later}",
        printable(&proven.segment),
        proven.committed_at,
    ));
}
