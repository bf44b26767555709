//! A certificate authority of a test's own, and what stands before a server that speaks no TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// Files for a server's certificate and key, and the authority's own certificate.
pub struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    directory: TempDir,
    pub pem: PathBuf,
}

pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = write(directory.path(), "authority.pem", &authority.self_signed(&key).unwrap().pem());
        Self { issuer: rcgen::Issuer::new(authority, key), directory, pem }
    }

    /// For a name, or an address.
    pub fn certify(&self, name: &str) -> Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &self.issuer).unwrap();
        Certificate {
            chain: write(self.directory.path(), &format!("{name}.pem"), &certificate.pem()),
            key: write(self.directory.path(), &format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// Listens with TLS as that name and passes everything on.
    pub async fn front(&self, name: &str, to: SocketAddr) -> SocketAddr {
        let Certificate { chain, key } = self.certify(name);
        let acceptor = krins_backend::service::tls(&chain, &key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever does not trust the certificate hangs up here.
                    let Ok(mut inside) = acceptor.accept(stream).await else { return };
                    let Ok(mut behind) = TcpStream::connect(to).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut behind).await;
                });
            }
        });
        address
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
