//! Discover Versions: agrees on a protocol version (KMIP 1.1 §4.26, 2.1 §6.1.16).

use crate::codec::fields;
use crate::version::ProtocolVersion;

fields! {
    /// The request payload of DiscoverVersions.
    #[derive(Clone, Default)]
    pub struct DiscoverVersionsRequest {
        protocol_versions: repeated ProtocolVersion, [PROTOCOL_VERSION V1_1..];
    }

    /// The response payload of DiscoverVersions.
    #[derive(Clone, Default)]
    pub struct DiscoverVersionsResponse {
        protocol_versions: repeated ProtocolVersion, [PROTOCOL_VERSION V1_1..];
    }
}
