//! One HTTP request and its answer: addresses, sending, reading, and what an answer's status means.
//!
//! Nothing here waits or repeats; see [`super::retry`].

use std::borrow::Cow;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::fmt::rfc2822::DateTimeParser;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url};

use crate::clock::Clock;
use crate::format::place::plain_http::is_exposed;
use crate::outcome::{causes, with_causes};
use crate::ringcx::error::{ApiError, ErrorCode, class_of};

/// Of an error body, as much is read as its error code needs.
const ERROR_BODY_MAX: usize = 64 * 1024;
const NO_DATE: i64 = i64::MIN;

/// How an attempt failed, by what the retry loop does about it.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// TransientError, as far as one can tell.
    Transient(TransientError),
    /// 429; with the pause that the server asks for, in milliseconds.
    TooMany { retry_after_ms: Option<i64> },
    /// 401.
    Unauthorized { error_code: Option<ErrorCode> },
    /// 403.
    Forbidden { error_code: Option<ErrorCode> },
    /// Any other status that says that the same request will not be answered differently.
    Rejected {
        http_status: u16,
        error_code: Option<ErrorCode>,
    },
    /// Repeating it cannot help, but other requests may do better.
    Hopeless {
        class: &'static str,
        http_status: Option<u16>,
    },
    /// The loop ends with this.
    End(ApiError),
}

/// A failure that may not happen again.
#[derive(Debug)]
pub(super) struct TransientError {
    pub class: &'static str,
    pub http_status: Option<u16>,
    pub retry_after_ms: Option<i64>,
    /// For the operator, when it does not pass: causes from the HTTP client, without addresses.
    pub detail: Option<String>,
}

impl AttemptError {
    pub fn passing(class: &'static str, http_status: Option<u16>) -> Self {
        AttemptError::Transient(TransientError {
            class,
            http_status,
            retry_after_ms: None,
            detail: None,
        })
    }
}

impl From<ApiError> for AttemptError {
    fn from(error: ApiError) -> Self {
        AttemptError::End(error)
    }
}

/// A configured address to which paths are added: scheme, host and perhaps a path, without the last slash.
#[derive(Debug, Clone)]
pub(super) struct BaseUrl {
    text: String,
    url: Url,
    pub host: String,
    secure: bool,
}

impl BaseUrl {
    /// `setting` names the setting in errors. Plain HTTP would show tokens and summaries to the network, so it
    /// is for loopback only, unless `allow_http`.
    pub fn parse(setting: &str, text: &str, allow_http: bool) -> Result<Self, ApiError> {
        let wrong = |message: String, remedy: &str| ApiError::Usage {
            message,
            remedy: remedy.into(),
        };
        let not_an_address = || {
            wrong(
                format!("{setting} is not an address such as https://ringcx.ringcentral.com"),
                "Give scheme and host, without user, query or fragment.",
            )
        };
        let url = Url::parse(text.trim()).map_err(|_| not_an_address())?;
        let host = url.host_str().ok_or_else(not_an_address)?.to_owned();
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(not_an_address());
        }
        let secure = match url.scheme() {
            "https" => true,
            "http" if allow_http || !is_exposed(&url) => false,
            "http" => {
                return Err(wrong(
                    format!(
                        "{setting} is plain HTTP to {host}, which would show tokens to the network"
                    ),
                    "Use https, or allow plain HTTP explicitly.",
                ));
            }
            _ => return Err(not_an_address()),
        };
        let host = url
            .port()
            .map_or(host.clone(), |port| format!("{host}:{port}"));
        Ok(BaseUrl {
            text: url.as_str().trim_end_matches('/').to_owned(),
            url,
            host,
            secure,
        })
    }

    /// Like [`BaseUrl::with`], for the many: only the path is read anew. `path` has no query.
    pub fn with_path(&self, parts: &[&str]) -> Url {
        let own = self.url.path().trim_end_matches('/');
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut path = String::with_capacity(own.len() + length);
        path.push_str(own);
        parts.iter().for_each(|part| path.push_str(part));
        let mut url = self.url.clone();
        url.set_path(&path);
        url
    }

    /// The address of `parts`, which are put behind this base as they are.
    pub fn with(&self, parts: &[&str]) -> String {
        let mut text = String::with_capacity(
            self.text.len() + parts.iter().map(|part| part.len()).sum::<usize>(),
        );
        text.push_str(&self.text);
        parts.iter().for_each(|part| text.push_str(part));
        text
    }
}

