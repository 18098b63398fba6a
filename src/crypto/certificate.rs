//! X.509 certificates, read only: the fields that KMIP shows, access control compares and people look for.
//!
//! Names, serial number and key are kept as the certificate has them, byte for byte: encoding them anew could change them, and
//! then neither a hash nor an issuer would match. Nothing is verified here; chains are `tls`'s business.

use der::{
    Decode, Tag, Tagged,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier},
};
use x509_cert::{name::Name, time::Time};

use super::{Error, PublicKey, asn1, bytes, hash, pem};
use crate::domain::{CryptographicAlgorithm, SecretValue, Timestamp, algorithm::DigitalSignatureAlgorithm};

const WHAT: &str = "X.509 certificate";
/// KMIP *Certificate Type* for X.509 (KMIP 2.1 §11.6).
pub const TYPE_X_509: u32 = 1;

/// RFC 5280 §4.2.1.6 and §4.2.1.7.
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const ISSUER_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.18");

/// Signature algorithms that KMIP has a number for (RFC 8017 §A.2, RFC 5758 §3, RFC 9688 §3).
const SIGNATURES: &[(ObjectIdentifier, DigitalSignatureAlgorithm)] = &[
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.2"), DigitalSignatureAlgorithm::MD2_WITH_RSA),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"), DigitalSignatureAlgorithm::MD5_WITH_RSA),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), DigitalSignatureAlgorithm::SHA1_WITH_RSA),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.14"), DigitalSignatureAlgorithm::SHA224_WITH_RSA),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), DigitalSignatureAlgorithm::SHA256_WITH_RSA),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), DigitalSignatureAlgorithm::SHA384_WITH_RSA),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), DigitalSignatureAlgorithm::SHA512_WITH_RSA),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"), DigitalSignatureAlgorithm::RSASSA_PSS),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"), DigitalSignatureAlgorithm::DSA_WITH_SHA1),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.1"), DigitalSignatureAlgorithm::DSA_WITH_SHA224),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.2"), DigitalSignatureAlgorithm::DSA_WITH_SHA256),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), DigitalSignatureAlgorithm::ECDSA_WITH_SHA1),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.1"), DigitalSignatureAlgorithm::ECDSA_WITH_SHA224),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), DigitalSignatureAlgorithm::ECDSA_WITH_SHA256),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"), DigitalSignatureAlgorithm::ECDSA_WITH_SHA384),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"), DigitalSignatureAlgorithm::ECDSA_WITH_SHA512),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.14"), DigitalSignatureAlgorithm::SHA3_256_WITH_RSA),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.15"), DigitalSignatureAlgorithm::SHA3_384_WITH_RSA),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.16"), DigitalSignatureAlgorithm::SHA3_512_WITH_RSA),
];

/// A distinguished name in both forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    /// As the certificate has it.
    pub der: Vec<u8>,
    /// RFC 4514: `CN=…,O=…`, last element first.
    pub text: String,
    /// The elements that KMIP has an attribute for, in the certificate's order.
    pub fields: Vec<(NameField, String)>,
}

/// An element of a distinguished name that KMIP shows by itself (KMIP 1.4 §3, 2.1 §4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameField {
    /// Common name.
    Cn,
    /// Organisation.
    O,
    /// Organisational unit.
    Ou,
    /// E-mail address.
    Email,
    /// Country.
    C,
    /// State or province.
    St,
    /// Locality.
    L,
    /// User id.
    Uid,
    /// Serial number.
    SerialNumber,
    /// Title.
    Title,
    /// Domain component.
    Dc,
    /// Qualifier.
    DnQualifier,
}

