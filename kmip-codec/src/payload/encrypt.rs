//! Encrypt: encrypts data (KMIP 1.2 §4.29, 2.1 §6.1.17).

use super::common::Data;
use crate::attribute::CryptographicParameters;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::secret::SecretBytes;

fields! {
    /// The request payload of Encrypt.
    #[derive(Default)]
    pub struct EncryptRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_2..];
        data: optional Data, [DATA V1_2..];
        iv_counter_nonce: optional Vec<u8>, [IV_COUNTER_NONCE V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
        init_indicator: optional bool, [INIT_INDICATOR V1_3..];
        final_indicator: optional bool, [FINAL_INDICATOR V1_3..];
        authenticated_encryption_additional_data: optional Vec<u8>, [AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA V1_4..];
    }

    /// The response payload of Encrypt.
    pub struct EncryptResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        data: optional SecretBytes, [DATA V1_2..];
        iv_counter_nonce: optional Vec<u8>, [IV_COUNTER_NONCE V1_2..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V1_3..];
        authenticated_encryption_tag: optional Vec<u8>, [AUTHENTICATED_ENCRYPTION_TAG V1_4..];
    }
}