/// `id` as one segment of a path, or `None` where no URL can carry it: `.` and `..` mean "here" and "up" there,
/// percent-encoded or not (WHATWG URL, "single-dot URL path segment"), so that asking for such a segment would
/// ask for something else; and an empty one would vanish.
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

/// The HTTP client, and what its answers tell of the server's clock.
pub(super) struct Transport {
    pub client: Client,
    pub platform: BaseUrl,
    pub ringcx: BaseUrl,
    pub summaries: BaseUrl,
    pub clock: Arc<dyn Clock>,
    /// For whole requests with a bounded answer; a streamed one is only bounded between two reads.
    patience: Duration,
    /// The server's clock minus ours, in milliseconds; [`NO_DATE`] before the first answer.
    skew_ms: AtomicI64,
    last_date: Mutex<LastDate>,
}

/// The newest `Date` and what it says, UTC milliseconds: hundreds of answers of one second have the same.
#[derive(Default)]
struct LastDate {
    text: Vec<u8>,
    ms: i64,
}

impl Transport {
    pub fn new(
        bases: [BaseUrl; 3],
        clock: Arc<dyn Clock>,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Result<Self, ApiError> {
        let [platform, ringcx, summaries] = bases;
        let mut builder = Client::builder()
            .user_agent(concat!("cxvault/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry the token to whatever host an answer names.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Repetitions count against the limits, so there is one place for them.
            .retry(reqwest::retry::never())
            .connect_timeout(connect_timeout)
            .read_timeout(request_timeout)
            // Load balancers drop idle connections after a minute or so; using one just then is a reset.
            .pool_idle_timeout(Duration::from_secs(30));
        if [&platform, &ringcx, &summaries]
            .into_iter()
            .any(|base| !base.secure)
        {
            // A proxy of the environment would read plain HTTP, and cannot reach our loopback.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| ApiError::Usage {
            message: format!(
                "the HTTP client cannot start: {}",
                with_causes(&error.without_url())
            ),
            remedy: "Check this machine's certificate store and proxy settings.".into(),
        })?;
        let patience = request_timeout.saturating_mul(4);
        let skew_ms = AtomicI64::new(NO_DATE);
        let last_date = Mutex::default();
        Ok(Transport {
            client,
            platform,
            ringcx,
            summaries,
            clock,
            patience,
            skew_ms,
            last_date,
        })
    }

    /// The server's clock minus ours in milliseconds, up to a second and a journey too low; `None` before the
    /// first answer.
    pub fn skew_ms(&self) -> Option<i64> {
        Some(self.skew_ms.load(Ordering::Relaxed)).filter(|&skew| skew != NO_DATE)
    }

    /// Sends a request. Returns its answer when the status is 200, or 404 with `or_404`.
    pub async fn send(&self, request: RequestBuilder, or_404: bool) -> Result<Reply, AttemptError> {
        let response = request.send().await.map_err(not_sent)?;
        let server_date = self.server_date(response.headers());
        let http_status = response.status().as_u16();
        let reply = Reply {
            http_status,
            server_date,
            response,
            patience: self.patience,
        };
        match reply.http_status {
            200 => Ok(reply),
            404 if or_404 => Ok(reply),
            _ => Err(self.refusal(reply).await),
        }
    }

    /// An answer's `Date`. A new one tells how far the server's clock is from ours; the later answers of that second
    /// would only tell it less exactly.
    fn server_date(&self, headers: &HeaderMap) -> Option<i64> {
        let text = headers.get(DATE)?.as_bytes();
        let mut last = self
            .last_date
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.text != text {
            *last = LastDate {
                text: text.to_vec(),
                ms: date(headers, &DATE)?,
            };
            self.skew_ms
                .store(last.ms - self.clock.now_ms(), Ordering::Relaxed);
        }
        Some(last.ms)
    }

    async fn refusal(&self, mut reply: Reply) -> AttemptError {
        let http_status = reply.http_status;
        let server_now = reply
            .server_date
            .unwrap_or_else(|| self.clock.now_ms() + self.skew_ms().unwrap_or(0));
        let retry_after_ms = retry_after_ms(reply.response.headers(), server_now);
        // Also for a status that needs no error code: a body read to its end leaves the connection usable.
        let error_code = ErrorCode::of_body(&reply.beginning().await);
        match http_status {
            401 => AttemptError::Unauthorized { error_code },
            403 => AttemptError::Forbidden { error_code },
            429 => AttemptError::TooMany { retry_after_ms },
            // Not 501 and 505, which promise never to change; but who sends those is some gateway's mood.
            408 | 425 | 500..=599 | 200..=399 => AttemptError::Transient(TransientError {
                class: class_of(http_status),
                http_status: Some(http_status),
                retry_after_ms,
                detail: None,
            }),
            _ => AttemptError::Rejected {
                http_status,
                error_code,
            },
        }
    }
}

/// An answer whose body is still to be read.
pub(super) struct Reply {
    pub http_status: u16,
    /// Its `Date`, in UTC milliseconds.
    pub server_date: Option<i64>,
    response: Response,
    /// For a body as a whole. A timer of its own for every request would be work for the few that need it: the client
    /// bounds each read already, and only who sends a byte now and then is left.
    patience: Duration,
}

impl Reply {
    pub fn content_type(&self) -> Option<String> {
        let value = self.response.headers().get(CONTENT_TYPE)?;
        let text = String::from_utf8_lossy(value.as_bytes());
        Some(text.chars().filter(|c| !c.is_control()).take(255).collect())
    }

    /// The next bytes of the decoded body, or `None` at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, AttemptError> {
        self.response
            .chunk()
            .await
            .map_err(|error| broken_off(error, self.http_status))
    }

    /// The whole decoded body; `too_large` as soon as it is clear that it holds more than `max` bytes.
    pub async fn body(&mut self, max: u64) -> Result<Bytes, AttemptError> {
        if self
            .response
            .content_length()
            .is_some_and(|length| length > max)
        {
            return Err(self.too_large());
        }
        let Some(first) = self.piece().await? else {
            return Ok(Bytes::new());
        };
        if first.len() as u64 > max {
            return Err(self.too_large());
        }
        // Nearly every summary: of an announced length, and all of it here.
        if self.response.content_length() == Some(0) {
            return Ok(first);
        }
        let timeout = AttemptError::passing("timeout", Some(self.http_status));
        tokio::time::timeout(self.patience, self.rest(first, max))
            .await
            .unwrap_or(Err(timeout))
    }

    fn too_large(&self) -> AttemptError {
        AttemptError::Hopeless {
            class: "too_large",
            http_status: Some(self.http_status),
        }
    }

    /// The body after its first piece, with it.
    async fn rest(&mut self, first: Bytes, max: u64) -> Result<Bytes, AttemptError> {
        let Some(second) = self.piece().await? else {
            return Ok(first);
        };
        let mut body = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if (body.len() + piece.len()) as u64 > max {
                return Err(self.too_large());
            }
            body.extend_from_slice(&piece);
            next = self.piece().await?;
        }
        Ok(body.freeze())
    }

