//! `cxvault signers`: shows and changes the keys whose signatures count.
//!
//! `list` only reads. The other subcommands open all chains with all checks, commit one record to the chain of signers, and
//! store the new head at the anchor. That record is the only object that they write.

use std::path::Path;

use crate::chain::key_change::{KeyRequest, KeysChanged, change_keys};
use crate::chain::{Mode, Roster, signers};
use crate::cli::records::RecordArgs;
use crate::cli::signers::{SignersArgs, SignersBeginArgs, SignersChangeArgs, SignersCommand};
use crate::command::archive::anchor;
use crate::command::{Context, inspect, wiring};
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::KeyList;
use crate::format::signature::PublicKey;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, count, printable};

/// Runs the command.
///
/// # Errors
/// `Exit::Usage` for a change that is not possible; `Exit::Integrity` where a chain does not hold.
pub(crate) async fn run(
    args: &SignersArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    match &args.command {
        SignersCommand::List => list(settings, context).await,
        SignersCommand::Add(args) => {
            let keys = args.keys.iter().map(|text| public_key(text));
            let request = KeyRequest::Add(keys.collect::<Result<_>>()?);
            change(&request, args, settings, context).await
        }
        SignersCommand::Remove(args) => {
            let archive = inspect::open(settings, None, context).await?;
            let rules = archive.rules();
            let keys = args
                .keys
                .iter()
                .map(|text| removed_key(text, rules.current()));
            let request = KeyRequest::Remove(keys.collect::<Result<_>>()?);
            change(&request, args, settings, context).await
        }
        SignersCommand::Begin(args) => begin(args, settings, context).await,
    }
}

/// Prints the keys that count, and the records that changed them.
async fn list(settings: &Settings, context: &Context) -> Result<Exit> {
    let archive = inspect::open(settings, None, context).await?;
    let rules = archive.rules();
    let own = settings.signing_key()?.map(|key| key.public_key());
    let keys = rules.current();
    context.output.event(
        Event::new("signers")
            .with("archive", archive.store.root())
            .with("signed", rules.is_signed())
            .with("keys", keys)
            .with("own", own.map(|key| key.to_openssh_line())),
    );
    let mut lines = vec![match keys.len() {
        0 => "this archive is not signed".to_owned(),
        number => format!(
            "{} in {}",
            count(number as u64, "key"),
            archive.store.root()
        ),
    }];
    for key in keys.iter() {
        let is_own = match own.as_ref() == Some(key) {
            true => "  (this host's)",
            false => "",
        };
        lines.push(format!("  {}  {key}{is_own}", key.fingerprint()));
    }
    if let Some(own) = own.filter(|own| !keys.contains(own)) {
        lines.push(format!(
            "this host's key {} does not count",
            own.fingerprint()
        ));
    }
    for stored in signers::read_all(&archive).await? {
        let Some(change) = stored.envelope.manifest.change() else {
            continue;
        };
        context.output.event(
            Event::new("signers-change")
                .with("manifest", &stored.key)
                .with("sha256", stored.sha256)
                .with("committed_at", stored.envelope.manifest.run.finished_at)
                .with("begin", change.begin)
                .with("keys", &change.keys)
                .with("reason", &change.reason)
                .with("by", &change.by),
        );
        let verb = match change.begin {
            true => "begun",
            false => "changed",
        };
        lines.push(format!(
            "{verb} on {} by {}: {}, {}",
            stored.envelope.manifest.run.finished_at,
            stored.key,
            count(change.keys.len() as u64, "key"),
            printable(&change.reason)
        ));
    }
    context.output.print(lines.join("\n"));
    Ok(Exit::Done)
}

/// Adds or removes keys.
async fn change(
    request: &KeyRequest,
    args: &SignersChangeArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let settings = signing_with(args.sign_with.as_deref(), settings);
    commit(request, &args.record, &settings, context).await
}

