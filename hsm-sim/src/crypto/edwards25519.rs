//! Ed25519ctx with an empty context (RFC 8032 §5.1), which the crypto library refuses to make: field, curve and scalars.
//!
//! Everything else on this curve is the library's work. RFC 8032 advises against an empty context (§8.3) without
//! forbidding it, and PKCS#11 3.1 §6.3.16 has a parameter block that means just that. Nothing here branches on or indexes
//! by a secret, in the manner of `goldilocks`; tests compare it with the library wherever the library has an answer.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use super::{
    error::{CryptoError, Result},
    operation::Digester,
    params::Hash,
};

/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;

const LIMBS: usize = 5;
const LIMB_BITS: u32 = 51;
const MASK: u64 = (1 << LIMB_BITS) - 1;

/// An element of the field of 2²⁵⁵ − 19, in five limbs of a little more than 51 bits.
#[derive(Clone, Copy, Default)]
struct Field([u64; LIMBS]);

impl Zeroize for Field {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl ConditionallySelectable for Field {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(std::array::from_fn(|place| u64::conditional_select(&limb(&a.0, place), &limb(&b.0, place), choice)))
    }
}

/// The modulus.
const P: [u64; LIMBS] = [MASK - 18, MASK, MASK, MASK, MASK];
/// d of −x² + y² = 1 + d x² y².
const D: Field = Field([
    0x0003_4dca_1359_78a3,
    0x0001_a828_3b15_6ebd,
    0x0005_e7a2_6001_c029,
    0x0007_39c6_63a0_3cbb,
    0x0005_2036_cee2_b6ff,
]);
/// A square root of −1.
const ROOT: Field = Field([
    0x0006_1b27_4a0e_a0b0,
    0x0000_d5a5_fc8f_189d,
    0x0007_ef5e_9cbd_0c60,
    0x0007_8595_a680_4c9e,
    0x0002_b832_4804_fc1d,
]);

fn limb<const N: usize>(limbs: &[u64; N], place: usize) -> u64 {
    limbs.get(place).copied().unwrap_or_default()
}

impl Field {
    const ZERO: Self = Self([0; LIMBS]);
    const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// Brings limbs back to 51 bits and a little; the top carry comes round nineteen times.
    fn carried(mut limbs: [u128; LIMBS]) -> Self {
        for _ in 0..3 {
            let mut carry = 0;
            for limb in &mut limbs {
                *limb += carry;
                carry = *limb >> LIMB_BITS;
                *limb &= u128::from(MASK);
            }
            let [first, ..] = &mut limbs;
            *first += 19 * carry;
        }
        // After three rounds every limb is below 2⁵².
        Self(limbs.map(|limb| u64::try_from(limb).unwrap_or_default()))
    }

    fn add(&self, other: &Self) -> Self {
        Self::carried(std::array::from_fn(|place| u128::from(limb(&self.0, place)) + u128::from(limb(&other.0, place))))
    }

    fn sub(&self, other: &Self) -> Self {
        // Four times the modulus is more than any element, limb by limb.
        Self::carried(std::array::from_fn(|place| {
            u128::from(limb(&self.0, place)) + 4 * u128::from(limb(&P, place)) - u128::from(limb(&other.0, place))
        }))
    }

    fn negate(&self) -> Self {
        Self::ZERO.sub(self)
    }

    fn mul(&self, other: &Self) -> Self {
        let mut wide = [0_u128; 2 * LIMBS];
        for (low, a) in self.0.iter().enumerate() {
            for (b, place) in other.0.iter().zip(wide.iter_mut().skip(low)) {
                *place += u128::from(*a) * u128::from(*b);
            }
        }
        // 2²⁵⁵ = 19: a limb five places up counts nineteen times at its place.
        let (low, high) = wide.split_at(LIMBS);
        Self::carried(std::array::from_fn(|place| {
            let at = |limbs: &[u128]| limbs.get(place).copied().unwrap_or_default();
            at(low) + 19 * at(high)
        }))
    }

    fn square(&self) -> Self {
        self.mul(self)
    }

    /// The element to a public power, given by its bits from the highest.
    fn power(&self, bits: impl Iterator<Item = bool>) -> Self {
        bits.fold(Self::ONE, |value, bit| {
            let squared = value.square();
            if bit { squared.mul(self) } else { squared }
        })
    }

    /// The inverse, by the power p − 2 = 2²⁵⁵ − 21: all ones but for bits 2 and 4.
    fn invert(&self) -> Self {
        self.power((0..255).rev().map(|bit| bit != 2 && bit != 4))
    }

    /// The power (p − 5) / 8 = 2²⁵² − 3, which square roots are made of.
    fn root_power(&self) -> Self {
        self.power((0..252).rev().map(|bit| bit != 1))
    }

