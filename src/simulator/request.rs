//! Reading requests: bodies, tokens in headers, and fields of forms and queries.
//!
//! Decoding is done by hand, so that the simulator does not share mistakes with the client's libraries.

use std::future::poll_fn;
use std::pin::Pin;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap};

/// In bytes; no request of this API is longer.
const LONGEST_BODY: usize = 64 * 1024;

/// Reads a request's body to its end; `None` when it breaks off or is longer than [`LONGEST_BODY`].
pub(super) async fn read(mut body: Incoming) -> Option<Bytes> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > LONGEST_BODY {
            return None;
        }
    }
    Some(all.into())
}

/// Returns the token of `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// Returns the token of the cookie `access_token`.
///
/// Other cookies are ignored; the name is case-sensitive, as RFC 6265 has it.
pub(super) fn cookie_token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix("access_token="))
}

/// Returns user and password of `Authorization: Basic` (RFC 7617).
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    text.split_once(':')
        .map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// Returns whether the request's media type is `wanted`, parameters such as `charset` aside.
pub(super) fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(wanted))
}

/// Returns the value of the first field called `name` in a form or a query; `None` if it is absent or malformed.
pub(super) fn field(form: &str, name: &str) -> Option<String> {
    form.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true).as_deref() == Some(name))
            .then(|| decode(value, true))
            .flatten()
    })
}

/// Undoes percent-encoding; `None` when the encoding is malformed or the result is not UTF-8.
///
/// With `plus_is_blank`, `+` means a blank, as in forms and queries; in paths it does not.
pub(super) fn decode(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex_digit(bytes.next()?)? * 16 + hex_digit(bytes.next()?)?) as u8,
            b'+' if plus_is_blank => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// Returns the value of a hexadecimal digit in either case.
fn hex_digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let form = "grant_type=urn%3Aietf%3aparams&empty=&a+b=c%2Bd+e&bad=%4";
        assert_eq!(
            field(form, "grant_type").as_deref(),
            Some("urn:ietf:params")
        );
        assert_eq!(field(form, "empty").as_deref(), Some(""));
        assert_eq!(field(form, "a b").as_deref(), Some("c+d e"));
        assert_eq!((field(form, "bad"), field(form, "missing")), (None, None));
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, "theme=dark; access_token=abc".parse().unwrap());
        assert_eq!(cookie_token(&headers), Some("abc"));
        headers.insert(COOKIE, "xaccess_token=abc".parse().unwrap());
        assert_eq!(cookie_token(&headers), None);
    }
}
