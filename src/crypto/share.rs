//! Secret sharing as KMIP names it: XOR, and Shamir's polynomials over GF(2^8), GF(2^16) and a prime field (KMIP 1.4 §2.2.5).
//!
//! A share's x-coordinate is its Key Part Identifier, counted from one. GF(2^8) is reduced by x^8+x^4+x^3+x^2+1 (285): the
//! standard names the polynomial only from 3.0 on, and this is the one that the published shares of every version fit.
//! GF(2^16) is the extension y^2+y+{3A} of the AES field, as the standard writes it out. Multiplication takes the same
//! time for all operands; the prime field is the gateway's general arithmetic.

use zeroize::Zeroizing;

use super::{Error, bytes, integer::Natural};
use crate::domain::SecretValue;

/// How a secret is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every part is needed; they are XORed.
    Xor,
    /// Polynomials over GF(2^8), reduced by this polynomial: 0x11B or 0x11D.
    Gf256(u16),
    /// Polynomials over GF(2^16), two bytes at a time.
    Gf65536,
    /// Polynomials over the integers modulo a prime, big-endian.
    Prime(Vec<u8>),
}

impl Method {
    /// The field that 1.2 to 2.1 mean by GF(2^8).
    pub const GF256: Self = Self::Gf256(0x11D);

    /// Random bytes that splitting consumes.
    ///
    /// # Errors
    ///
    /// `Unsupported` for numbers of parts that the field has no room for, `Inconsistent` for a length that does not fit.
    pub fn random_bytes(&self, length: usize, parts: usize, threshold: usize) -> Result<usize, Error> {
        let most = if matches!(self, Self::Gf256(_)) { 255 } else { 1024 };
        if !(2..=most).contains(&parts) || !(2..=parts).contains(&threshold) || length == 0 {
            return Err(Error::Unsupported("this number of parts"));
        }
        match self {
            Self::Xor if threshold != parts => Err(Error::Unsupported("XOR with parts to spare")),
            Self::Xor | Self::Gf256(_) => Ok(length * (threshold - 1)),
            Self::Gf65536 if !length.is_multiple_of(2) => Err(Error::Inconsistent("key and the field of its parts")),
            Self::Gf65536 => Ok(length * (threshold - 1)),
            // Eight bytes more than the prime make the remainder as good as uniform.
            Self::Prime(prime) => Ok((prime.len() + 8) * (threshold - 1)),
        }
    }
}

fn secret(mut bytes: Zeroizing<Vec<u8>>) -> SecretValue {
    SecretValue::new(std::mem::take(&mut *bytes))
}

