//! PKCS#12 containers (RFC 7292): one private key with its chain of certificates, under a password.
//!
//! Opened is what common tools write: PBES2, and triple DES with SHA-1 from older ones; RC2 is refused. Built is what they read
//! today: the key under PBES2 with AES-256, the certificates, which are public, as they are, and an HMAC-SHA-256 over both.
//! A container without a MAC is refused, because nothing would tell a wrong password from a damaged key.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512},
    hmac,
    iv::FixedLength,
};
use der::{
    Tag, Tagged,
    asn1::{AnyRef, ObjectIdentifier},
};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::{
    Certificate, Error, PrivateKey,
    asn1::{self, cut_into_secret},
    bytes,
    keys::pbes2,
};
use crate::domain::SecretValue;

/// Random bytes that [`build`] needs: for the key's encryption, and the salt of the MAC.
pub const RANDOM_BYTES: usize = pbes2::RANDOM_BYTES + SALT_BYTES;

const WHAT: &str = "PKCS#12 container";
const SALT_BYTES: usize = 16;
/// Keys and certificates in one container.
const BAGS_MAX: usize = 64;
/// Bags within bags.
const DEPTH_MAX: usize = 4;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
const SAFE_CONTENTS_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.6");
const X509: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");
const FRIENDLY_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.20");
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");
/// `pbeWithSHAAnd3-KeyTripleDES-CBC` (RFC 7292 §C).
const PBE_TRIPLE_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");

/// The hashes of a MAC.
const HASHES: &[(ObjectIdentifier, &digest::Algorithm, hmac::Algorithm)] = &[
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), &SHA256, hmac::HMAC_SHA256),
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.26"), &SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), &SHA384, hmac::HMAC_SHA384),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), &SHA512, hmac::HMAC_SHA512),
];

/// What a container holds of one private key.
#[derive(Debug)]
pub struct Container {
    /// The key.
    pub key: PrivateKey,
    /// The name by which it is found.
    pub friendly_name: Option<String>,
    /// Its certificate and those above it, each signed by the next, as DER.
    pub chain: Vec<Vec<u8>>,
}

/// Opens a container and takes the key of that friendly name out, or the first one.
///
/// # Errors
///
/// `Malformed`, also where no key has that name; `Unsupported` for other ciphers and too many rounds; `WrongPassphrase` also for
/// damaged content.
pub fn open(container: &SecretValue, password: &SecretValue, name: Option<&str>) -> Result<Container, Error> {
    let [version, content, mac] = exactly(bytes(container))?;
    if asn1::decode::<u8>(WHAT, version)? != 3 {
        return Err(Error::Unsupported("this version of PKCS#12"));
    }
    let [kind, content] = exactly(content)?;
    if asn1::decode::<ObjectIdentifier>(WHAT, kind)? != DATA {
        return Err(Error::Unsupported("a PKCS#12 container that is signed"));
    }
    let content = octets(inside(content)?)?;
    check_mac(mac, content, password)?;
    let mut bags = Bags::default();
    for info in asn1::elements(WHAT, content)? {
        let [kind, inner] = exactly(info)?;
        match asn1::decode::<ObjectIdentifier>(WHAT, kind)? {
            DATA => bags.take(octets(inside(inner)?)?, password, 0)?,
            ENCRYPTED_DATA => {
                let [_version, inner] = exactly(inside(inner)?)?;
                let [_kind, algorithm, encrypted] = exactly(inner)?;
                let encrypted: AnyRef<'_> = asn1::decode(WHAT, encrypted)?;
                let plain = decrypt(algorithm, encrypted.value(), password)?;
                bags.take(bytes(&plain), password, 0)?;
            }
            _ => return Err(Error::Unsupported("a part of this PKCS#12 container")),
        }
    }
    bags.into_container(name)
}

