//! ML-KEM (FIPS 203) and ML-DSA (FIPS 204) on raw keys.
//!
//! The library's own header declares these functions, but the bindings only have the container around them, which cannot
//! make deterministic signatures or take a message in parts. They are declared here under the library's versioned names: an
//! update of the library that renames them fails to link, and no other version can be picked up by mistake.

use std::ffi::c_int;

use zeroize::Zeroizing;

use super::random;
use crate::crypto::error::{CryptoError, Result};

/// Bytes of everything an ML-KEM parameter set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) struct KemSizes {
    pub(in crate::crypto) public: usize,
    pub(in crate::crypto) private: usize,
    pub(in crate::crypto) ciphertext: usize,
}

/// Bytes of everything an ML-DSA parameter set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) struct DsaSizes {
    pub(in crate::crypto) public: usize,
    pub(in crate::crypto) private: usize,
    pub(in crate::crypto) signature: usize,
}

/// Bytes of the seed of an ML-KEM key: d and z.
pub(in crate::crypto) const KEM_SEED: usize = 64;
/// Bytes of a shared secret.
pub(in crate::crypto) const SHARED: usize = 32;
/// Bytes of the seed of an ML-DSA key.
pub(in crate::crypto) const DSA_SEED: usize = 32;
/// Bytes of the digest that ML-DSA signs.
pub(in crate::crypto) const MU: usize = 64;

type KemKeypair = unsafe extern "C" fn(*mut u8, *mut usize, *mut u8, *mut usize, *const u8) -> c_int;
type KemEncapsulate = unsafe extern "C" fn(*mut u8, *mut usize, *mut u8, *mut usize, *const u8, *const u8) -> c_int;
type KemDecapsulate = unsafe extern "C" fn(*mut u8, *mut usize, *const u8, *const u8) -> c_int;
type KemCheck = unsafe extern "C" fn(*const u8, usize) -> c_int;
type DsaKeypair = unsafe extern "C" fn(*mut u8, *mut u8, *const u8) -> c_int;
type DsaPublic = unsafe extern "C" fn(*mut u8, *const u8) -> c_int;
type DsaSign =
    unsafe extern "C" fn(*const u8, *mut u8, *mut usize, *const u8, usize, *const u8, usize, *const u8) -> c_int;
type DsaVerify = unsafe extern "C" fn(*const u8, *const u8, usize, *const u8, usize) -> c_int;

macro_rules! kem {
    ($module:ident $keypair:literal $encapsulate:literal $decapsulate:literal $check_public:literal $check_private:literal) => {
        mod $module {
            use std::ffi::c_int;
            unsafe extern "C" {
                #[link_name = $keypair]
                pub(super) fn keypair(
                    public: *mut u8,
                    public_bytes: *mut usize,
                    private: *mut u8,
                    private_bytes: *mut usize,
                    seed: *const u8,
                ) -> c_int;
                #[link_name = $encapsulate]
                pub(super) fn encapsulate(
                    ciphertext: *mut u8,
                    ciphertext_bytes: *mut usize,
                    shared: *mut u8,
                    shared_bytes: *mut usize,
                    public: *const u8,
                    seed: *const u8,
                ) -> c_int;
                #[link_name = $decapsulate]
                pub(super) fn decapsulate(
                    shared: *mut u8,
                    shared_bytes: *mut usize,
                    ciphertext: *const u8,
                    private: *const u8,
                ) -> c_int;
                #[link_name = $check_public]
                pub(super) fn check_public(public: *const u8, bytes: usize) -> c_int;
                #[link_name = $check_private]
                pub(super) fn check_private(private: *const u8, bytes: usize) -> c_int;
            }
        }
    };
}

kem!(kem_512
    "aws_lc_0_47_0_ml_kem_512_keypair_deterministic" "aws_lc_0_47_0_ml_kem_512_encapsulate_deterministic"
    "aws_lc_0_47_0_ml_kem_512_decapsulate" "aws_lc_0_47_0_ml_kem_512_check_pk" "aws_lc_0_47_0_ml_kem_512_check_sk");
kem!(kem_768
    "aws_lc_0_47_0_ml_kem_768_keypair_deterministic" "aws_lc_0_47_0_ml_kem_768_encapsulate_deterministic"
    "aws_lc_0_47_0_ml_kem_768_decapsulate" "aws_lc_0_47_0_ml_kem_768_check_pk" "aws_lc_0_47_0_ml_kem_768_check_sk");
kem!(kem_1024
    "aws_lc_0_47_0_ml_kem_1024_keypair_deterministic" "aws_lc_0_47_0_ml_kem_1024_encapsulate_deterministic"
    "aws_lc_0_47_0_ml_kem_1024_decapsulate" "aws_lc_0_47_0_ml_kem_1024_check_pk" "aws_lc_0_47_0_ml_kem_1024_check_sk");

