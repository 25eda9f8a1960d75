//! A RingCX access token, ready to be sent.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// A RingCX access token in the forms that the two kinds of endpoints require. Times are UTC milliseconds.
pub(super) struct AccessToken {
    /// Counts the tokens of this client from 1.
    pub generation: u64,
    /// The value of `cookie` for summaries.
    pub cookie: HeaderValue,
    /// The value of `Authorization` for everything else.
    pub bearer: HeaderValue,
    pub renew_at_ms: i64,
    pub expires_at_ms: i64,
    /// Whether it came from a refresh, not from an exchange.
    pub refreshed: bool,
}

impl AccessToken {
    /// Returns `None` for a token that is empty or holds characters that no cookie can carry (RFC 6265, 4.1.1): they
    /// would send only a part of the token, or a second cookie.
    pub fn new(
        secret: &SecretString,
        generation: u64,
        renew_at_ms: i64,
        expires_at_ms: i64,
    ) -> Option<Self> {
        let token = secret.expose_secret().trim();
        let usable = token
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\'));
        if token.is_empty() || !usable {
            return None;
        }
        Some(AccessToken {
            generation,
            cookie: sensitive_header(&format!("access_token={token}"))?,
            bearer: sensitive_header(&format!("Bearer {token}"))?,
            renew_at_ms,
            expires_at_ms,
            refreshed: false,
        })
    }
}

/// Builds a header value that `Debug` does not show; `None` for characters that no header can carry.
pub(super) fn sensitive_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
