//! EME-OAEP (RFC 8017 §7.1) around a bare RSA operation, for tokens that know one hash only: the key works inside the token, the
//! padding is done here.
//!
//! Taking the padding off tells nothing of where it was wrong, and looks at every byte whatever it finds (Manger's attack).

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};
use zeroize::Zeroizing;

use super::{Error, hash};
use crate::domain::algorithm::HashingAlgorithm;

const WHAT: &str = "OAEP";

/// The hashes and the label.
#[derive(Clone, Debug)]
pub struct Oaep {
    /// Hash of the label.
    pub hash: HashingAlgorithm,
    /// Hash of the mask generation function MGF1.
    pub mask: HashingAlgorithm,
    /// The label.
    pub label: Vec<u8>,
}

impl Oaep {
    /// How many random bytes a message needs: as many as the hash has.
    ///
    /// # Errors
    ///
    /// `Unsupported` for another hash.
    pub fn seed_bytes(&self) -> Result<usize, Error> {
        hash::digest_bytes(self.hash).ok_or(Error::Unsupported("the hash of this padding"))
    }

    /// The encoded message for a modulus of so many bytes.
    ///
    /// # Errors
    ///
    /// `Malformed` for a message that is too long, or a seed of another length; `Unsupported` for another hash.
    pub fn pad(&self, message: &[u8], seed: &[u8], modulus: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        let label = hash::digest(self.hash, &self.label)?;
        let room = modulus.checked_sub(2 * label.len() + 2).ok_or(Error::malformed(WHAT))?;
        if message.len() > room || seed.len() != label.len() {
            return Err(Error::malformed(WHAT));
        }
        let mut block = Zeroizing::new(Vec::with_capacity(modulus - label.len() - 1));
        block.extend_from_slice(&label);
        block.resize(label.len() + room - message.len(), 0);
        block.push(1);
        block.extend_from_slice(message);
        let mut seed = Zeroizing::new(seed.to_vec());
        self.mask(&mut block, &seed)?;
        self.mask(&mut seed, &block)?;
        let mut encoded = Zeroizing::new(Vec::with_capacity(modulus));
        encoded.push(0);
        encoded.extend_from_slice(&seed);
        encoded.extend_from_slice(&block);
        Ok(encoded)
    }

    /// The message within what a bare RSA decryption gave, as long as the modulus.
    ///
    /// # Errors
    ///
    /// `Unopened` for anything that is wrong with it; `Unsupported` for another hash.
    pub fn unpad(&self, encoded: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let label = hash::digest(self.hash, &self.label)?;
        if encoded.len() < 2 * label.len() + 2 {
            return Err(Error::Unopened);
        }
        let (first, rest) = encoded.split_first().ok_or(Error::Unopened)?;
        let (seed, block) = rest.split_at(label.len());
        let mut seed = Zeroizing::new(seed.to_vec());
        let mut block = Zeroizing::new(block.to_vec());
        self.mask(&mut seed, &block)?;
        self.mask(&mut block, &seed)?;
        let (found, padded) = block.split_at(label.len());
        let mut good = first.ct_eq(&0) & found.ct_eq(&label);
        let (mut looking, mut at) = (Choice::from(1), 0_u32);
        for (place, byte) in (0_u32..).zip(padded) {
            let one = byte.ct_eq(&1);
            at.conditional_assign(&place, looking & one);
            good &= !(looking & !one & !byte.ct_eq(&0));
            looking &= !one;
        }
        good &= !looking;
        // Keeps the index within what there is, also where it means nothing.
        let length = u32::try_from(padded.len()).map_err(|_too_long| Error::Unopened)?;
        good &= at.ct_lt(&length);
        if !bool::from(good) {
            return Err(Error::Unopened);
        }
        let begin = usize::try_from(at).map_err(|_cannot| Error::Unopened)?;
        Ok(Zeroizing::new(padded.get(begin + 1..).unwrap_or_default().to_vec()))
    }

    /// MGF1 (RFC 8017 §B.2.1) of `seed`, laid over `block`.
    fn mask(&self, block: &mut [u8], seed: &[u8]) -> Result<(), Error> {
        let width = hash::digest_bytes(self.mask).ok_or(Error::Unsupported("the hash of this mask"))?;
        let mut input = Zeroizing::new(seed.to_vec());
        input.extend([0; 4]);
        for (count, chunk) in (0_u32..).zip(block.chunks_mut(width)) {
            let begin = seed.len();
            input.get_mut(begin..).ok_or(Error::Failed(WHAT))?.copy_from_slice(&count.to_be_bytes());
            let mask = Zeroizing::new(hash::digest(self.mask, &input)?);
            chunk.iter_mut().zip(mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oaep(hash: HashingAlgorithm, mask: HashingAlgorithm, label: &[u8]) -> Oaep {
        Oaep { hash, mask, label: label.to_vec() }
    }

    const PAIRS: &[(HashingAlgorithm, HashingAlgorithm)] = &[
        (HashingAlgorithm::SHA_1, HashingAlgorithm::SHA_1),
        (HashingAlgorithm::SHA_256, HashingAlgorithm::SHA_1),
        (HashingAlgorithm::SHA_256, HashingAlgorithm::SHA_512),
        (HashingAlgorithm::SHA_512, HashingAlgorithm::SHA_256),
    ];

    #[test]
    fn what_was_padded_comes_back_and_nothing_else_does() {
        for (hash, mask) in PAIRS {
            let padding = oaep(*hash, *mask, b"label");
            let seed = vec![9; padding.seed_bytes().unwrap()];
            let room = 256 - 2 * seed.len() - 2;
            for length in [0, 1, 16, room] {
                let message = vec![1; length];
                let encoded = padding.pad(&message, &seed, 256).unwrap();
                assert_eq!((encoded.len(), encoded[0]), (256, 0));
                assert_eq!(*padding.unpad(&encoded).unwrap(), message);
                let other = oaep(*hash, *mask, b"another label");
                assert_eq!(other.unpad(&encoded).unwrap_err(), Error::Unopened);
                for place in 0..256 {
                    let mut wrong = encoded.clone();
                    wrong[place] ^= 0x80;
                    let found = padding.unpad(&wrong);
                    // A changed byte of the message itself, and of nothing else, goes unnoticed without the rest.
                    assert!(found.as_ref().map_or(true, |found| **found != message), "{hash:?} {mask:?} {place}");
                }
            }
            assert!(padding.pad(&vec![1; room + 1], &seed, 256).is_err());
            assert!(padding.pad(b"", &seed[1..], 256).is_err());
            assert!(padding.pad(b"", &seed, 2 * seed.len() + 1).is_err());
            assert_eq!(padding.unpad(&[0; 40]).unwrap_err(), Error::Unopened);
        }
    }
}
