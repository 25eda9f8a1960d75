//! Flags of the commands about the keys whose signatures count.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::records::RecordArgs;

/// Subcommands of `cxvault signers`.
#[derive(Debug, Args)]
#[command(after_help = "\
A signed archive lists the keys whose signatures count. The first run lists the
key of its host; later changes are records of a chain of their own, signed by a
key that counted before. In a signed archive whatever no such key has signed is
ignored and reported, and a writer without such a key is refused.

List a second key on the first day, and keep it offline: with it alone a key
that was lost or stolen can be replaced later (docs/operators.md).

Examples:
  cxvault signers list
  cxvault signers add second.key.pub --reason 'offline key, in the safe'
  cxvault signers remove SHA256:... --reason 'host replaced'
  cxvault signers begin --reason 'signing from today on'")]
pub struct SignersArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SignersCommand,
}

/// What to do with the keys that count.
#[derive(Debug, Subcommand)]
pub enum SignersCommand {
    /// Show the keys that count, and how they changed
    List,
    /// Let further keys count
    Add(SignersChangeArgs),
    /// Let keys no longer count
    Remove(SignersChangeArgs),
    /// Begin signing in an archive that is not signed
    Begin(SignersBeginArgs),
}

/// Flags of `cxvault signers add` and `cxvault signers remove`.
#[derive(Debug, Args)]
#[command(after_help = "\
The record is signed with the configured signing key, or with the key of
--sign-with, which must count now. That is needed where the host's own key is
the new one. Records up to the present heads of all chains are judged by the
keys before. Change keys while no run is under way: a record that a run commits
meanwhile with a key that is removed does not count, and is archived again.

Examples:
  cxvault signers add new.key.pub --sign-with old.key --reason 'new host'
  cxvault signers remove old.key.pub --reason 'old host is gone' --dry-run")]
pub struct SignersChangeArgs {
    /// Public keys: files, lines (ssh-ed25519 AAAA...), or for remove
    /// fingerprints (SHA256:...)
    #[arg(value_name = "KEY", required = true)]
    pub keys: Vec<String>,
    /// Sign with the private key in this file [default: the signing key]
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,
    /// Origin of the record.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Flags of `cxvault signers begin`.
#[derive(Debug, Args)]
#[command(after_help = "\
The record is signed with the configured signing key, or the key of --sign-with,
and lists it and the keys that are named. It vouches for everything that the archive has so far: verify
it first, since nobody signed it. From then on every record must be signed.

Examples:
  cxvault signers begin second.key.pub --reason 'signing from today on'")]
pub struct SignersBeginArgs {
    /// Further public keys that count: files or lines (ssh-ed25519 AAAA...)
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Sign with the private key in this file [default: the signing key]
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,
    /// Origin of the record.
    #[command(flatten)]
    pub record: RecordArgs,
}
