//! Connections: accepted up to a number, with TLS where there is a certificate, and closed when a head takes too long. A
//! handler is never reached by a client that only dribbles.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// After the system refused a connection, mostly because there are too many.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

#[derive(Clone)]
pub struct Listening {
    /// At the same time.
    pub connections: usize,
    /// For the handshake, and for each request's head.
    pub head: Duration,
    pub tls: Option<TlsAcceptor>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("read the certificate {path}: {why}")]
    Certificate { path: PathBuf, why: String },
    #[error("read the key {path}: {why}")]
    Key { path: PathBuf, why: String },
    #[error("use the certificate with the key: {0}")]
    Pair(String),
}

/// A certificate chain and its key, both PEM.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let told =
        |why: &dyn std::fmt::Display| TlsError::Certificate { path: certificate.to_owned(), why: why.to_string() };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(|error| told(&error))?;
    if chain.is_empty() {
        return Err(told(&"there is none in it"));
    }
    // The reader's words quote no key.
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::Key { path: key.to_owned(), why: error.to_string() })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Pair(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Pair(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop`, then lets what is being answered end.
pub async fn serve(listener: TcpListener, router: Router, listening: Listening, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(listening.connections.max(1)));
    let connections = TaskTracker::new();
    loop {
        let next = async {
            // The next connection waits with the system until there is a place.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let Some((place, accepted)) = accepted else { break };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, listening, stop) = (router.clone(), listening.clone(), stop.clone());
        connections.spawn(async move {
            converse(stream, peer, router, &listening, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router, listening: &Listening, stop: CancellationToken) {
    // Events are small and should not wait for each other.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &listening.tls else {
        return answer(stream, peer, router, listening, stop).await;
    };
    if let Ok(Ok(stream)) = tokio::time::timeout(listening.head, tls.accept(stream)).await {
        answer(stream, peer, router, listening, stop).await;
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    listening: &Listening,
    stop: CancellationToken,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(listening.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A connection that breaks off is its client's affair.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
