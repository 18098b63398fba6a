//! Key derivation in the three modes of SP 800-108 (PKCS#11 3.1 §6.42).
//!
//! One run makes the material of several keys, no two of which share an output of the pseudo-random function. What the
//! function is run over is the caller's list of parts, in its order.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::mac::{Cmac, Hmac},
    generate,
    key::Key,
    mechanism::MechanismInfo,
    params::{Kbkdf, KbkdfPart, Number, ParamKind, Params, Prf},
};

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row(CKM_SP800_108_COUNTER_KDF, "SP800_108_COUNTER_KDF", ParamKind::Kbkdf)
        .derives_many(|params, key, lengths| derive(Mode::Counter, params, key, lengths)),
    row(CKM_SP800_108_FEEDBACK_KDF, "SP800_108_FEEDBACK_KDF", ParamKind::KbkdfFeedback)
        .derives_many(|params, key, lengths| derive(Mode::Feedback, params, key, lengths)),
    row(CKM_SP800_108_DOUBLE_PIPELINE_KDF, "SP800_108_DOUBLE_PIPELINE_KDF", ParamKind::Kbkdf)
        .derives_many(|params, key, lengths| derive(Mode::DoublePipeline, params, key, lengths)),
];

/// The standard counts base keys in bits here.
const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str, params: ParamKind) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, generate::ANY_SECRET, (8, 8 * 4096), params)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Counter,
    Feedback,
    DoublePipeline,
}

/// A running pseudo-random function.
enum Run {
    Hmac(Hmac),
    Cmac(Cmac),
}

/// A keyed pseudo-random function.
struct Keyed {
    run: Run,
    bytes: usize,
}

impl Keyed {
    fn new(prf: Prf, key: &Key) -> Result<Self> {
        let key = key.secret()?;
        let run = match prf {
            Prf::Hmac(hash) => Run::Hmac(Hmac::keyed(hash, key.value())?),
            Prf::AesCmac => Run::Cmac(key.cmac()?.start()?),
            Prf::Des3Cmac => Run::Cmac(key.des3_cmac()?.start()?),
        };
        Ok(Self { run, bytes: prf.output_bytes() })
    }

    /// One output over what `feed` gives.
    fn output(
        &self,
        feed: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let (output, bytes) = match &self.run {
            Run::Hmac(keyed) => {
                let mut mac = keyed.start()?;
                feed(&mut |data| mac.update(data))?;
                mac.finish()?
            }
            Run::Cmac(keyed) => {
                let mut mac = keyed.start()?;
                feed(&mut |data| mac.update(data))?;
                mac.finish()?
            }
        };
        let output = Zeroizing::new(output);
        if bytes != self.bytes {
            return Err(CryptoError::GeneralError);
        }
        output.get(..bytes).map(|output| Zeroizing::new(output.to_vec())).ok_or(CryptoError::GeneralError)
    }
}

/// Which parts a mode takes, and how often (tables 191 to 193 of the standard).
fn check(mode: Mode, kbkdf: &Kbkdf) -> Result<()> {
    let count = |is: fn(&KbkdfPart) -> bool| kbkdf.parts.iter().filter(|part| is(part)).count();
    let has_format = |part: &KbkdfPart| matches!(part, KbkdfPart::Iteration(Some(_)));
    let iterations = count(|part| matches!(part, KbkdfPart::Iteration(_)));
    let counters = count(|part| matches!(part, KbkdfPart::Counter(_)));
    let lengths = count(|part| matches!(part, KbkdfPart::Length { .. }));
    let formats = kbkdf.parts.iter().filter(|part| has_format(part)).count();
    let fits = match mode {
        Mode::Counter => formats == 1 && counters == 0 && kbkdf.iv.is_empty(),
        Mode::Feedback => formats == 0 && counters <= 1,
        Mode::DoublePipeline => formats == 0 && counters <= 1 && kbkdf.iv.is_empty(),
    };
    if fits && iterations == 1 && lengths <= 1 { Ok(()) } else { Err(CryptoError::MechanismParamInvalid) }
}

