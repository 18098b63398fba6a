//! Hash: hashes data (KMIP 1.2 §4.37, 2.1 §6.1.24).

use super::common::Data;
use crate::attribute::CryptographicParameters;
use crate::codec::fields;
use crate::secret::SecretBytes;

fields! {
    /// The request payload of Hash.
    #[derive(Default)]
    pub struct HashRequest {
        cryptographic_parameters: required CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_2..];
        data: optional Data, [DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
        init_indicator: optional bool, [INIT_INDICATOR V1_3..];
        final_indicator: optional bool, [FINAL_INDICATOR V1_3..];
    }

    /// The response payload of Hash.
    #[derive(Default)]
    pub struct HashResponse {
        data: optional SecretBytes, [DATA V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
    }
}
