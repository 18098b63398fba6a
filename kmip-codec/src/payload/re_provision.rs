//! Re Provision: gives the client a new credential (KMIP 2.0 §6.1.46, 2.1 §6.1.48).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::object::{Certificate, CertificateRequest};

fields! {
    /// The request payload of ReProvision.
    #[derive(Default)]
    pub struct ReProvisionRequest {
        certificate_request: optional CertificateRequest, [CERTIFICATE_REQUEST V2_0..];
        certificate: optional Certificate, [CERTIFICATE V2_0..];
    }

    /// The response payload of ReProvision.
    #[derive(Clone, Default)]
    pub struct ReProvisionResponse {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V2_0..];
    }
}
