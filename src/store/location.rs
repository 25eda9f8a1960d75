//! Where an archive is, as a user writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The root of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    Folder(PathBuf),
    S3 {
        bucket: String,
        /// Without slashes at its ends; empty for the bucket's own root.
        prefix: String,
    },
}

/// A text is no location of an archive; the message says which part, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an archive's location: {reason}")]
pub struct NotALocation {
    text: String,
    reason: &'static str,
}

const FORMS: &str = "write s3://bucket/prefix or a folder";

impl FromStr for Location {
    type Err = NotALocation;

    fn from_str(text: &str) -> Result<Self, NotALocation> {
        let refuse = |reason| {
            Err(NotALocation {
                text: without_user(text),
                reason,
            })
        };
        let text = text.trim();
        if text.is_empty() {
            return refuse(FORMS);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            // A forgotten slash would otherwise make a folder of that name, and an archive nobody looks for.
            let typo = ["s3:", "file:"]
                .iter()
                .any(|start| text.to_ascii_lowercase().starts_with(start));
            return if typo {
                refuse(FORMS)
            } else {
                Ok(Location::Folder(PathBuf::from(text)))
            };
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => s3(rest).or_else(refuse),
            "file" => folder(rest).or_else(refuse),
            "http" | "https" => refuse(
                "an S3-compatible server is set by CXVAULT_S3_ENDPOINT, the location stays s3://bucket/prefix",
            ),
            "gs" | "gcs" | "az" | "azure" | "abfs" | "abfss" | "wasbs" | "s3a" | "s3n"
            | "minio" => refuse(
                "only S3 and folders are supported; for an S3-compatible service write s3://bucket/prefix",
            ),
            _ => refuse(FORMS),
        }
    }
}

/// A URL without `user:password@`, which must not reach a message.
fn without_user(text: &str) -> String {
    match text
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)))
    {
        Some((scheme, (_, rest))) => format!("{scheme}://{rest}"),
        None => text.to_owned(),
    }
}

fn s3(rest: &str) -> Result<Location, &'static str> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let letters =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(letters) {
        return Err("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens");
    }
    let odd = |part: &str| {
        matches!(part, "" | "." | "..") || !part.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !prefix.is_empty() && prefix.split('/').any(odd) || prefix.len() > 120 {
        return Err(
            "a prefix has at most 120 printable ASCII characters, without empty parts, `.` and `..`",
        );
    }
    Ok(Location::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn folder(rest: &str) -> Result<Location, &'static str> {
    const REASON: &str = "a file URL has an absolute path on this host: file:///folder";
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') || path.len() < 2 {
        return Err(REASON);
    }
    percent_decoded(path)
        .map(|path| Location::Folder(PathBuf::from(path)))
        .ok_or(REASON)
}

/// `%20` and the like made characters again; `None` when the text is no such encoding of UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Folder(path) => write!(out, "{}", path.display()),
            Location::S3 { bucket, prefix } if prefix.is_empty() => write!(out, "s3://{bucket}"),
            Location::S3 { bucket, prefix } => write!(out, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match text.parse::<Location>().expect(text) {
            Location::Folder(path) => format!("folder {}", path.display()),
            s3 @ Location::S3 { .. } => s3.to_string(),
        }
    }

    #[test]
    fn the_forms_a_user_writes() {
        for (text, expected) in [
            ("s3://my-bucket", "s3://my-bucket"),
            ("s3://my-bucket/", "s3://my-bucket"),
            ("S3://my-bucket/a/b/", "s3://my-bucket/a/b"),
            ("./archive", "folder ./archive"),
            ("/srv/archive", "folder /srv/archive"),
            ("file:///srv/my%20archive", "folder /srv/my archive"),
            ("file://localhost/srv", "folder /srv"),
            ("C:archive", "folder C:archive"),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_form_to_write() {
        for (text, hint) in [
            ("", "s3://bucket/prefix"),
            ("s3:/my-bucket", "s3://bucket/prefix"),
            ("s3://My_Bucket", "lower-case"),
            ("s3://", "3 to 63"),
            ("s3://my-bucket//a", "empty parts"),
            ("s3://my-bucket/a/../b", "`..`"),
            ("gs://my-bucket", "only S3 and folders"),
            ("https://minio.example:9000/bucket", "CXVAULT_S3_ENDPOINT"),
            ("file://server/share", "file:///folder"),
            ("file:///%zz", "file:///folder"),
            ("ftp://x", "s3://bucket/prefix"),
        ] {
            let error = text.parse::<Location>().expect_err(text).to_string();
            assert!(error.contains(hint), "{text}: {error}");
            assert!(error.contains(text), "{text}: {error}");
        }
        let error = "https://me:secret@host/bucket"
            .parse::<Location>()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("host/bucket") && !error.contains("secret"),
            "{error}"
        );
    }
}
