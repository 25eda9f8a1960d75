//! The location of an archive, of its anchor or of a copy, as a user writes it.
//!
//! There is one grammar for settings, flags and everything else: `s3://bucket/prefix`, or the path of a folder. All other
//! texts are errors that say what to write instead; in particular no text is taken for a folder by mistake, since the
//! program would create that folder and put an archive where no reader will search for it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

/// What an S3 prefix may be long, in bytes. An object key has at most 1,024 bytes, and the longest key below a prefix
/// must fit beside it.
const LONGEST_PREFIX: usize = 120;

const FORMS: &str = "write s3://bucket/prefix, or a folder's path";

/// The root of an archive, of its anchor or of a copy.
///
/// # Examples
/// ```
/// use cxvault::format::place::location::Location;
///
/// let location: Location = "s3://my-bucket/ringcx/".parse()?;
/// assert!(location.is_s3());
/// assert_eq!(location.to_string(), "s3://my-bucket/ringcx");
///
/// let error = "s3://My_Bucket".parse::<Location>().unwrap_err();
/// assert!(error.to_string().contains("lower-case letters"));
/// # Ok::<(), cxvault::format::place::location::LocationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this host, absolute or relative to the working directory.
    Folder(PathBuf),
    /// A prefix of an S3 bucket.
    S3 {
        /// Name of the bucket, or the alias of an access point.
        bucket: String,
        /// Without slashes at its ends; empty for the root of the bucket.
        prefix: String,
    },
}

/// A text that is not a location: it completes the sentence "KEY: ..." and says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a location: {reason}")]
pub struct LocationError {
    /// The text, without a user name and a password.
    text: String,
    reason: &'static str,
}

impl Location {
    /// Returns whether this is a location in S3.
    pub fn is_s3(&self) -> bool {
        matches!(self, Location::S3 { .. })
    }

    /// Returns whether `other` is this location or lies below it, as far as their texts say.
    pub fn contains(&self, other: &Location) -> bool {
        match (self, other) {
            (Location::Folder(outer), Location::Folder(inner)) => inner.starts_with(outer),
            (
                Location::S3 { bucket, prefix },
                Location::S3 {
                    bucket: other_bucket,
                    prefix: other_prefix,
                },
            ) => bucket == other_bucket && Path::new(other_prefix).starts_with(prefix),
            _ => false,
        }
    }

    /// Returns whether `text` was meant as a URL: such a text is never the path of a folder.
    pub(crate) fn is_url(text: &str) -> bool {
        let text = text.trim_start().to_ascii_lowercase();
        text.contains("://") || text.starts_with("s3:") || text.starts_with("file:")
    }
}

impl FromStr for Location {
    type Err = LocationError;

    /// Reads a location. Blanks around it are ignored.
    fn from_str(text: &str) -> Result<Self, LocationError> {
        let text = text.trim();
        let location = if Self::is_url(text) {
            s3(text)
        } else {
            folder(text)
        };
        location.map_err(|reason| LocationError {
            text: printable(text),
            reason,
        })
    }
}

impl fmt::Display for Location {
    /// Writes the canonical text, which reads back as the same location.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Folder(path) => write!(out, "{}", path.display()),
            Location::S3 { bucket, prefix } if prefix.is_empty() => write!(out, "s3://{bucket}"),
            Location::S3 { bucket, prefix } => write!(out, "s3://{bucket}/{prefix}"),
        }
    }
}

fn folder(text: &str) -> Result<Location, &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(
            "it is empty or has control characters; write s3://bucket/prefix, or a folder's path",
        );
    }
    if text.starts_with('~') {
        // Only a shell replaces it; a folder of that very name would be created.
        return Err("write s3://bucket/prefix, or a folder's path without `~`");
    }
    Ok(Location::Folder(PathBuf::from(text)))
}

