//! The use cases, one file each. Both front ends call the same ones; what only one protocol wants is a use case of its own.

pub mod archive;
pub mod attributes;
mod change;
pub mod consumers;
pub mod create;
pub mod create_key_pair;
pub mod crypt;
pub mod derive;
pub mod grants;
pub mod groups;
pub mod import;
pub mod jobs;
pub mod lease;
pub mod lifecycle;
pub mod list_secrets;
pub mod locate;
pub mod metadata;
pub mod obliterate;
pub mod payload;
pub mod purge;
pub mod quotas;
pub mod register;
pub mod rekey;
pub mod retire;
pub mod reveal;
pub mod rng;
pub mod secret_value;
pub mod set_value;
pub mod split;
pub mod stores;
pub mod stream;
mod succession;
mod template;
pub mod transport_keys;
mod usage;

pub use template::KeyShape;
