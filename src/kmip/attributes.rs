//! KMIP attributes ↔ the domain's: one table of kinds, one function of values in each direction.
//!
//! The domain keeps one canonical set; the codec hides what a version does not define. Structures that the domain does
//! not look into are kept in the codec's own encoding, with a byte in front that says for which era it was written.

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{self as wire, AttributeKind as WireKind, AttributeValue as WireValue},
    codec::{Codec, DateTime, Interval},
    spec::{attributes::link_type, enums},
    ttlv::{self, Context, Writer},
    version::{V1_4, V2_0, V2_1, V3_0},
};

use super::error::Refusal;
use crate::domain::{
    Attribute, AttributeKind as K, AttributeValue as V, CryptographicAlgorithm, CryptographicParameters, ManagedObject,
    Timestamp,
    algorithm::{BlockCipherMode, DigitalSignatureAlgorithm, HashingAlgorithm, PaddingMethod},
    attributes::RngParameters,
};

/// Which domain attribute a tag is.
const KINDS: &[(K, Tag)] = &[
    (K::ActivationDate, Tag::ACTIVATION_DATE),
    (K::AlternativeName, Tag::ALTERNATIVE_NAME),
    (K::AlwaysSensitive, Tag::ALWAYS_SENSITIVE),
    (K::ApplicationSpecificInformation, Tag::APPLICATION_SPECIFIC_INFORMATION),
    (K::ArchiveDate, Tag::ARCHIVE_DATE),
    (K::CertificateIdentifier, Tag::CERTIFICATE_IDENTIFIER),
    (K::CertificateIssuer, Tag::CERTIFICATE_ISSUER),
    (K::CertificateLength, Tag::CERTIFICATE_LENGTH),
    (K::CertificateSubject, Tag::CERTIFICATE_SUBJECT),
    (K::CertificateType, Tag::CERTIFICATE_TYPE),
    (K::Comment, Tag::COMMENT),
    (K::CompromiseDate, Tag::COMPROMISE_DATE),
    (K::CompromiseOccurrenceDate, Tag::COMPROMISE_OCCURRENCE_DATE),
    (K::ContactInformation, Tag::CONTACT_INFORMATION),
    (K::CryptographicAlgorithm, Tag::CRYPTOGRAPHIC_ALGORITHM),
    (K::CryptographicDomainParameters, Tag::CRYPTOGRAPHIC_DOMAIN_PARAMETERS),
    (K::CryptographicLength, Tag::CRYPTOGRAPHIC_LENGTH),
    (K::CryptographicParameters, Tag::CRYPTOGRAPHIC_PARAMETERS),
    (K::CryptographicUsageMask, Tag::CRYPTOGRAPHIC_USAGE_MASK),
    (K::DeactivationDate, Tag::DEACTIVATION_DATE),
    (K::Description, Tag::DESCRIPTION),
    (K::DestroyDate, Tag::DESTROY_DATE),
    (K::Digest, Tag::DIGEST),
    (K::DigitalSignatureAlgorithm, Tag::DIGITAL_SIGNATURE_ALGORITHM),
    (K::Extractable, Tag::EXTRACTABLE),
    (K::Fresh, Tag::FRESH),
    (K::InitialDate, Tag::INITIAL_DATE),
    (K::KeyFormatType, Tag::KEY_FORMAT_TYPE),
    (K::KeyValueLocation, Tag::KEY_VALUE_LOCATION),
    (K::KeyValuePresent, Tag::KEY_VALUE_PRESENT),
    (K::LastChangeDate, Tag::LAST_CHANGE_DATE),
    (K::LeaseTime, Tag::LEASE_TIME),
    (K::Link, Tag::LINK),
    (K::NistKeyType, Tag::NIST_KEY_TYPE),
    (K::Name, Tag::NAME),
    (K::NeverExtractable, Tag::NEVER_EXTRACTABLE),
    (K::ObjectGroup, Tag::OBJECT_GROUP),
    (K::ObjectType, Tag::OBJECT_TYPE),
    (K::OpaqueDataType, Tag::OPAQUE_DATA_TYPE),
    (K::OperationPolicyName, Tag::OPERATION_POLICY_NAME),
    (K::OriginalCreationDate, Tag::ORIGINAL_CREATION_DATE),
    (K::Pkcs12FriendlyName, Tag::PKCS_12_FRIENDLY_NAME),
    (K::ProcessStartDate, Tag::PROCESS_START_DATE),
    (K::ProtectStopDate, Tag::PROTECT_STOP_DATE),
    (K::ProtectionLevel, Tag::PROTECTION_LEVEL),
    (K::ProtectionPeriod, Tag::PROTECTION_PERIOD),
    (K::ProtectionStorageMask, Tag::PROTECTION_STORAGE_MASK),
    (K::QuantumSafe, Tag::QUANTUM_SAFE),
    (K::RandomNumberGenerator, Tag::RANDOM_NUMBER_GENERATOR),
    (K::RevocationReason, Tag::REVOCATION_REASON),
    (K::RotateAutomatic, Tag::ROTATE_AUTOMATIC),
    (K::RotateDate, Tag::ROTATE_DATE),
    (K::RotateGeneration, Tag::ROTATE_GENERATION),
    (K::RotateInterval, Tag::ROTATE_INTERVAL),
    (K::RotateLatest, Tag::ROTATE_LATEST),
    (K::RotateName, Tag::ROTATE_NAME),
    (K::RotateOffset, Tag::ROTATE_OFFSET),
    (K::Sensitive, Tag::SENSITIVE),
    (K::ShortUniqueIdentifier, Tag::SHORT_UNIQUE_IDENTIFIER),
    (K::SplitKeyParts, Tag::SPLIT_KEY_PARTS),
    (K::SplitKeyThreshold, Tag::SPLIT_KEY_THRESHOLD),
    (K::SplitKeyMethod, Tag::SPLIT_KEY_METHOD),
    (K::KeyPartIdentifier, Tag::KEY_PART_IDENTIFIER),
    (K::SplitKeyPolynomial, Tag::SPLIT_KEY_POLYNOMIAL),
    (K::State, Tag::STATE),
    (K::UniqueIdentifier, Tag::UNIQUE_IDENTIFIER),
    (K::UsageLimits, Tag::USAGE_LIMITS),
    (K::X509CertificateIdentifier, Tag::X_509_CERTIFICATE_IDENTIFIER),
    (K::X509CertificateIssuer, Tag::X_509_CERTIFICATE_ISSUER),
    (K::X509CertificateSubject, Tag::X_509_CERTIFICATE_SUBJECT),
    (K::CertificateSubjectCn, Tag::CERTIFICATE_SUBJECT_CN),
    (K::CertificateSubjectO, Tag::CERTIFICATE_SUBJECT_O),
    (K::CertificateSubjectOu, Tag::CERTIFICATE_SUBJECT_OU),
    (K::CertificateSubjectEmail, Tag::CERTIFICATE_SUBJECT_EMAIL),
    (K::CertificateSubjectC, Tag::CERTIFICATE_SUBJECT_C),
    (K::CertificateSubjectSt, Tag::CERTIFICATE_SUBJECT_ST),
    (K::CertificateSubjectL, Tag::CERTIFICATE_SUBJECT_L),
    (K::CertificateSubjectUid, Tag::CERTIFICATE_SUBJECT_UID),
    (K::CertificateSubjectSerialNumber, Tag::CERTIFICATE_SUBJECT_SERIAL_NUMBER),
    (K::CertificateSubjectTitle, Tag::CERTIFICATE_SUBJECT_TITLE),
    (K::CertificateSubjectDc, Tag::CERTIFICATE_SUBJECT_DC),
    (K::CertificateSubjectDnQualifier, Tag::CERTIFICATE_SUBJECT_DN_QUALIFIER),
    (K::CertificateIssuerCn, Tag::CERTIFICATE_ISSUER_CN),
    (K::CertificateIssuerO, Tag::CERTIFICATE_ISSUER_O),
    (K::CertificateIssuerOu, Tag::CERTIFICATE_ISSUER_OU),
    (K::CertificateIssuerEmail, Tag::CERTIFICATE_ISSUER_EMAIL),
    (K::CertificateIssuerC, Tag::CERTIFICATE_ISSUER_C),
    (K::CertificateIssuerSt, Tag::CERTIFICATE_ISSUER_ST),
    (K::CertificateIssuerL, Tag::CERTIFICATE_ISSUER_L),
    (K::CertificateIssuerUid, Tag::CERTIFICATE_ISSUER_UID),
    (K::CertificateIssuerSerialNumber, Tag::CERTIFICATE_ISSUER_SERIAL_NUMBER),
    (K::CertificateIssuerTitle, Tag::CERTIFICATE_ISSUER_TITLE),
    (K::CertificateIssuerDc, Tag::CERTIFICATE_ISSUER_DC),
    (K::CertificateIssuerDnQualifier, Tag::CERTIFICATE_ISSUER_DN_QUALIFIER),
    (K::ObjectClass, Tag::OBJECT_CLASS),
    (K::CredentialType, Tag::CREDENTIAL_TYPE),
    (K::DeactivationReason, Tag::DEACTIVATION_REASON),
    (K::NistSecurityCategory, Tag::NIST_SECURITY_CATEGORY),
    (K::CertificateRequestLink, Tag::CERTIFICATE_REQUEST_LINK),
    (K::CredentialLink, Tag::CREDENTIAL_LINK),
    (K::GroupLink, Tag::GROUP_LINK),
    (K::JoinedSplitKeyPartsLink, Tag::JOINED_SPLIT_KEY_PARTS_LINK),
    (K::PasswordLink, Tag::PASSWORD_LINK),
    (K::SplitKeyBaseLink, Tag::SPLIT_KEY_BASE_LINK),
    (K::CertifyCounter, Tag::CERTIFY_COUNTER),
    (K::DecryptCounter, Tag::DECRYPT_COUNTER),
    (K::EncryptCounter, Tag::ENCRYPT_COUNTER),
    (K::SignCounter, Tag::SIGN_COUNTER),
    (K::SignatureVerifyCounter, Tag::SIGNATURE_VERIFY_COUNTER),
];

