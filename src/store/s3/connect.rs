//! The client of S3: credentials, region, endpoint and time-outs.
//!
//! The SDK's own retries are off: [`crate::store::RetryingStore`] is the only retry loop, which the tests can observe.
//! The SDK's own checksums are off too: each PUT carries the SHA-256 that the caller has announced.
//!
//! The region is that of the settings, or else of the profile, of the environment (`AWS_REGION`), of the AWS configuration files,
//! or of the instance. For a compatible service the search ends with [`COMPATIBLE_REGION`], since most of them accept any region
//! as long as the signature and the request agree.
//!
//! The credentials are those of the settings, or else of the named profile, or else of the default chain of AWS. They are resolved
//! before the first request, so that missing credentials are reported as such and not as a failed request.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, imds};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, Builder, ConfigBag, Credentials, Intercept, ProvideCredentials, Region,
    RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
    SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::BoxError;
use secrecy::ExposeSecret;
use url::Url;

use crate::format::place::plain_http::is_exposed;
use crate::outcome::with_causes;
use crate::store::Result;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::s3::settings::{ANSWER, S3Options, S3Settings};

/// Time-out of a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Time without any progress after which a transfer has stalled.
const STALLED: Duration = Duration::from_secs(30);
/// The region that S3-compatible services expect in signatures by default.
const COMPATIBLE_REGION: &str = "us-east-1";

/// The reason of a request that would leave this host in clear text. [`super::failure`] recognises it in errors of the SDK.
pub(super) const CLEAR_TEXT: &str = "plain HTTP to another host can be read in transit";

/// Makes a client that sends each request once.
///
/// # Errors
/// [`StoreErrorKind::Unusable`] for a wrong endpoint or a missing region, and [`StoreErrorKind::Denied`] without credentials.
pub(super) async fn client(settings: &S3Settings) -> Result<Client> {
    let options = &settings.options;
    check_endpoint(settings)?;
    let region = region(options).await;
    let Some(region) = region else {
        return Err(unusable(settings, "no region is set")
            .remedy("Set AWS_REGION, or the region in the settings."));
    };
    let credentials = credentials(settings, region.clone()).await?;
    let mut shared = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled());
    if let Some(profile) = &options.profile {
        shared = shared.profile_name(profile);
    }
    if let Some(endpoint) = &options.endpoint {
        shared = shared.endpoint_url(endpoint);
    }
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_timeout(ANSWER)
        .operation_attempt_timeout(ANSWER)
        .disable_read_timeout();
    let stalled = StalledStreamProtectionConfig::enabled()
        .grace_period(STALLED)
        .build();
    let shared = shared
        .timeout_config(timeouts.build())
        .stalled_stream_protection(stalled)
        .load()
        .await;
    let mut config = Builder::from(&shared)
        .force_path_style(options.path_style)
        // Each PUT has its SHA-256 already, and some compatible services refuse a second checksum.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    config.set_app_name(AppName::new("cxvault").ok());
    if !options.allow_http {
        config = config.interceptor(RefuseClearText);
    }
    Ok(Client::from_conf(config.build()))
}

/// Returns the failure for settings that cannot work.
fn unusable(settings: &S3Settings, reason: &'static str) -> StoreError {
    let object = format!("s3://{}/{}", settings.bucket, settings.prefix);
    StoreError::new(
        StoreErrorKind::Unusable,
        "cannot use",
        object.trim_end_matches('/'),
    )
    .because(reason)
}

/// Refuses an endpoint that is not a URL, or that is reached in clear text.
fn check_endpoint(settings: &S3Settings) -> Result<()> {
    let Some(endpoint) = &settings.options.endpoint else {
        return Ok(());
    };
    let url = endpoint.parse::<Url>().ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && (url.username(), url.password(), url.query()) == ("", None, None)
    });
    let Some(url) = url else {
        return Err(unusable(settings, "the endpoint is not a URL")
            .remedy("Set CXVAULT_S3_ENDPOINT to https://host or https://host:port."));
    };
    if settings.options.allow_http || !is_exposed(&url) {
        return Ok(());
    }
    Err(unusable(settings, CLEAR_TEXT)
        .remedy("Set CXVAULT_S3_ENDPOINT to an https:// URL, or CXVAULT_ALLOW_HTTP=true if the network is trusted."))
}

/// Refuses requests in clear text before they are sent. The endpoint can also come from AWS_ENDPOINT_URL_S3 or from a profile,
/// which only the SDK reads.
#[derive(Debug)]
struct RefuseClearText;

impl Intercept for RefuseClearText {
    fn name(&self) -> &'static str {
        "RefuseClearText"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        match context.request().uri().parse::<Url>() {
            Ok(url) if !is_exposed(&url) => Ok(()),
            _ => Err(CLEAR_TEXT.into()),
        }
    }
}

