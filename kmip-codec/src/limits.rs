//! The limits every decode works under.
//!
//! A limit is checked before anything is allocated for what it limits. The defaults are those for an authenticated
//! peer; [`Limits::BEFORE_AUTHENTICATION`] allows less.

/// What a message may cost before it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of one message, its eight-byte header included.
    pub message_bytes_max: usize,
    /// Structures inside structures; the message itself is the first.
    pub depth_max: usize,
    /// Items of all kinds in one message.
    pub items_max: usize,
    /// Batch items in one message.
    pub batch_items_max: usize,
    /// Bytes of one text string.
    pub text_bytes_max: usize,
}

impl Limits {
    /// For a peer that has shown a valid credential: 16 MiB.
    pub const AUTHENTICATED: Self = Self {
        message_bytes_max: 16 << 20,
        depth_max: 32,
        items_max: 1 << 18,
        batch_items_max: 1024,
        text_bytes_max: 64 << 10,
    };

    /// For a peer we know nothing about yet: 1 MiB.
    pub const BEFORE_AUTHENTICATION: Self =
        Self { message_bytes_max: 1 << 20, items_max: 1 << 15, ..Self::AUTHENTICATED };
}

impl Default for Limits {
    fn default() -> Self {
        Self::AUTHENTICATED
    }
}
