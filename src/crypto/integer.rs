//! Natural numbers of any size, as far as completing and checking an RSA key needs them.
//!
//! Not constant time: it runs once when a client hands in a key of its own, never while a key is used. Limbs are zeroised.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "limb arithmetic; bounds follow from the loops"
)]

use std::cmp::Ordering;

use zeroize::Zeroizing;

/// A natural number: 64-bit limbs, lowest first, the highest one not zero.
pub(super) struct Natural(Zeroizing<Vec<u64>>);

impl Natural {
    pub(super) fn from_be(bytes: &[u8]) -> Self {
        let limbs = bytes.rchunks(8).map(|chunk| chunk.iter().fold(0, |limb, byte| (limb << 8) | u64::from(*byte)));
        Self::normal(limbs.collect())
    }

    pub(super) fn from_small(number: u64) -> Self {
        Self::normal(vec![number])
    }

    /// Big-endian without leading zeros; zero is no byte at all.
    pub(super) fn to_be(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len() * 8));
        bytes.extend(self.0.iter().rev().flat_map(|limb| limb.to_be_bytes()).skip_while(|byte| *byte == 0));
        bytes
    }

    pub(super) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 64 - top.leading_zeros() as usize)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_one(&self) -> bool {
        self.0.as_slice() == [1]
    }

    pub(super) fn is_even(&self) -> bool {
        self.0.first().is_none_or(|lowest| lowest & 1 == 0)
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let (long, short) = if self.0.len() >= other.0.len() { (self, other) } else { (other, self) };
        let mut sum = Vec::with_capacity(long.0.len() + 1);
        let mut carry = false;
        for (i, limb) in long.0.iter().enumerate() {
            let (first, over) = limb.overflowing_add(short.0.get(i).copied().unwrap_or(0));
            let (limb, over_again) = first.overflowing_add(u64::from(carry));
            carry = over || over_again;
            sum.push(limb);
        }
        sum.push(u64::from(carry));
        Self::normal(sum)
    }

    /// `None` when `other` is larger.
    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        if *self < *other {
            return None;
        }
        let mut difference = Vec::with_capacity(self.0.len());
        let mut borrow = false;
        for (i, limb) in self.0.iter().enumerate() {
            let (first, under) = limb.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (limb, under_again) = first.overflowing_sub(u64::from(borrow));
            borrow = under || under_again;
            difference.push(limb);
        }
        Some(Self::normal(difference))
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = vec![0; self.0.len() + other.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.iter().enumerate() {
                let sum = u128::from(*a) * u128::from(*b) + u128::from(product[i + j]) + carry;
                product[i + j] = sum as u64;
                carry = sum >> 64;
            }
            product[i + other.0.len()] = carry as u64;
        }
        Self::normal(product)
    }

    /// Quotient and remainder (Knuth, The Art of Computer Programming 2, §4.3.1, algorithm D); `None` when dividing by zero.
    pub(super) fn divided_by(&self, divisor: &Self) -> Option<(Self, Self)> {
        let n = divisor.0.len();
        let top = *divisor.0.last()?;
        if *self < *divisor {
            return Some((Self::from_small(0), self.copy()));
        }
        let shift = top.leading_zeros();
        let v = divisor.shifted_left(shift, n);
        let mut u = self.shifted_left(shift, self.0.len() + 1);
        let mut quotient = vec![0; self.0.len() - n + 1];
        let highest = u128::from(v[n - 1]);
        for j in (0..quotient.len()).rev() {
            let head = (u128::from(u[j + n]) << 64) | u128::from(u[j + n - 1]);
            let (mut guess, mut rest) = (head / highest, head % highest);
            while guess >> 64 != 0 || (n > 1 && guess * u128::from(v[n - 2]) > (rest << 64) | u128::from(u[j + n - 2]))
            {
                guess -= 1;
                rest += highest;
                if rest >> 64 != 0 {
                    break;
                }
            }
            if subtract_multiple(&mut u[j..=j + n], &v, guess as u64) {
                guess -= 1;
                add_back(&mut u[j..=j + n], &v);
            }
            quotient[j] = guess as u64;
        }
        let remainder = (0..n).map(|i| match shift {
            0 => u[i],
            _ => (u[i] >> shift) | (u[i + 1] << (64 - shift)),
        });
        let remainder = Self::normal(remainder.collect());
        Some((Self::normal(quotient), remainder))
    }

    pub(super) fn modulo(&self, modulus: &Self) -> Option<Self> {
        self.divided_by(modulus).map(|(_, remainder)| remainder)
    }

    /// The number that times this one is 1 modulo `modulus`; `None` when they have a common divisor.
    pub(super) fn inverse(&self, modulus: &Self) -> Option<Self> {
        // Extended Euclid. The coefficients alternate in sign, so their sizes and the parity are enough.
        let (mut older, mut newer) = (modulus.copy(), self.modulo(modulus)?);
        let (mut older_factor, mut newer_factor) = (Self::from_small(0), Self::from_small(1));
        let mut newer_is_negative = false;
        while !newer.is_zero() {
            let (quotient, remainder) = older.divided_by(&newer)?;
            let factor = older_factor.plus(&quotient.times(&newer_factor));
            (older, newer) = (newer, remainder);
            (older_factor, newer_factor) = (newer_factor, factor);
            newer_is_negative = !newer_is_negative;
        }
        match (older.is_one(), newer_is_negative) {
            (false, _) => None,
            (true, true) => older_factor.modulo(modulus),
            (true, false) => modulus.minus(&older_factor),
        }
    }

    pub(super) fn greatest_common_divisor(&self, other: &Self) -> Option<Self> {
        let (mut a, mut b) = (self.copy(), other.copy());
        while !b.is_zero() {
            let remainder = a.modulo(&b)?;
            (a, b) = (b, remainder);
        }
        Some(a)
    }

    /// This number to the power of `exponent`, modulo `modulus`.
    pub(super) fn power(&self, exponent: &Self, modulus: &Self) -> Option<Self> {
        let base = self.modulo(modulus)?;
        let mut result = Self::from_small(1).modulo(modulus)?;
        for bit in (0..exponent.bits()).rev() {
            result = result.times(&result).modulo(modulus)?;
            if exponent.0[bit / 64] >> (bit % 64) & 1 == 1 {
                result = result.times(&base).modulo(modulus)?;
            }
        }
        Some(result)
    }

    /// Half of it, rounded down.
    pub(super) fn half(&self) -> Self {
        let limbs = (0..self.0.len()).map(|i| (self.0[i] >> 1) | (self.0.get(i + 1).copied().unwrap_or(0) << 63));
        Self::normal(limbs.collect())
    }

    pub(super) fn copy(&self) -> Self {
        Self(self.0.clone())
    }

    fn shifted_left(&self, shift: u32, limbs: usize) -> Zeroizing<Vec<u64>> {
        let limb = |i: usize| self.0.get(i).copied().unwrap_or(0);
        let shifted = (0..limbs).map(|i| match (shift, i) {
            (0, _) | (_, 0) => limb(i) << shift,
            _ => (limb(i) << shift) | (limb(i - 1) >> (64 - shift)),
        });
        Zeroizing::new(shifted.collect())
    }

    fn normal(limbs: Vec<u64>) -> Self {
        let mut limbs = Zeroizing::new(limbs);
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self(limbs)
    }
}

