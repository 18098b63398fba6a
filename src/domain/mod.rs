//! What everybody else talks about: managed objects, their lifecycle, attributes, and who may ask.
//!
//! Nothing here knows a protocol, a store, an HSM handle or an async runtime. Numbers of enumerations are those of the KMIP
//! specification, because the standard fixed them first; an enumeration that comes from outside is an open newtype that
//! keeps a number it does not know. Randomness and time are passed in.

pub mod access;
pub mod algorithm;
pub mod attributes;
pub mod audit;
pub mod error;
pub mod group;
pub mod job;
pub mod lifecycle;
pub mod object;
pub mod operation;
pub mod project;
pub mod reference;
pub mod secret;
pub mod time;
pub mod value;

pub use access::{Principal, ProjectId, Realm};
pub use algorithm::{CryptographicAlgorithm, CryptographicParameters, UsageMask};
pub use attributes::{Attribute, AttributeKind, AttributeValue, Attributes};
pub use lifecycle::{Lifecycle, State};
pub use object::{ManagedObject, ObjectType, Origin, UniqueIdentifier};
pub use operation::OperationKind;
pub use reference::{TokenId, TokenReference};
pub use time::Timestamp;
pub use value::SecretValue;
