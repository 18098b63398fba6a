//! RSA keys and the operations on them. The library blinds private operations and checks their results.

use std::{
    ffi::{c_int, c_uint},
    ptr,
};

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use super::{Owned, bignum, digest, failure, ok, pkey::PKey};
use crate::crypto::{
    error::{CryptoError, Result},
    params::{Hash, Oaep},
};

/// A number that an RSA key consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) enum Component {
    Modulus,
    PublicExponent,
    PrivateExponent,
    Prime1,
    Prime2,
    Exponent1,
    Exponent2,
    Coefficient,
}

/// The numbers of a private key to import; the last three are computed when absent.
pub(in crate::crypto) struct PrivateNumbers<'a> {
    pub(in crate::crypto) n: &'a [u8],
    pub(in crate::crypto) e: &'a [u8],
    pub(in crate::crypto) d: &'a [u8],
    pub(in crate::crypto) p: &'a [u8],
    pub(in crate::crypto) q: &'a [u8],
    pub(in crate::crypto) crt: Option<[&'a [u8]; 3]>,
}

/// How a raw RSA operation pads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) enum Padding {
    /// None: the block is as long as the modulus.
    None,
    /// PKCS#1 v1.5, the type that belongs to the operation.
    Pkcs1,
}

impl Padding {
    const fn number(self) -> c_int {
        match self {
            Self::None => sys::RSA_NO_PADDING,
            Self::Pkcs1 => sys::RSA_PKCS1_PADDING,
        }
    }
}

/// An RSA key, public or private.
pub(in crate::crypto) struct RsaKey {
    pkey: PKey,
}

impl RsaKey {
    /// Takes an RSA key out of its container; the caller has checked the kind.
    pub(in crate::crypto) fn from_pkey(pkey: PKey) -> Result<Self> {
        let this = Self { pkey };
        if this.rsa().is_null() {
            return Err(failure());
        }
        Ok(this)
    }

    fn from_rsa(rsa: Owned<sys::RSA>) -> Result<Self> {
        let pkey = PKey::empty()?;
        // SAFETY: both objects are live; the container takes its own reference.
        ok(unsafe { sys::EVP_PKEY_set1_RSA(pkey.0.as_mut_ptr(), rsa.as_mut_ptr()) })?;
        Self::from_pkey(pkey)
    }

    pub(in crate::crypto) fn public(n: &[u8], e: &[u8]) -> Result<Self> {
        let (n, e) = (Owned::from_bytes(n)?, Owned::from_bytes(e)?);
        // SAFETY: the numbers are live and copied; the answer is ours or null.
        let rsa = unsafe { Owned::new(sys::RSA_new_public_key(n.as_ptr(), e.as_ptr())) };
        Self::from_rsa(rsa.map_err(|_invalid| CryptoError::AttributeValueInvalid)?)
    }

    /// Puts a private key together. The library refuses numbers that contradict each other (n = pq, de ≡ 1, CRT values).
    pub(in crate::crypto) fn private(numbers: &PrivateNumbers<'_>) -> Result<Self> {
        let [n, e, d] = [numbers.n, numbers.e, numbers.d].map(Owned::from_bytes);
        let [p, q] = [numbers.p, numbers.q].map(Owned::from_bytes);
        let (n, e, d, p, q) = (n?, e?, d?, p?, q?);
        let [dp, dq, qinv] = match numbers.crt {
            Some(crt) => crt.map(Owned::from_bytes),
            None => [d.modulo_predecessor(&p), d.modulo_predecessor(&q), q.inverse(&p)],
        }
        .map(|number| number.map_err(|_invalid| CryptoError::AttributeValueInvalid));
        let (dp, dq, qinv) = (dp?, dq?, qinv?);
        // SAFETY: the numbers are live and copied; the answer is ours or null.
        let rsa = unsafe {
            Owned::new(sys::RSA_new_private_key(
                n.as_ptr(),
                e.as_ptr(),
                d.as_ptr(),
                p.as_ptr(),
                q.as_ptr(),
                dp.as_ptr(),
                dq.as_ptr(),
                qinv.as_ptr(),
            ))
        };
        Self::from_rsa(rsa.map_err(|_invalid| CryptoError::AttributeValueInvalid)?)
    }

