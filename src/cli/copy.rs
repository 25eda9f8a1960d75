//! The command that writes an archive into another place.

use clap::Args;

use crate::config::{Flags, LockPolicy, keys};
use crate::format::place::location::Location;
use crate::format::record::lock::Retention;

#[derive(Debug, Args)]
#[command(after_help = "\
Copies archive.json, every chain and every file that a manifest lists, each checked against the chain that names it;
leftovers of interrupted runs are not copied, nor are files of days that were disposed of. Killed at any moment, the same
command goes on, and later it brings the copy up to date: what is there is not put again. Of all sub-accounts, or those
named with --sub-account.

Locks are applied again as the chains ask for, longer retention and open legal holds included. --object-lock adds a
policy: what is put now gets the stronger of both. A folder, or a bucket without Object Lock, is refused where the
archive is locked, unless --without-locks says that the copy shall have none.

The copy bears a mark, copy.json: it can be read and verified as any archive, and it is not written to by run and
its like. The source needs read access only. Files on their way from a bucket lie in TMPDIR meanwhile, up to 16 at once.

In S3 the copy is reached as the archive is, but for what --to-endpoint and the others say; with --to-endpoint nothing is
taken from the archive's own way. Secrets are no flags: --to-profile names an AWS profile, or else
CXVAULT_COPY_ACCESS_KEY_ID and CXVAULT_COPY_SECRET_ACCESS_KEY_FILE are set.

Exit codes: 0 all of it is there; 2 this place cannot hold the copy; 4 an object is damaged, here or there, or the copy
was written to by somebody else; 5 interrupted, or a store did not answer: run it again.

Examples:
  cxvault copy --to /mnt/vault/ringcx --without-locks
  cxvault copy --to s3://other-bucket/ringcx --to-region eu-west-1 --to-profile vault
  cxvault copy --to s3://vault/ringcx --to-endpoint https://minio.example.com:9000 --to-path-style --object-lock compliance:7y
  cxvault copy --to s3://other-bucket/ringcx --dry-run")]
pub struct CopyArgs {
    /// Where the copy is to be: s3://bucket/prefix, or a folder
    #[arg(long, value_name = "LOCATION")]
    pub to: Location,
    /// S3 service of the copy [env: CXVAULT_COPY_ENDPOINT] [default: the archive's]
    #[arg(long, value_name = "URL")]
    pub to_endpoint: Option<String>,
    /// Region of the copy [env: CXVAULT_COPY_REGION] [default: the archive's]
    #[arg(long, value_name = "REGION")]
    pub to_region: Option<String>,
    /// Put the copy's bucket into the path, as MinIO wants it [env: CXVAULT_COPY_PATH_STYLE]
    #[arg(long)]
    pub to_path_style: bool,
    /// KMS key that encrypts the copy's objects [env: CXVAULT_COPY_KMS_KEY_ID]
    #[arg(long, value_name = "ID")]
    pub to_kms_key_id: Option<String>,
    /// AWS profile that writes the copy [env: CXVAULT_COPY_PROFILE] [default: as the archive is read]
    #[arg(long, value_name = "NAME")]
    pub to_profile: Option<String>,
    /// Lock what is put for this long as well, such as compliance:7y; the stronger of this and the chain's
    #[arg(long, value_name = "MODE:PERIOD", value_parser = policy)]
    pub object_lock: Option<Retention>,
    /// Apply no locks and no legal holds, though the archive has some
    #[arg(long, conflicts_with = "object_lock")]
    pub without_locks: bool,
    /// Read and hash what is there already, instead of believing its length and the store's checksum
    #[arg(long)]
    pub check: bool,
    /// Only show what would be copied
    #[arg(long)]
    pub dry_run: bool,
}

impl CopyArgs {
    /// The settings among the flags.
    pub fn set(&self, flags: &mut Flags) {
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

fn policy(text: &str) -> Result<Retention, String> {
    let policy = text
        .parse::<LockPolicy>()
        .map_err(|error| error.to_string())?;
    policy.0.ok_or_else(|| {
        "a copy gets the locks that the archive asks for; leave them out with --without-locks"
            .into()
    })
}