/// Builds a container of a key and its chain, the key's own certificate first; or of a chain alone.
///
/// # Errors
///
/// Only those of encoder and library.
pub fn build(
    key: Option<&PrivateKey>,
    chain: &[Vec<u8>],
    name: &str,
    password: &SecretValue,
    rounds: NonZeroU32,
    random: &[u8; RANDOM_BYTES],
) -> Result<SecretValue, Error> {
    let (for_key, salt) = random.split_first_chunk::<{ pbes2::RANDOM_BYTES }>().ok_or(Error::Failed("PKCS#12"))?;
    let id = match (key, chain) {
        (Some(key), _) => digest::digest(&SHA256, &key.public()?.to_spki()?),
        (None, [own, ..]) => digest::digest(&SHA256, own),
        (None, []) => return Err(Error::malformed(WHAT)),
    };
    let attributes = tlv(
        SET,
        &[
            &attribute(FRIENDLY_NAME, &tlv(BMP, &[&utf_16(name)]))?,
            &attribute(LOCAL_KEY_ID, &tlv(OCTETS, &[id.as_ref()]))?,
        ],
    );
    let key_bag = match key {
        Some(key) => {
            let shrouded = pbes2::seal(key, password, rounds, for_key)?;
            tlv(SEQUENCE, &[&oid(SHROUDED_KEY_BAG)?, &tlv(EXPLICIT, &[&shrouded]), &attributes])
        }
        None => Zeroizing::default(),
    };
    let mut certificates = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        let value = tlv(EXPLICIT, &[&tlv(OCTETS, &[certificate])]);
        let bag = tlv(EXPLICIT, &[&tlv(SEQUENCE, &[&oid(X509)?, &value])]);
        let of_key: &[u8] = if index == 0 { &attributes } else { &[] };
        certificates.extend_from_slice(&tlv(SEQUENCE, &[&oid(CERTIFICATE_BAG)?, &bag, of_key]));
    }
    let contents = |bags: &[u8]| -> Result<_, Error> {
        Ok(tlv(SEQUENCE, &[&oid(DATA)?, &tlv(EXPLICIT, &[&tlv(OCTETS, &[&tlv(SEQUENCE, &[bags])])])]))
    };
    let bags = [certificates.as_slice(), &key_bag].into_iter().filter(|bags| !bags.is_empty());
    let parts = bags.map(contents).collect::<Result<Vec<_>, _>>()?;
    let content = tlv(SEQUENCE, &parts.iter().map(|part| part.as_slice()).collect::<Vec<_>>());

    let [(hash_oid, hash, algorithm), ..] = HASHES else { return Err(Error::Failed("table of hashes")) };
    let mac_key = derive(hash, &password_text(password), salt, MAC_KEY, rounds.get(), hash.output_len());
    let mac = hmac::sign(&hmac::Key::new(*algorithm, &mac_key), &content);
    let info = tlv(SEQUENCE, &[&tlv(SEQUENCE, &[&oid(*hash_oid)?, &[0x05, 0x00]]), &tlv(OCTETS, &[mac.as_ref()])]);
    let rounds = asn1::encode(WHAT, &rounds.get())?;
    let mac = tlv(SEQUENCE, &[&info, &tlv(OCTETS, &[salt]), &rounds]);
    let content = tlv(SEQUENCE, &[&oid(DATA)?, &tlv(EXPLICIT, &[&tlv(OCTETS, &[&content])])]);
    Ok(asn1::into_secret(tlv(SEQUENCE, &[&[0x02, 0x01, 0x03], &content, &mac])))
}

#[derive(Default)]
struct Bags {
    keys: Vec<(PrivateKey, Named)>,
    certificates: Vec<(Certificate, Named)>,
}

/// The attributes of a bag.
#[derive(Default)]
struct Named {
    friendly_name: Option<String>,
    local_key_id: Option<Vec<u8>>,
}