/// Returns the settings with another signing key, where one is named.
fn signing_with(file: Option<&Path>, settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    if let Some(file) = file {
        settings.signing_key_file = Some(file.to_owned());
    }
    settings
}

/// Begins signing.
async fn begin(args: &SignersBeginArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let keys = args.keys.iter().map(|text| public_key(text));
    let request = KeyRequest::Begin(keys.collect::<Result<_>>()?);
    let settings = signing_with(args.sign_with.as_deref(), settings);
    commit(&request, &args.record, &settings, context).await
}

/// Commits the change, prints it, and stores the new head at the anchor.
async fn commit(
    request: &KeyRequest,
    args: &RecordArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let mode = Mode::of(args.dry_run);
    let writer = wiring::open_to_change_keys(settings, mode, context).await?;
    let mut roster = Roster::open_to_write(&writer, mode).await?;
    if mode == Mode::Act {
        writer.check_create_only().await?;
    }
    let (reason, by) = (args.reason.as_str(), args.by.as_deref());
    let changed = change_keys(&writer, &mut roster, request, reason, by, mode).await?;
    let head = changed
        .head
        .as_ref()
        .map(|head| head.of_chain(key::SIGNERS));
    let foreign = &changed.with_foreign_objects;
    context.output.event(
        Event::new("signers-changed")
            .with("archive", writer.store.root())
            .with("keys", &changed.keys)
            .with("unchanged", changed.is_unchanged)
            .with("foreign", foreign)
            .with("head", &head)
            .with_if(mode == Mode::DryRun, "dry_run", true),
    );
    let mut lines = vec![summary(&changed, mode)];
    lines.extend(
        changed
            .keys
            .iter()
            .map(|key| format!("  {}  {key}", key.fingerprint())),
    );
    if !foreign.is_empty() {
        lines.push(format!(
            "objects beyond the head of {} do not count: if a run was under way, the next one archives its days again",
            foreign.join(", ")
        ));
    }
    lines.extend(head.iter().map(|head| format!("head {head}")));
    context.output.print_info(lines.join("\n"));
    let exit = match foreign.is_empty() {
        true => Exit::Done,
        false => Exit::Gaps,
    };
    let anchored = anchor::settle(&writer, &[], mode, context).await;
    Ok(Exit::worst([exit, anchored]))
}

/// Returns the first line of the result.
fn summary(changed: &KeysChanged, mode: Mode) -> String {
    let keys = count(changed.keys.len() as u64, "key");
    match (changed.is_unchanged, mode) {
        (true, _) => format!("{keys} count already; there is nothing to do"),
        (false, Mode::DryRun) => format!("{keys} would count; nothing was committed"),
        (false, Mode::Act) => format!("{keys} count from now on"),
    }
}

/// Reads a public key: a line, or a file with one as its first line.
fn public_key(text: &str) -> Result<PublicKey> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("cannot use the key {}: {error}", printable(text)))
            .remedy("Name the file of a public key, such as signing.key.pub, or its line.")
    };
    if text.starts_with("ssh-") {
        return text.parse().map_err(|error| unusable(&error));
    }
    let line = std::fs::read_to_string(Path::new(text)).map_err(|error| unusable(&error))?;
    let first = line.lines().find(|line| !line.trim().is_empty());
    first
        .unwrap_or_default()
        .parse()
        .map_err(|error| unusable(&error))
}

/// Returns a key that is to be removed, also by its fingerprint.
fn removed_key(text: &str, current: &KeyList) -> Result<PublicKey> {
    let key = match text.starts_with("SHA256:") {
        true => current
            .iter()
            .copied()
            .find(|key| key.fingerprint() == text),
        false => Some(public_key(text)?),
    };
    key.ok_or_else(|| {
        Failure::usage(format!(
            "no key that counts has the fingerprint {}",
            printable(text)
        ))
        .remedy("`cxvault signers list` names the keys that count.")
    })
}
