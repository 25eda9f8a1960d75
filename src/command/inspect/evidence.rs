//! `cxvault evidence`: writes everything that an auditor needs for a period into one folder.

use serde::Serialize;

use crate::audit::evidence;
use crate::audit::pack::Pack;
use crate::cli::audit::EvidenceArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{count, size};

/// Writes the evidence of a range of days into a new folder.
///
/// # Errors
/// [`Exit::Usage`] for a folder or an allowed_signers file that cannot be used; [`Exit::Integrity`] for a damaged chain
/// or part.
pub async fn run(args: &EvidenceArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let days = args.range.days()?;
    let file = args
        .allowed_signers
        .as_deref()
        .or(settings.allowed_signers_file.as_deref());
    let source = inspect::open(settings, args.allowed_signers.as_deref(), context).await?;
    let signers = match file {
        None => String::new(),
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot read {}", file.display()))
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
        &signers,
        SystemClock.now_ms(),
        &mut pack,
    )
    .await?;
    let files = pack.finish()?;
    packed
        .left_out
        .iter()
        .for_each(|days| inspect::print_left_out(days, &context.output));

    #[derive(Serialize)]
    struct EvidenceEvent<'a> {
        event: &'static str,
        folder: &'a std::path::Path,
        files: u64,
        manifests: u64,
        rosters: u64,
        parts: u64,
        bytes: u64,
        heads: &'a [String],
    }
    let evidence::EvidenceCounts {
        manifests,
        rosters,
        parts,
        bytes,
        heads,
        ..
    } = &packed;
    let (manifests, rosters, parts, bytes) = (*manifests, *rosters, *parts, *bytes);
    context.output.event(&EvidenceEvent {
        event: "evidence",
        folder: &args.out,
        files,
        manifests,
        rosters,
        parts,
        bytes,
        heads,
    });
    let whose = if signers.is_empty() {
        "\nThe folder does not say whose signatures to accept: use --allowed-signers to include that."
    } else {
        ""
    };
    context.output.print_info(format!(
        "{}: {}, {}, {}, {}\nCheck it by hand as README.txt says, or with: sh {}/check.sh{whose}",
        args.out.display(),
        count(manifests, "manifest"),
        count(rosters, "roster record"),
        count(parts, "Parquet file"),
        size(bytes),
        args.out.display(),
    ));
    Ok(Exit::Done)
}