impl Bags {
    /// Takes the bags of one `SafeContents`.
    fn take(&mut self, contents: &[u8], password: &SecretValue, depth: usize) -> Result<(), Error> {
        for bag in asn1::elements(WHAT, contents)? {
            if self.keys.len() + self.certificates.len() >= BAGS_MAX || depth > DEPTH_MAX {
                return Err(Error::Unsupported("a PKCS#12 container of that many parts"));
            }
            let parts = asn1::elements(WHAT, bag)?;
            let [kind, value, attributes @ ..] = parts.as_slice() else { return Err(Error::malformed(WHAT)) };
            let value = inside(value)?;
            match asn1::decode::<ObjectIdentifier>(WHAT, kind)? {
                KEY_BAG => {
                    let key = PrivateKey::from_pkcs8(&SecretValue::new(value.to_vec()))?;
                    self.keys.push((key, Named::of(attributes)?));
                }
                SHROUDED_KEY_BAG => {
                    let [algorithm, encrypted] = exactly(value)?;
                    let plain = decrypt(algorithm, octets(encrypted)?, password)?;
                    self.keys.push((PrivateKey::from_pkcs8(&plain)?, Named::of(attributes)?));
                }
                CERTIFICATE_BAG => {
                    let [kind, certificate] = exactly(value)?;
                    if asn1::decode::<ObjectIdentifier>(WHAT, kind)? == X509 {
                        let certificate = Certificate::from_der(octets(inside(certificate)?)?)?;
                        self.certificates.push((certificate, Named::of(attributes)?));
                    }
                }
                SAFE_CONTENTS_BAG => self.take(value, password, depth + 1)?,
                // Revocation lists and secrets are nothing of the key's.
                _ => {}
            }
        }
        Ok(())
    }

    fn into_container(mut self, name: Option<&str>) -> Result<Container, Error> {
        // RFC 2985 §5.5.1 compares friendly names without regard to case.
        let fits = |named: &Named| match name {
            None => true,
            Some(name) => named.friendly_name.as_ref().is_some_and(|it| it.to_lowercase() == name.to_lowercase()),
        };
        let at = self.keys.iter().position(|(_, named)| fits(named));
        let at = at.ok_or(Error::malformed("PKCS#12 container with a private key of that name"))?;
        let (key, named) = self.keys.swap_remove(at);
        let spki = key.public()?.to_spki()?;
        let own = self.certificates.iter().position(|(certificate, _)| certificate.spki == spki).or_else(|| {
            let id = named.local_key_id.as_ref()?;
            self.certificates.iter().position(|(_, other)| other.local_key_id.as_ref() == Some(id))
        });
        let mut chain = Vec::new();
        let mut next = own;
        while let Some(at) = next {
            let (certificate, _) = self.certificates.swap_remove(at);
            next = if certificate.issuer.der == certificate.subject.der {
                None
            } else {
                self.certificates.iter().position(|(above, _)| above.subject.der == certificate.issuer.der)
            };
            chain.push(certificate.der);
        }
        Ok(Container { key, friendly_name: named.friendly_name, chain })
    }
}

impl Named {
    /// Of the optional SET behind a bag's value.
    fn of(attributes: &[&[u8]]) -> Result<Self, Error> {
        let mut named = Self::default();
        let Some(set) = attributes.first() else { return Ok(named) };
        for attribute in asn1::elements(WHAT, set)? {
            let [kind, values] = exactly(attribute)?;
            let Some(value) = asn1::elements(WHAT, values)?.first().copied() else { continue };
            let value: AnyRef<'_> = asn1::decode(WHAT, value)?;
            match asn1::decode::<ObjectIdentifier>(WHAT, kind)? {
                FRIENDLY_NAME if value.tag() == Tag::BmpString => {
                    let units = value.value().chunks_exact(2).filter_map(|pair| pair.first_chunk());
                    let text = char::decode_utf16(units.map(|pair| u16::from_be_bytes(*pair)));
                    named.friendly_name = text.collect::<Result<_, _>>().ok();
                }
                LOCAL_KEY_ID if value.tag() == Tag::OctetString => named.local_key_id = Some(value.value().to_vec()),
                _ => {}
            }
        }
        Ok(named)
    }
}

