//! The one rule for requests without TLS.
//!
//! All that is sent with plain HTTP to another host can be read, and changed, on its way: tokens, summaries, and the
//! archive itself. So every client of this program (RingCX, S3, webhooks, heartbeats, push gateways, OpenTelemetry)
//! refuses such a URL unless the setting `allow_http` says that the network is trusted.

use url::{Host, Url};

/// Returns whether requests to `url` leave this host in clear text.
///
/// Plain HTTP is harmless only to loopback addresses (127.0.0.0/8 and ::1) and to the name `localhost`. Names below or
/// beside it count as other hosts, since not every resolver treats them as RFC 6761, section 6.3, asks for.
///
/// # Examples
/// ```
/// use cxvault::format::place::plain_http::is_exposed;
/// use url::Url;
///
/// assert!(is_exposed(&Url::parse("http://minio.example:9000")?));
/// assert!(!is_exposed(&Url::parse("http://127.0.0.1:9000")?));
/// assert!(!is_exposed(&Url::parse("https://minio.example")?));
/// # Ok::<(), url::ParseError>(())
/// ```
pub fn is_exposed(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() != "https" && !is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_be_reached_without_tls() {
        for (text, exposed) in [
            ("https://a.example", false),
            ("http://127.0.0.1:9000", false),
            ("http://127.3.2.1", false),
            ("http://[::1]:80/x", false),
            ("http://localhost", false),
            ("HTTP://LOCALHOST:80", false),
            ("http://a.example", true),
            ("HTTP://a.example", true),
            ("http://x.localhost", true),
            ("http://localhost.", true),
            ("http://localhost.a.example", true),
            ("http://127.0.0.1.a.example", true),
            ("http://localhost@a.example", true),
            ("http://10.0.0.1", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://[2001:db8::1]", true),
        ] {
            assert_eq!(is_exposed(&Url::parse(text).unwrap()), exposed, "{text}");
        }
    }
}
