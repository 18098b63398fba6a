//! Mac Verify: checks a message authentication code (KMIP 1.2 §4.34, 2.1 §6.1.33).

use super::common::Data;
use crate::attribute::CryptographicParameters;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::ValidityIndicator;

fields! {
    /// The request payload of MacVerify.
    #[derive(Default)]
    pub struct MacVerifyRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_2..];
        data: optional Data, [DATA V1_2..];
        mac_data: optional Vec<u8>, [MAC_DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
        init_indicator: optional bool, [INIT_INDICATOR V1_3..];
        final_indicator: optional bool, [FINAL_INDICATOR V1_3..];
    }

    /// The response payload of MacVerify.
    pub struct MacVerifyResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        validity_indicator: optional ValidityIndicator, [VALIDITY_INDICATOR V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
    }
}
