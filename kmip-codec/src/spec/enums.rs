//! Every enumeration of every version (KMIP 1.0 §9.1.3.2 and its successors).
//!
//! Enumerations are open: a number that no row has, an extension (8xxxxxxx) or one of a later version, is an ordinary
//! value and is written back unchanged. Where versions spell the name of one number differently there is a row for each
//! spelling; the newest gives the constant.

use std::fmt;

use crate::codec::Codec;
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, ItemType, Value, Writer, wrong_type};
use crate::version::{ProtocolVersion, VersionRange, versions};

/// One row of an enumeration or mask.
#[derive(Clone, Copy, Debug)]
pub struct EnumRow {
    /// The number on the wire, or the bit.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// The versions that define it under this name.
    pub versions: VersionRange,
}

/// One enumeration or mask with all its rows.
#[derive(Clone, Copy, Debug)]
pub struct EnumTable {
    /// Its name.
    pub name: &'static str,
    /// Its rows, in the order of the numbers.
    pub rows: &'static [EnumRow],
}

macro_rules! enumeration {
    (@constant _ $number:literal $name:literal) => {};
    (@constant $constant:ident $number:literal $name:literal) => {
        #[doc = concat!($name, ", ", stringify!($number), ".")]
        pub const $constant: Self = Self($number);
    };
    ($(#[$meta:meta])* $type:ident $title:literal {
        $($constant:tt $number:literal $name:literal [$($versions:tt)+];)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(u32);

        impl $type {
            $(enumeration!(@constant $constant $number $name);)*

            /// The rows of this enumeration, in the order of the numbers.
            pub const ROWS: &'static [EnumRow] = &[
                $(EnumRow { number: $number, name: $name, versions: versions!($($versions)+) },)*
            ];

            /// The value with this number, known or not.
            pub const fn from_number(number: u32) -> Self {
                Self(number)
            }

            /// The number on the wire.
            pub const fn number(self) -> u32 {
                self.0
            }

            /// The name `version` gives this value, if it defines it.
            pub fn name(self, version: ProtocolVersion) -> Option<&'static str> {
                Self::ROWS
                    .iter()
                    .find(|row| row.number == self.0 && row.versions.contains(version))
                    .map(|row| row.name)
            }

            /// The value that `version` calls by this name.
            pub fn from_name(name: &str, version: ProtocolVersion) -> Option<Self> {
                Self::ROWS
                    .iter()
                    .find(|row| row.name == name && row.versions.contains(version))
                    .map(|row| Self(row.number))
            }

            /// Tells whether `version` defines this value; extensions (8xxxxxxx) are defined by nobody.
            pub fn is_defined(self, version: ProtocolVersion) -> bool {
                self.name(version).is_some()
            }
        }

        impl Codec for $type {
            fn decode(item: &Item<'_>, _: Context) -> Result<Self, DecodeError> {
                match item.value {
                    Value::Enumeration(number) => Ok(Self(number)),
                    _ => Err(wrong_type(item, ItemType::Enumeration)),
                }
            }

            fn encode(&self, tag: Tag, writer: &mut Writer) {
                writer.enumeration(tag, self.0);
            }
        }

        impl Sample for $type {
            fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
                Self(seeds.row(Self::ROWS, version))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match Self::ROWS.iter().find(|row| row.number == self.0) {
                    Some(row) => f.write_str(row.name),
                    None => write!(f, "{:08X}", self.0),
                }
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

enumeration! {
    /// Adjustment Type, as KMIP 2.0 introduced it.
    AdjustmentType "AdjustmentType" {
        INCREMENT 0x0000_0001 "Increment" [V2_0..];
        DECREMENT 0x0000_0002 "Decrement" [V2_0..];
        NEGATE    0x0000_0003 "Negate"    [V2_0..];
    }
}

enumeration! {
    /// Alternative Name Type, as KMIP 1.2 introduced it.
    AlternativeNameType "AlternativeNameType" {
        UNINTERPRETED_TEXT_STRING 0x0000_0001 "UninterpretedTextString" [V1_2..];
        URI                       0x0000_0002 "URI"                     [V1_2..];
        OBJECT_SERIAL_NUMBER      0x0000_0003 "ObjectSerialNumber"      [V1_2..];
        EMAIL_ADDRESS             0x0000_0004 "EmailAddress"            [V1_2..];
        DNS_NAME                  0x0000_0005 "DNSName"                 [V1_2..];
        X_500_DISTINGUISHED_NAME  0x0000_0006 "X_500DistinguishedName"  [V1_2..];
        IP_ADDRESS                0x0000_0007 "IPAddress"               [V1_2..];
    }
}

enumeration! {
    /// Asynchronous Indicator, as KMIP 2.0 introduced it.
    AsynchronousIndicator "AsynchronousIndicator" {
        MANDATORY  0x0000_0001 "Mandatory"  [V2_0..];
        OPTIONAL   0x0000_0002 "Optional"   [V2_0..];
        PROHIBITED 0x0000_0003 "Prohibited" [V2_0..];
    }
}

enumeration! {
    /// Attestation Type, as KMIP 1.2 introduced it.
    AttestationType "AttestationType" {
        TPM_QUOTE            0x0000_0001 "TPMQuote"           [V1_2..];
        TCG_INTEGRITY_REPORT 0x0000_0002 "TCGIntegrityReport" [V1_2..];
        SAML_ASSERTION       0x0000_0003 "SAMLAssertion"      [V1_2..];
    }
}

enumeration! {
    /// Batch Error Continuation Option, as KMIP 1.0 introduced it.
    BatchErrorContinuationOption "BatchErrorContinuationOption" {
        CONTINUE 0x0000_0001 "Continue" [V1_0..];
        STOP     0x0000_0002 "Stop"     [V1_0..];
        UNDO     0x0000_0003 "Undo"     [V1_0..];
    }
}

enumeration! {
    /// Block Cipher Mode, as KMIP 1.0 introduced it.
    BlockCipherMode "BlockCipherMode" {
        CBC                  0x0000_0001 "CBC"               [V1_0..];
        ECB                  0x0000_0002 "ECB"               [V1_0..];
        PCBC                 0x0000_0003 "PCBC"              [V1_0..];
        CFB                  0x0000_0004 "CFB"               [V1_0..];
        OFB                  0x0000_0005 "OFB"               [V1_0..];
        CTR                  0x0000_0006 "CTR"               [V1_0..];
        CMAC                 0x0000_0007 "CMAC"              [V1_0..];
        CCM                  0x0000_0008 "CCM"               [V1_0..];
        GCM                  0x0000_0009 "GCM"               [V1_0..];
        CBC_MAC              0x0000_000A "CBC_MAC"           [V1_0..];
        XTS                  0x0000_000B "XTS"               [V1_0..];
        AES_KEY_WRAP_PADDING 0x0000_000C "AESKeyWrapPadding" [V1_0..];
        NIST_KEY_WRAP        0x0000_000D "NISTKeyWrap"       [V1_0..];
        X9_102AESKW          0x0000_000E "X9_102AESKW"       [V1_0..];
        X9_102TDKW           0x0000_000F "X9_102TDKW"        [V1_0..];
        X9_102AKW1           0x0000_0010 "X9_102AKW1"        [V1_0..];
        X9_102AKW2           0x0000_0011 "X9_102AKW2"        [V1_0..];
        AEAD                 0x0000_0012 "AEAD"              [V1_4..];
    }
}

enumeration! {
    /// Cancellation Result, as KMIP 1.0 introduced it.
    CancellationResult "CancellationResult" {
        CANCELED         0x0000_0001 "Canceled"       [V1_0..];
        UNABLE_TO_CANCEL 0x0000_0002 "UnableToCancel" [V1_0..];
        COMPLETED        0x0000_0003 "Completed"      [V1_0..];
        FAILED           0x0000_0004 "Failed"         [V1_0..];
        UNAVAILABLE      0x0000_0005 "Unavailable"    [V1_0..];
    }
}

enumeration! {
    /// Certificate Request Type, as KMIP 1.0 introduced it.
    CertificateRequestType "CertificateRequestType" {
        CRMF    0x0000_0001 "CRMF"    [V1_0..];
        PKCS_10 0x0000_0002 "PKCS_10" [V1_0..];
        PEM     0x0000_0003 "PEM"     [V1_0..];
        PGP     0x0000_0004 "PGP"     [V1_0..=V1_4];
    }
}

enumeration! {
    /// Certificate Type, as KMIP 1.0 introduced it.
    CertificateType "CertificateType" {
        X_509 0x0000_0001 "X_509" [V1_0..];
        PGP   0x0000_0002 "PGP"   [V1_0..];
    }
}

enumeration! {
    /// Client Registration Method, as KMIP 1.3 introduced it.
    ClientRegistrationMethod "ClientRegistrationMethod" {
        UNSPECIFIED          0x0000_0001 "Unspecified"        [V1_3..];
        SERVER_PRE_GENERATED 0x0000_0002 "ServerPreGenerated" [V1_3..];
        SERVER_ON_DEMAND     0x0000_0003 "ServerOnDemand"     [V1_3..];
        CLIENT_GENERATED     0x0000_0004 "ClientGenerated"    [V1_3..];
        CLIENT_REGISTERED    0x0000_0005 "ClientRegistered"   [V1_3..];
    }
}

enumeration! {
    /// Credential Type, as KMIP 1.0 introduced it.
    CredentialType "CredentialType" {
        USERNAME_AND_PASSWORD 0x0000_0001 "UsernameAndPassword" [V1_0..];
        DEVICE                0x0000_0002 "Device"              [V1_1..];
        ATTESTATION           0x0000_0003 "Attestation"         [V1_2..];
        ONE_TIME_PASSWORD     0x0000_0004 "OneTimePassword"     [V2_0..];
        HASHED_PASSWORD       0x0000_0005 "HashedPassword"      [V2_0..];
        TICKET                0x0000_0006 "Ticket"              [V2_0..];
        PASSWORD              0x0000_0007 "Password"            [V3_0..];
        CERTIFICATE           0x0000_0008 "Certificate"         [V3_0..];
    }
}

enumeration! {
    /// Cryptographic Algorithm, as KMIP 1.0 introduced it.
    CryptographicAlgorithm "CryptographicAlgorithm" {
        DES                0x0000_0001 "DES"                [V1_0..];
        DES3               0x0000_0002 "DES3"               [V1_0..];
        AES                0x0000_0003 "AES"                [V1_0..];
        RSA                0x0000_0004 "RSA"                [V1_0..];
        DSA                0x0000_0005 "DSA"                [V1_0..];
        ECDSA              0x0000_0006 "ECDSA"              [V1_0..];
        HMAC_SHA1          0x0000_0007 "HMAC_SHA1"          [V1_0..];
        HMAC_SHA224        0x0000_0008 "HMAC_SHA224"        [V1_0..];
        HMAC_SHA256        0x0000_0009 "HMAC_SHA256"        [V1_0..];
        HMAC_SHA384        0x0000_000A "HMAC_SHA384"        [V1_0..];
        HMAC_SHA512        0x0000_000B "HMAC_SHA512"        [V1_0..];
        HMAC_MD5           0x0000_000C "HMAC_MD5"           [V1_0..];
        DH                 0x0000_000D "DH"                 [V1_0..];
        ECDH               0x0000_000E "ECDH"               [V1_0..];
        ECMQV              0x0000_000F "ECMQV"              [V1_0..];
        BLOWFISH           0x0000_0010 "Blowfish"           [V1_0..];
        CAMELLIA           0x0000_0011 "Camellia"           [V1_0..];
        CAST5              0x0000_0012 "CAST5"              [V1_0..];
        IDEA               0x0000_0013 "IDEA"               [V1_0..];
        MARS               0x0000_0014 "MARS"               [V1_0..];
        RC2                0x0000_0015 "RC2"                [V1_0..];
        RC4                0x0000_0016 "RC4"                [V1_0..];
        RC5                0x0000_0017 "RC5"                [V1_0..];
        SKIPJACK           0x0000_0018 "SKIPJACK"           [V1_0..];
        TWOFISH            0x0000_0019 "Twofish"            [V1_0..];
        EC                 0x0000_001A "EC"                 [V1_2..];
        ONE_TIME_PAD       0x0000_001B "OneTimePad"         [V1_3..];
        CHA_CHA20          0x0000_001C "ChaCha20"           [V1_4..];
        POLY1305           0x0000_001D "Poly1305"           [V1_4..];
        CHA_CHA20_POLY1305 0x0000_001E "ChaCha20Poly1305"   [V1_4..];
        SHA3_224           0x0000_001F "SHA3_224"           [V1_4..];
        SHA3_256           0x0000_0020 "SHA3_256"           [V1_4..];
        SHA3_384           0x0000_0021 "SHA3_384"           [V1_4..];
        SHA3_512           0x0000_0022 "SHA3_512"           [V1_4..];
        HMAC_SHA3_224      0x0000_0023 "HMAC_SHA3_224"      [V1_4..];
        HMAC_SHA3_256      0x0000_0024 "HMAC_SHA3_256"      [V1_4..];
        HMAC_SHA3_384      0x0000_0025 "HMAC_SHA3_384"      [V1_4..];
        HMAC_SHA3_512      0x0000_0026 "HMAC_SHA3_512"      [V1_4..];
        SHAKE_128          0x0000_0027 "SHAKE_128"          [V1_4..];
        SHAKE_256          0x0000_0028 "SHAKE_256"          [V1_4..];
        ARIA               0x0000_0029 "ARIA"               [V2_0..];
        SEED               0x0000_002A "SEED"               [V2_0..];
        SM2                0x0000_002B "SM2"                [V2_0..];
        SM3                0x0000_002C "SM3"                [V2_0..];
        SM4                0x0000_002D "SM4"                [V2_0..];
        GOSTR34_10_2012    0x0000_002E "GOSTR34_10_2012"    [V2_0..];
        GOSTR34_11_2012    0x0000_002F "GOSTR34_11_2012"    [V2_0..];
        GOSTR34_13_2015    0x0000_0030 "GOSTR34_13_2015"    [V2_0..];
        GOST28147_89       0x0000_0031 "GOST28147_89"       [V2_0..];
        XMSS               0x0000_0032 "XMSS"               [V2_0..];
        SPHINCS_256        0x0000_0033 "SPHINCS_256"        [V2_0..];
        MC_ELIECE          0x0000_0034 "McEliece"           [V2_0..];
        MC_ELIECE_6960119  0x0000_0035 "McEliece_6960119"   [V2_0..];
        MC_ELIECE_8192128  0x0000_0036 "McEliece_8192128"   [V2_0..];
        ED25519            0x0000_0037 "Ed25519"            [V2_0..];
        ED448              0x0000_0038 "Ed448"              [V2_0..];
        ML_KEM_512         0x0000_0039 "ML_KEM_512"         [V3_0..];
        ML_KEM_768         0x0000_003A "ML_KEM_768"         [V3_0..];
        ML_KEM_1024        0x0000_003B "ML_KEM_1024"        [V3_0..];
        ML_DSA_44          0x0000_003C "ML_DSA_44"          [V3_0..];
        ML_DSA_65          0x0000_003D "ML_DSA_65"          [V3_0..];
        ML_DSA_87          0x0000_003E "ML_DSA_87"          [V3_0..];
        SLH_DSA_SHA2_128S  0x0000_003F "SLH_DSA_SHA2_128s"  [V3_0..];
        SLH_DSA_SHA2_128F  0x0000_0040 "SLH_DSA_SHA2_128f"  [V3_0..];
        SLH_DSA_SHA2_192S  0x0000_0041 "SLH_DSA_SHA2_192s"  [V3_0..];
        SLH_DSA_SHA2_192F  0x0000_0042 "SLH_DSA_SHA2_192f"  [V3_0..];
        SLH_DSA_SHA2_256S  0x0000_0043 "SLH_DSA_SHA2_256s"  [V3_0..];
        SLH_DSA_SHA2_256F  0x0000_0044 "SLH_DSA_SHA2_256f"  [V3_0..];
        SLH_DSA_SHAKE_128S 0x0000_0045 "SLH_DSA_SHAKE_128s" [V3_0..];
        SLH_DSA_SHAKE_128F 0x0000_0046 "SLH_DSA_SHAKE_128f" [V3_0..];
        SLH_DSA_SHAKE_192S 0x0000_0047 "SLH_DSA_SHAKE_192s" [V3_0..];
        SLH_DSA_SHAKE_192F 0x0000_0048 "SLH_DSA_SHAKE_192f" [V3_0..];
        SLH_DSA_SHAKE_256S 0x0000_0049 "SLH_DSA_SHAKE_256s" [V3_0..];
        SLH_DSA_SHAKE_256F 0x0000_004A "SLH_DSA_SHAKE_256f" [V3_0..];
    }
}

enumeration! {
    /// DRBG Algorithm, as KMIP 1.3 introduced it.
    DrbgAlgorithm "DRBGAlgorithm" {
        UNSPECIFIED 0x0000_0001 "Unspecified" [V1_3..];
        DUAL_EC     0x0000_0002 "Dual_EC"     [V1_3..];
        HASH        0x0000_0003 "Hash"        [V1_3..];
        HMAC        0x0000_0004 "HMAC"        [V1_3..];
        CTR         0x0000_0005 "CTR"         [V1_3..];
    }
}

enumeration! {
    /// Data, as KMIP 2.0 introduced it.
    DataEnumeration "Data" {
        DECRYPT             0x0000_0001 "Decrypt"           [V2_0..];
        ENCRYPT             0x0000_0002 "Encrypt"           [V2_0..];
        HASH                0x0000_0003 "Hash"              [V2_0..];
        MAC_MAC_DATA        0x0000_0004 "MACMACData"        [V2_0..];
        RNG_RETRIEVE        0x0000_0005 "RNGRetrieve"       [V2_0..];
        SIGN_SIGNATURE_DATA 0x0000_0006 "SignSignatureData" [V2_0..];
        SIGNATURE_VERIFY    0x0000_0007 "SignatureVerify"   [V2_0..];
    }
}

enumeration! {
    /// Deactivation Reason Code, as KMIP 3.0 introduced it.
    DeactivationReasonCode "DeactivationReasonCode" {
        UNSPECIFIED       0x0000_0001 "Unspecified"      [V3_0..];
        DEACTIVATION_DATE 0x0000_0002 "DeactivationDate" [V3_0..];
        PROTECT_STOP_DATE 0x0000_0003 "ProtectStopDate"  [V3_0..];
        USAGE_LIMIT       0x0000_0004 "UsageLimit"       [V3_0..];
    }
}

enumeration! {
    /// Derivation Method, as KMIP 1.0 introduced it.
    DerivationMethod "DerivationMethod" {
        PBKDF2                 0x0000_0001 "PBKDF2"               [V1_0..];
        HASH                   0x0000_0002 "HASH"                 [V1_0..];
        HMAC                   0x0000_0003 "HMAC"                 [V1_0..];
        ENCRYPT                0x0000_0004 "ENCRYPT"              [V1_0..];
        NIST800_108_C          0x0000_0005 "NIST800_108_C"        [V1_0..];
        NIST800_108_F          0x0000_0006 "NIST800_108_F"        [V1_0..];
        NIST800_108_DPI        0x0000_0007 "NIST800_108_DPI"      [V1_0..];
        ASYMMETRIC_KEY         0x0000_0008 "AsymmetricKey"        [V1_4..];
        AWS_SIGNATURE_VERSION4 0x0000_0009 "AWSSignatureVersion4" [V2_0..];
        HKDF                   0x0000_000A "HKDF"                 [V2_0..];
    }
}

enumeration! {
    /// Destroy Action, as KMIP 1.3 introduced it.
    DestroyAction "DestroyAction" {
        UNSPECIFIED           0x0000_0001 "Unspecified"         [V1_3..];
        KEY_MATERIAL_DELETED  0x0000_0002 "KeyMaterialDeleted"  [V1_3..];
        KEY_MATERIAL_SHREDDED 0x0000_0003 "KeyMaterialShredded" [V1_3..];
        META_DATA_DELETED     0x0000_0004 "MetaDataDeleted"     [V1_3..];
        META_DATA_SHREDDED    0x0000_0005 "MetaDataShredded"    [V1_3..];
        DELETED               0x0000_0006 "Deleted"             [V1_3..];
        SHREDDED              0x0000_0007 "Shredded"            [V1_3..];
    }
}

enumeration! {
    /// Digital Signature Algorithm, as KMIP 1.1 introduced it.
    DigitalSignatureAlgorithm "DigitalSignatureAlgorithm" {
        MD2_WITH_RSA_ENCRYPTION      0x0000_0001 "MD2WithRSAEncryption"               [V2_0..];
        _                            0x0000_0001 "MD2WithRSAEncryptionPKCS_1V1_5"     [V1_1..=V1_4];
        MD5_WITH_RSA_ENCRYPTION      0x0000_0002 "MD5WithRSAEncryption"               [V2_0..];
        _                            0x0000_0002 "MD5WithRSAEncryptionPKCS_1V1_5"     [V1_1..=V1_4];
        SHA_1_WITH_RSA_ENCRYPTION    0x0000_0003 "SHA_1WithRSAEncryption"             [V2_0..];
        _                            0x0000_0003 "SHA_1WithRSAEncryptionPKCS_1V1_5"   [V1_1..=V1_4];
        SHA_224_WITH_RSA_ENCRYPTION  0x0000_0004 "SHA_224WithRSAEncryption"           [V2_0..];
        _                            0x0000_0004 "SHA_224WithRSAEncryptionPKCS_1V1_5" [V1_1..=V1_4];
        SHA_256_WITH_RSA_ENCRYPTION  0x0000_0005 "SHA_256WithRSAEncryption"           [V2_0..];
        _                            0x0000_0005 "SHA_256WithRSAEncryptionPKCS_1V1_5" [V1_1..=V1_4];
        SHA_384_WITH_RSA_ENCRYPTION  0x0000_0006 "SHA_384WithRSAEncryption"           [V2_0..];
        _                            0x0000_0006 "SHA_384WithRSAEncryptionPKCS_1V1_5" [V1_1..=V1_4];
        SHA_512_WITH_RSA_ENCRYPTION  0x0000_0007 "SHA_512WithRSAEncryption"           [V2_0..];
        _                            0x0000_0007 "SHA_512WithRSAEncryptionPKCS_1V1_5" [V1_1..=V1_4];
        RSASSA_PSS                   0x0000_0008 "RSASSA_PSS"                         [V2_0..];
        _                            0x0000_0008 "RSASSA_PSSPKCS_1V2_1"               [V1_1..=V1_4];
        DSA_WITH_SHA_1               0x0000_0009 "DSAWithSHA_1"                       [V1_1..];
        DSA_WITH_SHA224              0x0000_000A "DSAWithSHA224"                      [V1_1..];
        DSA_WITH_SHA256              0x0000_000B "DSAWithSHA256"                      [V1_1..];
        ECDSA_WITH_SHA_1             0x0000_000C "ECDSAWithSHA_1"                     [V1_1..];
        ECDSA_WITH_SHA224            0x0000_000D "ECDSAWithSHA224"                    [V1_1..];
        ECDSA_WITH_SHA256            0x0000_000E "ECDSAWithSHA256"                    [V1_1..];
        ECDSA_WITH_SHA384            0x0000_000F "ECDSAWithSHA384"                    [V1_1..];
        ECDSA_WITH_SHA512            0x0000_0010 "ECDSAWithSHA512"                    [V1_1..];
        SHA3_256_WITH_RSA_ENCRYPTION 0x0000_0011 "SHA3_256WithRSAEncryption"          [V1_4..];
        SHA3_384_WITH_RSA_ENCRYPTION 0x0000_0012 "SHA3_384WithRSAEncryption"          [V1_4..];
        SHA3_512_WITH_RSA_ENCRYPTION 0x0000_0013 "SHA3_512WithRSAEncryption"          [V1_4..];
    }
}

enumeration! {
    /// Encoding Option, as KMIP 1.1 introduced it.
    EncodingOption "EncodingOption" {
        NO_ENCODING   0x0000_0001 "NoEncoding"   [V1_1..];
        TTLV_ENCODING 0x0000_0002 "TTLVEncoding" [V1_1..];
    }
}

enumeration! {
    /// Endpoint Role, as KMIP 2.0 introduced it.
    EndpointRole "EndpointRole" {
        CLIENT 0x0000_0001 "Client" [V2_0..];
        SERVER 0x0000_0002 "Server" [V2_0..];
    }
}

enumeration! {
    /// Ephemeral, as KMIP 3.0 introduced it.
    Ephemeral "Ephemeral" {
        DATA              0x0000_0001 "Data"             [V3_0..];
        EMPTY             0x0000_0002 "Empty"            [V3_0..];
        UNIQUE_IDENTIFIER 0x0000_0003 "UniqueIdentifier" [V3_0..];
    }
}

enumeration! {
    /// FIPS186Variation, as KMIP 1.3 introduced it.
    Fips186Variation "FIPS186Variation" {
        UNSPECIFIED       0x0000_0001 "Unspecified"     [V1_3..];
        GPX_ORIGINAL      0x0000_0002 "GPXOriginal"     [V1_3..];
        GPX_CHANGE_NOTICE 0x0000_0003 "GPXChangeNotice" [V1_3..];
        X_ORIGINAL        0x0000_0004 "XOriginal"       [V1_3..];
        X_CHANGE_NOTICE   0x0000_0005 "XChangeNotice"   [V1_3..];
        K_ORIGINAL        0x0000_0006 "KOriginal"       [V1_3..];
        K_CHANGE_NOTICE   0x0000_0007 "KChangeNotice"   [V1_3..];
    }
}

enumeration! {
    /// Hashing Algorithm, as KMIP 1.0 introduced it.
    HashingAlgorithm "HashingAlgorithm" {
        MD2         0x0000_0001 "MD2"         [V1_0..];
        MD4         0x0000_0002 "MD4"         [V1_0..];
        MD5         0x0000_0003 "MD5"         [V1_0..];
        SHA_1       0x0000_0004 "SHA_1"       [V1_0..];
        SHA_224     0x0000_0005 "SHA_224"     [V1_0..];
        SHA_256     0x0000_0006 "SHA_256"     [V1_0..];
        SHA_384     0x0000_0007 "SHA_384"     [V1_0..];
        SHA_512     0x0000_0008 "SHA_512"     [V1_0..];
        RIPEMD_160  0x0000_0009 "RIPEMD_160"  [V1_0..];
        TIGER       0x0000_000A "Tiger"       [V1_0..];
        WHIRLPOOL   0x0000_000B "Whirlpool"   [V1_0..];
        SHA_512_224 0x0000_000C "SHA_512_224" [V1_2..];
        SHA_512_256 0x0000_000D "SHA_512_256" [V1_2..];
        SHA3_224    0x0000_000E "SHA3_224"    [V2_0..];
        _           0x0000_000E "SHA_3_224"   [V1_4..=V1_4];
        SHA3_256    0x0000_000F "SHA3_256"    [V2_0..];
        _           0x0000_000F "SHA_3_256"   [V1_4..=V1_4];
        SHA3_384    0x0000_0010 "SHA3_384"    [V2_0..];
        _           0x0000_0010 "SHA_3_384"   [V1_4..=V1_4];
        SHA3_512    0x0000_0011 "SHA3_512"    [V2_0..];
        _           0x0000_0011 "SHA_3_512"   [V1_4..=V1_4];
    }
}

enumeration! {
    /// Interop Function, as KMIP 2.0 introduced it.
    InteropFunction "InteropFunction" {
        BEGIN 0x0000_0001 "Begin" [V2_0..];
        END   0x0000_0002 "End"   [V2_0..];
        RESET 0x0000_0003 "Reset" [V2_0..];
    }
}

enumeration! {
    /// Item Type, as KMIP 2.0 introduced it.
    ItemTypeEnumeration "ItemType" {
        STRUCTURE          0x0000_0001 "Structure"        [V2_0..];
        INTEGER            0x0000_0002 "Integer"          [V2_0..];
        LONG_INTEGER       0x0000_0003 "LongInteger"      [V2_0..];
        BIG_INTEGER        0x0000_0004 "BigInteger"       [V2_0..];
        ENUMERATION        0x0000_0005 "Enumeration"      [V2_0..];
        BOOLEAN            0x0000_0006 "Boolean"          [V2_0..];
        TEXT_STRING        0x0000_0007 "TextString"       [V2_0..];
        BYTE_STRING        0x0000_0008 "ByteString"       [V2_0..];
        DATE_TIME          0x0000_0009 "DateTime"         [V2_0..];
        INTERVAL           0x0000_000A "Interval"         [V2_0..];
        DATE_TIME_EXTENDED 0x0000_000B "DateTimeExtended" [V2_0..];
        IDENTIFIER         0x0000_000C "Identifier"       [V3_0..];
        REFERENCE          0x0000_000D "Reference"        [V3_0..];
        NAME_REFERENCE     0x0000_000E "NameReference"    [V3_0..];
    }
}

enumeration! {
    /// Key Compression Type, as KMIP 1.0 introduced it.
    KeyCompressionType "KeyCompressionType" {
        EC_PUBLIC_KEY_TYPE_UNCOMPRESSED           0x0000_0001 "ECPublicKeyTypeUncompressed"         [V1_0..];
        EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME 0x0000_0002 "ECPublicKeyTypeX9_62CompressedPrime" [V1_0..];
        EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_CHAR2 0x0000_0003 "ECPublicKeyTypeX9_62CompressedChar2" [V1_0..];
        EC_PUBLIC_KEY_TYPE_X9_62_HYBRID           0x0000_0004 "ECPublicKeyTypeX9_62Hybrid"          [V1_0..];
    }
}

enumeration! {
    /// Key Format Type, as KMIP 1.0 introduced it.
    KeyFormatType "KeyFormatType" {
        RAW                           0x0000_0001 "Raw"                        [V1_0..];
        OPAQUE                        0x0000_0002 "Opaque"                     [V1_0..];
        PKCS_1                        0x0000_0003 "PKCS_1"                     [V1_0..];
        PKCS_8                        0x0000_0004 "PKCS_8"                     [V1_0..];
        X_509                         0x0000_0005 "X_509"                      [V1_0..];
        EC_PRIVATE_KEY                0x0000_0006 "ECPrivateKey"               [V1_0..];
        TRANSPARENT_SYMMETRIC_KEY     0x0000_0007 "TransparentSymmetricKey"    [V1_0..];
        TRANSPARENT_DSA_PRIVATE_KEY   0x0000_0008 "TransparentDSAPrivateKey"   [V1_0..];
        TRANSPARENT_DSA_PUBLIC_KEY    0x0000_0009 "TransparentDSAPublicKey"    [V1_0..];
        TRANSPARENT_RSA_PRIVATE_KEY   0x0000_000A "TransparentRSAPrivateKey"   [V1_0..];
        TRANSPARENT_RSA_PUBLIC_KEY    0x0000_000B "TransparentRSAPublicKey"    [V1_0..];
        TRANSPARENT_DH_PRIVATE_KEY    0x0000_000C "TransparentDHPrivateKey"    [V1_0..];
        TRANSPARENT_DH_PUBLIC_KEY     0x0000_000D "TransparentDHPublicKey"     [V1_0..];
        TRANSPARENT_ECDSA_PRIVATE_KEY 0x0000_000E "TransparentECDSAPrivateKey" [V1_0..=V1_4];
        TRANSPARENT_ECDSA_PUBLIC_KEY  0x0000_000F "TransparentECDSAPublicKey"  [V1_0..=V1_4];
        TRANSPARENT_ECDH_PRIVATE_KEY  0x0000_0010 "TransparentECDHPrivateKey"  [V1_0..=V1_4];
        TRANSPARENT_ECDH_PUBLIC_KEY   0x0000_0011 "TransparentECDHPublicKey"   [V1_0..=V1_4];
        TRANSPARENT_ECMQV_PRIVATE_KEY 0x0000_0012 "TransparentECMQVPrivateKey" [V1_0..=V1_4];
        TRANSPARENT_ECMQV_PUBLIC_KEY  0x0000_0013 "TransparentECMQVPublicKey"  [V1_0..=V1_4];
        TRANSPARENT_EC_PRIVATE_KEY    0x0000_0014 "TransparentECPrivateKey"    [V1_3..];
        TRANSPARENT_EC_PUBLIC_KEY     0x0000_0015 "TransparentECPublicKey"     [V1_3..];
        PKCS_12                       0x0000_0016 "PKCS_12"                    [V1_4..];
        PKCS_10                       0x0000_0017 "PKCS_10"                    [V2_0..];
    }
}

enumeration! {
    /// Key Role Type, as KMIP 1.0 introduced it.
    KeyRoleType "KeyRoleType" {
        BDK      0x0000_0001 "BDK"      [V1_0..];
        CVK      0x0000_0002 "CVK"      [V1_0..];
        DEK      0x0000_0003 "DEK"      [V1_0..];
        MKAC     0x0000_0004 "MKAC"     [V1_0..];
        MKSMC    0x0000_0005 "MKSMC"    [V1_0..];
        MKSMI    0x0000_0006 "MKSMI"    [V1_0..];
        MKDAC    0x0000_0007 "MKDAC"    [V1_0..];
        MKDN     0x0000_0008 "MKDN"     [V1_0..];
        MKCP     0x0000_0009 "MKCP"     [V1_0..];
        MKOTH    0x0000_000A "MKOTH"    [V1_0..];
        KEK      0x0000_000B "KEK"      [V1_0..];
        MAC16609 0x0000_000C "MAC16609" [V1_0..];
        MAC97971 0x0000_000D "MAC97971" [V1_0..];
        MAC97972 0x0000_000E "MAC97972" [V1_0..];
        MAC97973 0x0000_000F "MAC97973" [V1_0..];
        MAC97974 0x0000_0010 "MAC97974" [V1_0..];
        MAC97975 0x0000_0011 "MAC97975" [V1_0..];
        ZPK      0x0000_0012 "ZPK"      [V1_0..];
        PVKIBM   0x0000_0013 "PVKIBM"   [V1_0..];
        PVKPVV   0x0000_0014 "PVKPVV"   [V1_0..];
        PVKOTH   0x0000_0015 "PVKOTH"   [V1_0..];
        DUKPT    0x0000_0016 "DUKPT"    [V1_4..];
        IV       0x0000_0017 "IV"       [V1_4..];
        TRKBK    0x0000_0018 "TRKBK"    [V1_4..];
    }
}

enumeration! {
    /// Key Value Location Type, as KMIP 1.2 introduced it.
    KeyValueLocationType "KeyValueLocationType" {
        UNINTERPRETED_TEXT_STRING 0x0000_0001 "UninterpretedTextString" [V1_2..];
        URI                       0x0000_0002 "URI"                     [V1_2..];
    }
}

enumeration! {
    /// Key Wrap Type, as KMIP 1.4 introduced it.
    KeyWrapType "KeyWrapType" {
        NOT_WRAPPED   0x0000_0001 "NotWrapped"   [V1_4..];
        AS_REGISTERED 0x0000_0002 "AsRegistered" [V1_4..];
    }
}

enumeration! {
    /// Link Type, as KMIP 1.0 introduced it.
    LinkType "LinkType" {
        CERTIFICATE_LINK            0x0000_0101 "CertificateLink"          [V1_0..=V2_1];
        PUBLIC_KEY_LINK             0x0000_0102 "PublicKeyLink"            [V1_0..=V2_1];
        PRIVATE_KEY_LINK            0x0000_0103 "PrivateKeyLink"           [V1_0..=V2_1];
        DERIVATION_BASE_OBJECT_LINK 0x0000_0104 "DerivationBaseObjectLink" [V1_0..=V2_1];
        DERIVED_KEY_LINK            0x0000_0105 "DerivedKeyLink"           [V1_0..=V2_1];
        REPLACEMENT_OBJECT_LINK     0x0000_0106 "ReplacementObjectLink"    [V1_0..=V2_1];
        REPLACED_OBJECT_LINK        0x0000_0107 "ReplacedObjectLink"       [V1_0..=V2_1];
        PARENT_LINK                 0x0000_0108 "ParentLink"               [V1_2..=V2_1];
        CHILD_LINK                  0x0000_0109 "ChildLink"                [V1_2..=V2_1];
        PREVIOUS_LINK               0x0000_010A "PreviousLink"             [V1_2..=V2_1];
        NEXT_LINK                   0x0000_010B "NextLink"                 [V1_2..=V2_1];
        PKCS_12_CERTIFICATE_LINK    0x0000_010C "PKCS_12CertificateLink"   [V1_4..=V2_1];
        PKCS_12_PASSWORD_LINK       0x0000_010D "PKCS_12PasswordLink"      [V1_4..=V2_1];
        WRAPPING_KEY_LINK           0x0000_010E "WrappingKeyLink"          [V2_0..=V2_1];
    }
}

enumeration! {
    /// Mask Generator, as KMIP 1.4 introduced it.
    MaskGenerator "MaskGenerator" {
        MGF1 0x0000_0001 "MGF1" [V1_4..];
        _    0x0000_0001 "MFG1" [V2_0..];
    }
}

enumeration! {
    /// NIST Key Type, as KMIP 2.0 introduced it.
    NistKeyType "NISTKeyType" {
        PRIVATE_SIGNATURE_KEY                  0x0000_0001 "PrivateSignatureKey"                [V2_0..];
        PUBLIC_SIGNATURE_VERIFICATION_KEY      0x0000_0002 "PublicSignatureVerificationKey"     [V2_0..];
        SYMMETRIC_AUTHENTICATION_KEY           0x0000_0003 "SymmetricAuthenticationKey"         [V2_0..];
        PRIVATE_AUTHENTICATION_KEY             0x0000_0004 "PrivateAuthenticationKey"           [V2_0..];
        PUBLIC_AUTHENTICATION_KEY              0x0000_0005 "PublicAuthenticationKey"            [V2_0..];
        SYMMETRIC_DATA_ENCRYPTION_KEY          0x0000_0006 "SymmetricDataEncryptionKey"         [V2_0..];
        SYMMETRIC_KEY_WRAPPING_KEY             0x0000_0007 "SymmetricKeyWrappingKey"            [V2_0..];
        SYMMETRIC_RANDOM_NUMBER_GENERATION_KEY 0x0000_0008 "SymmetricRandomNumberGenerationKey" [V2_0..];
        SYMMETRIC_MASTER_KEY                   0x0000_0009 "SymmetricMasterKey"                 [V2_0..];
        PRIVATE_KEY_TRANSPORT_KEY              0x0000_000A "PrivateKeyTransportKey"             [V2_0..];
        PUBLIC_KEY_TRANSPORT_KEY               0x0000_000B "PublicKeyTransportKey"              [V2_0..];
        SYMMETRIC_KEY_AGREEMENT_KEY            0x0000_000C "SymmetricKeyAgreementKey"           [V2_0..];
        PRIVATE_STATIC_KEY_AGREEMENT_KEY       0x0000_000D "PrivateStaticKeyAgreementKey"       [V2_0..];
        PUBLIC_STATIC_KEY_AGREEMENT_KEY        0x0000_000E "PublicStaticKeyAgreementKey"        [V2_0..];
        PRIVATE_EPHEMERAL_KEY_AGREEMENT_KEY    0x0000_000F "PrivateEphemeralKeyAgreementKey"    [V2_0..];
        PUBLIC_EPHEMERAL_KEY_AGREEMENT_KEY     0x0000_0010 "PublicEphemeralKeyAgreementKey"     [V2_0..];
        SYMMETRIC_AUTHORIZATION_KEY            0x0000_0011 "SymmetricAuthorizationKey"          [V2_0..];
        PRIVATE_AUTHORIZATION_KEY              0x0000_0012 "PrivateAuthorizationKey"            [V2_0..];
        PUBLIC_AUTHORIZATION_KEY               0x0000_0013 "PublicAuthorizationKey"             [V2_0..];
    }
}

enumeration! {
    /// Name Type, as KMIP 1.0 introduced it.
    NameType "NameType" {
        UNINTERPRETED_TEXT_STRING 0x0000_0001 "UninterpretedTextString" [V1_0..=V2_1];
        URI                       0x0000_0002 "URI"                     [V1_0..=V2_1];
    }
}

enumeration! {
    /// OTP Algorithm, as KMIP 3.0 introduced it.
    OtpAlgorithm "OTPAlgorithm" {
        HOTP 0x0000_0001 "HOTP" [V3_0..];
        TOTP 0x0000_0002 "TOTP" [V3_0..];
    }
}

enumeration! {
    /// Object Class, as KMIP 3.0 introduced it.
    ObjectClass "ObjectClass" {
        USER   0x0000_0001 "User"   [V3_0..];
        SYSTEM 0x0000_0002 "System" [V3_0..];
    }
}

enumeration! {
    /// Object Group Member, as KMIP 1.1 introduced it.
    ObjectGroupMember "ObjectGroupMember" {
        GROUP_MEMBER_FRESH   0x0000_0001 "GroupMemberFresh"   [V1_1..=V2_1];
        GROUP_MEMBER_DEFAULT 0x0000_0002 "GroupMemberDefault" [V1_1..=V2_1];
    }
}

enumeration! {
    /// Object Type, as KMIP 1.0 introduced it.
    ObjectType "ObjectType" {
        CERTIFICATE                  0x0000_0001 "Certificate"               [V1_0..];
        SYMMETRIC_KEY                0x0000_0002 "SymmetricKey"              [V1_0..];
        PUBLIC_KEY                   0x0000_0003 "PublicKey"                 [V1_0..];
        PRIVATE_KEY                  0x0000_0004 "PrivateKey"                [V1_0..];
        SPLIT_KEY                    0x0000_0005 "SplitKey"                  [V1_0..];
        TEMPLATE                     0x0000_0006 "Template"                  [V1_0..=V1_4];
        SECRET_DATA                  0x0000_0007 "SecretData"                [V1_0..];
        OPAQUE_OBJECT                0x0000_0008 "OpaqueObject"              [V1_0..];
        PGP_KEY                      0x0000_0009 "PGPKey"                    [V1_2..];
        CERTIFICATE_REQUEST          0x0000_000A "CertificateRequest"        [V2_0..];
        USER                         0x0000_000B "User"                      [V3_0..];
        GROUP                        0x0000_000C "Group"                     [V3_0..];
        PASSWORD_CREDENTIAL          0x0000_000D "PasswordCredential"        [V3_0..];
        DEVICE_CREDENTIAL            0x0000_000E "DeviceCredential"          [V3_0..];
        ONE_TIME_PASSWORD_CREDENTIAL 0x0000_000F "OneTimePasswordCredential" [V3_0..];
        HASHED_PASSWORD_CREDENTIAL   0x0000_0010 "HashedPasswordCredential"  [V3_0..];
    }
}

enumeration! {
    /// Opaque Data Type; the standard defines no value, so all are extensions (KMIP 1.0 §9.1.3.2.10).
    OpaqueDataType "OpaqueDataType" {
    }
}

enumeration! {
    /// Operation, as KMIP 1.0 introduced it.
    Operation "Operation" {
        CREATE                      0x0000_0001 "Create"                    [V1_0..];
        CREATE_KEY_PAIR             0x0000_0002 "CreateKeyPair"             [V1_0..];
        REGISTER                    0x0000_0003 "Register"                  [V1_0..];
        RE_KEY                      0x0000_0004 "ReKey"                     [V1_0..];
        DERIVE_KEY                  0x0000_0005 "DeriveKey"                 [V1_0..];
        CERTIFY                     0x0000_0006 "Certify"                   [V1_0..];
        RE_CERTIFY                  0x0000_0007 "ReCertify"                 [V1_0..];
        LOCATE                      0x0000_0008 "Locate"                    [V1_0..];
        CHECK                       0x0000_0009 "Check"                     [V1_0..];
        GET                         0x0000_000A "Get"                       [V1_0..];
        GET_ATTRIBUTES              0x0000_000B "GetAttributes"             [V1_0..];
        GET_ATTRIBUTE_LIST          0x0000_000C "GetAttributeList"          [V1_0..];
        ADD_ATTRIBUTE               0x0000_000D "AddAttribute"              [V1_0..];
        MODIFY_ATTRIBUTE            0x0000_000E "ModifyAttribute"           [V1_0..];
        DELETE_ATTRIBUTE            0x0000_000F "DeleteAttribute"           [V1_0..];
        OBTAIN_LEASE                0x0000_0010 "ObtainLease"               [V1_0..];
        GET_USAGE_ALLOCATION        0x0000_0011 "GetUsageAllocation"        [V1_0..];
        ACTIVATE                    0x0000_0012 "Activate"                  [V1_0..];
        REVOKE                      0x0000_0013 "Revoke"                    [V1_0..];
        DESTROY                     0x0000_0014 "Destroy"                   [V1_0..];
        ARCHIVE                     0x0000_0015 "Archive"                   [V1_0..];
        RECOVER                     0x0000_0016 "Recover"                   [V1_0..];
        VALIDATE                    0x0000_0017 "Validate"                  [V1_0..];
        QUERY                       0x0000_0018 "Query"                     [V1_0..];
        CANCEL                      0x0000_0019 "Cancel"                    [V1_0..];
        POLL                        0x0000_001A "Poll"                      [V1_0..];
        NOTIFY                      0x0000_001B "Notify"                    [V1_0..];
        PUT                         0x0000_001C "Put"                       [V1_0..];
        RE_KEY_KEY_PAIR             0x0000_001D "ReKeyKeyPair"              [V1_1..];
        DISCOVER_VERSIONS           0x0000_001E "DiscoverVersions"          [V1_1..];
        ENCRYPT                     0x0000_001F "Encrypt"                   [V1_2..];
        DECRYPT                     0x0000_0020 "Decrypt"                   [V1_2..];
        SIGN                        0x0000_0021 "Sign"                      [V1_2..];
        SIGNATURE_VERIFY            0x0000_0022 "SignatureVerify"           [V1_2..];
        MAC                         0x0000_0023 "MAC"                       [V1_2..];
        MAC_VERIFY                  0x0000_0024 "MACVerify"                 [V1_2..];
        RNG_RETRIEVE                0x0000_0025 "RNGRetrieve"               [V1_2..];
        RNG_SEED                    0x0000_0026 "RNGSeed"                   [V1_2..];
        HASH                        0x0000_0027 "Hash"                      [V1_2..];
        CREATE_SPLIT_KEY            0x0000_0028 "CreateSplitKey"            [V1_2..];
        JOIN_SPLIT_KEY              0x0000_0029 "JoinSplitKey"              [V1_2..];
        IMPORT                      0x0000_002A "Import"                    [V1_4..];
        EXPORT                      0x0000_002B "Export"                    [V1_4..];
        LOG                         0x0000_002C "Log"                       [V2_0..];
        LOGIN                       0x0000_002D "Login"                     [V2_0..];
        LOGOUT                      0x0000_002E "Logout"                    [V2_0..];
        DELEGATED_LOGIN             0x0000_002F "DelegatedLogin"            [V2_0..];
        ADJUST_ATTRIBUTE            0x0000_0030 "AdjustAttribute"           [V2_0..];
        SET_ATTRIBUTE               0x0000_0031 "SetAttribute"              [V2_0..];
        SET_ENDPOINT_ROLE           0x0000_0032 "SetEndpointRole"           [V2_0..];
        PKCS_11                     0x0000_0033 "PKCS_11"                   [V2_0..];
        INTEROP                     0x0000_0034 "Interop"                   [V2_0..];
        RE_PROVISION                0x0000_0035 "ReProvision"               [V2_0..];
        SET_DEFAULTS                0x0000_0036 "SetDefaults"               [V2_1..];
        SET_CONSTRAINTS             0x0000_0037 "SetConstraints"            [V2_1..];
        GET_CONSTRAINTS             0x0000_0038 "GetConstraints"            [V2_1..];
        QUERY_ASYNCHRONOUS_REQUESTS 0x0000_0039 "QueryAsynchronousRequests" [V2_1..];
        PROCESS                     0x0000_003A "Process"                   [V2_1..];
        PING                        0x0000_003B "Ping"                      [V2_1..];
        CREATE_GROUP                0x0000_003C "CreateGroup"               [V3_0..];
        OBLITERATE                  0x0000_003D "Obliterate"                [V3_0..];
        CREATE_USER                 0x0000_003E "CreateUser"                [V3_0..];
        CREATE_CREDENTIAL           0x0000_003F "CreateCredential"          [V3_0..];
        DEACTIVATE                  0x0000_0040 "Deactivate"                [V3_0..];
    }
}

enumeration! {
    /// PKCS#11Function, as KMIP 2.0 introduced it.
    Pkcs11Function "PKCS_11Function" {
        C_INITIALIZE 0x0000_0001 "C_Initialize" [V2_0..];
        C_FINALIZE   0x0000_0002 "C_Finalize"   [V2_0..];
        C_GET_INFO   0x0000_0003 "C_GetInfo"    [V2_0..];
    }
}

enumeration! {
    /// PKCS#11Return Code, as KMIP 2.0 introduced it.
    Pkcs11ReturnCode "PKCS_11ReturnCode" {
        OK 0x0000_0000 "OK" [V2_0..];
    }
}

enumeration! {
    /// Padding Method, as KMIP 1.0 introduced it.
    PaddingMethod "PaddingMethod" {
        NONE      0x0000_0001 "None"      [V1_0..];
        OAEP      0x0000_0002 "OAEP"      [V1_0..];
        PKCS5     0x0000_0003 "PKCS5"     [V1_0..];
        SSL3      0x0000_0004 "SSL3"      [V1_0..];
        ZEROS     0x0000_0005 "Zeros"     [V1_0..];
        ANSIX9_23 0x0000_0006 "ANSIX9_23" [V1_0..];
        ISO10126  0x0000_0007 "ISO10126"  [V1_0..];
        PKCS1V1_5 0x0000_0008 "PKCS1V1_5" [V1_0..];
        X9_31     0x0000_0009 "X9_31"     [V1_0..];
        PSS       0x0000_000A "PSS"       [V1_0..];
    }
}

enumeration! {
    /// Processing Stage, as KMIP 2.1 introduced it.
    ProcessingStage "ProcessingStage" {
        SUBMITTED  0x0000_0001 "Submitted" [V2_1..];
        IN_PROCESS 0x0000_0002 "InProcess" [V2_1..];
        COMPLETED  0x0000_0003 "Completed" [V2_1..];
    }
}

enumeration! {
    /// Profile Name, as KMIP 1.3 introduced it.
    ProfileName "ProfileName" {
        BASELINE_SERVER_BASIC_KMIPV1_2                           0x0000_0001 "BaselineServerBasicKMIPV1_2"                       [V1_3..=V1_4];
        BASELINE_SERVER_TLSV1_2KMIPV1_2                          0x0000_0002 "BaselineServerTLSV1_2KMIPV1_2"                     [V1_3..=V1_4];
        BASELINE_CLIENT_BASIC_KMIPV1_2                           0x0000_0003 "BaselineClientBasicKMIPV1_2"                       [V1_3..=V1_4];
        BASELINE_CLIENT_TLSV1_2KMIPV1_2                          0x0000_0004 "BaselineClientTLSV1_2KMIPV1_2"                     [V1_3..=V1_4];
        COMPLETE_SERVER_BASIC_KMIPV1_2                           0x0000_0005 "CompleteServerBasicKMIPV1_2"                       [V1_3..=V1_4];
        COMPLETE_SERVER_TLSV1_2KMIPV1_2                          0x0000_0006 "CompleteServerTLSV1_2KMIPV1_2"                     [V1_3..=V1_4];
        TAPE_LIBRARY_CLIENT_KMIPV1_0                             0x0000_0007 "TapeLibraryClientKMIPV1_0"                         [V1_3..=V1_4];
        TAPE_LIBRARY_CLIENT_KMIPV1_1                             0x0000_0008 "TapeLibraryClientKMIPV1_1"                         [V1_3..=V1_4];
        TAPE_LIBRARY_CLIENT_KMIPV1_2                             0x0000_0009 "TapeLibraryClientKMIPV1_2"                         [V1_3..=V1_4];
        TAPE_LIBRARY_SERVER_KMIPV1_0                             0x0000_000A "TapeLibraryServerKMIPV1_0"                         [V1_3..=V1_4];
        TAPE_LIBRARY_SERVER_KMIPV1_1                             0x0000_000B "TapeLibraryServerKMIPV1_1"                         [V1_3..=V1_4];
        TAPE_LIBRARY_SERVER_KMIPV1_2                             0x0000_000C "TapeLibraryServerKMIPV1_2"                         [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_0                  0x0000_000D "SymmetricKeyLifecycleClientKMIPV1_0"               [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_1                  0x0000_000E "SymmetricKeyLifecycleClientKMIPV1_1"               [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_2                  0x0000_000F "SymmetricKeyLifecycleClientKMIPV1_2"               [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_0                  0x0000_0010 "SymmetricKeyLifecycleServerKMIPV1_0"               [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_1                  0x0000_0011 "SymmetricKeyLifecycleServerKMIPV1_1"               [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_2                  0x0000_0012 "SymmetricKeyLifecycleServerKMIPV1_2"               [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_0                 0x0000_0013 "AsymmetricKeyLifecycleClientKMIPV1_0"              [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_1                 0x0000_0014 "AsymmetricKeyLifecycleClientKMIPV1_1"              [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_2                 0x0000_0015 "AsymmetricKeyLifecycleClientKMIPV1_2"              [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_0                 0x0000_0016 "AsymmetricKeyLifecycleServerKMIPV1_0"              [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_1                 0x0000_0017 "AsymmetricKeyLifecycleServerKMIPV1_1"              [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_2                 0x0000_0018 "AsymmetricKeyLifecycleServerKMIPV1_2"              [V1_3..=V1_4];
        BASIC_CRYPTOGRAPHIC_CLIENT_KMIPV1_2                      0x0000_0019 "BasicCryptographicClientKMIPV1_2"                  [V1_3..=V1_4];
        BASIC_CRYPTOGRAPHIC_SERVER_KMIPV1_2                      0x0000_001A "BasicCryptographicServerKMIPV1_2"                  [V1_3..=V1_4];
        ADVANCED_CRYPTOGRAPHIC_CLIENT_KMIPV1_2                   0x0000_001B "AdvancedCryptographicClientKMIPV1_2"               [V1_3..=V1_4];
        ADVANCED_CRYPTOGRAPHIC_SERVER_KMIPV1_2                   0x0000_001C "AdvancedCryptographicServerKMIPV1_2"               [V1_3..=V1_4];
        RNG_CRYPTOGRAPHIC_CLIENT_KMIPV1_2                        0x0000_001D "RNGCryptographicClientKMIPV1_2"                    [V1_3..=V1_4];
        RNG_CRYPTOGRAPHIC_SERVER_KMIPV1_2                        0x0000_001E "RNGCryptographicServerKMIPV1_2"                    [V1_3..=V1_4];
        BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_0              0x0000_001F "BasicSymmetricKeyFoundryClientKMIPV1_0"            [V1_3..=V1_4];
        INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_0       0x0000_0020 "IntermediateSymmetricKeyFoundryClientKMIPV1_0"     [V1_3..=V1_4];
        ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_0           0x0000_0021 "AdvancedSymmetricKeyFoundryClientKMIPV1_0"         [V1_3..=V1_4];
        BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_1              0x0000_0022 "BasicSymmetricKeyFoundryClientKMIPV1_1"            [V1_3..=V1_4];
        INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_1       0x0000_0023 "IntermediateSymmetricKeyFoundryClientKMIPV1_1"     [V1_3..=V1_4];
        ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_1           0x0000_0024 "AdvancedSymmetricKeyFoundryClientKMIPV1_1"         [V1_3..=V1_4];
        BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_2              0x0000_0025 "BasicSymmetricKeyFoundryClientKMIPV1_2"            [V1_3..=V1_4];
        INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_2       0x0000_0026 "IntermediateSymmetricKeyFoundryClientKMIPV1_2"     [V1_3..=V1_4];
        ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_2           0x0000_0027 "AdvancedSymmetricKeyFoundryClientKMIPV1_2"         [V1_3..=V1_4];
        SYMMETRIC_KEY_FOUNDRY_SERVER_KMIPV1_0                    0x0000_0028 "SymmetricKeyFoundryServerKMIPV1_0"                 [V1_3..=V1_4];
        SYMMETRIC_KEY_FOUNDRY_SERVER_KMIPV1_1                    0x0000_0029 "SymmetricKeyFoundryServerKMIPV1_1"                 [V1_3..=V1_4];
        SYMMETRIC_KEY_FOUNDRY_SERVER_KMIPV1_2                    0x0000_002A "SymmetricKeyFoundryServerKMIPV1_2"                 [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIPV1_0              0x0000_002B "OpaqueManagedObjectStoreClientKMIPV1_0"            [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIPV1_1              0x0000_002C "OpaqueManagedObjectStoreClientKMIPV1_1"            [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIPV1_2              0x0000_002D "OpaqueManagedObjectStoreClientKMIPV1_2"            [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIPV1_0              0x0000_002E "OpaqueManagedObjectStoreServerKMIPV1_0"            [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIPV1_1              0x0000_002F "OpaqueManagedObjectStoreServerKMIPV1_1"            [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIPV1_2              0x0000_0030 "OpaqueManagedObjectStoreServerKMIPV1_2"            [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_CLIENT_KMIPV1_0                      0x0000_0031 "SuiteBMinLOS_128ClientKMIPV1_0"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_CLIENT_KMIPV1_1                      0x0000_0032 "SuiteBMinLOS_128ClientKMIPV1_1"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_CLIENT_KMIPV1_2                      0x0000_0033 "SuiteBMinLOS_128ClientKMIPV1_2"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_SERVER_KMIPV1_0                      0x0000_0034 "SuiteBMinLOS_128ServerKMIPV1_0"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_SERVER_KMIPV1_1                      0x0000_0035 "SuiteBMinLOS_128ServerKMIPV1_1"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_SERVER_KMIPV1_2                      0x0000_0036 "SuiteBMinLOS_128ServerKMIPV1_2"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_CLIENT_KMIPV1_0                      0x0000_0037 "SuiteBMinLOS_192ClientKMIPV1_0"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_CLIENT_KMIPV1_1                      0x0000_0038 "SuiteBMinLOS_192ClientKMIPV1_1"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_CLIENT_KMIPV1_2                      0x0000_0039 "SuiteBMinLOS_192ClientKMIPV1_2"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_SERVER_KMIPV1_0                      0x0000_003A "SuiteBMinLOS_192ServerKMIPV1_0"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_SERVER_KMIPV1_1                      0x0000_003B "SuiteBMinLOS_192ServerKMIPV1_1"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_SERVER_KMIPV1_2                      0x0000_003C "SuiteBMinLOS_192ServerKMIPV1_2"                    [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIPV1_0 0x0000_003D "StorageArrayWithSelfEncryptingDriveClientKMIPV1_0" [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIPV1_1 0x0000_003E "StorageArrayWithSelfEncryptingDriveClientKMIPV1_1" [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIPV1_2 0x0000_003F "StorageArrayWithSelfEncryptingDriveClientKMIPV1_2" [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIPV1_0 0x0000_0040 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_0" [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIPV1_1 0x0000_0041 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_1" [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIPV1_2 0x0000_0042 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_2" [V1_3..=V1_4];
        HTTPS_CLIENT_KMIPV1_0                                    0x0000_0043 "HTTPSClientKMIPV1_0"                               [V1_3..=V1_4];
        HTTPS_CLIENT_KMIPV1_1                                    0x0000_0044 "HTTPSClientKMIPV1_1"                               [V1_3..=V1_4];
        HTTPS_CLIENT_KMIPV1_2                                    0x0000_0045 "HTTPSClientKMIPV1_2"                               [V1_3..=V1_4];
        HTTPS_SERVER_KMIPV1_0                                    0x0000_0046 "HTTPSServerKMIPV1_0"                               [V1_3..=V1_4];
        HTTPS_SERVER_KMIPV1_1                                    0x0000_0047 "HTTPSServerKMIPV1_1"                               [V1_3..=V1_4];
        HTTPS_SERVER_KMIPV1_2                                    0x0000_0048 "HTTPSServerKMIPV1_2"                               [V1_3..=V1_4];
        JSON_CLIENT_KMIPV1_0                                     0x0000_0049 "JSONClientKMIPV1_0"                                [V1_3..=V1_4];
        JSON_CLIENT_KMIPV1_1                                     0x0000_004A "JSONClientKMIPV1_1"                                [V1_3..=V1_4];
        JSON_CLIENT_KMIPV1_2                                     0x0000_004B "JSONClientKMIPV1_2"                                [V1_3..=V1_4];
        JSON_SERVER_KMIPV1_0                                     0x0000_004C "JSONServerKMIPV1_0"                                [V1_3..=V1_4];
        JSON_SERVER_KMIPV1_1                                     0x0000_004D "JSONServerKMIPV1_1"                                [V1_3..=V1_4];
        JSON_SERVER_KMIPV1_2                                     0x0000_004E "JSONServerKMIPV1_2"                                [V1_3..=V1_4];
        XML_CLIENT_KMIPV1_0                                      0x0000_004F "XMLClientKMIPV1_0"                                 [V1_3..=V1_4];
        XML_CLIENT_KMIPV1_1                                      0x0000_0050 "XMLClientKMIPV1_1"                                 [V1_3..=V1_4];
        XML_CLIENT_KMIPV1_2                                      0x0000_0051 "XMLClientKMIPV1_2"                                 [V1_3..=V1_4];
        XML_SERVER_KMIPV1_0                                      0x0000_0052 "XMLServerKMIPV1_0"                                 [V1_3..=V1_4];
        XML_SERVER_KMIPV1_1                                      0x0000_0053 "XMLServerKMIPV1_1"                                 [V1_3..=V1_4];
        XML_SERVER_KMIPV1_2                                      0x0000_0054 "XMLServerKMIPV1_2"                                 [V1_3..=V1_4];
        BASELINE_SERVER_BASIC_KMIPV1_3                           0x0000_0055 "BaselineServerBasicKMIPV1_3"                       [V1_3..=V1_4];
        BASELINE_SERVER_TLSV1_2KMIPV1_3                          0x0000_0056 "BaselineServerTLSV1_2KMIPV1_3"                     [V1_3..=V1_4];
        BASELINE_CLIENT_BASIC_KMIPV1_3                           0x0000_0057 "BaselineClientBasicKMIPV1_3"                       [V1_3..=V1_4];
        BASELINE_CLIENT_TLSV1_2KMIPV1_3                          0x0000_0058 "BaselineClientTLSV1_2KMIPV1_3"                     [V1_3..=V1_4];
        COMPLETE_SERVER_BASIC_KMIPV1_3                           0x0000_0059 "CompleteServerBasicKMIPV1_3"                       [V1_3..=V1_4];
        COMPLETE_SERVER_TLSV1_2KMIPV1_3                          0x0000_005A "CompleteServerTLSV1_2KMIPV1_3"                     [V1_3..=V1_4];
        TAPE_LIBRARY_CLIENT_KMIPV1_3                             0x0000_005B "TapeLibraryClientKMIPV1_3"                         [V1_3..=V1_4];
        TAPE_LIBRARY_SERVER_KMIPV1_3                             0x0000_005C "TapeLibraryServerKMIPV1_3"                         [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_3                  0x0000_005D "SymmetricKeyLifecycleClientKMIPV1_3"               [V1_3..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_3                  0x0000_005E "SymmetricKeyLifecycleServerKMIPV1_3"               [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_3                 0x0000_005F "AsymmetricKeyLifecycleClientKMIPV1_3"              [V1_3..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_3                 0x0000_0060 "AsymmetricKeyLifecycleServerKMIPV1_3"              [V1_3..=V1_4];
        BASIC_CRYPTOGRAPHIC_CLIENT_KMIPV1_3                      0x0000_0061 "BasicCryptographicClientKMIPV1_3"                  [V1_3..=V1_4];
        BASIC_CRYPTOGRAPHIC_SERVER_KMIPV1_3                      0x0000_0062 "BasicCryptographicServerKMIPV1_3"                  [V1_3..=V1_4];
        ADVANCED_CRYPTOGRAPHIC_CLIENT_KMIPV1_3                   0x0000_0063 "AdvancedCryptographicClientKMIPV1_3"               [V1_3..=V1_4];
        ADVANCED_CRYPTOGRAPHIC_SERVER_KMIPV1_3                   0x0000_0064 "AdvancedCryptographicServerKMIPV1_3"               [V1_3..=V1_4];
        RNG_CRYPTOGRAPHIC_CLIENT_KMIPV1_3                        0x0000_0065 "RNGCryptographicClientKMIPV1_3"                    [V1_3..=V1_4];
        RNG_CRYPTOGRAPHIC_SERVER_KMIPV1_3                        0x0000_0066 "RNGCryptographicServerKMIPV1_3"                    [V1_3..=V1_4];
        BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_3              0x0000_0067 "BasicSymmetricKeyFoundryClientKMIPV1_3"            [V1_3..=V1_4];
        INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_3       0x0000_0068 "IntermediateSymmetricKeyFoundryClientKMIPV1_3"     [V1_3..=V1_4];
        ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_3           0x0000_0069 "AdvancedSymmetricKeyFoundryClientKMIPV1_3"         [V1_3..=V1_4];
        SYMMETRIC_KEY_FOUNDRY_SERVER_KMIPV1_3                    0x0000_006A "SymmetricKeyFoundryServerKMIPV1_3"                 [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIPV1_3              0x0000_006B "OpaqueManagedObjectStoreClientKMIPV1_3"            [V1_3..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIPV1_3              0x0000_006C "OpaqueManagedObjectStoreServerKMIPV1_3"            [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_CLIENT_KMIPV1_3                      0x0000_006D "SuiteBMinLOS_128ClientKMIPV1_3"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_128_SERVER_KMIPV1_3                      0x0000_006E "SuiteBMinLOS_128ServerKMIPV1_3"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_CLIENT_KMIPV1_3                      0x0000_006F "SuiteBMinLOS_192ClientKMIPV1_3"                    [V1_3..=V1_4];
        SUITE_B_MIN_LOS_192_SERVER_KMIPV1_3                      0x0000_0070 "SuiteBMinLOS_192ServerKMIPV1_3"                    [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIPV1_3 0x0000_0071 "StorageArrayWithSelfEncryptingDriveClientKMIPV1_3" [V1_3..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIPV1_3 0x0000_0072 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_3" [V1_3..=V1_4];
        HTTPS_CLIENT_KMIPV1_3                                    0x0000_0073 "HTTPSClientKMIPV1_3"                               [V1_3..=V1_4];
        HTTPS_SERVER_KMIPV1_3                                    0x0000_0074 "HTTPSServerKMIPV1_3"                               [V1_3..=V1_4];
        JSON_CLIENT_KMIPV1_3                                     0x0000_0075 "JSONClientKMIPV1_3"                                [V1_3..=V1_4];
        JSON_SERVER_KMIPV1_3                                     0x0000_0076 "JSONServerKMIPV1_3"                                [V1_3..=V1_4];
        XML_CLIENT_KMIPV1_3                                      0x0000_0077 "XMLClientKMIPV1_3"                                 [V1_3..=V1_4];
        XML_SERVER_KMIPV1_3                                      0x0000_0078 "XMLServerKMIPV1_3"                                 [V1_3..=V1_4];
        BASELINE_SERVER_BASIC_KMIPV1_4                           0x0000_0079 "BaselineServerBasicKMIPV1_4"                       [V1_4..=V1_4];
        BASELINE_SERVER_TLSV1_2KMIPV1_4                          0x0000_007A "BaselineServerTLSV1_2KMIPV1_4"                     [V1_4..=V1_4];
        BASELINE_CLIENT_BASIC_KMIPV1_4                           0x0000_007B "BaselineClientBasicKMIPV1_4"                       [V1_4..=V1_4];
        BASELINE_CLIENT_TLSV1_2KMIPV1_4                          0x0000_007C "BaselineClientTLSV1_2KMIPV1_4"                     [V1_4..=V1_4];
        COMPLETE_SERVER_BASIC_KMIPV1_4                           0x0000_007D "CompleteServerBasicKMIPV1_4"                       [V1_4..=V1_4];
        COMPLETE_SERVER_TLSV1_2KMIPV1_4                          0x0000_007E "CompleteServerTLSV1_2KMIPV1_4"                     [V1_4..=V1_4];
        TAPE_LIBRARY_CLIENT_KMIPV1_4                             0x0000_007F "TapeLibraryClientKMIPV1_4"                         [V1_4..=V1_4];
        TAPE_LIBRARY_SERVER_KMIPV1_4                             0x0000_0080 "TapeLibraryServerKMIPV1_4"                         [V1_4..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_4                  0x0000_0081 "SymmetricKeyLifecycleClientKMIPV1_4"               [V1_4..=V1_4];
        SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_4                  0x0000_0082 "SymmetricKeyLifecycleServerKMIPV1_4"               [V1_4..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIPV1_4                 0x0000_0083 "AsymmetricKeyLifecycleClientKMIPV1_4"              [V1_4..=V1_4];
        ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIPV1_4                 0x0000_0084 "AsymmetricKeyLifecycleServerKMIPV1_4"              [V1_4..=V1_4];
        BASIC_CRYPTOGRAPHIC_CLIENT_KMIPV1_4                      0x0000_0085 "BasicCryptographicClientKMIPV1_4"                  [V1_4..=V1_4];
        BASIC_CRYPTOGRAPHIC_SERVER_KMIPV1_4                      0x0000_0086 "BasicCryptographicServerKMIPV1_4"                  [V1_4..=V1_4];
        ADVANCED_CRYPTOGRAPHIC_CLIENT_KMIPV1_4                   0x0000_0087 "AdvancedCryptographicClientKMIPV1_4"               [V1_4..=V1_4];
        ADVANCED_CRYPTOGRAPHIC_SERVER_KMIPV1_4                   0x0000_0088 "AdvancedCryptographicServerKMIPV1_4"               [V1_4..=V1_4];
        RNG_CRYPTOGRAPHIC_CLIENT_KMIPV1_4                        0x0000_0089 "RNGCryptographicClientKMIPV1_4"                    [V1_4..=V1_4];
        RNG_CRYPTOGRAPHIC_SERVER_KMIPV1_4                        0x0000_008A "RNGCryptographicServerKMIPV1_4"                    [V1_4..=V1_4];
        BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_4              0x0000_008B "BasicSymmetricKeyFoundryClientKMIPV1_4"            [V1_4..=V1_4];
        INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_4       0x0000_008C "IntermediateSymmetricKeyFoundryClientKMIPV1_4"     [V1_4..=V1_4];
        ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIPV1_4           0x0000_008D "AdvancedSymmetricKeyFoundryClientKMIPV1_4"         [V1_4..=V1_4];
        SYMMETRIC_KEY_FOUNDRY_SERVER_KMIPV1_4                    0x0000_008E "SymmetricKeyFoundryServerKMIPV1_4"                 [V1_4..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIPV1_4              0x0000_008F "OpaqueManagedObjectStoreClientKMIPV1_4"            [V1_4..=V1_4];
        OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIPV1_4              0x0000_0090 "OpaqueManagedObjectStoreServerKMIPV1_4"            [V1_4..=V1_4];
        SUITE_B_MIN_LOS_128_CLIENT_KMIPV1_4                      0x0000_0091 "SuiteBMinLOS_128ClientKMIPV1_4"                    [V1_4..=V1_4];
        SUITE_B_MIN_LOS_128_SERVER_KMIPV1_4                      0x0000_0092 "SuiteBMinLOS_128ServerKMIPV1_4"                    [V1_4..=V1_4];
        SUITE_B_MIN_LOS_192_CLIENT_KMIPV1_4                      0x0000_0093 "SuiteBMinLOS_192ClientKMIPV1_4"                    [V1_4..=V1_4];
        SUITE_B_MIN_LOS_192_SERVER_KMIPV1_4                      0x0000_0094 "SuiteBMinLOS_192ServerKMIPV1_4"                    [V1_4..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIPV1_4 0x0000_0095 "StorageArrayWithSelfEncryptingDriveClientKMIPV1_4" [V1_4..=V1_4];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIPV1_4 0x0000_0096 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_4" [V1_4..=V1_4];
        HTTPS_CLIENT_KMIPV1_4                                    0x0000_0097 "HTTPSClientKMIPV1_4"                               [V1_4..=V1_4];
        HTTPS_SERVER_KMIPV1_4                                    0x0000_0098 "HTTPSServerKMIPV1_4"                               [V1_4..=V1_4];
        JSON_CLIENT_KMIPV1_4                                     0x0000_0099 "JSONClientKMIPV1_4"                                [V1_4..=V1_4];
        JSON_SERVER_KMIPV1_4                                     0x0000_009A "JSONServerKMIPV1_4"                                [V1_4..=V1_4];
        XML_CLIENT_KMIPV1_4                                      0x0000_009B "XMLClientKMIPV1_4"                                 [V1_4..=V1_4];
        XML_SERVER_KMIPV1_4                                      0x0000_009C "XMLServerKMIPV1_4"                                 [V1_4..=V1_4];
        COMPLETE_SERVER_BASIC                                    0x0000_0104 "CompleteServerBasic"                               [V2_0..];
        COMPLETE_SERVER_TLSV1_2                                  0x0000_0105 "CompleteServerTLSV1_2"                             [V2_0..];
        TAPE_LIBRARY_CLIENT                                      0x0000_0106 "TapeLibraryClient"                                 [V2_0..];
        TAPE_LIBRARY_SERVER                                      0x0000_0107 "TapeLibraryServer"                                 [V2_0..];
        SYMMETRIC_KEY_LIFECYCLE_CLIENT                           0x0000_0108 "SymmetricKeyLifecycleClient"                       [V2_0..];
        SYMMETRIC_KEY_LIFECYCLE_SERVER                           0x0000_0109 "SymmetricKeyLifecycleServer"                       [V2_0..];
        ASYMMETRIC_KEY_LIFECYCLE_CLIENT                          0x0000_010A "AsymmetricKeyLifecycleClient"                      [V2_0..];
        ASYMMETRIC_KEY_LIFECYCLE_SERVER                          0x0000_010B "AsymmetricKeyLifecycleServer"                      [V2_0..];
        BASIC_CRYPTOGRAPHIC_CLIENT                               0x0000_010C "BasicCryptographicClient"                          [V2_0..];
        BASIC_CRYPTOGRAPHIC_SERVER                               0x0000_010D "BasicCryptographicServer"                          [V2_0..];
        ADVANCED_CRYPTOGRAPHIC_CLIENT                            0x0000_010E "AdvancedCryptographicClient"                       [V2_0..];
        ADVANCED_CRYPTOGRAPHIC_SERVER                            0x0000_010F "AdvancedCryptographicServer"                       [V2_0..];
        RNG_CRYPTOGRAPHIC_CLIENT                                 0x0000_0110 "RNGCryptographicClient"                            [V2_0..];
        RNG_CRYPTOGRAPHIC_SERVER                                 0x0000_0111 "RNGCryptographicServer"                            [V2_0..];
        BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT                       0x0000_0112 "BasicSymmetricKeyFoundryClient"                    [V2_0..];
        INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT                0x0000_0113 "IntermediateSymmetricKeyFoundryClient"             [V2_0..];
        ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT                    0x0000_0114 "AdvancedSymmetricKeyFoundryClient"                 [V2_0..];
        SYMMETRIC_KEY_FOUNDRY_SERVER                             0x0000_0115 "SymmetricKeyFoundryServer"                         [V2_0..];
        OPAQUE_MANAGED_OBJECT_STORE_CLIENT                       0x0000_0116 "OpaqueManagedObjectStoreClient"                    [V2_0..];
        OPAQUE_MANAGED_OBJECT_STORE_SERVER                       0x0000_0117 "OpaqueManagedObjectStoreServer"                    [V2_0..];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT          0x0000_011C "StorageArrayWithSelfEncryptingDriveClient"         [V2_0..];
        STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER          0x0000_011D "StorageArrayWithSelfEncryptingDriveServer"         [V2_0..];
        HTTPS_CLIENT                                             0x0000_011E "HTTPSClient"                                       [V2_0..];
        HTTPS_SERVER                                             0x0000_011F "HTTPSServer"                                       [V2_0..];
        JSON_CLIENT                                              0x0000_0120 "JSONClient"                                        [V2_0..];
        JSON_SERVER                                              0x0000_0121 "JSONServer"                                        [V2_0..];
        XML_CLIENT                                               0x0000_0122 "XMLClient"                                         [V2_0..];
        XML_SERVER                                               0x0000_0123 "XMLServer"                                         [V2_0..];
        AESXTS_CLIENT                                            0x0000_0124 "AESXTSClient"                                      [V2_0..];
        AESXTS_SERVER                                            0x0000_0125 "AESXTSServer"                                      [V2_0..];
        QUANTUM_SAFE_CLIENT                                      0x0000_0126 "QuantumSafeClient"                                 [V2_0..];
        QUANTUM_SAFE_SERVER                                      0x0000_0127 "QuantumSafeServer"                                 [V2_0..];
        PKCS_11_CLIENT                                           0x0000_0128 "PKCS_11Client"                                     [V2_0..];
        PKCS_11_SERVER                                           0x0000_0129 "PKCS_11Server"                                     [V2_0..];
        BASELINE_CLIENT                                          0x0000_012A "BaselineClient"                                    [V2_0..];
        BASELINE_SERVER                                          0x0000_012B "BaselineServer"                                    [V2_0..];
        COMPLETE_SERVER                                          0x0000_012C "CompleteServer"                                    [V2_0..];
    }
}

enumeration! {
    /// Protection Level, as KMIP 2.0 introduced it.
    ProtectionLevel "ProtectionLevel" {
        HIGH 0x0000_0001 "High" [V2_0..];
        LOW  0x0000_0002 "Low"  [V2_0..];
    }
}

enumeration! {
    /// Put Function, as KMIP 1.0 introduced it.
    PutFunction "PutFunction" {
        NEW     0x0000_0001 "New"     [V1_0..];
        REPLACE 0x0000_0002 "Replace" [V1_0..];
    }
}

enumeration! {
    /// Query Function, as KMIP 1.0 introduced it.
    QueryFunction "QueryFunction" {
        QUERY_OPERATIONS                  0x0000_0001 "QueryOperations"                [V1_0..];
        QUERY_OBJECTS                     0x0000_0002 "QueryObjects"                   [V1_0..];
        QUERY_SERVER_INFORMATION          0x0000_0003 "QueryServerInformation"         [V1_0..];
        QUERY_APPLICATION_NAMESPACES      0x0000_0004 "QueryApplicationNamespaces"     [V1_0..];
        QUERY_EXTENSION_LIST              0x0000_0005 "QueryExtensionList"             [V1_1..];
        QUERY_EXTENSION_MAP               0x0000_0006 "QueryExtensionMap"              [V1_1..];
        QUERY_ATTESTATION_TYPES           0x0000_0007 "QueryAttestationTypes"          [V1_2..];
        QUERY_RNGS                        0x0000_0008 "QueryRNGs"                      [V1_3..];
        QUERY_VALIDATIONS                 0x0000_0009 "QueryValidations"               [V1_3..];
        QUERY_PROFILES                    0x0000_000A "QueryProfiles"                  [V1_3..];
        QUERY_CAPABILITIES                0x0000_000B "QueryCapabilities"              [V1_3..];
        QUERY_CLIENT_REGISTRATION_METHODS 0x0000_000C "QueryClientRegistrationMethods" [V1_3..];
        QUERY_DEFAULTS_INFORMATION        0x0000_000D "QueryDefaultsInformation"       [V2_0..];
        QUERY_STORAGE_PROTECTION_MASKS    0x0000_000E "QueryStorageProtectionMasks"    [V2_0..];
        QUERY_CREDENTIAL_INFORMATION      0x0000_000F "QueryCredentialInformation"     [V3_0..];
    }
}

enumeration! {
    /// RNG Algorithm, as KMIP 1.3 introduced it.
    RngAlgorithm "RNGAlgorithm" {
        UNSPECIFIED 0x0000_0001 "Unspecified" [V1_3..];
        FIPS186_2   0x0000_0002 "FIPS186_2"   [V1_3..];
        DRBG        0x0000_0003 "DRBG"        [V1_3..];
        NRBG        0x0000_0004 "NRBG"        [V1_3..];
        ANSIX9_31   0x0000_0005 "ANSIX9_31"   [V1_3..];
        ANSIX9_62   0x0000_0006 "ANSIX9_62"   [V1_3..];
    }
}

enumeration! {
    /// RNG Mode, as KMIP 1.3 introduced it.
    RngMode "RNGMode" {
        UNSPECIFIED              0x0000_0001 "Unspecified"            [V1_3..];
        SHARED_INSTANTIATION     0x0000_0002 "SharedInstantiation"    [V1_3..];
        NON_SHARED_INSTANTIATION 0x0000_0003 "NonSharedInstantiation" [V1_3..];
    }
}

enumeration! {
    /// Recommended Curve, as KMIP 1.0 introduced it.
    RecommendedCurve "RecommendedCurve" {
        P_192            0x0000_0001 "P_192"            [V1_0..];
        K_163            0x0000_0002 "K_163"            [V1_0..];
        B_163            0x0000_0003 "B_163"            [V1_0..];
        P_224            0x0000_0004 "P_224"            [V1_0..];
        K_233            0x0000_0005 "K_233"            [V1_0..];
        B_233            0x0000_0006 "B_233"            [V1_0..];
        P_256            0x0000_0007 "P_256"            [V1_0..];
        K_283            0x0000_0008 "K_283"            [V1_0..];
        B_283            0x0000_0009 "B_283"            [V1_0..];
        P_384            0x0000_000A "P_384"            [V1_0..];
        K_409            0x0000_000B "K_409"            [V1_0..];
        B_409            0x0000_000C "B_409"            [V1_0..];
        P_521            0x0000_000D "P_521"            [V1_0..];
        K_571            0x0000_000E "K_571"            [V1_0..];
        B_571            0x0000_000F "B_571"            [V1_0..];
        SECP112R1        0x0000_0010 "SECP112R1"        [V1_2..];
        SECP112R2        0x0000_0011 "SECP112R2"        [V1_2..];
        SECP128R1        0x0000_0012 "SECP128R1"        [V1_2..];
        SECP128R2        0x0000_0013 "SECP128R2"        [V1_2..];
        SECP160K1        0x0000_0014 "SECP160K1"        [V1_2..];
        SECP160R1        0x0000_0015 "SECP160R1"        [V1_2..];
        SECP160R2        0x0000_0016 "SECP160R2"        [V1_2..];
        SECP192K1        0x0000_0017 "SECP192K1"        [V1_2..];
        SECP224K1        0x0000_0018 "SECP224K1"        [V1_2..];
        SECP256K1        0x0000_0019 "SECP256K1"        [V1_2..];
        SECT113R1        0x0000_001A "SECT113R1"        [V1_2..];
        SECT113R2        0x0000_001B "SECT113R2"        [V1_2..];
        SECT131R1        0x0000_001C "SECT131R1"        [V1_2..];
        SECT131R2        0x0000_001D "SECT131R2"        [V1_2..];
        SECT163R1        0x0000_001E "SECT163R1"        [V1_2..];
        SECT193R1        0x0000_001F "SECT193R1"        [V1_2..];
        SECT193R2        0x0000_0020 "SECT193R2"        [V1_2..];
        SECT239K1        0x0000_0021 "SECT239K1"        [V1_2..];
        ANSIX9P192V2     0x0000_0022 "ANSIX9P192V2"     [V1_2..];
        ANSIX9P192V3     0x0000_0023 "ANSIX9P192V3"     [V1_2..];
        ANSIX9P239V1     0x0000_0024 "ANSIX9P239V1"     [V1_2..];
        ANSIX9P239V2     0x0000_0025 "ANSIX9P239V2"     [V1_2..];
        ANSIX9P239V3     0x0000_0026 "ANSIX9P239V3"     [V1_2..];
        ANSIX9C2PNB163V1 0x0000_0027 "ANSIX9C2PNB163V1" [V1_2..];
        ANSIX9C2PNB163V2 0x0000_0028 "ANSIX9C2PNB163V2" [V1_2..];
        ANSIX9C2PNB163V3 0x0000_0029 "ANSIX9C2PNB163V3" [V1_2..];
        ANSIX9C2PNB176V1 0x0000_002A "ANSIX9C2PNB176V1" [V1_2..];
        ANSIX9C2TNB191V1 0x0000_002B "ANSIX9C2TNB191V1" [V1_2..];
        ANSIX9C2TNB191V2 0x0000_002C "ANSIX9C2TNB191V2" [V1_2..];
        ANSIX9C2TNB191V3 0x0000_002D "ANSIX9C2TNB191V3" [V1_2..];
        ANSIX9C2PNB208W1 0x0000_002E "ANSIX9C2PNB208W1" [V1_2..];
        ANSIX9C2TNB239V1 0x0000_002F "ANSIX9C2TNB239V1" [V1_2..];
        ANSIX9C2TNB239V2 0x0000_0030 "ANSIX9C2TNB239V2" [V1_2..];
        ANSIX9C2TNB239V3 0x0000_0031 "ANSIX9C2TNB239V3" [V1_2..];
        ANSIX9C2PNB272W1 0x0000_0032 "ANSIX9C2PNB272W1" [V1_2..];
        ANSIX9C2PNB304W1 0x0000_0033 "ANSIX9C2PNB304W1" [V1_2..];
        ANSIX9C2TNB359V1 0x0000_0034 "ANSIX9C2TNB359V1" [V1_2..];
        ANSIX9C2PNB368W1 0x0000_0035 "ANSIX9C2PNB368W1" [V1_2..];
        ANSIX9C2TNB431R1 0x0000_0036 "ANSIX9C2TNB431R1" [V1_2..];
        BRAINPOOLP160R1  0x0000_0037 "BRAINPOOLP160R1"  [V1_2..];
        BRAINPOOLP160T1  0x0000_0038 "BRAINPOOLP160T1"  [V1_2..];
        BRAINPOOLP192R1  0x0000_0039 "BRAINPOOLP192R1"  [V1_2..];
        BRAINPOOLP192T1  0x0000_003A "BRAINPOOLP192T1"  [V1_2..];
        BRAINPOOLP224R1  0x0000_003B "BRAINPOOLP224R1"  [V1_2..];
        BRAINPOOLP224T1  0x0000_003C "BRAINPOOLP224T1"  [V1_2..];
        BRAINPOOLP256R1  0x0000_003D "BRAINPOOLP256R1"  [V1_2..];
        BRAINPOOLP256T1  0x0000_003E "BRAINPOOLP256T1"  [V1_2..];
        BRAINPOOLP320R1  0x0000_003F "BRAINPOOLP320R1"  [V1_2..];
        BRAINPOOLP320T1  0x0000_0040 "BRAINPOOLP320T1"  [V1_2..];
        BRAINPOOLP384R1  0x0000_0041 "BRAINPOOLP384R1"  [V1_2..];
        BRAINPOOLP384T1  0x0000_0042 "BRAINPOOLP384T1"  [V1_2..];
        BRAINPOOLP512R1  0x0000_0043 "BRAINPOOLP512R1"  [V1_2..];
        BRAINPOOLP512T1  0x0000_0044 "BRAINPOOLP512T1"  [V1_2..];
        CURVE25519       0x0000_0045 "CURVE25519"       [V2_0..];
        CURVE448         0x0000_0046 "CURVE448"         [V2_0..];
    }
}

enumeration! {
    /// Result Reason, as KMIP 1.0 introduced it.
    ResultReason "ResultReason" {
        ITEM_NOT_FOUND                         0x0000_0001 "ItemNotFound"                        [V1_0..];
        RESPONSE_TOO_LARGE                     0x0000_0002 "ResponseTooLarge"                    [V1_0..];
        AUTHENTICATION_NOT_SUCCESSFUL          0x0000_0003 "AuthenticationNotSuccessful"         [V1_0..];
        INVALID_MESSAGE                        0x0000_0004 "InvalidMessage"                      [V1_0..];
        OPERATION_NOT_SUPPORTED                0x0000_0005 "OperationNotSupported"               [V1_0..];
        MISSING_DATA                           0x0000_0006 "MissingData"                         [V1_0..];
        INVALID_FIELD                          0x0000_0007 "InvalidField"                        [V1_0..];
        FEATURE_NOT_SUPPORTED                  0x0000_0008 "FeatureNotSupported"                 [V1_0..];
        OPERATION_CANCELED_BY_REQUESTER        0x0000_0009 "OperationCanceledByRequester"        [V1_0..];
        CRYPTOGRAPHIC_FAILURE                  0x0000_000A "CryptographicFailure"                [V1_0..];
        ILLEGAL_OPERATION                      0x0000_000B "IllegalOperation"                    [V1_0..=V1_4];
        PERMISSION_DENIED                      0x0000_000C "PermissionDenied"                    [V1_0..];
        OBJECT_ARCHIVED                        0x0000_000D "ObjectArchived"                      [V1_0..];
        INDEX_OUT_OF_BOUNDS                    0x0000_000E "IndexOutOfBounds"                    [V1_0..=V1_4];
        APPLICATION_NAMESPACE_NOT_SUPPORTED    0x0000_000F "ApplicationNamespaceNotSupported"    [V1_0..];
        KEY_FORMAT_TYPE_NOT_SUPPORTED          0x0000_0010 "KeyFormatTypeNotSupported"           [V1_0..];
        KEY_COMPRESSION_TYPE_NOT_SUPPORTED     0x0000_0011 "KeyCompressionTypeNotSupported"      [V1_0..];
        ENCODING_OPTION_ERROR                  0x0000_0012 "EncodingOptionError"                 [V1_1..];
        KEY_VALUE_NOT_PRESENT                  0x0000_0013 "KeyValueNotPresent"                  [V1_2..];
        ATTESTATION_REQUIRED                   0x0000_0014 "AttestationRequired"                 [V1_2..];
        ATTESTATION_FAILED                     0x0000_0015 "AttestationFailed"                   [V1_2..];
        SENSITIVE                              0x0000_0016 "Sensitive"                           [V1_4..];
        NOT_EXTRACTABLE                        0x0000_0017 "NotExtractable"                      [V1_4..];
        OBJECT_ALREADY_EXISTS                  0x0000_0018 "ObjectAlreadyExists"                 [V1_4..];
        INVALID_TICKET                         0x0000_0019 "InvalidTicket"                       [V2_0..];
        USAGE_LIMIT_EXCEEDED                   0x0000_001A "UsageLimitExceeded"                  [V2_0..];
        NUMERIC_RANGE                          0x0000_001B "NumericRange"                        [V2_0..];
        INVALID_DATA_TYPE                      0x0000_001C "InvalidDataType"                     [V2_0..];
        READ_ONLY_ATTRIBUTE                    0x0000_001D "ReadOnlyAttribute"                   [V2_0..];
        MULTI_VALUED_ATTRIBUTE                 0x0000_001E "MultiValuedAttribute"                [V2_0..];
        UNSUPPORTED_ATTRIBUTE                  0x0000_001F "UnsupportedAttribute"                [V2_0..];
        ATTRIBUTE_INSTANCE_NOT_FOUND           0x0000_0020 "AttributeInstanceNotFound"           [V2_0..];
        ATTRIBUTE_NOT_FOUND                    0x0000_0021 "AttributeNotFound"                   [V2_0..];
        ATTRIBUTE_READ_ONLY                    0x0000_0022 "AttributeReadOnly"                   [V2_0..];
        ATTRIBUTE_SINGLE_VALUED                0x0000_0023 "AttributeSingleValued"               [V2_0..];
        BAD_CRYPTOGRAPHIC_PARAMETERS           0x0000_0024 "BadCryptographicParameters"          [V2_0..];
        BAD_PASSWORD                           0x0000_0025 "BadPassword"                         [V2_0..];
        CODEC_ERROR                            0x0000_0026 "CodecError"                          [V2_0..];
        ILLEGAL_OBJECT_TYPE                    0x0000_0028 "IllegalObjectType"                   [V2_0..];
        INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK  0x0000_0029 "IncompatibleCryptographicUsageMask"  [V2_0..];
        INTERNAL_SERVER_ERROR                  0x0000_002A "InternalServerError"                 [V2_0..];
        INVALID_ASYNCHRONOUS_CORRELATION_VALUE 0x0000_002B "InvalidAsynchronousCorrelationValue" [V2_0..];
        INVALID_ATTRIBUTE                      0x0000_002C "InvalidAttribute"                    [V2_0..];
        INVALID_ATTRIBUTE_VALUE                0x0000_002D "InvalidAttributeValue"               [V2_0..];
        INVALID_CORRELATION_VALUE              0x0000_002E "InvalidCorrelationValue"             [V2_0..];
        INVALID_CSR                            0x0000_002F "InvalidCSR"                          [V2_0..];
        INVALID_OBJECT_TYPE                    0x0000_0030 "InvalidObjectType"                   [V2_0..];
        KEY_WRAP_TYPE_NOT_SUPPORTED            0x0000_0032 "KeyWrapTypeNotSupported"             [V2_0..];
        MISSING_INITIALIZATION_VECTOR          0x0000_0034 "MissingInitializationVector"         [V2_0..];
        NON_UNIQUE_NAME_ATTRIBUTE              0x0000_0035 "NonUniqueNameAttribute"              [V2_0..];
        OBJECT_DESTROYED                       0x0000_0036 "ObjectDestroyed"                     [V2_0..];
        OBJECT_NOT_FOUND                       0x0000_0037 "ObjectNotFound"                      [V2_0..];
        NOT_AUTHORISED                         0x0000_0039 "NotAuthorised"                       [V2_0..];
        SERVER_LIMIT_EXCEEDED                  0x0000_003A "ServerLimitExceeded"                 [V2_0..];
        UNKNOWN_ENUMERATION                    0x0000_003B "UnknownEnumeration"                  [V2_0..];
        UNKNOWN_MESSAGE_EXTENSION              0x0000_003C "UnknownMessageExtension"             [V2_0..];
        UNKNOWN_TAG                            0x0000_003D "UnknownTag"                          [V2_0..];
        UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS   0x0000_003E "UnsupportedCryptographicParameters"  [V2_0..];
        UNSUPPORTED_PROTOCOL_VERSION           0x0000_003F "UnsupportedProtocolVersion"          [V2_0..];
        WRAPPING_OBJECT_ARCHIVED               0x0000_0040 "WrappingObjectArchived"              [V2_0..];
        WRAPPING_OBJECT_DESTROYED              0x0000_0041 "WrappingObjectDestroyed"             [V2_0..];
        WRAPPING_OBJECT_NOT_FOUND              0x0000_0042 "WrappingObjectNotFound"              [V2_0..];
        WRONG_KEY_LIFECYCLE_STATE              0x0000_0043 "WrongKeyLifecycleState"              [V2_0..];
        PROTECTION_STORAGE_UNAVAILABLE         0x0000_0044 "ProtectionStorageUnavailable"        [V2_0..];
        PKCS_11_CODEC_ERROR                    0x0000_0045 "PKCS_11CodecError"                   [V2_0..];
        PKCS_11_INVALID_FUNCTION               0x0000_0046 "PKCS_11InvalidFunction"              [V2_0..];
        PKCS_11_INVALID_INTERFACE              0x0000_0047 "PKCS_11InvalidInterface"             [V2_0..];
        PRIVATE_PROTECTION_STORAGE_UNAVAILABLE 0x0000_0048 "PrivateProtectionStorageUnavailable" [V2_0..];
        PUBLIC_PROTECTION_STORAGE_UNAVAILABLE  0x0000_0049 "PublicProtectionStorageUnavailable"  [V2_0..];
        UNKNOWN_OBJECT_GROUP                   0x0000_004A "UnknownObjectGroup"                  [V2_1..=V2_1];
        CONSTRAINT_VIOLATION                   0x0000_004B "ConstraintViolation"                 [V2_1..];
        DUPLICATE_PROCESS_REQUEST              0x0000_004C "DuplicateProcessRequest"             [V2_1..];
        CIRCULAR_LINK_ERROR                    0x0000_004D "CircularLinkError"                   [V3_0..];
        GENERAL_FAILURE                        0x0000_0100 "GeneralFailure"                      [V1_0..];
    }
}

enumeration! {
    /// Result Status, as KMIP 1.0 introduced it.
    ResultStatus "ResultStatus" {
        SUCCESS           0x0000_0000 "Success"          [V1_0..];
        OPERATION_FAILED  0x0000_0001 "OperationFailed"  [V1_0..];
        OPERATION_PENDING 0x0000_0002 "OperationPending" [V1_0..];
        OPERATION_UNDONE  0x0000_0003 "OperationUndone"  [V1_0..];
    }
}

enumeration! {
    /// Revocation Reason Code, as KMIP 1.0 introduced it.
    RevocationReasonCode "RevocationReasonCode" {
        UNSPECIFIED            0x0000_0001 "Unspecified"          [V1_0..];
        KEY_COMPROMISE         0x0000_0002 "KeyCompromise"        [V1_0..];
        CA_COMPROMISE          0x0000_0003 "CACompromise"         [V1_0..];
        AFFILIATION_CHANGED    0x0000_0004 "AffiliationChanged"   [V1_0..];
        SUPERSEDED             0x0000_0005 "Superseded"           [V1_0..];
        CESSATION_OF_OPERATION 0x0000_0006 "CessationOfOperation" [V1_0..];
        PRIVILEGE_WITHDRAWN    0x0000_0007 "PrivilegeWithdrawn"   [V1_0..];
    }
}

enumeration! {
    /// Rotate Name Type, as KMIP 2.1 introduced it.
    RotateNameType "RotateNameType" {
        UNINTERPRETED_TEXT_STRING 0x0000_0001 "UninterpretedTextString" [V2_1..=V2_1];
        URI                       0x0000_0002 "URI"                     [V2_1..=V2_1];
    }
}

enumeration! {
    /// Secret Data Type, as KMIP 1.0 introduced it.
    SecretDataType "SecretDataType" {
        PASSWORD 0x0000_0001 "Password" [V1_0..];
        SEED     0x0000_0002 "Seed"     [V1_0..];
    }
}

enumeration! {
    /// Shredding Algorithm, as KMIP 1.3 introduced it.
    ShreddingAlgorithm "ShreddingAlgorithm" {
        UNSPECIFIED   0x0000_0001 "Unspecified"   [V1_3..];
        CRYPTOGRAPHIC 0x0000_0002 "Cryptographic" [V1_3..];
        UNSUPPORTED   0x0000_0003 "Unsupported"   [V1_3..];
    }
}

enumeration! {
    /// Split Key Method, as KMIP 1.0 introduced it.
    SplitKeyMethod "SplitKeyMethod" {
        XOR                            0x0000_0001 "XOR"                         [V1_0..];
        POLYNOMIAL_SHARING_GF216       0x0000_0002 "PolynomialSharingGF216"      [V1_0..];
        POLYNOMIAL_SHARING_PRIME_FIELD 0x0000_0003 "PolynomialSharingPrimeField" [V1_0..];
        POLYNOMIAL_SHARING_GF28        0x0000_0004 "PolynomialSharingGF28"       [V1_2..];
    }
}

enumeration! {
    /// Split Key Polynomial, as KMIP 3.0 introduced it.
    SplitKeyPolynomial "SplitKeyPolynomial" {
        POLYNOMIAL_283 0x0000_0001 "Polynomial_283" [V3_0..];
        POLYNOMIAL_285 0x0000_0002 "Polynomial_285" [V3_0..];
    }
}

enumeration! {
    /// State, as KMIP 1.0 introduced it.
    State "State" {
        PRE_ACTIVE            0x0000_0001 "PreActive"            [V1_0..];
        ACTIVE                0x0000_0002 "Active"               [V1_0..];
        DEACTIVATED           0x0000_0003 "Deactivated"          [V1_0..];
        COMPROMISED           0x0000_0004 "Compromised"          [V1_0..];
        DESTROYED             0x0000_0005 "Destroyed"            [V1_0..];
        DESTROYED_COMPROMISED 0x0000_0006 "DestroyedCompromised" [V1_0..];
    }
}

enumeration! {
    /// Ticket Type, as KMIP 2.0 introduced it.
    TicketType "TicketType" {
        LOGIN 0x0000_0001 "Login" [V2_0..];
    }
}

enumeration! {
    /// Unique Identifier, as KMIP 2.0 introduced it.
    UniqueIdentifierEnumeration "UniqueIdentifier" {
        ID_PLACEHOLDER              0x0000_0001 "IDPlaceholder"           [V2_0..];
        CERTIFY                     0x0000_0002 "Certify"                 [V2_0..];
        CREATE                      0x0000_0003 "Create"                  [V2_0..];
        CREATE_KEY_PAIR             0x0000_0004 "CreateKeyPair"           [V2_0..];
        CREATE_KEY_PAIR_PRIVATE_KEY 0x0000_0005 "CreateKeyPairPrivateKey" [V2_0..];
        CREATE_KEY_PAIR_PUBLIC_KEY  0x0000_0006 "CreateKeyPairPublicKey"  [V2_0..];
        CREATE_SPLIT_KEY            0x0000_0007 "CreateSplitKey"          [V2_0..];
        DERIVE_KEY                  0x0000_0008 "DeriveKey"               [V2_0..];
        IMPORT                      0x0000_0009 "Import"                  [V2_0..];
        JOIN_SPLIT_KEY              0x0000_000A "JoinSplitKey"            [V2_0..];
        LOCATE                      0x0000_000B "Locate"                  [V2_0..];
        REGISTER                    0x0000_000C "Register"                [V2_0..];
        RE_KEY                      0x0000_000D "ReKey"                   [V2_0..];
        RE_CERTIFY                  0x0000_000E "ReCertify"               [V2_0..];
        RE_KEY_KEY_PAIR             0x0000_000F "ReKeyKeyPair"            [V2_0..];
        RE_KEY_KEY_PAIR_PRIVATE_KEY 0x0000_0010 "ReKeyKeyPairPrivateKey"  [V2_0..];
        RE_KEY_KEY_PAIR_PUBLIC_KEY  0x0000_0011 "ReKeyKeyPairPublicKey"   [V2_0..];
        RE_PROVISION                0x0000_0012 "ReProvision"             [V3_0..];
        CREATE_USER                 0x0000_0013 "CreateUser"              [V3_0..];
        CREATE_GROUP                0x0000_0014 "CreateGroup"             [V3_0..];
        CREATE_CREDENTIAL           0x0000_0015 "CreateCredential"        [V3_0..];
    }
}

enumeration! {
    /// Unwrap Mode, as KMIP 1.3 introduced it.
    UnwrapMode "UnwrapMode" {
        UNSPECIFIED   0x0000_0001 "Unspecified"  [V1_3..];
        PROCESSED     0x0000_0002 "Processed"    [V1_3..];
        NOT_PROCESSED 0x0000_0003 "NotProcessed" [V1_3..];
    }
}

enumeration! {
    /// Usage Limits Unit, as KMIP 1.0 introduced it.
    UsageLimitsUnit "UsageLimitsUnit" {
        BYTE   0x0000_0001 "Byte"   [V1_0..];
        OBJECT 0x0000_0002 "Object" [V1_0..];
    }
}

enumeration! {
    /// Validation Authority Type, as KMIP 1.3 introduced it.
    ValidationAuthorityType "ValidationAuthorityType" {
        UNSPECIFIED     0x0000_0001 "Unspecified"    [V1_3..];
        NISTCMVP        0x0000_0002 "NISTCMVP"       [V1_3..];
        COMMON_CRITERIA 0x0000_0003 "CommonCriteria" [V1_3..];
    }
}

enumeration! {
    /// Validation Type, as KMIP 1.3 introduced it.
    ValidationType "ValidationType" {
        UNSPECIFIED 0x0000_0001 "Unspecified" [V1_3..];
        HARDWARE    0x0000_0002 "Hardware"    [V1_3..];
        SOFTWARE    0x0000_0003 "Software"    [V1_3..];
        FIRMWARE    0x0000_0004 "Firmware"    [V1_3..];
        HYBRID      0x0000_0005 "Hybrid"      [V1_3..];
    }
}

enumeration! {
    /// Validity Indicator, as KMIP 1.0 introduced it.
    ValidityIndicator "ValidityIndicator" {
        VALID   0x0000_0001 "Valid"   [V1_0..];
        INVALID 0x0000_0002 "Invalid" [V1_0..];
        UNKNOWN 0x0000_0003 "Unknown" [V1_0..];
    }
}

enumeration! {
    /// Wrapping Method, as KMIP 1.0 introduced it.
    WrappingMethod "WrappingMethod" {
        ENCRYPT               0x0000_0001 "Encrypt"            [V1_0..];
        MAC_SIGN              0x0000_0002 "MACSign"            [V1_0..];
        ENCRYPT_THEN_MAC_SIGN 0x0000_0003 "EncryptThenMACSign" [V1_0..];
        MAC_SIGN_THEN_ENCRYPT 0x0000_0004 "MACSignThenEncrypt" [V1_0..];
        TR_31                 0x0000_0005 "TR_31"              [V1_0..];
    }
}

/// Every enumeration, in alphabetical order.
pub const ENUMERATIONS: &[EnumTable] = &[
    EnumTable { name: "AdjustmentType", rows: AdjustmentType::ROWS },
    EnumTable { name: "AlternativeNameType", rows: AlternativeNameType::ROWS },
    EnumTable { name: "AsynchronousIndicator", rows: AsynchronousIndicator::ROWS },
    EnumTable { name: "AttestationType", rows: AttestationType::ROWS },
    EnumTable { name: "BatchErrorContinuationOption", rows: BatchErrorContinuationOption::ROWS },
    EnumTable { name: "BlockCipherMode", rows: BlockCipherMode::ROWS },
    EnumTable { name: "CancellationResult", rows: CancellationResult::ROWS },
    EnumTable { name: "CertificateRequestType", rows: CertificateRequestType::ROWS },
    EnumTable { name: "CertificateType", rows: CertificateType::ROWS },
    EnumTable { name: "ClientRegistrationMethod", rows: ClientRegistrationMethod::ROWS },
    EnumTable { name: "CredentialType", rows: CredentialType::ROWS },
    EnumTable { name: "CryptographicAlgorithm", rows: CryptographicAlgorithm::ROWS },
    EnumTable { name: "DRBGAlgorithm", rows: DrbgAlgorithm::ROWS },
    EnumTable { name: "Data", rows: DataEnumeration::ROWS },
    EnumTable { name: "DeactivationReasonCode", rows: DeactivationReasonCode::ROWS },
    EnumTable { name: "DerivationMethod", rows: DerivationMethod::ROWS },
    EnumTable { name: "DestroyAction", rows: DestroyAction::ROWS },
    EnumTable { name: "DigitalSignatureAlgorithm", rows: DigitalSignatureAlgorithm::ROWS },
    EnumTable { name: "EncodingOption", rows: EncodingOption::ROWS },
    EnumTable { name: "EndpointRole", rows: EndpointRole::ROWS },
    EnumTable { name: "Ephemeral", rows: Ephemeral::ROWS },
    EnumTable { name: "FIPS186Variation", rows: Fips186Variation::ROWS },
    EnumTable { name: "HashingAlgorithm", rows: HashingAlgorithm::ROWS },
    EnumTable { name: "InteropFunction", rows: InteropFunction::ROWS },
    EnumTable { name: "ItemType", rows: ItemTypeEnumeration::ROWS },
    EnumTable { name: "KeyCompressionType", rows: KeyCompressionType::ROWS },
    EnumTable { name: "KeyFormatType", rows: KeyFormatType::ROWS },
    EnumTable { name: "KeyRoleType", rows: KeyRoleType::ROWS },
    EnumTable { name: "KeyValueLocationType", rows: KeyValueLocationType::ROWS },
    EnumTable { name: "KeyWrapType", rows: KeyWrapType::ROWS },
    EnumTable { name: "LinkType", rows: LinkType::ROWS },
    EnumTable { name: "MaskGenerator", rows: MaskGenerator::ROWS },
    EnumTable { name: "NISTKeyType", rows: NistKeyType::ROWS },
    EnumTable { name: "NameType", rows: NameType::ROWS },
    EnumTable { name: "OTPAlgorithm", rows: OtpAlgorithm::ROWS },
    EnumTable { name: "ObjectClass", rows: ObjectClass::ROWS },
    EnumTable { name: "ObjectGroupMember", rows: ObjectGroupMember::ROWS },
    EnumTable { name: "ObjectType", rows: ObjectType::ROWS },
    EnumTable { name: "OpaqueDataType", rows: OpaqueDataType::ROWS },
    EnumTable { name: "Operation", rows: Operation::ROWS },
    EnumTable { name: "PKCS_11Function", rows: Pkcs11Function::ROWS },
    EnumTable { name: "PKCS_11ReturnCode", rows: Pkcs11ReturnCode::ROWS },
    EnumTable { name: "PaddingMethod", rows: PaddingMethod::ROWS },
    EnumTable { name: "ProcessingStage", rows: ProcessingStage::ROWS },
    EnumTable { name: "ProfileName", rows: ProfileName::ROWS },
    EnumTable { name: "ProtectionLevel", rows: ProtectionLevel::ROWS },
    EnumTable { name: "PutFunction", rows: PutFunction::ROWS },
    EnumTable { name: "QueryFunction", rows: QueryFunction::ROWS },
    EnumTable { name: "RNGAlgorithm", rows: RngAlgorithm::ROWS },
    EnumTable { name: "RNGMode", rows: RngMode::ROWS },
    EnumTable { name: "RecommendedCurve", rows: RecommendedCurve::ROWS },
    EnumTable { name: "ResultReason", rows: ResultReason::ROWS },
    EnumTable { name: "ResultStatus", rows: ResultStatus::ROWS },
    EnumTable { name: "RevocationReasonCode", rows: RevocationReasonCode::ROWS },
    EnumTable { name: "RotateNameType", rows: RotateNameType::ROWS },
    EnumTable { name: "SecretDataType", rows: SecretDataType::ROWS },
    EnumTable { name: "ShreddingAlgorithm", rows: ShreddingAlgorithm::ROWS },
    EnumTable { name: "SplitKeyMethod", rows: SplitKeyMethod::ROWS },
    EnumTable { name: "SplitKeyPolynomial", rows: SplitKeyPolynomial::ROWS },
    EnumTable { name: "State", rows: State::ROWS },
    EnumTable { name: "TicketType", rows: TicketType::ROWS },
    EnumTable { name: "UniqueIdentifier", rows: UniqueIdentifierEnumeration::ROWS },
    EnumTable { name: "UnwrapMode", rows: UnwrapMode::ROWS },
    EnumTable { name: "UsageLimitsUnit", rows: UsageLimitsUnit::ROWS },
    EnumTable { name: "ValidationAuthorityType", rows: ValidationAuthorityType::ROWS },
    EnumTable { name: "ValidationType", rows: ValidationType::ROWS },
    EnumTable { name: "ValidityIndicator", rows: ValidityIndicator::ROWS },
    EnumTable { name: "WrappingMethod", rows: WrappingMethod::ROWS },
];