/// RFC 4519 and PKCS#9.
const FIELDS: &[(ObjectIdentifier, NameField)] = &[
    (ObjectIdentifier::new_unwrap("2.5.4.3"), NameField::Cn),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), NameField::O),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), NameField::Ou),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), NameField::Email),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), NameField::C),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), NameField::St),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), NameField::L),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), NameField::Uid),
    (ObjectIdentifier::new_unwrap("2.5.4.5"), NameField::SerialNumber),
    (ObjectIdentifier::new_unwrap("2.5.4.12"), NameField::Title),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), NameField::Dc),
    (ObjectIdentifier::new_unwrap("2.5.4.46"), NameField::DnQualifier),
];

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// Serial number, the content bytes of its INTEGER: big-endian two's complement.
    pub serial: Vec<u8>,
    /// Who signed it.
    pub issuer: DistinguishedName,
    /// Who it is about; may be empty.
    pub subject: DistinguishedName,
    /// Its public key, as SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// The object identifier of the signature algorithm, dotted.
    pub signature_oid: String,
    /// KMIP's number for it, where there is one.
    pub signature_algorithm: Option<DigitalSignatureAlgorithm>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// Alternative names of the subject, each a `GeneralName` in DER.
    pub subject_alternative_names: Vec<Vec<u8>>,
    /// Alternative names of the issuer, each a `GeneralName` in DER.
    pub issuer_alternative_names: Vec<Vec<u8>>,
}

impl Certificate {
    /// From DER or from PEM with one certificate.
    ///
    /// # Errors
    ///
    /// `Malformed` for anything else.
    pub fn parse(value: &[u8]) -> Result<Self, Error> {
        if !pem::is_pem(value) {
            return Self::from_der(value);
        }
        let block = pem::decode(value)?;
        match block.label.as_str() {
            pem::CERTIFICATE => Self::from_der(bytes(&block.der)),
            _ => Err(Error::malformed("PEM certificate")),
        }
    }

    /// As [`Self::parse`], of bytes that were held as a secret.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_secret(value: &SecretValue) -> Result<Self, Error> {
        Self::parse(bytes(value))
    }

    /// From DER.
    ///
    /// # Errors
    ///
    /// `Malformed` when it is no certificate, or bytes follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let malformed = || Error::malformed(WHAT);
        let [to_be_signed, outer_algorithm, signature] = exactly(asn1::elements(WHAT, der)?)?;
        asn1::decode::<BitStringRef<'_>>(WHAT, signature)?;
        let mut fields = asn1::elements(WHAT, to_be_signed)?.into_iter().peekable();
        // RFC 5280 §4.1: [0] version, serial, algorithm, issuer, validity, subject, key, [1], [2], [3] extensions.
        fields.next_if(|field| field.first() == Some(&0xA0));
        let mut field = || fields.next().ok_or_else(malformed);
        let serial = field()?;
        let algorithm = field()?;
        let (issuer, validity, subject, spki) = (field()?, field()?, field()?, field()?);
        let [not_before, not_after] = exactly(asn1::elements(WHAT, validity)?)?;
        if algorithm != outer_algorithm || sequence_is_missing(algorithm) || sequence_is_missing(spki) {
            return Err(malformed());
        }
        let oid: ObjectIdentifier =
            asn1::decode(WHAT, asn1::elements(WHAT, algorithm)?.first().ok_or_else(malformed)?)?;
        let mut certificate = Self {
            der: der.to_vec(),
            serial: integer(serial)?,
            issuer: distinguished_name(issuer)?,
            subject: distinguished_name(subject)?,
            spki: spki.to_vec(),
            signature_oid: oid.to_string(),
            signature_algorithm: SIGNATURES.iter().find(|row| row.0 == oid).map(|row| row.1),
            not_before: time(not_before)?,
            not_after: time(not_after)?,
            subject_alternative_names: Vec::new(),
            issuer_alternative_names: Vec::new(),
        };
        for field in fields {
            if field.first() == Some(&0xA3) {
                certificate.read_extensions(field)?;
            }
        }
        Ok(certificate)
    }

    fn read_extensions(&mut self, field: &[u8]) -> Result<(), Error> {
        let [list] = exactly(asn1::elements(WHAT, field)?)?;
        for extension in asn1::elements(WHAT, list)? {
            let parts = asn1::elements(WHAT, extension)?;
            let (Some(oid), Some(value)) = (parts.first(), parts.last()) else { return Err(Error::malformed(WHAT)) };
            let names = match asn1::decode::<ObjectIdentifier>(WHAT, oid)? {
                SUBJECT_ALTERNATIVE_NAME => &mut self.subject_alternative_names,
                ISSUER_ALTERNATIVE_NAME => &mut self.issuer_alternative_names,
                _ => continue,
            };
            let value: AnyRef<'_> = asn1::decode(WHAT, value)?;
            names.extend(asn1::elements(WHAT, value.value())?.into_iter().map(<[u8]>::to_vec));
        }
        Ok(())
    }

    /// KMIP's *Certificate Length*: bytes of the DER.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.der.len()
    }

    /// SHA-256 of the public key: what an enrolled client is recognised by, whoever signed and however often renewed.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        hash::sha256(&self.spki)
    }

    /// Algorithm and length of the key, also for curves that this gateway cannot use.
    #[must_use]
    pub fn key_facts(&self) -> Option<(CryptographicAlgorithm, u32)> {
        if let Ok(key) = self.public_key() {
            return Some((key.algorithm(), key.bits()));
        }
        let [algorithm, key] = exactly(asn1::elements(WHAT, &self.spki).ok()?).ok()?;
        let oid = asn1::elements(WHAT, algorithm).ok()?;
        let oid: ObjectIdentifier = asn1::decode(WHAT, oid.first()?).ok()?;
        const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
        let point = asn1::decode::<BitStringRef<'_>>(WHAT, key).ok()?.raw_bytes();
        // SEC 1 §2.3.3: an uncompressed point is 04 ‖ X ‖ Y.
        let coordinates = point.strip_prefix(&[4]).filter(|_| oid == EC_PUBLIC_KEY)?;
        let bits = u32::try_from(coordinates.len()).ok()?.checked_mul(4)?;
        Some((CryptographicAlgorithm::EC, bits))
    }

    /// The public key, if it is of a kind that this gateway knows.
    ///
    /// # Errors
    ///
    /// As [`PublicKey::from_spki`].
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        PublicKey::from_spki(&self.spki)
    }

    /// `BEGIN CERTIFICATE`.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pem(&self) -> Result<String, Error> {
        pem::encode(pem::CERTIFICATE, &self.der)
    }
}

