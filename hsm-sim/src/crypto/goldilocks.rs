//! Ed448 (RFC 8032 §5.2) and X448 (RFC 7748 §5), which the crypto library does not have: field, curve and scalars.
//!
//! Nothing here branches on or indexes by a secret: additions are complete, multiplication by a scalar adds in every step
//! and selects, and reduction modulo the order subtracts in every step and selects. It is slower than the library's curves
//! by an order of magnitude, which a signature of a simulated token can bear.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use super::{
    error::{CryptoError, Result},
    ffi::digest::shake256,
};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 57;
/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 114;

const LIMBS: usize = 8;
const LIMB_BITS: u32 = 56;
const MASK: u64 = (1 << LIMB_BITS) - 1;

/// An element of the field of 2⁴⁴⁸ − 2²²⁴ − 1, in eight limbs of a little more than 56 bits.
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
const P: [u64; LIMBS] = [MASK, MASK, MASK, MASK, MASK - 1, MASK, MASK, MASK];

fn limb<const N: usize>(limbs: &[u64; N], place: usize) -> u64 {
    limbs.get(place).copied().unwrap_or_default()
}

impl Field {
    const ZERO: Self = Self([0; LIMBS]);
    const ONE: Self = Self([1, 0, 0, 0, 0, 0, 0, 0]);