fn check_mac(mac: &[u8], content: &[u8], password: &SecretValue) -> Result<(), Error> {
    let parts = asn1::elements(WHAT, mac)?;
    let (info, salt, rounds) = match parts.as_slice() {
        [info, salt] => (info, salt, 1),
        [info, salt, rounds] => (info, salt, asn1::decode::<u32>(WHAT, rounds)?),
        _ => return Err(Error::malformed(WHAT)),
    };
    let [algorithm, expected] = exactly(info)?;
    let kind = asn1::decode::<AlgorithmIdentifierRef<'_>>(WHAT, algorithm)?.oid;
    let row = HASHES.iter().find(|row| row.0 == kind);
    let (_, hash, algorithm) = row.ok_or(Error::Unsupported("the MAC of this PKCS#12 container"))?;
    let rounds = bounded(rounds)?;
    let key = derive(hash, &password_text(password), octets(salt)?, MAC_KEY, rounds, hash.output_len());
    let key = hmac::Key::new(*algorithm, &key);
    hmac::verify(&key, content, octets(expected)?).map_err(|_unspecified| Error::WrongPassphrase)
}

fn decrypt(algorithm: &[u8], encrypted: &[u8], password: &SecretValue) -> Result<SecretValue, Error> {
    let identifier: AlgorithmIdentifierRef<'_> = asn1::decode(WHAT, algorithm)?;
    if identifier.oid != PBE_TRIPLE_DES {
        return pbes2::decrypt(&identifier, encrypted, password);
    }
    let [_kind, parameters] = exactly(algorithm)?;
    let [salt, rounds] = exactly(parameters)?;
    let (salt, rounds) = (octets(salt)?, bounded(asn1::decode(WHAT, rounds)?)?);
    let text = password_text(password);
    let key = derive(&SHA1_FOR_LEGACY_USE_ONLY, &text, salt, CIPHER_KEY, rounds, 24);
    let iv = derive(&SHA1_FOR_LEGACY_USE_ONLY, &text, salt, CIPHER_IV, rounds, 8);
    let failed = |_unspecified| Error::Failed("triple DES");
    #[expect(deprecated, reason = "older tools write nothing else; it only ever opens")]
    let triple_des = &cipher::DES_EDE3_FOR_LEGACY_USE_ONLY;
    let cipher =
        UnboundCipherKey::new(triple_des, &key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7).map_err(failed)?;
    let context = DecryptionContext::Iv64(FixedLength::try_from(iv.as_slice()).map_err(failed)?);
    let mut plain = Zeroizing::new(encrypted.to_vec());
    let length = cipher.decrypt(&mut plain, context).map_err(|_unspecified| Error::WrongPassphrase)?.len();
    Ok(cut_into_secret(plain, length))
}

fn bounded(rounds: u32) -> Result<u32, Error> {
    if rounds == 0 || rounds > pbes2::ROUNDS_MAX {
        return Err(Error::Unsupported("a PKCS#12 container with that many rounds"));
    }
    Ok(rounds)
}

/// What a derived key is for (RFC 7292 §B.3).
const CIPHER_KEY: u8 = 1;
const CIPHER_IV: u8 = 2;
const MAC_KEY: u8 = 3;

