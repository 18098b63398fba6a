//! The client's side, for the small KMIP client of the command line.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};

use super::{
    error::TlsError,
    files::{self, Identity},
};

/// A configuration that trusts the CAs of `ca` and shows `identity`.
///
/// # Errors
///
/// What is wrong with which file.
pub fn client_config(ca: &Path, identity: Identity) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder()
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(identity.chain, identity.key)
        .map_err(|source| TlsError::Refused { path: identity.path, source })?;
    Ok(Arc::new(config))
}

/// A configuration that trusts the CAs of `ca` and shows nothing.
///
/// # Errors
///
/// What is wrong with the file.
pub fn anonymous_client_config(ca: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots(ca)?).with_no_client_auth()))
}

fn roots(ca: &Path) -> Result<RootCertStore, TlsError> {
    super::install_provider();
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates(ca)? {
        roots.add(certificate).map_err(|source| TlsError::Refused { path: ca.to_owned(), source })?;
    }
    Ok(roots)
}
