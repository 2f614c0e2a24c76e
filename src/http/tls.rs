//! TLS for clients: the certificate in force, read again when its files change, so that a renewed
//! one is served without a restart and without touching a connection that is open.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::context::AppContext;
use crate::telemetry::Causes;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of the files, or what is in it.
    #[error("{path} cannot be read as PEM")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What the reader says.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file of certificates has none.
    #[error("{0} has no certificate in it")]
    Empty(PathBuf),
    /// The key is of no use, or belongs to another certificate.
    #[error("the key in {key} does not fit the certificate in {certificate}")]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The protocol versions; never with the provider that is built in.
    #[error("TLS cannot be set up")]
    Versions(#[source] rustls::Error),
}

/// The certificate in force.
struct Certificate {
    current: RwLock<Arc<CertifiedKey>>,
}

/// What tells that a file has been written since.
type CertificateStamp = [Option<(SystemTime, u64)>; 2];

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Reads the certificate, and begins to watch its files.
///
/// TLS 1.3 and, of 1.2, the suites with forward secrecy and authenticated encryption: rustls has no
/// others. HTTP/1.1 only is offered.
pub(crate) fn acceptor(
    context: &AppContext,
    files: &TlsFiles,
) -> Result<TlsAcceptor, CertificateError> {
    let provider = Arc::new(ring::default_provider());
    let before = stamp(files);
    let first = read(files, &provider)?;
    let certificate = Arc::new(Certificate { current: RwLock::new(Arc::new(first)) });
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Certificate>::clone(&certificate);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(CertificateError::Versions)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let files = files.clone();
    let tracker = context.tracker.clone();
    context.tracker.spawn(async move {
        // A stop takes no new connections, and so needs no new certificate.
        tokio::select! {
            () = tracker.draining() => {}
            () = watch(&files, &certificate, &provider, before) => {}
        }
    });
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Looks at the files now and then. What cannot be read is said once, and the certificate before it
/// stays: a renewal writes two files, one after the other.
async fn watch(
    files: &TlsFiles,
    certificate: &Certificate,
    provider: &CryptoProvider,
    mut served: CertificateStamp,
) {
    let mut refused = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let found = stamp(files);
        if found == served || refused == Some(found) {
            continue;
        }
        match read(files, provider) {
            Ok(renewed) => {
                let renewed = Arc::new(renewed);
                *certificate.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                served = found;
                refused = None;
                tracing::info!("the TLS certificate has been read again");
            }
            Err(error) => {
                refused = Some(found);
                let error = Causes(&error);
                tracing::error!(
                    %error,
                    "the changed TLS certificate is not served; the one before it is"
                );
            }
        }
    }
}

/// The certificate of the files with its key, which must fit.
pub(crate) fn read(
    files: &TlsFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateError> {
    let pem = |path: &Path, source| CertificateError::Pem { path: path.to_owned(), source };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|source| pem(&files.certificate, source))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| pem(&files.key, source))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| CertificateError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}

fn stamp(files: &TlsFiles) -> CertificateStamp {
    [&files.certificate, &files.key].map(|path| {
        let looked: io::Result<_> =
            std::fs::metadata(path).and_then(|seen| Ok((seen.modified()?, seen.len())));
        looked.ok()
    })
}