/// The key derivation of RFC 7292 §B.2.
fn derive(
    hash: &'static digest::Algorithm,
    password: &[u8],
    salt: &[u8],
    purpose: u8,
    rounds: u32,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let block = hash.block_len();
    let filled = |bytes: &[u8]| -> Zeroizing<Vec<u8>> {
        Zeroizing::new(bytes.iter().copied().cycle().take(bytes.len().next_multiple_of(block)).collect())
    };
    let mut input = Zeroizing::new([filled(salt).as_slice(), &filled(password)].concat());
    let mut output = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(hash.output_len())));
    while output.len() < length {
        let mut context = digest::Context::new(hash);
        context.update(&vec![purpose; block]);
        context.update(&input);
        let mut value = context.finish();
        for _ in 1..rounds {
            value = digest::digest(hash, value.as_ref());
        }
        output.extend_from_slice(value.as_ref());
        let step: Vec<u8> = value.as_ref().iter().copied().cycle().take(block).collect();
        for chunk in input.chunks_mut(block) {
            // chunk + step + 1, modulo 2 to its length
            let mut carry = 1_u16;
            for (byte, add) in chunk.iter_mut().zip(&step).rev() {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                let [high, low] = sum.to_be_bytes();
                (*byte, carry) = (low, high.into());
            }
        }
    }
    output.truncate(length);
    output
}

