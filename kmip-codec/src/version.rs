//! Protocol versions, and the ranges of versions for which a row of a table holds.
//!
//! A peer may name any pair of numbers, so [`ProtocolVersion`] is open; [`ProtocolVersion::nearest`] maps what was named
//! to the version whose tables are used. Everything else in this crate compares versions, it never matches on them.

use std::fmt;

/// A protocol version as it stands in a message header (KMIP 1.0 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// The first number; messages of different majors are not compatible.
    pub major: i32,
    /// The second number; a higher one may add fields.
    pub minor: i32,
}

/// KMIP 1.0.
pub const V1_0: ProtocolVersion = ProtocolVersion::new(1, 0);
/// KMIP 1.1.
pub const V1_1: ProtocolVersion = ProtocolVersion::new(1, 1);
/// KMIP 1.2.
pub const V1_2: ProtocolVersion = ProtocolVersion::new(1, 2);
/// KMIP 1.3.
pub const V1_3: ProtocolVersion = ProtocolVersion::new(1, 3);
/// KMIP 1.4.
pub const V1_4: ProtocolVersion = ProtocolVersion::new(1, 4);
/// KMIP 2.0.
pub const V2_0: ProtocolVersion = ProtocolVersion::new(2, 0);
/// KMIP 2.1.
pub const V2_1: ProtocolVersion = ProtocolVersion::new(2, 1);
/// KMIP 3.0.
pub const V3_0: ProtocolVersion = ProtocolVersion::new(3, 0);

/// Every version this crate knows, newest first, as Discover Versions lists them.
pub const SUPPORTED: [ProtocolVersion; 8] = [V3_0, V2_1, V2_0, V1_4, V1_3, V1_2, V1_1, V1_0];

impl ProtocolVersion {
    /// Makes a version from its two numbers, whether or not anybody knows it.
    pub const fn new(major: i32, minor: i32) -> Self {
        Self { major, minor }
    }

    /// Tells whether this crate has tables for exactly this version.
    pub fn is_supported(self) -> bool {
        SUPPORTED.contains(&self)
    }

    /// The version whose tables apply: this one, or for a higher minor the newest of the same major.
    ///
    /// `None` when the major is unknown; such a message cannot be understood.
    pub fn nearest(self) -> Option<Self> {
        SUPPORTED.into_iter().find(|known| known.major == self.major && known.minor <= self.minor)
    }

    /// Compares as [`Ord`] does, in constants.
    const fn at_least(self, other: Self) -> bool {
        self.major > other.major || (self.major == other.major && self.minor >= other.minor)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Debug for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The versions in which a tag, value, field or operation exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionRange {
    /// The version that introduced it.
    pub from: ProtocolVersion,
    /// The last version that has it; `None` while it is current.
    pub until: Option<ProtocolVersion>,
}

impl VersionRange {
    /// From a version on.
    pub const fn since(from: ProtocolVersion) -> Self {
        Self { from, until: None }
    }

    /// From one version to another, both included.
    pub const fn between(from: ProtocolVersion, until: ProtocolVersion) -> Self {
        Self { from, until: Some(until) }
    }

    /// Tells whether `version` lies in the range.
    pub const fn contains(&self, version: ProtocolVersion) -> bool {
        version.at_least(self.from)
            && match self.until {
                Some(until) => until.at_least(version),
                None => true,
            }
    }

    /// The supported versions of this range, newest first.
    pub fn versions(self) -> impl Iterator<Item = ProtocolVersion> {
        SUPPORTED.into_iter().filter(move |version| self.contains(*version))
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "{}–{until}", self.from),
            None => write!(f, "{}–", self.from),
        }
    }
}

/// Writes a range as the tables do: `V1_2..` or `V1_0..=V1_4`.
macro_rules! versions {
    ($from:ident ..) => {
        $crate::version::VersionRange::since($crate::version::$from)
    };
    ($from:ident ..= $until:ident) => {
        $crate::version::VersionRange::between($crate::version::$from, $crate::version::$until)
    };
}
pub(crate) use versions;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_both_its_ends() {
        let range = versions!(V1_1..=V1_4);
        let inside: Vec<_> = range.versions().collect();
        assert_eq!(inside, [V1_4, V1_3, V1_2, V1_1]);
        assert!(!versions!(V2_1..).contains(V2_0));
    }

    #[test]
    fn a_higher_minor_uses_the_newest_tables_of_its_major() {
        assert_eq!(ProtocolVersion::new(1, 9).nearest(), Some(V1_4));
        assert_eq!(ProtocolVersion::new(2, 0).nearest(), Some(V2_0));
        assert_eq!(ProtocolVersion::new(2, 7).nearest(), Some(V2_1));
        assert_eq!(ProtocolVersion::new(4, 0).nearest(), None);
        assert_eq!(ProtocolVersion::new(1, -1).nearest(), None);
    }
}