/// The domain's word for an attribute.
///
/// # Errors
///
/// *Invalid Field* (1.x) or *Invalid Attribute* for one that this server does not keep.
pub(super) fn kind(of: &WireKind, version: ProtocolVersion) -> Result<K, Refusal> {
    let found = match of {
        // In 3.0 each type of link is an attribute of its own.
        WireKind::Standard(tag) if link_type(*tag).is_some() => Some(K::Link),
        WireKind::Standard(tag) => KINDS.iter().find(|(_, known)| known == tag).map(|(kind, _)| kind.clone()),
        WireKind::Vendor { vendor, name } => Some(K::Vendor { vendor: vendor.clone(), name: name.clone() }),
        WireKind::Unknown(_) => None,
    };
    found.ok_or_else(|| unknown(version))
}

fn unknown(version: ProtocolVersion) -> Refusal {
    let reason =
        if version >= V2_0 { enums::ResultReason::INVALID_ATTRIBUTE } else { enums::ResultReason::INVALID_FIELD };
    Refusal::new(reason, "the attribute is not known")
}

/// KMIP's word for an attribute.
#[must_use]
pub(super) fn wire_kind(of: &K) -> WireKind {
    match of {
        K::Vendor { vendor, name } => WireKind::Vendor { vendor: vendor.clone(), name: name.clone() },
        other => KINDS
            .iter()
            .find(|(kind, _)| kind == other)
            .map_or_else(|| WireKind::Unknown(format!("{other:?}")), |(_, tag)| WireKind::Standard(*tag)),
    }
}