/// The password as the derivation wants it: a BMPString with its final zero (RFC 7292 §B.1). Bytes that are no UTF-8 are taken
/// as the characters of their numbers.
fn password_text(password: &SecretValue) -> Zeroizing<Vec<u8>> {
    let raw = bytes(password);
    let mut text = Zeroizing::new(match std::str::from_utf8(raw) {
        Ok(text) => utf_16(text),
        Err(_no_text) => raw.iter().flat_map(|byte| [0, *byte]).collect(),
    });
    text.extend([0, 0]);
    text
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

// ---------------------------------------------------------------------------------------------------------------- DER

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OCTETS: u8 = 0x04;
const BMP: u8 = 0x1E;
/// `[0] EXPLICIT`.
const EXPLICIT: u8 = 0xA0;

/// The elements of a constructed element of which there must be so many.
fn exactly<const N: usize>(constructed: &[u8]) -> Result<[&[u8]; N], Error> {
    asn1::elements(WHAT, constructed)?.try_into().map_err(|_another_number| Error::malformed(WHAT))
}

/// The one element within an explicit tag.
fn inside(tagged: &[u8]) -> Result<&[u8], Error> {
    let [inner] = exactly(tagged)?;
    Ok(inner)
}

fn octets(element: &[u8]) -> Result<&[u8], Error> {
    let element: AnyRef<'_> = asn1::decode(WHAT, element)?;
    if element.tag() == Tag::OctetString { Ok(element.value()) } else { Err(Error::malformed(WHAT)) }
}

fn oid(oid: ObjectIdentifier) -> Result<Zeroizing<Vec<u8>>, Error> {
    asn1::encode(WHAT, &oid)
}

fn attribute(kind: ObjectIdentifier, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    Ok(tlv(SEQUENCE, &[&oid(kind)?, &tlv(SET, &[value])]))
}

/// An element of these parts, in a buffer of its size.
fn tlv(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let number = length.to_be_bytes();
    let digits = number.iter().position(|byte| *byte != 0).and_then(|at| number.get(at..)).unwrap_or_default();
    let mut element = Zeroizing::new(Vec::with_capacity(2 + digits.len() + length));
    element.push(tag);
    match u8::try_from(length) {
        Ok(short @ ..0x80) => element.push(short),
        // A length has at most eight bytes.
        _ => {
            element.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            element.extend_from_slice(digits);
        }
    }
    parts.iter().for_each(|part| element.extend_from_slice(part));
    element
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::pem;

    fn secret(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    const OLDER: &[u8] = include_bytes!("../../tests/vectors/keys/p256.older.p12");
    const NEWER: &[u8] = include_bytes!("../../tests/vectors/keys/p256.newer.p12");
    const RC2: &[u8] = include_bytes!("../../tests/vectors/keys/p256.rc2.p12");
    const KEY: &[u8] = include_bytes!("../../tests/vectors/keys/p256.pkcs8.pem");
    const ROUNDS: NonZeroU32 = NonZeroU32::new(10).unwrap();

    #[test]
    fn containers_of_other_tools_are_opened() {
        for container in [OLDER, NEWER] {
            for name in [None, Some("alias"), Some("ALIAS")] {
                let opened = open(&secret(container), &secret(b"passphrase"), name).unwrap();
                assert!(opened.key.to_pkcs8().unwrap().matches(&pem::decode(KEY).unwrap().der));
                assert_eq!(opened.friendly_name.as_deref(), Some("alias"));
                let chain: Vec<_> = opened.chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
                assert_eq!(
                    chain.iter().map(|it| it.subject.text.as_str()).collect::<Vec<_>>(),
                    ["CN=container", "CN=Container CA"]
                );
            }
        }
    }

    #[test]
    fn what_was_built_is_opened_and_nothing_else_opens_it() {
        let key = PrivateKey::from_pem(&secret(KEY)).unwrap();
        let chain = open(&secret(NEWER), &secret(b"passphrase"), None).unwrap().chain;
        for password in ["passphrase", "päßwort"] {
            let password = secret(password.as_bytes());
            let built = build(Some(&key), &chain, "Ω", &password, ROUNDS, &[7; RANDOM_BYTES]).unwrap();
            let opened = open(&built, &password, Some("ω")).unwrap();
            assert_eq!((opened.chain, opened.friendly_name.as_deref()), (chain.clone(), Some("Ω")));
            assert!(opened.key.to_pkcs8().unwrap().matches(&key.to_pkcs8().unwrap()));
            assert_eq!(open(&built, &secret(b"another"), None).unwrap_err(), Error::WrongPassphrase);
            let mut damaged = bytes(&built).to_vec();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            assert!(open(&secret(&damaged), &password, None).is_err());
        }
    }

    #[test]
    fn a_chain_alone_is_no_key() {
        let chain = open(&secret(NEWER), &secret(b"passphrase"), None).unwrap().chain;
        let built = build(None, &chain, "alias", &secret(b"p"), ROUNDS, &[7; RANDOM_BYTES]).unwrap();
        assert!(matches!(open(&built, &secret(b"p"), None).unwrap_err(), Error::Malformed { .. }));
        assert!(build(None, &[], "alias", &secret(b"p"), ROUNDS, &[7; RANDOM_BYTES]).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        for container in [OLDER, NEWER, RC2] {
            assert_eq!(open(&secret(container), &secret(b"wrong"), None).unwrap_err(), Error::WrongPassphrase);
        }
        assert!(matches!(open(&secret(RC2), &secret(b"passphrase"), None).unwrap_err(), Error::Unsupported(_)));
        let other = open(&secret(NEWER), &secret(b"passphrase"), Some("other"));
        assert!(matches!(other.unwrap_err(), Error::Malformed { .. }));
        for length in 0..NEWER.len() {
            assert!(open(&secret(&NEWER[..length]), &secret(b"passphrase"), None).is_err());
        }
    }

    #[test]
    fn the_derivation_of_rfc_7292() {
        // The key and IV of the published vectors of the S/MIME test suite: password "smeg", one round.
        let salt = [0x0A, 0x58, 0xCF, 0x64, 0x53, 0x0D, 0x82, 0x3F];
        let key = derive(&SHA1_FOR_LEGACY_USE_ONLY, &password_text(&secret(b"smeg")), &salt, CIPHER_KEY, 1, 24);
        assert_eq!(key[..8], [0x8A, 0xAA, 0xE6, 0x29, 0x7B, 0x6C, 0xB0, 0x46]);
        let iv = derive(&SHA1_FOR_LEGACY_USE_ONLY, &password_text(&secret(b"smeg")), &salt, CIPHER_IV, 1, 8);
        assert_eq!(iv[..], [0x79, 0x99, 0x3D, 0xFE, 0x04, 0x8D, 0x3B, 0x76]);
    }
}
