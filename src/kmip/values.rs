//! Values on their way in and out: key blocks ↔ what the engine registers and reveals.
//!
//! A key registered in some format comes back in that format, byte for byte: its bytes (or, for transparent keys, the
//! encoded key value) are held beside the usable key. Other formats are made from the key's canonical form.

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::OptionalAttributeList,
    codec::Codec,
    object::{
        Certificate, CertificateRequest, EncryptionKeyInformation, KeyBlock, KeyMaterial, KeyValue, KeyWrappingData,
        ManagedObject as WireObject, OpaqueObject, PgpKey, PrivateKey, PublicKey, SecretData, SplitKey, SymmetricKey,
        TransparentEcPrivateKey, TransparentEcPublicKey, TransparentRsaPrivateKey, TransparentRsaPublicKey,
        TransparentSymmetricKey,
    },
    secret::{BigInteger, SecretBytes},
    spec::enums::{self, ResultReason},
    ttlv::{self, Context, Writer},
    version::{V1_3, V1_4, V2_0, V2_1},
};

use super::{attributes, error::Refusal};
use crate::{
    crypto::{self, keys},
    domain::{
        Attribute, AttributeKind as K, AttributeValue as V, CryptographicAlgorithm as A, ManagedObject, ObjectType,
        Origin, SecretValue,
        algorithm::{Curve, KeyFormatType as F, RecommendedCurve},
        attributes::{SetBy, link},
        reference::KeyKind,
    },
    engine::{
        Error, ErrorKind,
        ops::{
            KeyShape,
            register::{ImportedKey, NewValue},
            reveal::Form,
            split::Scheme,
        },
    },
};

/// A registered object, taken apart.
pub(super) struct Incoming {
    /// What it is.
    pub object_type: ObjectType,
    /// The type number within the object.
    pub subtype: Option<u32>,
    /// The encoding of the value.
    pub format: Option<F>,
    /// The value; `None` for metadata only.
    pub value: Option<NewValue>,
    /// What the value says of itself.
    pub derived: Vec<Attribute>,
    /// What travelled with the key in its key value, and a client may say.
    pub inside: Vec<Attribute>,
}

/// An object that is its attributes and nothing else.
pub(super) const fn attributes_only(object_type: ObjectType) -> Incoming {
    Incoming { object_type, subtype: None, format: None, value: None, derived: Vec::new(), inside: Vec::new() }
}

impl Incoming {
    /// Adds the attributes inside the key value to those of the request, which win (KMIP 1.0 §2.1.4).
    pub(super) fn join(&mut self, attributes: &mut Vec<Attribute>, given: &[K]) {
        let inside: Vec<Attribute> = std::mem::take(&mut self.inside);
        let inside: Vec<Attribute> = inside.into_iter().filter(|it| !given.contains(&it.kind)).collect();
        attributes.retain(|it| !inside.iter().any(|other| other.kind == it.kind));
        attributes.extend(inside);
    }
}

/// Takes an object of a Register request apart. `algorithm` and `bits` are those of its attributes, for key blocks that
/// leave them out.
///
/// # Errors
///
/// *Invalid Field* for contradictions, *Key Compression Type Not Supported*, *Feature Not Supported* for wrapped keys.
pub(super) fn incoming(
    object: WireObject,
    version: ProtocolVersion,
    algorithm: Option<A>,
    bits: Option<u32>,
) -> Result<Incoming, Refusal> {
    let plain = |object_type, subtype, value| Incoming { subtype, value, ..attributes_only(object_type) };
    let held = |bytes: SecretValue| NewValue { key: None, bytes: Some(bytes) };
    match object {
        WireObject::Certificate(certificate) => {
            let derived = super::certificates::certificate_attributes(&certificate.certificate_value);
            let value = held(SecretValue::new(certificate.certificate_value));
            let subtype = Some(certificate.certificate_type.number());
            Ok(Incoming { derived, ..plain(ObjectType::Certificate, subtype, Some(value)) })
        }
        WireObject::OpaqueObject(opaque) => {
            let value = held(secret(opaque.opaque_data_value));
            Ok(plain(ObjectType::OpaqueObject, Some(opaque.opaque_data_type.number()), Some(value)))
        }
        WireObject::SecretData(data) => {
            let block = key_block(data.key_block, ObjectType::SecretData, version, algorithm, bits)?;
            Ok(Incoming { subtype: Some(data.secret_data_type.number()), ..block })
        }
        WireObject::SymmetricKey(key) => key_block(key.key_block, ObjectType::SymmetricKey, version, algorithm, bits),
        WireObject::PublicKey(key) => key_block(key.key_block, ObjectType::PublicKey, version, algorithm, bits),
        WireObject::PrivateKey(key) => key_block(key.key_block, ObjectType::PrivateKey, version, algorithm, bits),
        WireObject::Template(_) => Ok(plain(ObjectType::Template, None, None)),
        WireObject::PasswordCredential(_) => credential(&object, ObjectType::PasswordCredential, version),
        WireObject::DeviceCredential(_) => credential(&object, ObjectType::DeviceCredential, version),
        WireObject::OneTimePasswordCredential(_) => credential(&object, ObjectType::OneTimePasswordCredential, version),
        WireObject::HashedPasswordCredential(_) => credential(&object, ObjectType::HashedPasswordCredential, version),
        WireObject::SplitKey(part) => {
            let positive = |number: i32| {
                u32::try_from(number)
                    .map_err(|_negative| Refusal::new(ResultReason::INVALID_FIELD, "a number of parts is not negative"))
            };
            let scheme = Scheme {
                parts: positive(part.split_key_parts)?,
                threshold: positive(part.split_key_threshold)?,
                method: part.split_key_method.number(),
                polynomial: part.split_key_polynomial.map(|it| it.number()),
                prime: part.prime_field_size.as_ref().and_then(big_integer),
            };
            let id = positive(part.key_part_identifier)?;
            let mut block = key_block(part.key_block, ObjectType::SplitKey, version, algorithm, bits)?;
            block.derived.extend(scheme.attributes(id));
            Ok(block)
        }
        WireObject::PgpKey(key) => {
            let block = key_block(key.key_block, ObjectType::PgpKey, version, algorithm, bits)?;
            Ok(Incoming { subtype: u32::try_from(key.pgp_key_version).ok(), ..block })
        }
        WireObject::CertificateRequest(request) => {
            let value = held(SecretValue::new(request.certificate_request_value));
            let subtype = Some(request.certificate_request_type.number());
            Ok(plain(ObjectType::CertificateRequest, subtype, Some(value)))
        }
    }
}

