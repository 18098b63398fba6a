//! What each kind of operation does in one call, in parts and at its end.

use std::sync::Arc;

use cryptoki_sys::*;

use super::{Output, Running, Slot, Step, Way, Written, refused};
use crate::{
    core::{
        object::Object,
        rv::{Result, Rv},
    },
    crypto::{self, CipherOperation, Digester, Key, SignOperation, VerifyOperation},
};

impl Slot<Box<dyn CipherOperation>> {
    /// `C_Encrypt`, `C_Decrypt`
    pub(crate) fn single(&mut self, way: Way, input: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_single()?;
            running.check_data(input)?;
            let bound = running.operation.output_bound(input.len());
            let work = |operation: &mut Box<dyn CipherOperation>, room: &mut [u8]| {
                operation.process(input, room).map_err(refused)
            };
            match way {
                Way::Decrypt if !running.operation.is_exact() => running.finish_within(bound, output, work),
                Way::Encrypt | Way::Decrypt => running.finish(bound, output, work),
            }
        })
    }

    /// `C_EncryptUpdate`, `C_DecryptUpdate`
    pub(crate) fn update(&mut self, input: &[u8], mut output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_part()?;
            running.check_data(input)?;
            let bytes = running.operation.update_bound(input.len());
            let written = match output.room(bytes) {
                Ok(room) => Written::Done(running.operation.update(input, room)?),
                // Told zero, some callers ask again with no buffer at all and never hand the part over.
                Err(Written::Needed(bytes)) => Written::Needed(bytes.max(input.len())),
                Err(written) => written,
            };
            running.has_parts |= matches!(written, Written::Done(_));
            Ok(Step::Goes(written))
        })
    }

    /// `C_EncryptFinal`, `C_DecryptFinal`
    pub(crate) fn last(&mut self, way: Way, output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_part()?;
            running.has_parts = true;
            let bound = running.operation.finish_bound();
            let work =
                |operation: &mut Box<dyn CipherOperation>, room: &mut [u8]| operation.finish(room).map_err(refused);
            match way {
                Way::Decrypt if !running.operation.is_exact() => running.finish_within(bound, output, work),
                Way::Encrypt | Way::Decrypt => running.finish(bound, output, work),
            }
        })
    }
}

impl Slot<Digester> {
    /// `C_Digest`
    pub(crate) fn single(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_single()?;
            let bytes = running.operation.output_bytes();
            running.finish(bytes, output, |operation, room| {
                operation.update(data)?;
                Ok(operation.finish(room)?)
            })
        })
    }

    /// `C_DigestUpdate`, `C_DigestKey`
    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.step(|running| {
            running.has_parts = true;
            running.operation.update(data)?;
            Ok(Step::Goes(Written::Done(0)))
        })?;
        Ok(())
    }

    /// `C_DigestFinal`
    pub(crate) fn last(&mut self, output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            let bytes = running.operation.output_bytes();
            running.finish(bytes, output, |operation, room| Ok(operation.finish(room)?))
        })
    }
}

impl Slot<Box<dyn SignOperation>> {
    /// `C_Sign`
    pub(crate) fn single(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_single()?;
            let bytes = running.operation.signature_bytes();
            running.finish(bytes, output, |operation, room| {
                operation.update(data)?;
                Ok(operation.finish(room)?)
            })
        })
    }

    /// `C_SignUpdate`
    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.step(|running| {
            running.check_part()?;
            running.has_parts = true;
            running.operation.update(data)?;
            Ok(Step::Goes(Written::Done(0)))
        })?;
        Ok(())
    }

    /// `C_SignFinal`
    pub(crate) fn last(&mut self, output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_part()?;
            let bytes = running.operation.signature_bytes();
            running.finish(bytes, output, |operation, room| Ok(operation.finish(room)?))
        })
    }
}

/// A verification; for `C_VerifySignature` the signature is given at the start.
pub(crate) struct Verification {
    pub(crate) operation: Box<dyn VerifyOperation>,
    pub(crate) signature: Option<Vec<u8>>,
}

impl Slot<Verification> {
    /// `C_Verify`, `C_VerifySignature`
    pub(crate) fn single(&mut self, data: &[u8], signature: Option<&[u8]>) -> Result<()> {
        self.step(|running| {
            running.check_single()?;
            running.operation.operation.update(data)?;
            running.operation.finish(signature)
        })?;
        Ok(())
    }

    /// `C_VerifyUpdate`, `C_VerifySignatureUpdate`
    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.step(|running| {
            running.check_verified_part()?;
            running.has_parts = true;
            running.operation.operation.update(data)?;
            Ok(Step::Goes(Written::Done(0)))
        })?;
        Ok(())
    }

    /// `C_VerifyFinal`, `C_VerifySignatureFinal`
    pub(crate) fn last(&mut self, signature: Option<&[u8]>) -> Result<()> {
        self.step(|running| {
            running.check_verified_part()?;
            running.operation.finish(signature)
        })?;
        Ok(())
    }
}

impl Running<Verification> {
    /// PKCS#1 v1.5 without a hash takes data of any length that the key has room for, so where the signature is known from
    /// the start its parts are gathered. A digest comes whole.
    fn check_verified_part(&mut self) -> Result<()> {
        let gathers = self.operation.signature.is_some() && self.start.mechanism == CKM_RSA_PKCS;
        if gathers { Ok(()) } else { self.check_part() }
    }
}

impl Verification {
    fn finish(&mut self, given: Option<&[u8]>) -> Result<Step> {
        let signature = given.or(self.signature.as_deref()).ok_or(Rv(CKR_ARGUMENTS_BAD))?;
        self.operation.finish(signature)?;
        Ok(Step::Ends(0))
    }
}

/// A signature with recovery under way: the key, since all of the work is one call.
pub(crate) struct Recovery(pub(crate) Arc<Object>);

impl Recovery {
    /// Bytes of a signature, and the most that are recovered from one.
    fn bytes(&self) -> Result<usize> {
        let bits = match self.0.key()? {
            Key::RsaPrivate(key) => key.bits(),
            Key::RsaPublic(key) => key.bits(),
            _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
        };
        usize::try_from(bits.div_ceil(8)).map_err(|_wide| Rv(CKR_GENERAL_ERROR))
    }
}

impl Slot<Recovery> {
    /// `C_SignRecover`
    pub(crate) fn sign(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            let (bytes, mechanism) = (running.operation.bytes()?, running.start.mechanism);
            running.finish(bytes, output, |recovery, room| {
                fill(room, &crypto::sign_recover(mechanism, recovery.0.key()?, data)?)
            })
        })
    }

    /// `C_VerifyRecover`
    pub(crate) fn verify(&mut self, signature: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            let (bytes, mechanism) = (running.operation.bytes()?, running.start.mechanism);
            running.finish_within(bytes, output, |recovery, room| {
                fill(room, &crypto::verify_recover(mechanism, recovery.0.key()?, signature)?)
            })
        })
    }
}

fn fill(room: &mut [u8], bytes: &[u8]) -> Result<usize> {
    room.get_mut(..bytes.len()).ok_or(Rv(CKR_GENERAL_ERROR))?.copy_from_slice(bytes);
    Ok(bytes.len())
}
