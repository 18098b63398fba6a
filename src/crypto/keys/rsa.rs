//! RSA keys: PKCS#1 ↔ PKCS#8 or SPKI ↔ the bare numbers, and completing a key of which a client sent only some numbers.
//!
//! Numbers are big-endian without leading zeros. A private key always has all eight numbers and they fit each other; whether
//! the factors are prime is left to the token.

use der::asn1::{AnyRef, BitStringRef, OctetStringRef, UintRef};
use pkcs1::{RsaPrivateKeyRef, RsaPublicKeyRef};
use pkcs8::PrivateKeyInfoRef;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::{
    crypto::{
        Error,
        asn1::{self, into_secret},
        bytes,
        integer::Natural,
    },
    domain::SecretValue,
};

const PRIVATE: &str = "RSA private key";
const PUBLIC: &str = "RSA public key";

/// Moduli from 512 bits, which old test keys have; what is strong enough is the policy's and the token's business.
const BITS: std::ops::RangeInclusive<usize> = 512..=16_384;
/// FIPS 186-5 §A.1.1 bounds the public exponent by 2^256.
const EXPONENT_BITS_MAX: usize = 256;
/// Bases to try when factoring by the private exponent; each fails for at most half of all keys.
const BASES: std::ops::Range<u64> = 2..130;

/// What is known of an RSA private key, for example from KMIP's *Transparent RSA Private Key*.
#[derive(Debug, Default)]
pub struct RsaParts {
    /// Modulus.
    pub n: Option<Vec<u8>>,
    /// Public exponent.
    pub e: Option<Vec<u8>>,
    /// Private exponent.
    pub d: Option<SecretValue>,
    /// First factor.
    pub p: Option<SecretValue>,
    /// Second factor.
    pub q: Option<SecretValue>,
    /// `d mod (p − 1)`.
    pub dp: Option<SecretValue>,
    /// `d mod (q − 1)`.
    pub dq: Option<SecretValue>,
    /// `q⁻¹ mod p`.
    pub qinv: Option<SecretValue>,
}

/// An RSA private key with two factors.
#[derive(Debug)]
pub struct RsaPrivate {
    public: RsaPublic,
    d: SecretValue,
    p: SecretValue,
    q: SecretValue,
    dp: SecretValue,
    dq: SecretValue,
    qinv: SecretValue,
}

impl RsaPrivate {
    /// Computes what is missing and checks the rest. Enough are: one factor with n, or both; and one exponent (d, e or both
    /// CRT exponents); or n, e and d, by which n is factored.
    ///
    /// # Errors
    ///
    /// `Unsupported` for too few numbers and for lengths out of range, `Inconsistent` when they do not fit each other.
    pub fn from_parts(parts: &RsaParts) -> Result<Self, Error> {
        let known = |part: &Option<SecretValue>| part.as_ref().map(|part| Natural::from_be(bytes(part)));
        let (n, e) = (parts.n.as_deref().map(Natural::from_be), parts.e.as_deref().map(Natural::from_be));
        let (d, dp, dq) = (known(&parts.d), known(&parts.dp), known(&parts.dq));
        // Nothing is computed with numbers of absurd size.
        let given = [&n, &e, &d, &dp, &dq, &known(&parts.p), &known(&parts.q), &known(&parts.qinv)];
        if given.into_iter().flatten().any(|number| number.is_zero() || number.bits() > *BITS.end())
            || e.as_ref().is_some_and(|e| e.bits() > EXPONENT_BITS_MAX)
        {
            return Err(Error::Unsupported("an RSA key with numbers of this length"));
        }
        let (p, q) = factors(n.as_ref(), e.as_ref(), d.as_ref(), known(&parts.p), known(&parts.q))?;
        let one = Natural::from_small(1);
        let (Some(p1), Some(q1)) = (p.minus(&one), q.minus(&one)) else { return Err(Error::Inconsistent(PRIVATE)) };
        let inconsistent = || Error::Inconsistent(PRIVATE);
        if p.is_even() || q.is_even() || p.is_one() || q.is_one() || p == q {
            return Err(inconsistent());
        }
        let product = p.times(&q);
        if n.is_some_and(|n| n != product) {
            return Err(inconsistent());
        }
        if !BITS.contains(&product.bits()) {
            return Err(Error::Unsupported("an RSA key of this length"));
        }
        let divisor = p1.greatest_common_divisor(&q1).ok_or_else(inconsistent)?;
        let (lambda, _) = p1.times(&q1).divided_by(&divisor).ok_or_else(inconsistent)?;
        let e = match (e, &d, &dp, &dq) {
            (Some(e), ..) => e,
            (None, Some(d), ..) => d.inverse(&lambda).ok_or_else(inconsistent)?,
            // e is small, so it is what dp says unless dq contradicts, which is checked below.
            (None, None, Some(dp), Some(_)) => dp.inverse(&p1).ok_or_else(inconsistent)?,
            (None, None, ..) => return Err(Error::Unsupported("an RSA private key without an exponent")),
        };
        if e.is_even() || e.is_one() || e.bits() > EXPONENT_BITS_MAX {
            return Err(inconsistent());
        }
        let d = match d {
            Some(d) => d,
            None => e.inverse(&lambda).ok_or_else(inconsistent)?,
        };
        let reduce = |number: &Natural, modulus: &Natural| number.modulo(modulus).ok_or_else(inconsistent);
        let ed = e.times(&d);
        if d >= product || !reduce(&ed, &p1)?.is_one() || !reduce(&ed, &q1)?.is_one() {
            return Err(inconsistent());
        }
        let computed_dp = reduce(&d, &p1)?;
        let computed_dq = reduce(&d, &q1)?;
        let computed_qinv = q.inverse(&p).ok_or_else(inconsistent)?;
        let qinv = known(&parts.qinv);
        for (given, computed) in [(&dp, &computed_dp), (&dq, &computed_dq), (&qinv, &computed_qinv)] {
            if given.as_ref().is_some_and(|given| given != computed) {
                return Err(inconsistent());
            }
        }
        let secret = |number: &Natural| into_secret(number.to_be());
        Ok(Self {
            public: RsaPublic { n: std::mem::take(&mut *product.to_be()), e: std::mem::take(&mut *e.to_be()) },
            d: secret(&d),
            p: secret(&p),
            q: secret(&q),
            dp: secret(&computed_dp),
            dq: secret(&computed_dq),
            qinv: secret(&computed_qinv),
        })
    }

