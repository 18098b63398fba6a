//! Locate: finds objects by their attributes (KMIP 1.0 §4.8, 2.1 §6.1.28).

use crate::attribute::AttributeList;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::ObjectGroupMember;
use crate::spec::masks::StorageStatusMask;

fields! {
    /// The request payload of Locate.
    #[derive(Clone, Default)]
    pub struct LocateRequest {
        maximum_items: optional i32, [MAXIMUM_ITEMS V1_0..];
        offset_items: optional i32, [OFFSET_ITEMS V1_3..];
        storage_status_mask: optional StorageStatusMask, [STORAGE_STATUS_MASK V1_0..];
        object_group_member: optional ObjectGroupMember, [OBJECT_GROUP_MEMBER V1_1..=V2_1];
        /// Conditions, all of which must hold.
        attributes: group AttributeList;
    }

    /// The response payload of Locate.
    #[derive(Clone, Default)]
    pub struct LocateResponse {
        located_items: optional i32, [LOCATED_ITEMS V1_3..];
        unique_identifiers: repeated UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }
}
