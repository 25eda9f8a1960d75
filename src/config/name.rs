//! Values that are names and addresses. They become parts of paths, URLs and messages, so they are checked first.
//!
//! Three dangers are excluded here, once, so that no later code has to think of them: an id such as `../x` that would leave the
//! folder of its chain, a control character that would forge a line of a log, and an address that is read differently by the
//! parser than by the person who wrote it. Messages repeat at most the beginning of what was written, made printable.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::config::suggest::nearest;
use crate::config::value::{Invalid, Parsed, invalid};
use crate::format::place::{key, plain_http};
use crate::format::row::omit;
use crate::format::text::printable_start;

/// Declares types for checked texts: each has one text, which a function has accepted and perhaps normalised.
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

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
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
    /// Id of a sub-account or account, or the name of an account. It becomes a part of object keys and of URLs.
    Id = id;
    /// Any text that is not empty and has no control characters.
    Text = text;
    /// Path of a folder or file.
    PathText = text;
    /// Root URL of an HTTP service, without a slash at its end.
    BaseUrl = base_url;
    /// `channelClass` of a segment, in upper case.
    ChannelClass = |text| class(text, &["VOICE", "DIGITAL"]);
    /// `segmentType` of a segment, in upper case.
    SegmentType = |text| class(text, &["AGENT", "IVR", "BOT"]);
    /// Code of a warning, perhaps with a colon and what it is about.
    WarningCode = warning_code;
    /// Name of a metadata field that is removed from segments.
    Field = |text| omit::check_name(text).map(|()| text.into()).map_err(|why| Invalid(why.to_string()));
    /// Log levels, for all modules or for single ones: `info`, `info,cxvault::ringcx=debug`.
    LogFilter = log_filter;
}

/// Accepts what can be a part of an object key and of a URL without being escaped.
fn id(text: &str) -> Parsed<String> {
    match text.len() {
        _ if text == key::ROSTER => {
            invalid("`roster` is the name of the chain of the archive itself, and cannot be an id")
        }
        1..=64 if text.bytes().all(is_id_byte) => Ok(text.into()),
        _ => invalid(format!(
            "`{}` is not an id; use 1 to 64 letters, digits, `_` or `-`",
            shown(text)
        )),
    }
}

/// Returns whether a byte can be a part of an id.
fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Returns the beginning of what a user wrote, as a message may repeat it.
fn shown(text: &str) -> String {
    printable_start(text, 80)
}

fn text(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return invalid("it is empty or has control characters");
    }
    Ok(text.into())
}

/// Reads the address of an HTTP service, which may hold a secret: so no message repeats it.
pub(super) fn http_url(text: &str) -> Option<Url> {
    // The parser drops line breaks and takes a backslash for a slash: it would find another host than a reader does.
    if text.contains(|c: char| c.is_control() || c == ' ' || c == '\\') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.port() != Some(0)).then_some(url)
}

/// Checks the root of an HTTP service. The text stays as it is written, without slashes at its end: it is a part of the
/// digest of the settings.
fn base_url(text: &str) -> Parsed<String> {
    // Not shown: what stands before an @ is a password, what stands behind a ? may be a token.
    if text.contains(['@', '?', '#']) {
        return invalid("a base URL must not hold `@`, `?` or `#`");
    }
    match http_url(text) {
        Some(_) => Ok(text.trim_end_matches('/').into()),
        None => invalid("it is not a URL such as https://host or https://host:port"),
    }
}

impl BaseUrl {
    /// Returns whether requests to it leave this host in clear text.
    pub fn is_exposed(&self) -> bool {
        is_exposed(&self.0)
    }
}

/// Like [`BaseUrl::is_exposed`], of an address that may hold secrets.
pub(super) fn is_exposed(url: &str) -> bool {
    http_url(url).is_some_and(|url| plain_http::is_exposed(&url))
}

/// Accepts a documented value, and a word that RingCX may have added since. A misspelling of a documented value is refused,
/// since it would silently skip every segment.
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

/// Accepts the code of a warning, perhaps with a colon and what it is about.
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
            "`{}` is not the code of a warning, such as low-volume",
            shown(text)
        ));
    }
    match nearest(code, KNOWN).filter(|meant| *meant != code) {
        Some(meant) => invalid(format!("`{code}` is not known; did you mean `{meant}`?")),
        None => Ok(shown(text)),
    }
}

/// Accepts levels for all modules or for single ones, with commas between them.
fn log_filter(text: &str) -> Parsed<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',') {
        let (name, level) = part
            .split_once('=')
            .map_or((None, part), |(name, level)| (Some(name), level));
        if !LEVELS.contains(&level) || !name.is_none_or(is_module) {
            let part = shown(part);
            return invalid(format!(
                "`{part}` is not a log level; write one of {}",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(text.into())
}

/// Returns whether a text can be the path of a module, such as `cxvault::ringcx`.
fn is_module(text: &str) -> bool {
    let mut bytes = text.bytes();
    !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
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