    /// Brings limbs back to 56 bits and a little; the top carry comes round at 1 and at 2²²⁴.
    fn carried(mut limbs: [u128; LIMBS]) -> Self {
        for _ in 0..2 {
            let mut carry = 0;
            for limb in &mut limbs {
                *limb += carry;
                carry = *limb >> LIMB_BITS;
                *limb &= u128::from(MASK);
            }
            let [first, _, _, _, fifth, ..] = &mut limbs;
            *first += carry;
            *fifth += carry;
        }
        // After two rounds every limb is below 2⁵⁷.
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
        // 2⁴⁴⁸ = 2²²⁴ + 1: a limb eight places up counts at its place and four above.
        for place in (LIMBS..2 * LIMBS).rev() {
            let value = wide.get(place).copied().unwrap_or_default();
            for lower in [place - LIMBS, place - LIMBS / 2] {
                if let Some(limb) = wide.get_mut(lower) {
                    *limb += value;
                }
            }
        }
        let (low, _) = wide.split_at(LIMBS);
        Self::carried(std::array::from_fn(|place| low.get(place).copied().unwrap_or_default()))
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

    /// The inverse, by the power p − 2.
    fn invert(&self) -> Self {
        // p − 2 in binary: 223 ones, a zero, 222 ones, a zero, a one.
        let bits = (0..448).rev().map(|bit| bit != 224 && bit != 1);
        self.power(bits)
    }

    /// The power (p − 3) / 4, which square roots are made of.
    fn root_power(&self) -> Self {
        // (p − 3) / 4 = 2⁴⁴⁶ − 2²²² − 1: 223 ones, a zero, 222 ones.
        self.power((0..446).rev().map(|bit| bit != 222))
    }

    /// The canonical bytes, low byte first.
    fn to_bytes(self) -> [u8; 56] {
        // Twice: an element is below twice the modulus and a little.
        let reduced = self.reduced_once().reduced_once();
        let mut bytes = [0; 56];
        for (chunk, limb) in bytes.chunks_exact_mut(7).zip(reduced.0) {
            for (byte, value) in chunk.iter_mut().zip(limb.to_le_bytes()) {
                *byte = value;
            }
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
            // The top limb keeps what is above 56 bits.
            *limb = if place == LIMBS - 1 { difference } else { difference & MASK };
        }
        let is_below = Choice::from(u8::try_from(borrow & 1).unwrap_or_default());
        Self::conditional_select(&Self(limbs), &exact, is_below)
    }

    /// Reads bytes; nothing when they are not below the modulus.
    fn from_bytes(bytes: &[u8; 56]) -> Option<Self> {
        let element = Self::from_any_bytes(bytes);
        (element.to_bytes() == *bytes).then_some(element)
    }

    /// Reads bytes, modulo the modulus.
    fn from_any_bytes(bytes: &[u8; 56]) -> Self {
        let (chunks, _) = bytes.as_chunks::<7>();
        let mut limbs = [0; LIMBS];
        for (limb, chunk) in limbs.iter_mut().zip(chunks) {
            *limb = chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        Self(limbs)
    }

    fn equals(&self, other: &Self) -> Choice {
        self.to_bytes().ct_eq(&other.to_bytes())
    }

    fn is_odd(&self) -> Choice {
        let [first, ..] = self.to_bytes();
        Choice::from(first & 1)
    }
}

/// d of x² + y² = 1 + d x² y²: −39081.
fn curve_d() -> Field {
    Field([39_081, 0, 0, 0, 0, 0, 0, 0]).negate()
}

/// A point of the curve in projective coordinates.
#[derive(Clone, Copy)]
struct Point {
    x: Field,
    y: Field,
    z: Field,
}

impl Zeroize for Point {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
    }
}

/// The base point (RFC 8032 §5.2), low byte first.
const BASE_X: [u8; 56] = [
    0x5e, 0xc0, 0x0c, 0xc7, 0x2b, 0xa8, 0x26, 0x26, 0x8e, 0x93, 0x00, 0x8b, 0xe1, 0x80, 0x3b, 0x43, 0x11, 0x65, 0xb6,
    0x2a, 0xf7, 0x1a, 0xae, 0x12, 0x64, 0xa4, 0xd3, 0xa3, 0x24, 0xe3, 0x6d, 0xea, 0x67, 0x17, 0x0f, 0x47, 0x70, 0x65,
    0x14, 0x9e, 0xda, 0x36, 0xbf, 0x22, 0xa6, 0x15, 0x1d, 0x22, 0xed, 0x0d, 0xed, 0x6b, 0xc6, 0x70, 0x19, 0x4f,
];
const BASE_Y: [u8; 56] = [
    0x14, 0xfa, 0x30, 0xf2, 0x5b, 0x79, 0x08, 0x98, 0xad, 0xc8, 0xd7, 0x4e, 0x2c, 0x13, 0xbd, 0xfd, 0xc4, 0x39, 0x7c,
    0xe6, 0x1c, 0xff, 0xd3, 0x3a, 0xd7, 0xc2, 0xa0, 0x05, 0x1e, 0x9c, 0x78, 0x87, 0x40, 0x98, 0xa3, 0x6c, 0x73, 0x73,
    0xea, 0x4b, 0x62, 0xc7, 0xc9, 0x56, 0x37, 0x20, 0x76, 0x88, 0x24, 0xbc, 0xb6, 0x6e, 0x71, 0x46, 0x3f, 0x69,
];

impl Point {
    const IDENTITY: Self = Self { x: Field::ZERO, y: Field::ONE, z: Field::ONE };

    fn base() -> Self {
        let read = |bytes| Field::from_bytes(bytes).unwrap_or(Field::ZERO);
        Self { x: read(&BASE_X), y: read(&BASE_Y), z: Field::ONE }
    }

    /// RFC 8032 §5.2.4; complete, because d is no square.
    fn add(&self, other: &Self) -> Self {
        let a = self.z.mul(&other.z);
        let b = a.square();
        let c = self.x.mul(&other.x);
        let d = self.y.mul(&other.y);
        let e = curve_d().mul(&c).mul(&d);
        let (f, g) = (b.sub(&e), b.add(&e));
        let h = self.x.add(&self.y).mul(&other.x.add(&other.y));
        Self { x: a.mul(&f).mul(&h.sub(&c).sub(&d)), y: a.mul(&g).mul(&d.sub(&c)), z: f.mul(&g) }
    }

    fn double(&self) -> Self {
        let b = self.x.add(&self.y).square();
        let (c, d) = (self.x.square(), self.y.square());
        let e = c.add(&d);
        let h = self.z.square();
        let j = e.sub(&h.add(&h));
        Self { x: b.sub(&e).mul(&j), y: e.mul(&c.sub(&d)), z: e.mul(&j) }
    }