/// A client's attributes in the domain's form. A 1.x index is kept only where the caller wants it.
///
/// # Errors
///
/// As [`kind`], and *Invalid Message* for an attribute without a value.
pub(super) fn all(from: wire::Attributes, version: ProtocolVersion) -> Result<Vec<Attribute>, Refusal> {
    from.items.into_iter().map(|attribute| one(attribute, version)).collect()
}

/// One client attribute in the domain's form.
///
/// # Errors
///
/// As [`all`].
pub(super) fn one(from: wire::Attribute, version: ProtocolVersion) -> Result<Attribute, Refusal> {
    // Before 3.0 a group was a name and nothing else, so a 3.0 link by name and an Object Group are the same thing.
    let kind = match (&from.kind, &from.value) {
        (WireKind::Standard(Tag::GROUP_LINK), Some(WireValue::Reference(UniqueIdentifier::Name(_)))) => K::ObjectGroup,
        _ => kind(&from.kind, version)?,
    };
    let index = from.index.unwrap_or(0);
    let index = u32::try_from(index)
        .map_err(|_negative| Refusal::new(enums::ResultReason::INVALID_FIELD, "an attribute index is not negative"))?;
    let value =
        from.value.ok_or_else(|| Refusal::new(enums::ResultReason::INVALID_MESSAGE, "the attribute has no value"))?;
    Ok(Attribute { value: value_in(&kind, value, version)?, kind, index })
}