    /// The canonical bytes, low byte first.
    fn to_bytes(self) -> [u8; 32] {
        // Twice: an element is below twice the modulus and a little.
        let reduced = self.reduced_once().reduced_once();
        let mut bytes = [0; 32];
        let mut bits = 0_u128;
        let mut have = 0;
        let mut limbs = reduced.0.into_iter();
        for byte in &mut bytes {
            if have < 8
                && let Some(limb) = limbs.next()
            {
                bits |= u128::from(limb) << have;
                have += LIMB_BITS;
            }
            [*byte, ..] = bits.to_le_bytes();
            bits >>= 8;
            have = have.saturating_sub(8);
        }
        bytes
    }

    /// Carries through, and subtracts the modulus if that does not go below zero.
    fn reduced_once(self) -> Self {
        let exact = Self::carried(self.0.map(u128::from));
        let mut limbs = [0_u64; LIMBS];
        let mut borrow = 0_u64;
        for (place, (limb, (value, modulus))) in limbs.iter_mut().zip(exact.0.iter().zip(P)).enumerate() {
            let difference = value.wrapping_sub(modulus).wrapping_sub(borrow);
            borrow = difference >> 63;
            // The top limb keeps what is above 51 bits.
            *limb = if place == LIMBS - 1 { difference } else { difference & MASK };
        }
        let is_below = Choice::from(u8::try_from(borrow & 1).unwrap_or_default());
        Self::conditional_select(&Self(limbs), &exact, is_below)
    }

    /// Reads bytes; nothing when they are not below the modulus.
    fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let mut limbs = [0; LIMBS];
        for (place, bit) in bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)).enumerate() {
            let width = usize::try_from(LIMB_BITS).unwrap_or(LIMBS);
            match limbs.get_mut(place / width) {
                Some(limb) => *limb |= u64::from(bit) << (place % width),
                None if bit == 0 => {}
                None => return None,
            }
        }
        let element = Self(limbs);
        (element.to_bytes() == *bytes).then_some(element)
    }

    fn equals(&self, other: &Self) -> Choice {
        self.to_bytes().ct_eq(&other.to_bytes())
    }

    fn is_odd(&self) -> Choice {
        let [first, ..] = self.to_bytes();
        Choice::from(first & 1)
    }
}

/// A point of the curve in extended coordinates: t · z = x · y.
#[derive(Clone, Copy)]
struct Point {
    x: Field,
    y: Field,
    z: Field,
    t: Field,
}

impl Zeroize for Point {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
        self.t.zeroize();
    }
}

impl ConditionallySelectable for Point {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        let select = |a: &Field, b: &Field| Field::conditional_select(a, b, choice);
        Self { x: select(&a.x, &b.x), y: select(&a.y, &b.y), z: select(&a.z, &b.z), t: select(&a.t, &b.t) }
    }
}

/// The base point, as RFC 8032 §5.1 encodes it: y is 4/5, x is even.
const BASE: [u8; 32] = {
    let mut bytes = [0x66; 32];
    bytes[0] = 0x58;
    bytes
};

impl Point {
    const IDENTITY: Self = Self { x: Field::ZERO, y: Field::ONE, z: Field::ONE, t: Field::ZERO };

    fn base() -> Self {
        Self::decode(&BASE).unwrap_or(Self::IDENTITY)
    }

    /// RFC 8032 §5.1.4; complete, because d is no square.
    fn add(&self, other: &Self) -> Self {
        let a = self.y.sub(&self.x).mul(&other.y.sub(&other.x));
        let b = self.y.add(&self.x).mul(&other.y.add(&other.x));
        let c = self.t.mul(&other.t).mul(&D.add(&D));
        let d = self.z.mul(&other.z);
        let (e, f, g, h) = (b.sub(&a), d.add(&d).sub(&c), d.add(&d).add(&c), b.add(&a));
        Self { x: e.mul(&f), y: g.mul(&h), z: f.mul(&g), t: e.mul(&h) }
    }

    fn negate(&self) -> Self {
        Self { x: self.x.negate(), t: self.t.negate(), ..*self }
    }