    fn negate(&self) -> Self {
        Self { x: self.x.negate(), ..*self }
    }

    /// The point times a scalar, low byte first.
    fn times(&self, scalar: &[u8; KEY_BYTES]) -> Self {
        let mut result = Self::IDENTITY;
        for byte in scalar.iter().rev() {
            for bit in (0..8).rev() {
                result = result.double();
                let sum = result.add(self);
                let choice = Choice::from(byte >> bit & 1);
                result.x.conditional_assign(&sum.x, choice);
                result.y.conditional_assign(&sum.y, choice);
                result.z.conditional_assign(&sum.z, choice);
            }
        }
        result
    }

    fn encode(&self) -> [u8; KEY_BYTES] {
        let inverse = self.z.invert();
        let (x, y) = (self.x.mul(&inverse), self.y.mul(&inverse));
        let mut bytes = [0; KEY_BYTES];
        for (byte, value) in bytes.iter_mut().zip(y.to_bytes()) {
            *byte = value;
        }
        if let Some(last) = bytes.last_mut() {
            *last = x.is_odd().unwrap_u8() << 7;
        }
        bytes
    }

    /// RFC 8032 §5.2.3.
    fn decode(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let (y, [sign]) = bytes.split_first_chunk::<56>()? else { return None };
        if sign & 0x7f != 0 {
            return None;
        }
        let y = Field::from_bytes(y)?;
        let square = y.square();
        let (u, v) = (square.sub(&Field::ONE), curve_d().mul(&square).sub(&Field::ONE));
        let u3v = u.square().mul(&u).mul(&v);
        let u5v3 = u3v.mul(&u.square()).mul(&v.square());
        let mut x = u3v.mul(&u5v3.root_power());
        if !bool::from(v.mul(&x.square()).equals(&u)) {
            return None;
        }
        let is_odd = sign >> 7 == 1;
        if bool::from(x.equals(&Field::ZERO)) && is_odd {
            return None;
        }
        if bool::from(x.is_odd()) != is_odd {
            x = x.negate();
        }
        Some(Self { x, y, z: Field::ONE })
    }
}

/// The order of the base point, low word first.
const ORDER: [u64; 7] = [
    0x2378_c292_ab58_44f3,
    0x216c_c272_8dc5_8f55,
    0xc44e_db49_aed6_3690,
    0xffff_ffff_7cca_23e9,
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
    0x3fff_ffff_ffff_ffff,
];

/// A number modulo the order.
#[derive(Clone, Copy)]
struct Scalar([u64; 7]);

impl Zeroize for Scalar {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Scalar {
    /// Reduces a number given by its bits from the highest: doubles, adds the bit, subtracts the order if it fits.
    fn reduce(bits: impl Iterator<Item = u8>) -> Self {
        let mut value = [0_u64; 7];
        for bit in bits {
            let mut carry = u64::from(bit);
            for word in &mut value {
                let next = *word >> 63;
                *word = *word << 1 | carry;
                carry = next;
            }
            // Twice a number below the order, and one, is below 2⁴⁴⁸: nothing is carried out.
            let mut reduced = [0_u64; 7];
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
        let mut wide = Zeroizing::new([0_u64; 15]);
        for (word, value) in wide.iter_mut().zip(self.0) {
            *word = value;
        }
        for (start, a) in a.0.iter().enumerate() {
            let mut carry = 0_u128;
            for (place, b) in wide.iter_mut().skip(start).zip(b.0.iter().copied().chain([0; 8])) {
                let sum = u128::from(*place) + u128::from(*a) * u128::from(b) + carry;
                let [low, high] = [sum & u128::from(u64::MAX), sum >> 64];
                *place = u64::try_from(low).unwrap_or_default();
                carry = high;
            }
        }
        Self::reduce(wide.iter().rev().flat_map(|word| {
            let word = *word;
            (0..64).rev().map(move |bit| u8::from(word >> bit & 1 == 1))
        }))
    }

    fn to_bytes(self) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (byte, value) in bytes.iter_mut().zip(self.0.into_iter().flat_map(u64::to_le_bytes)) {
            *byte = value;
        }
        bytes
    }
}

/// RFC 7748 §5, curve448: the scalar times the point with that first coordinate.
fn ladder(scalar: &[u8; 56], u: &[u8; 56]) -> [u8; 56] {
    let mut scalar = Zeroizing::new(*scalar);
    let [first, .., last] = &mut *scalar;
    *first &= 0xfc;
    *last |= 0x80;
    let x1 = Field::from_any_bytes(u);
    let (mut x2, mut z2) = (Zeroizing::new(Field::ONE), Zeroizing::new(Field::ZERO));
    let (mut x3, mut z3) = (Zeroizing::new(x1), Zeroizing::new(Field::ONE));
    let a24 = Field([39_081, 0, 0, 0, 0, 0, 0, 0]);
    let mut swapped = Choice::from(0);
    for bit in scalar.iter().rev().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        let bit = Choice::from(bit);
        Field::conditional_swap(&mut x2, &mut x3, swapped ^ bit);
        Field::conditional_swap(&mut z2, &mut z3, swapped ^ bit);
        swapped = bit;
        let (a, b) = (x2.add(&z2), x2.sub(&z2));
        let (aa, bb) = (a.square(), b.square());
        let e = aa.sub(&bb);
        let (da, cb) = (x3.sub(&z3).mul(&a), x3.add(&z3).mul(&b));
        *x3 = da.add(&cb).square();
        *z3 = x1.mul(&da.sub(&cb).square());
        *x2 = aa.mul(&bb);
        *z2 = e.mul(&aa.add(&a24.mul(&e)));
    }
    Field::conditional_swap(&mut x2, &mut x3, swapped);
    Field::conditional_swap(&mut z2, &mut z3, swapped);
    x2.mul(&z2.invert()).to_bytes()
}

/// The X448 public key of a private one.
pub(super) fn x448_public(private: &[u8; 56]) -> [u8; 56] {
    let mut base = [0; 56];
    if let Some(first) = base.first_mut() {
        *first = 5;
    }
    ladder(private, &base)
}

/// The shared secret; an error when it is all zero (RFC 7748 §6.2).
pub(super) fn x448(private: &[u8; 56], peer: &[u8; 56]) -> Result<Zeroizing<[u8; 56]>> {
    let shared = Zeroizing::new(ladder(private, peer));
    if bool::from(shared.ct_eq(&[0; 56])) { Err(CryptoError::PublicKeyInvalid) } else { Ok(shared) }
}

/// What is signed: the message, or its digest, bound to the form and the context.
pub(super) struct Signed<'a> {
    pub(super) prehash: bool,
    pub(super) context: &'a [u8],
    pub(super) data: &'a [u8],
}

