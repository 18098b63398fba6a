//! Encodings written by another tool come back byte for byte; what is damaged or contradictory is refused.

use std::num::NonZeroU32;

use super::*;
use crate::domain::algorithm::Curve;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/vectors/keys/", $name, ".pem")).as_slice()
    };
}

fn secret(bytes: &[u8]) -> SecretValue {
    SecretValue::new(bytes.to_vec())
}

fn der(text: &[u8]) -> SecretValue {
    pem::decode(text).unwrap().der
}

type Pair = (&'static [u8], &'static [u8], &'static [u8], u32);

/// Each private key in its two encodings, its public half and its length.
const PAIRS: &[Pair] = &[
    (vector!("rsa2048.pkcs8"), vector!("rsa2048.pkcs1"), vector!("rsa2048.spki"), 2048),
    (vector!("p256.pkcs8"), vector!("p256.sec1"), vector!("p256.spki"), 256),
    (vector!("p384.pkcs8"), vector!("p384.sec1"), vector!("p384.spki"), 384),
    (vector!("p521.pkcs8"), vector!("p521.sec1"), vector!("p521.spki"), 521),
    (vector!("secp256k1.pkcs8"), vector!("secp256k1.sec1"), vector!("secp256k1.spki"), 256),
];

#[test]
fn every_encoding_of_a_private_key_leads_to_every_other() {
    for (pkcs8, traditional, spki, bits) in PAIRS {
        for text in [pkcs8, traditional] {
            for form in [secret(text), der(text)] {
                let key = PrivateKey::parse(&form).unwrap();
                assert_eq!(key.bits(), *bits);
                assert_eq!(bytes(&key.to_pem().unwrap()), *pkcs8);
                assert_eq!(key.public().unwrap().to_pem().unwrap().as_bytes(), *spki);
                let again = match &key {
                    PrivateKey::Rsa(key) => key.to_pkcs1(),
                    PrivateKey::Ec(key) => key.to_sec1(),
                    PrivateKey::Ed25519(key) => key.to_pkcs8(),
                };
                assert!(again.unwrap().matches(&der(traditional)));
            }
        }
        let public = PublicKey::parse(spki).unwrap();
        assert_eq!((public.bits(), PublicKey::parse(bytes(&der(spki))).unwrap()), (*bits, public));
    }
}

#[test]
fn rsa_public_keys_also_travel_as_pkcs1() {
    let PublicKey::Rsa(key) = PublicKey::parse(vector!("rsa2048.pkcs1-public")).unwrap() else { panic!() };
    assert_eq!(key.to_pkcs1().unwrap(), bytes(&der(vector!("rsa2048.pkcs1-public"))));
    assert_eq!(key.to_spki().unwrap(), bytes(&der(vector!("rsa2048.spki"))));
    assert_eq!(RsaPublic::from_numbers(&[&[0, 0], key.n()].concat(), &[0, 1, 0, 1]).unwrap(), key);
    assert_eq!(PublicKey::parse_secret(&der(vector!("rsa2048.pkcs1-public"))).unwrap(), PublicKey::Rsa(key));
}

#[test]
fn ed25519_as_in_rfc_8410() {
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let key = PrivateKey::parse(&secret(PRIVATE.as_bytes())).unwrap();
    assert_eq!((key.algorithm(), key.bits()), (CryptographicAlgorithm::ED25519, 256));
    assert_eq!(bytes(&key.to_pem().unwrap()), PRIVATE.as_bytes());
    assert_eq!(key.public().unwrap().to_pem().unwrap(), PUBLIC);
    assert_eq!(PublicKey::parse(PUBLIC.as_bytes()).unwrap(), key.public().unwrap());
    let PrivateKey::Ed25519(key) = key else { panic!() };
    let again = Ed25519Private::from_seed(secret(bytes(key.seed()))).unwrap();
    assert!(again.to_pkcs8().unwrap().matches(&key.to_pkcs8().unwrap()));
    assert!(Ed25519Private::from_seed(secret(&[1; 31])).is_err());
    assert!(Ed25519Public::from_bytes(&[1; 33]).is_err());
}

#[test]
fn an_ec_key_is_its_scalar() {
    for (curve, pkcs8) in [
        (Curve::P256, vector!("p256.pkcs8")),
        (Curve::P384, vector!("p384.pkcs8")),
        (Curve::P521, vector!("p521.pkcs8")),
        (Curve::Secp256k1, vector!("secp256k1.pkcs8")),
    ] {
        let PrivateKey::Ec(key) = PrivateKey::parse(&secret(pkcs8)).unwrap() else { panic!() };
        assert_eq!((key.curve(), key.scalar().len()), (curve, curve.bytes()));
        let wide = [&[0, 0], bytes(key.scalar())].concat();
        let again = EcPrivate::from_scalar(curve, &secret(&wide), Some(key.public().point())).unwrap();
        assert!(again.to_pkcs8().unwrap().matches(&key.to_pkcs8().unwrap()));
        let one = EcPrivate::from_scalar(curve, &secret(&[1]), None).unwrap();
        assert_eq!(one.scalar().len(), curve.bytes());
        assert_eq!(
            EcPrivate::from_scalar(curve, &secret(&[1]), Some(key.public().point())).unwrap_err(),
            Error::Inconsistent("EC private key")
        );
        for bad in [vec![], vec![0; 32], vec![0xFF; curve.bytes()], vec![1; curve.bytes() + 1]] {
            assert_eq!(
                EcPrivate::from_scalar(curve, &secret(&bad), None).unwrap_err(),
                Error::malformed("EC private key")
            );
        }
        assert_eq!(curve_from_parameters(&curve_parameters(curve).unwrap()), Ok(curve));
        let mut off_curve = key.public().point().to_vec();
        *off_curve.last_mut().unwrap() ^= 1;
        for bad in [&off_curve[..], &off_curve[1..], &[], &[4], &[0]] {
            assert_eq!(EcPublic::from_point(curve, bad), Err(Error::malformed("EC public key")));
        }
    }
    assert_eq!(
        curve_from_parameters(&[]).unwrap_err(),
        Error::Malformed { what: "EC parameters", cause: asn1_cause(&[]) }
    );
}

fn asn1_cause(input: &[u8]) -> Option<der::Error> {
    match asn1::decode::<der::asn1::ObjectIdentifier>("", input) {
        Err(Error::Malformed { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_this_gateway_does_not_know_is_named_so() {
    for text in [vector!("brainpool256.pkcs8"), vector!("p256.aes256")] {
        assert!(matches!(PrivateKey::parse(&secret(text)), Err(Error::Unsupported(_))));
    }
    for text in [vector!("brainpool256.spki"), vector!("p256.compressed")] {
        assert!(matches!(PublicKey::parse(text), Err(Error::Unsupported(_))));
    }
    // A public key is no private key, and the other way round; a certificate is neither.
    for text in
        [vector!("p256.spki"), vector!("rsa2048.spki"), vector!("rsa2048.pkcs1-public"), vector!("rsa2048.certificate")]
    {
        assert!(matches!(PrivateKey::parse(&secret(text)), Err(Error::Malformed { .. })));
        assert!(matches!(PrivateKey::parse(&der(text)), Err(Error::Malformed { .. })));
    }
    for text in [vector!("p256.pkcs8"), vector!("p256.sec1"), vector!("rsa2048.pkcs1"), vector!("rsa2048.certificate")]
    {
        assert!(matches!(PublicKey::parse(text), Err(Error::Malformed { .. })));
        assert!(PublicKey::parse_secret(&der(text)).is_err());
    }
}

#[test]
fn cut_or_lengthened_keys_are_refused() {
    let private = [vector!("p256.pkcs8"), vector!("p256.sec1"), vector!("rsa1024.pkcs8"), vector!("rsa2048.pkcs1")];
    for whole in private.map(der) {
        let whole = bytes(&whole);
        for length in 0..whole.len() {
            assert!(matches!(PrivateKey::parse(&secret(&whole[..length])), Err(Error::Malformed { .. })), "{length}");
        }
        assert!(PrivateKey::parse(&secret(&[whole, &[0]].concat())).is_err());
    }
    for whole in [vector!("p256.spki"), vector!("rsa2048.spki"), vector!("rsa2048.pkcs1-public")].map(der) {
        let whole = bytes(&whole);
        for length in 0..whole.len() {
            assert!(matches!(PublicKey::parse(&whole[..length]), Err(Error::Malformed { .. })), "{length}");
        }
        assert!(PublicKey::parse(&[whole, &[0]].concat()).is_err());
    }
}

#[test]
fn no_changed_byte_is_taken_for_another_key_or_panics() {
    for text in [vector!("p256.pkcs8"), vector!("rsa1024.pkcs8"), vector!("p521.sec1")] {
        let whole = der(text);
        for position in 0..whole.len() {
            for change in [0x01, 0x80] {
                let mut changed = bytes(&whole).to_vec();
                changed[position] ^= change;
                // All numbers are bound to each other, so whatever parses says the same as before.
                if let Ok(key) = PrivateKey::parse(&secret(&changed)) {
                    let original = PrivateKey::parse(&whole).unwrap();
                    assert!(
                        key.to_pkcs8().unwrap().matches(&original.to_pkcs8().unwrap()),
                        "byte {position} ^ {change:#x}"
                    );
                }
            }
        }
    }
}

mod rsa_parts {
    use super::*;

    fn parts() -> RsaParts {
        let PrivateKey::Rsa(key) = PrivateKey::parse(&secret(vector!("rsa1024.pkcs8"))).unwrap() else { panic!() };
        key.into_parts()
    }

    fn completed(parts: &RsaParts) -> Result<SecretValue, Error> {
        RsaPrivate::from_parts(parts)?.to_pkcs8()
    }

    /// Tools choose d modulo λ(n) or modulo φ(n), and either factor as p: the modulus and a working d are what counts.
    fn assert_equivalent(some: &RsaParts) {
        let original = RsaPrivate::from_parts(&parts()).unwrap();
        let key = RsaPrivate::from_parts(some).unwrap();
        assert_eq!(key.public(), original.public());
        let factors = [bytes(key.p()), bytes(key.q())];
        assert!(factors.contains(&bytes(original.p())) && factors.contains(&bytes(original.q())));
        assert!(PrivateKey::from_pkcs8(&key.to_pkcs8().unwrap()).is_ok());
    }

    #[test]
    fn missing_numbers_are_computed() {
        let whole = completed(&parts()).unwrap();
        let without_crt = RsaParts { dp: None, dq: None, qinv: None, ..parts() };
        assert!(completed(&without_crt).unwrap().matches(&whole));
        assert!(completed(&RsaParts { n: None, ..parts() }).unwrap().matches(&whole));
        assert!(completed(&RsaParts { e: None, ..parts() }).unwrap().matches(&whole));
        assert!(completed(&RsaParts { p: None, ..parts() }).unwrap().matches(&whole));
        assert!(completed(&RsaParts { q: None, ..parts() }).unwrap().matches(&whole));
        assert_equivalent(&RsaParts { d: None, ..parts() });
        assert_equivalent(&RsaParts { d: None, e: None, ..parts() });
        assert_equivalent(&RsaParts { d: None, e: None, n: None, qinv: None, ..parts() });
        assert_equivalent(&RsaParts { p: None, q: None, dp: None, dq: None, qinv: None, ..parts() });
    }

    #[test]
    fn too_few_numbers_are_named_so() {
        for few in [
            RsaParts::default(),
            RsaParts { n: None, p: None, ..parts() },
            RsaParts { p: None, q: None, e: None, ..parts() },
            RsaParts { p: None, q: None, d: None, ..parts() },
            RsaParts { d: None, e: None, dp: None, ..parts() },
        ] {
            assert!(matches!(RsaPrivate::from_parts(&few), Err(Error::Unsupported(_))), "{few:?}");
        }
    }

    #[test]
    fn contradicting_numbers_are_refused() {
        let changed = |part: Option<SecretValue>| {
            let mut changed = bytes(&part.unwrap()).to_vec();
            *changed.last_mut().unwrap() ^= 2;
            Some(SecretValue::new(changed))
        };
        let other_n = || {
            let mut n = parts().n.unwrap();
            *n.last_mut().unwrap() ^= 2;
            Some(n)
        };
        let crt_less = || RsaParts { dp: None, dq: None, qinv: None, ..parts() };
        for wrong in [
            RsaParts { n: other_n(), ..parts() },
            RsaParts { e: Some(vec![3]), ..parts() },
            RsaParts { e: Some(vec![2]), ..parts() },
            RsaParts { e: Some(vec![1]), ..parts() },
            RsaParts { d: changed(parts().d), ..parts() },
            RsaParts { p: changed(parts().p), ..parts() },
            RsaParts { p: changed(parts().p), q: None, ..parts() },
            RsaParts { q: parts().p, n: None, ..crt_less() },
            RsaParts { dp: changed(parts().dp), ..parts() },
            RsaParts { dq: changed(parts().dq), ..parts() },
            RsaParts { qinv: changed(parts().qinv), ..parts() },
            RsaParts { p: parts().q, q: parts().p, ..parts() },
            RsaParts { d: changed(parts().d), p: None, q: None, ..crt_less() },
            RsaParts { n: other_n(), p: None, q: None, ..crt_less() },
            RsaParts { p: Some(secret(&[1])), q: parts().n.map(SecretValue::new), ..crt_less() },
        ] {
            assert_eq!(
                RsaPrivate::from_parts(&wrong).unwrap_err(),
                Error::Inconsistent("RSA private key"),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn absurd_lengths_are_refused_before_computing() {
        let huge = || vec![0xFF; 100_000];
        for wrong in [
            RsaParts { n: Some(huge()), ..parts() },
            RsaParts { e: Some(vec![0xFF; 33]), ..parts() },
            RsaParts { d: Some(SecretValue::new(huge())), ..parts() },
            RsaParts { q: Some(SecretValue::new(huge())), ..parts() },
            RsaParts { p: Some(secret(&[0])), ..parts() },
            RsaParts {
                n: None,
                p: Some(secret(&[7])),
                q: Some(secret(&[11])),
                ..RsaParts { e: Some(vec![7]), ..RsaParts::default() }
            },
        ] {
            assert!(matches!(RsaPrivate::from_parts(&wrong), Err(Error::Unsupported(_))), "{wrong:?}");
        }
        assert!(matches!(RsaPublic::from_numbers(&[0xFF; 32], &[3]), Err(Error::Unsupported(_))));
        assert!(matches!(RsaPublic::from_numbers(&huge(), &[3]), Err(Error::Unsupported(_))));
        assert!(matches!(RsaPublic::from_numbers(&[0xFE; 128], &[3]), Err(Error::Malformed { .. })));
        assert!(matches!(RsaPublic::from_numbers(&[0xFF; 128], &[1]), Err(Error::Malformed { .. })));
        assert!(matches!(RsaPublic::from_numbers(&[0xFF; 128], &[]), Err(Error::Malformed { .. })));
    }
}

mod passphrase {
    use super::*;

    const FEW_ROUNDS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

    #[test]
    fn what_another_tool_sealed_opens() {
        let plain = der(vector!("p256.pkcs8"));
        for text in [vector!("p256.aes256"), vector!("p256.aes128-sha1")] {
            for sealed in [text.to_vec(), bytes(&der(text)).to_vec()] {
                let key = pbes2::open(&sealed, &secret(b"passphrase")).unwrap();
                assert!(key.to_pkcs8().unwrap().matches(&plain));
                for wrong in ["Passphrase", "x"] {
                    assert_eq!(pbes2::open(&sealed, &secret(wrong.as_bytes())).unwrap_err(), Error::WrongPassphrase);
                }
                assert_eq!(pbes2::open(&sealed, &secret(b"")).unwrap_err(), Error::malformed("passphrase"));
            }
        }
    }

    #[test]
    fn what_is_sealed_opens_again() {
        for text in [vector!("rsa2048.pkcs8"), vector!("p521.pkcs8")] {
            let key = PrivateKey::parse(&secret(text)).unwrap();
            let sealed = pbes2::seal_pem(&key, &secret(b"geheim"), FEW_ROUNDS, &[9; 32]).unwrap();
            assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
            let opened = pbes2::open(sealed.as_bytes(), &secret(b"geheim")).unwrap();
            assert_eq!(bytes(&opened.to_pem().unwrap()), text);
            assert!(pbes2::seal(&key, &secret(b""), FEW_ROUNDS, &[9; 32]).is_err());
        }
    }

    #[test]
    fn damage_never_opens_and_never_panics() {
        let key = PrivateKey::parse(&secret(vector!("p256.pkcs8"))).unwrap();
        let sealed = pbes2::seal(&key, &secret(b"geheim"), FEW_ROUNDS, &[9; 32]).unwrap();
        for length in 0..sealed.len() {
            assert!(matches!(pbes2::open(&sealed[..length], &secret(b"geheim")), Err(Error::Malformed { .. })));
        }
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 0x10;
            assert!(pbes2::open(&changed, &secret(b"geheim")).is_err(), "{position}");
        }
        assert!(matches!(pbes2::open(&[&sealed[..], &[0]].concat(), &secret(b"geheim")), Err(Error::Malformed { .. })));
    }

    #[test]
    fn other_schemes_and_endless_rounds_are_refused() {
        assert!(matches!(pbes2::open(vector!("p256.scrypt"), &secret(b"passphrase")), Err(Error::Unsupported(_))));
        assert!(matches!(pbes2::open(vector!("p256.pkcs8"), &secret(b"passphrase")), Err(Error::Malformed { .. })));
        let key = PrivateKey::parse(&secret(vector!("p256.pkcs8"))).unwrap();
        let sealed = pbes2::seal(&key, &secret(b"geheim"), NonZeroU32::new(0x0012_3456).unwrap(), &[9; 32]).unwrap();
        let rounds = sealed.windows(3).position(|window| window == [0x12, 0x34, 0x56]).unwrap();
        let mut endless = sealed;
        endless[rounds] = 0x7F;
        let too_many = Error::Unsupported("an encrypted private key with that many rounds");
        assert_eq!(pbes2::open(&endless, &secret(b"geheim")).unwrap_err(), too_many);
    }
}
