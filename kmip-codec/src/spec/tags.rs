//! Every tag of every version (KMIP 1.0 §9.1.3.1 and its successors).
//!
//! A tag keeps its number for ever, so a version only decides whether the tag exists in it. Numbers outside the table
//! survive: extensions (54xxxx) and tags of later versions are ordinary values of [`Tag`].

use std::fmt;
use std::sync::LazyLock;

use crate::version::{ProtocolVersion, VersionRange, versions};

/// The three-byte tag of an item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u32);

impl Tag {
    /// The tag with this number; only the lower three bytes can be written.
    pub const fn from_number(number: u32) -> Self {
        Self(number & 0x00FF_FFFF)
    }

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Standard tags begin with 42, extensions with 54; there are no others.
    pub const fn is_legal(self) -> bool {
        matches!(self.0 >> 16, 0x42 | 0x54)
    }

    /// The row of this tag, if it is a standard one.
    pub fn row(self) -> Option<&'static TagRow> {
        // The numbers begin at 0x42_0001 with few gaps, so a row lies at or shortly before the position they suggest.
        let guess = usize::try_from(self.0.checked_sub(0x42_0001)?).ok()?.min(TAGS.len() - 1);
        TAGS.get(..=guess)?.iter().rev().take_while(|row| row.tag >= self).find(|row| row.tag == self)
    }

    /// The name of the tag, if the tag is a standard one.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// The tag with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        // Text messages look up every tag by name, so the names are sorted once.
        static BY_NAME: LazyLock<Vec<&TagRow>> = LazyLock::new(|| {
            let mut rows: Vec<_> = TAGS.iter().collect();
            rows.sort_unstable_by_key(|row| row.name);
            rows
        });
        let at = BY_NAME.binary_search_by(|row| row.name.cmp(name)).ok()?;
        BY_NAME.get(at).map(|row| row.tag)
    }

    /// Tells whether `version` defines the tag.
    pub fn is_defined(self, version: ProtocolVersion) -> bool {
        self.row().is_some_and(|row| row.versions.contains(version))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:06X}", self.0),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One row of the tag table.
#[derive(Clone, Copy, Debug)]
pub struct TagRow {
    /// The tag.
    pub tag: Tag,
    /// Its name.
    pub name: &'static str,
    /// The versions that define it.
    pub versions: VersionRange,
}

macro_rules! tags {
    ($($constant:ident $number:literal $name:literal [$($versions:tt)+];)+) => {
        impl Tag {
            $(
                #[doc = concat!($name, ", ", stringify!($number), ".")]
                pub const $constant: Self = Self($number);
            )+
        }

        /// Every standard tag, in the order of the numbers.
        pub const TAGS: &[TagRow] = &[
            $(TagRow { tag: Tag::$constant, name: $name, versions: versions!($($versions)+) },)+
        ];
    };
}

