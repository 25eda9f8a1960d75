//! Addresses: the configured base of a host, and paths below it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::format::place::plain_http::is_exposed;
use crate::ringcx::error::ApiError;

/// A configured address to which paths are added: scheme, host and perhaps a path, without the last slash.
#[derive(Debug, Clone)]
pub(super) struct BaseUrl {
    text: String,
    url: Url,
    /// Host, with the port where it is not the scheme's own.
    pub host: String,
    /// Whether the scheme is `https`.
    pub secure: bool,
}

impl BaseUrl {
    /// Parses the value of the setting named `setting`.
    ///
    /// # Errors
    /// [`ApiError::Usage`] for anything but scheme, host and path, and for plain HTTP to a host that the network
    /// can observe, unless `allow_http`: it would show tokens and summaries.
    pub fn parse(setting: &str, text: &str, allow_http: bool) -> Result<Self, ApiError> {
        let url = Url::parse(text.trim()).map_err(|_| not_an_address(setting))?;
        let host = url.host_str().ok_or_else(|| not_an_address(setting))?;
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(not_an_address(setting));
        }
        let secure = match url.scheme() {
            "https" => true,
            "http" if allow_http || !is_exposed(&url) => false,
            "http" => {
                return Err(ApiError::Usage {
                    message: format!(
                        "{setting} is plain HTTP to {host}, which would show tokens to the network"
                    ),
                    remedy: "Use https, or allow plain HTTP explicitly.".into(),
                });
            }
            _ => return Err(not_an_address(setting)),
        };
        Ok(BaseUrl {
            text: url.as_str().trim_end_matches('/').to_owned(),
            host: match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            url,
            secure,
        })
    }

    /// Returns the address of `parts`, which are appended as they are; a query is allowed.
    pub fn join(&self, parts: &[&str]) -> String {
        let mut text = String::with_capacity(self.text.len() + total_length(parts));
        text.push_str(&self.text);
        parts.iter().for_each(|part| text.push_str(part));
        text
    }

    /// Like [`BaseUrl::join`] without a query, for the many summary requests: only the path is parsed again.
    pub(crate) fn join_path(&self, parts: &[&str]) -> Url {
        let base_path = self.url.path().trim_end_matches('/');
        let mut path = String::with_capacity(base_path.len() + total_length(parts));
        path.push_str(base_path);
        parts.iter().for_each(|part| path.push_str(part));
        let mut url = self.url.clone();
        url.set_path(&path);
        url
    }
}

fn total_length(parts: &[&str]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

fn not_an_address(setting: &str) -> ApiError {
    ApiError::Usage {
        message: format!("{setting} is not an address such as https://ringcx.ringcentral.com"),
        remedy: "Give scheme and host, without user, query or fragment.".into(),
    }
}

/// Encodes `id` as a segment of a path; `None` where no URL can carry it.
///
/// `.` and `..` mean the current and the parent folder there, percent-encoded or not (WHATWG URL, "single-dot URL
/// path segment"), so a request for such a segment would be a request for something else; an empty segment would
/// be dropped.
pub(super) fn path_segment(id: &str) -> Option<Cow<'_, str>> {
    /// Everything but RFC 3986's unreserved characters.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    if matches!(id, "" | "." | "..") {
        return None;
    }
    Some(utf8_percent_encode(id, RESERVED).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_url() {
        let base = BaseUrl::parse("X", "https://engage.example.com/", false).unwrap();
        let round_trip = |id: &str| {
            let segment = path_segment(id)?;
            let url = Url::parse(&base.join(&["/segments/", &segment, "/agent"])).unwrap();
            assert_eq!(base.join_path(&["/segments/", &segment, "/agent"]), url);
            Some(url.path_segments()?.nth(1)?.to_owned())
        };
        assert_eq!(round_trip("p-v-93bd_e6~f.1").unwrap(), "p-v-93bd_e6~f.1");
        assert_eq!(round_trip("a/b?c#d%2e").unwrap(), "a%2Fb%3Fc%23d%252e");
        assert_eq!(round_trip("é \\\t;").unwrap(), "%C3%A9%20%5C%09%3B");
        assert_eq!(round_trip("...").unwrap(), "...");
        assert_eq!(round_trip("%2e%2E").unwrap(), "%252e%252E");
        for unaskable in ["", ".", ".."] {
            assert_eq!(round_trip(unaskable), None);
        }
    }

    #[test]
    fn no_encoding_of_a_dot_segment_reaches_the_wire() {
        // The reason why such ids are refused: if this changes, they can be requested.
        for dots in ["%2e", "%2E", "%2E%2e", ".%2E"] {
            let url = Url::parse(&format!("https://example.com/segments/{dots}/agent")).unwrap();
            assert!(!url.path().contains("%2"), "{url}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback() {
        let parse = |text: &str, allow| BaseUrl::parse("CXVAULT_RINGCX_URL", text, allow);
        for fine in [
            "http://localhost:80",
            "http://127.3.2.1",
            "http://[::1]:8080/x/",
            "https://example.com",
        ] {
            assert!(parse(fine, false).is_ok(), "{fine}");
        }
        let nasty = [
            "http://example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "ftp://localhost",
        ];
        for wrong in nasty.into_iter().chain([
            "",
            "example.com",
            "https://u:p@example.com",
            "https://x.com/?a",
        ]) {
            let error = parse(wrong, false).unwrap_err();
            assert!(error.to_string().contains("CXVAULT_RINGCX_URL"), "{error}");
        }
        assert!(parse("http://example.com", true).is_ok());
        assert_eq!(
            parse("http://[::1]:8080/x/", false).unwrap().join(&["/y"]),
            "http://[::1]:8080/x/y"
        );
    }
}
