//! Every attribute of every version (KMIP 1.0 §3, 2.1 §4, 3.0), in alphabetical order.
//!
//! The tag names an attribute within us, whatever the version: 1.x writes its name as text, later versions write the
//! tag. Links are one attribute up to 2.1 and one attribute a kind of link in 3.0; see [`LINKS`].

use crate::spec::enums::{self, EnumRow, LinkType};
use crate::spec::masks;
use crate::spec::tags::Tag;
use crate::version::{ProtocolVersion, VersionRange, versions};

/// The form of the value of an attribute.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Integer.
    Integer,
    /// Long Integer.
    LongInteger,
    /// Boolean.
    Boolean,
    /// Enumeration, and its rows.
    Enumeration(&'static [EnumRow]),
    /// Integer that is a mask, and its rows.
    Mask(&'static [EnumRow]),
    /// Text String.
    Text,
    /// Byte String.
    Bytes,
    /// Date-Time.
    DateTime,
    /// Interval.
    Interval,
    /// A unique identifier.
    Identifier,
    /// The identifier or name of another object (3.0).
    Reference,
    /// Name.
    Name,
    /// Link.
    Link,
    /// Cryptographic Parameters.
    CryptographicParameters,
    /// Cryptographic Domain Parameters.
    CryptographicDomainParameters,
    /// X.509 Certificate Identifier.
    X509CertificateIdentifier,
    /// X.509 Certificate Subject.
    X509CertificateSubject,
    /// X.509 Certificate Issuer.
    X509CertificateIssuer,
    /// Certificate Identifier.
    CertificateIdentifier,
    /// Certificate Subject.
    CertificateSubject,
    /// Certificate Issuer.
    CertificateIssuer,
    /// Digest.
    Digest,
    /// Usage Limits.
    UsageLimits,
    /// Revocation Reason.
    RevocationReason,
    /// Deactivation Reason.
    DeactivationReason,
    /// Application Specific Information.
    ApplicationSpecificInformation,
    /// Alternative Name.
    AlternativeName,
    /// Key Value Location.
    KeyValueLocation,
    /// RNG Parameters.
    RngParameters,
    /// Rotate Name.
    RotateName,
}

/// How many instances of an attribute an object may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instances {
    /// At most one.
    One,
    /// Any number.
    Many,
}

/// One row of the attribute table.
#[derive(Clone, Copy, Debug)]
pub struct AttributeRow {
    /// The tag, which is also the name within us.
    pub tag: Tag,
    /// The name 1.x gives it; in 1.x only attributes that exist there are looked up.
    pub name: &'static str,
    /// The form of its value.
    pub shape: Shape,
    /// How many instances an object may have.
    pub instances: Instances,
    /// The versions that have it.
    pub versions: VersionRange,
}

/// The row of the attribute with this tag, if `version` has it.
pub fn by_tag(tag: Tag, version: ProtocolVersion) -> Option<&'static AttributeRow> {
    any_by_tag(tag).filter(|row| row.versions.contains(version))
}

/// The row of the attribute with this tag, in whatever version.
pub fn any_by_tag(tag: Tag) -> Option<&'static AttributeRow> {
    let position = BY_TAG.get(usize::try_from(tag.number().checked_sub(FIRST_TAG)?).ok()?)?;
    ATTRIBUTES.get(usize::from(*position))
}

/// The row of the attribute with this 1.x name, if `version` has it. Names are compared exactly.
pub fn by_name(name: &str, version: ProtocolVersion) -> Option<&'static AttributeRow> {
    let position = ATTRIBUTES.binary_search_by(|row| row.name.cmp(name)).ok()?;
    ATTRIBUTES.get(position).filter(|row| row.versions.contains(version))
}

/// The 3.0 attribute for a kind of link.
pub fn link_tag(link_type: LinkType) -> Option<Tag> {
    LINKS.iter().find(|(known, _)| *known == link_type).map(|(_, tag)| *tag)
}

/// The kind of link a 3.0 attribute stands for.
pub fn link_type(tag: Tag) -> Option<LinkType> {
    LINKS.iter().find(|(_, known)| *known == tag).map(|(link_type, _)| *link_type)
}