/// Whether a number is in a table, or a vendor's.
pub(super) fn is_known(rows: &[enums::EnumRow], number: u32) -> bool {
    number >= 0x8000_0000 || rows.iter().any(|row| row.number == number)
}

/// Refuses key formats that nobody knows.
pub(super) fn known_format(of: enums::KeyFormatType) -> Result<(), Refusal> {
    if is_known(enums::KeyFormatType::ROWS, of.number()) {
        return Ok(());
    }
    Err(Refusal::new(enums::ResultReason::KEY_FORMAT_TYPE_NOT_SUPPORTED, "the key format is not known"))
}

/// The algorithm of a key, where the version has a number for it.
pub(super) fn algorithm_out(of: &ManagedObject, version: ProtocolVersion) -> Option<enums::CryptographicAlgorithm> {
    let algorithm = enums::CryptographicAlgorithm::from_number(of.algorithm()?.0);
    (algorithm.is_defined(version) || algorithm.number() >= 0x8000_0000).then_some(algorithm)
}

/// A Cryptographic Length, which is not below zero.
pub(super) fn length_in(bits: i32) -> Result<u32, Refusal> {
    u32::try_from(bits)
        .map_err(|_negative| Refusal::new(enums::ResultReason::INVALID_FIELD, "a cryptographic length is not negative"))
}

/// The kinds of names, links and places are told apart, so each must be one that somebody knows.
fn of_known_kind(value: &WireValue, version: ProtocolVersion) -> Result<(), Refusal> {
    let (rows, number) = match value {
        WireValue::Name(it) => (enums::NameType::ROWS, it.name_type.number()),
        WireValue::AlternativeName(it) => (enums::AlternativeNameType::ROWS, it.name_type.number()),
        WireValue::Link(it) => (enums::LinkType::ROWS, it.link_type.number()),
        WireValue::KeyValueLocation(it) => (enums::KeyValueLocationType::ROWS, it.location_type.number()),
        _ => return Ok(()),
    };
    if is_known(rows, number) {
        return Ok(());
    }
    let reason = super::error::reason(crate::engine::ErrorKind::InvalidAttributeValue, version);
    Err(Refusal::new(reason, "the attribute's type is not known"))
}

