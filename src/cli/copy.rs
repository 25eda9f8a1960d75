//! Flags of the command that writes an archive into another place.

use clap::Args;

use crate::config::{Flags, LockPolicy, keys};
use crate::format::place::location::Location;
use crate::format::record::Retention;

/// Flags of `cxvault copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Copies archive.json, every chain, and every file that a manifest lists; each is
checked against the chain that names it. Files of interrupted runs that no
manifest lists are not copied, nor are files of disposed days. After an
interruption, the same command continues; later, it brings the copy up to date
without writing existing objects again. --sub-account limits it to some
sub-accounts.

Locks are applied as the chains require, including longer retention and open
legal holds. --object-lock adds a policy; each new object gets the stronger of
both. If the archive is locked, a folder or a bucket without Object Lock is
refused unless --without-locks accepts a copy without locks.

The copy is marked by copy.json: every command can read and verify it, but
cxvault run and other writing commands refuse to write to it. The source needs
read access only. Files from a bucket pass through TMPDIR, up to 16 at a time.

The copy's S3 service is accessed with the archive's settings, except for what
--to-endpoint and the other --to flags replace; with --to-endpoint, no setting
of the archive is used. Secrets cannot be flags: name an AWS profile with
--to-profile, or set CXVAULT_COPY_ACCESS_KEY_ID and
CXVAULT_COPY_SECRET_ACCESS_KEY_FILE.

Exit codes: 0 the copy is complete; 2 the copy cannot be stored in this place;
4 an object is damaged, in the archive or in the copy, or another program has
changed the copy; 5 interrupted, or a store did not answer: run it again.

Examples:
  cxvault copy --to /mnt/vault/ringcx --without-locks
  cxvault copy --to s3://vault/ringcx --to-region eu-west-1 --to-profile vault
  cxvault copy --to s3://vault/ringcx --to-path-style \\
      --to-endpoint https://minio.example.com:9000 --object-lock compliance:7y
  cxvault copy --to s3://vault/ringcx --dry-run")]
pub struct CopyArgs {
    /// Location of the copy: s3://bucket/prefix, or a folder
    #[arg(long, value_name = "LOCATION")]
    pub to: Location,
    /// S3 service of the copy [env: CXVAULT_COPY_ENDPOINT] [default: the archive's]
    #[arg(long, value_name = "URL")]
    pub to_endpoint: Option<String>,
    /// Region of the copy [env: CXVAULT_COPY_REGION] [default: the archive's]
    #[arg(long, value_name = "REGION")]
    pub to_region: Option<String>,
    /// Put the copy's bucket into the URL's path, as MinIO requires
    /// [env: CXVAULT_COPY_PATH_STYLE]
    #[arg(long)]
    pub to_path_style: bool,
    /// KMS key that encrypts the copy's objects [env: CXVAULT_COPY_KMS_KEY_ID]
    #[arg(long, value_name = "ID")]
    pub to_kms_key_id: Option<String>,
    /// AWS profile for writing the copy [env: CXVAULT_COPY_PROFILE]
    /// [default: the archive's credentials]
    #[arg(long, value_name = "NAME")]
    pub to_profile: Option<String>,
    /// Also lock new objects for this period, such as compliance:7y; the stronger
    /// of this and the chain's lock applies
    #[arg(long, value_name = "MODE:PERIOD", value_parser = policy)]
    pub object_lock: Option<Retention>,
    /// Apply no locks and no legal holds, although the archive has some
    #[arg(long, conflicts_with = "object_lock")]
    pub without_locks: bool,
    /// Read and hash the objects that the copy already has, instead of comparing
    /// their lengths and the store's checksums
    #[arg(long)]
    pub check: bool,
    /// Show what would be copied, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl CopyArgs {
    /// Adds the flags that are settings to `flags`.
    pub(super) fn add_to(&self, flags: &mut Flags) {
        let texts = [
            (&keys::COPY_ENDPOINT, "--to-endpoint", &self.to_endpoint),
            (&keys::COPY_REGION, "--to-region", &self.to_region),
            (
                &keys::COPY_KMS_KEY_ID,
                "--to-kms-key-id",
                &self.to_kms_key_id,
            ),
            (&keys::COPY_PROFILE, "--to-profile", &self.to_profile),
        ];
        for (key, flag, value) in texts {
            if let Some(value) = value {
                flags.set(key, flag, value);
            }
        }
        if self.to_path_style {
            flags.set(&keys::COPY_PATH_STYLE, "--to-path-style", "true");
        }
    }
}

/// Parses a lock policy. `none` is refused: the copy gets the archive's locks unless `--without-locks` is given.
fn policy(text: &str) -> Result<Retention, String> {
    let policy = text
        .parse::<LockPolicy>()
        .map_err(|error| error.to_string())?;
    policy.0.ok_or_else(|| {
        "a copy gets the locks that the archive requires; omit them with --without-locks".into()
    })
}