/// Link Type up to 2.1, attribute in 3.0.
pub const LINKS: &[(LinkType, Tag)] = &[
    (LinkType::CERTIFICATE_LINK, Tag::CERTIFICATE_LINK),
    (LinkType::PUBLIC_KEY_LINK, Tag::PUBLIC_KEY_LINK),
    (LinkType::PRIVATE_KEY_LINK, Tag::PRIVATE_KEY_LINK),
    (LinkType::DERIVATION_BASE_OBJECT_LINK, Tag::DERIVATION_OBJECT_LINK),
    (LinkType::DERIVED_KEY_LINK, Tag::DERIVED_OBJECT_LINK),
    (LinkType::REPLACEMENT_OBJECT_LINK, Tag::REPLACEMENT_OBJECT_LINK),
    (LinkType::REPLACED_OBJECT_LINK, Tag::REPLACED_OBJECT_LINK),
    (LinkType::PARENT_LINK, Tag::PARENT_LINK),
    (LinkType::CHILD_LINK, Tag::CHILD_LINK),
    (LinkType::PREVIOUS_LINK, Tag::PREVIOUS_LINK),
    (LinkType::NEXT_LINK, Tag::NEXT_LINK),
    (LinkType::PKCS_12_CERTIFICATE_LINK, Tag::PKCS_12_CERTIFICATE_LINK),
    (LinkType::PKCS_12_PASSWORD_LINK, Tag::PKCS_12_PASSWORD_LINK),
    (LinkType::WRAPPING_KEY_LINK, Tag::WRAPPING_KEY_LINK),
];

/// The number of the first standard tag.
const FIRST_TAG: u32 = Tag::ACTIVATION_DATE.number();

/// No attribute.
const NONE: u8 = u8::MAX;

/// Positions in [`ATTRIBUTES`], by tag; attributes are looked up for every field of an `Attributes` structure.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index stops the build")]
const BY_TAG: [u8; 512] = {
    let mut positions = [NONE; 512];
    let mut position: u8 = 0;
    while (position as usize) < ATTRIBUTES.len() {
        positions[(ATTRIBUTES[position as usize].tag.number() - FIRST_TAG) as usize] = position;
        position += 1;
    }
    positions
};

macro_rules! shape {
    (Enumeration $type:ident) => {
        Shape::Enumeration(enums::$type::ROWS)
    };
    (Mask $type:ident) => {
        Shape::Mask(masks::$type::ROWS)
    };
    ($shape:ident) => {
        Shape::$shape
    };
}

macro_rules! attributes {
    ($($tag:ident $name:literal $instances:ident [$($versions:tt)+] $($shape:ident)+;)+) => {
        /// Every attribute, in alphabetical order.
        pub const ATTRIBUTES: &[AttributeRow] = &[$(
            AttributeRow {
                tag: Tag::$tag,
                name: $name,
                shape: shape!($($shape)+),
                instances: Instances::$instances,
                versions: versions!($($versions)+),
            },
        )+];
    };
}

