//! The error answers of S3 and the errors of the SDK, as errors of a store.
//!
//! The codes are those of <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; codes that begin with `XMinio`
//! are those of MinIO. A code decides before the status. An answer that is not listed here is taken as a setting to correct if
//! its status is 4xx, and as a transient failure if it is 5xx.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;

use crate::outcome::with_causes;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::s3::connect::CLEAR_TEXT;

/// The kind of a failure, and what to do if there is more to say than the kind does.
type Verdict = (StoreErrorKind, Option<&'static str>);

const CREDENTIALS: &str = "Correct the AWS credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role): \
                           they are wrong, expired or of another account.";
const REGION: &str = "Set the region of the bucket.";
const KMS: &str = "Correct the KMS key id, and allow these credentials to use the key.";
const REACH: &str = "Check the network and, if this never worked, CXVAULT_S3_ENDPOINT and CXVAULT_S3_PATH_STYLE (for a \
                     copy CXVAULT_COPY_ENDPOINT and CXVAULT_COPY_PATH_STYLE); then run the same command again.";

/// Returns the status of the answer; `None` if there was none.
pub(super) fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// Returns whether S3 answered that there is no such object.
///
/// The answer to a HEAD in a bucket that does not exist looks the same, since it has no body. Every command also lists or
/// creates objects, and then the answer names the missing bucket.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let Some(answer) = error.as_service_error() else {
        return false;
    };
    status_of(error) == Some(404)
        && matches!(
            answer.code(),
            None | Some("NoSuchKey" | "NotFound" | "NoSuchVersion")
        )
}

/// Returns whether S3 answered that the bucket has no Object Lock, and so neither locks nor legal holds.
pub(super) fn lacks_object_lock<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    let answer = error.as_service_error();
    answer.is_some_and(|answer| {
        names_object_lock(
            answer.code().unwrap_or_default(),
            answer.message().unwrap_or_default(),
        )
    })
}

/// Returns whether the answer shows a service that does not know the operation: 405, 501, a 400 or 404 with a code that says
/// nothing about credentials, the bucket or a condition that may pass, or a success that is another document.
pub(super) fn lacks_operation<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default();
    match status_of(error) {
        Some(200..=299) => matches!(
            error,
            SdkError::ServiceError(_) | SdkError::ResponseError(_)
        ),
        Some(405 | 501) => true,
        Some(400 | 404) => by_code(code, "").is_none(),
        _ => false,
    }
}

/// Returns whether S3 answered that the object never had a legal hold. Only a bucket with Object Lock answers so.
pub(super) fn has_no_hold<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let answer = error.as_service_error();
    answer.is_some_and(|answer| answer.code() == Some("NoSuchObjectLockConfiguration"))
}

/// Returns whether an answer is about missing Object Lock: "Bucket is missing Object Lock Configuration", and from MinIO
/// "Bucket is missing ObjectLockConfiguration".
fn names_object_lock(code: &str, message: &str) -> bool {
    matches!(
        code,
        "InvalidRequest" | "InvalidBucketState" | "ObjectLockConfigurationNotFoundError"
    ) && message.replace(' ', "").contains("ObjectLock")
}

/// Returns a failed request as an error of a store. No part of the request gets into it, since its headers have credentials.
pub(super) fn classify<E>(
    error: SdkError<E, HttpResponse>,
    what: &'static str,
    object: String,
) -> StoreError
where
    E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
{
    let ((kind, remedy), reason) = match &error {
        SdkError::ServiceError(answer) => {
            let (raw, error) = (answer.raw(), answer.err());
            let (code, message) = (
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default(),
            );
            let status = raw.status().as_u16();
            let verdict = answered(status, code, message);
            let reason = [&status.to_string(), code, message]
                .map(str::trim)
                .join(" ");
            let region = raw
                .headers()
                .get("x-amz-bucket-region")
                .filter(|_| verdict.1 == Some(REGION))
                .map(|region| format!(" (the region of the bucket is {region})"))
                .unwrap_or_default();
            (
                verdict,
                format!("{}{region}{}", reason.trim_end(), request_id(error)),
            )
        }
        SdkError::ConstructionFailure(_) => ((StoreErrorKind::Unusable, None), with_causes(&error)),
        _ => unanswered(with_causes(&error)),
    };
    let failed = StoreError::new(kind, what, object).because(reason);
    match remedy {
        Some(remedy) => failed.remedy(remedy),
        None => failed,
    }
}

