//! Whether a signature holds, in software: what a token has signed is looked at before it is given out.
//!
//! A device that computes wrongly shows nowhere else, and one faulty RSA signature by the Chinese remainder theorem gives the
//! private key away. Pairs of key and hash that the library does not verify are not judged.

use aws_lc_rs::{
    digest::{self, Digest},
    signature::{self as library, VerificationAlgorithm},
};

use super::PublicKey;
use crate::domain::algorithm::{Curve, HashingAlgorithm};

/// What was signed.
#[derive(Clone, Copy, Debug)]
pub enum Signed<'a> {
    /// A digest by that hash, with PKCS#1 v1.5 padding for RSA, in DER for elliptic curves.
    Digest(HashingAlgorithm, &'a [u8]),
    /// A digest by that hash, with PSS padding and a salt as long as the hash.
    Pss(HashingAlgorithm, &'a [u8]),
    /// The data themselves: Ed25519.
    Data(&'a [u8]),
}

type Verifier = &'static dyn VerificationAlgorithm;

/// Curve, hash, how it is verified.
static EC: &[(Curve, HashingAlgorithm, Verifier)] = &[
    (Curve::P256, HashingAlgorithm::SHA_256, &library::ECDSA_P256_SHA256_ASN1),
    (Curve::P384, HashingAlgorithm::SHA_256, &library::ECDSA_P384_SHA256_ASN1),
    (Curve::P384, HashingAlgorithm::SHA_384, &library::ECDSA_P384_SHA384_ASN1),
    (Curve::P521, HashingAlgorithm::SHA_256, &library::ECDSA_P521_SHA256_ASN1),
    (Curve::P521, HashingAlgorithm::SHA_384, &library::ECDSA_P521_SHA384_ASN1),
    (Curve::P521, HashingAlgorithm::SHA_512, &library::ECDSA_P521_SHA512_ASN1),
    (Curve::Secp256k1, HashingAlgorithm::SHA_256, &library::ECDSA_P256K1_SHA256_ASN1),
];

/// Hash, how PKCS#1 v1.5 is verified, how PSS is. Keys from 2048 bits on.
static RSA: &[(HashingAlgorithm, Verifier, Verifier)] = &[
    (HashingAlgorithm::SHA_256, &library::RSA_PKCS1_2048_8192_SHA256, &library::RSA_PSS_2048_8192_SHA256),
    (HashingAlgorithm::SHA_384, &library::RSA_PKCS1_2048_8192_SHA384, &library::RSA_PSS_2048_8192_SHA384),
    (HashingAlgorithm::SHA_512, &library::RSA_PKCS1_2048_8192_SHA512, &library::RSA_PSS_2048_8192_SHA512),
];

static DIGESTS: &[(HashingAlgorithm, &digest::Algorithm)] = &[
    (HashingAlgorithm::SHA_256, &digest::SHA256),
    (HashingAlgorithm::SHA_384, &digest::SHA384),
    (HashingAlgorithm::SHA_512, &digest::SHA512),
];

/// Whether the signature holds; `None` where nobody here can tell.
#[must_use]
pub fn holds(key: &PublicKey, signed: Signed<'_>, signature: &[u8]) -> Option<bool> {
    let imported = |algorithm: HashingAlgorithm, bytes: &[u8]| {
        let (_, known) = DIGESTS.iter().find(|(name, _)| *name == algorithm)?;
        Digest::import_less_safe(bytes, known).ok()
    };
    match (key, signed) {
        (PublicKey::Ed25519(key), Signed::Data(data)) => {
            Some(library::UnparsedPublicKey::new(&library::ED25519, key.bytes()).verify(data, signature).is_ok())
        }
        (PublicKey::Ec(key), Signed::Digest(hash, bytes)) => {
            let (_, _, verifier) = EC.iter().find(|(curve, name, _)| *curve == key.curve() && *name == hash)?;
            Some(verifier.verify_digest_sig(key.point(), &imported(hash, bytes)?, signature).is_ok())
        }
        (PublicKey::Rsa(key), Signed::Digest(hash, bytes) | Signed::Pss(hash, bytes)) => {
            let (_, pkcs1, pss) = RSA.iter().find(|(name, _, _)| *name == hash)?;
            let verifier = if matches!(signed, Signed::Pss(..)) { pss } else { pkcs1 };
            if !(2048..=8192).contains(&key.bits()) {
                return None;
            }
            Some(verifier.verify_digest_sig(&key.to_pkcs1().ok()?, &imported(hash, bytes)?, signature).is_ok())
        }
        (PublicKey::Ed25519(_), _) | (PublicKey::Ec(_) | PublicKey::Rsa(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
    };

    use super::*;
    use crate::{
        crypto::{PrivateKey, hash},
        domain::SecretValue,
    };

    const RSA_KEY: &[u8] = include_bytes!("../../tests/vectors/keys/rsa2048.pkcs8.pem");

    #[test]
    fn a_signature_holds_for_what_was_signed_and_for_nothing_else() {
        let (data, random) = (b"what is signed".as_slice(), SystemRandom::new());
        let digest = hash::sha256(data);
        let bad = |signature: &[u8]| {
            let mut bad = signature.to_vec();
            bad[signature.len() / 2] ^= 1;
            bad
        };
        let sha = HashingAlgorithm::SHA_256;

        let key = PrivateKey::parse(&SecretValue::new(RSA_KEY.to_vec())).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test vector")]
        let pair = RsaKeyPair::from_pkcs8(key.to_pkcs8().unwrap().expose_secret()).unwrap();
        let public = key.public().unwrap();
        for (padding, signed) in [
            (&library::RSA_PKCS1_SHA256 as &dyn library::RsaEncoding, Signed::Digest(sha, &digest)),
            (&library::RSA_PSS_SHA256, Signed::Pss(sha, &digest)),
        ] {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, data, &mut signature).unwrap();
            assert_eq!(holds(&public, signed, &signature), Some(true));
            assert_eq!(holds(&public, signed, &bad(&signature)), Some(false));
        }
        assert_eq!(holds(&public, Signed::Data(data), &[]), None);

        let pair = EcdsaKeyPair::generate(&library::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public = crate::crypto::keys::EcPublic::from_point(Curve::P256, pair.public_key().as_ref()).unwrap();
        let (public, signature) = (PublicKey::Ec(public), pair.sign(&random, data).unwrap());
        assert_eq!(holds(&public, Signed::Digest(sha, &digest), signature.as_ref()), Some(true));
        assert_eq!(holds(&public, Signed::Digest(sha, &digest), &bad(signature.as_ref())), Some(false));
        assert_eq!(holds(&public, Signed::Digest(HashingAlgorithm::SHA_384, &digest), signature.as_ref()), None);

        let pair = Ed25519KeyPair::generate().unwrap();
        let public = crate::crypto::keys::Ed25519Public::from_bytes(pair.public_key().as_ref()).unwrap();
        let (public, signature) = (PublicKey::Ed25519(public), pair.sign(data));
        assert_eq!(holds(&public, Signed::Data(data), signature.as_ref()), Some(true));
        assert_eq!(holds(&public, Signed::Data(data), &bad(signature.as_ref())), Some(false));
    }
}