fn exactly<const N: usize>(elements: Vec<&[u8]>) -> Result<[&[u8]; N], Error> {
    elements.try_into().ok().ok_or(Error::malformed(WHAT))
}

fn sequence_is_missing(element: &[u8]) -> bool {
    AnyRef::from_der(element).map_or(true, |element| element.tag() != Tag::Sequence)
}

fn integer(element: &[u8]) -> Result<Vec<u8>, Error> {
    let element: AnyRef<'_> = asn1::decode(WHAT, element)?;
    if element.tag() == Tag::Integer && !element.value().is_empty() {
        Ok(element.value().to_vec())
    } else {
        Err(Error::malformed(WHAT))
    }
}

fn distinguished_name(element: &[u8]) -> Result<DistinguishedName, Error> {
    let name: Name = asn1::decode(WHAT, element)?;
    let mut fields = Vec::new();
    for attribute in name.iter() {
        let known = FIELDS.iter().find(|(oid, _)| *oid == attribute.oid);
        // The directory strings of today are UTF-8 or its subset; what is neither stays in the name as a whole.
        let text = std::str::from_utf8(attribute.value.value()).ok();
        if let (Some((_, field)), Some(text)) = (known, text) {
            fields.push((*field, text.to_owned()));
        }
    }
    Ok(DistinguishedName { der: element.to_vec(), text: name.to_string(), fields })
}

