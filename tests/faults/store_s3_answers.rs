//! What MinIO never does by itself: S3's failures, and which requests exactly are sent. A stand-in
//! answers as each test requires.

use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cxvault::format::hash::digest::Digest;
use cxvault::format::record::lock::{Lock, LockMode};
use cxvault::outcome::{Exit, Failure};
use cxvault::store::{
    Body, NewObject, PutOutcome, S3Options, S3Settings, S3Store, Store, StoreErrorKind,
};
use secrecy::SecretString;

const SECRET: &str = "hush-hush-hush";

/// A server that gives every request the same answer and records the requests.
#[derive(Clone)]
struct Standin {
    answer: (u16, String),
    seen: Arc<Mutex<Vec<(Method, String, HeaderMap)>>>,
}

impl Standin {
    /// Starts the stand-in and returns it with its URL.
    async fn answering(status: u16, body: &str) -> (Standin, String) {
        let standin = Standin {
            answer: (status, body.to_owned()),
            seen: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(Self::answer)
            .with_state(standin.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (standin, url)
    }

    async fn answer(State(standin): State<Standin>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        axum::body::to_bytes(body, 1 << 20).await.unwrap();
        standin
            .seen
            .lock()
            .unwrap()
            .push((parts.method, parts.uri.to_string(), parts.headers));
        let (status, body) = standin.answer;
        (StatusCode::from_u16(status).unwrap(), body).into_response()
    }

    fn requests(&self) -> Vec<(Method, String, HeaderMap)> {
        self.seen.lock().unwrap().clone()
    }
}

fn error_body(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>R1</RequestId></Error>"
    )
}

fn settings(endpoint: &str) -> S3Settings {
    let options = S3Options {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        path_style: true,
        credentials: Some(("id".to_owned(), SecretString::from(SECRET))),
        ..S3Options::default()
    };
    S3Settings {
        bucket: "my-bucket".to_owned(),
        prefix: "a".to_owned(),
        options,
    }
}

fn object(lock: Option<Lock>) -> NewObject {
    let body = Body::Bytes(Bytes::from_static(b"x"));
    NewObject {
        key: "b/c".to_owned(),
        body,
        sha256: Digest::of(b"x"),
        lock,
        legal_hold: false,
    }
}

#[tokio::test]
async fn every_refusal_is_judged_and_sent_once() {
    use StoreErrorKind::{Checksum, Denied, Unknown, Unusable};
    for (status, code, kind, exit) in [
        (409, "ConditionalRequestConflict", Unknown, Exit::Later),
        (503, "SlowDown", Unknown, Exit::Later),
        (500, "InternalError", Unknown, Exit::Later),
        (504, "", Unknown, Exit::Later),
        (400, "RequestTimeout", Unknown, Exit::Later),
        (400, "BadDigest", Checksum, Exit::Integrity),
        (400, "ExpiredToken", Denied, Exit::Denied),
        (403, "AccessDenied", Denied, Exit::Denied),
        (403, "InvalidAccessKeyId", Denied, Exit::Denied),
        (404, "NoSuchBucket", Unusable, Exit::Usage),
        (501, "NotImplemented", Unusable, Exit::Usage),
    ] {
        let (standin, url) = Standin::answering(status, &error_body(code, "because")).await;
        let store = S3Store::open(settings(&url)).await.unwrap();
        let error = store.put_new(&object(None)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}: {error:?}");
        assert_eq!(standin.requests().len(), 1, "{code}: another one retries");
        assert!(!format!("{error:?}").contains(SECRET));
        let failure = Failure::from(error);
        assert_eq!(failure.exit, exit, "{code}");
        let text = failure.to_string();
        assert!(
            text.contains("s3://my-bucket/a/b/c")
                && text.contains(code)
                && failure.remedy.is_some(),
            "{text}"
        );
        assert_eq!(store.get("b/c").await.unwrap_err().kind, kind, "{code}");
        assert_eq!(store.list("", None).await.unwrap_err().kind, kind, "{code}");
    }
}

#[tokio::test]
async fn an_existing_key_and_a_missing_key_are_answers() {
    let (_, url) = Standin::answering(412, &error_body("PreconditionFailed", "")).await;
    let store = S3Store::open(settings(&url)).await.unwrap();
    assert_eq!(
        store.put_new(&object(None)).await.unwrap(),
        PutOutcome::Exists
    );

    let (_, url) = Standin::answering(404, &error_body("NoSuchKey", "")).await;
    let store = S3Store::open(settings(&url)).await.unwrap();
    assert_eq!(store.get("b/c").await.unwrap(), None);
    assert_eq!(store.stat("b/c").await.unwrap(), None);
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_unknown() {
    let (standin, url) = Standin::answering(500, "<html>a proxy's page").await;
    let store = S3Store::open(settings(&url)).await.unwrap();
    assert_eq!(
        store.put_new(&object(None)).await.unwrap_err().kind,
        StoreErrorKind::Unknown
    );
    assert_eq!(standin.requests().len(), 1);

    // A server that closes the connection, and an address without a server.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hanging_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    let store = S3Store::open(settings(&url)).await.unwrap();
    let error = store.put_new(&object(None)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error:?}");
    hanging_up.await.unwrap();
    let error = store.stat("b").await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error:?}");
    assert!(
        Failure::from(error)
            .to_string()
            .contains("CXVAULT_S3_ENDPOINT")
    );
}

#[tokio::test]
async fn a_put_announces_condition_checksum_lock_and_key() {
    let (standin, url) = Standin::answering(200, "").await;
    let mut with_key = settings(&url);
    with_key.options.kms_key_id = Some("arn:aws:kms:us-east-1:1:key/2".to_owned());
    let store = S3Store::open(with_key).await.unwrap();
    let lock = Lock {
        mode: LockMode::Compliance,
        until_ms: 1_900_000_000_000,
    };
    assert_eq!(
        store.put_new(&object(Some(lock))).await.unwrap(),
        PutOutcome::Created { version_id: None }
    );

    let seen = standin.requests();
    let [(method, path, headers)] = seen.as_slice() else {
        panic!("one request, not {seen:?}")
    };
    assert_eq!(
        (method, path.split('?').next()),
        (&Method::PUT, Some("/my-bucket/a/b/c"))
    );
    for (name, value) in [
        ("if-none-match", "*"),
        ("content-length", "1"),
        // `printf x | openssl dgst -sha256 -binary | base64`
        (
            "x-amz-checksum-sha256",
            "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=",
        ),
        // Amazon S3 requires it of an object with a retention period.
        ("x-amz-sdk-checksum-algorithm", "SHA256"),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        (
            "x-amz-object-lock-retain-until-date",
            "2030-03-17T17:46:40Z",
        ),
        ("x-amz-server-side-encryption", "aws:kms"),
        (
            "x-amz-server-side-encryption-aws-kms-key-id",
            "arn:aws:kms:us-east-1:1:key/2",
        ),
    ] {
        let sent = headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(sent, Some(value), "{name}");
    }
    for name in ["x-amz-trailer", "x-amz-checksum-crc32"] {
        assert!(
            !headers.contains_key(name),
            "{name} would be a second checksum"
        );
    }
}

/// A service without the operation answers 501, 405 or 400, or takes the request for a listing of
/// objects.
#[tokio::test]
async fn a_service_that_cannot_list_versions_is_refused_with_that_reason() {
    let objects = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    for (status, body) in [
        (501, error_body("NotImplemented", "not implemented")),
        (405, error_body("MethodNotAllowed", "")),
        (400, error_body("InvalidArgument", "versions")),
        (400, String::new()),
        (200, objects.to_owned()),
        (200, "<html>a page</html>".to_owned()),
        (200, String::new()),
    ] {
        let (_, url) = Standin::answering(status, &body).await;
        let store = S3Store::open(settings(&url)).await.unwrap();
        let error = store.versions("manifests/").await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unusable, "{status} {body}");
        let text = Failure::from(error).to_string();
        assert!(
            text.contains("ListObjectVersions") && text.contains("s3://my-bucket/a/manifests/"),
            "{text}"
        );
        assert!(!text.contains("cannot list s3"), "{text}");
    }
    // What may pass, and what the operator can grant, is still called that.
    for (status, code, kind) in [
        (503, "SlowDown", StoreErrorKind::Unknown),
        (400, "RequestTimeout", StoreErrorKind::Unknown),
        (400, "ExpiredToken", StoreErrorKind::Denied),
        (403, "AccessDenied", StoreErrorKind::Denied),
        (404, "NoSuchBucket", StoreErrorKind::Unusable),
    ] {
        let (_, url) = Standin::answering(status, &error_body(code, "because")).await;
        let store = S3Store::open(settings(&url)).await.unwrap();
        let error = store.versions("").await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}");
        let text = Failure::from(error).to_string();
        assert!(!text.contains("ListObjectVersions"), "{code}: {text}");
    }
}

