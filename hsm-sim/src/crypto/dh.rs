//! Diffie-Hellman as PKCS#3 has it (PKCS#11 3.1 §6.4), for callers of what is old.
//!
//! Parameters are not searched for: SP 800-56A §5.5.1 has key agreement in published groups only, whose primes everybody
//! can check, and so generation answers with the published group of the size asked for.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    key::{DhGroup, Key},
    mechanism::MechanismInfo,
    params::{ParamKind, Params},
};

const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_DH];
const SIZES: (CK_ULONG, CK_ULONG) = (512, 4096);

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_DH_PKCS_KEY_PAIR_GEN, "DH_PKCS_KEY_PAIR_GEN", KEY_TYPES, SIZES, ParamKind::None)
        .legacy()
        .flags(CKF_GENERATE_KEY_PAIR),
    MechanismInfo::new(CKM_DH_PKCS_PARAMETER_GEN, "DH_PKCS_PARAMETER_GEN", KEY_TYPES, PUBLISHED_SIZES, ParamKind::None)
        .legacy()
        .flags(CKF_GENERATE),
    MechanismInfo::new(CKM_DH_PKCS_DERIVE, "DH_PKCS_DERIVE", KEY_TYPES, SIZES, ParamKind::Bytes)
        .legacy()
        .derives(derive),
];

