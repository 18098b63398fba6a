//! The two forms of an ECDSA signature: DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3) and r‖s of fixed width, as PKCS#11 gives it.

use der::{Sequence, asn1::UintRef};

use super::{Error, asn1};
use crate::domain::algorithm::Curve;

const SIGNATURE: &str = "ECDSA signature";

#[derive(Sequence)]
struct SigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// From r‖s, each as wide as the curve's field, to DER.
///
/// # Errors
///
/// `Malformed` for another length, or where r or s is zero.
pub fn to_der(curve: Curve, fixed: &[u8]) -> Result<Vec<u8>, Error> {
    let (r, s) = fixed
        .split_at_checked(curve.bytes())
        .filter(|(_, s)| s.len() == curve.bytes())
        .ok_or(Error::malformed(SIGNATURE))?;
    let refused = |cause| Error::Malformed { what: SIGNATURE, cause: Some(cause) };
    if is_zero(r) || is_zero(s) {
        return Err(Error::malformed(SIGNATURE));
    }
    let value = SigValue { r: UintRef::new(r).map_err(refused)?, s: UintRef::new(s).map_err(refused)? };
    Ok(std::mem::take(&mut *asn1::encode(SIGNATURE, &value)?))
}

/// From DER to r‖s. Strict: no BER, no negative or padded numbers, nothing after the structure.
///
/// # Errors
///
/// `Malformed` for anything else, for numbers wider than the curve, and where r or s is zero.
pub fn to_fixed(curve: Curve, der: &[u8]) -> Result<Vec<u8>, Error> {
    let value: SigValue<'_> = asn1::decode(SIGNATURE, der)?;
    let mut fixed = Vec::with_capacity(2 * curve.bytes());
    for number in [value.r.as_bytes(), value.s.as_bytes()] {
        let padding =
            curve.bytes().checked_sub(number.len()).filter(|_| !is_zero(number)).ok_or(Error::malformed(SIGNATURE))?;
        fixed.resize(fixed.len() + padding, 0);
        fixed.extend_from_slice(number);
    }
    Ok(fixed)
}

fn is_zero(number: &[u8]) -> bool {
    number.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_numbers() {
        for curve in Curve::ALL {
            let width = curve.bytes();
            for (first, second) in [(0x01, 0xFF), (0x80, 0x00), (0x00, 0x7F)] {
                let mut fixed = vec![first; width];
                fixed.extend(vec![second; width - 1]);
                fixed.push(1);
                if first == 0 {
                    fixed[width - 1] = 0x80;
                }
                let der = to_der(curve, &fixed).unwrap();
                assert_eq!(to_fixed(curve, &der).unwrap(), fixed);
            }
        }
    }

    #[test]
    fn known_form() {
        let mut fixed = vec![0; 64];
        (fixed[31], fixed[63]) = (0x80, 0x01);
        assert_eq!(to_der(Curve::P256, &fixed).unwrap(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
    }

    #[test]
    fn anything_else_is_refused() {
        let refused: &[&[u8]] = &[
            &[],
            &[0x30],
            &[0x30, 0],
            &[0x30, 6, 2, 1, 1, 2, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 6, 2, 1, 0x80, 2, 1, 1],
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 1],
            &[0x30, 6, 2, 1, 0, 2, 1, 1],
            &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],
            &[0x30, 5, 2, 0, 2, 1, 1],
            &[0x31, 6, 2, 1, 1, 2, 1, 1],
        ];
        for der in refused {
            assert!(matches!(to_fixed(Curve::P256, der), Err(Error::Malformed { .. })), "{der:02x?}");
        }
        let wide = [&[0x30, 38, 2, 33][..], &[1; 33], &[2, 1, 1]].concat();
        assert!(to_fixed(Curve::P256, &wide).is_err());
        assert!(to_fixed(Curve::P384, &wide).is_ok());
        for fixed in [&[][..], &[1; 63], &[1; 65], &[0; 64]] {
            assert!(matches!(to_der(Curve::P256, fixed), Err(Error::Malformed { .. })));
        }
    }
}
