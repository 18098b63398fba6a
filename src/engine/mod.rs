//! The engine: use cases over ports, in one pipeline for both protocols.
//!
//! It knows neither KMIP nor JSON, neither `cryptoki` nor `sled`. A front end turns bytes into a typed use case and calls
//! [`Engine::execute`]; everything that must happen around a use case happens there, once.

pub mod ports;
