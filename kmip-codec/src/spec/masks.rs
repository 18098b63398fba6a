//! Every bit mask of every version (KMIP 1.0 §9.1.3.3 and its successors).
//!
//! A mask travels as an Integer. Bits outside the table survive a round trip, like unknown enumeration values.

use std::fmt;
use std::ops::{BitAnd, BitOr};

use crate::codec::Codec;
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::spec::enums::{EnumRow, EnumTable};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, ItemType, Value, Writer, wrong_type};
use crate::version::{ProtocolVersion, versions};

macro_rules! mask {
    ($(#[$meta:meta])* $type:ident $title:literal {
        $($constant:ident $number:literal $name:literal [$($versions:tt)+];)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $type(u32);

        impl $type {
            $(
                #[doc = concat!($name, ", ", stringify!($number), ".")]
                pub const $constant: Self = Self($number);
            )+

            /// No bit.
            pub const EMPTY: Self = Self(0);

            /// The rows of this mask, lowest bit first.
            pub const ROWS: &'static [EnumRow] = &[
                $(EnumRow { number: $number, name: $name, versions: versions!($($versions)+) },)+
            ];

            /// The mask with these bits, known or not.
            pub const fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// All bits.
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Tells whether every bit of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bits that `version` defines.
            #[must_use]
            pub fn defined(self, version: ProtocolVersion) -> Self {
                let known = Self::ROWS.iter().filter(|row| row.versions.contains(version)).map(|row| row.number);
                Self(self.0 & known.fold(0, |all, bit| all | bit))
            }
        }

        impl Codec for $type {
            fn decode(item: &Item<'_>, _: Context) -> Result<Self, DecodeError> {
                match item.value {
                    Value::Integer(bits) => Ok(Self(bits.cast_unsigned())),
                    _ => Err(wrong_type(item, ItemType::Integer)),
                }
            }

            fn encode(&self, tag: Tag, writer: &mut Writer) {
                writer.integer(tag, self.0.cast_signed());
            }
        }

        impl Sample for $type {
            fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
                Self(seeds.row(Self::ROWS, version) | seeds.row(Self::ROWS, version))
            }
        }

        impl BitOr for $type {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitAnd for $type {
            type Output = Self;

            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut rest = self.0;
                for row in Self::ROWS.iter().filter(|row| self.0 & row.number != 0) {
                    let separator = if rest == self.0 { "" } else { "|" };
                    write!(f, "{separator}{}", row.name)?;
                    rest &= !row.number;
                }
                if rest != 0 || self.0 == 0 { write!(f, "+{rest:08X}") } else { Ok(()) }
            }
        }
    };
}

