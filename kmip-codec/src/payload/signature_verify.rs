//! Signature Verify: checks a signature (KMIP 1.2 §4.32, 2.1 §6.1.56).

use super::common::Data;
use crate::attribute::CryptographicParameters;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::secret::SecretBytes;
use crate::spec::enums::ValidityIndicator;

fields! {
    /// The request payload of SignatureVerify.
    #[derive(Default)]
    pub struct SignatureVerifyRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_2..];
        data: optional Data, [DATA V1_2..];
        digested_data: optional SecretBytes, [DIGESTED_DATA V1_4..];
        signature_data: optional Vec<u8>, [SIGNATURE_DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
        init_indicator: optional bool, [INIT_INDICATOR V1_3..];
        final_indicator: optional bool, [FINAL_INDICATOR V1_3..];
    }

    /// The response payload of SignatureVerify.
    pub struct SignatureVerifyResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        validity_indicator: optional ValidityIndicator, [VALIDITY_INDICATOR V1_2..];
        data: optional SecretBytes, [DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
    }
}