/// §6.4.6: a shorter key loses bytes from the front of the secret.
fn derive(params: &Params, key: &Key, bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let Params::Data(public) = params else { return Err(CryptoError::MechanismParamInvalid) };
    let Key::DhPrivate(key) = key else { return Err(CryptoError::KeyTypeInconsistent) };
    let length = key.public().group().prime().len();
    if public.is_empty() || public.len() > length {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let mut secret = key.agree(public)?;
    let surplus = length.checked_sub(bytes.unwrap_or(length)).ok_or(CryptoError::KeySizeRange)?;
    secret.drain(..surplus);
    Ok(secret)
}

/// The published group whose prime has so many bits: RFC 2409 §6.2, RFC 3526. Their base is 2.
pub fn published_group(bits: u32) -> Result<DhGroup> {
    let known = PUBLISHED.iter().find(|row| row.0 == bits).ok_or(CryptoError::KeySizeRange)?;
    let digits = known.1.as_bytes();
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    DhGroup::new(&bytes.ok_or(CryptoError::GeneralError)?, &[2])
}

const PUBLISHED_SIZES: (CK_ULONG, CK_ULONG) = (1024, 4096);

/// Each prime is 2ⁿ − 2ⁿ⁻⁶⁴ − 1 + 2⁶⁴ · (⌊2ⁿ⁻¹³⁰ π⌋ + c) with the smallest c that makes it a safe prime.
const PUBLISHED: &[(u32, &str)] = &[
    (
        1024,
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a\
         431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f2411\
         7c4b1fe649286651ece65381ffffffffffffffff",
    ),
    (
        1536,
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a\
         431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f2411\
         7c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed5\
         29077096966d670c354e4abc9804f1746c08ca237327ffffffffffffffff",
    ),
    (
        2048,
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a\
         431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f2411\
         7c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed5\
         29077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9\
         de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff",
    ),
    (
        3072,
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a\
         431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f2411\
         7c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed5\
         29077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9\
         de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458db\
         ef0a8aea71575d060c7db3970f85a6e1e4c7abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d8760273\
         3ec86a64521f2b18177b200cbbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffff\
         ffffffffffff",
    ),
    (
        4096,
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a\
         431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f2411\
         7c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed5\
         29077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9\
         de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458db\
         ef0a8aea71575d060c7db3970f85a6e1e4c7abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d8760273\
         3ec86a64521f2b18177b200cbbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a92108011a72\
         3c12a787e6d788719a10bdba5b2699c327186af4e23c1a946834b6150bda2583e9ca2ad44ce8dbbbc2db04de8ef92e8efc141fbecaa6\
         287c59474e6bc05d99b2964fa090c3a2233ba186515be7ed1f612970cee2d7afb81bdd762170481cd0069127d5b05aa993b4ea988d8f\
         ddc186ffb7dc90a6c08f4df435c934063199ffffffffffffffff",
    ),
];

#[cfg(test)]
mod tests {
    use super::{super::key::DhPrivateKey, *};

    #[test]
    fn published_groups_have_their_size_and_two_sides_agree() {
        for (bits, _) in PUBLISHED {
            let group = published_group(*bits).unwrap();
            assert_eq!(group.bits(), *bits);
            // 2ⁿ − 2ⁿ⁻⁶⁴ at the top, 2⁶⁴ − 1 at the bottom.
            assert!(group.prime().starts_with(&[0xff; 8]) && group.prime().ends_with(&[0xff; 8]));
        }
        assert!(published_group(1025).is_err());
        let group = published_group(1024).unwrap();
        let [one, other] = [None, Some(256)].map(|bits| DhPrivateKey::generate(&group, bits).unwrap());
        assert!(other.bits() <= 256);
        let shared = one.agree(other.public().value()).unwrap();
        assert_eq!(shared, other.agree(one.public().value()).unwrap());
        assert_eq!(shared.len(), 128);
        let take = |bytes| derive(&Params::Data(other.public().value().to_vec()), &Key::DhPrivate(one.clone()), bytes);
        assert_eq!(take(Some(16)).unwrap()[..], shared[112..]);
        assert_eq!(take(Some(129)), Err(CryptoError::KeySizeRange));
    }

    #[test]
    fn a_known_answer_in_a_small_group() {
        // 2⁵²¹ − 1 is a Mersenne prime; the answers are powers of 3 computed with other software.
        let mut prime = vec![0xff; 66];
        prime[0] = 1;
        let group = DhGroup::new(&prime, &[3]).unwrap();
        let key = DhPrivateKey::new(
            group.clone(),
            &[
                0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11,
                0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
            ],
        )
        .unwrap();
        assert_eq!(
            key.public().value(),
            hex(
                "f47af9b9a22b72eead32a4c839dc4f83249d5f539adef485c8faaf75d2f2c722fa4fcff6d8e8053081c7463c2c3a82ebf91d7173b93af4b77261d42b8dc90dee37"
            )
        );
        let peer = DhPrivateKey::new(
            group,
            &[
                0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
                0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
            ],
        )
        .unwrap();
        assert_eq!(
            key.agree(peer.public().value()).unwrap()[..],
            hex(
                "0158b9275b48a1016b0026d03dd8fc08a0d4e8f20fcdb351882cecb4f258fdf0666e6980811510fec5119fb1544a817173bd7f08eb9ad011487a50451bca605a6419"
            )
        );
    }

    #[test]
    fn values_outside_the_group_are_refused() {
        let group = published_group(1024).unwrap();
        let key = DhPrivateKey::generate(&group, None).unwrap();
        let mut last = group.prime().to_vec();
        last[127] -= 1;
        for public in [&[0][..], &[1], &last, group.prime(), &[0xff; 128]] {
            assert_eq!(key.agree(public), Err(CryptoError::PublicKeyInvalid), "{public:02x?}");
        }
        assert!(DhPrivateKey::new(group.clone(), group.prime()).is_err());
        assert!(DhPrivateKey::new(group.clone(), &[]).is_err());
        assert!(DhPrivateKey::generate(&group, Some(8)).is_err());
        assert!(DhGroup::new(group.prime(), &[1]).is_err() && DhGroup::new(&[0xfe; 128], &[2]).is_err());
        assert!(DhGroup::new(&[0xff; 32], &[2]).is_err());
    }

    #[test]
    fn keys_survive_their_encodings() {
        let key = DhPrivateKey::generate(&published_group(1536).unwrap(), None).unwrap();
        let private = Key::DhPrivate(key.clone());
        let Ok(Key::DhPrivate(read)) = Key::from_pkcs8(&private.to_pkcs8().unwrap()) else { panic!("another key") };
        assert_eq!((read.value(), read.public()), (key.value(), key.public()));
        let Ok(Key::DhPublic(read)) = Key::from_spki(&private.to_spki().unwrap()) else { panic!("another key") };
        assert_eq!(&read, key.public());
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }
}