/// A credential is held whole, in KMIP's own encoding, and does not leave again: it is there to be compared with.
fn credential(object: &WireObject, object_type: ObjectType, version: ProtocolVersion) -> Result<Incoming, Refusal> {
    if let WireObject::PasswordCredential(it) = object
        && it.password.is_none()
        && it.salted_password.is_none()
    {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the credential holds no password"));
    }
    let mut writer = Writer::new(version);
    kmip_codec::codec::FieldGroup::put(object, &mut writer);
    let bytes = writer.finish().map_err(|error| Refusal::new(ResultReason::INVALID_FIELD, error.to_string()))?;
    let value = NewValue { key: None, bytes: Some(SecretValue::new(bytes.to_vec())) };
    Ok(Incoming { value: Some(value), ..attributes_only(object_type) })
}

fn key_block(
    block: KeyBlock,
    object_type: ObjectType,
    version: ProtocolVersion,
    algorithm: Option<A>,
    bits: Option<u32>,
) -> Result<Incoming, Refusal> {
    if block.key_compression_type.is_some() {
        return Err(Refusal::new(ResultReason::KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "compressed keys are not taken"));
    }
    attributes::known_format(block.key_format_type)?;
    let stated = block.cryptographic_algorithm.map(|it| A(it.number()));
    let stated_bits = block.cryptographic_length.map(attributes::length_in).transpose()?;
    contradiction(stated, algorithm)?;
    contradiction(stated_bits, bits)?;
    let (algorithm, bits) = (stated.or(algorithm), stated_bits.or(bits));
    let format = F(block.key_format_type.number());
    let mut incoming = Incoming { format: Some(format), ..attributes_only(object_type) };
    let Some(value) = block.key_value else {
        incoming.derived = facts(algorithm, bits);
        return Ok(incoming);
    };
    let KeyValue::Plain { material, attributes } = &value else {
        return Err(Refusal::new(
            ResultReason::INVALID_FIELD,
            "the key value is wrapped, the key block does not say how",
        ));
    };
    let inside = attributes::all(attributes.0.clone(), version)?;
    incoming.inside = inside.into_iter().filter(|it| it.kind.rule().initially == SetBy::Client).collect();
    let read = match object_type {
        ObjectType::SymmetricKey => symmetric(material, format, algorithm, bits)?,
        ObjectType::SecretData | ObjectType::SplitKey | ObjectType::PgpKey => {
            Read { canonical: None, as_given: as_given(material, &value, version)?, algorithm, bits }
        }
        _ => asymmetric(material, &value, object_type, format, version)?,
    };
    contradiction(read.algorithm.filter(|_| !same_family(read.algorithm, algorithm)), algorithm)?;
    contradiction(read.bits, bits.filter(|_| object_type.is_key()))?;
    incoming.derived = facts(algorithm.or(read.algorithm), bits.or(read.bits));
    if let Some(curve) = read.canonical.as_ref().and_then(|key| curve_of(key.kind)) {
        let parameters = V::DomainParameters { q_length: None, recommended_curve: Some(curve.0) };
        incoming.derived.push(Attribute::new(K::CryptographicDomainParameters, parameters));
    }
    incoming.value = Some(NewValue { key: read.canonical, bytes: read.as_given });
    Ok(incoming)
}

/// A value that came wrapped.
pub(super) struct WrappedValue {
    /// The wrapped bytes.
    pub blob: Vec<u8>,
    /// How they were wrapped.
    pub data: KeyWrappingData,
    /// Whether they stood as key material in a structure, rather than in the place of the whole key value.
    bare: bool,
}