    /// From PKCS#1 DER.
    ///
    /// # Errors
    ///
    /// `Malformed`, `Unsupported` (more than two factors, lengths), `Inconsistent`.
    pub fn from_pkcs1(der: &SecretValue) -> Result<Self, Error> {
        Self::from_pkcs1_bytes(bytes(der))
    }

    pub(super) fn from_info(info: &PrivateKeyInfoRef<'_>) -> Result<Self, Error> {
        null_or_absent(PRIVATE, info.algorithm.parameters)?;
        let key = Self::from_pkcs1_bytes(info.private_key.as_bytes())?;
        if let Some(given) = &info.public_key
            && given.as_bytes().is_none_or(|given| RsaPublic::from_pkcs1(given).as_ref() != Ok(&key.public))
        {
            return Err(Error::Inconsistent(PRIVATE));
        }
        Ok(key)
    }

    fn from_pkcs1_bytes(der: &[u8]) -> Result<Self, Error> {
        let key: RsaPrivateKeyRef<'_> = asn1::decode(PRIVATE, der)?;
        if key.other_prime_infos.is_some() {
            return Err(Error::Unsupported("an RSA key of more than two factors"));
        }
        let secret = |number: UintRef<'_>| Some(SecretValue::new(number.as_bytes().to_vec()));
        Self::from_parts(&RsaParts {
            n: Some(key.modulus.as_bytes().to_vec()),
            e: Some(key.public_exponent.as_bytes().to_vec()),
            d: secret(key.private_exponent),
            p: secret(key.prime1),
            q: secret(key.prime2),
            dp: secret(key.exponent1),
            dq: secret(key.exponent2),
            qinv: secret(key.coefficient),
        })
    }

