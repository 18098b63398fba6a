//! The RSA pair that delivers a token's AES transport key to this process.
//!
//! The pair is made at start, lives in memory only, and is replaced by making a new one. A token imports the public half,
//! generates an AES key and wraps that under it with OAEP; from then on values travel under the AES key (`kwp`).

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    error::Unspecified,
    rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use zeroize::Zeroizing;

use super::{Error, asn1::cut_into_secret, keys::RsaPublic};
use crate::domain::SecretValue;

/// The hash of OAEP and of its mask generator; both are always the same here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OaepHash {
    /// SHA-1, the only one that some tokens know; sound for OAEP.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// An RSA-3072 pair of this process.
pub struct TransportPair {
    private: OaepPrivateDecryptingKey,
    public: RsaPublic,
}

impl TransportPair {
    /// Makes a new pair; takes some hundred milliseconds.
    ///
    /// # Errors
    ///
    /// `Failed` when the library cannot make one.
    pub fn generate() -> Result<Self, Error> {
        let failed = |Unspecified| Error::Failed("RSA key generation");
        let private = PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(failed)?;
        let spki: PublicKeyX509Der<'_> = private.public_key().as_der().map_err(failed)?;
        let public = RsaPublic::from_spki(spki.as_ref())?;
        Ok(Self { private: OaepPrivateDecryptingKey::new(private).map_err(failed)?, public })
    }

    /// The public half: modulus and exponent for the import on a token.
    #[must_use]
    pub const fn public(&self) -> &RsaPublic {
        &self.public
    }

    /// Opens what was encrypted to the public half with OAEP and an empty label.
    ///
    /// # Errors
    ///
    /// `Unopened` for anything else.
    pub fn open(&self, encrypted: &[u8], hash: OaepHash) -> Result<SecretValue, Error> {
        let algorithm = match hash {
            OaepHash::Sha1 => &OAEP_SHA1_MGF1SHA1,
            OaepHash::Sha256 => &OAEP_SHA256_MGF1SHA256,
        };
        let mut output = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let opened =
            self.private.decrypt(algorithm, encrypted, &mut output, None).map_err(|Unspecified| Error::Unopened)?;
        let length = opened.len();
        Ok(cut_into_secret(output, length))
    }
}

impl std::fmt::Debug for TransportPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransportPair").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{OaepAlgorithm, OaepPublicEncryptingKey, PublicEncryptingKey};

    use super::*;

    fn encrypt(public: &RsaPublic, algorithm: &'static OaepAlgorithm, value: &[u8]) -> Vec<u8> {
        let key = PublicEncryptingKey::from_der(&public.to_spki().unwrap()).unwrap();
        let key = OaepPublicEncryptingKey::new(key).unwrap();
        let mut output = vec![0; key.ciphertext_size()];
        key.encrypt(algorithm, value, &mut output, None).unwrap().to_vec()
    }

    #[test]
    fn a_key_is_delivered_and_nothing_else_opens() {
        let pair = TransportPair::generate().unwrap();
        assert_eq!((pair.public().bits(), pair.public().e()), (3072, [1, 0, 1].as_slice()));
        let key = SecretValue::new(vec![0x5A; 32]);
        for (hash, algorithm) in [(OaepHash::Sha1, &OAEP_SHA1_MGF1SHA1), (OaepHash::Sha256, &OAEP_SHA256_MGF1SHA256)] {
            let sent = encrypt(pair.public(), algorithm, &[0x5A; 32]);
            assert!(pair.open(&sent, hash).unwrap().matches(&key));
            let other = if hash == OaepHash::Sha1 { OaepHash::Sha256 } else { OaepHash::Sha1 };
            assert_eq!(pair.open(&sent, other).unwrap_err(), Error::Unopened);
            assert_eq!(pair.open(&sent[1..], hash).unwrap_err(), Error::Unopened);
            assert_eq!(pair.open(&[], hash).unwrap_err(), Error::Unopened);
            assert_eq!(pair.open(&[0xFF; 384], hash).unwrap_err(), Error::Unopened);
        }
    }
}