tags! {
    ACTIVATION_DATE                          0x42_0001 "ActivationDate"                        [V1_0..];
    APPLICATION_DATA                         0x42_0002 "ApplicationData"                       [V1_0..];
    APPLICATION_NAMESPACE                    0x42_0003 "ApplicationNamespace"                  [V1_0..];
    APPLICATION_SPECIFIC_INFORMATION         0x42_0004 "ApplicationSpecificInformation"        [V1_0..];
    ARCHIVE_DATE                             0x42_0005 "ArchiveDate"                           [V1_0..];
    ASYNCHRONOUS_CORRELATION_VALUE           0x42_0006 "AsynchronousCorrelationValue"          [V1_0..];
    ASYNCHRONOUS_INDICATOR                   0x42_0007 "AsynchronousIndicator"                 [V1_0..];
    ATTRIBUTE                                0x42_0008 "Attribute"                             [V1_0..];
    ATTRIBUTE_INDEX                          0x42_0009 "AttributeIndex"                        [V1_0..=V1_4];
    ATTRIBUTE_NAME                           0x42_000A "AttributeName"                         [V1_0..];
    ATTRIBUTE_VALUE                          0x42_000B "AttributeValue"                        [V1_0..];
    AUTHENTICATION                           0x42_000C "Authentication"                        [V1_0..];
    BATCH_COUNT                              0x42_000D "BatchCount"                            [V1_0..=V2_1];
    BATCH_ERROR_CONTINUATION_OPTION          0x42_000E "BatchErrorContinuationOption"          [V1_0..];
    BATCH_ITEM                               0x42_000F "BatchItem"                             [V1_0..];
    BATCH_ORDER_OPTION                       0x42_0010 "BatchOrderOption"                      [V1_0..=V2_1];
    BLOCK_CIPHER_MODE                        0x42_0011 "BlockCipherMode"                       [V1_0..];
    CANCELLATION_RESULT                      0x42_0012 "CancellationResult"                    [V1_0..];
    CERTIFICATE                              0x42_0013 "Certificate"                           [V1_0..];
    CERTIFICATE_IDENTIFIER                   0x42_0014 "CertificateIdentifier"                 [V1_0..=V1_4];
    CERTIFICATE_ISSUER                       0x42_0015 "CertificateIssuer"                     [V1_0..=V1_4];
    CERTIFICATE_ISSUER_ALTERNATIVE_NAME      0x42_0016 "CertificateIssuerAlternativeName"      [V1_0..=V1_4];
    CERTIFICATE_ISSUER_DISTINGUISHED_NAME    0x42_0017 "CertificateIssuerDistinguishedName"    [V1_0..=V1_4];
    CERTIFICATE_REQUEST                      0x42_0018 "CertificateRequest"                    [V1_0..];
    CERTIFICATE_REQUEST_TYPE                 0x42_0019 "CertificateRequestType"                [V1_0..];
    CERTIFICATE_SUBJECT                      0x42_001A "CertificateSubject"                    [V1_0..=V1_4];
    CERTIFICATE_SUBJECT_ALTERNATIVE_NAME     0x42_001B "CertificateSubjectAlternativeName"     [V1_0..=V1_4];
    CERTIFICATE_SUBJECT_DISTINGUISHED_NAME   0x42_001C "CertificateSubjectDistinguishedName"   [V1_0..=V1_4];
    CERTIFICATE_TYPE                         0x42_001D "CertificateType"                       [V1_0..];
    CERTIFICATE_VALUE                        0x42_001E "CertificateValue"                      [V1_0..];
    COMMON_TEMPLATE_ATTRIBUTE                0x42_001F "CommonTemplateAttribute"               [V1_0..=V1_4];
    COMPROMISE_DATE                          0x42_0020 "CompromiseDate"                        [V1_0..];
    COMPROMISE_OCCURRENCE_DATE               0x42_0021 "CompromiseOccurrenceDate"              [V1_0..];
    CONTACT_INFORMATION                      0x42_0022 "ContactInformation"                    [V1_0..];
    CREDENTIAL                               0x42_0023 "Credential"                            [V1_0..];
    CREDENTIAL_TYPE                          0x42_0024 "CredentialType"                        [V1_0..];
    CREDENTIAL_VALUE                         0x42_0025 "CredentialValue"                       [V1_0..];
    CRITICALITY_INDICATOR                    0x42_0026 "CriticalityIndicator"                  [V1_0..];
    CRT_COEFFICIENT                          0x42_0027 "CRTCoefficient"                        [V1_0..];
    CRYPTOGRAPHIC_ALGORITHM                  0x42_0028 "CryptographicAlgorithm"                [V1_0..];
    CRYPTOGRAPHIC_DOMAIN_PARAMETERS          0x42_0029 "CryptographicDomainParameters"         [V1_0..];
    CRYPTOGRAPHIC_LENGTH                     0x42_002A "CryptographicLength"                   [V1_0..];
    CRYPTOGRAPHIC_PARAMETERS                 0x42_002B "CryptographicParameters"               [V1_0..];
    CRYPTOGRAPHIC_USAGE_MASK                 0x42_002C "CryptographicUsageMask"                [V1_0..];
    CUSTOM_ATTRIBUTE                         0x42_002D "CustomAttribute"                       [V1_0..=V1_4];
    D                                        0x42_002E "D"                                     [V1_0..];
    DEACTIVATION_DATE                        0x42_002F "DeactivationDate"                      [V1_0..];
    DERIVATION_DATA                          0x42_0030 "DerivationData"                        [V1_0..];
    DERIVATION_METHOD                        0x42_0031 "DerivationMethod"                      [V1_0..];
    DERIVATION_PARAMETERS                    0x42_0032 "DerivationParameters"                  [V1_0..];
    DESTROY_DATE                             0x42_0033 "DestroyDate"                           [V1_0..];
    DIGEST                                   0x42_0034 "Digest"                                [V1_0..];
    DIGEST_VALUE                             0x42_0035 "DigestValue"                           [V1_0..];
    ENCRYPTION_KEY_INFORMATION               0x42_0036 "EncryptionKeyInformation"              [V1_0..];
    G                                        0x42_0037 "G"                                     [V1_0..];
    HASHING_ALGORITHM                        0x42_0038 "HashingAlgorithm"                      [V1_0..];
    INITIAL_DATE                             0x42_0039 "InitialDate"                           [V1_0..];
    INITIALIZATION_VECTOR                    0x42_003A "InitializationVector"                  [V1_0..];
    ISSUER                                   0x42_003B "Issuer"                                [V1_0..=V1_4];
    ITERATION_COUNT                          0x42_003C "IterationCount"                        [V1_0..];
    IV_COUNTER_NONCE                         0x42_003D "IVCounterNonce"                        [V1_0..];
    J                                        0x42_003E "J"                                     [V1_0..];
    KEY                                      0x42_003F "Key"                                   [V1_0..];
    KEY_BLOCK                                0x42_0040 "KeyBlock"                              [V1_0..];
    KEY_COMPRESSION_TYPE                     0x42_0041 "KeyCompressionType"                    [V1_0..];
    KEY_FORMAT_TYPE                          0x42_0042 "KeyFormatType"                         [V1_0..];
    KEY_MATERIAL                             0x42_0043 "KeyMaterial"                           [V1_0..];
    KEY_PART_IDENTIFIER                      0x42_0044 "KeyPartIdentifier"                     [V1_0..];
    KEY_VALUE                                0x42_0045 "KeyValue"                              [V1_0..];
    KEY_WRAPPING_DATA                        0x42_0046 "KeyWrappingData"                       [V1_0..];
    KEY_WRAPPING_SPECIFICATION               0x42_0047 "KeyWrappingSpecification"              [V1_0..];
    LAST_CHANGE_DATE                         0x42_0048 "LastChangeDate"                        [V1_0..];
    LEASE_TIME                               0x42_0049 "LeaseTime"                             [V1_0..];
    LINK                                     0x42_004A "Link"                                  [V1_0..=V2_1];
    LINK_TYPE                                0x42_004B "LinkType"                              [V1_0..=V2_1];
    LINKED_OBJECT_IDENTIFIER                 0x42_004C "LinkedObjectIdentifier"                [V1_0..=V2_1];
    MAC_SIGNATURE                            0x42_004D "MACSignature"                          [V1_0..];
    MAC_SIGNATURE_KEY_INFORMATION            0x42_004E "MACSignatureKeyInformation"            [V1_0..];
    MAXIMUM_ITEMS                            0x42_004F "MaximumItems"                          [V1_0..];
    MAXIMUM_RESPONSE_SIZE                    0x42_0050 "MaximumResponseSize"                   [V1_0..];
    MESSAGE_EXTENSION                        0x42_0051 "MessageExtension"                      [V1_0..];
    MODULUS                                  0x42_0052 "Modulus"                               [V1_0..];
    NAME                                     0x42_0053 "Name"                                  [V1_0..];
    NAME_TYPE                                0x42_0054 "NameType"                              [V1_0..=V2_1];
    NAME_VALUE                               0x42_0055 "NameValue"                             [V1_0..=V2_1];
    OBJECT_GROUP                             0x42_0056 "ObjectGroup"                           [V1_0..=V2_1];
    OBJECT_TYPE                              0x42_0057 "ObjectType"                            [V1_0..];
    OFFSET                                   0x42_0058 "Offset"                                [V1_0..];
    OPAQUE_DATA_TYPE                         0x42_0059 "OpaqueDataType"                        [V1_0..];
    OPAQUE_DATA_VALUE                        0x42_005A "OpaqueDataValue"                       [V1_0..];
    OPAQUE_OBJECT                            0x42_005B "OpaqueObject"                          [V1_0..];
    OPERATION                                0x42_005C "Operation"                             [V1_0..];
    OPERATION_POLICY_NAME                    0x42_005D "OperationPolicyName"                   [V1_0..=V1_4];
    P                                        0x42_005E "P"                                     [V1_0..];
    PADDING_METHOD                           0x42_005F "PaddingMethod"                         [V1_0..];
    PRIME_EXPONENT_P                         0x42_0060 "PrimeExponentP"                        [V1_0..];
    PRIME_EXPONENT_Q                         0x42_0061 "PrimeExponentQ"                        [V1_0..];
    PRIME_FIELD_SIZE                         0x42_0062 "PrimeFieldSize"                        [V1_0..];
    PRIVATE_EXPONENT                         0x42_0063 "PrivateExponent"                       [V1_0..];
    PRIVATE_KEY                              0x42_0064 "PrivateKey"                            [V1_0..];
    PRIVATE_KEY_TEMPLATE_ATTRIBUTE           0x42_0065 "PrivateKeyTemplateAttribute"           [V1_0..=V1_4];
    PRIVATE_KEY_UNIQUE_IDENTIFIER            0x42_0066 "PrivateKeyUniqueIdentifier"            [V1_0..];
    PROCESS_START_DATE                       0x42_0067 "ProcessStartDate"                      [V1_0..];
    PROTECT_STOP_DATE                        0x42_0068 "ProtectStopDate"                       [V1_0..];
    PROTOCOL_VERSION                         0x42_0069 "ProtocolVersion"                       [V1_0..];
    PROTOCOL_VERSION_MAJOR                   0x42_006A "ProtocolVersionMajor"                  [V1_0..];
    PROTOCOL_VERSION_MINOR                   0x42_006B "ProtocolVersionMinor"                  [V1_0..];
    PUBLIC_EXPONENT                          0x42_006C "PublicExponent"                        [V1_0..];
    PUBLIC_KEY                               0x42_006D "PublicKey"                             [V1_0..];
    PUBLIC_KEY_TEMPLATE_ATTRIBUTE            0x42_006E "PublicKeyTemplateAttribute"            [V1_0..=V1_4];
    PUBLIC_KEY_UNIQUE_IDENTIFIER             0x42_006F "PublicKeyUniqueIdentifier"             [V1_0..];
    PUT_FUNCTION                             0x42_0070 "PutFunction"                           [V1_0..];
    Q                                        0x42_0071 "Q"                                     [V1_0..];
    Q_STRING                                 0x42_0072 "QString"                               [V1_0..];
    QLENGTH                                  0x42_0073 "Qlength"                               [V1_0..];
    QUERY_FUNCTION                           0x42_0074 "QueryFunction"                         [V1_0..];
    RECOMMENDED_CURVE                        0x42_0075 "RecommendedCurve"                      [V1_0..];
    REPLACED_UNIQUE_IDENTIFIER               0x42_0076 "ReplacedUniqueIdentifier"              [V1_0..];
    REQUEST_HEADER                           0x42_0077 "RequestHeader"                         [V1_0..];
    REQUEST_MESSAGE                          0x42_0078 "RequestMessage"                        [V1_0..];
    REQUEST_PAYLOAD                          0x42_0079 "RequestPayload"                        [V1_0..];
    RESPONSE_HEADER                          0x42_007A "ResponseHeader"                        [V1_0..];
    RESPONSE_MESSAGE                         0x42_007B "ResponseMessage"                       [V1_0..];
    RESPONSE_PAYLOAD                         0x42_007C "ResponsePayload"                       [V1_0..];
    RESULT_MESSAGE                           0x42_007D "ResultMessage"                         [V1_0..];
    RESULT_REASON                            0x42_007E "ResultReason"                          [V1_0..];
    RESULT_STATUS                            0x42_007F "ResultStatus"                          [V1_0..];
    REVOCATION_MESSAGE                       0x42_0080 "RevocationMessage"                     [V1_0..];
    REVOCATION_REASON                        0x42_0081 "RevocationReason"                      [V1_0..];
    REVOCATION_REASON_CODE                   0x42_0082 "RevocationReasonCode"                  [V1_0..];
    KEY_ROLE_TYPE                            0x42_0083 "KeyRoleType"                           [V1_0..];
    SALT                                     0x42_0084 "Salt"                                  [V1_0..];
    SECRET_DATA                              0x42_0085 "SecretData"                            [V1_0..];
    SECRET_DATA_TYPE                         0x42_0086 "SecretDataType"                        [V1_0..];
    SERIAL_NUMBER                            0x42_0087 "SerialNumber"                          [V1_0..=V1_4];
    SERVER_INFORMATION                       0x42_0088 "ServerInformation"                     [V1_0..];
    SPLIT_KEY                                0x42_0089 "SplitKey"                              [V1_0..];
    SPLIT_KEY_METHOD                         0x42_008A "SplitKeyMethod"                        [V1_0..];
    SPLIT_KEY_PARTS                          0x42_008B "SplitKeyParts"                         [V1_0..];
    SPLIT_KEY_THRESHOLD                      0x42_008C "SplitKeyThreshold"                     [V1_0..];
    STATE                                    0x42_008D "State"                                 [V1_0..];
    STORAGE_STATUS_MASK                      0x42_008E "StorageStatusMask"                     [V1_0..];
    SYMMETRIC_KEY                            0x42_008F "SymmetricKey"                          [V1_0..];
    TEMPLATE                                 0x42_0090 "Template"                              [V1_0..=V1_4];
    TEMPLATE_ATTRIBUTE                       0x42_0091 "TemplateAttribute"                     [V1_0..=V1_4];
    TIME_STAMP                               0x42_0092 "TimeStamp"                             [V1_0..];
    UNIQUE_BATCH_ITEM_ID                     0x42_0093 "UniqueBatchItemID"                     [V1_0..=V2_1];
    UNIQUE_IDENTIFIER                        0x42_0094 "UniqueIdentifier"                      [V1_0..];
    USAGE_LIMITS                             0x42_0095 "UsageLimits"                           [V1_0..];
    USAGE_LIMITS_COUNT                       0x42_0096 "UsageLimitsCount"                      [V1_0..];
    USAGE_LIMITS_TOTAL                       0x42_0097 "UsageLimitsTotal"                      [V1_0..];
    USAGE_LIMITS_UNIT                        0x42_0098 "UsageLimitsUnit"                       [V1_0..];
    USERNAME                                 0x42_0099 "Username"                              [V1_0..];
    VALIDITY_DATE                            0x42_009A "ValidityDate"                          [V1_0..];
    VALIDITY_INDICATOR                       0x42_009B "ValidityIndicator"                     [V1_0..];
    VENDOR_EXTENSION                         0x42_009C "VendorExtension"                       [V1_0..];
    VENDOR_IDENTIFICATION                    0x42_009D "VendorIdentification"                  [V1_0..];
    WRAPPING_METHOD                          0x42_009E "WrappingMethod"                        [V1_0..];
    X                                        0x42_009F "X"                                     [V1_0..];
    Y                                        0x42_00A0 "Y"                                     [V1_0..];
    PASSWORD                                 0x42_00A1 "Password"                              [V1_0..];
    DEVICE_IDENTIFIER                        0x42_00A2 "DeviceIdentifier"                      [V1_1..];
    ENCODING_OPTION                          0x42_00A3 "EncodingOption"                        [V1_1..];
    EXTENSION_INFORMATION                    0x42_00A4 "ExtensionInformation"                  [V1_1..];
    EXTENSION_NAME                           0x42_00A5 "ExtensionName"                         [V1_1..];
    EXTENSION_TAG                            0x42_00A6 "ExtensionTag"                          [V1_1..];
    EXTENSION_TYPE                           0x42_00A7 "ExtensionType"                         [V1_1..];
    FRESH                                    0x42_00A8 "Fresh"                                 [V1_1..];
    MACHINE_IDENTIFIER                       0x42_00A9 "MachineIdentifier"                     [V1_1..];
    MEDIA_IDENTIFIER                         0x42_00AA "MediaIdentifier"                       [V1_1..];
    NETWORK_IDENTIFIER                       0x42_00AB "NetworkIdentifier"                     [V1_1..];
    OBJECT_GROUP_MEMBER                      0x42_00AC "ObjectGroupMember"                     [V1_1..=V2_1];
    CERTIFICATE_LENGTH                       0x42_00AD "CertificateLength"                     [V1_1..];
    DIGITAL_SIGNATURE_ALGORITHM              0x42_00AE "DigitalSignatureAlgorithm"             [V1_1..];
    CERTIFICATE_SERIAL_NUMBER                0x42_00AF "CertificateSerialNumber"               [V1_1..];
    DEVICE_SERIAL_NUMBER                     0x42_00B0 "DeviceSerialNumber"                    [V1_1..];
    ISSUER_ALTERNATIVE_NAME                  0x42_00B1 "IssuerAlternativeName"                 [V1_1..];
    ISSUER_DISTINGUISHED_NAME                0x42_00B2 "IssuerDistinguishedName"               [V1_1..];
    SUBJECT_ALTERNATIVE_NAME                 0x42_00B3 "SubjectAlternativeName"                [V1_1..];
    SUBJECT_DISTINGUISHED_NAME               0x42_00B4 "SubjectDistinguishedName"              [V1_1..];
    X_509_CERTIFICATE_IDENTIFIER             0x42_00B5 "X_509CertificateIdentifier"            [V1_1..];
    X_509_CERTIFICATE_ISSUER                 0x42_00B6 "X_509CertificateIssuer"                [V1_1..];
    X_509_CERTIFICATE_SUBJECT                0x42_00B7 "X_509CertificateSubject"               [V1_1..];
    KEY_VALUE_LOCATION                       0x42_00B8 "KeyValueLocation"                      [V1_2..];
    KEY_VALUE_LOCATION_VALUE                 0x42_00B9 "KeyValueLocationValue"                 [V1_2..];
    KEY_VALUE_LOCATION_TYPE                  0x42_00BA "KeyValueLocationType"                  [V1_2..];
    KEY_VALUE_PRESENT                        0x42_00BB "KeyValuePresent"                       [V1_2..];
    ORIGINAL_CREATION_DATE                   0x42_00BC "OriginalCreationDate"                  [V1_2..];
    PGP_KEY                                  0x42_00BD "PGPKey"                                [V1_2..];
    PGP_KEY_VERSION                          0x42_00BE "PGPKeyVersion"                         [V1_2..];
    ALTERNATIVE_NAME                         0x42_00BF "AlternativeName"                       [V1_2..];
    ALTERNATIVE_NAME_VALUE                   0x42_00C0 "AlternativeNameValue"                  [V1_2..];
    ALTERNATIVE_NAME_TYPE                    0x42_00C1 "AlternativeNameType"                   [V1_2..];
    DATA                                     0x42_00C2 "Data"                                  [V1_2..];
    SIGNATURE_DATA                           0x42_00C3 "SignatureData"                         [V1_2..];
    DATA_LENGTH                              0x42_00C4 "DataLength"                            [V1_2..];
    RANDOM_IV                                0x42_00C5 "RandomIV"                              [V1_2..];
    MAC_DATA                                 0x42_00C6 "MACData"                               [V1_2..];
    ATTESTATION_TYPE                         0x42_00C7 "AttestationType"                       [V1_2..];
    NONCE                                    0x42_00C8 "Nonce"                                 [V1_2..];
    NONCE_ID                                 0x42_00C9 "NonceID"                               [V1_2..];
    NONCE_VALUE                              0x42_00CA "NonceValue"                            [V1_2..];
    ATTESTATION_MEASUREMENT                  0x42_00CB "AttestationMeasurement"                [V1_2..];
    ATTESTATION_ASSERTION                    0x42_00CC "AttestationAssertion"                  [V1_2..];
    IV_LENGTH                                0x42_00CD "IVLength"                              [V1_2..];
    TAG_LENGTH                               0x42_00CE "TagLength"                             [V1_2..];
    FIXED_FIELD_LENGTH                       0x42_00CF "FixedFieldLength"                      [V1_2..];
    COUNTER_LENGTH                           0x42_00D0 "CounterLength"                         [V1_2..];
    INITIAL_COUNTER_VALUE                    0x42_00D1 "InitialCounterValue"                   [V1_2..];
    INVOCATION_FIELD_LENGTH                  0x42_00D2 "InvocationFieldLength"                 [V1_2..];
    ATTESTATION_CAPABLE_INDICATOR            0x42_00D3 "AttestationCapableIndicator"           [V1_2..];
    OFFSET_ITEMS                             0x42_00D4 "OffsetItems"                           [V1_3..];
    LOCATED_ITEMS                            0x42_00D5 "LocatedItems"                          [V1_3..];
    CORRELATION_VALUE                        0x42_00D6 "CorrelationValue"                      [V1_3..];
    INIT_INDICATOR                           0x42_00D7 "InitIndicator"                         [V1_3..];
    FINAL_INDICATOR                          0x42_00D8 "FinalIndicator"                        [V1_3..];
    RNG_PARAMETERS                           0x42_00D9 "RNGParameters"                         [V1_3..];
    RNG_ALGORITHM                            0x42_00DA "RNGAlgorithm"                          [V1_3..];
    DRBG_ALGORITHM                           0x42_00DB "DRBGAlgorithm"                         [V1_3..];
    FIPS186_VARIATION                        0x42_00DC "FIPS186Variation"                      [V1_3..];
    PREDICTION_RESISTANCE                    0x42_00DD "PredictionResistance"                  [V1_3..];
    RANDOM_NUMBER_GENERATOR                  0x42_00DE "RandomNumberGenerator"                 [V1_3..];
    VALIDATION_INFORMATION                   0x42_00DF "ValidationInformation"                 [V1_3..];
    VALIDATION_AUTHORITY_TYPE                0x42_00E0 "ValidationAuthorityType"               [V1_3..];
    VALIDATION_AUTHORITY_COUNTRY             0x42_00E1 "ValidationAuthorityCountry"            [V1_3..];
    VALIDATION_AUTHORITY_URI                 0x42_00E2 "ValidationAuthorityURI"                [V1_3..];
    VALIDATION_VERSION_MAJOR                 0x42_00E3 "ValidationVersionMajor"                [V1_3..];
    VALIDATION_VERSION_MINOR                 0x42_00E4 "ValidationVersionMinor"                [V1_3..];
    VALIDATION_TYPE                          0x42_00E5 "ValidationType"                        [V1_3..];
    VALIDATION_LEVEL                         0x42_00E6 "ValidationLevel"                       [V1_3..];
    VALIDATION_CERTIFICATE_IDENTIFIER        0x42_00E7 "ValidationCertificateIdentifier"       [V1_3..];
    VALIDATION_CERTIFICATE_URI               0x42_00E8 "ValidationCertificateURI"              [V1_3..];
    VALIDATION_VENDOR_URI                    0x42_00E9 "ValidationVendorURI"                   [V1_3..];
    VALIDATION_PROFILE                       0x42_00EA "ValidationProfile"                     [V1_3..];
    PROFILE_INFORMATION                      0x42_00EB "ProfileInformation"                    [V1_3..];
    PROFILE_NAME                             0x42_00EC "ProfileName"                           [V1_3..];
    SERVER_URI                               0x42_00ED "ServerURI"                             [V1_3..];
    SERVER_PORT                              0x42_00EE "ServerPort"                            [V1_3..];
    STREAMING_CAPABILITY                     0x42_00EF "StreamingCapability"                   [V1_3..];
    ASYNCHRONOUS_CAPABILITY                  0x42_00F0 "AsynchronousCapability"                [V1_3..];
    ATTESTATION_CAPABILITY                   0x42_00F1 "AttestationCapability"                 [V1_3..];
    UNWRAP_MODE                              0x42_00F2 "UnwrapMode"                            [V1_3..];
    DESTROY_ACTION                           0x42_00F3 "DestroyAction"                         [V1_3..];
    SHREDDING_ALGORITHM                      0x42_00F4 "ShreddingAlgorithm"                    [V1_3..];
    RNG_MODE                                 0x42_00F5 "RNGMode"                               [V1_3..];
    CLIENT_REGISTRATION_METHOD               0x42_00F6 "ClientRegistrationMethod"              [V1_3..];
    CAPABILITY_INFORMATION                   0x42_00F7 "CapabilityInformation"                 [V1_3..];
    KEY_WRAP_TYPE                            0x42_00F8 "KeyWrapType"                           [V1_4..];
    BATCH_UNDO_CAPABILITY                    0x42_00F9 "BatchUndoCapability"                   [V1_4..];
    BATCH_CONTINUE_CAPABILITY                0x42_00FA "BatchContinueCapability"               [V1_4..];
    PKCS_12_FRIENDLY_NAME                    0x42_00FB "PKCS_12FriendlyName"                   [V1_4..];
    DESCRIPTION                              0x42_00FC "Description"                           [V1_4..];
    COMMENT                                  0x42_00FD "Comment"                               [V1_4..];
    AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA 0x42_00FE "AuthenticatedEncryptionAdditionalData" [V1_4..];
    AUTHENTICATED_ENCRYPTION_TAG             0x42_00FF "AuthenticatedEncryptionTag"            [V1_4..];
    SALT_LENGTH                              0x42_0100 "SaltLength"                            [V1_4..];
    MASK_GENERATOR                           0x42_0101 "MaskGenerator"                         [V1_4..];
    MASK_GENERATOR_HASHING_ALGORITHM         0x42_0102 "MaskGeneratorHashingAlgorithm"         [V1_4..];
    P_SOURCE                                 0x42_0103 "PSource"                               [V1_4..];
    TRAILER_FIELD                            0x42_0104 "TrailerField"                          [V1_4..];
    CLIENT_CORRELATION_VALUE                 0x42_0105 "ClientCorrelationValue"                [V1_4..];
    SERVER_CORRELATION_VALUE                 0x42_0106 "ServerCorrelationValue"                [V1_4..];
    DIGESTED_DATA                            0x42_0107 "DigestedData"                          [V1_4..];
    CERTIFICATE_SUBJECT_CN                   0x42_0108 "CertificateSubjectCN"                  [V1_4..];
    CERTIFICATE_SUBJECT_O                    0x42_0109 "CertificateSubjectO"                   [V1_4..];
    CERTIFICATE_SUBJECT_OU                   0x42_010A "CertificateSubjectOU"                  [V1_4..];
    CERTIFICATE_SUBJECT_EMAIL                0x42_010B "CertificateSubjectEmail"               [V1_4..];
    CERTIFICATE_SUBJECT_C                    0x42_010C "CertificateSubjectC"                   [V1_4..];
    CERTIFICATE_SUBJECT_ST                   0x42_010D "CertificateSubjectST"                  [V1_4..];
    CERTIFICATE_SUBJECT_L                    0x42_010E "CertificateSubjectL"                   [V1_4..];
    CERTIFICATE_SUBJECT_UID                  0x42_010F "CertificateSubjectUID"                 [V1_4..];
    CERTIFICATE_SUBJECT_SERIAL_NUMBER        0x42_0110 "CertificateSubjectSerialNumber"        [V1_4..];
    CERTIFICATE_SUBJECT_TITLE                0x42_0111 "CertificateSubjectTitle"               [V1_4..];
    CERTIFICATE_SUBJECT_DC                   0x42_0112 "CertificateSubjectDC"                  [V1_4..];
    CERTIFICATE_SUBJECT_DN_QUALIFIER         0x42_0113 "CertificateSubjectDNQualifier"         [V1_4..];
    CERTIFICATE_ISSUER_CN                    0x42_0114 "CertificateIssuerCN"                   [V1_4..];
    CERTIFICATE_ISSUER_O                     0x42_0115 "CertificateIssuerO"                    [V1_4..];
    CERTIFICATE_ISSUER_OU                    0x42_0116 "CertificateIssuerOU"                   [V1_4..];
    CERTIFICATE_ISSUER_EMAIL                 0x42_0117 "CertificateIssuerEmail"                [V1_4..];
    CERTIFICATE_ISSUER_C                     0x42_0118 "CertificateIssuerC"                    [V1_4..];
    CERTIFICATE_ISSUER_ST                    0x42_0119 "CertificateIssuerST"                   [V1_4..];
    CERTIFICATE_ISSUER_L                     0x42_011A "CertificateIssuerL"                    [V1_4..];
    CERTIFICATE_ISSUER_UID                   0x42_011B "CertificateIssuerUID"                  [V1_4..];
    CERTIFICATE_ISSUER_SERIAL_NUMBER         0x42_011C "CertificateIssuerSerialNumber"         [V1_4..];
    CERTIFICATE_ISSUER_TITLE                 0x42_011D "CertificateIssuerTitle"                [V1_4..];
    CERTIFICATE_ISSUER_DC                    0x42_011E "CertificateIssuerDC"                   [V1_4..];
    CERTIFICATE_ISSUER_DN_QUALIFIER          0x42_011F "CertificateIssuerDNQualifier"          [V1_4..];
    SENSITIVE                                0x42_0120 "Sensitive"                             [V1_4..];
    ALWAYS_SENSITIVE                         0x42_0121 "AlwaysSensitive"                       [V1_4..];
    EXTRACTABLE                              0x42_0122 "Extractable"                           [V1_4..];
    NEVER_EXTRACTABLE                        0x42_0123 "NeverExtractable"                      [V1_4..];
    REPLACE_EXISTING                         0x42_0124 "ReplaceExisting"                       [V1_4..];
    ATTRIBUTES                               0x42_0125 "Attributes"                            [V2_0..];
    COMMON_ATTRIBUTES                        0x42_0126 "CommonAttributes"                      [V2_0..];
    PRIVATE_KEY_ATTRIBUTES                   0x42_0127 "PrivateKeyAttributes"                  [V2_0..];
    PUBLIC_KEY_ATTRIBUTES                    0x42_0128 "PublicKeyAttributes"                   [V2_0..];
    EXTENSION_ENUMERATION                    0x42_0129 "ExtensionEnumeration"                  [V2_0..];
    EXTENSION_ATTRIBUTE                      0x42_012A "ExtensionAttribute"                    [V2_0..];
    EXTENSION_PARENT_STRUCTURE_TAG           0x42_012B "ExtensionParentStructureTag"           [V2_0..];
    EXTENSION_DESCRIPTION                    0x42_012C "ExtensionDescription"                  [V2_0..];
    SERVER_NAME                              0x42_012D "ServerName"                            [V2_0..];
    SERVER_SERIAL_NUMBER                     0x42_012E "ServerSerialNumber"                    [V2_0..];
    SERVER_VERSION                           0x42_012F "ServerVersion"                         [V2_0..];
    SERVER_LOAD                              0x42_0130 "ServerLoad"                            [V2_0..];
    PRODUCT_NAME                             0x42_0131 "ProductName"                           [V2_0..];
    BUILD_LEVEL                              0x42_0132 "BuildLevel"                            [V2_0..];
    BUILD_DATE                               0x42_0133 "BuildDate"                             [V2_0..];
    CLUSTER_INFO                             0x42_0134 "ClusterInfo"                           [V2_0..];
    ALTERNATE_FAILOVER_ENDPOINTS             0x42_0135 "AlternateFailoverEndpoints"            [V2_0..];
    SHORT_UNIQUE_IDENTIFIER                  0x42_0136 "ShortUniqueIdentifier"                 [V2_0..];
    TAG                                      0x42_0138 "Tag"                                   [V2_0..];
    CERTIFICATE_REQUEST_UNIQUE_IDENTIFIER    0x42_0139 "CertificateRequestUniqueIdentifier"    [V2_0..];
    NIST_KEY_TYPE                            0x42_013A "NISTKeyType"                           [V2_0..];
    ATTRIBUTE_REFERENCE                      0x42_013B "AttributeReference"                    [V2_0..];
    CURRENT_ATTRIBUTE                        0x42_013C "CurrentAttribute"                      [V2_0..];
    NEW_ATTRIBUTE                            0x42_013D "NewAttribute"                          [V2_0..];
    CERTIFICATE_REQUEST_VALUE                0x42_0140 "CertificateRequestValue"               [V2_0..];
    LOG_MESSAGE                              0x42_0141 "LogMessage"                            [V2_0..];
    PROFILE_VERSION                          0x42_0142 "ProfileVersion"                        [V2_0..];
    PROFILE_VERSION_MAJOR                    0x42_0143 "ProfileVersionMajor"                   [V2_0..];
    PROFILE_VERSION_MINOR                    0x42_0144 "ProfileVersionMinor"                   [V2_0..];
    PROTECTION_LEVEL                         0x42_0145 "ProtectionLevel"                       [V2_0..];
    PROTECTION_PERIOD                        0x42_0146 "ProtectionPeriod"                      [V2_0..];
    QUANTUM_SAFE                             0x42_0147 "QuantumSafe"                           [V2_0..];
    QUANTUM_SAFE_CAPABILITY                  0x42_0148 "QuantumSafeCapability"                 [V2_0..];
    TICKET                                   0x42_0149 "Ticket"                                [V2_0..];
    TICKET_TYPE                              0x42_014A "TicketType"                            [V2_0..];
    TICKET_VALUE                             0x42_014B "TicketValue"                           [V2_0..];
    REQUEST_COUNT                            0x42_014C "RequestCount"                          [V2_0..];
    RIGHTS                                   0x42_014D "Rights"                                [V2_0..];
    OBJECTS                                  0x42_014E "Objects"                               [V2_0..];
    OPERATIONS                               0x42_014F "Operations"                            [V2_0..];
    RIGHT                                    0x42_0150 "Right"                                 [V2_0..];
    ENDPOINT_ROLE                            0x42_0151 "EndpointRole"                          [V2_0..];
    DEFAULTS_INFORMATION                     0x42_0152 "DefaultsInformation"                   [V2_0..];
    OBJECT_DEFAULTS                          0x42_0153 "ObjectDefaults"                        [V2_0..];
    EPHEMERAL                                0x42_0154 "Ephemeral"                             [V2_0..];
    SERVER_HASHED_PASSWORD                   0x42_0155 "ServerHashedPassword"                  [V2_0..];
    ONE_TIME_PASSWORD                        0x42_0156 "OneTimePassword"                       [V2_0..];
    HASHED_PASSWORD                          0x42_0157 "HashedPassword"                        [V2_0..];
    ADJUSTMENT_TYPE                          0x42_0158 "AdjustmentType"                        [V2_0..];
    PKCS_11_INTERFACE                        0x42_0159 "PKCS_11Interface"                      [V2_0..];
    PKCS_11_FUNCTION                         0x42_015A "PKCS_11Function"                       [V2_0..];
    PKCS_11_INPUT_PARAMETERS                 0x42_015B "PKCS_11InputParameters"                [V2_0..];
    PKCS_11_OUTPUT_PARAMETERS                0x42_015C "PKCS_11OutputParameters"               [V2_0..];
    PKCS_11_RETURN_CODE                      0x42_015D "PKCS_11ReturnCode"                     [V2_0..];
    PROTECTION_STORAGE_MASK                  0x42_015E "ProtectionStorageMask"                 [V2_0..];
    PROTECTION_STORAGE_MASKS                 0x42_015F "ProtectionStorageMasks"                [V2_0..];
    INTEROP_FUNCTION                         0x42_0160 "InteropFunction"                       [V2_0..];
    INTEROP_IDENTIFIER                       0x42_0161 "InteropIdentifier"                     [V2_0..];
    ADJUSTMENT_VALUE                         0x42_0162 "AdjustmentValue"                       [V2_0..];
    COMMON_PROTECTION_STORAGE_MASKS          0x42_0163 "CommonProtectionStorageMasks"          [V2_0..];
    PRIVATE_PROTECTION_STORAGE_MASKS         0x42_0164 "PrivateProtectionStorageMasks"         [V2_0..];
    PUBLIC_PROTECTION_STORAGE_MASKS          0x42_0165 "PublicProtectionStorageMasks"          [V2_0..];
    OBJECT_GROUPS                            0x42_0166 "ObjectGroups"                          [V2_1..];
    OBJECT_TYPES                             0x42_0167 "ObjectTypes"                           [V2_1..];
    CONSTRAINTS                              0x42_0168 "Constraints"                           [V2_1..];
    CONSTRAINT                               0x42_0169 "Constraint"                            [V2_1..];
    ROTATE_INTERVAL                          0x42_016A "RotateInterval"                        [V2_1..];
    ROTATE_AUTOMATIC                         0x42_016B "RotateAutomatic"                       [V2_1..];
    ROTATE_OFFSET                            0x42_016C "RotateOffset"                          [V2_1..];
    ROTATE_DATE                              0x42_016D "RotateDate"                            [V2_1..];
    ROTATE_GENERATION                        0x42_016E "RotateGeneration"                      [V2_1..];
    ROTATE_NAME                              0x42_016F "RotateName"                            [V2_1..];
    ROTATE_NAME_VALUE                        0x42_0170 "RotateNameValue"                       [V2_1..=V2_1];
    ROTATE_NAME_TYPE                         0x42_0171 "RotateNameType"                        [V2_1..=V2_1];
    ROTATE_LATEST                            0x42_0172 "RotateLatest"                          [V2_1..];
    ASYNCHRONOUS_REQUEST                     0x42_0173 "AsynchronousRequest"                   [V2_1..];
    SUBMISSION_DATE                          0x42_0174 "SubmissionDate"                        [V2_1..];
    PROCESSING_STAGE                         0x42_0175 "ProcessingStage"                       [V2_1..];
    ASYNCHRONOUS_CORRELATION_VALUES          0x42_0176 "AsynchronousCorrelationValues"         [V2_1..];
    CERTIFICATE_LINK                         0x42_0190 "CertificateLink"                       [V3_0..];
    CHILD_LINK                               0x42_0191 "ChildLink"                             [V3_0..];
    DERIVATION_OBJECT_LINK                   0x42_0192 "DerivationObjectLink"                  [V3_0..];
    DERIVED_OBJECT_LINK                      0x42_0193 "DerivedObjectLink"                     [V3_0..];
    NEXT_LINK                                0x42_0194 "NextLink"                              [V3_0..];
    PARENT_LINK                              0x42_0195 "ParentLink"                            [V3_0..];
    PKCS_12_CERTIFICATE_LINK                 0x42_0196 "PKCS_12CertificateLink"                [V3_0..];
    PKCS_12_PASSWORD_LINK                    0x42_0197 "PKCS_12PasswordLink"                   [V3_0..];
    PREVIOUS_LINK                            0x42_0198 "PreviousLink"                          [V3_0..];
    PRIVATE_KEY_LINK                         0x42_0199 "PrivateKeyLink"                        [V3_0..];
    PUBLIC_KEY_LINK                          0x42_019A "PublicKeyLink"                         [V3_0..];
    REPLACED_OBJECT_LINK                     0x42_019B "ReplacedObjectLink"                    [V3_0..];
    REPLACEMENT_OBJECT_LINK                  0x42_019C "ReplacementObjectLink"                 [V3_0..];
    WRAPPING_KEY_LINK                        0x42_019D "WrappingKeyLink"                       [V3_0..];
    OBJECT_CLASS                             0x42_019E "ObjectClass"                           [V3_0..];
    OBJECT_CLASS_MASK                        0x42_019F "ObjectClassMask"                       [V3_0..];
    CREDENTIAL_LINK                          0x42_01A0 "CredentialLink"                        [V3_0..];
    PASSWORD_CREDENTIAL                      0x42_01A1 "PasswordCredential"                    [V3_0..];
    PASSWORD_SALT                            0x42_01A2 "PasswordSalt"                          [V3_0..];
    PASSWORD_SALT_ALGORITHM                  0x42_01A3 "PasswordSaltAlgorithm"                 [V3_0..];
    SALTED_PASSWORD                          0x42_01A4 "SaltedPassword"                        [V3_0..];
    PASSWORD_LINK                            0x42_01A5 "PasswordLink"                          [V3_0..];
    DEVICE_CREDENTIAL                        0x42_01A6 "DeviceCredential"                      [V3_0..];
    OTP_CREDENTIAL                           0x42_01A7 "OTPCredential"                         [V3_0..];
    OTP_ALGORITHM                            0x42_01A8 "OTPAlgorithm"                          [V3_0..];
    OTP_DIGEST                               0x42_01A9 "OTPDigest"                             [V3_0..];
    OTP_SERIAL                               0x42_01AA "OTPSerial"                             [V3_0..];
    OTP_SEED                                 0x42_01AB "OTPSeed"                               [V3_0..];
    OTP_INTERVAL                             0x42_01AC "OTPInterval"                           [V3_0..];
    OTP_DIGITS                               0x42_01AD "OTPDigits"                             [V3_0..];
    OTP_COUNTER                              0x42_01AE "OTPCounter"                            [V3_0..];
    HASHED_PASSWORD_CREDENTIAL               0x42_01AF "HashedPasswordCredential"              [V3_0..];
    HASHED_USERNAME_PASSWORD                 0x42_01B0 "HashedUsernamePassword"                [V3_0..];
    HASHED_PASSWORD_USERNAME                 0x42_01B1 "HashedPasswordUsername"                [V3_0..];
    CREDENTIAL_INFORMATION                   0x42_01B2 "CredentialInformation"                 [V3_0..];
    GROUP_LINK                               0x42_01B3 "GroupLink"                             [V3_0..];
    SPLIT_KEY_BASE_LINK                      0x42_01B4 "SplitKeyBaseLink"                      [V3_0..];
    JOINED_SPLIT_KEY_PARTS_LINK              0x42_01B5 "JoinedSplitKeyPartsLink"               [V3_0..];
    SPLIT_KEY_POLYNOMIAL                     0x42_01B6 "SplitKeyPolynomial"                    [V3_0..];
    DEACTIVATION_MESSAGE                     0x42_01B7 "DeactivationMessage"                   [V3_0..];
    DEACTIVATION_REASON                      0x42_01B8 "DeactivationReason"                    [V3_0..];
    DEACTIVATION_REASON_CODE                 0x42_01B9 "DeactivationReasonCode"                [V3_0..];
    CERTIFICATE_SUBJECT_DN                   0x42_01BA "CertificateSubjectDN"                  [V3_0..];
    CERTIFICATE_ISSUER_DN                    0x42_01BB "CertificateIssuerDN"                   [V3_0..];
    CERTIFICATE_REQUEST_LINK                 0x42_01BC "CertificateRequestLink"                [V3_0..];
    CERTIFY_COUNTER                          0x42_01BD "CertifyCounter"                        [V3_0..];
    DECRYPT_COUNTER                          0x42_01BE "DecryptCounter"                        [V3_0..];
    ENCRYPT_COUNTER                          0x42_01BF "EncryptCounter"                        [V3_0..];
    SIGN_COUNTER                             0x42_01C0 "SignCounter"                           [V3_0..];
    SIGNATURE_VERIFY_COUNTER                 0x42_01C1 "SignatureVerifyCounter"                [V3_0..];
    NIST_SECURITY_CATEGORY                   0x42_01C2 "NISTSecurityCategory"                  [V3_0..];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{V1_0, V1_4, V2_0};

    #[test]
    fn every_row_is_found_by_number_and_by_name() {
        for row in TAGS {
            assert_eq!(row.tag.name(), Some(row.name));
            assert_eq!(Tag::from_name(row.name), Some(row.tag));
            assert!(row.tag.is_legal());
        }
        assert!(TAGS.windows(2).all(|pair| pair[0].tag < pair[1].tag));
    }

    #[test]
    fn unknown_numbers_have_no_row() {
        for number in [0, 0x41_FFFF, 0x42_0000, 0x42_FFFF, 0x54_0001, 0xFF_FFFF] {
            assert!(Tag::from_number(number).row().is_none(), "{number:06X}");
        }
        assert_eq!(Tag::from_number(0x54_0001).to_string(), "540001");
    }

    #[test]
    fn tags_come_and_go_with_versions() {
        assert!(Tag::TEMPLATE_ATTRIBUTE.is_defined(V1_4) && !Tag::TEMPLATE_ATTRIBUTE.is_defined(V2_0));
        assert!(Tag::ATTRIBUTES.is_defined(V2_0) && !Tag::ATTRIBUTES.is_defined(V1_0));
    }
}