macro_rules! dsa {
    ($module:ident $keypair:literal $public:literal $sign:literal $verify:literal) => {
        mod $module {
            use std::ffi::c_int;
            unsafe extern "C" {
                #[link_name = $keypair]
                pub(super) fn keypair(public: *mut u8, private: *mut u8, seed: *const u8) -> c_int;
                #[link_name = $public]
                pub(super) fn public_of(public: *mut u8, private: *const u8) -> c_int;
                #[link_name = $sign]
                pub(super) fn sign(
                    private: *const u8,
                    signature: *mut u8,
                    signature_bytes: *mut usize,
                    mu: *const u8,
                    mu_bytes: usize,
                    prefix: *const u8,
                    prefix_bytes: usize,
                    random: *const u8,
                ) -> c_int;
                #[link_name = $verify]
                pub(super) fn verify(
                    public: *const u8,
                    signature: *const u8,
                    signature_bytes: usize,
                    mu: *const u8,
                    mu_bytes: usize,
                ) -> c_int;
            }
        }
    };
}

dsa!(dsa_44
    "aws_lc_0_47_0_ml_dsa_44_keypair_internal" "aws_lc_0_47_0_ml_dsa_44_pack_pk_from_sk"
    "aws_lc_0_47_0_ml_dsa_extmu_44_sign_internal" "aws_lc_0_47_0_ml_dsa_extmu_44_verify");
dsa!(dsa_65
    "aws_lc_0_47_0_ml_dsa_65_keypair_internal" "aws_lc_0_47_0_ml_dsa_65_pack_pk_from_sk"
    "aws_lc_0_47_0_ml_dsa_extmu_65_sign_internal" "aws_lc_0_47_0_ml_dsa_extmu_65_verify");
dsa!(dsa_87
    "aws_lc_0_47_0_ml_dsa_87_keypair_internal" "aws_lc_0_47_0_ml_dsa_87_pack_pk_from_sk"
    "aws_lc_0_47_0_ml_dsa_extmu_87_sign_internal" "aws_lc_0_47_0_ml_dsa_extmu_87_verify");

/// The functions of one ML-KEM parameter set. Every method takes slices of exactly the set's sizes.
pub(in crate::crypto) struct Kem {
    pub(in crate::crypto) sizes: KemSizes,
    keypair: KemKeypair,
    encapsulate: KemEncapsulate,
    decapsulate: KemDecapsulate,
    check_public: KemCheck,
    check_private: KemCheck,
}

/// The functions of one ML-DSA parameter set. Every method takes slices of exactly the set's sizes.
pub(in crate::crypto) struct Dsa {
    pub(in crate::crypto) sizes: DsaSizes,
    keypair: DsaKeypair,
    public_of: DsaPublic,
    sign: DsaSign,
    verify: DsaVerify,
}

macro_rules! kem_functions {
    ($module:ident, $public:literal, $private:literal, $ciphertext:literal) => {
        Kem {
            sizes: KemSizes { public: $public, private: $private, ciphertext: $ciphertext },
            keypair: $module::keypair,
            encapsulate: $module::encapsulate,
            decapsulate: $module::decapsulate,
            check_public: $module::check_public,
            check_private: $module::check_private,
        }
    };
}

macro_rules! dsa_functions {
    ($module:ident, $public:literal, $private:literal, $signature:literal) => {
        Dsa {
            sizes: DsaSizes { public: $public, private: $private, signature: $signature },
            keypair: $module::keypair,
            public_of: $module::public_of,
            sign: $module::sign,
            verify: $module::verify,
        }
    };
}

/// FIPS 203 table 3.
pub(in crate::crypto) static KEM_512: Kem = kem_functions!(kem_512, 800, 1632, 768);
pub(in crate::crypto) static KEM_768: Kem = kem_functions!(kem_768, 1184, 2400, 1088);
pub(in crate::crypto) static KEM_1024: Kem = kem_functions!(kem_1024, 1568, 3168, 1568);
/// FIPS 204 table 2.
pub(in crate::crypto) static DSA_44: Dsa = dsa_functions!(dsa_44, 1312, 2560, 2420);
pub(in crate::crypto) static DSA_65: Dsa = dsa_functions!(dsa_65, 1952, 4032, 3309);
pub(in crate::crypto) static DSA_87: Dsa = dsa_functions!(dsa_87, 2592, 4896, 4627);

/// A public and a private key, raw.
pub(in crate::crypto) type Pair = (Vec<u8>, Zeroizing<Vec<u8>>);

fn sized(bytes: &[u8], expected: usize) -> Result<()> {
    if bytes.len() == expected { Ok(()) } else { Err(CryptoError::GeneralError) }
}

impl Kem {
    /// Zero is success here, unlike everywhere else in the library.
    fn done(answer: c_int) -> Result<()> {
        if answer == 0 { Ok(()) } else { Err(CryptoError::GeneralError) }
    }

    /// Makes the pair of a seed (FIPS 203 §7.1).
    pub(in crate::crypto) fn keypair(&self, seed: &[u8; KEM_SEED]) -> Result<Pair> {
        let (mut public, mut private) = (vec![0; self.sizes.public], Zeroizing::new(vec![0; self.sizes.private]));
        let (mut public_bytes, mut private_bytes) = (public.len(), private.len());
        // SAFETY: both outputs have the set's lengths, which are also passed; the seed has 64 bytes.
        Self::done(unsafe {
            (self.keypair)(
                public.as_mut_ptr(),
                &raw mut public_bytes,
                private.as_mut_ptr(),
                &raw mut private_bytes,
                seed.as_ptr(),
            )
        })?;
        Ok((public, private))
    }