mask! {
    /// Cryptographic Usage Mask, as KMIP 1.0 introduced it.
    CryptographicUsageMask "CryptographicUsageMask" {
        SIGN                               0x0000_0001 "Sign"                            [V1_0..];
        VERIFY                             0x0000_0002 "Verify"                          [V1_0..];
        ENCRYPT                            0x0000_0004 "Encrypt"                         [V1_0..];
        DECRYPT                            0x0000_0008 "Decrypt"                         [V1_0..];
        WRAP_KEY                           0x0000_0010 "WrapKey"                         [V1_0..];
        UNWRAP_KEY                         0x0000_0020 "UnwrapKey"                       [V1_0..];
        EXPORT                             0x0000_0040 "Export"                          [V1_0..=V1_4];
        MAC_GENERATE                       0x0000_0080 "MACGenerate"                     [V1_0..];
        MAC_VERIFY                         0x0000_0100 "MACVerify"                       [V1_0..];
        DERIVE_KEY                         0x0000_0200 "DeriveKey"                       [V1_0..];
        CONTENT_COMMITMENT_NON_REPUDIATION 0x0000_0400 "ContentCommitmentNonRepudiation" [V1_0..=V1_4];
        KEY_AGREEMENT                      0x0000_0800 "KeyAgreement"                    [V1_0..];
        CERTIFICATE_SIGN                   0x0000_1000 "CertificateSign"                 [V1_0..];
        CRL_SIGN                           0x0000_2000 "CRLSign"                         [V1_0..];
        GENERATE_CRYPTOGRAM                0x0000_4000 "GenerateCryptogram"              [V1_0..=V1_4];
        VALIDATE_CRYPTOGRAM                0x0000_8000 "ValidateCryptogram"              [V1_0..=V1_4];
        TRANSLATE_ENCRYPT                  0x0001_0000 "TranslateEncrypt"                [V1_0..=V1_4];
        TRANSLATE_DECRYPT                  0x0002_0000 "TranslateDecrypt"                [V1_0..=V1_4];
        TRANSLATE_WRAP                     0x0004_0000 "TranslateWrap"                   [V1_0..=V1_4];
        TRANSLATE_UNWRAP                   0x0008_0000 "TranslateUnwrap"                 [V1_0..=V1_4];
        AUTHENTICATE                       0x0010_0000 "Authenticate"                    [V2_0..];
        UNRESTRICTED                       0x0020_0000 "Unrestricted"                    [V2_0..];
        FPE_ENCRYPT                        0x0040_0000 "FPEEncrypt"                      [V2_0..];
        FPE_DECRYPT                        0x0080_0000 "FPEDecrypt"                      [V2_0..];
    }
}

mask! {
    /// Object Class Mask, as KMIP 3.0 introduced it.
    ObjectClassMask "ObjectClassMask" {
        USER   0x0000_0001 "User"   [V3_0..];
        SYSTEM 0x0000_0002 "System" [V3_0..];
    }
}

mask! {
    /// Protection Storage Mask, as KMIP 2.0 introduced it.
    ProtectionStorageMask "ProtectionStorageMask" {
        SOFTWARE          0x0000_0001 "Software"         [V2_0..];
        HARDWARE          0x0000_0002 "Hardware"         [V2_0..];
        ON_PROCESSOR      0x0000_0004 "OnProcessor"      [V2_0..];
        ON_SYSTEM         0x0000_0008 "OnSystem"         [V2_0..];
        OFF_SYSTEM        0x0000_0010 "OffSystem"        [V2_0..];
        HYPERVISOR        0x0000_0020 "Hypervisor"       [V2_0..];
        OPERATING_SYSTEM  0x0000_0040 "OperatingSystem"  [V2_0..];
        CONTAINER         0x0000_0080 "Container"        [V2_0..];
        ON_PREMISES       0x0000_0100 "OnPremises"       [V2_0..];
        OFF_PREMISES      0x0000_0200 "OffPremises"      [V2_0..];
        SELF_MANAGED      0x0000_0400 "SelfManaged"      [V2_0..];
        OUTSOURCED        0x0000_0800 "Outsourced"       [V2_0..];
        VALIDATED         0x0000_1000 "Validated"        [V2_0..];
        SAME_JURISDICTION 0x0000_2000 "SameJurisdiction" [V2_0..];
    }
}

mask! {
    /// Storage Status Mask, as KMIP 1.0 introduced it.
    StorageStatusMask "StorageStatusMask" {
        ON_LINE_STORAGE   0x0000_0001 "OnLineStorage"    [V1_0..];
        ARCHIVAL_STORAGE  0x0000_0002 "ArchivalStorage"  [V1_0..];
        DESTROYED_STORAGE 0x0000_0004 "DestroyedStorage" [V2_0..];
    }
}

/// Every mask, in alphabetical order.
pub const MASKS: &[EnumTable] = &[
    EnumTable { name: "CryptographicUsageMask", rows: CryptographicUsageMask::ROWS },
    EnumTable { name: "ObjectClassMask", rows: ObjectClassMask::ROWS },
    EnumTable { name: "ProtectionStorageMask", rows: ProtectionStorageMask::ROWS },
    EnumTable { name: "StorageStatusMask", rows: StorageStatusMask::ROWS },
];
