//! Certificates and certificate requests: read a PKCS#10 request, write a certificate's body, check who signed what.
//!
//! Only public keys are used here. The signature over a new certificate is the HSM's; this module builds what is signed and
//! puts the two together (RFC 5280 §4.1, RFC 2986 §4).

use std::str::FromStr;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::{
    Encode,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier},
};
use x509_cert::name::Name;

use super::{Certificate, Error, PublicKey, asn1, hash, pem};
use crate::domain::{CryptographicAlgorithm, Timestamp};

const REQUEST: &str = "PKCS#10 certificate request";
const CERTIFICATE: &str = "X.509 certificate";
/// PKCS#9 `extensionRequest`.
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// `sha256WithRSAEncryption` with its NULL: how every certificate of ours is signed.
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";

/// What a request asks to be certified; its signature has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The subject's name in DER.
    pub subject: Vec<u8>,
    /// The public key.
    pub spki: Vec<u8>,
    /// The value of the extension for alternative names, if one is asked for.
    pub alternative_names: Option<Vec<u8>>,
}

impl Request {
    /// From DER or PEM; proof of possession is part of it.
    ///
    /// # Errors
    ///
    /// `Malformed`; `Inconsistent` when the signature is not by the key that the request is for.
    pub fn parse(value: &[u8]) -> Result<Self, Error> {
        if pem::is_pem(value) {
            let block = pem::decode(value)?;
            return match block.label.as_str() {
                "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Self::from_der(super::bytes(&block.der)),
                _ => Err(Error::malformed(REQUEST)),
            };
        }
        Self::from_der(value)
    }

    fn from_der(der: &[u8]) -> Result<Self, Error> {
        let malformed = || Error::malformed(REQUEST);
        let [info, algorithm, signature]: [&[u8]; 3] =
            asn1::elements(REQUEST, der)?.try_into().map_err(|_parts: Vec<&[u8]>| malformed())?;
        let parts = asn1::elements(REQUEST, info)?;
        let (Some(subject), Some(spki)) = (parts.get(1), parts.get(2)) else { return Err(malformed()) };
        asn1::decode::<Name>(REQUEST, subject)?;
        if !signed_by(spki, algorithm, info, signature)? {
            return Err(Error::Inconsistent("certificate request and its signature"));
        }
        let mut alternative_names = None;
        for attribute in parts.get(3).map(|set| asn1::elements(REQUEST, set)).transpose()?.unwrap_or_default() {
            let fields = asn1::elements(REQUEST, attribute)?;
            let (Some(oid), Some(values)) = (fields.first(), fields.get(1)) else { return Err(malformed()) };
            if asn1::decode::<ObjectIdentifier>(REQUEST, oid)? != EXTENSION_REQUEST {
                continue;
            }
            for list in asn1::elements(REQUEST, values)? {
                for extension in asn1::elements(REQUEST, list)? {
                    let fields = asn1::elements(REQUEST, extension)?;
                    let (Some(oid), Some(value)) = (fields.first(), fields.last()) else { return Err(malformed()) };
                    if asn1::decode::<ObjectIdentifier>(REQUEST, oid)? == SUBJECT_ALTERNATIVE_NAME {
                        let value: AnyRef<'_> = asn1::decode(REQUEST, value)?;
                        alternative_names = Some(value.value().to_vec());
                    }
                }
            }
        }
        Ok(Self { subject: subject.to_vec(), spki: spki.to_vec(), alternative_names })
    }
}

/// A name in DER from its text form (RFC 4514).
///
/// # Errors
///
/// `Malformed`.
pub fn name(text: &str) -> Result<Vec<u8>, Error> {
    let name = Name::from_str(text).map_err(|cause| Error::Malformed { what: "name", cause: Some(cause) })?;
    name.to_der().map_err(|cause| Error::Malformed { what: "name", cause: Some(cause) })
}

