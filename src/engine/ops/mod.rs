//! The use cases, one file each. Both front ends call the same ones; what only one protocol wants is a use case of its own.

pub mod attributes;
pub mod create;
pub mod create_key_pair;
pub mod crypt;
pub mod lifecycle;
pub mod locate;
pub mod register;
pub mod reveal;
pub mod rng;
mod template;
mod usage;

pub use template::KeyShape;
