//! The structures that attributes and other fields are made of (KMIP 1.0 §3, 2.1 §4 and §7).

use crate::codec::{Codec, fields};
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::{
    AlternativeNameType, BlockCipherMode, CryptographicAlgorithm, DeactivationReasonCode, DigitalSignatureAlgorithm,
    DrbgAlgorithm, Fips186Variation, HashingAlgorithm, KeyFormatType, KeyRoleType, KeyValueLocationType, LinkType,
    MaskGenerator, NameType, PaddingMethod, RecommendedCurve, RevocationReasonCode, RngAlgorithm, RotateNameType,
    UsageLimitsUnit,
};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Reader, Writer};
use crate::version::{ProtocolVersion, V3_0};

/// A name of an object: text and what kind of text; only text from 3.0 on (KMIP 1.0 §3.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Name {
    /// The name.
    pub value: String,
    /// What kind of text it is; 3.0 has uninterpreted text only.
    pub name_type: NameType,
}

impl Name {
    /// A name of uninterpreted text.
    pub fn text(value: impl Into<String>) -> Self {
        Self { value: value.into(), name_type: NameType::UNINTERPRETED_TEXT_STRING }
    }
}

fields! {
    /// How a name travels up to 2.1.
    #[derive(Clone)]
    pub struct NameFields {
        value: required String, [NAME_VALUE V1_0..];
        name_type: required NameType, [NAME_TYPE V1_0..];
    }
}

impl Codec for Name {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        if context.version >= V3_0 {
            return String::decode(item, context).map(Self::text);
        }
        NameFields::decode(item, context).map(|NameFields { value, name_type }| Self { value, name_type })
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        if writer.version() >= V3_0 {
            return writer.text_string(tag, &self.value);
        }
        writer.structure(tag, |writer| {
            writer.text_string(Tag::NAME_VALUE, &self.value);
            self.name_type.encode(Tag::NAME_TYPE, writer);
        });
    }
}

impl Sample for Name {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        let value = String::sample(seeds, version);
        let name_type =
            if version >= V3_0 { NameType::UNINTERPRETED_TEXT_STRING } else { NameType::sample(seeds, version) };
        Self { value, name_type }
    }
}

/// A link to another object (KMIP 1.0 §3.29). In 3.0 the type is the tag of the attribute; see `attribute::structured`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Link {
    /// What the other object is to this one.
    pub link_type: LinkType,
    /// The other object.
    pub target: UniqueIdentifier,
}

impl Codec for Link {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(item, context)?;
        let link_type = reader.required(Tag::LINK_TYPE)?;
        let link_type = LinkType::decode(&link_type, context).map_err(|error| reader.within(error))?;
        let target = reader.required(Tag::LINKED_OBJECT_IDENTIFIER)?;
        let target = UniqueIdentifier::decode(&target, context).map_err(|error| reader.within(error))?;
        reader.finish()?;
        Ok(Self { link_type, target })
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        writer.structure(tag, |writer| {
            self.link_type.encode(Tag::LINK_TYPE, writer);
            self.target.encode_reference(Tag::LINKED_OBJECT_IDENTIFIER, writer);
        });
    }
}