    /// The point times a scalar, low byte first.
    fn times(&self, scalar: &[u8; 32]) -> Self {
        let mut result = Self::IDENTITY;
        for bit in scalar.iter().rev().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
            result = result.add(&result);
            let sum = result.add(self);
            result.conditional_assign(&sum, Choice::from(bit));
        }
        result
    }

    fn encode(&self) -> [u8; 32] {
        let inverse = self.z.invert();
        let (x, y) = (self.x.mul(&inverse), self.y.mul(&inverse));
        let mut bytes = y.to_bytes();
        if let Some(last) = bytes.last_mut() {
            *last |= x.is_odd().unwrap_u8() << 7;
        }
        bytes
    }

    /// RFC 8032 §5.1.3.
    fn decode(bytes: &[u8; 32]) -> Option<Self> {
        let mut bytes = *bytes;
        let last = bytes.last_mut()?;
        let is_odd = *last >> 7 == 1;
        *last &= 0x7f;
        let y = Field::from_bytes(&bytes)?;
        let square = y.square();
        let (u, v) = (square.sub(&Field::ONE), D.mul(&square).add(&Field::ONE));
        let v3 = v.square().mul(&v);
        let v7 = v3.square().mul(&v);
        let mut x = u.mul(&v3).mul(&u.mul(&v7).root_power());
        let found = v.mul(&x.square());
        if bool::from(found.equals(&u.negate())) {
            x = x.mul(&ROOT);
        } else if !bool::from(found.equals(&u)) {
            return None;
        }
        if bool::from(x.equals(&Field::ZERO)) && is_odd {
            return None;
        }
        if bool::from(x.is_odd()) != is_odd {
            x = x.negate();
        }
        Some(Self { x, y, z: Field::ONE, t: x.mul(&y) })
    }
}

/// The order of the base point, low word first.
const ORDER: [u64; 4] = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 0x1000_0000_0000_0000];

/// A number modulo the order.
#[derive(Clone, Copy)]
struct Scalar([u64; 4]);

impl Zeroize for Scalar {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Scalar {
    /// Reduces a number given by its bits from the highest: doubles, adds the bit, subtracts the order if it fits.
    fn reduce(bits: impl Iterator<Item = u8>) -> Self {
        let mut value = [0_u64; 4];
        for bit in bits {
            let mut carry = u64::from(bit);
            for word in &mut value {
                let next = *word >> 63;
                *word = *word << 1 | carry;
                carry = next;
            }
            // Twice a number below the order, and one, is below 2²⁵⁴: nothing is carried out.
            let mut reduced = [0_u64; 4];
            let mut borrow = false;
            for ((place, word), order) in reduced.iter_mut().zip(value).zip(ORDER) {
                let (first, below) = word.overflowing_sub(order);
                let (second, below_too) = first.overflowing_sub(u64::from(borrow));
                *place = second;
                borrow = below | below_too;
            }
            let is_below = Choice::from(u8::from(borrow));
            for (word, reduced) in value.iter_mut().zip(reduced) {
                word.conditional_assign(&reduced, !is_below);
            }
        }
        Self(value)
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        Self::reduce(bytes.iter().rev().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)))
    }

    /// `self + a · b`
    fn plus_product(&self, a: &Self, b: &Self) -> Self {
        let mut wide = Zeroizing::new([0_u64; 9]);
        for (word, value) in wide.iter_mut().zip(self.0) {
            *word = value;
        }
        for (start, a) in a.0.iter().enumerate() {
            let mut carry = 0_u128;
            for (place, b) in wide.iter_mut().skip(start).zip(b.0.iter().copied().chain([0; 5])) {
                let sum = u128::from(*place) + u128::from(*a) * u128::from(b) + carry;
                *place = u64::try_from(sum & u128::from(u64::MAX)).unwrap_or_default();
                carry = sum >> 64;
            }
        }
        Self::reduce(wide.iter().rev().flat_map(|word| {
            let word = *word;
            (0..64).rev().map(move |bit| u8::from(word >> bit & 1 == 1))
        }))
    }

    fn to_bytes(self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        for (byte, value) in bytes.iter_mut().zip(self.0.into_iter().flat_map(u64::to_le_bytes)) {
            *byte = value;
        }
        bytes
    }
}

/// What comes before everything else in the digests of Ed25519ctx: dom2 with a flag of zero (RFC 8032 §2).
fn domain(context: &[u8]) -> Result<Vec<u8>> {
    let length = u8::try_from(context.len()).map_err(|_too_long| CryptoError::MechanismParamInvalid)?;
    Ok([b"SigEd25519 no Ed25519 collisions".as_slice(), &[0, length], context].concat())
}

fn sha512(parts: &[&[u8]]) -> Result<Zeroizing<[u8; 64]>> {
    let mut digester = Digester::new(Hash::Sha512)?;
    parts.iter().try_for_each(|part| digester.update(part))?;
    let mut output = Zeroizing::new([0; 64]);
    digester.finish(&mut *output)?;
    Ok(output)
}