/// Returns the verdict on a request without an answer.
fn unanswered(reason: String) -> (Verdict, String) {
    if reason.contains(CLEAR_TEXT) {
        let remedy =
            "Use an https:// endpoint, or set CXVAULT_ALLOW_HTTP=true if the network is trusted.";
        return (
            (StoreErrorKind::Unusable, Some(remedy)),
            CLEAR_TEXT.to_owned(),
        );
    }
    ((StoreErrorKind::Unknown, Some(REACH)), reason)
}

/// Returns the id of the request, which AWS Support needs.
fn request_id(error: &impl RequestId) -> String {
    error
        .request_id()
        .map(|id| format!(", request {id}"))
        .unwrap_or_default()
}

/// Returns the verdict on an error answer.
fn answered(status: u16, code: &str, message: &str) -> Verdict {
    by_code(code, message).unwrap_or_else(|| by_status(status))
}

/// Returns the verdict on a known code.
fn by_code(code: &str, message: &str) -> Option<Verdict> {
    use StoreErrorKind::{Checksum, Denied, Full, Unknown, Unusable};
    Some(match code {
        // RequestTimeout has the status 400, but is only a slow connection.
        "RequestTimeout"
        | "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "ConditionalRequestConflict"
        | "OperationAborted" => (Unknown, None),
        "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "InvalidDigest" => (Checksum, None),
        "NoSuchBucket" => (
            Unusable,
            Some("Create the bucket, or correct its name and the endpoint or region."),
        ),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException" => (Denied, Some(CREDENTIALS)),
        "RequestTimeTooSkewed" | "RequestExpired" => {
            (Denied, Some("Correct the clock of this host."))
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => (
            Denied,
            Some(
                "Allow these credentials s3:PutObject, s3:GetObject, s3:ListBucket and s3:ListBucketVersions here, \
                 with Object Lock also s3:PutObjectRetention, s3:GetObjectRetention, s3:PutObjectLegalHold and s3:GetObjectLegalHold.",
            ),
        ),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => (Unusable, Some(REGION)),
        "EntityTooLarge" => (Unusable, Some("Set a lower limit on the bytes of a part.")),
        "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded" => (Full, None),
        "NotImplemented" => (
            Unusable,
            Some("This service lacks what an immutable archive needs: use another one."),
        ),
        _ if code.starts_with("KMS.") || code.starts_with("XMinioKMS") => (Unusable, Some(KMS)),
        _ if names_object_lock(code, message) => {
            let remedy = "Use a bucket with Object Lock, or set CXVAULT_OBJECT_LOCK=off (for a copy, use --without-locks).";
            (Unusable, Some(remedy))
        }
        _ => return None,
    })
}

/// Returns the verdict on a status. The answer to a HEAD has no body, and so no code.
fn by_status(status: u16) -> Verdict {
    use StoreErrorKind::{Denied, Full, Unknown, Unusable};
    match status {
        301 | 307 => (Unusable, Some(REGION)),
        400 => (
            Unusable,
            Some("Check the credentials, the bucket's region and its KMS key."),
        ),
        401 | 403 => (
            Denied,
            Some(
                "Check the credentials, and allow them s3:GetObject and s3:ListBucket (without the latter S3 answers 403 for objects that do not exist).",
            ),
        ),
        408 | 409 | 425 | 429 => (Unknown, None),
        501 => (Unusable, None),
        507 => (Full, None),
        500.. => (Unknown, None),
        _ => (Unusable, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_what_is_done_next() {
        use StoreErrorKind::{Checksum, Denied, Full, Unknown, Unusable};
        let lock = "Bucket is missing Object Lock Configuration";
        for (status, code, message, expected) in [
            (409, "ConditionalRequestConflict", "", Unknown),
            (503, "SlowDown", "", Unknown),
            (500, "InternalError", "", Unknown),
            (400, "RequestTimeout", "", Unknown),
            (429, "", "", Unknown),
            (502, "", "", Unknown),
            (501, "NotImplemented", "", Unusable),
            (507, "XMinioStorageFull", "", Full),
            (400, "BadDigest", "", Checksum),
            (400, "InvalidRequest", lock, Unusable),
            (400, "ExpiredToken", "", Denied),
            (403, "AccessDenied", "", Denied),
            (403, "", "", Denied),
            (404, "NoSuchBucket", "", Unusable),
            (400, "SomethingNew", "", Unusable),
        ] {
            assert_eq!(
                answered(status, code, message).0,
                expected,
                "{status} {code}"
            );
        }
        assert!(
            answered(400, "InvalidRequest", lock)
                .1
                .is_some_and(|remedy| remedy.contains("CXVAULT_OBJECT_LOCK"))
        );
    }
}
