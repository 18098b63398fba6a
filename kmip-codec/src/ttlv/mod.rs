//! Tag, type, length, value: the item tree under every KMIP message.
//!
//! `frame` says how many bytes the next message needs, `parse` checks exactly those and gives the [`Item`] that they are,
//! `children` and `reader` walk one structure of it, and `writer` builds bytes again. Nothing here knows what a message means.

mod children;
mod frame;
mod item;
mod parse;
mod reader;
mod writer;

pub use children::{Children, Items};
pub use frame::{HEADER_BYTES, MessageKind, message_length};
pub use item::{Item, ItemType, Value};
pub use parse::parse;
pub(crate) use reader::wrong_type;
pub use reader::{Context, Reader};
pub use writer::Writer;