fn value_in(kind: &K, value: WireValue, version: ProtocolVersion) -> Result<V, Refusal> {
    of_known_kind(&value, version)?;
    Ok(match value {
        WireValue::Integer(number) => V::Integer(number),
        WireValue::LongInteger(number) => V::Long(number),
        WireValue::Boolean(flag) => V::Boolean(flag),
        WireValue::Enumeration(number) => V::Enumeration(number),
        WireValue::Mask(bits) => V::Integer(bits.cast_signed()),
        WireValue::Text(text) => V::Text(text),
        WireValue::Bytes(bytes) => V::Bytes(bytes),
        WireValue::DateTime(at) => V::Date(timestamp(at)),
        WireValue::Interval(seconds) => V::Interval(seconds.0),
        WireValue::Identifier(id) | WireValue::Reference(id) => V::Text(identifier_text(&id)),
        WireValue::Name(name) => V::Name { value: name.value, kind: name.name_type.number() },
        WireValue::Link(link) => V::Link { kind: link.link_type.number(), target: identifier_text(&link.target) },
        WireValue::CryptographicParameters(parameters) => {
            V::CryptographicParameters(Box::new(parameters_in(&parameters)))
        }
        WireValue::CryptographicDomainParameters(domain) => V::DomainParameters {
            q_length: domain.q_length,
            recommended_curve: domain.recommended_curve.map(enums::RecommendedCurve::number),
        },
        WireValue::Digest(digest) => V::Digest {
            hashing_algorithm: digest.hashing_algorithm.number(),
            value: digest.digest_value.unwrap_or_default(),
            format: digest.key_format_type.map(enums::KeyFormatType::number),
        },
        WireValue::UsageLimits(limits) => {
            V::UsageLimits { total: limits.total, count: limits.count, unit: limits.unit.number() }
        }
        WireValue::RevocationReason(reason) => {
            V::RevocationReason { code: reason.code.number(), message: reason.message }
        }
        WireValue::DeactivationReason(reason) => {
            V::RevocationReason { code: reason.code.number(), message: reason.message }
        }
        WireValue::ApplicationSpecificInformation(it) => V::Application { namespace: it.namespace, data: it.data },
        WireValue::AlternativeName(name) => V::AlternativeName { value: name.value, kind: name.name_type.number() },
        WireValue::KeyValueLocation(at) => V::KeyValueLocation { value: at.value, kind: at.location_type.number() },
        WireValue::Other(value) => match value {
            ttlv::Value::Integer(number) => V::Integer(number),
            ttlv::Value::LongInteger(number) => V::Long(number),
            ttlv::Value::Boolean(flag) => V::Boolean(flag),
            ttlv::Value::Enumeration(number) => V::Enumeration(number),
            ttlv::Value::TextString(text) => V::Text(text.into_owned()),
            ttlv::Value::ByteString(bytes) => V::Bytes(bytes.into_owned()),
            ttlv::Value::DateTime(seconds) => V::Date(Timestamp::from_seconds(seconds)),
            ttlv::Value::Interval(seconds) => V::Interval(seconds),
            ttlv::Value::BigInteger(bytes) => V::BigInteger(bytes.into_owned()),
            other => structure(kind, WireValue::Other(other), version)?,
        },
        other => structure(kind, other, version)?,
    })
}

/// A structure that the domain does not look into, encoded as 2.1 would send it, or as 1.4 what only 1.x has: the same value
/// is the same bytes whatever the version that brought it, so that Locate finds it.
fn structure(kind: &K, value: WireValue, version: ProtocolVersion) -> Result<V, Refusal> {
    let name = wire_kind(kind);
    let (era, written_for) = if version < V2_0 && name.name(V2_1).is_none() { (0, V1_4) } else { (1, V2_1) };
    let mut writer = Writer::new(written_for);
    let attribute = wire::Attribute::new(name, with_whole_serial(value));
    attribute.encode(Tag::ATTRIBUTE, &mut writer);
    let encoded =
        writer.finish().map_err(|error| Refusal::new(enums::ResultReason::INVALID_FIELD, error.to_string()))?;
    let mut bytes = vec![era];
    bytes.extend_from_slice(&encoded);
    Ok(V::Structure(bytes))
}

/// The published cases show a serial number as the whole INTEGER, and one of them asks for its content: both mean the same.
fn with_whole_serial(value: WireValue) -> WireValue {
    match value {
        WireValue::X509CertificateIdentifier(mut identifier) => {
            let serial = &identifier.serial_number;
            let is_whole = serial.first() == Some(&2)
                && serial.get(1).map(|length| usize::from(*length)) == serial.len().checked_sub(2);
            if !is_whole {
                identifier.serial_number = super::certificates::der_integer(serial);
            }
            WireValue::X509CertificateIdentifier(identifier)
        }
        other => other,
    }
}