    /// Makes a shared secret and its ciphertext (FIPS 203 §7.2).
    pub(in crate::crypto) fn encapsulate(&self, public: &[u8]) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        sized(public, self.sizes.public)?;
        let (mut ciphertext, mut shared) = (vec![0; self.sizes.ciphertext], Zeroizing::new(vec![0; SHARED]));
        let (mut ciphertext_bytes, mut shared_bytes) = (ciphertext.len(), shared.len());
        let mut seed = Zeroizing::new([0; SHARED]);
        random::fill(&mut *seed)?;
        // SAFETY: outputs and input have the set's lengths; the seed has 32 bytes.
        Self::done(unsafe {
            (self.encapsulate)(
                ciphertext.as_mut_ptr(),
                &raw mut ciphertext_bytes,
                shared.as_mut_ptr(),
                &raw mut shared_bytes,
                public.as_ptr(),
                seed.as_ptr(),
            )
        })?;
        Ok((ciphertext, shared))
    }

    /// Recovers a shared secret; a ciphertext that was not made for this key gives an unpredictable one (FIPS 203 §7.3).
    pub(in crate::crypto) fn decapsulate(&self, private: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        sized(private, self.sizes.private)?;
        sized(ciphertext, self.sizes.ciphertext)?;
        let mut shared = Zeroizing::new(vec![0; SHARED]);
        let mut shared_bytes = shared.len();
        // SAFETY: output and inputs have the set's lengths.
        Self::done(unsafe {
            (self.decapsulate)(shared.as_mut_ptr(), &raw mut shared_bytes, ciphertext.as_ptr(), private.as_ptr())
        })?;
        Ok(shared)
    }

    /// The modulus check of FIPS 203 §7.2.
    pub(in crate::crypto) fn check_public(&self, public: &[u8]) -> Result<()> {
        sized(public, self.sizes.public)?;
        // SAFETY: the key has the length passed.
        Self::done(unsafe { (self.check_public)(public.as_ptr(), public.len()) })
    }

    /// The hash check of FIPS 203 §7.3.
    pub(in crate::crypto) fn check_private(&self, private: &[u8]) -> Result<()> {
        sized(private, self.sizes.private)?;
        // SAFETY: the key has the length passed.
        Self::done(unsafe { (self.check_private)(private.as_ptr(), private.len()) })
    }
}

impl Dsa {
    /// Makes the pair of a seed (FIPS 204 §6.1).
    pub(in crate::crypto) fn keypair(&self, seed: &[u8; DSA_SEED]) -> Result<Pair> {
        let (mut public, mut private) = (vec![0; self.sizes.public], Zeroizing::new(vec![0; self.sizes.private]));
        // SAFETY: both outputs have the set's lengths; the seed has 32 bytes.
        super::ok(unsafe { (self.keypair)(public.as_mut_ptr(), private.as_mut_ptr(), seed.as_ptr()) })?;
        Ok((public, private))
    }

    /// The public key of a private one; fails when the private one contradicts itself.
    pub(in crate::crypto) fn public_of(&self, private: &[u8]) -> Result<Vec<u8>> {
        sized(private, self.sizes.private)?;
        let mut public = vec![0; self.sizes.public];
        // SAFETY: output and input have the set's lengths.
        super::ok(unsafe { (self.public_of)(public.as_mut_ptr(), private.as_ptr()) })?;
        Ok(public)
    }

    /// Signs a message digest μ (FIPS 204 §6.2), with fresh randomness or with none.
    pub(in crate::crypto) fn sign(
        &self,
        private: &[u8],
        mu: &[u8; MU],
        hedged: bool,
        signature: &mut [u8],
    ) -> Result<()> {
        sized(private, self.sizes.private)?;
        sized(signature, self.sizes.signature)?;
        let mut randomness = Zeroizing::new([0; 32]);
        if hedged {
            random::fill(&mut *randomness)?;
        }
        let mut written = signature.len();
        // SAFETY: key, signature and digest have the set's lengths; the prefix is empty, because it is part of μ; the
        // randomness has 32 bytes.
        super::ok(unsafe {
            (self.sign)(
                private.as_ptr(),
                signature.as_mut_ptr(),
                &raw mut written,
                mu.as_ptr(),
                mu.len(),
                std::ptr::null(),
                0,
                randomness.as_ptr(),
            )
        })
    }

    /// Verifies a signature of a message digest μ (FIPS 204 §6.3).
    pub(in crate::crypto) fn verify(&self, public: &[u8], mu: &[u8; MU], signature: &[u8]) -> Result<()> {
        sized(public, self.sizes.public)?;
        // SAFETY: the key has the set's length; the library checks the signature's.
        super::ok(unsafe { (self.verify)(public.as_ptr(), signature.as_ptr(), signature.len(), mu.as_ptr(), mu.len()) })
    }
}
