//! Set Defaults: says which attributes objects get when a client leaves them out (KMIP 2.1 §6.1.53).

use super::common::DefaultsInformation;
use crate::codec::fields;

fields! {
    /// The request payload of SetDefaults.
    #[derive(Clone, Default)]
    pub struct SetDefaultsRequest {
        defaults_information: optional DefaultsInformation, [DEFAULTS_INFORMATION V2_1..];
    }

    /// The response payload of SetDefaults.
    #[derive(Clone, Default)]
    pub struct SetDefaultsResponse {
    }
}