fn block_of(object: &mut WireObject) -> Option<&mut KeyBlock> {
    match object {
        WireObject::SymmetricKey(key) => Some(&mut key.key_block),
        WireObject::PublicKey(key) => Some(&mut key.key_block),
        WireObject::PrivateKey(key) => Some(&mut key.key_block),
        WireObject::SecretData(data) => Some(&mut data.key_block),
        WireObject::SplitKey(part) => Some(&mut part.key_block),
        WireObject::PgpKey(key) => Some(&mut key.key_block),
        _ => None,
    }
}

/// Takes the wrapped value out of an object's key block, and how it was wrapped.
///
/// # Errors
///
/// *Invalid Field* for wrapping data without wrapped bytes.
pub(super) fn take_wrapping(object: &mut WireObject) -> Result<Option<WrappedValue>, Refusal> {
    let Some(block) = block_of(object) else { return Ok(None) };
    let Some(data) = block.key_wrapping_data.take() else { return Ok(None) };
    let (bytes, bare) = match block.key_value.take() {
        Some(KeyValue::Wrapped(bytes)) => (bytes, false),
        Some(KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. }) => (bytes, true),
        _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "the key block holds no wrapped bytes")),
    };
    Ok(Some(WrappedValue { blob: bytes.expose_secret().to_vec(), data, bare }))
}

/// What a MAC or signature is over: the encoded key value, or the bare material.
///
/// # Errors
///
/// *Encoding Option Error* for material that is no bytes and is not to be encoded.
pub(super) fn authenticated_bytes(
    value: &KeyValue,
    bare: bool,
    version: ProtocolVersion,
) -> Result<SecretValue, Refusal> {
    match value {
        KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. } if bare => Ok(copy(bytes)),
        _ if bare => {
            let error = Error::new(ErrorKind::WrappingEncoding, "a transparent key is wrapped in its encoding only");
            Err(Refusal::of(&error, version))
        }
        value => encoded(value, version),
    }
}

/// Takes a MAC or signature off a key value that came in plain: its wrapping data, and what it is over.
///
/// # Errors
///
/// *Invalid Field* without a plain key value; those of encoding it.
pub(super) fn take_authentication(
    object: &mut WireObject,
    version: ProtocolVersion,
) -> Result<Option<(KeyWrappingData, SecretValue)>, Refusal> {
    let Some(block) = block_of(object) else { return Ok(None) };
    let is_authenticated = |data: &mut KeyWrappingData| data.wrapping_method == enums::WrappingMethod::MAC_SIGN;
    let Some(data) = block.key_wrapping_data.take_if(is_authenticated) else { return Ok(None) };
    let bare = data.encoding_option == Some(enums::EncodingOption::NO_ENCODING);
    match &block.key_value {
        Some(value @ KeyValue::Plain { .. }) => Ok(Some((data, authenticated_bytes(value, bare, version)?))),
        _ => Err(Refusal::new(ResultReason::INVALID_FIELD, "a MAC or signature alone leaves the key value as it is")),
    }
}

