//! Where output goes: into the caller's memory, or nowhere when only its length is asked for.

use crate::core::rv::Result;

/// Where output goes.
pub(crate) enum Output<'o> {
    /// Nowhere: the caller asks for the length.
    Query,
    /// Into the caller's memory.
    Buffer(&'o mut [u8]),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// So many bytes were written.
    Done(usize),
    /// So many bytes would be written.
    Needed(usize),
    /// The room was too small for so many bytes.
    TooSmall(usize),
}

impl<'o> Output<'o> {
    /// Copies bytes that are there in full.
    pub(crate) fn put(self, bytes: &[u8]) -> Written {
        match self {
            Self::Query => Written::Needed(bytes.len()),
            Self::Buffer(buffer) => match buffer.get_mut(..bytes.len()) {
                Some(room) => {
                    room.copy_from_slice(bytes);
                    Written::Done(bytes.len())
                }
                None => Written::TooSmall(bytes.len()),
            },
        }
    }

    /// Fills the whole room.
    pub(crate) fn fill_with(self, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Written> {
        match self {
            Self::Query => Ok(Written::Needed(0)),
            Self::Buffer(buffer) => {
                fill(buffer)?;
                Ok(Written::Done(buffer.len()))
            }
        }
    }

    /// The room for so many bytes, or what to answer instead.
    pub(crate) fn room_for(self, bytes: usize) -> Result<&'o mut [u8], Written> {
        match self {
            Self::Query => Err(Written::Needed(bytes)),
            Self::Buffer(buffer) if buffer.len() < bytes => Err(Written::TooSmall(bytes)),
            Self::Buffer(buffer) => Ok(buffer),
        }
    }

    /// As [`room_for`](Self::room_for), for output that is still wanted afterwards.
    pub(super) fn room(&mut self, bytes: usize) -> Result<&mut [u8], Written> {
        match self {
            Self::Query => Err(Written::Needed(bytes)),
            Self::Buffer(buffer) if buffer.len() < bytes => Err(Written::TooSmall(bytes)),
            Self::Buffer(buffer) => Ok(buffer),
        }
    }
}
