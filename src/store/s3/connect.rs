//! From settings to a client: credentials, region, endpoint, time-outs.

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
use crate::store::s3::{ANSWER, S3Options, S3Settings};

const CONNECT: Duration = Duration::from_secs(10);
/// A body that does not move at all for this long has stalled.
const STALLED: Duration = Duration::from_secs(30);
/// S3-compatible servers take requests signed for this region unless they are told otherwise.
const COMPATIBLE_REGION: &str = "us-east-1";

pub(super) const CLEAR_TEXT: &str = "plain http sends the archive in clear to another host";

/// A client that sends each request once: the one retry loop is [`crate::store::RetryingStore`].
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
        // We send the SHA-256 ourselves; another checksum on top of it some compatible servers refuse.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    config.set_app_name(AppName::new("cxvault").ok());
    if !options.allow_http {
        config = config.interceptor(RefuseClearText);
    }
    Ok(Client::from_conf(config.build()))
}

fn unusable(settings: &S3Settings, reason: &'static str) -> StoreError {
    let object = format!("s3://{}/{}", settings.bucket, settings.prefix);
    StoreError::new(
        StoreErrorKind::Unusable,
        "cannot use",
        object.trim_end_matches('/'),
    )
    .because(reason)
}

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
        .remedy("Set CXVAULT_S3_ENDPOINT to an https:// address, or CXVAULT_ALLOW_HTTP=true if that network is yours."))
}

/// The endpoint can also come from AWS_ENDPOINT_URL_S3 or a profile, which only the SDK reads.
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

/// Whether the settings name a server that is not AWS; an interface endpoint of AWS's own is.
fn is_foreign(options: &S3Options) -> bool {
    let endpoint = options.endpoint.as_ref();
    let url = endpoint.and_then(|endpoint| endpoint.parse::<Url>().ok());
    let host = url.as_ref().and_then(Url::host_str);
    host.is_some_and(|host| {
        !host.ends_with(".amazonaws.com") && !host.ends_with(".amazonaws.com.cn")
    })
}

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
        // Not the default chain: it would wait for the metadata service of a cloud where there may be none.
        let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::new(COMPATIBLE_REGION));
        return chain.region().await;
    }
    DefaultRegionChain::builder().build().region().await
}

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
    // Asked for now, since the first request would say "dispatch failure" where a name has to be put right.
    chain.provide_credentials().await.map_err(|error| {
        let object = format!("s3://{}", settings.bucket);
        let remedy = match &settings.options.profile {
            Some(profile) => format!("Correct the profile `{profile}` in the AWS files, or name another."),
            None => "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached."
                .to_owned(),
        };
        StoreError::new(StoreErrorKind::Denied, "found no AWS credentials for", object)
            .because(with_causes(&error))
            .remedy(remedy)
    })?;
    Ok(chain)
}

async fn default_chain(options: &S3Options, region: Region) -> SharedCredentialsProvider {
    let mut chain = DefaultCredentialsChain::builder().region(region);
    if is_foreign(options) {
        // The chain's last resort, and seldom the right one here: one short try instead of four.
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
