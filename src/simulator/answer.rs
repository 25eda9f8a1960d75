//! Answers and their bodies: complete, streamed, or cut short on purpose.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// The media type of most answers.
pub(super) const JSON: &str = "application/json";
/// The media type of refused tokens and of most summaries, as RingCX spells it.
pub(super) const TEXT: &str = "text/plain;charset=UTF-8";

/// An answer before it becomes an HTTP response: without date, and not yet subject to faults of the network.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    content_type: HeaderValue,
    /// Seconds or an HTTP date.
    retry_after: Option<String>,
    body: AnswerBody,
}

/// The source of a body.
enum AnswerBody {
    Complete(Bytes),
    /// Computed piece by piece while it is sent.
    Stream(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl Answer {
    /// Builds an answer with a complete body.
    pub(super) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Answer {
            status,
            content_type: HeaderValue::from_static(content_type),
            retry_after: None,
            body: AnswerBody::Complete(body.into()),
        }
    }

    /// Builds an answer from a JSON value.
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Answer::new(status, JSON, value.to_string())
    }

    /// Builds an answer of plain text.
    pub(super) fn text(status: StatusCode, text: &'static str) -> Self {
        Answer::new(status, TEXT, text)
    }

    /// Builds a 200 whose pieces are computed while they are sent.
    pub(super) fn stream(
        content_type: &'static str,
        pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> Self {
        Answer {
            body: AnswerBody::Stream(Box::new(pieces)),
            ..Answer::new(StatusCode::OK, content_type, "")
        }
    }

    /// Builds an error in RingCX's JSON form; `now_ms` is its timestamp in UTC milliseconds.
    pub(super) fn error(
        status: StatusCode,
        code: &str,
        message: &str,
        uri: &str,
        now_ms: i64,
    ) -> Self {
        let validation_errors = match status {
            StatusCode::BAD_REQUEST => json!([{ "message": message }]),
            _ => Value::Null,
        };
        let value = json!({
            "errorCode": code, "generalMessage": message, "developerMessage": message, "details": null,
            "cause": null, "requestUri": uri, "timestamp": now_ms, "validationErrors": validation_errors,
        });
        Answer::json(status, &value)
    }

    /// Sets the value of `Retry-After`; `None` sends no such header.
    pub(super) fn retry_after(mut self, when: Option<String>) -> Self {
        self.retry_after = when;
        self
    }

    /// Dates the answer; with `cut`, the body ends before the length that the headers announce.
    pub(super) fn into_response(self, date: HeaderValue, cut: bool) -> Response<ResponseBody> {
        let mut announced = None;
        let body = match (self.body, cut) {
            (AnswerBody::Complete(bytes), false) => {
                ResponseBody::Complete(Some(bytes).filter(|bytes| !bytes.is_empty()))
            }
            (AnswerBody::Stream(pieces), false) => ResponseBody::Stream(pieces),
            (AnswerBody::Complete(bytes), true) => {
                // At least 64, so that an empty body can end early as well.
                announced = Some(bytes.len().max(64));
                ResponseBody::Cut(half(bytes), CutStep::Send)
            }
            (AnswerBody::Stream(mut pieces), true) => {
                ResponseBody::Cut(half(pieces.next().unwrap_or_default()), CutStep::Send)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(DATE, date);
        headers.insert(CONTENT_TYPE, self.content_type);
        if let Some(length) = announced {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(when) = self
            .retry_after
            .and_then(|when| HeaderValue::try_from(when).ok())
        {
            headers.insert(RETRY_AFTER, when);
        }
        response
    }
}

/// Returns the part of a body that is sent before the connection breaks.
fn half(bytes: Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// A body as hyper sends it.
pub(super) enum ResponseBody {
    /// `None` when it is empty or sent.
    Complete(Option<Bytes>),
    Stream(Box<dyn Iterator<Item = Bytes> + Send>),
    /// The bytes that are sent before the connection breaks.
    Cut(Bytes, CutStep),
}

/// The steps of a body that is cut short on purpose.
#[derive(Clone, Copy)]
pub(super) enum CutStep {
    Send,
    /// hyper flushes what it has when a body is not ready; without this step the client would see a reset and
    /// none of the bytes.
    Flush,
    Break,
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut *self {
            ResponseBody::Complete(bytes) => bytes.take(),
            ResponseBody::Stream(pieces) => pieces.next(),
            ResponseBody::Cut(bytes, cut @ CutStep::Send) => {
                *cut = CutStep::Flush;
                Some(std::mem::take(bytes))
            }
            // Pending, but to be polled again at once.
            ResponseBody::Cut(_, cut @ CutStep::Flush) => {
                *cut = CutStep::Break;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ResponseBody::Cut(_, CutStep::Break) => {
                return Poll::Ready(Some(Err(io::Error::other("cut short on purpose"))));
            }
        };
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ResponseBody::Complete(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Complete(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            _ => SizeHint::default(),
        }
    }
}
