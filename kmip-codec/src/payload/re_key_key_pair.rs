//! Re Key Key Pair: replaces a key pair by a new one (KMIP 1.1 §4.5, 2.1 §6.1.47).

use super::common::ProtectionStorageMasks;
use crate::attribute::Attributes;
use crate::codec::{Interval, fields};
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of ReKeyKeyPair.
    #[derive(Default)]
    pub struct ReKeyKeyPairRequest {
        private_key_unique_identifier: optional UniqueIdentifier, [PRIVATE_KEY_UNIQUE_IDENTIFIER V1_1..];
        offset: optional Interval, [OFFSET V1_1..];
        common_attributes: optional Attributes, [COMMON_TEMPLATE_ATTRIBUTE V1_1..=V1_4] [COMMON_ATTRIBUTES V2_0..];
        private_key_attributes: optional Attributes, [PRIVATE_KEY_TEMPLATE_ATTRIBUTE V1_1..=V1_4] [PRIVATE_KEY_ATTRIBUTES V2_0..];
        public_key_attributes: optional Attributes, [PUBLIC_KEY_TEMPLATE_ATTRIBUTE V1_1..=V1_4] [PUBLIC_KEY_ATTRIBUTES V2_0..];
        common_protection_storage_masks: optional ProtectionStorageMasks, [COMMON_PROTECTION_STORAGE_MASKS V2_0..];
        private_protection_storage_masks: optional ProtectionStorageMasks, [PRIVATE_PROTECTION_STORAGE_MASKS V2_0..];
        public_protection_storage_masks: optional ProtectionStorageMasks, [PUBLIC_PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// The response payload of ReKeyKeyPair.
    pub struct ReKeyKeyPairResponse {
        private_key_unique_identifier: required UniqueIdentifier, [PRIVATE_KEY_UNIQUE_IDENTIFIER V1_1..];
        public_key_unique_identifier: required UniqueIdentifier, [PUBLIC_KEY_UNIQUE_IDENTIFIER V1_1..];
        private_key_template_attribute: optional Attributes, [PRIVATE_KEY_TEMPLATE_ATTRIBUTE V1_1..=V1_4];
        public_key_template_attribute: optional Attributes, [PUBLIC_KEY_TEMPLATE_ATTRIBUTE V1_1..=V1_4];
    }
}