    /// The beginning of the body, as far as it can be had.
    pub async fn beginning(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let reading = async {
            while body.len() < ERROR_BODY_MAX {
                match self.response.chunk().await {
                    Ok(Some(piece)) => body.extend_from_slice(&piece),
                    Ok(None) | Err(_) => break,
                }
            }
        };
        // Whether it ends by itself or not, what came is what there is.
        let _ = tokio::time::timeout(self.patience, reading).await;
        body
    }
}

fn not_sent(error: reqwest::Error) -> AttemptError {
    if error.is_builder() {
        return AttemptError::Hopeless {
            class: "unaskable_id",
            http_status: None,
        };
    }
    let class = if error.is_timeout() {
        "timeout"
    } else {
        "connection"
    };
    AttemptError::Transient(TransientError {
        class,
        http_status: None,
        retry_after_ms: None,
        // Without the address, which holds ids of accounts and segments.
        detail: Some(with_causes(&error.without_url())),
    })
}

fn broken_off(error: reqwest::Error, http_status: u16) -> AttemptError {
    let class = if error.is_timeout() {
        "timeout"
    } else {
        match io_kind(&error) {
            Some(
                ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe,
            ) => "connection",
            Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => "bad_encoding",
            _ => "short_body",
        }
    };
    let http_status = Some(http_status);
    AttemptError::Transient(TransientError {
        class,
        http_status,
        retry_after_ms: None,
        // Without the address, which holds ids of accounts and segments.
        detail: Some(with_causes(&error.without_url())),
    })
}

