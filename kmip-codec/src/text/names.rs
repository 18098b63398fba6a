//! Names of enumeration values and mask bits: which table a field has, and what a version calls a value.
//!
//! A value is looked up in the message's version first, exactly; then in any version; then by letters and digits alone,
//! because published messages spell some names in several ways.

use crate::spec::attributes::{self, Shape};
use crate::spec::enums::{ENUMERATIONS, EnumRow, HashingAlgorithm, ItemTypeEnumeration, UniqueIdentifierEnumeration};
use crate::spec::masks::MASKS;
use crate::spec::tags::Tag;
use crate::version::ProtocolVersion;

/// What the value of a field means.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// An enumeration of one table.
    Enumeration(&'static [EnumRow]),
    /// An enumeration whose values are tags.
    Tags,
    /// A mask of one table.
    Mask(&'static [EnumRow]),
    /// Nothing that has names.
    Other,
}

/// Fields whose enumeration is called otherwise than the field.
const OTHERWISE: &[(Tag, &[EnumRow])] = &[
    (Tag::MASK_GENERATOR_HASHING_ALGORITHM, HashingAlgorithm::ROWS),
    (Tag::PASSWORD_SALT_ALGORITHM, HashingAlgorithm::ROWS),
    (Tag::OTP_DIGEST, HashingAlgorithm::ROWS),
    (Tag::EXTENSION_TYPE, ItemTypeEnumeration::ROWS),
    (Tag::LINKED_OBJECT_IDENTIFIER, UniqueIdentifierEnumeration::ROWS),
];

/// Published spellings of names that differ by more than punctuation.
const SPELLINGS: &[(&str, &str)] = &[("NotAuthorized", "NotAuthorised")];
/// Endings that published messages leave out.
const ENDINGS: [&str; 2] = ["pkcs1v15", "nonrepudiation"];

/// What the value of a field with this tag means.
pub(super) fn of_tag(tag: Tag) -> Meaning {
    if tag == Tag::ATTRIBUTE_REFERENCE {
        return Meaning::Tags;
    }
    if let Some((_, rows)) = OTHERWISE.iter().find(|(known, _)| *known == tag) {
        return Meaning::Enumeration(rows);
    }
    let Some(name) = tag.name() else { return Meaning::Other };
    if let Ok(at) = ENUMERATIONS.binary_search_by(|table| table.name.cmp(name)) {
        return ENUMERATIONS.get(at).map_or(Meaning::Other, |table| Meaning::Enumeration(table.rows));
    }
    if let Some(table) = MASKS.iter().find(|table| table.name == name) {
        return Meaning::Mask(table.rows);
    }
    // Fields that hold an identifier may name an earlier result instead (KMIP 2.0 §11.54).
    if name.ends_with("UniqueIdentifier") || name.ends_with("Link") {
        return Meaning::Enumeration(UniqueIdentifierEnumeration::ROWS);
    }
    Meaning::Other
}

/// What the Attribute Value beside this 1.x Attribute Name means.
pub(super) fn of_attribute(name: &str) -> Meaning {
    let row = attributes::ATTRIBUTES.iter().find(|row| row.name == name);
    let row = row.or_else(|| attributes::ATTRIBUTES.iter().find(|row| same(row.name, name)));
    match row.map(|row| row.shape) {
        Some(Shape::Enumeration(rows)) => Meaning::Enumeration(rows),
        Some(Shape::Mask(rows)) => Meaning::Mask(rows),
        _ => Meaning::Other,
    }
}

/// The number that goes with a name.
pub(super) fn number(rows: &[EnumRow], name: &str, version: Option<ProtocolVersion>) -> Option<u32> {
    let name = SPELLINGS.iter().find(|(published, _)| *published == name).map_or(name, |(_, ours)| ours);
    let here = |row: &&EnumRow| version.is_some_and(|version| row.versions.contains(version));
    let exactly = |row: &&EnumRow| row.name == name;
    let alike = |row: &&EnumRow| same(row.name, name);
    let shortened =
        |row: &&EnumRow| ENDINGS.iter().any(|ending| folded(row.name).eq(folded(name).chain(ending.bytes())));
    let find = |fits: &dyn Fn(&&EnumRow) -> bool| {
        rows.iter().find(|row| fits(row) && here(row)).or_else(|| rows.iter().find(|row| fits(row)))
    };
    find(&exactly).or_else(|| find(&alike)).or_else(|| find(&shortened)).map(|row| row.number)
}

/// What a version calls a number.
pub(super) fn name(rows: &[EnumRow], number: u32, version: Option<ProtocolVersion>) -> Option<&'static str> {
    let version = version?;
    rows.iter().find(|row| row.number == number && row.versions.contains(version)).map(|row| row.name)
}

fn same(a: &str, b: &str) -> bool {
    folded(a).eq(folded(b))
}

fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::enums::{Operation, ResultReason};
    use crate::version::{V1_0, V2_0};

    #[test]
    fn tables_are_in_the_order_that_the_search_needs() {
        assert!(ENUMERATIONS.is_sorted_by_key(|table| table.name));
    }

    #[test]
    fn names_are_found_in_every_published_spelling() {
        assert_eq!(number(Operation::ROWS, "Create", Some(V1_0)), Some(1));
        assert_eq!(number(Operation::ROWS, "Re-key Key Pair", Some(V1_0)), Some(0x1D));
        assert_eq!(number(Operation::ROWS, "Erase", Some(V1_0)), None);
        let reason = number(ResultReason::ROWS, "NotAuthorized", Some(V2_0));
        assert_eq!(reason, ResultReason::from_name("NotAuthorised", V2_0).map(ResultReason::number));
    }

    #[test]
    fn a_version_names_only_what_it_defines() {
        assert_eq!(name(Operation::ROWS, 0x1D, Some(V1_0)), None);
        assert_eq!(name(Operation::ROWS, 0x01, Some(V1_0)), Some("Create"));
        assert_eq!(name(Operation::ROWS, 0x01, None), None);
    }
}