impl Signed<'_> {
    fn digest(&self, parts: &[&[u8]]) -> Result<Zeroizing<[u8; SIGNATURE_BYTES]>> {
        let length = u8::try_from(self.context.len()).map_err(|_too_long| CryptoError::MechanismParamInvalid)?;
        let head = [u8::from(self.prehash), length];
        let mut all = vec![b"SigEd448".as_slice(), &head, self.context];
        all.extend_from_slice(parts);
        all.push(self.data);
        let mut output = Zeroizing::new([0; SIGNATURE_BYTES]);
        shake256(&all, &mut *output)?;
        Ok(output)
    }
}

/// A half of what a private key of Ed448 expands to.
type Half = Zeroizing<[u8; KEY_BYTES]>;

/// The secret scalar and the prefix of a private key.
fn expand(private: &[u8; KEY_BYTES]) -> Result<(Half, Half)> {
    let mut digest = Zeroizing::new([0; SIGNATURE_BYTES]);
    shake256(&[private], &mut *digest)?;
    let (scalar, prefix) = digest.split_at(KEY_BYTES);
    let take = |bytes: &[u8]| {
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_length| CryptoError::GeneralError)?;
        Ok::<_, CryptoError>(Zeroizing::new(bytes))
    };
    let (mut scalar, prefix) = (take(scalar)?, take(prefix)?);
    let [first, .., before_last, last] = &mut *scalar;
    *first &= 0xfc;
    *before_last |= 0x80;
    *last = 0;
    Ok((scalar, prefix))
}