fields! {
    /// How to use a key (KMIP 1.0 §3.6).
    #[derive(Clone, Default)]
    pub struct CryptographicParameters {
        block_cipher_mode: optional BlockCipherMode, [BLOCK_CIPHER_MODE V1_0..];
        padding_method: optional PaddingMethod, [PADDING_METHOD V1_0..];
        hashing_algorithm: optional HashingAlgorithm, [HASHING_ALGORITHM V1_0..];
        key_role_type: optional KeyRoleType, [KEY_ROLE_TYPE V1_0..];
        digital_signature_algorithm: optional DigitalSignatureAlgorithm, [DIGITAL_SIGNATURE_ALGORITHM V1_2..];
        cryptographic_algorithm: optional CryptographicAlgorithm, [CRYPTOGRAPHIC_ALGORITHM V1_2..];
        random_iv: optional bool, [RANDOM_IV V1_2..];
        iv_length: optional i32, [IV_LENGTH V1_2..];
        tag_length: optional i32, [TAG_LENGTH V1_2..];
        fixed_field_length: optional i32, [FIXED_FIELD_LENGTH V1_2..];
        invocation_field_length: optional i32, [INVOCATION_FIELD_LENGTH V1_2..];
        counter_length: optional i32, [COUNTER_LENGTH V1_2..];
        initial_counter_value: optional i32, [INITIAL_COUNTER_VALUE V1_2..];
        salt_length: optional i32, [SALT_LENGTH V1_4..];
        mask_generator: optional MaskGenerator, [MASK_GENERATOR V1_4..];
        mask_generator_hashing_algorithm: optional HashingAlgorithm, [MASK_GENERATOR_HASHING_ALGORITHM V1_4..];
        p_source: optional Vec<u8>, [P_SOURCE V1_4..];
        trailer_field: optional i32, [TRAILER_FIELD V1_4..];
    }

    /// The domain of an asymmetric key (KMIP 1.0 §3.7).
    #[derive(Clone, Default)]
    pub struct CryptographicDomainParameters {
        q_length: optional i32, [QLENGTH V1_0..];
        recommended_curve: optional RecommendedCurve, [RECOMMENDED_CURVE V1_0..];
    }

    /// Issuer and serial number of an X.509 certificate in DER (KMIP 1.1 §3.10).
    #[derive(Clone)]
    pub struct X509CertificateIdentifier {
        issuer: required Vec<u8>, [ISSUER_DISTINGUISHED_NAME V1_1..];
        serial_number: required Vec<u8>, [CERTIFICATE_SERIAL_NUMBER V1_1..];
    }

    /// The subject of an X.509 certificate in DER (KMIP 1.1 §3.11).
    #[derive(Clone)]
    pub struct X509CertificateSubject {
        distinguished_name: required Vec<u8>, [SUBJECT_DISTINGUISHED_NAME V1_1..];
        alternative_names: repeated Vec<u8>, [SUBJECT_ALTERNATIVE_NAME V1_1..];
    }

    /// The issuer of an X.509 certificate in DER (KMIP 1.1 §3.12).
    #[derive(Clone)]
    pub struct X509CertificateIssuer {
        distinguished_name: required Vec<u8>, [ISSUER_DISTINGUISHED_NAME V1_1..];
        alternative_names: repeated Vec<u8>, [ISSUER_ALTERNATIVE_NAME V1_1..];
    }

    /// Issuer and serial number as text (KMIP 1.0 §3.9), deprecated by 1.1.
    #[derive(Clone)]
    pub struct CertificateIdentifier {
        issuer: required String, [ISSUER V1_0..=V1_4];
        serial_number: optional String, [SERIAL_NUMBER V1_0..=V1_4];
    }

    /// The subject as text (KMIP 1.0 §3.10), deprecated by 1.1.
    #[derive(Clone)]
    pub struct CertificateSubject {
        distinguished_name: required String, [CERTIFICATE_SUBJECT_DISTINGUISHED_NAME V1_0..=V1_4];
        alternative_names: repeated String, [CERTIFICATE_SUBJECT_ALTERNATIVE_NAME V1_0..=V1_4];
    }

    /// The issuer as text (KMIP 1.0 §3.11), deprecated by 1.1.
    #[derive(Clone)]
    pub struct CertificateIssuer {
        distinguished_name: required String, [CERTIFICATE_ISSUER_DISTINGUISHED_NAME V1_0..=V1_4];
        alternative_names: repeated String, [CERTIFICATE_ISSUER_ALTERNATIVE_NAME V1_0..=V1_4];
    }

    /// A digest of the object (KMIP 1.0 §3.12).
    #[derive(Clone)]
    pub struct Digest {
        hashing_algorithm: required HashingAlgorithm, [HASHING_ALGORITHM V1_0..];
        digest_value: optional Vec<u8>, [DIGEST_VALUE V1_0..];
        key_format_type: optional KeyFormatType, [KEY_FORMAT_TYPE V1_1..];
    }

    /// How much an object may be used (KMIP 1.0 §3.16). Count is missing where a client sets the limits.
    #[derive(Clone)]
    pub struct UsageLimits {
        total: required i64, [USAGE_LIMITS_TOTAL V1_0..];
        count: optional i64, [USAGE_LIMITS_COUNT V1_0..];
        unit: required UsageLimitsUnit, [USAGE_LIMITS_UNIT V1_0..];
    }

    /// Why an object was revoked (KMIP 1.0 §3.26).
    #[derive(Clone)]
    pub struct RevocationReason {
        code: required RevocationReasonCode, [REVOCATION_REASON_CODE V1_0..];
        message: optional String, [REVOCATION_MESSAGE V1_0..];
    }

    /// Why an object was deactivated (KMIP 3.0).
    #[derive(Clone)]
    pub struct DeactivationReason {
        code: required DeactivationReasonCode, [DEACTIVATION_REASON_CODE V3_0..];
        message: optional String, [DEACTIVATION_MESSAGE V3_0..];
    }

    /// Data of an application that uses the object (KMIP 1.0 §3.30).
    #[derive(Clone)]
    pub struct ApplicationSpecificInformation {
        namespace: required String, [APPLICATION_NAMESPACE V1_0..];
        data: optional String, [APPLICATION_DATA V1_0..];
    }

    /// A name that need not be unique (KMIP 1.2 §3.40).
    #[derive(Clone)]
    pub struct AlternativeName {
        value: required String, [ALTERNATIVE_NAME_VALUE V1_2..];
        name_type: required AlternativeNameType, [ALTERNATIVE_NAME_TYPE V1_2..];
    }

    /// Where the value of an object is kept when the server does not have it (KMIP 1.2 §3.42).
    #[derive(Clone)]
    pub struct KeyValueLocation {
        value: required String, [KEY_VALUE_LOCATION_VALUE V1_2..];
        location_type: required KeyValueLocationType, [KEY_VALUE_LOCATION_TYPE V1_2..];
    }

    /// The generator a key came from, also what Query tells of one (KMIP 1.3 §2.1.18).
    #[derive(Clone)]
    pub struct RngParameters {
        rng_algorithm: required RngAlgorithm, [RNG_ALGORITHM V1_3..];
        cryptographic_algorithm: optional CryptographicAlgorithm, [CRYPTOGRAPHIC_ALGORITHM V1_3..];
        cryptographic_length: optional i32, [CRYPTOGRAPHIC_LENGTH V1_3..];
        hashing_algorithm: optional HashingAlgorithm, [HASHING_ALGORITHM V1_3..];
        drbg_algorithm: optional DrbgAlgorithm, [DRBG_ALGORITHM V1_3..];
        recommended_curve: optional RecommendedCurve, [RECOMMENDED_CURVE V1_3..];
        fips186_variation: optional Fips186Variation, [FIPS186_VARIATION V1_3..];
        prediction_resistance: optional bool, [PREDICTION_RESISTANCE V1_3..];
    }

    /// The name a rotated object takes (KMIP 2.1 §4.52).
    #[derive(Clone)]
    pub struct RotateName {
        value: required String, [ROTATE_NAME_VALUE V2_1..];
        name_type: required RotateNameType, [ROTATE_NAME_TYPE V2_1..];
    }

    /// A nonce of the server for attestation (KMIP 1.2 §2.1.14).
    #[derive(Clone)]
    pub struct Nonce {
        id: required Vec<u8>, [NONCE_ID V1_2..];
        value: required Vec<u8>, [NONCE_VALUE V1_2..];
    }
}
