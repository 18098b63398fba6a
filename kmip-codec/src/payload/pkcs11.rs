//! Pkcs11: calls a PKCS#11 function; parameters are packed as the PKCS#11 profile says (KMIP 2.0 §6.1.35, 2.1 §6.1.37).

use crate::codec::fields;
use crate::secret::SecretBytes;
use crate::spec::enums::{Pkcs11Function, Pkcs11ReturnCode};

fields! {
    /// The request payload of Pkcs11.
    pub struct Pkcs11Request {
        interface: optional String, [PKCS_11_INTERFACE V2_0..];
        function: required Pkcs11Function, [PKCS_11_FUNCTION V2_0..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V2_0..];
        input_parameters: optional SecretBytes, [PKCS_11_INPUT_PARAMETERS V2_0..];
    }

    /// The response payload of Pkcs11.
    pub struct Pkcs11Response {
        interface: optional String, [PKCS_11_INTERFACE V2_0..];
        function: required Pkcs11Function, [PKCS_11_FUNCTION V2_0..];
        correlation_value: optional Vec<u8>, [CORRELATION_VALUE V2_0..];
        output_parameters: optional SecretBytes, [PKCS_11_OUTPUT_PARAMETERS V2_0..];
        return_code: required Pkcs11ReturnCode, [PKCS_11_RETURN_CODE V2_0..];
    }
}