/// The public key of a private one.
pub(super) fn public_key(private: &[u8; KEY_BYTES]) -> Result<[u8; KEY_BYTES]> {
    let (scalar, _) = expand(private)?;
    let mut point = Point::base().times(&scalar);
    let encoded = point.encode();
    point.zeroize();
    Ok(encoded)
}

/// Whether bytes are a public key.
pub(super) fn is_public_key(public: &[u8; KEY_BYTES]) -> bool {
    Point::decode(public).is_some()
}

/// RFC 8032 §5.2.6.
pub(super) fn sign(
    private: &[u8; KEY_BYTES],
    public: &[u8; KEY_BYTES],
    signed: &Signed<'_>,
) -> Result<[u8; SIGNATURE_BYTES]> {
    let (scalar, prefix) = expand(private)?;
    let nonce = Zeroizing::new(Scalar::from_bytes(&*signed.digest(&[&*prefix])?));
    let mut commitment = Point::base().times(&nonce.to_bytes());
    let encoded = commitment.encode();
    commitment.zeroize();
    let challenge = Scalar::from_bytes(&*signed.digest(&[&encoded, public])?);
    let secret = Zeroizing::new(Scalar::from_bytes(&*scalar));
    let answer = nonce.plus_product(&challenge, &secret).to_bytes();
    let mut signature = [0; SIGNATURE_BYTES];
    for (byte, value) in signature.iter_mut().zip(encoded.iter().chain(answer.iter())) {
        *byte = *value;
    }
    Ok(signature)
}

/// RFC 8032 §5.2.7, without the cofactor.
pub(super) fn verify(public: &[u8; KEY_BYTES], signed: &Signed<'_>, signature: &[u8; SIGNATURE_BYTES]) -> Result<()> {
    let invalid = CryptoError::SignatureInvalid;
    let key = Point::decode(public).ok_or(invalid)?;
    let (commitment, answer) = signature.split_first_chunk::<KEY_BYTES>().ok_or(invalid)?;
    let answer: &[u8; KEY_BYTES] = answer.try_into().map_err(|_length| invalid)?;
    // The answer is below the order, or the same signature could be written in two ways.
    if *Scalar::from_bytes(answer).to_bytes() != *answer {
        return Err(invalid);
    }
    let challenge = Scalar::from_bytes(&*signed.digest(&[commitment, public])?).to_bytes();
    let expected = Point::base().times(answer).add(&key.negate().times(&challenge)).encode();
    if expected == *commitment { Ok(()) } else { Err(invalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_point_is_on_the_curve_and_has_the_order() {
        let base = Point::base();
        let (x2, y2) = (base.x.square(), base.y.square());
        let right = Field::ONE.add(&curve_d().mul(&x2).mul(&y2));
        assert!(bool::from(x2.add(&y2).equals(&right)));
        let order = Scalar(ORDER).to_bytes();
        assert_eq!(base.times(&order).encode(), Point::IDENTITY.encode());
        assert_eq!(Point::decode(&base.encode()).unwrap().encode(), base.encode());
        assert!(bool::from(base.x.mul(&base.x.invert()).equals(&Field::ONE)));
    }

    #[test]
    fn doubling_is_adding_to_itself_and_elements_have_one_form() {
        let base = Point::base();
        assert_eq!(base.double().encode(), base.add(&base).encode());
        let mut modulus = [0xff; 56];
        modulus[28] = 0xfe;
        assert!(Field::from_bytes(&modulus).is_none());
        modulus[0] = 0xfe;
        assert!(Field::from_bytes(&modulus).unwrap().add(&Field::ONE).to_bytes() == [0; 56]);
    }
}