    /// PKCS#1 DER.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pkcs1(&self) -> Result<SecretValue, Error> {
        Ok(into_secret(self.pkcs1()?))
    }

    /// PKCS#8 DER.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pkcs8(&self) -> Result<SecretValue, Error> {
        let inner = self.pkcs1()?;
        let key =
            OctetStringRef::new(&inner).map_err(|cause| Error::Malformed { what: PRIVATE, cause: Some(cause) })?;
        asn1::encode_secret(PRIVATE, &PrivateKeyInfoRef::new(RSA_ALGORITHM, key))
    }

    fn pkcs1(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        let key = RsaPrivateKeyRef {
            modulus: number(PRIVATE, &self.public.n)?,
            public_exponent: number(PRIVATE, &self.public.e)?,
            private_exponent: number(PRIVATE, bytes(&self.d))?,
            prime1: number(PRIVATE, bytes(&self.p))?,
            prime2: number(PRIVATE, bytes(&self.q))?,
            exponent1: number(PRIVATE, bytes(&self.dp))?,
            exponent2: number(PRIVATE, bytes(&self.dq))?,
            coefficient: number(PRIVATE, bytes(&self.qinv))?,
            other_prime_infos: None,
        };
        asn1::encode(PRIVATE, &key)
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &RsaPublic {
        &self.public
    }

    /// Private exponent.
    #[must_use]
    pub const fn d(&self) -> &SecretValue {
        &self.d
    }

    /// First factor.
    #[must_use]
    pub const fn p(&self) -> &SecretValue {
        &self.p
    }

    /// Second factor.
    #[must_use]
    pub const fn q(&self) -> &SecretValue {
        &self.q
    }

    /// `d mod (p − 1)`.
    #[must_use]
    pub const fn dp(&self) -> &SecretValue {
        &self.dp
    }

    /// `d mod (q − 1)`.
    #[must_use]
    pub const fn dq(&self) -> &SecretValue {
        &self.dq
    }

    /// `q⁻¹ mod p`.
    #[must_use]
    pub const fn qinv(&self) -> &SecretValue {
        &self.qinv
    }

    /// Takes the key apart, for example into KMIP's *Transparent RSA Private Key*.
    #[must_use]
    pub fn into_parts(self) -> RsaParts {
        RsaParts {
            n: Some(self.public.n),
            e: Some(self.public.e),
            d: Some(self.d),
            p: Some(self.p),
            q: Some(self.q),
            dp: Some(self.dp),
            dq: Some(self.dq),
            qinv: Some(self.qinv),
        }
    }
}

/// An RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaPublic {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl RsaPublic {
    /// From modulus and exponent, big-endian; leading zeros are dropped.
    ///
    /// # Errors
    ///
    /// `Malformed` when they cannot be an RSA key, `Unsupported` for lengths out of range.
    pub fn from_numbers(n: &[u8], e: &[u8]) -> Result<Self, Error> {
        let (n, e) = (Natural::from_be(n), Natural::from_be(e));
        if !BITS.contains(&n.bits()) || e.bits() > EXPONENT_BITS_MAX {
            return Err(Error::Unsupported("an RSA key of this length"));
        }
        if n.is_even() || e.is_even() || e.is_one() {
            return Err(Error::malformed(PUBLIC));
        }
        Ok(Self { n: std::mem::take(&mut *n.to_be()), e: std::mem::take(&mut *e.to_be()) })
    }

    /// From PKCS#1 DER.
    ///
    /// # Errors
    ///
    /// `Malformed`, `Unsupported` for lengths out of range.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, Error> {
        let key: RsaPublicKeyRef<'_> = asn1::decode(PUBLIC, der)?;
        Self::from_numbers(key.modulus.as_bytes(), key.public_exponent.as_bytes())
    }

    /// From SubjectPublicKeyInfo DER of an RSA key.
    ///
    /// # Errors
    ///
    /// `Malformed` also when it holds another algorithm, `Unsupported` for lengths out of range.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let info: SubjectPublicKeyInfoRef<'_> = asn1::decode(PUBLIC, der)?;
        if info.algorithm.oid == asn1::RSA { Self::from_info(&info) } else { Err(Error::malformed(PUBLIC)) }
    }

    pub(super) fn from_info(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Error> {
        null_or_absent(PUBLIC, info.algorithm.parameters)?;
        Self::from_pkcs1(info.subject_public_key.as_bytes().ok_or(Error::malformed(PUBLIC))?)
    }

    /// PKCS#1 DER.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pkcs1(&self) -> Result<Vec<u8>, Error> {
        let key = RsaPublicKeyRef { modulus: number(PUBLIC, &self.n)?, public_exponent: number(PUBLIC, &self.e)? };
        Ok(std::mem::take(&mut *asn1::encode(PUBLIC, &key)?))
    }

    /// SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_spki(&self) -> Result<Vec<u8>, Error> {
        let inner = self.to_pkcs1()?;
        let key =
            BitStringRef::from_bytes(&inner).map_err(|cause| Error::Malformed { what: PUBLIC, cause: Some(cause) })?;
        let info = SubjectPublicKeyInfoRef { algorithm: RSA_ALGORITHM, subject_public_key: key };
        Ok(std::mem::take(&mut *asn1::encode(PUBLIC, &info)?))
    }

    /// Modulus, big-endian without leading zeros.
    #[must_use]
    pub fn n(&self) -> &[u8] {
        &self.n
    }

    /// Public exponent, big-endian without leading zeros.
    #[must_use]
    pub fn e(&self) -> &[u8] {
        &self.e
    }

    /// Length of the modulus in bits.
    #[must_use]
    pub fn bits(&self) -> u32 {
        u32::try_from(Natural::from_be(&self.n).bits()).expect("the constructors bound the modulus")
    }
}