/// What a certificate will say.
#[derive(Clone, Debug)]
pub struct Content {
    /// A positive number of sixteen bytes.
    pub serial: [u8; 16],
    /// The issuer's name in DER.
    pub issuer: Vec<u8>,
    /// The issuer's public key.
    pub issuer_spki: Vec<u8>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// The subject's name in DER.
    pub subject: Vec<u8>,
    /// The subject's public key.
    pub spki: Vec<u8>,
    /// The value of the extension for alternative names.
    pub alternative_names: Option<Vec<u8>>,
    /// Whether the subject may encrypt keys, beside signing.
    pub encrypts: bool,
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = vec![tag];
    match u8::try_from(length) {
        Ok(short @ ..=0x7F) => der.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let significant = bytes.get(zeros..).unwrap_or_default();
            der.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            der.extend_from_slice(significant);
        }
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

fn oid(of: ObjectIdentifier) -> Vec<u8> {
    element(0x06, &[of.as_bytes()])
}

fn extension(of: ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
    element(0x30, &[&oid(of), critical, &element(0x04, &[value])])
}

/// RFC 5280 §4.2.1.2, method 1 with SHA-256 cut to 20 bytes (RFC 7093 §2).
fn key_identifier(spki: &[u8]) -> Vec<u8> {
    hash::sha256(spki).iter().take(20).copied().collect()
}

impl Content {
    /// The body that is signed (RFC 5280 §4.1.2).
    ///
    /// # Errors
    ///
    /// `Unsupported` for dates that X.509 cannot express.
    pub fn body(&self) -> Result<Vec<u8>, Error> {
        let mut serial = self.serial;
        // Positive, and never shorter than it looks.
        serial[0] = (serial[0] & 0x7F) | 0x40;
        let usage: &[u8] = if self.encrypts { b"\x03\x02\x05\xe0" } else { b"\x03\x02\x06\xc0" };
        let authority = element(0x30, &[&element(0x80, &[&key_identifier(&self.issuer_spki)])]);
        let mut extensions = vec![
            extension(BASIC_CONSTRAINTS, true, b"\x30\x00"),
            extension(KEY_USAGE, true, usage),
            extension(SUBJECT_KEY_IDENTIFIER, false, &element(0x04, &[&key_identifier(&self.spki)])),
            extension(AUTHORITY_KEY_IDENTIFIER, false, &authority),
        ];
        extensions
            .extend(self.alternative_names.as_ref().map(|value| extension(SUBJECT_ALTERNATIVE_NAME, false, value)));
        let list: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
        let validity = element(0x30, &[&time(self.not_before)?, &time(self.not_after)?]);
        Ok(element(
            0x30,
            &[
                b"\xa0\x03\x02\x01\x02",
                &element(0x02, &[&serial]),
                SHA256_WITH_RSA,
                &self.issuer,
                &validity,
                &self.subject,
                &self.spki,
                &element(0xA3, &[&element(0x30, &list)]),
            ],
        ))
    }
}

/// The whole certificate.
#[must_use]
pub fn certificate(body: &[u8], signature: &[u8]) -> Vec<u8> {
    element(0x30, &[body, SHA256_WITH_RSA, &element(0x03, &[&[0], signature])])
}

/// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
fn time(at: Timestamp) -> Result<Vec<u8>, Error> {
    let unfit = || Error::Unsupported("this date in a certificate");
    let at = time::OffsetDateTime::from_unix_timestamp(at.seconds()).map_err(|_range| unfit())?;
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    match year {
        1950..2050 => Ok(element(0x17, &[format!("{:02}{rest}", year % 100).as_bytes()])),
        2050..10_000 => Ok(element(0x18, &[format!("{year:04}{rest}").as_bytes()])),
        _ => Err(unfit()),
    }
}

/// Whether a certificate was signed by that public key.
///
/// # Errors
///
/// `Malformed`; `Unsupported` for algorithms that we do not verify.
pub fn is_signed_by(certificate: &Certificate, issuer_spki: &[u8]) -> Result<bool, Error> {
    let [body, algorithm, signature]: [&[u8]; 3] = asn1::elements(CERTIFICATE, &certificate.der)?
        .try_into()
        .map_err(|_parts: Vec<&[u8]>| Error::malformed(CERTIFICATE))?;
    signed_by(issuer_spki, algorithm, body, signature)
}

/// Whether a certificate may sign others: a CA by its basic constraints; one of version 1 says nothing and may not.
///
/// # Errors
///
/// `Malformed`.
pub fn is_authority(certificate: &Certificate) -> Result<bool, Error> {
    let body = asn1::elements(CERTIFICATE, &certificate.der)?;
    let body = body.first().ok_or(Error::malformed(CERTIFICATE))?;
    for field in asn1::elements(CERTIFICATE, body)? {
        if field.first() != Some(&0xA3) {
            continue;
        }
        for list in asn1::elements(CERTIFICATE, field)? {
            for extension in asn1::elements(CERTIFICATE, list)? {
                let parts = asn1::elements(CERTIFICATE, extension)?;
                let (Some(oid), Some(value)) = (parts.first(), parts.last()) else {
                    return Err(Error::malformed(CERTIFICATE));
                };
                if asn1::decode::<ObjectIdentifier>(CERTIFICATE, oid)? == BASIC_CONSTRAINTS {
                    let value: AnyRef<'_> = asn1::decode(CERTIFICATE, value)?;
                    return Ok(value.value().starts_with(b"\x30\x03\x01\x01\xff")
                        || value.value().starts_with(b"\x30\x06\x01\x01\xff"));
                }
            }
        }
    }
    Ok(false)
}

/// Object identifier of the signature, family of the key, how it is verified.
const VERIFIERS: &[(ObjectIdentifier, CryptographicAlgorithm, &dyn VerificationAlgorithm)] = &[
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"),
        CryptographicAlgorithm::RSA,
        &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
        CryptographicAlgorithm::RSA,
        &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
        CryptographicAlgorithm::RSA,
        &signature::RSA_PKCS1_2048_8192_SHA384,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
        CryptographicAlgorithm::RSA,
        &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    ),
    (ObjectIdentifier::new_unwrap("1.3.101.112"), CryptographicAlgorithm::ED25519, &signature::ED25519),
];

