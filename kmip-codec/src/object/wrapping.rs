//! How a key is wrapped, and how one is to be wrapped (KMIP 1.0 §2.1.5, §2.1.6).

use crate::attribute::{AttributeKind, CryptographicParameters};
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::{EncodingOption, WrappingMethod};

fields! {
    /// The key that encrypts.
    #[derive(Clone)]
    pub struct EncryptionKeyInformation {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_0..];
    }

    /// The key that authenticates.
    #[derive(Clone)]
    pub struct MacSignatureKeyInformation {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_0..];
    }

    /// How the value of a key block is wrapped.
    #[derive(Clone)]
    pub struct KeyWrappingData {
        wrapping_method: required WrappingMethod, [WRAPPING_METHOD V1_0..];
        encryption_key_information: optional EncryptionKeyInformation, [ENCRYPTION_KEY_INFORMATION V1_0..];
        mac_signature_key_information: optional MacSignatureKeyInformation, [MAC_SIGNATURE_KEY_INFORMATION V1_0..];
        mac_signature: optional Vec<u8>, [MAC_SIGNATURE V1_0..];
        iv_counter_nonce: optional Vec<u8>, [IV_COUNTER_NONCE V1_0..];
        encoding_option: optional EncodingOption, [ENCODING_OPTION V1_1..];
    }

    /// How the server is to wrap what it returns.
    #[derive(Clone)]
    pub struct KeyWrappingSpecification {
        wrapping_method: required WrappingMethod, [WRAPPING_METHOD V1_0..];
        encryption_key_information: optional EncryptionKeyInformation, [ENCRYPTION_KEY_INFORMATION V1_0..];
        mac_signature_key_information: optional MacSignatureKeyInformation, [MAC_SIGNATURE_KEY_INFORMATION V1_0..];
        /// Attributes to wrap with the key, by name in every version.
        attribute_names: repeated String, [ATTRIBUTE_NAME V1_0..];
        /// The same by reference, as every other field of 2.0 has it.
        attribute_references: repeated AttributeKind, [ATTRIBUTE_REFERENCE V2_0..];
        encoding_option: optional EncodingOption, [ENCODING_OPTION V1_1..];
    }
}