/// Returns whether the settings name a service other than Amazon S3. Interface endpoints (AWS PrivateLink) belong to it.
fn is_foreign(options: &S3Options) -> bool {
    let endpoint = options.endpoint.as_ref();
    let url = endpoint.and_then(|endpoint| endpoint.parse::<Url>().ok());
    let host = url.as_ref().and_then(Url::host_str);
    host.is_some_and(|host| {
        !host.ends_with(".amazonaws.com") && !host.ends_with(".amazonaws.com.cn")
    })
}

/// Finds the region: from the settings, the profile, the environment, or the service.
async fn region(options: &S3Options) -> Option<Region> {
    if let Some(region) = &options.region {
        return Some(Region::new(region.clone()));
    }
    if let Some(profile) = &options.profile {
        let named = ProfileFileRegionProvider::builder()
            .profile_name(profile)
            .build();
        let chain =
            RegionProviderChain::first_try(named).or_else(EnvironmentVariableRegionProvider::new());
        return match is_foreign(options) {
            true => chain.or_else(Region::new(COMPATIBLE_REGION)).region().await,
            false => chain.region().await,
        };
    }
    if is_foreign(options) {
        // Not the default chain: it would wait for the instance metadata service, which may not exist.
        let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::new(COMPATIBLE_REGION));
        return chain.region().await;
    }
    DefaultRegionChain::builder().build().region().await
}

/// Finds the credentials: those of the settings, of the profile, or of the default chain of AWS.
async fn credentials(settings: &S3Settings, region: Region) -> Result<SharedCredentialsProvider> {
    if let Some((id, secret)) = &settings.options.credentials {
        let fixed = Credentials::new(id, secret.expose_secret(), None, None, "settings");
        return Ok(SharedCredentialsProvider::new(fixed));
    }
    let chain = match &settings.options.profile {
        Some(profile) => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder()
                .profile_name(profile)
                .build(),
        ),
        None => default_chain(&settings.options, region).await,
    };
    // Resolved now, since the first request would only report a "dispatch failure".
    chain.provide_credentials().await.map_err(|error| {
        let object = format!("s3://{}", settings.bucket);
        let remedy = match &settings.options.profile {
            Some(profile) => format!("Correct the profile `{profile}` in the AWS configuration files, or name another profile."),
            None => "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run on a host with an IAM role."
                .to_owned(),
        };
        StoreError::new(StoreErrorKind::Denied, "found no AWS credentials for", object)
            .because(with_causes(&error))
            .remedy(remedy)
    })?;
    Ok(chain)
}

/// Returns the default credential chain of AWS
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>).
async fn default_chain(options: &S3Options, region: Region) -> SharedCredentialsProvider {
    let mut chain = DefaultCredentialsChain::builder().region(region);
    if is_foreign(options) {
        // The instance metadata service is the last link of the chain, and rarely has credentials for another service: one
        // short attempt instead of four.
        let metadata = imds::Client::builder()
            .max_attempts(1)
            .connect_timeout(Duration::from_millis(500));
        chain = chain.imds_client(metadata.build());
    }
    SharedCredentialsProvider::new(chain.build().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str, allow_http: bool) -> S3Settings {
        let options = S3Options {
            endpoint: Some(endpoint.to_owned()),
            allow_http,
            ..S3Options::default()
        };
        S3Settings {
            bucket: "my-bucket".to_owned(),
            prefix: "a".to_owned(),
            options,
        }
    }

    #[test]
    fn plain_http_goes_only_to_this_host_or_where_it_is_allowed() {
        for endpoint in [
            "http://minio.example:9000",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "HTTP://x.example",
        ] {
            let error = check_endpoint(&settings(endpoint, false)).expect_err(endpoint);
            assert!(
                crate::outcome::Failure::from(error)
                    .to_string()
                    .contains("CXVAULT_ALLOW_HTTP")
            );
            assert!(
                check_endpoint(&settings(endpoint, true)).is_ok(),
                "{endpoint}"
            );
        }
        for endpoint in [
            "http://127.0.0.1:9",
            "http://[::1]:9",
            "http://localhost",
            "https://minio.example",
        ] {
            assert!(
                check_endpoint(&settings(endpoint, false)).is_ok(),
                "{endpoint}"
            );
        }
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_refused_without_showing_it() {
        for endpoint in [
            "minio:9000",
            "",
            "https://id:hush-hush@minio.example",
            "ftp://x",
        ] {
            let error = check_endpoint(&settings(endpoint, true)).expect_err(endpoint);
            let text = crate::outcome::Failure::from(error).to_string();
            assert!(
                text.contains("CXVAULT_S3_ENDPOINT") && !text.contains("hush-hush"),
                "{text}"
            );
        }
    }

    #[test]
    fn only_aws_itself_waits_for_the_metadata_service() {
        assert!(is_foreign(
            &settings("https://minio.example", false).options
        ));
        assert!(!is_foreign(
            &settings(
                "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com",
                false
            )
            .options
        ));
        assert!(!is_foreign(&S3Options::default()));
    }
}
