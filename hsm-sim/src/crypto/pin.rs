//! PINs into keys: slow on purpose, by a derivation that the store writes down beside what the key seals.
//!
//! PBKDF2 costs time only; Argon2id (RFC 9106) also costs memory, which is what a machine that guesses has least of for each
//! guess. A record names its derivation and all costs, so that changing the option changes new PINs and no old one.

use std::{fmt, str::FromStr};

use argon2::{Algorithm, Argon2, AssociatedData, Block, ParamsBuilder, Version};
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::kdf,
    params::Hash,
};

/// A derivation with its costs; its text is what the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinKdf {
    /// PBKDF2 with HMAC-SHA-512 (RFC 8018 §5.2): `pbkdf2-sha512:ROUNDS`.
    Pbkdf2 {
        /// Iterations.
        rounds: u32,
    },
    /// Argon2id, version 1.3 (RFC 9106): `argon2id:KIBIBYTES:PASSES:LANES`.
    Argon2id {
        /// Memory in KiB.
        memory: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes; one thread computes them all.
        lanes: u32,
    },
}

const PBKDF2: &str = "pbkdf2-sha512";
const ARGON2ID: &str = "argon2id";

/// Bounds of what a record may ask for. Whoever can write the file can stop the token anyway, but not the machine.
const MEMORY_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 1 << 10;
const LANES_MAX: u32 = 1 << 8;

impl PinKdf {
    /// Fills `output` from a PIN and a salt.
    pub fn derive(self, pin: &[u8], salt: &[u8], output: &mut [u8]) -> Result<()> {
        match self {
            Self::Pbkdf2 { rounds } => kdf::pbkdf2(Hash::Sha512, pin, salt, rounds, output),
            Self::Argon2id { memory, passes, lanes } => {
                argon2id([memory, passes, lanes], [pin, salt, &[], &[]], output)
            }
        }
    }
}

/// Argon2id of password, salt, secret and associated data.
fn argon2id(
    [memory, passes, lanes]: [u32; 3],
    [password, salt, secret, associated]: [&[u8]; 4],
    output: &mut [u8],
) -> Result<()> {
    let refused = |_error: argon2::Error| CryptoError::GeneralError;
    let mut params = ParamsBuilder::new();
    params.m_cost(memory).t_cost(passes).p_cost(lanes).output_len(output.len());
    params.data(AssociatedData::new(associated).map_err(refused)?);
    let params = params.build().map_err(refused)?;
    // What the passes leave behind leads to the key.
    let mut blocks = Zeroizing::new(vec![Block::new(); params.block_count()]);
    let argon2 = Argon2::new_with_secret(secret, Algorithm::Argon2id, Version::V0x13, params).map_err(refused)?;
    argon2.hash_password_into_with_memory(password, salt, output, blocks.as_mut_slice()).map_err(refused)
}

impl fmt::Display for PinKdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pbkdf2 { rounds } => write!(f, "{PBKDF2}:{rounds}"),
            Self::Argon2id { memory, passes, lanes } => write!(f, "{ARGON2ID}:{memory}:{passes}:{lanes}"),
        }
    }
}

impl FromStr for PinKdf {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(':');
        let name = parts.next();
        let costs: Option<Vec<u32>> = parts.map(|cost| cost.parse().ok().filter(|cost| *cost > 0)).collect();
        match (name, costs.as_deref()) {
            (Some(PBKDF2), Some(&[rounds])) => Ok(Self::Pbkdf2 { rounds }),
            (Some(ARGON2ID), Some(&[memory, passes, lanes]))
                if memory <= MEMORY_MAX && passes <= PASSES_MAX && lanes <= LANES_MAX =>
            {
                Ok(Self::Argon2id { memory, passes, lanes })
            }
            _ => Err(CryptoError::AttributeValueInvalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argon2id_is_that_of_rfc_9106() {
        // RFC 9106 §5.3
        let mut tag = [0; 32];
        argon2id([32, 3, 4], [&[1; 32], &[2; 16], &[3; 8], &[4; 12]], &mut tag).unwrap();
        let expected = [
            0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53, 0xc9, 0xd0, 0x1e,
            0xf0, 0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01, 0xe6, 0x59,
        ];
        assert_eq!(tag, expected);
    }

    #[test]
    fn a_derivation_reads_back_from_its_text_and_nothing_else_does() {
        for kdf in [PinKdf::Pbkdf2 { rounds: 210_000 }, PinKdf::Argon2id { memory: 65_536, passes: 3, lanes: 4 }] {
            assert_eq!(kdf.to_string().parse(), Ok(kdf));
        }
        for wrong in [
            "",
            "pbkdf2-sha512",
            "pbkdf2-sha512:",
            "pbkdf2-sha512:0",
            "pbkdf2-sha512:1:2",
            "pbkdf2-sha256:1000",
            "argon2id:65536:3",
            "argon2id:65536:0:4",
            "argon2id:1048577:3:4",
            "argon2id:65536:3:4:5",
            "argon2i:65536:3:4",
        ] {
            assert_eq!(wrong.parse::<PinKdf>(), Err(CryptoError::AttributeValueInvalid), "{wrong}");
        }
    }

    #[test]
    fn every_input_and_every_cost_counts() {
        let derive = |kdf: PinKdf, pin: &[u8], salt: &[u8]| {
            let mut key = [0; 32];
            kdf.derive(pin, salt, &mut key).unwrap();
            key
        };
        let kdf = PinKdf::Argon2id { memory: 64, passes: 2, lanes: 2 };
        let made = derive(kdf, b"1234", &[7; 16]);
        assert_eq!(derive(kdf, b"1234", &[7; 16]), made);
        let others = [
            derive(kdf, b"1235", &[7; 16]),
            derive(kdf, b"1234", &[8; 16]),
            derive(PinKdf::Argon2id { memory: 72, passes: 2, lanes: 2 }, b"1234", &[7; 16]),
            derive(PinKdf::Argon2id { memory: 64, passes: 3, lanes: 2 }, b"1234", &[7; 16]),
            derive(PinKdf::Argon2id { memory: 64, passes: 2, lanes: 1 }, b"1234", &[7; 16]),
        ];
        assert!(others.iter().all(|other| *other != made));
    }
}
