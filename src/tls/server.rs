//! The server's side: a configuration that can be replaced while it is used.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{
    certificate::Summary,
    error::TlsError,
    files::{self, Identity},
};

/// Which files a listener's TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key of the leaf.
    pub key: PathBuf,
    /// PEM of the CAs whose client certificates are accepted; `None` asks for no client certificate.
    pub client_ca: Option<PathBuf>,
    /// Application protocols, preferred first; empty offers none.
    pub alpn: &'static [&'static str],
}

/// A listener's TLS, replaced by [`Reloadable::reload`].
#[derive(Debug)]
pub struct Reloadable {
    files: ServerFiles,
    current: Arc<ArcSwap<ServerConfig>>,
    summary: ArcSwap<Summary>,
}

impl Reloadable {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn load(files: ServerFiles) -> Result<Self, TlsError> {
        let (config, summary) = build(&files)?;
        Ok(Self { files, current: Arc::new(ArcSwap::from_pointee(config)), summary: ArcSwap::from_pointee(summary) })
    }

    /// What handshakes use; always the newest.
    #[must_use]
    pub fn current(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.current)
    }

    /// The facts of the leaf in use.
    #[must_use]
    pub fn summary(&self) -> Arc<Summary> {
        self.summary.load_full()
    }

    /// Reads the files again. New handshakes use what they hold now; open connections stay as they are.
    ///
    /// # Errors
    ///
    /// What is wrong with which file; then the old configuration stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let (config, summary) = build(&self.files)?;
        self.current.store(Arc::new(config));
        self.summary.store(Arc::new(summary));
        Ok(())
    }
}

fn build(files: &ServerFiles) -> Result<(ServerConfig, Summary), TlsError> {
    super::install_provider();
    let identity = Identity::read(&files.certificate, &files.key)?;
    // The provider's defaults are TLS 1.3, and TLS 1.2 with ECDHE and AEAD: design decision 12.
    let builder = ServerConfig::builder();
    let builder = match &files.client_ca {
        Some(path) => builder.with_client_cert_verifier(client_verifier(path)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(|source| TlsError::Refused { path: identity.path, source })?;
    config.alpn_protocols = files.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok((config, identity.summary))
}

fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Refused { path: path.to_owned(), source })?;
    }
    WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|source| TlsError::ClientCa { path: path.to_owned(), source })
}