/// RFC 8032 §5.1.6, Ed25519ctx. The key is the seed and the public key behind it.
pub(super) fn sign_context(key: &[u8; 64], context: &[u8], message: &[u8]) -> Result<[u8; SIGNATURE_BYTES]> {
    let (seed, public) = key.split_at(32);
    let domain = domain(context)?;
    let expanded = sha512(&[seed])?;
    let (scalar, prefix) = expanded.split_at(32);
    let mut scalar = Zeroizing::new(<[u8; 32]>::try_from(scalar).map_err(|_length| CryptoError::GeneralError)?);
    let [first, .., last] = &mut *scalar;
    *first &= 0xf8;
    *last = *last & 0x3f | 0x40;
    let nonce = Zeroizing::new(Scalar::from_bytes(&*sha512(&[&domain, prefix, message])?));
    let mut commitment = Point::base().times(&nonce.to_bytes());
    let encoded = commitment.encode();
    commitment.zeroize();
    let challenge = Scalar::from_bytes(&*sha512(&[&domain, &encoded, public, message])?);
    let secret = Zeroizing::new(Scalar::from_bytes(&*scalar));
    let answer = nonce.plus_product(&challenge, &secret).to_bytes();
    let mut signature = [0; SIGNATURE_BYTES];
    for (byte, value) in signature.iter_mut().zip(encoded.iter().chain(answer.iter())) {
        *byte = *value;
    }
    Ok(signature)
}

/// RFC 8032 §5.1.7, Ed25519ctx, without the cofactor, as the library verifies the other forms.
pub(super) fn verify_context(
    public: &[u8; 32],
    context: &[u8],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<()> {
    let invalid = CryptoError::SignatureInvalid;
    let key = Point::decode(public).ok_or(invalid)?;
    let (commitment, answer) = signature.split_first_chunk::<32>().ok_or(invalid)?;
    let answer: &[u8; 32] = answer.try_into().map_err(|_length| invalid)?;
    // The answer is below the order, or the same signature could be written in two ways.
    if *Scalar::from_bytes(answer).to_bytes() != *answer {
        return Err(invalid);
    }
    let challenge = Scalar::from_bytes(&*sha512(&[&domain(context)?, commitment, public, message])?).to_bytes();
    let expected = Point::base().times(answer).add(&key.negate().times(&challenge)).encode();
    if expected == *commitment { Ok(()) } else { Err(invalid) }
}

#[cfg(test)]
mod tests {
    use super::{super::ffi::ed25519 as library, *};

    #[test]
    fn the_base_point_has_the_order_and_elements_have_one_form() {
        let base = Point::base();
        assert_eq!(base.encode(), BASE);
        assert_eq!(base.times(&Scalar(ORDER).to_bytes()).encode(), Point::IDENTITY.encode());
        assert!(bool::from(base.x.mul(&base.x.invert()).equals(&Field::ONE)));
        assert!(bool::from(ROOT.square().equals(&Field::ONE.negate())));
        let mut modulus = [0xff; 32];
        (modulus[0], modulus[31]) = (0xed, 0x7f);
        assert!(Field::from_bytes(&modulus).is_none());
        modulus[0] = 0xec;
        assert_eq!(Field::from_bytes(&modulus).unwrap().add(&Field::ONE).to_bytes(), [0; 32]);
    }

    #[test]
    fn with_a_context_it_is_the_library() {
        for round in 0..16_u8 {
            let key = library::expand(&[round.wrapping_mul(77); 32]);
            let public = key.last_chunk().unwrap();
            let message = vec![round; usize::from(round) * 9];
            let context = vec![round ^ 0x5a; usize::from(round) * 16 + 1];
            let made = sign_context(&key, &context, &message).unwrap();
            assert_eq!(made, library::sign_context(&key, &context, &message).unwrap());
            assert_eq!(verify_context(public, &context, &message, &made), Ok(()));
            let mut wrong = made;
            wrong[usize::from(round) * 4] ^= 1 << (round % 8);
            assert!(verify_context(public, &context, &message, &wrong).is_err());
        }
    }

    #[test]
    fn an_empty_context_is_a_form_of_its_own() {
        let key = library::expand(&[7; 32]);
        let public = key.last_chunk().unwrap();
        let made = sign_context(&key, &[], b"text").unwrap();
        assert_eq!(verify_context(public, &[], b"text", &made), Ok(()));
        assert!(verify_context(public, b"x", b"text", &made).is_err());
        assert!(library::verify(public, b"text", &made).is_err());
        let pure = library::sign(&key, b"text").unwrap();
        assert!(verify_context(public, &[], b"text", &pure).is_err());
        // S + L is the same number and another signature.
        let mut shifted = made;
        let mut carry = 0_u16;
        for (byte, order) in shifted[32..].iter_mut().zip(Scalar(ORDER).to_bytes().iter()) {
            carry += u16::from(*byte) + u16::from(*order);
            [*byte, _] = carry.to_le_bytes();
            carry >>= 8;
        }
        assert!(verify_context(public, &[], b"text", &shifted).is_err());
    }
}
