//! What the specifications print as tables, one row a line, with the versions each row holds for.
//!
//! Names are those of the XML and JSON encodings (KMIP Profiles 1.0 §5.4.1), which are the only ones without blanks and
//! punctuation. Nothing here is computed: a new version of the standard is a new column value.

pub mod attributes;
pub mod enums;
pub mod masks;
pub mod operations;
pub mod reasons;
pub mod tags;
