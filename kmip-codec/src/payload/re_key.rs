//! Re Key: replaces a symmetric key by a new one (KMIP 1.0 §4.4, 2.1 §6.1.46).

use super::common::ProtectionStorageMasks;
use crate::attribute::Attributes;
use crate::codec::{Interval, fields};
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of ReKey.
    #[derive(Default)]
    pub struct ReKeyRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        offset: optional Interval, [OFFSET V1_0..];
        attributes: optional Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4] [ATTRIBUTES V2_0..];
        protection_storage_masks: optional ProtectionStorageMasks, [PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// The response payload of ReKey.
    pub struct ReKeyResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        template_attribute: optional Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4];
    }
}