fn structure_out(bytes: &[u8]) -> Option<WireValue> {
    let (era, encoded) = bytes.split_first()?;
    let version = if *era == 0 { V1_4 } else { V2_1 };
    let item = ttlv::parse(encoded, &Limits::default()).ok()?;
    wire::Attribute::decode(&item, Context::new(version).ok()?).ok()?.value
}

/// Attributes for a client of `version`: what that version does not define is left out.
#[must_use]
pub(super) fn for_client<'a>(
    attributes: impl IntoIterator<Item = &'a Attribute>,
    version: ProtocolVersion,
) -> wire::Attributes {
    let mut list: wire::Attributes = attributes.into_iter().filter_map(out).collect();
    if version >= V3_0 {
        for attribute in &mut list.items {
            if let (WireKind::Standard(Tag::OBJECT_GROUP), Some(WireValue::Text(name))) =
                (&attribute.kind, &mut attribute.value)
            {
                let name = UniqueIdentifier::Name(std::mem::take(name));
                attribute.kind = WireKind::Standard(Tag::GROUP_LINK);
                attribute.value = Some(WireValue::Reference(name));
            }
        }
    }
    list.retain_defined(version);
    list
}

/// One attribute in KMIP's form; `None` for a stored structure that cannot be read back.
#[must_use]
pub(super) fn out(attribute: &Attribute) -> Option<wire::Attribute> {
    let kind = wire_kind(&attribute.kind);
    if matches!(kind, WireKind::Unknown(_)) {
        // What a record keeps for the server alone.
        return None;
    }
    let shape = kind.row().map(|row| row.shape);
    let value = value_out(&attribute.value, &kind, shape)?;
    let index = (attribute.index > 0).then(|| i32::try_from(attribute.index).unwrap_or(i32::MAX));
    Some(wire::Attribute { kind, index, value: Some(value) })
}

