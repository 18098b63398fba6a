//! PEM files in, private files out.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};

use super::{certificate::Summary, error::TlsError};

/// A certificate chain, leaf first, with the leaf's private key.
#[derive(Debug)]
pub struct Identity {
    /// Where the chain was read.
    pub path: PathBuf,
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// The leaf's facts.
    pub summary: Summary,
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// When a file is missing or holds no certificate or key.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let summary = chain
            .first()
            .ok_or_else(|| content(certificate, "no CERTIFICATE section"))
            .and_then(|leaf| Summary::of(leaf).map_err(|error| content(certificate, &error.to_string())))?;
        let pem = zeroize::Zeroizing::new(read(key)?);
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| pem_error(key, &error, "PRIVATE KEY"))?;
        Ok(Self { path: certificate.to_owned(), chain, key, summary })
    }
}

/// Every certificate of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(chain) if chain.is_empty() => Err(content(path, "no CERTIFICATE section")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(pem_error(path, &error, "CERTIFICATE")),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
///
/// The system's.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Whether only the owner of the file may read it.
///
/// # Errors
///
/// The system's.
pub fn private_file(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source })
}

fn content(path: &Path, what: &str) -> TlsError {
    TlsError::Content { path: path.to_owned(), what: what.to_owned() }
}

fn pem_error(path: &Path, error: &pem::Error, wanted: &str) -> TlsError {
    match error {
        pem::Error::NoItemsFound => content(path, &format!("no {wanted} section")),
        // The library's other texts may quote the file; a key file is not quoted.
        _ => content(path, &format!("not a well-formed PEM {wanted}")),
    }
}