/// The same for elliptic curves, by the width of the curve in bits.
const EC_VERIFIERS: &[(ObjectIdentifier, u32, &dyn VerificationAlgorithm)] = &[
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), 256, &signature::ECDSA_P256_SHA256_ASN1),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"), 256, &signature::ECDSA_P256_SHA384_ASN1),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), 384, &signature::ECDSA_P384_SHA256_ASN1),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"), 384, &signature::ECDSA_P384_SHA384_ASN1),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"), 521, &signature::ECDSA_P521_SHA512_ASN1),
];

fn signed_by(spki: &[u8], algorithm: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, Error> {
    let unsupported = || Error::Unsupported("this signature algorithm");
    let parts = asn1::elements(CERTIFICATE, algorithm)?;
    let of: ObjectIdentifier = asn1::decode(CERTIFICATE, parts.first().ok_or(Error::malformed(CERTIFICATE))?)?;
    let signature: BitStringRef<'_> = asn1::decode(CERTIFICATE, signature)?;
    let signature = signature.as_bytes().ok_or(Error::malformed(CERTIFICATE))?;
    let key = PublicKey::from_spki(spki)?;
    let found = match &key {
        PublicKey::Ec(key) => EC_VERIFIERS
            .iter()
            .find(|(oid, bits, _)| *oid == of && *bits == key.curve().bits())
            .map(|(_, _, verifier)| *verifier),
        key => VERIFIERS
            .iter()
            .find(|(oid, family, _)| *oid == of && *family == key.algorithm())
            .map(|(_, _, verifier)| *verifier),
    };
    let verifier = found.ok_or_else(unsupported)?;
    let public = match &key {
        PublicKey::Rsa(key) => key.to_pkcs1()?,
        PublicKey::Ec(key) => key.point().to_vec(),
        PublicKey::Ed25519(key) => key.bytes().to_vec(),
    };
    Ok(UnparsedPublicKey::new(verifier, public).verify(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &[u8] = include_bytes!("../../tests/vectors/keys/rsa2048.certificate.pem");
    const P384: &[u8] = include_bytes!("../../tests/vectors/keys/p384.certificate.pem");

    fn content(until: i64) -> Content {
        let known = Certificate::parse(RSA).unwrap();
        Content {
            serial: [0xFF; 16],
            issuer: name("CN=Issuer,O=Test,C=DE").unwrap(),
            issuer_spki: known.spki.clone(),
            not_before: Timestamp::from_seconds(1_700_000_000),
            not_after: Timestamp::from_seconds(until),
            subject: name("CN=Subject").unwrap(),
            spki: known.spki,
            alternative_names: None,
            encrypts: true,
        }
    }

    #[test]
    fn what_is_built_reads_back_as_it_was_meant() {
        // Before and after the change of the form of dates.
        for until in [1_800_000_000, 4_000_000_000] {
            let body = content(until).body().unwrap();
            let read = Certificate::from_der(&certificate(&body, &[7; 256])).unwrap();
            assert_eq!(
                (read.subject.text.as_str(), read.issuer.text.as_str()),
                ("CN=Subject", "CN=Issuer,O=Test,C=DE")
            );
            assert_eq!((read.not_before.seconds(), read.not_after.seconds()), (1_700_000_000, until));
            assert_eq!((read.serial.len(), read.serial[0]), (16, 0x7F));
            assert!(!is_authority(&read).unwrap());
            assert_eq!(is_signed_by(&read, &read.spki), Ok(false));
        }
    }

    #[test]
    fn a_certificate_is_signed_by_its_own_key_or_not() {
        for pem in [RSA, P384] {
            let known = Certificate::parse(pem).unwrap();
            assert_eq!(is_signed_by(&known, &known.spki), Ok(true));
        }
        let (one, other) = (Certificate::parse(RSA).unwrap(), Certificate::parse(P384).unwrap());
        assert!(is_signed_by(&one, &other.spki) != Ok(true));
    }

    #[test]
    fn a_request_that_is_none_is_refused() {
        let whole = Certificate::parse(RSA).unwrap().der;
        for wrong in [RSA, &whole, b"", b"\x30\x00", b"\x30\x06\x30\x00\x30\x00\x03\x00"] {
            assert!(Request::parse(wrong).is_err());
        }
    }
}