fn s3(text: &str) -> Result<Location, &'static str> {
    let url = Url::parse(text).map_err(|_| FORMS)?;
    match url.scheme() {
        "s3" => {}
        "file" => return Err("write a folder as a path, without file://"),
        "http" | "https" => {
            return Err(
                "write s3://bucket/prefix; CXVAULT_S3_ENDPOINT names a service other than Amazon S3",
            );
        }
        _ => return Err("only S3 and folders are supported; write s3://bucket/prefix"),
    }
    let bucket = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or("there is no bucket name after s3://; write s3://bucket/prefix")?;
    check_bucket(bucket)?;
    // The parser resolves `.` and `..` and escapes what a URL cannot hold, but S3 takes keys literally. So the text has
    // to be what the parser would write; that also refuses a user, a port, a query and a fragment.
    let is_literal = text == format!("s3://{bucket}{}", url.path());
    let prefix = url.path().trim_end_matches('/');
    let prefix = prefix.strip_prefix('/').unwrap_or(prefix);
    if !is_literal || prefix.split('/').any(str::is_empty) && !prefix.is_empty() {
        return Err(
            "a prefix is printable ASCII without `?`, `#`, empty parts, `.` and `..`; write s3://bucket/prefix",
        );
    }
    if prefix.len() > LONGEST_PREFIX {
        return Err("a prefix has at most 120 characters");
    }
    Ok(Location::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

/// Checks the naming rules of general purpose buckets:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.
///
/// The suffix `-s3alias` passes although no bucket can have it: S3 takes the alias of an access point wherever it takes
/// the name of a bucket. Directory buckets (`--x-s3`) and table buckets (`--table-s3`) have neither versions nor Object
/// Lock, so that an archive cannot be in them.
fn check_bucket(name: &str) -> Result<(), &'static str> {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    if !(3..=63).contains(&name.len())
        || !bytes
            .iter()
            .all(|&byte| is_alphanumeric(byte) || b"-.".contains(&byte))
    {
        return Err("a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens");
    }
    let ends = [bytes.first(), bytes.last()];
    if !ends
        .into_iter()
        .flatten()
        .all(|&byte| is_alphanumeric(byte))
    {
        return Err("a bucket name begins and ends with a letter or a digit");
    }
    let is_address = name.split('.').count() == 4
        && !name
            .bytes()
            .any(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if name.contains("..") || is_address {
        return Err("a bucket name has no two dots side by side, and is not an IP address");
    }
    let is_reserved = ["xn--", "sthree-", "amzn-s3-demo-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || ["--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
    if is_reserved {
        return Err("Amazon S3 reserves bucket names with this beginning or end");
    }
    Ok(())
}

/// Returns `text` as a message may repeat it: without `user:password@` and control characters, and not too long.
fn printable(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let separator = if text.contains("://") { "://" } else { "" };
    [scheme, separator, rest]
        .concat()
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(80)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_forms_have_one_canonical_text() {
        for (text, is_s3, canonical) in [
            ("s3://my-bucket", true, "s3://my-bucket"),
            ("s3://my-bucket/", true, "s3://my-bucket"),
            (" s3://my-bucket/a/b/ ", true, "s3://my-bucket/a/b"),
            ("s3://my.bucket.1/a%20b", true, "s3://my.bucket.1/a%20b"),
            ("s3://ap-1234-s3alias/x", true, "s3://ap-1234-s3alias/x"),
            ("./archive", false, "./archive"),
            ("/srv/my archive", false, "/srv/my archive"),
            ("C:archive", false, "C:archive"),
            ("./~x", false, "./~x"),
        ] {
            let location: Location = text.parse().expect(text);
            assert_eq!(
                (location.is_s3(), location.to_string().as_str()),
                (is_s3, canonical)
            );
            assert_eq!(canonical.parse(), Ok(location), "{text}");
        }
    }

    #[test]
    fn refused_forms_are_answered_with_what_to_write() {
        let long = format!("s3://my-bucket/{}", "x".repeat(121));
        for (text, hint) in [
            ("", "s3://bucket/prefix"),
            ("~/archive", "without `~`"),
            ("a\nb", "a folder's path"),
            ("s3:/my-bucket", "s3://bucket/prefix"),
            ("s3:my-bucket", "s3://bucket/prefix"),
            ("S3://my-bucket/a", "s3://bucket/prefix"),
            ("s3://", "no bucket name"),
            ("s3:///a", "no bucket name"),
            ("s3://My_Bucket", "lower-case"),
            ("s3://b", "3 to 63"),
            ("s3://-bucket", "begins and ends"),
            ("s3://bucket.", "begins and ends"),
            ("s3://my..bucket", "side by side"),
            ("s3://192.168.5.4", "IP address"),
            ("s3://xn--bucket", "reserves"),
            ("s3://bucket--x-s3", "reserves"),
            ("s3://my-bucket//a", "empty parts"),
            ("s3://my-bucket/a/../b", "`..`"),
            ("s3://my-bucket/./b", "`..`"),
            ("s3://my-bucket/a b", "printable ASCII"),
            ("s3://my-bucket/\u{e4}", "printable ASCII"),
            ("s3://my-bucket/a?b", "`?`"),
            ("s3://my-bucket:9000/a", "s3://bucket/prefix"),
            (&long, "120"),
            ("gs://my-bucket", "only S3 and folders"),
            ("ftp://x", "only S3 and folders"),
            ("https://minio.example:9000/bucket", "CXVAULT_S3_ENDPOINT"),
            ("file:///srv/archive", "without file://"),
            ("file:srv", "without file://"),
        ] {
            let error = text.parse::<Location>().expect_err(text).to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        for text in ["https://me:hush@host/bucket", "s3://me:hush@bucket/x"] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_location_contains_itself_and_what_is_below() {
        let contains = |outer: &str, inner: &str| {
            let [outer, inner] = [outer, inner].map(|text| text.parse::<Location>().unwrap());
            outer.contains(&inner)
        };
        assert!(contains("s3://bucket", "s3://bucket/a"));
        assert!(contains("s3://bucket/a", "s3://bucket/a"));
        assert!(contains("/srv/a", "/srv/a/b"));
        assert!(!contains("s3://bucket/a", "s3://bucket/ab"));
        assert!(!contains("s3://bucket/a", "s3://bucket"));
        assert!(!contains("/srv/a", "s3://bucket/a"));
    }
}
