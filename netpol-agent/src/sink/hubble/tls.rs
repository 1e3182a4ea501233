//! Mutual TLS 1.3, as Hubble's relay uses it. The certificates are reloaded when their files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, crypto::ring::default_provider, server::WebPkiClientVerifier,
        version::TLS13,
    },
};
use tracing::warn;

/// The certificate files, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The agent's certificate, followed by the intermediate certificates.
    pub certificate: PathBuf,
    /// The private key of the agent's certificate.
    pub key: PathBuf,
    /// The certificate authorities (CA) that sign clients' certificates.
    pub client_ca: PathBuf,
}

/// The TLS configuration, with the certificates that were loaded last.
pub struct Tls {
    files: TlsFiles,
    current: Mutex<(Stamp, TlsAcceptor)>,
}

/// The modification times of the three files.
type Stamp = [SystemTime; 3];

impl TlsFiles {
    fn paths(&self) -> [&Path; 3] {
        [&self.certificate, &self.key, &self.client_ca]
    }

    fn stamp(&self) -> io::Result<Stamp> {
        let [certificate, key, client_ca] = self.paths().map(|path| fs::metadata(path)?.modified());
        Ok([certificate?, key?, client_ca?])
    }

    fn read(&self) -> Result<TlsAcceptor> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("cannot read a private key from {}", self.key.display()))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.client_ca)? {
            roots.add(authority).with_context(|| format!("{}", self.client_ca.display()))?;
        }
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .with_context(|| format!("{} and {}", self.certificate.display(), self.key.display()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().with_context(|| format!("cannot read certificates from {}", path.display()))?;
    if certificates.is_empty() {
        bail!("{} has no certificate in PEM", path.display());
    }
    Ok(certificates)
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file can't be read or used.
    pub fn open(files: TlsFiles) -> Result<Self> {
        let stamp = files.stamp().with_context(|| format!("{:?}", files.paths()))?;
        let acceptor = files.read()?;
        Ok(Self { files, current: Mutex::new((stamp, acceptor)) })
    }

    /// The acceptor for the next client. If the files have changed, they are reloaded. If they can't be used, the
    /// previous certificates stay in use.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // All files of a Secret are replaced together. A file that is missing for a moment is not an error.
        if let Some(stamp) = self.files.stamp().ok().filter(|stamp| *stamp != current.0) {
            match self.files.read() {
                Ok(acceptor) => *current = (stamp, acceptor),
                Err(error) => {
                    warn!("Hubble's API continues with the previous certificates: {error:#}");
                    current.0 = stamp;
                }
            }
        }
        current.1.clone()
    }
}
