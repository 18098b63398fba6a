//! Set Endpoint Role: swaps client and server on a connection (KMIP 2.0 §6.1.49, 2.1 §6.1.54).

use crate::codec::fields;
use crate::spec::enums::EndpointRole;

fields! {
    /// The request payload of SetEndpointRole.
    #[derive(Clone)]
    pub struct SetEndpointRoleRequest {
        endpoint_role: required EndpointRole, [ENDPOINT_ROLE V2_0..];
    }

    /// The response payload of SetEndpointRole.
    #[derive(Clone)]
    pub struct SetEndpointRoleResponse {
        endpoint_role: required EndpointRole, [ENDPOINT_ROLE V2_0..];
    }
}
