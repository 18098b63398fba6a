//! The kinds of values a setting can have.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use super::reader::{Content, Node, Reading, Setting};

/// A whole number within limits that belong to its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    /// A default of the tables; checked while compiling.
    pub(super) const fn new(value: u64) -> Self {
        assert!(MIN <= value && value <= MAX, "the default lies within its limits");
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a size of this machine; larger ones mean "as many as there can be".
    #[must_use]
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The number in 32 bits; larger ones saturate.
    #[must_use]
    pub fn small(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// The number as seconds.
    #[must_use]
    pub const fn seconds(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Setting for Within<MIN, MAX> {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        let number = match &node.content {
            Content::Integer(number) => u64::try_from(*number).ok(),
            Content::Raw(text) => text.trim().parse().ok(),
            _ => return at.wrong_kind(&node, "a whole number"),
        };
        match number {
            Some(number) if (MIN..=MAX).contains(&number) => Some(Self(number)),
            _ => at.refuse(node.origin, format!("must be a whole number from {MIN} to {MAX}")),
        }
    }
}

impl Setting for String {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        match node.content {
            Content::Text(text) | Content::Raw(text) if !text.is_empty() => Some(text),
            Content::Text(_) | Content::Raw(_) => at.refuse(node.origin, "must not be empty".to_owned()),
            _ => at.wrong_kind(&node, "text"),
        }
    }
}

impl Setting for bool {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        match &node.content {
            Content::Boolean(value) => Some(*value),
            Content::Raw(text) => match text.trim() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => at.wrong_kind(&node, "true or false"),
            },
            _ => at.wrong_kind(&node, "true or false"),
        }
    }
}

/// Relative paths start at the folder of the configuration file.
impl Setting for PathBuf {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        let text = String::read(node, at)?;
        Some(at.resolve(&text))
    }
}

impl Setting for SocketAddr {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        let origin = node.origin.clone();
        let text = String::read(node, at)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => at.refuse(
                origin,
                format!("`{text}` is not an address with a port, such as 127.0.0.1:5696 or [::1]:5696"),
            ),
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        T::read(node, at).map(Some)
    }

    fn absent(_at: &mut Reading<'_>) -> Option<Self> {
        Some(None)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        let items = match node.content {
            Content::List(items) => items,
            Content::Raw(text) => {
                let item =
                    |text: &str| Node { origin: node.origin.clone(), content: Content::Raw(text.trim().to_owned()) };
                text.split(',').map(item).collect()
            }
            _ => return at.wrong_kind(&node, "a list"),
        };
        // All items are read, so that the mistakes of all are reported.
        let read: Vec<Option<T>> =
            items.into_iter().enumerate().map(|(index, item)| at.item(&format!("[{index}]"), item)).collect();
        read.into_iter().collect()
    }

    fn absent(_at: &mut Reading<'_>) -> Option<Self> {
        Some(Self::new())
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        let table = at.table(node)?;
        let read: Vec<Option<(String, T)>> =
            table.into_iter().map(|(key, node)| at.item(&key, node).map(|value| (key, value))).collect();
        read.into_iter().collect()
    }

    fn absent(_at: &mut Reading<'_>) -> Option<Self> {
        Some(Self::new())
    }
}

/// A setting that is one of a few words.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$row:meta])* $variant:ident = $word:literal,)+ })+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$row])* $variant,)+ }

        impl $name {
            /// The words of the configuration.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The word of the configuration.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::config::reader::Setting for $name {
            fn read(node: $crate::config::reader::Node, at: &mut $crate::config::reader::Reading<'_>) -> Option<Self> {
                let origin = node.origin.clone();
                let text = String::read(node, at)?;
                match text.as_str() {
                    $($word => Some(Self::$variant),)+
                    _ => at.refuse(origin, format!("`{text}` is not one of {}", Self::WORDS.join(", "))),
                }
            }
        }
    )+ };
}
pub(super) use words;

/// A table of settings: each is a field with its type, and either a default or `required`.
macro_rules! section {
    ($($(#[$meta:meta])* $name:ident { $($(#[$row:meta])* $field:ident: $type:ty = $default:expr;)* })+) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$row])* pub $field: $type,)* }

        impl $name {
            /// Its keys.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($field),)*];
        }

        impl $crate::config::reader::Setting for $name {
            fn read(node: $crate::config::reader::Node, at: &mut $crate::config::reader::Reading<'_>) -> Option<Self> {
                let mut table = at.table(node)?;
                $(let $field: Option<$type> = at.take(&mut table, stringify!($field), $default);)*
                at.nothing_left(table, Self::KEYS);
                Some(Self { $($field: $field?,)* })
            }

            /// A section that is left out is an empty one.
            fn absent(at: &mut $crate::config::reader::Reading<'_>) -> Option<Self> {
                let content = $crate::config::reader::Content::Table(std::collections::BTreeMap::new());
                Self::read($crate::config::reader::Node { origin: $crate::config::reader::Origin::Absent, content }, at)
            }
        }
    )+ };
}
pub(super) use section;