/// RFC 8017 §A.1: the parameters are NULL.
const RSA_ALGORITHM: AlgorithmIdentifierRef<'static> =
    AlgorithmIdentifierRef { oid: asn1::RSA, parameters: Some(AnyRef::NULL) };

/// RFC 8017 wants NULL; some encoders leave it out.
fn null_or_absent(what: &'static str, parameters: Option<AnyRef<'_>>) -> Result<(), Error> {
    if parameters.is_none_or(|parameters| parameters == AnyRef::NULL) { Ok(()) } else { Err(Error::malformed(what)) }
}

fn number<'a>(what: &'static str, bytes: &'a [u8]) -> Result<UintRef<'a>, Error> {
    UintRef::new(bytes).map_err(|cause| Error::Malformed { what, cause: Some(cause) })
}

/// Both factors: as given, by division, or from the exponents.
fn factors(
    n: Option<&Natural>,
    e: Option<&Natural>,
    d: Option<&Natural>,
    p: Option<Natural>,
    q: Option<Natural>,
) -> Result<(Natural, Natural), Error> {
    let other = |n: &Natural, known: &Natural| match n.divided_by(known) {
        Some((other, rest)) if rest.is_zero() => Ok(other),
        _ => Err(Error::Inconsistent(PRIVATE)),
    };
    match (p, q, n) {
        (Some(p), Some(q), _) => Ok((p, q)),
        (Some(p), None, Some(n)) => other(n, &p).map(|q| (p, q)),
        (None, Some(q), Some(n)) => other(n, &q).map(|p| (p, q)),
        (None, None, Some(n)) => match (e, d) {
            (Some(e), Some(d)) => factor(n, e, d),
            _ => Err(Error::Unsupported("an RSA private key without factors and without both exponents")),
        },
        (_, _, None) => Err(Error::Unsupported("an RSA private key without modulus and with fewer than two factors")),
    }
}

/// NIST SP 800-56B rev. 2, appendix C.2: e·d − 1 is a multiple of λ(n), so a square root of 1 other than ±1 is found
/// among the powers of some small base, and its distance to 1 shares a factor with n. The larger factor becomes p.
fn factor(n: &Natural, e: &Natural, d: &Natural) -> Result<(Natural, Natural), Error> {
    let inconsistent = || Error::Inconsistent(PRIVATE);
    let one = Natural::from_small(1);
    if n.is_even() || n.is_one() || d >= n || e >= n || e.is_even() {
        return Err(inconsistent());
    }
    let exponent = e.times(d).minus(&one).filter(|k| !k.is_zero() && k.is_even()).ok_or_else(inconsistent)?;
    let (mut odd, mut halvings) = (exponent.half(), 1);
    while odd.is_even() {
        (odd, halvings) = (odd.half(), halvings + 1);
    }
    let minus_one = n.minus(&one).ok_or_else(inconsistent)?;
    for base in BASES {
        let mut root = Natural::from_small(base).power(&odd, n).ok_or_else(inconsistent)?;
        for _ in 0..halvings {
            if root.is_one() || root == minus_one {
                break;
            }
            let square = root.times(&root).modulo(n).ok_or_else(inconsistent)?;
            if square.is_one() {
                let distance = root.minus(&one).ok_or_else(inconsistent)?;
                let a = distance.greatest_common_divisor(n).ok_or_else(inconsistent)?;
                let (b, _) = n.divided_by(&a).ok_or_else(inconsistent)?;
                return Ok(if a > b { (a, b) } else { (b, a) });
            }
            root = square;
        }
        // A root that never reached 1 shows that e·d − 1 is no multiple of λ(n).
        if root.times(&root).modulo(n).is_some_and(|square| !square.is_one()) && !root.is_one() {
            return Err(inconsistent());
        }
    }
    Err(inconsistent())
}
