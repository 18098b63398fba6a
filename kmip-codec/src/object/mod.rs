//! Managed objects as they travel in Register, Get, Import, Export and Put.
//!
//! Which object a payload carries is told by the tag of the structure; [`ManagedObject`] is the one of them.
//! Everything that may be key material is in types of `secret`, so none of these structures can be cloned.

mod key_block;
mod key_material;
mod wrapping;

pub use key_block::{KeyBlock, KeyValue};
pub use key_material::{
    KeyMaterial, TransparentDhPrivateKey, TransparentDhPublicKey, TransparentDsaPrivateKey, TransparentDsaPublicKey,
    TransparentEcPrivateKey, TransparentEcPublicKey, TransparentRsaPrivateKey, TransparentRsaPublicKey,
    TransparentSymmetricKey,
};
pub use wrapping::{EncryptionKeyInformation, KeyWrappingData, KeyWrappingSpecification, MacSignatureKeyInformation};

use crate::attribute::AttributeList;
use crate::codec::{Codec, FieldGroup, Interval, decode_within, fields};
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::secret::{BigInteger, SecretBytes, SecretText};
use crate::spec::enums::{
    CertificateRequestType, CertificateType, HashingAlgorithm, ObjectType, OpaqueDataType, OtpAlgorithm,
    SecretDataType, SplitKeyMethod, SplitKeyPolynomial,
};
use crate::spec::tags::Tag;
use crate::ttlv::{Reader, Writer};
use crate::version::{ProtocolVersion, VersionRange, versions};

fields! {
    /// A certificate (KMIP 1.0 §2.2.1).
    pub struct Certificate {
        certificate_type: required CertificateType, [CERTIFICATE_TYPE V1_0..];
        certificate_value: required Vec<u8>, [CERTIFICATE_VALUE V1_0..];
    }

    /// A symmetric key (KMIP 1.0 §2.2.2).
    pub struct SymmetricKey {
        key_block: required KeyBlock, [KEY_BLOCK V1_0..];
    }

    /// A public key (KMIP 1.0 §2.2.3).
    pub struct PublicKey {
        key_block: required KeyBlock, [KEY_BLOCK V1_0..];
    }

    /// A private key (KMIP 1.0 §2.2.4).
    pub struct PrivateKey {
        key_block: required KeyBlock, [KEY_BLOCK V1_0..];
    }

    /// One part of a split key (KMIP 1.0 §2.2.5).
    pub struct SplitKey {
        split_key_parts: required i32, [SPLIT_KEY_PARTS V1_0..];
        key_part_identifier: required i32, [KEY_PART_IDENTIFIER V1_0..];
        split_key_threshold: required i32, [SPLIT_KEY_THRESHOLD V1_0..];
        split_key_method: required SplitKeyMethod, [SPLIT_KEY_METHOD V1_0..];
        split_key_polynomial: optional SplitKeyPolynomial, [SPLIT_KEY_POLYNOMIAL V3_0..];
        prime_field_size: optional BigInteger, [PRIME_FIELD_SIZE V1_0..];
        key_block: required KeyBlock, [KEY_BLOCK V1_0..];
    }

    /// Attributes to be used again (KMIP 1.0 §2.2.6), deprecated by 1.3 and gone in 2.0.
    pub struct Template {
        attributes: group AttributeList;
    }

    /// A password or another secret that is not a key (KMIP 1.0 §2.2.7).
    pub struct SecretData {
        secret_data_type: required SecretDataType, [SECRET_DATA_TYPE V1_0..];
        key_block: required KeyBlock, [KEY_BLOCK V1_0..];
    }

    /// Bytes the server does not look into (KMIP 1.0 §2.2.8).
    pub struct OpaqueObject {
        opaque_data_type: required OpaqueDataType, [OPAQUE_DATA_TYPE V1_0..];
        opaque_data_value: required SecretBytes, [OPAQUE_DATA_VALUE V1_0..];
    }

    /// A key of RFC 4880 (KMIP 1.2 §2.2.9).
    pub struct PgpKey {
        pgp_key_version: required i32, [PGP_KEY_VERSION V1_2..];
        key_block: required KeyBlock, [KEY_BLOCK V1_2..];
    }

    /// A request for a certificate, kept by the server (KMIP 2.0 §2.2).
    pub struct CertificateRequest {
        certificate_request_type: required CertificateRequestType, [CERTIFICATE_REQUEST_TYPE V2_0..];
        certificate_request_value: required Vec<u8>, [CERTIFICATE_REQUEST_VALUE V2_0..];
    }

    /// A password that users log in with, plain or salted and hashed (KMIP 3.0).
    pub struct PasswordCredential {
        password: optional SecretText, [PASSWORD V3_0..];
        password_salt: optional SecretBytes, [PASSWORD_SALT V3_0..];
        password_salt_algorithm: optional HashingAlgorithm, [PASSWORD_SALT_ALGORITHM V3_0..];
        salted_password: optional SecretBytes, [SALTED_PASSWORD V3_0..];
    }

    /// A device that users log in with (KMIP 3.0).
    pub struct DeviceCredential {
        device_serial_number: optional String, [DEVICE_SERIAL_NUMBER V3_0..];
        password: optional SecretText, [PASSWORD V3_0..];
        device_identifier: optional String, [DEVICE_IDENTIFIER V3_0..];
        network_identifier: optional String, [NETWORK_IDENTIFIER V3_0..];
        machine_identifier: optional String, [MACHINE_IDENTIFIER V3_0..];
        media_identifier: optional String, [MEDIA_IDENTIFIER V3_0..];
    }

    /// The seed of one-time passwords (KMIP 3.0).
    pub struct OneTimePasswordCredential {
        algorithm: optional OtpAlgorithm, [OTP_ALGORITHM V3_0..];
        digest: optional HashingAlgorithm, [OTP_DIGEST V3_0..];
        serial: optional String, [OTP_SERIAL V3_0..];
        seed: required SecretBytes, [OTP_SEED V3_0..];
        interval: optional Interval, [OTP_INTERVAL V3_0..];
        digits: optional i32, [OTP_DIGITS V3_0..];
        counter: optional i64, [OTP_COUNTER V3_0..];
    }

    /// The two hashes by which a hashed password is recognised (KMIP 3.0).
    pub struct HashedPasswordCredential {
        hashing_algorithm: optional HashingAlgorithm, [HASHING_ALGORITHM V3_0..];
        hashed_username_password: required SecretBytes, [HASHED_USERNAME_PASSWORD V3_0..];
        hashed_password_username: required SecretBytes, [HASHED_PASSWORD_USERNAME V3_0..];
    }
}

