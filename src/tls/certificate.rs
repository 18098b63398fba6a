//! The few facts of a certificate that operators and enrolment need.

use der::{Decode, Encode};
use x509_cert::Certificate;

use super::issue::DEVELOPMENT;
use crate::crypto::hash::{sha256, to_hex};

/// Facts of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The subject, as text.
    pub subject: String,
    /// The issuer, as text.
    pub issuer: String,
    /// Valid until, seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the SubjectPublicKeyInfo, in lower-case hex: what `[[kmip.clients]]` names.
    pub spki_sha256: String,
}

impl Summary {
    /// Whether `dev` made it or its CA.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.subject.contains(DEVELOPMENT) || self.issuer.contains(DEVELOPMENT)
    }

    /// Reads them.
    ///
    /// # Errors
    ///
    /// When the bytes are no certificate.
    pub fn of(der: &[u8]) -> Result<Self, der::Error> {
        let certificate = Certificate::from_der(der)?;
        let body = certificate.tbs_certificate();
        let seconds = body.validity().not_after.to_unix_duration().as_secs();
        Ok(Self {
            subject: body.subject().to_string(),
            issuer: body.issuer().to_string(),
            not_after: i64::try_from(seconds).unwrap_or(i64::MAX),
            spki_sha256: to_hex(&sha256(&body.subject_public_key_info().to_der()?)),
        })
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo, in lower-case hex.
///
/// # Errors
///
/// When the bytes are no certificate.
pub fn spki_sha256(der: &[u8]) -> Result<String, der::Error> {
    Summary::of(der).map(|summary| summary.spki_sha256)
}