/// Keys are encoded only where the answer says so: some services ignore the request for it.
#[tokio::test]
async fn keys_are_decoded_where_the_answer_says_that_they_are_encoded() {
    for (said, key) in [
        ("<EncodingType>url</EncodingType>", "a/m%2Bn%25+o"),
        ("", "a/m+n% o"),
    ] {
        let page = format!(
            "<ListVersionsResult>{said}<IsTruncated>false</IsTruncated><Version><Key>{key}</Key>\
             <VersionId>1</VersionId><IsLatest>true</IsLatest></Version></ListVersionsResult>"
        );
        let (_, url) = Standin::answering(200, &page).await;
        let store = S3Store::open(settings(&url)).await.unwrap();
        let versions = store.versions("").await.unwrap();
        assert_eq!(versions[0].key, "m+n% o", "{said}");
    }
}

const CHILD: &str = "CXVAULT_TEST_CHILD";

/// Returns whether this process was started by [`again`].
#[allow(clippy::disallowed_methods)] // only a test may ask its own environment
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs a test of this file again in a process whose environment is `env` alone: the AWS credential
/// chain reads the environment, and this process's may hold anything.
async fn again(test: &'static str, env: &[(&str, &str)]) {
    // The name of a test is its path below the crate.
    let module = module_path!().split_once("::").unwrap().1;
    let name = format!("{module}::{test}");
    let mut child = Command::new(std::env::current_exe().unwrap());
    // Otherwise the chain would ask the instance's metadata service, and there may be one.
    let no_metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    child
        .args(["--exact", &name, "--nocapture"])
        .env_clear()
        .envs(env.iter().copied().chain([(CHILD, "1"), no_metadata]));
    let done = tokio::task::spawn_blocking(move || child.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn missing_credentials_and_a_missing_region_are_named() {
    if !is_child() {
        return again(
            "missing_credentials_and_a_missing_region_are_named",
            &[("HOME", "/nonexistent")],
        )
        .await;
    }
    let mut without = settings("https://minio.example");
    without.options.credentials = None;
    let failure = Failure::from(S3Store::open(without.clone()).await.err().unwrap());
    assert_eq!(failure.exit, Exit::Denied);
    assert!(
        failure.to_string().contains("AWS_ACCESS_KEY_ID"),
        "{failure}"
    );

    without.options = S3Options::default();
    let failure = Failure::from(S3Store::open(without).await.err().unwrap());
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.to_string().contains("AWS_REGION"), "{failure}");
}

#[tokio::test]
async fn plain_http_by_the_environment_is_refused_too() {
    if !is_child() {
        let env = [
            ("AWS_ENDPOINT_URL_S3", "http://minio.example"),
            ("HOME", "/nonexistent"),
        ];
        return again("plain_http_by_the_environment_is_refused_too", &env).await;
    }
    let mut by_environment = settings("");
    by_environment.options.endpoint = None;
    let store = S3Store::open(by_environment).await.unwrap();
    let error = store.put_new(&object(None)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unusable, "{error:?}");
    assert!(
        Failure::from(error)
            .to_string()
            .contains("CXVAULT_ALLOW_HTTP")
    );
}

#[tokio::test]
async fn a_web_identity_gets_credentials() {
    if is_child() {
        let by_environment = S3Settings {
            options: S3Options::default(),
            ..settings("")
        };
        let store = S3Store::open(by_environment).await.unwrap();
        assert_eq!(store.list("", None).await.unwrap(), []);
        return;
    }
    let (s3, s3_url) = Standin::answering(
        200,
        "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    )
    .await;
    let answer = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                  <AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn>\
                  <AssumedRoleId>i:s</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIAOFTHEROLE</AccessKeyId>\
                  <SecretAccessKey>s</SecretAccessKey><SessionToken>the-session</SessionToken>\
                  <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
                  </AssumeRoleWithWebIdentityResponse>";
    let (sts, sts_url) = Standin::answering(200, answer).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "a.web.identity").unwrap();
    let env = [
        (
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            token.path().to_str().unwrap(),
        ),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ENDPOINT_URL_STS", &sts_url),
        ("AWS_ENDPOINT_URL_S3", &s3_url),
        ("AWS_REGION", "us-east-1"),
        ("HOME", "/nonexistent"),
    ];
    again("a_web_identity_gets_credentials", &env).await;
    assert!(!sts.requests().is_empty());
    let seen = s3.requests();
    let header = |name: &str| seen[0].2.get(name).unwrap().to_str().unwrap();
    assert!(header("authorization").contains("Credential=ASIAOFTHEROLE/"));
    assert_eq!(header("x-amz-security-token"), "the-session");
}