attributes! {
    ACTIVATION_DATE                   "Activation Date"                   One  [V1_0..]      DateTime;
    ALTERNATIVE_NAME                  "Alternative Name"                  Many [V1_2..]      AlternativeName;
    ALWAYS_SENSITIVE                  "Always Sensitive"                  One  [V1_4..]      Boolean;
    APPLICATION_SPECIFIC_INFORMATION  "Application Specific Information"  Many [V1_0..]      ApplicationSpecificInformation;
    ARCHIVE_DATE                      "Archive Date"                      One  [V1_0..]      DateTime;
    CERTIFICATE_IDENTIFIER            "Certificate Identifier"            One  [V1_0..=V1_4] CertificateIdentifier;
    CERTIFICATE_ISSUER                "Certificate Issuer"                One  [V1_0..=V1_4] CertificateIssuer;
    CERTIFICATE_ISSUER_C              "Certificate Issuer C"              Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_CN             "Certificate Issuer CN"             Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_DC             "Certificate Issuer DC"             Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_DN             "Certificate Issuer DN"             One  [V3_0..]      Bytes;
    CERTIFICATE_ISSUER_DN_QUALIFIER   "Certificate Issuer DN Qualifier"   Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_EMAIL          "Certificate Issuer Email"          Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_L              "Certificate Issuer L"              Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_O              "Certificate Issuer O"              Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_OU             "Certificate Issuer OU"             Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_ST             "Certificate Issuer ST"             Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_SERIAL_NUMBER  "Certificate Issuer Serial Number"  Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_TITLE          "Certificate Issuer Title"          Many [V1_4..]      Text;
    CERTIFICATE_ISSUER_UID            "Certificate Issuer UID"            Many [V1_4..]      Text;
    CERTIFICATE_LENGTH                "Certificate Length"                One  [V1_1..]      Integer;
    CERTIFICATE_LINK                  "Certificate Link"                  Many [V3_0..]      Link;
    CERTIFICATE_REQUEST_LINK          "Certificate Request Link"          Many [V3_0..]      Reference;
    CERTIFICATE_SUBJECT               "Certificate Subject"               One  [V1_0..=V1_4] CertificateSubject;
    CERTIFICATE_SUBJECT_C             "Certificate Subject C"             Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_CN            "Certificate Subject CN"            Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_DC            "Certificate Subject DC"            Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_DN            "Certificate Subject DN"            One  [V3_0..]      Bytes;
    CERTIFICATE_SUBJECT_DN_QUALIFIER  "Certificate Subject DN Qualifier"  Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_EMAIL         "Certificate Subject Email"         Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_L             "Certificate Subject L"             Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_O             "Certificate Subject O"             Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_OU            "Certificate Subject OU"            Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_ST            "Certificate Subject ST"            Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_SERIAL_NUMBER "Certificate Subject Serial Number" Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_TITLE         "Certificate Subject Title"         Many [V1_4..]      Text;
    CERTIFICATE_SUBJECT_UID           "Certificate Subject UID"           Many [V1_4..]      Text;
    CERTIFICATE_TYPE                  "Certificate Type"                  One  [V1_0..]      Enumeration CertificateType;
    CERTIFY_COUNTER                   "Certify Counter"                   One  [V3_0..]      LongInteger;
    CHILD_LINK                        "Child Link"                        Many [V3_0..]      Link;
    COMMENT                           "Comment"                           One  [V1_4..]      Text;
    COMPROMISE_DATE                   "Compromise Date"                   One  [V1_0..]      DateTime;
    COMPROMISE_OCCURRENCE_DATE        "Compromise Occurrence Date"        One  [V1_0..]      DateTime;
    CONTACT_INFORMATION               "Contact Information"               One  [V1_0..]      Text;
    CREDENTIAL_LINK                   "Credential Link"                   Many [V3_0..]      Reference;
    CREDENTIAL_TYPE                   "Credential Type"                   One  [V3_0..]      Enumeration CredentialType;
    CRYPTOGRAPHIC_ALGORITHM           "Cryptographic Algorithm"           One  [V1_0..]      Enumeration CryptographicAlgorithm;
    CRYPTOGRAPHIC_DOMAIN_PARAMETERS   "Cryptographic Domain Parameters"   One  [V1_0..]      CryptographicDomainParameters;
    CRYPTOGRAPHIC_LENGTH              "Cryptographic Length"              One  [V1_0..]      Integer;
    CRYPTOGRAPHIC_PARAMETERS          "Cryptographic Parameters"          Many [V1_0..]      CryptographicParameters;
    CRYPTOGRAPHIC_USAGE_MASK          "Cryptographic Usage Mask"          One  [V1_0..]      Mask CryptographicUsageMask;
    DEACTIVATION_DATE                 "Deactivation Date"                 One  [V1_0..]      DateTime;
    DEACTIVATION_REASON               "Deactivation Reason"               One  [V3_0..]      DeactivationReason;
    DECRYPT_COUNTER                   "Decrypt Counter"                   One  [V3_0..]      LongInteger;
    DERIVATION_OBJECT_LINK            "Derivation Object Link"            Many [V3_0..]      Link;
    DERIVED_OBJECT_LINK               "Derived Object Link"               Many [V3_0..]      Link;
    DESCRIPTION                       "Description"                       One  [V1_4..]      Text;
    DESTROY_DATE                      "Destroy Date"                      One  [V1_0..]      DateTime;
    DIGEST                            "Digest"                            Many [V1_0..]      Digest;
    DIGITAL_SIGNATURE_ALGORITHM       "Digital Signature Algorithm"       Many [V1_1..]      Enumeration DigitalSignatureAlgorithm;
    ENCRYPT_COUNTER                   "Encrypt Counter"                   One  [V3_0..]      LongInteger;
    EXTRACTABLE                       "Extractable"                       One  [V1_4..]      Boolean;
    FRESH                             "Fresh"                             One  [V1_1..]      Boolean;
    GROUP_LINK                        "Group Link"                        Many [V3_0..]      Reference;
    INITIAL_DATE                      "Initial Date"                      One  [V1_0..]      DateTime;
    JOINED_SPLIT_KEY_PARTS_LINK       "Joined Split Key Parts Link"       Many [V3_0..]      Reference;
    KEY_FORMAT_TYPE                   "Key Format Type"                   One  [V2_0..]      Enumeration KeyFormatType;
    KEY_PART_IDENTIFIER               "Key Part Identifier"               One  [V3_0..]      Integer;
    KEY_VALUE_LOCATION                "Key Value Location"                Many [V1_2..]      KeyValueLocation;
    KEY_VALUE_PRESENT                 "Key Value Present"                 One  [V1_2..]      Boolean;
    LAST_CHANGE_DATE                  "Last Change Date"                  One  [V1_0..]      DateTime;
    LEASE_TIME                        "Lease Time"                        One  [V1_0..]      Interval;
    LINK                              "Link"                              Many [V1_0..=V2_1] Link;
    NIST_KEY_TYPE                     "NIST Key Type"                     Many [V2_0..]      Enumeration NistKeyType;
    NIST_SECURITY_CATEGORY            "NIST Security Category"            One  [V3_0..]      Integer;
    NAME                              "Name"                              Many [V1_0..]      Name;
    NEVER_EXTRACTABLE                 "Never Extractable"                 One  [V1_4..]      Boolean;
    NEXT_LINK                         "Next Link"                         Many [V3_0..]      Link;
    OTP_COUNTER                       "OTP Counter"                       One  [V3_0..]      LongInteger;
    OBJECT_CLASS                      "Object Class"                      One  [V3_0..]      Enumeration ObjectClass;
    OBJECT_GROUP                      "Object Group"                      Many [V1_0..=V2_1] Text;
    OBJECT_TYPE                       "Object Type"                       One  [V1_0..]      Enumeration ObjectType;
    OPAQUE_DATA_TYPE                  "Opaque Data Type"                  One  [V2_0..]      Enumeration OpaqueDataType;
    OPERATION_POLICY_NAME             "Operation Policy Name"             One  [V1_0..=V1_4] Text;
    ORIGINAL_CREATION_DATE            "Original Creation Date"            One  [V1_2..]      DateTime;
    PKCS_12_CERTIFICATE_LINK          "PKCS#12 Certificate Link"          Many [V3_0..]      Link;
    PKCS_12_FRIENDLY_NAME             "PKCS#12 Friendly Name"             One  [V1_4..]      Text;
    PKCS_12_PASSWORD_LINK             "PKCS#12 Password Link"             Many [V3_0..]      Link;
    PARENT_LINK                       "Parent Link"                       Many [V3_0..]      Link;
    PASSWORD_LINK                     "Password Link"                     Many [V3_0..]      Reference;
    PREVIOUS_LINK                     "Previous Link"                     Many [V3_0..]      Link;
    PRIVATE_KEY_LINK                  "Private Key Link"                  Many [V3_0..]      Link;
    PROCESS_START_DATE                "Process Start Date"                One  [V1_0..]      DateTime;
    PROTECT_STOP_DATE                 "Protect Stop Date"                 One  [V1_0..]      DateTime;
    PROTECTION_LEVEL                  "Protection Level"                  One  [V2_0..]      Enumeration ProtectionLevel;
    PROTECTION_PERIOD                 "Protection Period"                 One  [V2_0..]      Interval;
    PROTECTION_STORAGE_MASK           "Protection Storage Mask"           One  [V2_0..]      Mask ProtectionStorageMask;
    PUBLIC_KEY_LINK                   "Public Key Link"                   Many [V3_0..]      Link;
    QUANTUM_SAFE                      "Quantum Safe"                      One  [V2_0..]      Boolean;
    RANDOM_NUMBER_GENERATOR           "Random Number Generator"           One  [V1_3..]      RngParameters;
    REPLACED_OBJECT_LINK              "Replaced Object Link"              Many [V3_0..]      Link;
    REPLACEMENT_OBJECT_LINK           "Replacement Object Link"           Many [V3_0..]      Link;
    REVOCATION_REASON                 "Revocation Reason"                 One  [V1_0..]      RevocationReason;
    ROTATE_AUTOMATIC                  "Rotate Automatic"                  One  [V2_1..]      Boolean;
    ROTATE_DATE                       "Rotate Date"                       One  [V2_1..]      DateTime;
    ROTATE_GENERATION                 "Rotate Generation"                 One  [V2_1..]      Integer;
    ROTATE_INTERVAL                   "Rotate Interval"                   One  [V2_1..]      Interval;
    ROTATE_LATEST                     "Rotate Latest"                     One  [V2_1..]      Boolean;
    ROTATE_NAME                       "Rotate Name"                       One  [V2_1..]      RotateName;
    ROTATE_OFFSET                     "Rotate Offset"                     One  [V2_1..]      Interval;
    SENSITIVE                         "Sensitive"                         One  [V1_4..]      Boolean;
    SHORT_UNIQUE_IDENTIFIER           "Short Unique Identifier"           One  [V2_0..]      Bytes;
    SIGN_COUNTER                      "Sign Counter"                      One  [V3_0..]      LongInteger;
    SIGNATURE_VERIFY_COUNTER          "Signature Verify Counter"          One  [V3_0..]      LongInteger;
    SPLIT_KEY_BASE_LINK               "Split Key Base Link"               Many [V3_0..]      Reference;
    SPLIT_KEY_METHOD                  "Split Key Method"                  One  [V3_0..]      Enumeration SplitKeyMethod;
    SPLIT_KEY_PARTS                   "Split Key Parts"                   One  [V3_0..]      Integer;
    SPLIT_KEY_POLYNOMIAL              "Split Key Polynomial"              One  [V3_0..]      Enumeration SplitKeyPolynomial;
    SPLIT_KEY_THRESHOLD               "Split Key Threshold"               One  [V3_0..]      Integer;
    STATE                             "State"                             One  [V1_0..]      Enumeration State;
    UNIQUE_IDENTIFIER                 "Unique Identifier"                 One  [V1_0..]      Identifier;
    USAGE_LIMITS                      "Usage Limits"                      One  [V1_0..]      UsageLimits;
    WRAPPING_KEY_LINK                 "Wrapping Key Link"                 Many [V3_0..]      Link;
    X_509_CERTIFICATE_IDENTIFIER      "X.509 Certificate Identifier"      One  [V1_1..]      X509CertificateIdentifier;
    X_509_CERTIFICATE_ISSUER          "X.509 Certificate Issuer"          One  [V1_1..]      X509CertificateIssuer;
    X_509_CERTIFICATE_SUBJECT         "X.509 Certificate Subject"         One  [V1_1..]      X509CertificateSubject;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_exists_no_longer_than_its_tag() {
        for row in ATTRIBUTES {
            for version in row.versions.versions() {
                assert!(row.tag.is_defined(version), "{} {version}", row.name);
            }
        }
    }

    #[test]
    fn rows_are_found_by_tag_and_by_name() {
        assert!(ATTRIBUTES.is_sorted_by(|one, next| one.name < next.name) && ATTRIBUTES.len() < usize::from(NONE));
        for row in ATTRIBUTES {
            assert_eq!(any_by_tag(row.tag).map(|found| found.name), Some(row.name));
            for version in row.versions.versions() {
                assert_eq!(by_name(row.name, version).map(|found| found.tag), Some(row.tag));
            }
        }
        for number in [0, 0x42_0000, 0x42_0007, 0x42_0200, 0x42_0201, 0x54_0001] {
            assert!(any_by_tag(Tag::from_number(number)).is_none(), "{number:06X}");
        }
    }

    #[test]
    fn tags_and_names_are_unique() {
        for (position, row) in ATTRIBUTES.iter().enumerate() {
            let others = &ATTRIBUTES[position + 1..];
            assert!(others.iter().all(|other| other.tag != row.tag && other.name != row.name), "{}", row.name);
        }
    }

    #[test]
    fn every_link_type_has_an_attribute() {
        for row in LinkType::ROWS {
            let tag = link_tag(LinkType::from_number(row.number)).expect(row.name);
            assert!(any_by_tag(tag).is_some_and(|row| matches!(row.shape, Shape::Link)), "{tag}");
        }
    }
}
