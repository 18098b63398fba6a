//! Cryptography of the simulated token: a thin, safe wrapper over `aws-lc-sys`.
//!
//! `core` asks three things here: what a mechanism is ([`mechanism()`]), an operation on a [`Key`] ([`encryptor`],
//! [`signer`], [`wrap`] …), and keys made, taken apart or put together. Everything takes and returns owned, zeroising Rust
//! values; parameters arrive as [`Params`]. Access rules, handles and templates are `core`'s business. `unsafe` is in
//! `ffi` only. A family of mechanisms is one file with one slice of rows, joined in `mechanism`.

mod aes;
mod block;
mod ccm;
mod chacha20;
mod combine;
mod des;
#[cfg(feature = "deterministic")]
pub(crate) mod deterministic;
mod dh;
mod digest;
mod ecdh;
mod ecdsa;
mod eddsa;
mod edwards25519;
mod error;
mod ffi;
mod gcm;
mod generate;
mod goldilocks;
mod hkdf;
mod kbkdf;
mod key;
mod keywrap;
mod mac;
mod mechanism;
mod message;
mod ml_dsa;
mod ml_kem;
mod operation;
mod params;
mod pin;
mod pool;
mod rsa_cipher;
mod rsa_sign;
pub mod seal;
mod whole;
mod xts;

/// Whether randomness comes again, which what happens on several threads would spoil.
pub(crate) fn repeats() -> bool {
    #[cfg(feature = "deterministic")]
    return deterministic::is_on();
    #[cfg(not(feature = "deterministic"))]
    false
}

pub use combine::pbkdf2;
pub use des::{has_odd_parity, set_odd_parity};
pub use dh::published_group;
pub use digest::digest;
pub use ecdsa::P192_BITS;
pub use error::{CryptoError, Result};
pub use ffi::locked::Locked;
pub use generate::{PairParams, RSA_GENERATE_BITS_MIN, generate_des, generate_key_pair, generate_secret, random};
pub use key::{
    Curve, DhGroup, DhPrivateKey, DhPublicKey, EcPrivateKey, EcPublicKey, GoldilocksPrivateKey, GoldilocksPublicKey,
    Key, LatticePrivateKey, LatticePublicKey, ParameterSet, RawPrivateKey, RawPublicKey, RsaNumbers, RsaPrivateKey,
    RsaPublicKey, SecretKey, to_octet_string,
};
pub use mechanism::{
    MechanismInfo, decapsulate, decryptor, derive, derive_many, digester, encapsulate, encapsulated_bytes, encryptor,
    mechanism, mechanisms, sign_recover, signer, unwrap, verifier, verify_recover, wrap,
};
pub use operation::{CipherOperation, Digester, Direction, SignOperation, VerifyOperation};
pub use params::{EcKdf, Hash, Hedge, HkdfSalt, Kbkdf, KbkdfPart, KeyRef, Number, Oaep, ParamKind, Params, Prf};
pub use pin::PinKdf;
pub use pool::RsaPool;