    pub(in crate::crypto) fn generate(bits: u32, public_exponent: &[u8]) -> Result<Self> {
        let e = Owned::from_bytes(public_exponent)?;
        let bits = c_int::try_from(bits).map_err(|_wide| CryptoError::KeySizeRange)?;
        // SAFETY: a fresh object that we own.
        let rsa = unsafe { Owned::new(sys::RSA_new()) }?;
        // SAFETY: the objects are live; no callback.
        ok(unsafe { sys::RSA_generate_key_ex(rsa.as_mut_ptr(), bits, e.as_ptr(), ptr::null_mut()) })?;
        Self::from_rsa(rsa)
    }

    /// Whether a number is prime, and its predecessor has an inverse of the exponent.
    #[cfg(feature = "deterministic")]
    pub(in crate::crypto) fn is_prime_for(candidate: &[u8], public_exponent: &[u8]) -> Result<bool> {
        let (candidate, e) = (Owned::from_bytes(candidate)?, Owned::from_bytes(public_exponent)?);
        Ok(candidate.is_prime()? && e.inverse(&candidate.predecessor()?).is_ok())
    }

    /// The key of two primes.
    #[cfg(feature = "deterministic")]
    pub(in crate::crypto) fn from_primes(p: &[u8], q: &[u8], public_exponent: &[u8]) -> Result<Self> {
        // RFC 8017 §3.2 has the larger one first.
        let (p, q) = if p < q { (q, p) } else { (p, q) };
        let (first, second) = (Owned::from_bytes(p)?, Owned::from_bytes(q)?);
        let e = Owned::from_bytes(public_exponent)?;
        let n = first.times(&second)?;
        let d = e.inverse(&first.predecessor()?.times(&second.predecessor()?)?)?;
        // SAFETY: both numbers are live.
        let (n, d) = unsafe { (bignum::to_bytes(n.as_ptr())?, bignum::to_bytes(d.as_ptr())?) };
        Self::private(&PrivateNumbers { n: &n, e: public_exponent, d: &d, p, q, crt: None })
    }

    pub(in crate::crypto) const fn pkey(&self) -> &PKey {
        &self.pkey
    }

    /// The key for functions that take a mutable pointer: the library locks what it caches inside.
    fn rsa(&self) -> *mut sys::RSA {
        // SAFETY: the container is live; it answers null for another kind.
        unsafe { sys::EVP_PKEY_get0_RSA(self.pkey.0.as_ptr()) }
    }

    pub(in crate::crypto) fn bits(&self) -> u32 {
        // SAFETY: the key is live.
        unsafe { sys::RSA_bits(self.rsa()) }
    }

    pub(in crate::crypto) fn modulus_bytes(&self) -> usize {
        // SAFETY: the key is live.
        usize::try_from(unsafe { sys::RSA_size(self.rsa()) }).unwrap_or_default()
    }

    pub(in crate::crypto) fn component(&self, component: Component) -> Result<Zeroizing<Vec<u8>>> {
        let rsa = self.rsa();
        // SAFETY: the key is live for the whole block, and with it the number it answers with; null when absent.
        unsafe {
            bignum::to_bytes(match component {
                Component::Modulus => sys::RSA_get0_n(rsa),
                Component::PublicExponent => sys::RSA_get0_e(rsa),
                Component::PrivateExponent => sys::RSA_get0_d(rsa),
                Component::Prime1 => sys::RSA_get0_p(rsa),
                Component::Prime2 => sys::RSA_get0_q(rsa),
                Component::Exponent1 => sys::RSA_get0_dmp1(rsa),
                Component::Exponent2 => sys::RSA_get0_dmq1(rsa),
                Component::Coefficient => sys::RSA_get0_iqmp(rsa),
            })
        }
    }

    /// Whether the private half is here.
    pub(in crate::crypto) fn is_private(&self) -> bool {
        // SAFETY: the key is live.
        !unsafe { sys::RSA_get0_d(self.rsa()) }.is_null()
    }

