//! Use of keys: encrypt, decrypt, sign, verify, MAC, wrap. The key never leaves the token.
//!
//! Hashing without a key is ours (one path, one crossing, no size limit), so a signature is made over a digest. Signatures of
//! elliptic curves are DER outside and r‖s on the token.

use cryptoki_sys::{
    CKA_KEY_TYPE, CKA_MODULUS, CKA_VALUE_LEN, CKK_GENERIC_SECRET, CKM_AES_CBC, CKM_AES_ECB, CKM_AES_KEY_WRAP,
    CKM_DES3_CBC, CKM_DES3_ECB, CKM_RSA_X_509, CKR_ARGUMENTS_BAD, CKR_KEY_SIZE_RANGE,
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{
    error::refused,
    layout::{Attribute, Mechanism, Parameter},
    mechanism::{self, Cipher, Feedback, Scheme},
    pool::Class,
    raw::{Fault, Handle},
    request::Turn,
    template::{self, Life},
    transfer,
};
use crate::{
    crypto::{self, ecdsa, hash, oaep::Oaep},
    domain::{
        CryptographicParameters, SecretValue, TokenReference, UsageMask,
        algorithm::{BlockCipherMode, PaddingMethod},
        reference::{CkaId, DataHolder, KeyKind},
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, SignInput, WrapMode},
};

/// The tag of ChaCha20-Poly1305 (RFC 8439 §2.8).
const POLY1305_BYTES: usize = 16;

/// The scheme of a signature; a digest whose hash nobody names is signed bare.
fn scheme_of(kind: KeyKind, parameters: &CryptographicParameters, input: &SignInput) -> Result<Scheme, HsmError> {
    let digested = matches!(input, SignInput::Digest(_));
    let named = parameters.hashing_algorithm.is_some() || parameters.digital_signature_algorithm.is_some();
    match mechanism::bare_curve(kind) {
        Some(scheme) if digested && !named => Ok(scheme),
        _ => mechanism::scheme(kind, parameters, digested),
    }
}

/// The block of a mechanism that takes whole blocks only.
const fn whole_blocks(mechanism: &Mechanism) -> Option<usize> {
    match mechanism.code {
        CKM_AES_CBC | CKM_AES_ECB => Some(16),
        CKM_DES3_CBC | CKM_DES3_ECB => Some(8),
        _ => None,
    }
}

/// Tokens fill the last block of a wrapped key with zeros (PKCS#11 3.1 §6.10.8), and nobody could take them off again.
fn fills_blocks(length: usize, block: usize) -> Result<(), HsmError> {
    if length.is_multiple_of(block) { Ok(()) } else { Err(refused(HsmErrorKind::BadData, "length of the key")) }
}

/// The padding that parameters ask for.
fn oaep(parameters: &CryptographicParameters) -> Result<Oaep, HsmError> {
    let hash = parameters.hashing_algorithm.ok_or_else(|| refused(HsmErrorKind::BadParameters, "OAEP"))?;
    Ok(Oaep {
        hash,
        mask: parameters.mask_generator_hashing_algorithm.unwrap_or(hash),
        label: parameters.p_source.clone().unwrap_or_default(),
    })
}

fn unpadded(error: crypto::Error) -> HsmError {
    let kind = match error {
        crypto::Error::Unsupported(_) => HsmErrorKind::Unsupported,
        crypto::Error::Unopened => HsmErrorKind::DecryptionFailed,
        _ => HsmErrorKind::BadData,
    };
    refused(kind, "OAEP")
}

/// SoftHSM2 answers `CKR_ARGUMENTS_BAD` to OAEP parameters that it does not know.
fn unknown_parameters(mechanism: &Mechanism, fault: Fault) -> HsmError {
    let error = HsmError::from(fault);
    match mechanism.parameter {
        Parameter::Oaep { .. } | Parameter::Pss { .. } if fault.rv == CKR_ARGUMENTS_BAD => {
            HsmError { kind: HsmErrorKind::Unsupported, ..error }
        }
        _ => error,
    }
}

impl Turn<'_> {
    fn cipher(
        &self,
        kind: KeyKind,
        parameters: &CryptographicParameters,
        iv: Option<&[u8]>,
        aad: &[u8],
        data_bytes: usize,
    ) -> Result<Cipher, HsmError> {
        mechanism::cipher(&self.link.capability, kind, parameters, iv, aad, data_bytes, self.link.quirk.short_gcm)
    }

    pub(super) fn encrypt(
        &mut self,
        key: &TokenReference,
        parameters: &CryptographicParameters,
        iv: Option<&[u8]>,
        aad: &[u8],
        data: &SecretValue,
    ) -> Result<HsmAnswer, HsmError> {
        let (kind, handle) = self.key(key)?;
        let cipher = self.cipher(kind, parameters, iv, aad, data.len())?;
        #[expect(clippy::disallowed_methods, reason = "the token encrypts the data")]
        let data = data.expose_secret();
        // The IV, where the token has made one instead of the given one.
        let mut made = None;
        let (data, auth_tag) = match cipher {
            Cipher::Native(mechanism) => {
                let output = self.run_encrypt(&mechanism, handle, data);
                match output {
                    Err(error) if self.wants_bare_oaep(&mechanism, &error) => {
                        (self.seal_oaep(parameters, handle, data)?, None)
                    }
                    output => (output?, None),
                }
            }
            Cipher::Padded(mechanism, block, method) => {
                // Room for the padding, so that growing leaves no copy behind.
                let mut padded = Zeroizing::new(Vec::with_capacity(data.len() + block));
                padded.extend_from_slice(data);
                let filling = match method {
                    PaddingMethod::ISO_10126 => self.seat.session.random(block)?.to_vec(),
                    _ => vec![0; block],
                };
                mechanism::pad(&mut padded, block, method, &filling);
                (self.run_encrypt(&mechanism, handle, &padded)?, None)
            }
            Cipher::Gcm(mechanism, tag) => {
                let strange = || refused(HsmErrorKind::Internal, "length of the GCM output");
                let sealed = self.seat.session.encrypt_back(&mechanism, handle, data);
                let (output, written) = sealed.map_err(|fault| unknown_parameters(&mechanism, fault))?;
                let mut output = output.to_vec();
                // In an approved mode devices make the IV: they write it over the given one, or put it after the tag.
                let appended = output.len().checked_sub(data.len() + tag).ok_or_else(strange)?;
                if !matches!(appended, 0 | 12 | 16) {
                    return Err(strange());
                }
                let after = output.split_off(data.len() + tag);
                made = if after.is_empty() { written } else { Some(after) };
                let tag = output.split_off(data.len());
                (output, Some(tag))
            }
            Cipher::Ccm(mechanism, tag) => {
                let mut output = self.run_encrypt(&mechanism, handle, data)?;
                if output.len() != data.len() + tag {
                    return Err(refused(HsmErrorKind::Internal, "length of the CCM output"));
                }
                let tag = output.split_off(data.len());
                (output, Some(tag))
            }
            Cipher::ComposedCcm(ccm) => {
                let (output, tag) = self.seal_ccm(&ccm, handle, data)?;
                (output, Some(tag))
            }
            Cipher::Xts(mechanism) => {
                let output = self.with_xts_key(kind, handle, UsageMask::ENCRYPT, |turn, key| {
                    turn.run_encrypt(&mechanism, key, data)
                });
                (output?, None)
            }
            Cipher::Propagating(mechanism, block, iv, padding) => {
                (self.seal_propagating(&mechanism, block, &iv, padding, handle, data)?, None)
            }
            Cipher::Poly1305(mechanism, tag) => {
                let (data, mut full) = self.seal(&mechanism, handle, data)?;
                full.truncate(tag);
                (data, Some(full))
            }
            Cipher::Blocks(feedback, start) => (self.feedback(feedback, start, handle, data, true)?.to_vec(), None),
        };
        Ok(HsmAnswer::Encrypted { data, iv: made, auth_tag })
    }

    pub(super) fn run_encrypt(
        &mut self,
        mechanism: &Mechanism,
        handle: Handle,
        data: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let mut output =
            self.seat.session.encrypt(mechanism, handle, data).map_err(|fault| unknown_parameters(mechanism, fault))?;
        Ok(std::mem::take(&mut *output))
    }

    pub(super) fn decrypt(
        &mut self,
        key: &TokenReference,
        parameters: &CryptographicParameters,
        iv: Option<&[u8]>,
        aad: &[u8],
        auth_tag: Option<&[u8]>,
        data: &[u8],
    ) -> Result<HsmAnswer, HsmError> {
        let (kind, handle) = self.key(key)?;
        let mut output = match self.cipher(kind, parameters, iv, aad, data.len())? {
            Cipher::Native(mechanism) => {
                let output = self.run_decrypt(&mechanism, handle, data);
                match output {
                    Err(error) if self.wants_bare_oaep(&mechanism, &error) => {
                        self.open_oaep(parameters, handle, data)?
                    }
                    output => output?,
                }
            }
            Cipher::Padded(mechanism, block, method) => {
                let mut output = self.run_decrypt(&mechanism, handle, data)?;
                let length = mechanism::unpadded(&output, block, method)
                    .ok_or_else(|| refused(HsmErrorKind::DecryptionFailed, "C_Decrypt"))?;
                let mut tail = output.split_off(length);
                tail.zeroize();
                output
            }
            Cipher::Gcm(mechanism, tag) => {
                let auth_tag = auth_tag.filter(|given| given.len() == tag);
                let auth_tag = auth_tag.ok_or_else(|| refused(HsmErrorKind::BadParameters, "authentication tag"))?;
                self.run_decrypt(&mechanism, handle, &[data, auth_tag].concat())?
            }
            Cipher::Ccm(mechanism, tag) => {
                let auth_tag = auth_tag.filter(|given| given.len() == tag);
                let auth_tag = auth_tag.ok_or_else(|| refused(HsmErrorKind::BadParameters, "authentication tag"))?;
                self.run_decrypt(&mechanism, handle, &[data, auth_tag].concat())?
            }
            Cipher::ComposedCcm(ccm) => {
                let auth_tag = auth_tag.filter(|given| given.len() == ccm.tag_bytes);
                let auth_tag = auth_tag.ok_or_else(|| refused(HsmErrorKind::BadParameters, "authentication tag"))?;
                self.open_ccm(&ccm, handle, data, auth_tag)?
            }
            Cipher::Xts(mechanism) => self
                .with_xts_key(kind, handle, UsageMask::DECRYPT, |turn, key| turn.run_decrypt(&mechanism, key, data))?,
            Cipher::Propagating(mechanism, block, iv, padding) => {
                self.open_propagating(&mechanism, block, &iv, padding, handle, data)?
            }
            Cipher::Poly1305(mechanism, length) => {
                let auth_tag = auth_tag.filter(|given| given.len() == length);
                let auth_tag = auth_tag.ok_or_else(|| refused(HsmErrorKind::BadParameters, "authentication tag"))?;
                if length == POLY1305_BYTES {
                    self.run_decrypt(&mechanism, handle, &[data, auth_tag].concat())?
                } else {
                    self.open_short(&mechanism, handle, data, auth_tag)?
                }
            }
            Cipher::Blocks(feedback, start) => self.feedback(feedback, start, handle, data, false)?,
        };
        Ok(HsmAnswer::Value(SecretValue::new(std::mem::take(&mut *output))))
    }

    /// Whether it is these hashes of OAEP that the token refuses, and the bare operation is there to do without them.
    fn wants_bare_oaep(&self, mechanism: &Mechanism, error: &HsmError) -> bool {
        matches!(mechanism.parameter, Parameter::Oaep { .. })
            && error.kind == HsmErrorKind::Unsupported
            && self.link.capability.offers(CKM_RSA_X_509)
    }

    fn seal_oaep(
        &mut self,
        parameters: &CryptographicParameters,
        handle: Handle,
        data: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let padding = oaep(parameters)?;
        let modulus = self.seat.session.attribute(handle, CKA_MODULUS, 1024)?.len();
        let seed = self.seat.session.random(padding.seed_bytes().map_err(unpadded)?)?;
        let encoded = padding.pad(data, &seed, modulus).map_err(unpadded)?;
        self.run_encrypt(&Mechanism::plain(CKM_RSA_X_509), handle, &encoded)
    }

    fn open_oaep(
        &mut self,
        parameters: &CryptographicParameters,
        handle: Handle,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let padding = oaep(parameters)?;
        let modulus = self.seat.session.attribute(handle, CKA_MODULUS, 1024)?.len();
        let bare = self.run_decrypt(&Mechanism::plain(CKM_RSA_X_509), handle, data)?;
        // A number: some modules leave its first zeros out.
        let mut encoded = Zeroizing::new(vec![0; modulus.saturating_sub(bare.len())]);
        encoded.extend_from_slice(&bare);
        padding.unpad(&encoded).map_err(unpadded)
    }

    /// Encrypted data and the whole tag behind it.
    fn seal(&mut self, mechanism: &Mechanism, handle: Handle, data: &[u8]) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
        let mut output = self.run_encrypt(mechanism, handle, data)?;
        let split = output.len().checked_sub(POLY1305_BYTES);
        let split = split.ok_or_else(|| refused(HsmErrorKind::Internal, "length of the ChaCha20-Poly1305 output"))?;
        let tag = output.split_off(split);
        Ok((output, tag))
    }

    /// Opens data under a tag that was cut, which the mechanism does not know. The cipher is a key stream, so encrypting the
    /// data once more gives what was encrypted, and encrypting that gives the whole tag to compare with.
    fn open_short(
        &mut self,
        mechanism: &Mechanism,
        handle: Handle,
        data: &[u8],
        auth_tag: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let plain = Zeroizing::new(self.seal(mechanism, handle, data)?.0);
        let (_, full) = self.seal(mechanism, handle, &plain)?;
        let same = full.get(..auth_tag.len()).is_some_and(|begin| bool::from(begin.ct_eq(auth_tag)));
        if same { Ok(plain) } else { Err(refused(HsmErrorKind::DecryptionFailed, "C_Encrypt")) }
    }

    pub(super) fn run_decrypt(
        &mut self,
        mechanism: &Mechanism,
        handle: Handle,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let decrypt_failure = self.link.quirk.decrypt_failure;
        self.seat.session.decrypt(mechanism, handle, data).map_err(|fault| {
            let error = unknown_parameters(mechanism, fault);
            if fault.function == "C_Decrypt" && Some(fault.rv) == decrypt_failure {
                return HsmError { kind: HsmErrorKind::DecryptionFailed, ..error };
            }
            error
        })
    }

    /// Counter, output and cipher feedback from encrypted blocks (NIST SP 800-38A §6.3–6.5).
    fn feedback(
        &mut self,
        mode: Feedback,
        start: [u8; 16],
        key: Handle,
        data: &[u8],
        encrypting: bool,
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let ecb = Mechanism::plain(CKM_AES_ECB);
        let mut output = Zeroizing::new(data.to_vec());
        match mode {
            Feedback::Counter(bits) => {
                let mut counters = Vec::with_capacity(data.len().next_multiple_of(16));
                let mut counter = u128::from_be_bytes(start);
                let mask = u128::MAX >> (128 - bits);
                for _ in 0..data.len().div_ceil(16) {
                    counters.extend(counter.to_be_bytes());
                    counter = (counter & !mask) | (counter.wrapping_add(1) & mask);
                }
                let stream = self.seat.session.encrypt(&ecb, key, &counters)?;
                output.iter_mut().zip(stream.iter()).for_each(|(byte, mask)| *byte ^= mask);
            }
            Feedback::Cipher if !encrypting => {
                // Every input block is known, so one call encrypts them all.
                let mut inputs = start.to_vec();
                inputs.extend_from_slice(data);
                inputs.truncate(16 * data.len().div_ceil(16));
                let stream = self.seat.session.encrypt(&ecb, key, &inputs)?;
                output.iter_mut().zip(stream.iter()).for_each(|(byte, mask)| *byte ^= mask);
            }
            Feedback::Cipher | Feedback::Output => {
                let mut register = Zeroizing::new(start.to_vec());
                for chunk in output.chunks_mut(16) {
                    let stream = self.seat.session.encrypt(&ecb, key, &register)?;
                    chunk.iter_mut().zip(stream.iter()).for_each(|(byte, mask)| *byte ^= mask);
                    register = if mode == Feedback::Output { stream } else { Zeroizing::new(chunk.to_vec()) };
                }
            }
        }
        Ok(output)
    }

    /// The mechanism and what it is given: a digest in the scheme's form, or the data where only a hashing mechanism is offered.
    fn signed_form(&self, scheme: &Scheme, input: &SignInput) -> Result<(Mechanism, Zeroizing<Vec<u8>>), HsmError> {
        let bad = |error: crypto::Error| {
            tracing::debug!(%error, "a digest was not taken");
            refused(HsmErrorKind::BadData, "digest")
        };
        let bare = scheme.bare();
        let Some(hashing) = scheme.hash() else {
            return match input {
                #[expect(clippy::disallowed_methods, reason = "the token signs the data")]
                SignInput::Data(data) => Ok((bare, Zeroizing::new(data.expose_secret().to_vec()))),
                SignInput::Digest(bytes) if matches!(scheme, Scheme::RsaBare) => {
                    Ok((bare, Zeroizing::new(bytes.clone())))
                }
                // A digest of no named hash is signed as it is; ECDSA takes as many bits of it as the order has.
                SignInput::Digest(digest) if matches!(scheme, Scheme::Bare(..)) => {
                    let width = match scheme {
                        Scheme::Bare(curve) => curve.bytes().min(digest.len()),
                        _ => digest.len(),
                    };
                    Ok((bare, Zeroizing::new(digest.get(..width).unwrap_or_default().to_vec())))
                }
                SignInput::Digest(_) => Err(refused(HsmErrorKind::Unsupported, "a signature over a digest")),
            };
        };
        let digest = match input {
            SignInput::Data(data) => match scheme.hashing() {
                Some(whole) if !self.link.capability.offers(bare.code) && self.link.capability.offers(whole.code) => {
                    #[expect(clippy::disallowed_methods, reason = "the token hashes and signs the data")]
                    return Ok((whole, Zeroizing::new(data.expose_secret().to_vec())));
                }
                _ => hash::digest_secret(hashing.algorithm, data).map_err(bad)?,
            },
            SignInput::Digest(digest) => digest.clone(),
        };
        if u32::try_from(digest.len()) != Ok(hashing.bytes) {
            return Err(refused(HsmErrorKind::BadData, "digest"));
        }
        let form = match scheme {
            Scheme::RsaPkcs1(hashing) => hash::digest_info(hashing.algorithm, &digest).map_err(bad)?,
            // FIPS 186-5 §6.4.1: the leftmost bits, as many as the curve's order has; whole bytes for every pair we know.
            Scheme::Ecdsa(_, curve) => digest.get(..curve.bytes().min(digest.len())).unwrap_or_default().to_vec(),
            Scheme::RsaPss(..) | Scheme::RsaBare | Scheme::EdDsa | Scheme::Bare(..) => digest,
        };
        Ok((bare, Zeroizing::new(form)))
    }

    pub(super) fn sign(
        &mut self,
        key: &TokenReference,
        parameters: &CryptographicParameters,
        input: &SignInput,
    ) -> Result<HsmAnswer, HsmError> {
        let (kind, handle) = self.key(key)?;
        let scheme = scheme_of(kind, parameters, input)?;
        let (mechanism, form) = self.signed_form(&scheme, input)?;
        let signature = self.sign_form(&scheme, &mechanism, (key.cka_id, kind, handle), &form)?;
        Ok(HsmAnswer::Bytes(signature))
    }

    pub(super) fn sign_form(
        &mut self,
        scheme: &Scheme,
        mechanism: &Mechanism,
        key: (CkaId, KeyKind, Handle),
        form: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let signature =
            self.seat.session.sign(mechanism, key.2, form).map_err(|fault| unknown_parameters(mechanism, fault))?;
        let signature = match scheme {
            Scheme::Ecdsa(_, curve) | Scheme::Bare(curve) => ecdsa::to_der(*curve, &signature).map_err(|error| {
                tracing::error!(%error, "the token's ECDSA signature");
                refused(HsmErrorKind::Internal, "C_Sign")
            }),
            Scheme::RsaPkcs1(_) | Scheme::RsaBare | Scheme::RsaPss(..) | Scheme::EdDsa => Ok(signature),
        }?;
        match scheme.signed(form) {
            Some(signed) if mechanism.code == scheme.bare().code => self.checked(key, signed, signature),
            _ => Ok(signature),
        }
    }

    pub(super) fn verify(
        &mut self,
        key: &TokenReference,
        parameters: &CryptographicParameters,
        input: &SignInput,
        signature: &[u8],
    ) -> Result<HsmAnswer, HsmError> {
        let (kind, handle) = self.key(key)?;
        let scheme = scheme_of(kind, parameters, input)?;
        let (mechanism, form) = self.signed_form(&scheme, input)?;
        let fixed;
        let signature = match &scheme {
            // r‖s has exactly that length and begins with anything; DER of that length would have to begin with 0x30 and
            // parse to its end, which the strict decoder decides.
            Scheme::Ecdsa(_, curve) | Scheme::Bare(curve) => match ecdsa::to_fixed(*curve, signature) {
                Ok(converted) => {
                    fixed = converted;
                    fixed.as_slice()
                }
                Err(_not_der) if signature.len() == 2 * curve.bytes() => signature,
                Err(_not_der) => return Ok(HsmAnswer::Verified(false)),
            },
            Scheme::RsaPkcs1(_) | Scheme::RsaBare | Scheme::RsaPss(..) | Scheme::EdDsa => signature,
        };
        self.seat
            .session
            .verify(&mechanism, handle, &form, signature)
            .map(HsmAnswer::Verified)
            .map_err(|fault| unknown_parameters(&mechanism, fault))
    }

    pub(super) fn mac(
        &mut self,
        key: &TokenReference,
        parameters: &CryptographicParameters,
        data: &SecretValue,
    ) -> Result<HsmAnswer, HsmError> {
        let twin = key.bytes.is_some_and(|held| held.holder == DataHolder::GenericSecret);
        let hashing = parameters.block_cipher_mode != Some(BlockCipherMode::CMAC);
        let (kind, handle) = match key.key {
            Some(KeyKind::Aes | KeyKind::TripleDes) if twin && hashing => (KeyKind::Generic, self.held(key)?),
            _ => self.key(key)?,
        };
        let mechanism = mechanism::mac(kind, parameters)?;
        // A cipher key may be meant for HMAC as well (CS-AC-M-4 gives one both uses).
        let cipher_key = matches!(kind, KeyKind::Aes | KeyKind::TripleDes);
        let generic = if cipher_key && !mechanism::is_cmac(&mechanism) {
            let usage = UsageMask::MAC_GENERATE;
            Some(transfer::as_other(self.link, self.seat, handle, CKK_GENERIC_SECRET, usage)?)
        } else {
            None
        };
        #[expect(clippy::disallowed_methods, reason = "the token makes the MAC of the data")]
        let mac = self.seat.session.sign(&mechanism, generic.unwrap_or(handle), data.expose_secret());
        if let Some(generic) = generic {
            self.seat.session.destroy(generic)?;
        }
        match mac.map_err(HsmError::from) {
            // HMAC takes keys of any length (RFC 2104 §3); SoftHSM2 takes none that is shorter than the hash.
            Err(error) if error.rv == CKR_KEY_SIZE_RANGE => {
                // A key of the kind that has one length does not tell it.
                let bytes = self.seat.session.number(handle, CKA_VALUE_LEN).ok();
                let hash = mechanism::hmac_bytes(&mechanism);
                let is_short = bytes.zip(hash).is_some_and(|(bytes, hash)| bytes < hash.into());
                let kind = if is_short { HsmErrorKind::Unsupported } else { error.kind };
                Err(HsmError { kind, ..error })
            }
            mac => mac.map(HsmAnswer::Bytes),
        }
    }

    pub(super) fn wrap_key(
        &mut self,
        wrapping: &TokenReference,
        target: &TokenReference,
        mode: &WrapMode,
    ) -> Result<HsmAnswer, HsmError> {
        let (mechanism, wrapping) = self.wrapping(wrapping, mode)?;
        let (kind, object) = match target.key {
            Some(_) => self.key(target)?,
            None => (KeyKind::Generic, self.held(target)?),
        };
        if *mode == WrapMode::AesKeyWrapPadding {
            transfer::check_padding(self.link, self.seat, object, kind)?;
        }
        if let Some(block) = whole_blocks(&mechanism) {
            let length = match kind {
                KeyKind::TripleDes => None,
                _ => usize::try_from(self.seat.session.number(object, CKA_VALUE_LEN)?).ok(),
            };
            // A key of triple DES has two or three blocks of eight bytes and does not say how many.
            fills_blocks(length.unwrap_or(8), block)?;
        }
        self.wrap_object(&mechanism, wrapping, object)
    }

    pub(super) fn wrap_bytes(
        &mut self,
        wrapping: &TokenReference,
        value: &SecretValue,
        mode: &WrapMode,
    ) -> Result<HsmAnswer, HsmError> {
        let (mechanism, wrapping) = self.wrapping(wrapping, mode)?;
        if let Some(block) = whole_blocks(&mechanism) {
            fills_blocks(value.len(), block)?;
        }
        let import = transfer::import(self.link, KeyKind::Generic, value)?;
        let common = template::key(Class::Secret, Life::Session, UsageMask(0), true);
        let target = transfer::put(self.link, self.seat, common, import, value)?;
        let wrapped = match mode {
            WrapMode::AesKeyWrap | WrapMode::Cipher { .. } => Ok(()),
            WrapMode::AesKeyWrapPadding => transfer::check_padding(self.link, self.seat, target, KeyKind::Generic),
        }
        .and_then(|()| self.wrap_object(&mechanism, wrapping, target));
        self.seat.session.destroy(target)?;
        wrapped
    }

    /// What was wrapped by [`Self::wrap_bytes`], or by a client in the same way.
    pub(super) fn unwrap_bytes(
        &mut self,
        wrapping: &TokenReference,
        blob: &[u8],
        mode: &WrapMode,
    ) -> Result<HsmAnswer, HsmError> {
        let (mechanism, wrapping) = self.wrapping(wrapping, mode)?;
        let mut common = template::key(Class::Secret, Life::Session, UsageMask(0), true);
        common.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        let unopened = self.link.quirk.unwrap_failure;
        let object = self.seat.session.unwrap(&mechanism, wrapping, blob, &common).map_err(|fault| {
            let error = unknown_parameters(&mechanism, fault);
            match error.kind {
                _ if Some(fault.rv) == unopened => HsmError { kind: HsmErrorKind::DecryptionFailed, ..error },
                HsmErrorKind::BadData | HsmErrorKind::BadParameters => {
                    HsmError { kind: HsmErrorKind::DecryptionFailed, ..error }
                }
                _ => error,
            }
        })?;
        let value = match mode {
            // RFC 3394 §2: eight bytes more than the value. SoftHSM2 does not say how long what it unwrapped is.
            WrapMode::AesKeyWrap => {
                transfer::reveal_of_length(self.link, self.seat, object, blob.len().saturating_sub(8))
            }
            _ => transfer::reveal(self.link, self.seat, object, KeyKind::Generic),
        };
        self.seat.session.destroy(object)?;
        value.map(HsmAnswer::Value)
    }

    /// The mechanism of a mode and the handle of its key.
    fn wrapping(&mut self, key: &TokenReference, mode: &WrapMode) -> Result<(Mechanism, Handle), HsmError> {
        if key.key.is_none() {
            // A key of a cipher that the token lacks is held as bytes.
            return Err(refused(HsmErrorKind::Unsupported, "a wrapping key that is held"));
        }
        let mechanism = match mode {
            WrapMode::Cipher { parameters, iv } => {
                let (kind, handle) = self.key(key)?;
                // Only what the token wraps by: a key that may wrap is not allowed to encrypt on the token.
                return match self.cipher(kind, parameters, iv.as_deref(), &[], 0)? {
                    Cipher::Native(mechanism) | Cipher::Gcm(mechanism, _) => Ok((mechanism, handle)),
                    // CCM begins with the length of what it wraps, which a key does not tell before it is wrapped.
                    Cipher::Padded(..)
                    | Cipher::Blocks(..)
                    | Cipher::Poly1305(..)
                    | Cipher::Ccm(..)
                    | Cipher::ComposedCcm(_)
                    | Cipher::Xts(_)
                    | Cipher::Propagating(..) => Err(refused(HsmErrorKind::Unsupported, "C_WrapKey")),
                };
            }
            WrapMode::AesKeyWrap => CKM_AES_KEY_WRAP,
            WrapMode::AesKeyWrapPadding => transfer::kwp(self.link, self.seat)?.mechanism,
        };
        match self.key(key)? {
            (KeyKind::Aes, handle) => Ok((Mechanism::plain(mechanism), handle)),
            _ => Err(refused(HsmErrorKind::BadParameters, "wrapping key")),
        }
    }

    fn wrap_object(&mut self, mechanism: &Mechanism, wrapping: Handle, target: Handle) -> Result<HsmAnswer, HsmError> {
        let wrapped = self.seat.session.wrap(mechanism, wrapping, target, 8192);
        let mut wrapped = wrapped.map_err(|fault| unknown_parameters(mechanism, fault))?;
        Ok(HsmAnswer::Bytes(std::mem::take(&mut *wrapped)))
    }
}
