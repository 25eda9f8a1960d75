//! Values that are names and addresses: they end up in paths, URLs and messages, so they are checked first.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::config::suggest::nearest;
use crate::config::value::{Invalid, Parsed, invalid};
use crate::format::place::key;
use crate::format::row::omit;
use crate::format::text::printable_start;

/// Declares a checked text.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub String);

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Parsed<Self> {
                let check: fn(&str) -> Parsed<String> = $check;
                check(text).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    )+};
}

texts! {
    /// A sub-account's or account's id or name: it becomes a part of object keys and of URLs.
    Id = id;
    /// Any text without control characters.
    Text = text;
    /// A folder or file.
    PathText = text;
    /// Where the archive is: `s3://bucket/prefix` or a folder.
    Location = location;
    /// The root of an HTTP service, without a slash at its end.
    BaseUrl = base_url;
    /// `channelClass` of a segment.
    ChannelClass = |text| class(text, &["VOICE", "DIGITAL"]);
    /// `segmentType` of a segment.
    SegmentType = |text| class(text, &["AGENT", "IVR", "BOT"]);
    /// A warning's code that shall not make a run exit 3, with what it is about after a colon.
    WarningCode = warning_code;
    /// A field of a segment's object that is not kept.
    Field = |text| omit::check_name(text).map(|()| text.into()).map_err(|why| Invalid(why.to_string()));
    /// Log levels, for all or by module: `info`, `info,cxvault::ringcx=debug`.
    LogFilter = log_filter;
}

fn id(text: &str) -> Parsed<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match text.len() {
        _ if text == key::ROSTER => {
            invalid("`roster` names the archive's own chain, and nothing else")
        }
        1..=64 if text.chars().all(plain) => Ok(text.into()),
        _ => invalid(format!(
            "`{}` is not an id; use 1 to 64 letters, digits, `_` or `-`",
            shown(text)
        )),
    }
}

/// Returns the beginning of what a user wrote, as a message may repeat it.
fn shown(text: &str) -> String {
    printable_start(text, 80)
}

fn text(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return invalid("it is empty or holds control characters");
    }
    Ok(text.into())
}

fn location(location: &str) -> Parsed<String> {
    let scheme = location
        .split_once(':')
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    let typo = scheme.is_some_and(|scheme| matches!(scheme.as_str(), "s3" | "file"))
        && !location.contains("://");
    // A folder of that very name would be made, and nobody would look for the archive there.
    if typo || location.starts_with('~') {
        return invalid("write s3://bucket/prefix, or a folder's path without `~`");
    }
    let Some((scheme, rest)) = location.split_once("://") else {
        return text(location);
    };
    let bucket = rest.split('/').next().unwrap_or_default();
    let bucket_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if scheme != "s3" {
        return invalid(format!(
            "`{}://` is not supported; write s3://bucket/prefix or a folder",
            shown(scheme)
        ));
    }
    if bucket.is_empty() || !bucket.chars().all(bucket_char) {
        return invalid("there is no bucket name after s3://; write s3://bucket/prefix");
    }
    let prefix = &rest[bucket.len()..];
    // S3 takes such keys literally, browsers and tools do not: two roots would look like one.
    if prefix
        .trim_matches('/')
        .split('/')
        .any(|part| matches!(part, "." | ".."))
        || prefix.contains("//")
    {
        return invalid("the prefix after the bucket has an empty part, `.` or `..`");
    }
    text(location.trim_end_matches('/'))
}

fn base_url(url: &str) -> Parsed<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return invalid("it is not a URL that begins with https://");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    // Not shown: what stands before an @ is a password, what stands behind a ? may be a token.
    if url.contains(['@', '?', '#']) || url.chars().any(|c| c.is_control() || c == ' ') {
        return invalid("a base URL must not hold `@`, `?`, `#` or blanks");
    }
    let (host, port) = split_port(authority);
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.is_empty() || !port_fits {
        return invalid(format!("`{}` has no host, or no valid port", shown(url)));
    }
    Ok(url.trim_end_matches('/').into())
}

/// Host and port; an IPv6 host without its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, rest.strip_prefix(':'));
    }
    authority
        .split_once(':')
        .map_or((authority, None), |(host, port)| (host, Some(port)))
}

impl BaseUrl {
    /// Whether what is sent there could be read on the way: plain HTTP to another machine.
    pub fn is_exposed(&self) -> bool {
        is_exposed(&self.0)
    }
}

/// Like [`BaseUrl::is_exposed`], of an address that may hold secrets.
pub(super) fn is_exposed(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let (host, _) = split_port(authority(rest));
    // Names below or beside `localhost` can be anybody's, so only the name itself and addresses count.
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    !loopback
}