/// Puts what was unwrapped into the key block: the material itself, or the encoded key value.
///
/// # Errors
///
/// *Cryptographic Failure* when what was unwrapped is no encoded key value.
pub(super) fn put_unwrapped(
    object: &mut WireObject,
    wrapped: &WrappedValue,
    value: SecretValue,
    version: ProtocolVersion,
) -> Result<(), Refusal> {
    let Some(block) = block_of(object) else { return Ok(()) };
    let plain = if wrapped.bare || wrapped.data.encoding_option == Some(enums::EncodingOption::NO_ENCODING) {
        Some(KeyValue::bytes(exposed(&value)))
    } else {
        decoded(&value, block.key_format_type, version)
    };
    let plain = plain.ok_or_else(|| {
        Refusal::new(ResultReason::CRYPTOGRAPHIC_FAILURE, "what was unwrapped is no encoded key value")
    })?;
    block.key_value = Some(plain);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an unwrapped key value is decoded before it is taken in")]
fn decoded(value: &SecretValue, format: enums::KeyFormatType, version: ProtocolVersion) -> Option<KeyValue> {
    let item = ttlv::parse(value.expose_secret(), &Limits::default()).ok()?;
    KeyValue::decode(format, &item, Context::new(version).ok()?).ok()
}

/// Keeps the wrapped bytes beside the key, or instead of it where it could not be unwrapped.
///
/// # Errors
///
/// Those of the encoder.
pub(super) fn hold_wrapped(
    incoming: &mut Incoming,
    wrapped: WrappedValue,
    version: ProtocolVersion,
) -> Result<(), Refusal> {
    let mut writer = Writer::new(if version < V2_0 { V1_4 } else { V2_1 });
    wrapped.data.encode(Tag::KEY_WRAPPING_DATA, &mut writer);
    let encoded = writer.finish().map_err(|error| Refusal::new(ResultReason::INVALID_FIELD, error.to_string()))?;
    let mut stored = vec![u8::from(wrapped.bare)];
    stored.extend_from_slice(&encoded);
    incoming.derived.push(Attribute::new(K::KeyWrappingData, V::Structure(stored)));
    if let Some(EncryptionKeyInformation { unique_identifier: UniqueIdentifier::Text(id), .. }) =
        &wrapped.data.encryption_key_information
        && version >= V2_0
    {
        let link = V::Link { kind: link::WRAPPING_KEY, target: id.clone() };
        incoming.derived.push(Attribute::new(K::Link, link));
    }
    let key = incoming.value.take().and_then(|value| value.key);
    incoming.value = Some(NewValue { key, bytes: Some(SecretValue::new(wrapped.blob)) });
    Ok(())
}

/// Forgets that a value came wrapped: what is kept is the key itself.
///
/// # Errors
///
/// `WrapTypeUnsupported` when it could not be unwrapped.
pub(super) fn forget_wrapping(incoming: &mut Incoming) -> Result<(), Error> {
    let wrapped = incoming.derived.iter().any(|it| it.kind == K::KeyWrappingData);
    if !wrapped {
        return Ok(());
    }
    let Some(NewValue { key: Some(_), bytes }) = &mut incoming.value else {
        return Err(Error::new(ErrorKind::WrapTypeUnsupported, "the value cannot be unwrapped here"));
    };
    *bytes = None;
    incoming.derived.retain(|it| it.kind != K::KeyWrappingData);
    Ok(())
}

/// Whether the object's value came wrapped.
pub(super) fn came_wrapped(object: &ManagedObject) -> bool {
    object.attributes.value(&K::KeyWrappingData).is_some()
}

fn wrapping_of(object: &ManagedObject) -> Option<(KeyWrappingData, bool)> {
    let Some(V::Structure(stored)) = object.attributes.value(&K::KeyWrappingData) else { return None };
    let (bare, encoded) = stored.split_first()?;
    let item = ttlv::parse(encoded, &Limits::default()).ok()?;
    let data = KeyWrappingData::decode(&item, Context::new(V2_1).ok()?).ok()?;
    Some((data, *bare != 0))
}

fn wrapped_block(
    object: &ManagedObject,
    format: F,
    value: &SecretValue,
    data: KeyWrappingData,
    bare: bool,
) -> KeyBlock {
    let bytes = SecretBytes::from(exposed(value));
    let key_value = if bare { KeyValue::bytes(bytes) } else { KeyValue::Wrapped(bytes) };
    KeyBlock { key_value: Some(key_value), key_wrapping_data: Some(data), ..plain_block(object, format, None, V2_1) }
}

/// A big integer that is no secret, as sent.
pub(super) fn big_integer(number: &BigInteger) -> Option<Vec<u8>> {
    number.expose_magnitude().map(<[u8]>::to_vec)
}

/// What a key value turned out to be.
struct Read {
    canonical: Option<ImportedKey>,
    as_given: Option<SecretValue>,
    algorithm: Option<A>,
    bits: Option<u32>,
}

fn symmetric(material: &KeyMaterial, format: F, algorithm: Option<A>, bits: Option<u32>) -> Result<Read, Refusal> {
    let raw = match material {
        KeyMaterial::Bytes(bytes) => copy(bytes),
        KeyMaterial::Symmetric(key) => copy(&key.key),
        _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "the material is of another kind of key")),
    };
    let length = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    let found = length.saturating_mul(8);
    let effective = match (algorithm, length) {
        (Some(A::TRIPLE_DES), 16) => 112,
        (Some(A::TRIPLE_DES), 24) => 168,
        _ => found,
    };
    // Triple-DES lengths are effective bits, but 128 and 192 for the same keys are seen in the field.
    let fits = bits.is_none_or(|bits| bits == effective || bits == found);
    if !fits && matches!(format, F::RAW | F::TRANSPARENT_SYMMETRIC_KEY) {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the cryptographic length contradicts the key"));
    }
    let shape = algorithm.and_then(|algorithm| KeyShape::of(algorithm, effective)).filter(|shape| shape.usable);
    let read = |canonical, as_given| Read { canonical, as_given, algorithm, bits: Some(bits.unwrap_or(effective)) };
    Ok(match shape {
        // A token may set the parity of a Triple-DES key, so the bytes as given are held beside it.
        Some(KeyShape { kind: KeyKind::TripleDes, .. }) => {
            let bytes = raw.duplicate();
            read(Some(ImportedKey { kind: KeyKind::TripleDes, value: raw }), Some(bytes))
        }
        Some(shape) => read(Some(ImportedKey { kind: shape.kind, value: raw }), None),
        None => read(None, Some(raw)),
    })
}

