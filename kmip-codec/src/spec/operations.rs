//! Which version has which operation (KMIP 1.0 §9.1.3.2.26 and its successors).
//!
//! The rows are those of the Operation enumeration; the payload types that go with them are in `payload::PAYLOADS`.

use crate::spec::enums::Operation;
use crate::version::{ProtocolVersion, VersionRange};

/// Tells whether `version` has the operation.
pub fn exists(operation: Operation, version: ProtocolVersion) -> bool {
    operation.is_defined(version)
}

/// The versions that have the operation; `None` for extensions and unknown codes.
pub fn versions(operation: Operation) -> Option<VersionRange> {
    Operation::ROWS.iter().find(|row| row.number == operation.number()).map(|row| row.versions)
}

/// Every operation of a version, in the order of the codes.
pub fn of_version(version: ProtocolVersion) -> impl Iterator<Item = Operation> {
    Operation::ROWS
        .iter()
        .filter(move |row| row.versions.contains(version))
        .map(|row| Operation::from_number(row.number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PAYLOADS;
    use crate::version::{V1_0, V1_1, V3_0};

    #[test]
    fn every_operation_has_payloads() {
        let with_payloads: Vec<_> = PAYLOADS.iter().map(|row| row.operation.number()).collect();
        let of_standard: Vec<_> = Operation::ROWS.iter().map(|row| row.number).collect();
        assert_eq!(with_payloads, of_standard);
    }

    #[test]
    fn operations_come_with_versions() {
        assert!(!exists(Operation::DISCOVER_VERSIONS, V1_0) && exists(Operation::DISCOVER_VERSIONS, V1_1));
        assert_eq!(of_version(V1_0).count(), 28);
        assert_eq!(of_version(V3_0).count(), 64);
        assert_eq!(versions(Operation::from_number(0x8000_0001)), None);
    }

    #[test]
    fn a_payload_has_a_field_only_where_the_tag_exists() {
        for row in PAYLOADS {
            for field in row.request.iter().chain(row.response) {
                let Some(tag) = field.tag else { continue };
                let existing = field.versions.versions().find(|version| !tag.is_defined(*version));
                assert_eq!(existing, None, "{} {}", row.operation, field.field);
            }
        }
    }
}
