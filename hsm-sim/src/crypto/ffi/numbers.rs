//! Curves that the library has no name for, from their numbers.

use std::ptr;

use aws_lc_sys as sys;

use super::{Owned, ok};
use crate::crypto::{
    error::{CryptoError, Result},
    key::Curve,
};

/// The prime, a, b, the base point's coordinates and its order, which is also the number of points.
const NUMBERS: &[(Curve, [&str; 6])] = &[
    // SEC 2 §2.2.2, version 1
    (
        Curve::P192,
        [
            "fffffffffffffffffffffffffffffffeffffffffffffffff",
            "fffffffffffffffffffffffffffffffefffffffffffffffc",
            "64210519e59c80e70fa7e9ab72243049feb8deecc146b9b1",
            "188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012",
            "07192b95ffc8da78631011ed6b24cdd573f977a11e794811",
            "ffffffffffffffffffffffff99def836146bc9b1b4d22831",
        ],
    ),
    // RFC 5639 §3.3
    (
        Curve::BrainpoolP224r1,
        [
            "d7c134aa264366862a18302575d1d787b09f075797da89f57ec8c0ff",
            "68a5e62ca9ce6c1c299803a6c1530b514e182ad8b0042a59cad29f43",
            "2580f63ccfe44138870713b1a92369e33e2135d266dbb372386c400b",
            "0d9029ad2c7e5cf4340823b2a87dc68c9e4ce3174c1e6efdee12c07d",
            "58aa56f772c0726f24c6b89e4ecdac24354b9e99caa3f6d3761402cd",
            "d7c134aa264366862a18302575d0fb98d116bc4b6ddebca3a5a7939f",
        ],
    ),
    // RFC 5639 §3.4
    (
        Curve::BrainpoolP256r1,
        [
            "a9fb57dba1eea9bc3e660a909d838d726e3bf623d52620282013481d1f6e5377",
            "7d5a0975fc2c3057eef67530417affe7fb8055c126dc5c6ce94a4b44f330b5d9",
            "26dc5c6ce94a4b44f330b5d9bbd77cbf958416295cf7e1ce6bccdc18ff8c07b6",
            "8bd2aeb9cb7e57cb2c4b482ffc81b7afb9de27e1e3bd23c23a4453bd9ace3262",
            "547ef835c3dac4fd97f8461a14611dc9c27745132ded8e545c1d54c72f046997",
            "a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7",
        ],
    ),
    // RFC 5639 §3.5
    (
        Curve::BrainpoolP320r1,
        [
            "d35e472036bc4fb7e13c785ed201e065f98fcfa6f6f40def4f92b9ec7893ec28fcd412b1f1b32e27",
            "3ee30b568fbab0f883ccebd46d3f3bb8a2a73513f5eb79da66190eb085ffa9f492f375a97d860eb4",
            "520883949dfdbc42d3ad198640688a6fe13f41349554b49acc31dccd884539816f5eb4ac8fb1f1a6",
            "43bd7e9afb53d8b85289bcc48ee5bfe6f20137d10a087eb6e7871e2a10a599c710af8d0d39e20611",
            "14fdd05545ec1cc8ab4093247f77275e0743ffed117182eaa9c77877aaac6ac7d35245d1692e8ee1",
            "d35e472036bc4fb7e13c785ed201e065f98fcfa5b68f12a32d482ec7ee8658e98691555b44c59311",
        ],
    ),
    // RFC 5639 §3.6
    (
        Curve::BrainpoolP384r1,
        [
            "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b412b1da197fb71123acd3a729901d1a71874700133107ec53",
            "7bc382c63d8c150c3c72080ace05afa0c2bea28e4fb22787139165efba91f90f8aa5814a503ad4eb04a8c7dd22ce2826",
            "04a8c7dd22ce28268b39b55416f0447c2fb77de107dcd2a62e880ea53eeb62d57cb4390295dbc9943ab78696fa504c11",
            "1d1c64f068cf45ffa2a63a81b7c13f6b8847a3e77ef14fe3db7fcafe0cbd10e8e826e03436d646aaef87b2e247d4af1e",
            "8abe1d7520f9c2a45cb1eb8e95cfd55262b70b29feec5864e19c054ff99129280e4646217791811142820341263c5315",
            "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b31f166e6cac0425a7cf3ab6af6b7fc3103b883202e9046565",
        ],
    ),
    // RFC 5639 §3.7
    (
        Curve::BrainpoolP512r1,
        [
            "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca703308717d4d9b009bc66842aecda12ae6a380e6\
             2881ff2f2d82c68528aa6056583a48f3",
            "7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b5\
             7f1117a72bf2c7b9e7c1ac4d77fc94ca",
            "3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94cadc083e67\
             984050b75ebae5dd2809bd638016f723",
            "81aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098eff3b1f78e2d0d48d50d1687b93b97d5f\
             7c6d5047406a5e688b352209bcb9f822",
            "7dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111b2dcde494a5f485e5bca4bd88a2763ae\
             d1ca2b2fa8f0540678cd1e0f3ad80892",
            "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870553e5c414ca92619418661197fac1047\
             1db1d381085ddaddb58796829ca90069",
        ],
    ),
];

/// The group of a curve, if it is one of these.
pub(super) fn group(curve: Curve) -> Option<Result<Owned<sys::EC_GROUP>>> {
    NUMBERS.iter().find(|row| row.0 == curve).map(|row| build(&row.1))
}

fn build(numbers: &[&str; 6]) -> Result<Owned<sys::EC_GROUP>> {
    let [prime, a, b, x, y, order] = numbers.map(|digits| Owned::from_bytes(&bytes(digits)?));
    let (prime, a, b, x, y, order) = (prime?, a?, b?, x?, y?, order?);
    // SAFETY: the numbers are live; the group is ours.
    let group =
        unsafe { Owned::new(sys::EC_GROUP_new_curve_GFp(prime.as_ptr(), a.as_ptr(), b.as_ptr(), ptr::null_mut())) }?;
    // SAFETY: the group is live and the point is ours; `BN_value_one` is static.
    unsafe {
        let generator = Owned::new(sys::EC_POINT_new(group.as_ptr()))?;
        ok(sys::EC_POINT_set_affine_coordinates_GFp(
            group.as_ptr(),
            generator.as_mut_ptr(),
            x.as_ptr(),
            y.as_ptr(),
            ptr::null_mut(),
        ))?;
        ok(sys::EC_GROUP_set_generator(group.as_mut_ptr(), generator.as_ptr(), order.as_ptr(), sys::BN_value_one()))?;
    }
    Ok(group)
}

fn bytes(digits: &str) -> Result<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    bytes.ok_or(CryptoError::GeneralError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_their_field_and_make_a_group() {
        for (curve, numbers) in NUMBERS {
            assert!(numbers.iter().all(|digits| digits.len() == 2 * curve.field_bytes()), "{curve:?}");
            assert!(group(*curve).unwrap().is_ok(), "{curve:?}");
        }
        assert!(group(Curve::P256).is_none());
    }
}