fn time(element: &[u8]) -> Result<Timestamp, Error> {
    let time: Time = asn1::decode(WHAT, element)?;
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok().ok_or(Error::malformed(WHAT))?;
    Ok(Timestamp::from_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &[u8] = include_bytes!("../../tests/vectors/keys/rsa2048.certificate.pem");
    const P384: &[u8] = include_bytes!("../../tests/vectors/keys/p384.certificate.pem");
    const ED25519: &[u8] = include_bytes!("../../tests/vectors/keys/ed25519.certificate.pem");

    #[test]
    fn every_field_is_read_as_it_stands() {
        let certificate = Certificate::parse(RSA).unwrap();
        assert_eq!(certificate, Certificate::from_der(&certificate.der).unwrap());
        assert_eq!(certificate.to_pem().unwrap().as_bytes(), RSA);
        assert_eq!(hash::to_hex(&certificate.serial), "0080123456789abcdef0");
        assert_eq!(certificate.subject.text, "CN=*.example.org,OU=Löwe,O=Example\\, Inc.,C=DE");
        assert_eq!(certificate.subject, certificate.issuer);
        assert_eq!(certificate.signature_oid, "1.2.840.113549.1.1.11");
        assert_eq!(certificate.signature_algorithm, Some(DigitalSignatureAlgorithm::SHA256_WITH_RSA));
        assert_eq!(certificate.not_after.seconds() - certificate.not_before.seconds(), 3650 * 86_400);
        // As `openssl pkey -pubin -outform der | sha256sum` shows it.
        assert_eq!(
            hash::to_hex(&certificate.spki_sha256()),
            "54a74773ece8305569e9894490230e23dce8d4e5d06d2697ee90aadf94a5469b"
        );
        assert_eq!(certificate.public_key().unwrap().bits(), 2048);
        assert_eq!(
            certificate.subject_alternative_names,
            [b"\x82\x0fwww.example.org".to_vec(), b"\x87\x04\x7f\0\0\x01".to_vec()]
        );
        assert!(certificate.issuer_alternative_names.is_empty());
    }

    #[test]
    fn empty_names_and_late_dates_are_read() {
        let certificate = Certificate::parse(P384).unwrap();
        assert_eq!((certificate.subject.text.as_str(), certificate.serial.as_slice()), ("", [1].as_slice()));
        assert_eq!(certificate.subject.der, [0x30, 0]);
        assert_eq!(certificate.not_after.seconds() - certificate.not_before.seconds(), 36_500 * 86_400);
        assert_eq!(certificate.signature_algorithm, Some(DigitalSignatureAlgorithm::ECDSA_WITH_SHA384));
    }

    #[test]
    fn a_signature_algorithm_without_a_number_is_no_error() {
        let certificate = Certificate::parse(ED25519).unwrap();
        assert_eq!((certificate.signature_algorithm, certificate.signature_oid.as_str()), (None, "1.3.101.112"));
        assert_eq!(certificate.subject.text, "CN=ed");
    }

    #[test]
    fn anything_else_is_refused() {
        let whole = Certificate::parse(P384).unwrap().der;
        for length in 0..whole.len() {
            assert!(matches!(Certificate::parse(&whole[..length]), Err(Error::Malformed { .. })), "{length}");
        }
        let private = include_bytes!("../../tests/vectors/keys/p256.pkcs8.pem").as_slice();
        for wrong in [&[&whole[..], &[0]].concat(), private, &[0x30, 0], b"hello", &[0x30, 6, 0x30, 0, 0x30, 0, 3, 0]] {
            assert!(matches!(Certificate::parse(wrong), Err(Error::Malformed { .. })));
        }
        assert!(Certificate::parse(&[P384, P384].concat()).is_err());
    }

    #[test]
    fn no_changed_byte_panics() {
        let whole = Certificate::parse(RSA).unwrap().der;
        for position in 0..whole.len() {
            for change in [0x01, 0x20, 0x80, 0xFF] {
                let mut changed = whole.clone();
                changed[position] ^= change;
                if let Ok(certificate) = Certificate::from_der(&changed) {
                    assert_eq!(certificate.der, changed);
                    assert!(
                        certificate.public_key().is_ok()
                            || certificate.spki != Certificate::from_der(&whole).unwrap().spki
                    );
                }
            }
        }
    }
}