/// Splits a secret into parts 1, 2, …; `random` has as many bytes as [`Method::random_bytes`] says.
///
/// # Errors
///
/// As [`Method::random_bytes`]; `Inconsistent` for a secret that is not smaller than the prime.
pub fn split(
    method: &Method,
    value: &SecretValue,
    parts: usize,
    threshold: usize,
    random: &SecretValue,
) -> Result<Vec<SecretValue>, Error> {
    let value = bytes(value);
    if random.len() != method.random_bytes(value.len(), parts, threshold)? {
        return Err(Error::Failed("secret sharing"));
    }
    let random = bytes(random);
    match method {
        Method::Xor => {
            let mut shares: Vec<Zeroizing<Vec<u8>>> =
                random.chunks(value.len()).map(|chunk| Zeroizing::new(chunk.to_vec())).collect();
            let mut last = Zeroizing::new(value.to_vec());
            for share in &shares {
                last.iter_mut().zip(share.iter()).for_each(|(byte, other)| *byte ^= other);
            }
            shares.push(last);
            Ok(shares.into_iter().map(secret).collect())
        }
        Method::Gf256(polynomial) => {
            let field = Field8(*polynomial);
            Ok((1..=parts)
                .map(|x| {
                    let x = u8::try_from(x).unwrap_or(u8::MAX);
                    // Horner's rule from the highest coefficient down to the secret itself.
                    let mut share = Zeroizing::new(vec![0; value.len()]);
                    for coefficient in random.chunks(value.len()).chain([value]) {
                        share.iter_mut().zip(coefficient).for_each(|(y, c)| *y = field.times(*y, x) ^ c);
                    }
                    secret(share)
                })
                .collect())
        }
        Method::Gf65536 => Ok((1..=parts)
            .map(|x| {
                let x = u16::try_from(x).unwrap_or(u16::MAX);
                let mut share = Zeroizing::new(vec![0_u8; value.len()]);
                for coefficient in random.chunks(value.len()).chain([value]) {
                    for (y, c) in share.chunks_exact_mut(2).zip(coefficient.chunks_exact(2)) {
                        let sum = times16(pair(y), x) ^ pair(c);
                        y.copy_from_slice(&sum.to_be_bytes());
                    }
                }
                secret(share)
            })
            .collect()),
        Method::Prime(prime) => {
            let modulus = Natural::from_be(prime);
            let width = modulus.bits().div_ceil(8);
            let free = Natural::from_be(value);
            if free.modulo(&modulus).is_none_or(|rest| rest.minus(&free).is_none_or(|it| !it.is_zero())) {
                return Err(Error::Inconsistent("key and the field of its parts"));
            }
            let failed = || Error::Failed("secret sharing");
            let coefficients: Vec<Natural> = random
                .chunks(prime.len() + 8)
                .map(|chunk| Natural::from_be(chunk).modulo(&modulus))
                .chain([Some(free)])
                .collect::<Option<_>>()
                .ok_or_else(failed)?;
            (1..=parts)
                .map(|x| {
                    let x = Natural::from_small(x as u64);
                    let mut y = Natural::from_small(0);
                    for coefficient in &coefficients {
                        y = y.times(&x).plus(coefficient).modulo(&modulus).ok_or_else(failed)?;
                    }
                    Ok(secret(padded(&y, width)))
                })
                .collect()
        }
    }
}

/// Joins parts, each with its identifier, into the secret. `length` is that of the secret in bytes, where it is known.
///
/// # Errors
///
/// `Inconsistent` when there are too few parts, one is there twice, or their lengths differ.
pub fn join(
    method: &Method,
    threshold: usize,
    parts: &[(u32, SecretValue)],
    length: Option<usize>,
) -> Result<SecretValue, Error> {
    let unfit = || Error::Inconsistent("parts of the key");
    let Some((_, first)) = parts.first() else { return Err(unfit()) };
    let width = first.len();
    let twice = parts.iter().enumerate().any(|(at, (id, _))| parts.iter().skip(at + 1).any(|(other, _)| other == id));
    let bad = parts.len() < threshold || twice || parts.iter().any(|(id, it)| *id == 0 || it.len() != width);
    if bad || (*method == Method::Xor && parts.len() != threshold) {
        return Err(unfit());
    }
    let parts = parts.get(..threshold).unwrap_or_default();
    match method {
        Method::Xor => {
            let mut value = Zeroizing::new(vec![0; width]);
            for (_, part) in parts {
                value.iter_mut().zip(bytes(part)).for_each(|(byte, other)| *byte ^= other);
            }
            Ok(secret(value))
        }
        Method::Gf256(polynomial) => {
            let field = Field8(*polynomial);
            let ids: Vec<u8> =
                parts.iter().map(|(id, _)| u8::try_from(*id)).collect::<Result<_, _>>().map_err(|_large| unfit())?;
            let mut value = Zeroizing::new(vec![0; width]);
            for (x, (_, part)) in ids.iter().zip(parts) {
                let mut weight = 1;
                for other in ids.iter().filter(|other| *other != x) {
                    weight = field.times(weight, field.times(*other, field.inverse(x ^ other)));
                }
                value.iter_mut().zip(bytes(part)).for_each(|(sum, y)| *sum ^= field.times(*y, weight));
            }
            Ok(secret(value))
        }
        Method::Gf65536 => {
            if !width.is_multiple_of(2) {
                return Err(unfit());
            }
            let ids: Vec<u16> =
                parts.iter().map(|(id, _)| u16::try_from(*id)).collect::<Result<_, _>>().map_err(|_large| unfit())?;
            let mut value = Zeroizing::new(vec![0; width]);
            for (x, (_, part)) in ids.iter().zip(parts) {
                let mut weight = 1;
                for other in ids.iter().filter(|other| *other != x) {
                    weight = times16(weight, times16(*other, inverse16(x ^ other)));
                }
                for (sum, y) in value.chunks_exact_mut(2).zip(bytes(part).chunks_exact(2)) {
                    let next = pair(sum) ^ times16(pair(y), weight);
                    sum.copy_from_slice(&next.to_be_bytes());
                }
            }
            Ok(secret(value))
        }
        Method::Prime(prime) => {
            let modulus = Natural::from_be(prime);
            let mut sum = Natural::from_small(0);
            for (id, part) in parts {
                let x = Natural::from_small(u64::from(*id));
                let mut weight = Natural::from_small(1);
                for (other, _) in parts.iter().filter(|(other, _)| other != id) {
                    let other = Natural::from_small(u64::from(*other));
                    // other / (other − x) modulo the prime.
                    let difference = other.plus(&modulus).minus(&x).and_then(|it| it.modulo(&modulus));
                    let inverse = difference.and_then(|it| it.inverse(&modulus)).ok_or_else(unfit)?;
                    weight = weight.times(&other).times(&inverse).modulo(&modulus).ok_or_else(unfit)?;
                }
                sum = sum.plus(&weight.times(&Natural::from_be(bytes(part)))).modulo(&modulus).ok_or_else(unfit)?;
            }
            let least = sum.bits().div_ceil(8).max(1);
            let length = length.unwrap_or(least);
            if length < least {
                return Err(unfit());
            }
            Ok(secret(padded(&sum, length)))
        }
    }
}

