//! Sign: signs data or its digest (KMIP 1.2 §4.31, 2.1 §6.1.55).

use super::common::Data;
use crate::attribute::CryptographicParameters;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::secret::SecretBytes;

fields! {
    /// The request payload of Sign.
    #[derive(Default)]
    pub struct SignRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_2..];
        data: optional Data, [DATA V1_2..];
        digested_data: optional SecretBytes, [DIGESTED_DATA V1_4..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
        init_indicator: optional bool, [INIT_INDICATOR V1_3..];
        final_indicator: optional bool, [FINAL_INDICATOR V1_3..];
    }

    /// The response payload of Sign.
    pub struct SignResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        signature_data: optional Vec<u8>, [SIGNATURE_DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
    }
}