fn asymmetric(
    material: &KeyMaterial,
    value: &KeyValue,
    object_type: ObjectType,
    format: F,
    version: ProtocolVersion,
) -> Result<Read, Refusal> {
    let as_given = as_given(material, value, version)?;
    let unread =
        |as_given| Read { canonical: None, as_given, algorithm: family(format), bits: transparent_bits(material) };
    if object_type == ObjectType::PrivateKey {
        let Some(key) = private_key(material) else { return Ok(unread(as_given)) };
        let kind = match &key {
            keys::PrivateKey::Rsa(_) => KeyKind::RsaPrivate,
            keys::PrivateKey::Ec(key) => KeyKind::EcPrivate(key.curve()),
            keys::PrivateKey::Ed25519(_) => KeyKind::Ed25519Private,
        };
        let Ok(pkcs8) = key.to_pkcs8() else { return Ok(unread(as_given)) };
        let redundant = as_given.as_ref().is_some_and(|given| given.matches(&pkcs8));
        Ok(Read {
            algorithm: Some(key.algorithm()),
            bits: Some(key.bits()),
            canonical: Some(ImportedKey { kind, value: pkcs8 }),
            as_given: as_given.filter(|_| !redundant),
        })
    } else {
        let Some(key) = public_key(material) else { return Ok(unread(as_given)) };
        let kind = match &key {
            keys::PublicKey::Rsa(_) => KeyKind::RsaPublic,
            keys::PublicKey::Ec(key) => KeyKind::EcPublic(key.curve()),
            keys::PublicKey::Ed25519(_) => KeyKind::Ed25519Public,
        };
        let Ok(spki) = key.to_spki() else { return Ok(unread(as_given)) };
        let spki = SecretValue::new(spki);
        let redundant = as_given.as_ref().is_some_and(|given| given.matches(&spki));
        Ok(Read {
            algorithm: Some(key.algorithm()),
            bits: Some(key.bits()),
            canonical: Some(ImportedKey { kind, value: spki }),
            as_given: as_given.filter(|_| !redundant),
        })
    }
}

/// The bytes that must come back: the material, or the encoded key value of a transparent key.
fn as_given(
    material: &KeyMaterial,
    value: &KeyValue,
    version: ProtocolVersion,
) -> Result<Option<SecretValue>, Refusal> {
    if let KeyMaterial::Bytes(bytes) = material {
        return Ok(Some(copy(bytes)));
    }
    encoded(value, era(version)).map(Some)
}

/// Transparent values are kept as 1.4 or 2.1 writes them: the structures are the same, and both can be read for ever.
const fn era(version: ProtocolVersion) -> ProtocolVersion {
    if version.major < V2_0.major { V1_4 } else { V2_1 }
}

fn encoded(value: &KeyValue, version: ProtocolVersion) -> Result<SecretValue, Refusal> {
    let mut writer = Writer::new(version);
    value.encode(&mut writer);
    let mut bytes = writer.finish().map_err(|error| Refusal::new(ResultReason::INVALID_FIELD, error.to_string()))?;
    Ok(SecretValue::new(std::mem::take(&mut *bytes)))
}

#[expect(clippy::disallowed_methods, reason = "numbers of a transparent key go into the key that is imported")]
fn private_key(material: &KeyMaterial) -> Option<keys::PrivateKey> {
    match material {
        KeyMaterial::Bytes(bytes) => keys::PrivateKey::from_der(&copy(bytes)).ok(),
        KeyMaterial::RsaPrivate(key) => {
            let secret = |number: &Option<BigInteger>| number.as_ref().and_then(magnitude);
            let parts = keys::RsaParts {
                n: magnitude(&key.modulus).map(|n| n.expose_secret().to_vec()),
                e: key.public_exponent.as_ref().and_then(magnitude).map(|e| e.expose_secret().to_vec()),
                d: secret(&key.private_exponent),
                p: secret(&key.p),
                q: secret(&key.q),
                dp: secret(&key.prime_exponent_p),
                dq: secret(&key.prime_exponent_q),
                qinv: secret(&key.crt_coefficient),
            };
            keys::RsaPrivate::from_parts(&parts).ok().map(keys::PrivateKey::Rsa)
        }
        KeyMaterial::EcPrivate(key) => {
            let curve = Curve::from_recommended(RecommendedCurve(key.recommended_curve.number()))?;
            let scalar = magnitude(&key.d)?;
            let scalar = left_padded(&scalar, curve.bytes())?;
            keys::EcPrivate::from_scalar(curve, &scalar, None).ok().map(keys::PrivateKey::Ec)
        }
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "numbers of a transparent public key go into the key that is imported")]
fn public_key(material: &KeyMaterial) -> Option<keys::PublicKey> {
    match material {
        KeyMaterial::Bytes(bytes) => keys::PublicKey::from_der(copy(bytes).expose_secret()).ok(),
        KeyMaterial::RsaPublic(key) => {
            let (n, e) = (magnitude(&key.modulus)?, magnitude(&key.public_exponent)?);
            keys::RsaPublic::from_numbers(n.expose_secret(), e.expose_secret()).ok().map(keys::PublicKey::Rsa)
        }
        KeyMaterial::EcPublic(key) => {
            let curve = Curve::from_recommended(RecommendedCurve(key.recommended_curve.number()))?;
            keys::EcPublic::from_point(curve, &key.q_string).ok().map(keys::PublicKey::Ec)
        }
        _ => None,
    }
}

/// The family that a format names, for keys whose numbers are not usable.
const fn family(format: F) -> Option<A> {
    match format {
        F::TRANSPARENT_RSA_PRIVATE_KEY | F::TRANSPARENT_RSA_PUBLIC_KEY | F::PKCS_1 => Some(A::RSA),
        F::TRANSPARENT_DSA_PRIVATE_KEY | F::TRANSPARENT_DSA_PUBLIC_KEY => Some(A::DSA),
        F::TRANSPARENT_DH_PRIVATE_KEY | F::TRANSPARENT_DH_PUBLIC_KEY => Some(A::DH),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "the length of a modulus is no secret")]