/// A number in big-endian bytes of that width; it fits.
fn padded(number: &Natural, width: usize) -> Zeroizing<Vec<u8>> {
    let bytes = number.to_be();
    let mut padded = Zeroizing::new(vec![0; width.saturating_sub(bytes.len())]);
    padded.reserve_exact(bytes.len());
    padded.extend_from_slice(&bytes);
    padded
}

struct Field8(u16);

impl Field8 {
    fn times(&self, a: u8, b: u8) -> u8 {
        let (mut a, mut product) = (u16::from(a), 0_u16);
        for bit in 0..8 {
            product ^= a & (0_u16.wrapping_sub(u16::from(b >> bit) & 1));
            a <<= 1;
            a ^= self.0 & (0_u16.wrapping_sub(a >> 8));
        }
        product.to_le_bytes()[0]
    }

    /// a^254, which is 1/a; zero has none and stays zero.
    fn inverse(&self, a: u8) -> u8 {
        let mut power = a;
        for _ in 0..6 {
            power = self.times(self.times(power, power), a);
        }
        self.times(power, power)
    }
}

/// The AES field, of which GF(2^16) is made.
const AES: Field8 = Field8(0x11B);
/// The element m of y^2+y+m.
const M: u8 = 0x3A;

fn pair(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |pair, byte| (pair << 8) | u16::from(*byte))
}

/// (ry+s)(uy+v) = (ru+rv+su)y + sv+ru·m, because y^2 = y+m.
fn times16(a: u16, b: u16) -> u16 {
    let ([r, s], [u, v]) = (a.to_be_bytes(), b.to_be_bytes());
    let (ru, sv) = (AES.times(r, u), AES.times(s, v));
    u16::from_be_bytes([AES.times(r ^ s, u ^ v) ^ sv, sv ^ AES.times(ru, M)])
}