macro_rules! objects {
    ($($variant:ident $tag:ident $object_type:ident [$($versions:tt)+];)+) => {
        /// One managed object.
        #[derive(PartialEq, Debug)]
        pub enum ManagedObject {
            $(
                #[doc = concat!("Under the tag `", stringify!($tag), "`, ", stringify!($($versions)+), ".")]
                $variant($variant),
            )+
        }

        impl ManagedObject {
            /// Tag, object type and versions of every object, in the order of the object types.
            pub const ROWS: &'static [(Tag, ObjectType, VersionRange)] =
                &[$((Tag::$tag, ObjectType::$object_type, versions!($($versions)+)),)+];

            /// The object type that goes with the structure.
            pub const fn object_type(&self) -> ObjectType {
                match self {
                    $(Self::$variant(_) => ObjectType::$object_type,)+
                }
            }
        }

        impl FieldGroup for Option<ManagedObject> {
            fn take(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError> {
                $(
                    if versions!($($versions)+).contains(reader.context().version)
                        && let Some(item) = reader.optional(Tag::$tag)?
                    {
                        return decode_within(reader, &item).map(|object| Some(ManagedObject::$variant(object)));
                    }
                )+
                Ok(None)
            }

            fn put(&self, writer: &mut Writer) {
                if let Some(object) = self {
                    object.put(writer);
                }
            }
        }

        impl FieldGroup for ManagedObject {
            fn take(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError> {
                match <Option<Self> as FieldGroup>::take(reader)? {
                    Some(object) => Ok(object),
                    None => Err(reader.missing(Tag::OBJECT_TYPE)),
                }
            }

            fn put(&self, writer: &mut Writer) {
                match self {
                    $(Self::$variant(object) => object.encode(Tag::$tag, writer),)+
                }
            }
        }

        impl Sample for ManagedObject {
            fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
                let known: Vec<_> = Self::ROWS.iter().filter(|(_, _, versions)| versions.contains(version)).collect();
                match seeds.one_of(&known).map(|(tag, ..)| *tag) {
                    $(Some(Tag::$tag) => Self::$variant(Sample::sample(seeds, version)),)+
                    _ => Self::Certificate(Sample::sample(seeds, version)),
                }
            }
        }
    };
}

objects! {
    Certificate        CERTIFICATE         CERTIFICATE         [V1_0..];
    SymmetricKey       SYMMETRIC_KEY       SYMMETRIC_KEY       [V1_0..];
    PublicKey          PUBLIC_KEY          PUBLIC_KEY          [V1_0..];
    PrivateKey         PRIVATE_KEY         PRIVATE_KEY         [V1_0..];
    SplitKey           SPLIT_KEY           SPLIT_KEY           [V1_0..];
    Template           TEMPLATE            TEMPLATE            [V1_0..=V1_4];
    SecretData         SECRET_DATA         SECRET_DATA         [V1_0..];
    OpaqueObject       OPAQUE_OBJECT       OPAQUE_OBJECT       [V1_0..];
    PgpKey             PGP_KEY             PGP_KEY             [V1_2..];
    CertificateRequest CERTIFICATE_REQUEST CERTIFICATE_REQUEST [V2_0..];
    PasswordCredential PASSWORD_CREDENTIAL PASSWORD_CREDENTIAL [V3_0..];
    DeviceCredential   DEVICE_CREDENTIAL   DEVICE_CREDENTIAL   [V3_0..];
    OneTimePasswordCredential OTP_CREDENTIAL ONE_TIME_PASSWORD_CREDENTIAL [V3_0..];
    HashedPasswordCredential HASHED_PASSWORD_CREDENTIAL HASHED_PASSWORD_CREDENTIAL [V3_0..];
}

impl Sample for Option<ManagedObject> {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        (seeds.below(2) == 0).then(|| ManagedObject::sample(seeds, version))
    }
}
