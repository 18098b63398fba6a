//! Key material: bytes, or the numbers of a transparent key (KMIP 1.0 §2.1.7).
//!
//! Which structure the numbers are in is told by the key format type of the key block around.

use crate::codec::{Codec, fields};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::secret::{BigInteger, SecretBytes};
use crate::spec::enums::{KeyFormatType, RecommendedCurve};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Value, Writer};

fields! {
    /// A symmetric key in a structure.
    pub struct TransparentSymmetricKey {
        key: required SecretBytes, [KEY V1_0..];
    }

    /// A DSA private key.
    pub struct TransparentDsaPrivateKey {
        p: required BigInteger, [P V1_0..];
        q: required BigInteger, [Q V1_0..];
        g: required BigInteger, [G V1_0..];
        x: required BigInteger, [X V1_0..];
    }

    /// A DSA public key.
    pub struct TransparentDsaPublicKey {
        p: required BigInteger, [P V1_0..];
        q: required BigInteger, [Q V1_0..];
        g: required BigInteger, [G V1_0..];
        y: required BigInteger, [Y V1_0..];
    }

    /// An RSA private key; either the private exponent or the primes are there.
    pub struct TransparentRsaPrivateKey {
        modulus: required BigInteger, [MODULUS V1_0..];
        private_exponent: optional BigInteger, [PRIVATE_EXPONENT V1_0..];
        public_exponent: optional BigInteger, [PUBLIC_EXPONENT V1_0..];
        p: optional BigInteger, [P V1_0..];
        q: optional BigInteger, [Q V1_0..];
        prime_exponent_p: optional BigInteger, [PRIME_EXPONENT_P V1_0..];
        prime_exponent_q: optional BigInteger, [PRIME_EXPONENT_Q V1_0..];
        crt_coefficient: optional BigInteger, [CRT_COEFFICIENT V1_0..];
    }

    /// An RSA public key.
    pub struct TransparentRsaPublicKey {
        modulus: required BigInteger, [MODULUS V1_0..];
        public_exponent: required BigInteger, [PUBLIC_EXPONENT V1_0..];
    }

    /// A Diffie-Hellman private key.
    pub struct TransparentDhPrivateKey {
        p: required BigInteger, [P V1_0..];
        q: optional BigInteger, [Q V1_0..];
        g: required BigInteger, [G V1_0..];
        j: optional BigInteger, [J V1_0..];
        x: required BigInteger, [X V1_0..];
    }

    /// A Diffie-Hellman public key.
    pub struct TransparentDhPublicKey {
        p: required BigInteger, [P V1_0..];
        q: optional BigInteger, [Q V1_0..];
        g: required BigInteger, [G V1_0..];
        j: optional BigInteger, [J V1_0..];
        y: required BigInteger, [Y V1_0..];
    }

    /// An elliptic-curve private key of any of the EC, ECDSA, ECDH and ECMQV formats.
    pub struct TransparentEcPrivateKey {
        recommended_curve: required RecommendedCurve, [RECOMMENDED_CURVE V1_0..];
        d: required BigInteger, [D V1_0..];
    }

    /// An elliptic-curve public key of any of the EC, ECDSA, ECDH and ECMQV formats.
    pub struct TransparentEcPublicKey {
        recommended_curve: required RecommendedCurve, [RECOMMENDED_CURVE V1_0..];
        q_string: required Vec<u8>, [Q_STRING V1_0..];
    }
}

/// Variant, type, key formats that have it.
macro_rules! materials {
    ($($variant:ident $type:ident: $($format:ident)|+;)+) => {
        /// The value of a key, or of secret data.
        #[derive(PartialEq, Debug)]
        pub enum KeyMaterial {
            /// Raw, opaque and encoded formats, and whatever is wrapped.
            Bytes(SecretBytes),
            $(
                #[doc = concat!("`", stringify!($type), "`.")]
                $variant($type),
            )+
        }

        impl KeyMaterial {
            /// Reads what `format` says the material is; bytes are taken for any format, since they may be wrapped.
            pub(super) fn decode(
                format: KeyFormatType,
                item: &Item<'_>,
                context: Context,
            ) -> Result<Self, DecodeError> {
                if !matches!(item.value, Value::Structure(_)) {
                    return Codec::decode(item, context).map(Self::Bytes);
                }
                match format {
                    $($(KeyFormatType::$format)|+ => Codec::decode(item, context).map(Self::$variant),)+
                    other => Err(DecodeError::new(item.offset, DecodeErrorKind::UnknownEnumeration(other.number()))
                        .within(item.tag)),
                }
            }

            pub(super) fn encode(&self, writer: &mut Writer) {
                match self {
                    Self::Bytes(bytes) => bytes.encode(Tag::KEY_MATERIAL, writer),
                    $(Self::$variant(key) => key.encode(Tag::KEY_MATERIAL, writer),)+
                }
            }

            #[cfg(test)]
            pub(super) fn sample(format: KeyFormatType, seeds: &mut crate::fuzzing::Seeds, version: crate::ProtocolVersion) -> Self {
                match format {
                    $($(KeyFormatType::$format)|+ => Self::$variant(crate::fuzzing::Sample::sample(seeds, version)),)+
                    _ => Self::Bytes(crate::fuzzing::Sample::sample(seeds, version)),
                }
            }
        }
    };
}

materials! {
    Symmetric  TransparentSymmetricKey:  TRANSPARENT_SYMMETRIC_KEY;
    DsaPrivate TransparentDsaPrivateKey: TRANSPARENT_DSA_PRIVATE_KEY;
    DsaPublic  TransparentDsaPublicKey:  TRANSPARENT_DSA_PUBLIC_KEY;
    RsaPrivate TransparentRsaPrivateKey: TRANSPARENT_RSA_PRIVATE_KEY;
    RsaPublic  TransparentRsaPublicKey:  TRANSPARENT_RSA_PUBLIC_KEY;
    DhPrivate  TransparentDhPrivateKey:  TRANSPARENT_DH_PRIVATE_KEY;
    DhPublic   TransparentDhPublicKey:   TRANSPARENT_DH_PUBLIC_KEY;
    EcPrivate  TransparentEcPrivateKey:  TRANSPARENT_EC_PRIVATE_KEY | TRANSPARENT_ECDSA_PRIVATE_KEY
                                       | TRANSPARENT_ECDH_PRIVATE_KEY | TRANSPARENT_ECMQV_PRIVATE_KEY;
    EcPublic   TransparentEcPublicKey:   TRANSPARENT_EC_PUBLIC_KEY | TRANSPARENT_ECDSA_PUBLIC_KEY
                                       | TRANSPARENT_ECDH_PUBLIC_KEY | TRANSPARENT_ECMQV_PUBLIC_KEY;
}
