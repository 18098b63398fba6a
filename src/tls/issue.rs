//! The certificates of `dev`: a CA of its own, a server and a client.
//!
//! EC P-256, because every KMIP client has it. The CA's key stays beside the rest, so that a leaf that is about to expire
//! is issued again for the same key: the client's enrolment names the public key, not the certificate. The organisation
//! name marks every certificate made here; `serve` refuses them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{
    certificate::Summary,
    error::TlsError,
    files::{self, write_private},
};
use crate::crypto::hash::to_hex;

/// The organisation in every certificate issued here.
pub const DEVELOPMENT: &str = "Portcullis development (not for production)";

const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 730;
/// A leaf with less time left is issued again.
const RENEW_BELOW_DAYS: i64 = 14;

/// Where the development certificates are.
#[derive(Clone, Debug)]
pub struct DevFiles {
    /// The CA's certificate.
    pub ca: PathBuf,
    /// The CA's key.
    pub ca_key: PathBuf,
    /// The server's certificate.
    pub server: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// The client's certificate.
    pub client: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
}

impl DevFiles {
    /// Their names in a folder.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self {
            ca: folder.join("ca.pem"),
            ca_key: folder.join("ca.key"),
            server: folder.join("server.pem"),
            server_key: folder.join("server.key"),
            client: folder.join("client.pem"),
            client_key: folder.join("client.key"),
        }
    }
}

/// Makes what is missing in `folder` and issues again what expires soon; `now` in seconds since 1970.
///
/// # Errors
///
/// When a file cannot be written, or one that is there is not what was written.
pub fn make_dev_files(folder: &Path, client_name: &str, now: i64) -> Result<DevFiles, TlsError> {
    let files = DevFiles::within(folder);
    let now = OffsetDateTime::from_unix_timestamp(now)
        .map_err(|error| TlsError::Content { path: folder.to_owned(), what: error.to_string() })?;
    let ca_key = key(&files.ca_key)?;
    if !files.ca.exists() {
        let made = ca_params(now, &ca_key).self_signed(&ca_key)?;
        write(&files.ca, made.pem().as_bytes())?;
    }
    let ca_pem = read(&files.ca)?;
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key)?;
    let leaves = [
        (&files.server, &files.server_key, server_params(now)),
        (&files.client, &files.client_key, client_params(now, client_name)),
    ];
    for (certificate, key_path, params) in leaves {
        let key = key(key_path)?;
        if is_current(certificate, now) {
            continue;
        }
        write(certificate, params.signed_by(&key, &issuer)?.pem().as_bytes())?;
    }
    Ok(files)
}

/// Where a client's certificate and key are.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl ClientFiles {
    /// Their names in a folder.
    #[must_use]
    pub fn within(folder: &Path, name: &str) -> Self {
        Self { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
    }
}

