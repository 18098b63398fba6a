//! Re Certify: renews a certificate (KMIP 1.0 §4.7, 2.1 §6.1.45).

use super::common::ProtectionStorageMasks;
use crate::attribute::Attributes;
use crate::codec::{Interval, fields};
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::CertificateRequestType;

fields! {
    /// The request payload of ReCertify.
    #[derive(Default)]
    pub struct ReCertifyRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        certificate_request_unique_identifier: optional UniqueIdentifier, [CERTIFICATE_REQUEST_UNIQUE_IDENTIFIER V2_0..];
        certificate_request_type: optional CertificateRequestType, [CERTIFICATE_REQUEST_TYPE V1_0..];
        certificate_request: optional Vec<u8>, [CERTIFICATE_REQUEST V1_0..=V1_4] [CERTIFICATE_REQUEST_VALUE V2_0..];
        offset: optional Interval, [OFFSET V1_0..];
        attributes: optional Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4] [ATTRIBUTES V2_0..];
        protection_storage_masks: optional ProtectionStorageMasks, [PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// The response payload of ReCertify.
    pub struct ReCertifyResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        template_attribute: optional Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4];
    }
}