fn value_out(value: &V, kind: &WireKind, shape: Option<kmip_codec::spec::attributes::Shape>) -> Option<WireValue> {
    use kmip_codec::spec::attributes::Shape;
    let custom = shape.is_none();
    Some(match (value, shape) {
        (V::Integer(bits), Some(Shape::Mask(_))) => WireValue::Mask(bits.cast_unsigned()),
        (V::Text(text), Some(Shape::Identifier)) => WireValue::Identifier(UniqueIdentifier::Text(text.clone())),
        (V::Text(text), Some(Shape::Reference)) => WireValue::Reference(reference(text)),
        (V::Integer(number), _) if custom => WireValue::Other(ttlv::Value::Integer(*number)),
        (V::Long(number), _) if custom => WireValue::Other(ttlv::Value::LongInteger(*number)),
        (V::Boolean(flag), _) if custom => WireValue::Other(ttlv::Value::Boolean(*flag)),
        (V::Enumeration(number), _) if custom => WireValue::Other(ttlv::Value::Enumeration(*number)),
        (V::Text(text), _) if custom => WireValue::Other(ttlv::Value::TextString(text.clone().into())),
        (V::Bytes(bytes), _) if custom => WireValue::Other(ttlv::Value::ByteString(bytes.clone().into())),
        (V::Date(at), _) if custom => WireValue::Other(ttlv::Value::DateTime(at.seconds())),
        (V::Interval(seconds), _) if custom => WireValue::Other(ttlv::Value::Interval(*seconds)),
        (V::BigInteger(bytes), _) => WireValue::Other(ttlv::Value::BigInteger(bytes.clone().into())),
        (V::Integer(number), _) => WireValue::Integer(*number),
        (V::Long(number), _) => WireValue::LongInteger(*number),
        (V::Boolean(flag), _) => WireValue::Boolean(*flag),
        (V::Enumeration(number), _) => WireValue::Enumeration(*number),
        (V::Text(text), _) => WireValue::Text(text.clone()),
        (V::Bytes(bytes), _) => WireValue::Bytes(bytes.clone()),
        (V::Date(at), _) => WireValue::DateTime(date_time(*at)),
        (V::Interval(seconds), _) => WireValue::Interval(Interval(*seconds)),
        (V::Name { value, kind }, _) => {
            WireValue::Name(wire::Name { value: value.clone(), name_type: enums::NameType::from_number(*kind) })
        }
        (V::Link { kind, target }, _) => WireValue::Link(wire::Link {
            link_type: enums::LinkType::from_number(*kind),
            target: UniqueIdentifier::Text(target.clone()),
        }),
        (V::CryptographicParameters(parameters), _) => {
            WireValue::CryptographicParameters(Box::new(parameters_out(parameters)))
        }
        (V::DomainParameters { q_length, recommended_curve }, _) => {
            WireValue::CryptographicDomainParameters(wire::CryptographicDomainParameters {
                q_length: *q_length,
                recommended_curve: recommended_curve.map(enums::RecommendedCurve::from_number),
            })
        }
        (V::Digest { hashing_algorithm, value, format }, _) => WireValue::Digest(wire::Digest {
            hashing_algorithm: enums::HashingAlgorithm::from_number(*hashing_algorithm),
            digest_value: Some(value.clone()),
            key_format_type: format.map(enums::KeyFormatType::from_number),
        }),
        (V::UsageLimits { total, count, unit }, _) => WireValue::UsageLimits(wire::UsageLimits {
            total: *total,
            count: *count,
            unit: enums::UsageLimitsUnit::from_number(*unit),
        }),
        (V::RevocationReason { code, message }, Some(Shape::DeactivationReason)) => {
            WireValue::DeactivationReason(wire::DeactivationReason {
                code: enums::DeactivationReasonCode::from_number(*code),
                message: message.clone(),
            })
        }
        (V::RevocationReason { code, message }, _) => WireValue::RevocationReason(wire::RevocationReason {
            code: enums::RevocationReasonCode::from_number(*code),
            message: message.clone(),
        }),
        (V::Application { namespace, data }, _) => {
            WireValue::ApplicationSpecificInformation(wire::ApplicationSpecificInformation {
                namespace: namespace.clone(),
                data: data.clone(),
            })
        }
        (V::AlternativeName { value, kind }, _) => WireValue::AlternativeName(wire::AlternativeName {
            value: value.clone(),
            name_type: enums::AlternativeNameType::from_number(*kind),
        }),
        (V::KeyValueLocation { value, kind }, _) => WireValue::KeyValueLocation(wire::KeyValueLocation {
            value: value.clone(),
            location_type: enums::KeyValueLocationType::from_number(*kind),
        }),
        (V::Generator { algorithm }, _) => WireValue::RngParameters(generator_out(&RngParameters {
            algorithm: *algorithm,
            ..RngParameters::unspecified()
        })),
        (V::Rng(generator), _) => WireValue::RngParameters(generator_out(generator)),
        (V::Structure(bytes), _) => {
            let value = structure_out(bytes);
            if value.is_none() {
                tracing::error!(?kind, "a stored attribute cannot be read back");
            }
            value?
        }
    })
}

/// RNG Parameters in KMIP's form.
#[must_use]
pub(super) fn generator_out(from: &RngParameters) -> wire::RngParameters {
    wire::RngParameters {
        rng_algorithm: enums::RngAlgorithm::from_number(from.algorithm),
        cryptographic_algorithm: from.cryptographic_algorithm.map(enums::CryptographicAlgorithm::from_number),
        cryptographic_length: from.cryptographic_length,
        hashing_algorithm: from.hashing_algorithm.map(enums::HashingAlgorithm::from_number),
        drbg_algorithm: from.drbg_algorithm.map(enums::DrbgAlgorithm::from_number),
        recommended_curve: from.recommended_curve.map(enums::RecommendedCurve::from_number),
        fips186_variation: from.fips186_variation.map(enums::Fips186Variation::from_number),
        prediction_resistance: from.prediction_resistance,
    }
}

