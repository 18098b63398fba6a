//! Mac: authenticates data (KMIP 1.2 §4.33, 2.1 §6.1.32).

use super::common::Data;
use crate::attribute::CryptographicParameters;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Mac.
    #[derive(Default)]
    pub struct MacRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_2..];
        data: optional Data, [DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
        init_indicator: optional bool, [INIT_INDICATOR V1_3..];
        final_indicator: optional bool, [FINAL_INDICATOR V1_3..];
    }

    /// The response payload of Mac.
    pub struct MacResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        mac_data: optional Vec<u8>, [MAC_DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
    }
}