    /// The private operation as for a signature (padding type 1); writes a whole modulus.
    pub(in crate::crypto) fn sign_raw(&self, padding: Padding, input: &[u8], output: &mut [u8]) -> Result<()> {
        // SAFETY: as `raw` promises.
        self.raw(output, |rsa, length, out, out_len| unsafe {
            sys::RSA_sign_raw(rsa, length, out, out_len, input.as_ptr(), input.len(), padding.number())
        })
        .and_then(|written| self.whole(written))
    }

    /// The public operation that takes a signature apart; answers with the length of the padded data.
    pub(in crate::crypto) fn verify_raw(&self, padding: Padding, input: &[u8], output: &mut [u8]) -> Result<usize> {
        // SAFETY: as `raw` promises.
        self.raw(output, |rsa, length, out, out_len| unsafe {
            sys::RSA_verify_raw(rsa, length, out, out_len, input.as_ptr(), input.len(), padding.number())
        })
    }

    /// The public operation as for encryption (padding type 2); writes a whole modulus.
    pub(in crate::crypto) fn encrypt_raw(&self, padding: Padding, input: &[u8], output: &mut [u8]) -> Result<()> {
        // SAFETY: as `raw` promises.
        self.raw(output, |rsa, length, out, out_len| unsafe {
            sys::RSA_encrypt(rsa, length, out, out_len, input.as_ptr(), input.len(), padding.number())
        })
        .and_then(|written| self.whole(written))
    }

    /// The private operation without padding, which is ours to check.
    pub(in crate::crypto) fn decrypt_raw(&self, input: &[u8], output: &mut [u8]) -> Result<()> {
        // SAFETY: as `raw` promises.
        self.raw(output, |rsa, length, out, out_len| unsafe {
            sys::RSA_decrypt(rsa, length, out, out_len, input.as_ptr(), input.len(), sys::RSA_NO_PADDING)
        })
        .and_then(|written| self.whole(written))
    }

    /// Calls one of the raw functions: they write at most `out_len` bytes and fail when that is below the modulus.
    fn raw(
        &self,
        output: &mut [u8],
        call: impl FnOnce(*mut sys::RSA, *mut usize, *mut u8, usize) -> c_int,
    ) -> Result<usize> {
        let mut written = 0;
        ok(call(self.rsa(), &raw mut written, output.as_mut_ptr(), output.len()))?;
        Ok(written)
    }

    fn whole(&self, written: usize) -> Result<()> {
        if written == self.modulus_bytes() { Ok(()) } else { Err(CryptoError::GeneralError) }
    }

    /// PKCS#1 v1.5 over a digest: the DigestInfo is built by the library.
    pub(in crate::crypto) fn sign_digest(&self, hash: Hash, digest: &[u8], output: &mut [u8]) -> Result<()> {
        if output.len() < self.modulus_bytes() || digest.len() != hash.output_bytes() {
            return Err(CryptoError::GeneralError);
        }
        let mut written: c_uint = 0;
        // SAFETY: the output takes a whole modulus, checked above.
        ok(unsafe {
            sys::RSA_sign(nid(hash), digest.as_ptr(), digest.len(), output.as_mut_ptr(), &raw mut written, self.rsa())
        })
    }