/// Host and port of what follows the scheme, without a user and a password.
fn authority(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Whether a secret is an address at all; it must not be shown.
pub(super) fn is_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .unwrap_or_default();
    let (host, port) = split_port(authority(rest));
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    // A browser takes `\\` for `/`, and so would find another host than we do.
    !host.is_empty() && port_fits && !url.contains('\\')
}

impl Location {
    pub fn is_s3(&self) -> bool {
        self.0.starts_with("s3://")
    }
}

/// A documented value, or one that came later; but no misspelling, which would silently skip every segment.
fn class(text: &str, known: &[&'static str]) -> Parsed<String> {
    let upper = text.to_ascii_uppercase();
    let word = !upper.is_empty()
        && upper
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if known.contains(&upper.as_str()) {
        return Ok(upper);
    }
    match nearest(&upper, known.iter().copied()) {
        Some(meant) => invalid(format!(
            "`{}` is not known; did you mean `{meant}`?",
            shown(text)
        )),
        None if word => Ok(upper),
        None => invalid(format!(
            "`{}` is not one of {}",
            shown(text),
            known.join(", ")
        )),
    }
}

fn warning_code(text: &str) -> Parsed<String> {
    const KNOWN: [&str; 4] = [
        "low-volume",
        "first-day-empty",
        "summaries-stopped",
        "unlisted",
    ];
    let code = text.split(':').next().unwrap_or_default();
    if code.is_empty()
        || !code
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    {
        return invalid(format!(
            "`{}` is not a warning's code; one is low-volume",
            shown(text)
        ));
    }
    match nearest(code, KNOWN).filter(|meant| *meant != code) {
        Some(meant) => invalid(format!("`{code}` is not known; did you mean `{meant}`?")),
        None => Ok(shown(text)),
    }
}

fn log_filter(text: &str) -> Parsed<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let target = |target: &str| {
        !target.is_empty()
            && target
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
    };
    for part in text.split(',') {
        let (name, level) = part
            .split_once('=')
            .map_or((None, part), |(name, level)| (Some(name), level));
        if !LEVELS.contains(&level) || !name.is_none_or(target) {
            let part = shown(part);
            return invalid(format!(
                "`{part}` is not a log level; write one of {}",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_change_a_path_are_refused() {
        assert_eq!("99999999".parse(), Ok(Id("99999999".into())));
        for text in ["", "a/b", "..", "a b", "ä", "a%2f", &"x".repeat(65)] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn locations_are_a_bucket_or_a_folder() {
        for (text, parsed) in [
            ("s3://b/p/", "s3://b/p"),
            ("s3://b", "s3://b"),
            ("./x", "./x"),
        ] {
            assert_eq!(text.parse(), Ok(Location(parsed.into())));
        }
        for text in [
            "",
            "s3://",
            "s3:///p",
            "gs://b",
            "S3://b",
            "s3://b/../c",
            "s3://b//c",
            "s3://b c",
            "s3:b",
            "s3:/b/c",
            "~/x",
            "file:x",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_is_harmless_on_this_machine_only() {
        let exposed = |url: &str| url.parse::<BaseUrl>().unwrap().is_exposed();
        for url in [
            "https://a.example",
            "http://127.0.0.1:9000",
            "http://[::1]:80/x",
            "http://localhost",
        ] {
            assert!(!exposed(url), "{url}");
        }
        for url in [
            "http://a.example",
            "http://localhost.a.example",
            "http://127.0.0.1.a.example",
            "http://10.0.0.1",
        ] {
            assert!(exposed(url), "{url}");
        }
    }

    #[test]
    fn urls_that_hold_secrets_are_refused_without_showing_them() {
        for url in [
            "https://user:hunter2@a.example",
            "https://a.example/?key=hunter2",
        ] {
            let error = url.parse::<BaseUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        for url in [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https://a:x",
            "https://a:0",
            "https:// a",
        ] {
            assert!(url.parse::<BaseUrl>().is_err(), "{url}");
        }
    }

    #[test]
    fn misspelled_classes_are_refused_and_new_ones_are_not() {
        assert_eq!("voice".parse(), Ok(ChannelClass("VOICE".into())));
        assert_eq!("HOLOGRAM".parse(), Ok(ChannelClass("HOLOGRAM".into())));
        let error = "VOCE".parse::<ChannelClass>().unwrap_err().to_string();
        assert!(error.contains("`VOICE`"), "{error}");
        let error = "AGNET".parse::<SegmentType>().unwrap_err().to_string();
        assert!(error.contains("`AGENT`"), "{error}");
    }

    #[test]
    fn warning_codes_and_log_filters_are_checked() {
        assert!(
            "summaries-stopped:Sales East"
                .parse::<WarningCode>()
                .is_ok()
        );
        assert!("low-volum".parse::<WarningCode>().is_err());
        assert!("info,cxvault::ringcx=debug".parse::<LogFilter>().is_ok());
        for text in ["", "debg", "cxvault=", "=info", "info,,warn"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
    }
}