impl PartialEq for Natural {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())))
    }
}

/// `window -= factor × v`; whether that went below zero.
fn subtract_multiple(window: &mut [u64], v: &[u64], factor: u64) -> bool {
    let (mut carry, mut borrow) = (0, false);
    for (i, limb) in window.iter_mut().enumerate() {
        let product = u128::from(factor) * u128::from(v.get(i).copied().unwrap_or(0)) + carry;
        carry = product >> 64;
        let (first, under) = limb.overflowing_sub(product as u64);
        let (second, under_again) = first.overflowing_sub(u64::from(borrow));
        borrow = under || under_again;
        *limb = second;
    }
    borrow
}

fn add_back(window: &mut [u64], v: &[u64]) {
    let mut carry = false;
    for (i, limb) in window.iter_mut().enumerate() {
        let (first, over) = limb.overflowing_add(v.get(i).copied().unwrap_or(0));
        let (second, over_again) = first.overflowing_add(u64::from(carry));
        carry = over || over_again;
        *limb = second;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(value: u128) -> Natural {
        Natural::from_be(&value.to_be_bytes())
    }

    proptest! {
        #[test]
        fn small_numbers_agree_with_the_machine(a: u64, b: u64, c in 1u128..) {
            prop_assert!(number(u128::from(a)).times(&number(u128::from(b))) == number(u128::from(a) * u128::from(b)));
            prop_assert!(number(u128::from(a)).plus(&number(u128::from(b))) == number(u128::from(a) + u128::from(b)));
            let (q, r) = number(u128::from(a) << 60).divided_by(&number(c)).unwrap();
            prop_assert!(q == number((u128::from(a) << 60) / c) && r == number((u128::from(a) << 60) % c));
        }

        #[test]
        fn division_undoes_multiplication(a in limbs(), b in limbs(), r in limbs()) {
            let (a, b, r) = (Natural::normal(a), Natural::normal(b), Natural::normal(r));
            prop_assume!(!b.is_zero());
            let r = r.modulo(&b).unwrap();
            let (quotient, remainder) = a.times(&b).plus(&r).divided_by(&b).unwrap();
            prop_assert!(quotient == a && remainder == r);
        }

        #[test]
        fn an_inverse_is_one_when_multiplied(a in limbs(), m in limbs()) {
            let (a, m) = (Natural::normal(a), Natural::normal(m));
            prop_assume!(m.bits() > 1);
            let coprime = a.greatest_common_divisor(&m).is_some_and(|divisor| divisor.is_one());
            match a.inverse(&m) {
                Some(inverse) => prop_assert!(inverse < m && a.times(&inverse).modulo(&m).unwrap().is_one()),
                None => prop_assert!(!coprime),
            }
        }

        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let trimmed: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
            prop_assert_eq!(&*Natural::from_be(&bytes).to_be(), &trimmed);
        }
    }

    /// Limbs that make algorithm D correct its guess: all ones, all zeros, single bits.
    fn limbs() -> impl Strategy<Value = Vec<u64>> {
        let limb = prop_oneof![Just(0), Just(u64::MAX), Just(1 << 63), any::<u64>()];
        proptest::collection::vec(limb, 0..6)
    }

    #[test]
    fn powers() {
        let power = |a, e, m| number(a).power(&number(e), &number(m)).unwrap();
        assert!(power(4, 13, 497) == number(445));
        assert!(power(7, 0, 1).is_zero());
        // Fermat, for the prime 2^127 - 1.
        let prime = (1u128 << 127) - 1;
        assert!(power(123_456_789, prime - 1, prime).is_one());
    }

    #[test]
    fn edges() {
        assert!(number(1).minus(&number(2)).is_none());
        assert!(number(2).minus(&number(2)).unwrap().is_zero());
        assert!(number(5).divided_by(&number(0)).is_none());
        assert!(number(5).half() == number(2) && number(1 << 64).half() == number(1 << 63));
        assert_eq!((number(0).bits(), number(1).bits(), number(1 << 64).bits()), (0, 1, 65));
        assert!(number(0).is_even() && !number(3).is_even());
    }
}
