//! `cxvault evidence`: writes everything that an auditor needs for a period into one folder.
//!
//! The folder can be checked without cxvault: its README.txt explains the steps, and check.sh does them with `jq`,
//! `sha256sum`, `ssh-keygen` and DuckDB (FORMAT.md, "Evidence packs").
//!
//! It contains the whole chains of the sub-accounts and the roster, the Parquet files of the period, the allowed_signers if they
//! are known, and the checksums of all these files. Files are copied as they are, byte by byte, so that their hashes are
//! those of the archive. SHA256SUMS is written last: a folder without it was left by a command that was interrupted, and the
//! next command refuses the folder because it is not empty.

use crate::audit::evidence;
use crate::audit::evidence::{EvidenceCounts, TrustedKeys};
use crate::audit::pack::{FinishedPack, Pack};
use crate::cli::audit::EvidenceArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, count, size};

/// Writes the evidence of a range of days into a new folder.
///
/// # Errors
/// [`Exit::Usage`] for a folder or an allowed_signers file that cannot be used; [`Exit::Integrity`] for a damaged chain
/// or part.
pub(crate) async fn run(
    args: &EvidenceArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let days = args.range.days()?;
    let file = args
        .allowed_signers
        .as_deref()
        .or(settings.allowed_signers_file.as_deref());
    let source = inspect::open(settings, args.allowed_signers.as_deref(), context).await?;
    // The text of the file is part of the folder; `open` has parsed it, or the settings have.
    let signers = match file {
        None => String::new(),
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!("cannot read {}", file.display()))
                .because(error)
                .remedy("Name a file in the format of OpenSSH's allowed_signers.")
        })?,
    };
    let sub_accounts = inspect::sub_accounts(&source, context).await?;
    let mut pack = Pack::begin(&args.out)?;
    let packed = evidence::pack(
        &source,
        &sub_accounts,
        &days,
        &TrustedKeys {
            text: &signers,
            identity: &settings.signer_identity,
        },
        SystemClock.now_ms(),
        &mut pack,
    )
    .await?;
    let finished = pack.finish()?;
    packed
        .left_out
        .iter()
        .for_each(|days| inspect::print_left_out(days, &context.output));
    print_summary(&packed, &finished, signers.is_empty(), args, context);
    Ok(Exit::Done)
}

/// Prints what the folder contains, and how to check it. The digest is for whoever gets the folder, by another way than the
/// folder itself: `check.sh` is part of the folder, and someone who changes both could make it say anything.
fn print_summary(
    packed: &EvidenceCounts,
    finished: &FinishedPack,
    without_signers: bool,
    args: &EvidenceArgs,
    context: &Context,
) {
    context.output.event(
        Event::new("evidence")
            .with("folder", &args.out)
            .with("files", finished.files)
            .with("digest", finished.digest)
            .with("manifests", packed.manifests)
            .with("rosters", packed.rosters)
            .with("parts", packed.parts)
            .with("bytes", packed.bytes)
            .with("heads", &packed.heads),
    );
    let signers = if without_signers {
        "\nThe folder does not say whose signatures to accept: use --allowed-signers to include that."
    } else {
        ""
    };
    let folder = args.out.display();
    context.output.print_info(format!(
        "{folder}: {}, {}, {}, {}\nCheck it by hand as README.txt says, or with: sh {folder}/check.sh{signers}\nDigest of the folder (the SHA-256 of its SHA256SUMS), to be sent separately: {}",
        count(packed.manifests, "manifest"),
        count(packed.rosters, "roster record"),
        count(packed.parts, "Parquet file"),
        size(packed.bytes),
        finished.digest,
    ));
}