/// Issues a client's certificate from the CA and writes it with a new key; answers the hash that enrols it. A key that is there
/// already is not written over. `now` is in seconds since 1970.
///
/// # Errors
///
/// When the CA cannot be read or a file cannot be written.
pub fn issue_client(
    ca: &Path,
    ca_key: &Path,
    files: &ClientFiles,
    name: &str,
    days: u32,
    now: i64,
) -> Result<String, TlsError> {
    let now = OffsetDateTime::from_unix_timestamp(now)
        .map_err(|error| TlsError::Content { path: ca.to_owned(), what: error.to_string() })?;
    if files.key.exists() {
        return Err(TlsError::Content { path: files.key.clone(), what: "is there already".to_owned() });
    }
    let issuer_key = KeyPair::from_pem(&Zeroizing::new(read(ca_key)?))?;
    let issuer = Issuer::from_ca_cert_pem(&read(ca)?, issuer_key)?;
    let key = KeyPair::generate()?;
    let certificate = enrolled_params(now, name, days).signed_by(&key, &issuer)?;
    write(&files.key, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    write(&files.certificate, certificate.pem().as_bytes())?;
    summary(certificate.der(), &files.certificate)
}

/// A client's certificate from the CA for a public key that it has already, in DER. `now` is in seconds since 1970.
///
/// # Errors
///
/// When the CA cannot be read, or the key is not of a kind that is certified.
pub fn certify_client(
    ca: &Path,
    ca_key: &Path,
    spki: &[u8],
    name: &str,
    days: u32,
    now: i64,
) -> Result<Vec<u8>, TlsError> {
    let now = OffsetDateTime::from_unix_timestamp(now)
        .map_err(|error| TlsError::Content { path: ca.to_owned(), what: error.to_string() })?;
    let issuer_key = KeyPair::from_pem(&Zeroizing::new(read(ca_key)?))?;
    let issuer = Issuer::from_ca_cert_pem(&read(ca)?, issuer_key)?;
    let key = SubjectPublicKeyInfo::from_der(spki)?;
    Ok(enrolled_params(now, name, days).signed_by(&key, &issuer)?.der().to_vec())
}

fn enrolled_params(now: OffsetDateTime, name: &str, days: u32) -> CertificateParams {
    let mut params = params(now, name, i64::from(days));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn summary(der: &[u8], path: &Path) -> Result<String, TlsError> {
    let damaged = |error: der::Error| TlsError::Content { path: path.to_owned(), what: error.to_string() };
    Ok(Summary::of(der).map_err(damaged)?.spki_sha256)
}

/// The hash that enrols the first certificate of a PEM file.
///
/// # Errors
///
/// When the file cannot be read or holds none.
pub fn spki_of_file(path: &Path) -> Result<String, TlsError> {
    let chain = files::certificates(path)?;
    let none = || TlsError::Content { path: path.to_owned(), what: "holds no certificate".to_owned() };
    summary(chain.first().ok_or_else(none)?, path)
}

fn is_current(path: &Path, now: OffsetDateTime) -> bool {
    let leaf = files::certificates(path).ok().and_then(|chain| Summary::of(chain.first()?).ok());
    leaf.is_some_and(|summary| summary.not_after > (now + Duration::days(RENEW_BELOW_DAYS)).unix_timestamp())
}

fn key(path: &Path) -> Result<KeyPair, TlsError> {
    if path.exists() {
        let pem = Zeroizing::new(read(path)?);
        return Ok(KeyPair::from_pem(&pem)?);
    }
    let key = KeyPair::generate()?;
    write(path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    Ok(key)
}

fn ca_params(now: OffsetDateTime, key: &KeyPair) -> CertificateParams {
    // Two folders' CAs differ in name too, so that a client of the wrong one fails as "unknown issuer".
    let key = to_hex(&key.public_key_raw().iter().rev().take(4).copied().collect::<Vec<_>>());
    let mut params = params(now, &format!("Portcullis development CA {key}"), CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(now: OffsetDateTime) -> CertificateParams {
    let mut params = params(now, "localhost", LEAF_DAYS);
    params.subject_alt_names =
        vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)), SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST))];
    params.subject_alt_names.extend("localhost".try_into().map(SanType::DnsName));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client_params(now: OffsetDateTime, name: &str) -> CertificateParams {
    let mut params = params(now, name, LEAF_DAYS);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn params(now: OffsetDateTime, name: &str, days: i64) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, DEVELOPMENT);
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.use_authority_key_identifier_extension = true;
    // An hour of slack for a client whose clock is behind.
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(days);
    params
}

fn read(path: &Path) -> Result<String, TlsError> {
    fs::read_to_string(path).map_err(|source| TlsError::Io { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    write_private(path, bytes).map_err(|source| TlsError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn what_is_there_is_kept_and_a_leaf_near_its_end_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let files = make_dev_files(folder.path(), "demo", NOW).unwrap();
        let of = |path: &Path| Summary::of(&files::certificates(path).unwrap()[0]).unwrap();
        let first = of(&files.client);
        assert!(first.is_development() && of(&files.server).is_development() && of(&files.ca).is_development());

        make_dev_files(folder.path(), "demo", NOW + 86_400).unwrap();
        assert_eq!(of(&files.client), first);

        make_dev_files(folder.path(), "demo", NOW + (LEAF_DAYS - 1) * 86_400).unwrap();
        let renewed = of(&files.client);
        assert_eq!(renewed.spki_sha256, first.spki_sha256);
        assert!(renewed.not_after > first.not_after);
    }

    #[test]
    fn keys_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let files = make_dev_files(folder.path(), "demo", NOW).unwrap();
        for key in [files.ca_key, files.server_key, files.client_key] {
            assert!(files::private_file(&key).unwrap());
        }
    }
}