    pub(in crate::crypto) fn verify_digest(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> Result<()> {
        // SAFETY: pointers and lengths belong together.
        ok(unsafe {
            sys::RSA_verify(nid(hash), digest.as_ptr(), digest.len(), signature.as_ptr(), signature.len(), self.rsa())
        })
    }

    pub(in crate::crypto) fn sign_pss(
        &self,
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
        digest: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        let salt = c_int::try_from(salt_bytes).map_err(|_wide| CryptoError::MechanismParamInvalid)?;
        // SAFETY: as `raw` promises; the library checks the digest's length.
        self.raw(output, |rsa, length, out, out_len| unsafe {
            sys::RSA_sign_pss_mgf1(
                rsa,
                length,
                out,
                out_len,
                digest.as_ptr(),
                digest.len(),
                digest::evp(hash),
                digest::evp(mgf),
                salt,
            )
        })
        .and_then(|written| self.whole(written))
    }

    pub(in crate::crypto) fn verify_pss(
        &self,
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let salt = c_int::try_from(salt_bytes).map_err(|_wide| CryptoError::MechanismParamInvalid)?;
        // SAFETY: pointers and lengths belong together; the library checks the digest's length.
        ok(unsafe {
            sys::RSA_verify_pss_mgf1(
                self.rsa(),
                digest.as_ptr(),
                digest.len(),
                digest::evp(hash),
                digest::evp(mgf),
                salt,
                signature.as_ptr(),
                signature.len(),
            )
        })
    }

    pub(in crate::crypto) fn encrypt_oaep(&self, oaep: &Oaep, input: &[u8], output: &mut [u8]) -> Result<()> {
        let context = self.oaep(oaep, true)?;
        let mut written = output.len();
        // SAFETY: pointers and lengths belong together; the library checks the output's length.
        ok(unsafe {
            sys::EVP_PKEY_encrypt(
                context.as_mut_ptr(),
                output.as_mut_ptr(),
                &raw mut written,
                input.as_ptr(),
                input.len(),
            )
        })?;
        self.whole(written)
    }

    /// Decrypts into a whole modulus of output and answers with the message's length.
    pub(in crate::crypto) fn decrypt_oaep(&self, oaep: &Oaep, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let context = self.oaep(oaep, false)?;
        let mut written = output.len();
        // SAFETY: pointers and lengths belong together; the library checks the output's length.
        ok(unsafe {
            sys::EVP_PKEY_decrypt(
                context.as_mut_ptr(),
                output.as_mut_ptr(),
                &raw mut written,
                input.as_ptr(),
                input.len(),
            )
        })?;
        Ok(written)
    }

    fn oaep(&self, oaep: &Oaep, encrypts: bool) -> Result<Owned<sys::EVP_PKEY_CTX>> {
        // SAFETY: the key is live and the context takes its own reference; the answer is ours or null.
        let context = unsafe { Owned::new(sys::EVP_PKEY_CTX_new(self.pkey.0.as_mut_ptr(), ptr::null_mut())) }?;
        let raw = context.as_mut_ptr();
        // SAFETY: the context is live; the hashes are static.
        unsafe {
            ok(if encrypts { sys::EVP_PKEY_encrypt_init(raw) } else { sys::EVP_PKEY_decrypt_init(raw) })?;
            ok(sys::EVP_PKEY_CTX_set_rsa_padding(raw, sys::RSA_PKCS1_OAEP_PADDING))?;
            ok(sys::EVP_PKEY_CTX_set_rsa_oaep_md(raw, digest::evp(oaep.hash)))?;
            ok(sys::EVP_PKEY_CTX_set_rsa_mgf1_md(raw, digest::evp(oaep.mgf)))?;
        }
        if !oaep.label.is_empty() {
            // SAFETY: the label is valid for its length; the copy belongs to the context once the call succeeds.
            unsafe {
                let label = sys::OPENSSL_memdup(oaep.label.as_ptr().cast(), oaep.label.len());
                if label.is_null() {
                    return Err(failure());
                }
                if let Err(error) = ok(sys::EVP_PKEY_CTX_set0_rsa_oaep_label(raw, label.cast(), oaep.label.len())) {
                    sys::OPENSSL_free(label);
                    return Err(error);
                }
            }
        }
        Ok(context)
    }
}

const fn nid(hash: Hash) -> c_int {
    match hash {
        Hash::Sha1 => sys::NID_sha1,
        Hash::Sha224 => sys::NID_sha224,
        Hash::Sha256 => sys::NID_sha256,
        Hash::Sha384 => sys::NID_sha384,
        Hash::Sha512 => sys::NID_sha512,
        Hash::Sha512_224 => sys::NID_sha512_224,
        Hash::Sha512_256 => sys::NID_sha512_256,
        Hash::Sha3_224 => sys::NID_sha3_224,
        Hash::Sha3_256 => sys::NID_sha3_256,
        Hash::Sha3_384 => sys::NID_sha3_384,
        Hash::Sha3_512 => sys::NID_sha3_512,
        Hash::Shake128 => sys::NID_shake128,
        Hash::Shake256 => sys::NID_shake256,
    }
}