fn transparent_bits(material: &KeyMaterial) -> Option<u32> {
    let number = match material {
        KeyMaterial::RsaPrivate(key) => &key.modulus,
        KeyMaterial::RsaPublic(key) => &key.modulus,
        KeyMaterial::DsaPrivate(key) => &key.p,
        KeyMaterial::DsaPublic(key) => &key.p,
        _ => return None,
    };
    let magnitude = magnitude(number)?;
    let first = magnitude.expose_secret().first()?.leading_zeros();
    u32::try_from(magnitude.len()).ok()?.checked_mul(8)?.checked_sub(first)
}

fn contradiction<T: PartialEq>(found: Option<T>, stated: Option<T>) -> Result<(), Refusal> {
    match (found, stated) {
        (Some(found), Some(stated)) if found != stated => {
            Err(Refusal::new(ResultReason::INVALID_FIELD, "algorithm or length contradicts the key"))
        }
        _ => Ok(()),
    }
}

/// Elliptic-curve keys go by several algorithm names.
fn same_family(found: Option<A>, stated: Option<A>) -> bool {
    const EC: [Option<A>; 4] = [Some(A::EC), Some(A::ECDSA), Some(A::ECDH), Some(A::ECMQV)];
    EC.contains(&found) && EC.contains(&stated)
}

pub(super) fn facts(algorithm: Option<A>, bits: Option<u32>) -> Vec<Attribute> {
    let algorithm = algorithm.map(|it| Attribute::new(K::CryptographicAlgorithm, V::Enumeration(it.0)));
    let bits = bits.map(|bits| Attribute::new(K::CryptographicLength, V::Integer(bits.cast_signed())));
    algorithm.into_iter().chain(bits).collect()
}

const fn curve_of(kind: KeyKind) -> Option<RecommendedCurve> {
    match kind {
        KeyKind::EcPrivate(curve) | KeyKind::EcPublic(curve) => Some(curve.recommended()),
        _ => None,
    }
}

/// An object for a Get answer, in the format asked for or the one it has.
///
/// # Errors
///
/// `FormatUnsupported` when the key cannot be given in that format.
pub(super) fn outgoing(
    object: &ManagedObject,
    value: SecretValue,
    form: Form,
    wanted: Option<F>,
    version: ProtocolVersion,
) -> Result<WireObject, Error> {
    match object.object_type {
        ObjectType::Certificate => Ok(WireObject::Certificate(Certificate {
            certificate_type: enums::CertificateType::from_number(object.subtype.unwrap_or(1)),
            certificate_value: match crypto::Certificate::parse_secret(&value) {
                // The Barbican API may have brought it as PEM; KMIP gives DER (KMIP 2.1 §2.2).
                Ok(certificate) if object.origin == Origin::Barbican => certificate.der,
                _ => exposed(&value),
            },
        })),
        ObjectType::CertificateRequest => Ok(WireObject::CertificateRequest(CertificateRequest {
            certificate_request_type: enums::CertificateRequestType::from_number(object.subtype.unwrap_or(2)),
            certificate_request_value: exposed(&value),
        })),
        ObjectType::OpaqueObject => Ok(WireObject::OpaqueObject(OpaqueObject {
            opaque_data_type: enums::OpaqueDataType::from_number(object.subtype.unwrap_or(OPAQUE_OF_BARBICAN)),
            opaque_data_value: SecretBytes::from(exposed(&value)),
        })),
        _ => {
            let format = wanted.unwrap_or_else(|| default_format(object));
            if form == Form::AsGiven
                && let Some((data, bare)) = wrapping_of(object)
            {
                return block_object(object, wrapped_block(object, format, &value, data, bare));
            }
            let value = material(object, &value, form, format, version)?;
            block_object(object, plain_block(object, format, Some(value), version))
        }
    }
}

/// The opaque data type of a secret that came through the Barbican API: an extension value, as the standard has none; the
/// one that PyKMIP knows.
const OPAQUE_OF_BARBICAN: u32 = 0x8000_0000;

/// The format in which an object is given when the client names none.
#[must_use]
pub(super) fn default_format(object: &ManagedObject) -> F {
    object.format.unwrap_or(match object.object_type {
        ObjectType::PrivateKey => F::PKCS_8,
        ObjectType::PublicKey => F::X_509,
        _ => F::RAW,
    })
}

