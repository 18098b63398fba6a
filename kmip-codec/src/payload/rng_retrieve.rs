//! Rng Retrieve: returns random bytes (KMIP 1.2 §4.35, 2.1 §6.1.49).

use crate::codec::fields;
use crate::secret::SecretBytes;

fields! {
    /// The request payload of RngRetrieve.
    #[derive(Clone)]
    pub struct RngRetrieveRequest {
        data_length: required i32, [DATA_LENGTH V1_2..];
    }

    /// The response payload of RngRetrieve.
    pub struct RngRetrieveResponse {
        data: required SecretBytes, [DATA V1_2..];
    }
}
