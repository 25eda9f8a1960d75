//! Answers and their bodies: whole, streamed, or cut short on purpose.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain;charset=UTF-8";

/// An answer on its way out.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    content_type: HeaderValue,
    retry_after: Option<String>,
    source: AnswerBody,
}

enum AnswerBody {
    Whole(Bytes),
    Stream(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl Answer {
    pub(super) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let (content_type, source) = (
            HeaderValue::from_static(content_type),
            AnswerBody::Whole(body.into()),
        );
        Answer {
            status,
            content_type,
            retry_after: None,
            source,
        }
    }

    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Answer::new(status, JSON, value.to_string())
    }

    pub(super) fn text(status: StatusCode, text: &'static str) -> Self {
        Answer::new(status, TEXT, text)
    }

    /// 200, with pieces that are made while they are sent.
    pub(super) fn stream(
        content_type: &'static str,
        pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> Self {
        Answer {
            source: AnswerBody::Stream(Box::new(pieces)),
            ..Answer::new(StatusCode::OK, content_type, "")
        }
    }

    /// An error in the form that RingCX gives it. `now_ms` is its timestamp.
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

    pub(super) fn retry_after(mut self, when: Option<String>) -> Self {
        self.retry_after = when;
        self
    }

    /// Dates the answer; with `cut`, lets it end before the length that it announces.
    pub(super) fn into_response(self, date: HeaderValue, cut: bool) -> Response<ResponseBody> {
        let announced = match &self.source {
            AnswerBody::Whole(bytes) if cut => Some(bytes.len().max(64)),
            _ => None,
        };
        let body = match (self.source, cut) {
            (AnswerBody::Whole(bytes), false) => {
                ResponseBody::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
            }
            (AnswerBody::Stream(pieces), false) => ResponseBody::Stream(pieces),
            (AnswerBody::Whole(bytes), true) => ResponseBody::Cut(half(bytes), Cut::Send),
            (AnswerBody::Stream(mut pieces), true) => {
                ResponseBody::Cut(half(pieces.next().unwrap_or_default()), Cut::Send)
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

fn half(bytes: Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// A body as hyper sends it.
pub(super) enum ResponseBody {
    Whole(Option<Bytes>),
    Stream(Box<dyn Iterator<Item = Bytes> + Send>),
    Cut(Bytes, Cut),
}

#[derive(Clone, Copy)]
pub(super) enum Cut {
    Send,
    /// hyper flushes what it has when a body is not ready; without this the client would see a reset instead.
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
            ResponseBody::Whole(bytes) => bytes.take(),
            ResponseBody::Stream(pieces) => pieces.next(),
            ResponseBody::Cut(bytes, cut @ Cut::Send) => {
                *cut = Cut::Flush;
                Some(std::mem::take(bytes))
            }
            ResponseBody::Cut(_, cut @ Cut::Flush) => {
                *cut = Cut::Break;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ResponseBody::Cut(_, Cut::Break) => {
                return Poll::Ready(Some(Err(io::Error::other("cut short on purpose"))));
            }
        };
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ResponseBody::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            _ => SizeHint::default(),
        }
    }
}
