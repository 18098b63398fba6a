//! Rng Seed: mixes bytes into the random number generator (KMIP 1.2 §4.36, 2.1 §6.1.50).

use super::common::Data;
use crate::codec::fields;

fields! {
    /// The request payload of RngSeed.
    pub struct RngSeedRequest {
        data: required Data, [DATA V1_2..];
    }

    /// The response payload of RngSeed.
    #[derive(Clone)]
    pub struct RngSeedResponse {
        data_length: required i32, [DATA_LENGTH V1_2..];
    }
}
