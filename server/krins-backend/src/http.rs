//! HTTP clients and the egress. TLS is rustls with ring and the operating system's trust store; proxies come from the
//! environment and are not used for this machine itself. Knows no wire format.
//!
//! Calls to providers carry a `traceparent`, whose ids are random, and nothing else of a trace.

use crate::error::{Fault, ProviderError};
use krins_core::redact::Redacted;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Response};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use url::Url;

/// How clients are built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub connect_timeout: Duration,
    /// PEM certificates to trust beside the operating system's (`SSL_CERT_FILE` replaces the system's on Linux).
    pub extra_ca: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), extra_ca: None }
    }
}

/// Clients, built when first needed: reading the trust store takes milliseconds that the keyless provider should not pay.
#[derive(Clone, Debug)]
pub struct Http {
    config: HttpConfig,
    clients: Arc<[OnceLock<Client>; 2]>,
}

impl Http {
    pub fn new(config: HttpConfig) -> Self {
        Self { config, clients: Arc::default() }
    }

    /// The client for this URL's host: without proxies for loopback.
    pub fn client(&self, url: &Url) -> Result<&Client, ProviderError> {
        let local = is_loopback(url);
        let slot = &self.clients[usize::from(local)];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.build(local)?;
        Ok(slot.get_or_init(|| client))
    }

    fn build(&self, local: bool) -> Result<Client, ProviderError> {
        install_crypto();
        let mut builder = Client::builder()
            .user_agent(concat!("krins/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.config.connect_timeout)
            .tcp_nodelay(true)
            // A redirect would carry the prompt to a host that nobody chose.
            .redirect(reqwest::redirect::Policy::none())
            // The call policy is the one owner of retries.
            .retry(reqwest::retry::never())
            .tls_certs_merge(self.extra_certificates()?);
        if local {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| {
            ProviderError::new(Fault::Misconfigured, format!("set up TLS: {}", root_cause(&error)))
                .with_hint("check the operating system's certificates and SSL_CERT_FILE")
        })
    }

    fn extra_certificates(&self) -> Result<Vec<reqwest::Certificate>, ProviderError> {
        let Some(path) = &self.config.extra_ca else {
            return Ok(Vec::new());
        };
        let refuse = |why: String| {
            ProviderError::new(Fault::Misconfigured, format!("read certificates from {}: {why}", path.display()))
                .with_hint("extra_ca names a file of PEM certificates")
        };
        let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        let certificates =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| refuse("not PEM certificates".to_owned()))?;
        if certificates.is_empty() {
            return Err(refuse("no certificate in it".to_owned()));
        }
        Ok(certificates)
    }
}

/// Makes ring the process' TLS crypto, once; somebody else's earlier choice is kept.
pub fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing the race to another thread leaves a provider installed, which is all that is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// The one function that sends text out of the machine. It takes redacted text and nothing else; `write` turns it into
/// the request, at once, so that only the sending takes time of the returned future. Dropping it, or the response's body,
/// closes the connection.
pub fn egress<T, W: FnOnce(&T) -> RequestBuilder>(
    text: &Redacted<T>,
    write: W,
) -> impl Future<Output = Result<Response, ProviderError>> + Send + use<T, W> {
    let request = write(text.get());
    async move { request.send().await.map_err(|error| unreachable_host(&error)) }
}

/// Asks how a server is. Nobody's text goes with it.
pub(crate) async fn look(client: &Client, url: Url, headers: HeaderMap) -> Result<Response, ProviderError> {
    client.get(url).headers(headers).send().await.map_err(|error| unreachable_host(&error))
}

/// Whether the URL's host is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What to say of a request that got no response. reqwest's own text holds the URL, so only the root cause is used.
pub(crate) fn unreachable_host(error: &reqwest::Error) -> ProviderError {
    let cause = root_cause(error);
    if error.is_builder() {
        return ProviderError::new(Fault::Misconfigured, format!("write the request: {cause}"));
    }
    if cause.contains("certificate") || cause.contains("UnknownIssuer") {
        return ProviderError::new(Fault::Connect, format!("trust the server: {cause}")).with_hint(
            "if a proxy or a private authority signs this server's certificate, name the authority's PEM file in extra_ca or SSL_CERT_FILE",
        );
    }
    let what = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "no connection in time".to_owned(),
        (_, true) => format!("no connection: {cause}"),
        _ => format!("the connection was lost before an answer: {cause}"),
    };
    ProviderError::new(Fault::Connect, what)
}

/// The innermost cause's own words, sanitised.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    crate::error::sanitise(&cause.to_string(), &[])
}

/// The wait that a response asks for: `retry-after-ms`, else `retry-after` in (fractional) seconds or as an HTTP date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok());
    let seconds = millis
        .map(|millis| millis / 1000.0)
        .or_else(|| text("retry-after").and_then(|value| value.parse::<f64>().ok()));
    match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => {
            let date = httpdate::parse_http_date(text("retry-after")?).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

/// The provider's word on a retry.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry")?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 12:00:00 GMT").unwrap();
        for (pairs, wait) in [
            (&[("retry-after", "2")][..], Some(2000)),
            (&[("retry-after", "0.25")], Some(250)),
            (&[("retry-after-ms", "70"), ("retry-after", "9")], Some(70)),
            (&[("retry-after", "Fri, 20 Nov 2026 12:00:30 GMT")], Some(30_000)),
            (&[("retry-after", "Fri, 20 Nov 2026 11:00:00 GMT")], Some(0)),
            (&[("retry-after", "-3")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ] {
            assert_eq!(retry_after(&headers(pairs), now), wait.map(Duration::from_millis), "{pairs:?}");
        }
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for (url, local) in [
            ("http://127.0.0.1:1/", true),
            ("http://[::1]:1/", true),
            ("http://localhost/", true),
            ("http://localhost.evil.test/", false),
            ("https://api.openai.com/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), local, "{url}");
        }
    }
}