/// Returns the kind of the innermost input/output error.
fn io_kind(error: &reqwest::Error) -> Option<ErrorKind> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
        .last()
}

/// An HTTP date (RFC 9110 5.6.7, the form that may still be sent) in UTC milliseconds.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(
        DateTimeParser::new()
            .parse_timestamp(text)
            .ok()?
            .as_millisecond(),
    )
}

/// `Retry-After` in either form, as milliseconds from the answer on. A date is the server's, so it is held
/// against the server's clock: ours may be minutes off.
fn retry_after_ms(headers: &HeaderMap, server_now: i64) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(
            text.parse::<i64>()
                .map_or(i64::MAX, |seconds| seconds.saturating_mul(1_000)),
        );
    }
    Some((date(headers, &RETRY_AFTER)? - server_now).max(0))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn ids_survive_the_url() {
        let base = BaseUrl::parse("X", "https://engage.example.com/", false).unwrap();
        let whole = |id: &str| {
            let segment = path_segment(id)?;
            let url = Url::parse(&base.with(&["/segments/", &segment, "/agent"])).unwrap();
            assert_eq!(base.with_path(&["/segments/", &segment, "/agent"]), url);
            Some(url.path_segments()?.nth(1)?.to_owned())
        };
        assert_eq!(whole("p-v-93bd_e6~f.1").unwrap(), "p-v-93bd_e6~f.1");
        assert_eq!(whole("a/b?c#d%2e").unwrap(), "a%2Fb%3Fc%23d%252e");
        assert_eq!(whole("é \\\t;").unwrap(), "%C3%A9%20%5C%09%3B");
        assert_eq!(whole("...").unwrap(), "...");
        assert_eq!(whole("%2e%2E").unwrap(), "%252e%252E");
        for unaskable in ["", ".", ".."] {
            assert_eq!(whole(unaskable), None);
        }
    }

    #[test]
    fn no_encoding_of_a_dot_segment_reaches_the_wire() {
        // Why such ids are refused: if this ever changes, they can be asked for.
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
            parse("http://[::1]:8080/x/", false).unwrap().with(&["/y"]),
            "http://[::1]:8080/x/y"
        );
    }

    #[test]
    fn retry_after_has_two_forms() {
        let after = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            // Sun, 06 Nov 1994 08:49:37 GMT, as in RFC 9110.
            retry_after_ms(&headers, 784_111_777_000)
        };
        assert_eq!(after("7"), Some(7_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(after("99999999999999999999999"), Some(i64::MAX));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-5"), None);
    }
}