/// The object of that type around a key block.
///
/// # Errors
///
/// `FormatUnsupported` for types that have no key block.
pub(super) fn block_object(object: &ManagedObject, key_block: KeyBlock) -> Result<WireObject, Error> {
    Ok(match object.object_type {
        ObjectType::SymmetricKey => WireObject::SymmetricKey(SymmetricKey { key_block }),
        ObjectType::PublicKey => WireObject::PublicKey(PublicKey { key_block }),
        ObjectType::PrivateKey => WireObject::PrivateKey(PrivateKey { key_block }),
        ObjectType::SecretData => WireObject::SecretData(SecretData {
            secret_data_type: enums::SecretDataType::from_number(object.subtype.unwrap_or(1)),
            key_block,
        }),
        ObjectType::SplitKey => {
            let (scheme, part) = Scheme::of(object)
                .ok_or_else(|| Error::new(ErrorKind::Internal, "the record does not say which part it is"))?;
            WireObject::SplitKey(SplitKey {
                split_key_parts: scheme.parts.cast_signed(),
                key_part_identifier: part.cast_signed(),
                split_key_threshold: scheme.threshold.cast_signed(),
                split_key_method: enums::SplitKeyMethod::from_number(scheme.method),
                split_key_polynomial: scheme.polynomial.map(enums::SplitKeyPolynomial::from_number),
                prime_field_size: scheme.prime.as_deref().map(BigInteger::from_magnitude),
                key_block,
            })
        }
        ObjectType::PgpKey => {
            WireObject::PgpKey(PgpKey { pgp_key_version: object.subtype.unwrap_or(4).cast_signed(), key_block })
        }
        _ => return Err(Error::new(ErrorKind::FormatUnsupported, "objects of this type have no key block")),
    })
}

/// A key block with what the record says of the key.
#[must_use]
pub(super) fn plain_block(
    object: &ManagedObject,
    format: F,
    value: Option<KeyMaterial>,
    version: ProtocolVersion,
) -> KeyBlock {
    KeyBlock {
        key_format_type: enums::KeyFormatType::from_number(format.0),
        key_compression_type: None,
        key_value: value.map(|material| KeyValue::Plain { material, attributes: OptionalAttributeList::default() }),
        cryptographic_algorithm: attributes::algorithm_out(object, version),
        cryptographic_length: object.length_bits().map(u32::cast_signed),
        key_wrapping_data: None,
    }
}

/// The key material of a value in a format.
///
/// # Errors
///
/// `FormatUnsupported`.
pub(super) fn material(
    object: &ManagedObject,
    value: &SecretValue,
    form: Form,
    format: F,
    version: ProtocolVersion,
) -> Result<KeyMaterial, Error> {
    let refuse = || Error::new(ErrorKind::FormatUnsupported, "the key cannot be given in that format");
    let bytes = |value: &SecretValue| KeyMaterial::Bytes(SecretBytes::from(exposed(value)));
    let has_format = object.format == Some(format);
    if form == Form::AsGiven && (has_format || object.format.is_none()) {
        return if is_transparent(format) && object.object_type != ObjectType::SymmetricKey {
            transparent_as_given(value, format, version).ok_or_else(refuse)
        } else if format == F::TRANSPARENT_SYMMETRIC_KEY {
            Ok(KeyMaterial::Symmetric(TransparentSymmetricKey { key: SecretBytes::from(exposed(value)) }))
        } else {
            Ok(bytes(value))
        };
    }
    match object.object_type {
        ObjectType::SymmetricKey | ObjectType::SecretData | ObjectType::SplitKey => match format {
            F::RAW | F::OPAQUE => Ok(bytes(value)),
            F::TRANSPARENT_SYMMETRIC_KEY => {
                Ok(KeyMaterial::Symmetric(TransparentSymmetricKey { key: SecretBytes::from(exposed(value)) }))
            }
            _ => Err(refuse()),
        },
        ObjectType::PrivateKey => {
            let key = keys::PrivateKey::parse(value).map_err(|error| refuse().because(error))?;
            private_material(&key, format, version).ok_or_else(refuse)
        }
        ObjectType::PublicKey => {
            let key = keys::PublicKey::parse_secret(value).map_err(|error| refuse().because(error))?;
            public_material(&key, format, version).ok_or_else(refuse)
        }
        _ => Err(refuse()),
    }
}

const fn is_transparent(format: F) -> bool {
    matches!(format.0, 0x07..=0x15)
}

#[expect(clippy::disallowed_methods, reason = "a held transparent key is decoded for the answer")]
fn transparent_as_given(value: &SecretValue, format: F, _version: ProtocolVersion) -> Option<KeyMaterial> {
    let item = ttlv::parse(value.expose_secret(), &Limits::default()).ok()?;
    let format = enums::KeyFormatType::from_number(format.0);
    match KeyValue::decode(format, &item, Context::new(V2_1).ok()?).ok()? {
        KeyValue::Plain { material, .. } => Some(material),
        KeyValue::Wrapped(_) => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "the numbers of the key leave here in the Get response")]