/// (uy+v)^-1 = u/d·y + (u+v)/d with d = (u+v)v + m·u^2.
fn inverse16(a: u16) -> u16 {
    let [u, v] = a.to_be_bytes();
    let d = AES.inverse(AES.times(u ^ v, v) ^ AES.times(M, AES.times(u, u)));
    u16::from_be_bytes([AES.times(u, d), AES.times(u ^ v, d)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::to_hex;

    fn value(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    fn from_hex(text: &str) -> SecretValue {
        let digits: Vec<u8> = text.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
        SecretValue::new(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }

    /// 2^127 − 1, a Mersenne prime.
    fn prime() -> Vec<u8> {
        let mut prime = vec![0xFF; 16];
        prime[0] = 0x7F;
        prime
    }

    #[test]
    fn the_published_shares_give_the_published_key() {
        // TC-SJ-3, all versions.
        let parts = [
            (1, from_hex("66C46A7754F94DE420C7B1A7FFF5EC56")),
            (2, from_hex("CF93D1E2A7E593CD5B8D6247F4E5D49C")),
            (3, from_hex("A855B891F61AD9217240D8EC061E37DA")),
            (4, from_hex("803DBAD55CDD329FAD19D99AE2C5A415")),
        ];
        for (a, b) in [(0, 1), (0, 2), (3, 1), (2, 3)] {
            let two = [(parts[a].0, parts[a].1.duplicate()), (parts[b].0, parts[b].1.duplicate())];
            let joined = join(&Method::GF256, 2, &two, None).unwrap();
            assert_eq!(to_hex(bytes(&joined)), "0102030405060708090a0b0c0d0e0f10");
        }
    }

    #[test]
    fn any_threshold_of_parts_joins_and_fewer_do_not() {
        let methods = [Method::Gf256(0x11B), Method::GF256, Method::Gf65536, Method::Prime(prime())];
        let key = value(&[0, 1, 2, 3, 250, 251, 252, 253, 254, 255]);
        for method in methods {
            let count = method.random_bytes(key.len(), 5, 3).unwrap();
            let random = value(
                &std::iter::successors(Some(11_u8), |at| Some(at.wrapping_add(37))).take(count).collect::<Vec<_>>(),
            );
            let shares = split(&method, &key, 5, 3, &random).unwrap();
            let take = |ids: &[usize]| -> Vec<(u32, SecretValue)> {
                ids.iter().map(|id| (u32::try_from(*id).unwrap(), shares[id - 1].duplicate())).collect()
            };
            for ids in [&[1, 2, 3][..], &[5, 3, 1], &[2, 4, 5], &[1, 2, 3, 4, 5]] {
                let joined = join(&method, 3, &take(ids), Some(10)).unwrap();
                assert!(joined.matches(&key), "{method:?} {ids:?}");
            }
            for ids in [&[1, 2][..], &[1, 1, 2], &[]] {
                assert!(join(&method, 3, &take(ids), Some(10)).is_err(), "{method:?} {ids:?}");
            }
        }
    }

    #[test]
    fn xor_needs_every_part() {
        let key = value(b"0123456789abcdef");
        let random = value(&[0x5A; 48]);
        let shares = split(&Method::Xor, &key, 4, 4, &random).unwrap();
        let all: Vec<_> = (1..).zip(shares).collect();
        assert!(join(&Method::Xor, 4, &all, None).unwrap().matches(&key));
        assert!(join(&Method::Xor, 4, &all[..3], None).is_err());
        assert!(Method::Xor.random_bytes(16, 4, 3).is_err());
    }

    #[test]
    fn what_does_not_fit_the_field_is_refused() {
        assert!(Method::Gf65536.random_bytes(3, 3, 2).is_err());
        assert!(Method::GF256.random_bytes(16, 256, 2).is_err());
        assert!(Method::GF256.random_bytes(16, 1, 1).is_err());
        let large = value(&[0xFF; 16]);
        assert!(split(&Method::Prime(prime()), &large, 3, 2, &value(&[1; 24])).is_err());
    }

    #[test]
    fn every_element_of_both_fields_has_its_inverse() {
        for polynomial in [0x11B, 0x11D] {
            let field = Field8(polynomial);
            assert!((1..=255).all(|a| field.times(a, field.inverse(a)) == 1));
        }
        assert!((1..=u16::MAX).step_by(7).all(|a| times16(a, inverse16(a)) == 1));
    }
}