fn derive(mode: Mode, params: &Params, key: &Key, lengths: &[usize]) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    let Params::Kbkdf(kbkdf) = params else { return Err(CryptoError::MechanismParamInvalid) };
    check(mode, kbkdf)?;
    let prf = Keyed::new(kbkdf.prf, key)?;
    let segments = |bytes: usize| bytes.div_ceil(prf.bytes);
    if lengths.iter().any(|bytes| *bytes > BYTES_MAX) || lengths.len() > KEYS_MAX {
        return Err(CryptoError::KeySizeRange);
    }
    let total: usize = lengths.iter().map(|bytes| segments(*bytes)).sum();
    let (in_keys, in_segments) = (lengths.iter().sum::<usize>(), total * prf.bytes);
    let mut chain = Chain { mode, prf: &prf, kbkdf, in_keys, in_segments, variable: Zeroizing::new(kbkdf.iv.clone()) };
    let mut counter = 0;
    let mut keys = Vec::with_capacity(lengths.len());
    for bytes in lengths {
        let mut material = Zeroizing::new(Vec::with_capacity(segments(*bytes) * prf.bytes));
        for _ in 0..segments(*bytes) {
            counter += 1;
            material.extend_from_slice(&chain.segment(counter)?);
        }
        material.truncate(*bytes);
        keys.push(material);
    }
    Ok(keys)
}

struct Chain<'a> {
    mode: Mode,
    prf: &'a Keyed,
    kbkdf: &'a Kbkdf,
    in_keys: usize,
    in_segments: usize,
    /// K(i−1) of feedback mode, A(i) of the double pipeline.
    variable: Zeroizing<Vec<u8>>,
}

impl Chain<'_> {
    fn segment(&mut self, counter: u64) -> Result<Zeroizing<Vec<u8>>> {
        if self.mode == Mode::DoublePipeline {
            // A(i) is over A(i−1), and A(1) over the parts without variable and counter.
            let before = std::mem::take(&mut self.variable);
            self.variable =
                self.prf.output(|update| if counter == 1 { self.feed(None, update) } else { update(&before) })?;
        }
        let output = self.prf.output(|update| self.feed(Some(counter), update))?;
        if self.mode == Mode::Feedback {
            self.variable = output.clone();
        }
        Ok(output)
    }

    /// Gives the parts, or only those that do not change when there is no counter.
    fn feed(&self, counter: Option<u64>, update: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for part in &self.kbkdf.parts {
            match (part, counter) {
                (KbkdfPart::Iteration(_) | KbkdfPart::Counter(_), None) => {}
                (KbkdfPart::Iteration(Some(format)) | KbkdfPart::Counter(format), Some(counter)) => {
                    // SP 800-108 §5.1: the counter must not come round.
                    if format.bytes < 8 && counter >> (8 * format.bytes) != 0 {
                        return Err(CryptoError::KeySizeRange);
                    }
                    write(*format, counter, update)?;
                }
                (KbkdfPart::Iteration(None), Some(_)) => update(&self.variable)?,
                (KbkdfPart::Length { of_segments, format }, _) => {
                    let bytes = if *of_segments { self.in_segments } else { self.in_keys };
                    write(*format, 8 * bytes as u64, update)?;
                }
                (KbkdfPart::Bytes(bytes), _) => update(bytes)?,
                (KbkdfPart::Key(key), _) => update(key.value()?)?,
            }
        }
        Ok(())
    }
}

fn write(format: Number, value: u64, update: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (big, little) = (value.to_be_bytes(), value.to_le_bytes());
    let bytes = if format.little_endian {
        little.get(..format.bytes)
    } else {
        big.len().checked_sub(format.bytes).and_then(|start| big.get(start..))
    };
    update(bytes.ok_or(CryptoError::MechanismParamInvalid)?)
}

/// More than any key.
const BYTES_MAX: usize = 1 << 16;
const KEYS_MAX: usize = 256;