fn private_material(key: &keys::PrivateKey, format: F, version: ProtocolVersion) -> Option<KeyMaterial> {
    let bytes = |value: SecretValue| KeyMaterial::Bytes(SecretBytes::from(exposed(&value)));
    match (key, format) {
        (_, F::PKCS_8) => key.to_pkcs8().ok().map(bytes),
        (keys::PrivateKey::Rsa(key), F::PKCS_1) => key.to_pkcs1().ok().map(bytes),
        (keys::PrivateKey::Ec(key), F::EC_PRIVATE_KEY) => key.to_sec1().ok().map(bytes),
        (keys::PrivateKey::Rsa(key), F::TRANSPARENT_RSA_PRIVATE_KEY) => {
            let number = |value: &SecretValue| Some(BigInteger::from_magnitude(value.expose_secret()));
            Some(KeyMaterial::RsaPrivate(TransparentRsaPrivateKey {
                modulus: BigInteger::from_magnitude(key.public().n()),
                private_exponent: number(key.d()),
                public_exponent: Some(BigInteger::from_magnitude(key.public().e())),
                p: number(key.p()),
                q: number(key.q()),
                prime_exponent_p: number(key.dp()),
                prime_exponent_q: number(key.dq()),
                crt_coefficient: number(key.qinv()),
            }))
        }
        (keys::PrivateKey::Ec(key), format) if is_ec_private(format, version) => {
            Some(KeyMaterial::EcPrivate(TransparentEcPrivateKey {
                recommended_curve: enums::RecommendedCurve::from_number(key.curve().recommended().0),
                d: BigInteger::from_magnitude(key.scalar().expose_secret()),
            }))
        }
        _ => None,
    }
}

fn public_material(key: &keys::PublicKey, format: F, version: ProtocolVersion) -> Option<KeyMaterial> {
    let bytes = |value: Vec<u8>| KeyMaterial::Bytes(SecretBytes::from(value));
    match (key, format) {
        (_, F::X_509) => key.to_spki().ok().map(bytes),
        (keys::PublicKey::Rsa(key), F::PKCS_1) => key.to_pkcs1().ok().map(bytes),
        (keys::PublicKey::Ec(key), F::RAW) => Some(bytes(key.point().to_vec())),
        (keys::PublicKey::Ed25519(key), F::RAW) => Some(bytes(key.bytes().to_vec())),
        (keys::PublicKey::Rsa(key), F::TRANSPARENT_RSA_PUBLIC_KEY) => {
            Some(KeyMaterial::RsaPublic(TransparentRsaPublicKey {
                modulus: BigInteger::from_magnitude(key.n()),
                public_exponent: BigInteger::from_magnitude(key.e()),
            }))
        }
        (keys::PublicKey::Ec(key), format) if is_ec_public(format, version) => {
            Some(KeyMaterial::EcPublic(TransparentEcPublicKey {
                recommended_curve: enums::RecommendedCurve::from_number(key.curve().recommended().0),
                q_string: key.point().to_vec(),
            }))
        }
        _ => None,
    }
}

/// Until 1.2 the transparent formats name the algorithm; from 1.3 they are one (KMIP 1.3 §2.1.7).
fn is_ec_private(format: F, version: ProtocolVersion) -> bool {
    if version >= V1_3 {
        format == F::TRANSPARENT_EC_PRIVATE_KEY
    } else {
        matches!(
            format,
            F::TRANSPARENT_ECDSA_PRIVATE_KEY | F::TRANSPARENT_ECDH_PRIVATE_KEY | F::TRANSPARENT_ECMQV_PRIVATE_KEY
        )
    }
}

fn is_ec_public(format: F, version: ProtocolVersion) -> bool {
    if version >= V1_3 {
        format == F::TRANSPARENT_EC_PUBLIC_KEY
    } else {
        matches!(
            format,
            F::TRANSPARENT_ECDSA_PUBLIC_KEY | F::TRANSPARENT_ECDH_PUBLIC_KEY | F::TRANSPARENT_ECMQV_PUBLIC_KEY
        )
    }
}

/// The encoded key value that TTLV wrapping encrypts, with the attributes that travel inside.
///
/// # Errors
///
/// `Internal` when it cannot be encoded.
pub(super) fn encoded_for_wrapping(
    material: KeyMaterial,
    with: kmip_codec::attribute::Attributes,
    version: ProtocolVersion,
) -> Result<SecretValue, Error> {
    let value = KeyValue::Plain { material, attributes: OptionalAttributeList(with) };
    encoded(&value, version).map_err(|refusal| Error::new(ErrorKind::Internal, refusal.message))
}

/// A codec secret as an engine value.
#[must_use]
pub(super) fn secret(bytes: SecretBytes) -> SecretValue {
    copy(&bytes)
}

fn copy(bytes: &SecretBytes) -> SecretValue {
    SecretValue::new(bytes.expose_secret().to_vec())
}

#[expect(clippy::disallowed_methods, reason = "the value leaves here in the response")]
fn exposed(value: &SecretValue) -> Vec<u8> {
    value.expose_secret().to_vec()
}

/// An engine value as a codec secret, for an answer.
#[must_use]
pub(super) fn answered(value: &SecretValue) -> SecretBytes {
    SecretBytes::from(exposed(value))
}

fn magnitude(number: &BigInteger) -> Option<SecretValue> {
    number.expose_magnitude().map(|magnitude| SecretValue::new(magnitude.to_vec()))
}

#[expect(clippy::disallowed_methods, reason = "a scalar is brought to its full width before it is imported")]
fn left_padded(value: &SecretValue, width: usize) -> Option<SecretValue> {
    let missing = width.checked_sub(value.len())?;
    let mut bytes = vec![0; missing];
    bytes.extend_from_slice(value.expose_secret());
    Some(SecretValue::new(bytes))
}
