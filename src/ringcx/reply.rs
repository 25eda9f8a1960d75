//! An answer whose status and headers have arrived, and whose body is still to be read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use crate::ringcx::attempt::AttemptError;

/// Bytes of an error body that are read: enough for its error code.
const ERROR_BODY_MAX: usize = 64 * 1024;

/// An answer whose body is still to be read.
pub(super) struct Reply {
    pub http_status: u16,
    /// The answer's `Date` in UTC milliseconds.
    pub server_date: Option<i64>,
    response: Response,
    /// The longest time for a whole body. The HTTP client limits the time of each read already, so this only ends
    /// an answer that sends a byte now and then.
    body_timeout: Duration,
}

impl Reply {
    /// Wraps a response; `server_date` is its `Date`.
    pub fn new(response: Response, server_date: Option<i64>, body_timeout: Duration) -> Self {
        Reply {
            http_status: response.status().as_u16(),
            server_date,
            response,
            body_timeout,
        }
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the content type: at most 255 characters, without control characters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.headers().get(CONTENT_TYPE)?;
        let text = String::from_utf8_lossy(value.as_bytes());
        Some(text.chars().filter(|c| !c.is_control()).take(255).collect())
    }

    /// Returns the next bytes of the decoded body, or `None` at its end.
    ///
    /// # Errors
    /// A transient failure when the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, AttemptError> {
        self.response
            .chunk()
            .await
            .map_err(|error| AttemptError::broken_off(error, self.http_status))
    }

    /// Returns the whole decoded body.
    ///
    /// # Errors
    /// `too_large` as soon as it is clear that the body holds more than `max` bytes; a transient failure when it
    /// breaks off or takes too long.
    pub async fn body(&mut self, max: u64) -> Result<Bytes, AttemptError> {
        if self
            .response
            .content_length()
            .is_some_and(|length| length > max)
        {
            return Err(AttemptError::too_large(self.http_status));
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if first.len() as u64 > max {
            return Err(AttemptError::too_large(self.http_status));
        }
        // Nearly every summary arrives in one chunk of the announced length: no timer and no copy for those.
        if self.response.content_length() == Some(0) {
            return Ok(first);
        }
        let timeout = AttemptError::transient("timeout", Some(self.http_status));
        tokio::time::timeout(self.body_timeout, self.body_after(first, max))
            .await
            .unwrap_or(Err(timeout))
    }

    /// Returns the body that begins with `first`.
    async fn body_after(&mut self, first: Bytes, max: u64) -> Result<Bytes, AttemptError> {
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut body = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            if (body.len() + chunk.len()) as u64 > max {
                return Err(AttemptError::too_large(self.http_status));
            }
            body.extend_from_slice(&chunk);
            next = self.chunk().await?;
        }
        Ok(body.freeze())
    }

    /// Returns the first [`ERROR_BODY_MAX`] bytes of the body, or what arrived of them before an error or time-out.
    ///
    /// Reading an error body to its end also leaves the connection usable.
    pub async fn error_body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let reading = async {
            while body.len() < ERROR_BODY_MAX {
                match self.response.chunk().await {
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) | Err(_) => break,
                }
            }
        };
        let _ = tokio::time::timeout(self.body_timeout, reading).await;
        body
    }
}