/// KMIP's whole seconds as a point in time.
#[must_use]
pub(super) const fn timestamp(at: DateTime) -> Timestamp {
    Timestamp::from_seconds(at.0)
}

/// A point in time as KMIP's whole seconds.
#[must_use]
pub(super) const fn date_time(at: Timestamp) -> DateTime {
    DateTime(at.seconds())
}

/// A reference to another object: by its identifier, and what is none of ours is a name.
fn reference(text: &str) -> UniqueIdentifier {
    let is_ours = text.parse::<crate::domain::UniqueIdentifier>().is_ok();
    if is_ours { UniqueIdentifier::Text(text.to_owned()) } else { UniqueIdentifier::Name(text.to_owned()) }
}

/// The text of an identifier in an attribute; placeholders have none.
fn identifier_text(id: &UniqueIdentifier) -> String {
    match id {
        UniqueIdentifier::Text(text) | UniqueIdentifier::Name(text) => text.clone(),
        UniqueIdentifier::Enumeration(_) | UniqueIdentifier::Integer(_) => String::new(),
    }
}

/// Cryptographic Parameters in the domain's form.
#[must_use]
pub(super) fn parameters_in(from: &wire::CryptographicParameters) -> CryptographicParameters {
    CryptographicParameters {
        block_cipher_mode: from.block_cipher_mode.map(|it| BlockCipherMode(it.number())),
        padding_method: from.padding_method.map(|it| PaddingMethod(it.number())),
        hashing_algorithm: from.hashing_algorithm.map(|it| HashingAlgorithm(it.number())),
        key_role_type: from.key_role_type.map(enums::KeyRoleType::number),
        digital_signature_algorithm: from.digital_signature_algorithm.map(|it| DigitalSignatureAlgorithm(it.number())),
        cryptographic_algorithm: from.cryptographic_algorithm.map(|it| CryptographicAlgorithm(it.number())),
        random_iv: from.random_iv,
        iv_length: from.iv_length,
        tag_length: from.tag_length,
        fixed_field_length: from.fixed_field_length,
        invocation_field_length: from.invocation_field_length,
        counter_length: from.counter_length,
        initial_counter_value: from.initial_counter_value,
        salt_length: from.salt_length,
        mask_generator: from.mask_generator.map(enums::MaskGenerator::number),
        mask_generator_hashing_algorithm: from.mask_generator_hashing_algorithm.map(|it| HashingAlgorithm(it.number())),
        p_source: from.p_source.clone(),
        trailer_field: from.trailer_field,
    }
}

/// Cryptographic Parameters in KMIP's form.
#[must_use]
pub(super) fn parameters_out(from: &CryptographicParameters) -> wire::CryptographicParameters {
    wire::CryptographicParameters {
        block_cipher_mode: from.block_cipher_mode.map(|it| enums::BlockCipherMode::from_number(it.0)),
        padding_method: from.padding_method.map(|it| enums::PaddingMethod::from_number(it.0)),
        hashing_algorithm: from.hashing_algorithm.map(|it| enums::HashingAlgorithm::from_number(it.0)),
        key_role_type: from.key_role_type.map(enums::KeyRoleType::from_number),
        digital_signature_algorithm: from
            .digital_signature_algorithm
            .map(|it| enums::DigitalSignatureAlgorithm::from_number(it.0)),
        cryptographic_algorithm: from
            .cryptographic_algorithm
            .map(|it| enums::CryptographicAlgorithm::from_number(it.0)),
        random_iv: from.random_iv,
        iv_length: from.iv_length,
        tag_length: from.tag_length,
        fixed_field_length: from.fixed_field_length,
        invocation_field_length: from.invocation_field_length,
        counter_length: from.counter_length,
        initial_counter_value: from.initial_counter_value,
        salt_length: from.salt_length,
        mask_generator: from.mask_generator.map(enums::MaskGenerator::from_number),
        mask_generator_hashing_algorithm: from
            .mask_generator_hashing_algorithm
            .map(|it| enums::HashingAlgorithm::from_number(it.0)),
        p_source: from.p_source.clone(),
        trailer_field: from.trailer_field,
    }
}
