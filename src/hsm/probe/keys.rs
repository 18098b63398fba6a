//! The trials of key pairs: RSA with its paddings, elliptic curves, Ed25519.

use cryptoki_sys::*;

use super::{
    Outcome,
    bench::{Attempt, Bench, Pair, Scratch},
    trials::{unlike, wants},
};
use crate::{
    crypto::{hash, keys::EcPrivate},
    domain::{
        SecretValue, UsageMask,
        algorithm::{Curve, HashingAlgorithm},
    },
    engine::ports::HsmError,
    hsm::{
        layout::{Attribute, Mechanism, Parameter},
        pool::Class,
        template::{self, Life},
        transfer,
    },
};

type Result<T> = std::result::Result<T, HsmError>;

pub(super) fn run(bench: &mut Bench<'_>) {
    oaep_wraps(bench);
    rsa(bench);
    curves(bench);
    edwards(bench);
}

/// The PKCS#8 form of a private key that is the same each time: nobody's.
pub(super) fn p256_pkcs8() -> Result<SecretValue> {
    EcPrivate::from_scalar(Curve::P256, &SecretValue::new(vec![0x17; 32]), None)
        .and_then(|key| key.to_pkcs8())
        .map_err(|_ours| unlike("a P-256 key of the gateway"))
}

/// Hash as OAEP and PSS name it: word, hash, mask function, length of the digest.
type HashRow = (&'static str, CK_MECHANISM_TYPE, CK_RSA_PKCS_MGF_TYPE, u32);

const HASHES: [HashRow; 4] = [
    ("SHA-1", CKM_SHA_1, CKG_MGF1_SHA1, 20),
    ("SHA-256", CKM_SHA256, CKG_MGF1_SHA256, 32),
    ("SHA-384", CKM_SHA384, CKG_MGF1_SHA384, 48),
    ("SHA-512", CKM_SHA512, CKG_MGF1_SHA512, 64),
];

fn oaep(hash: CK_MECHANISM_TYPE, mgf: CK_RSA_PKCS_MGF_TYPE, label: &[u8]) -> Mechanism {
    Mechanism { code: CKM_RSA_PKCS_OAEP, parameter: Parameter::Oaep { hash, mgf, label: label.to_vec() } }
}

/// A sensitive key under a public key that comes from outside: how the gateway's transport keys leave.
fn oaep_wraps(bench: &mut Bench<'_>) {
    if !bench.lists(CKM_RSA_PKCS_OAEP) {
        return;
    }
    for (word, hash, mgf, _) in HASHES.into_iter().take(2) {
        bench.tried(&format!("a sensitive key is wrapped by RSA-OAEP, {word}"), |scratch| {
            let pair = transfer::pair()?;
            let mut public = template::key(Class::Public, Life::Session, UsageMask::WRAP, false);
            public.extend([
                Attribute::number(CKA_KEY_TYPE, CKK_RSA),
                Attribute::bytes(CKA_MODULUS, pair.public().n()),
                Attribute::bytes(CKA_PUBLIC_EXPONENT, pair.public().e()),
            ]);
            let public = scratch.seat.session.create(&public)?;
            scratch.keep(public);
            let key = scratch.aes(UsageMask::WRAP, true)?;
            let blob = scratch.seat.session.wrap(&oaep(hash, mgf, &[]), public, key, 512)?;
            wants(blob.len() == pair.public().n().len(), "length of the wrapped key").map(|()| String::new())
        });
    }
}

fn attempt(name: String, run: impl Fn(&mut Scratch<'_>, Pair) -> Result<String> + 'static) -> Attempt {
    Attempt { name, run: Box::new(run) }
}

/// Encrypted by the public half, decrypted by the private one.
fn both_ways(scratch: &mut Scratch<'_>, (public, private): Pair, mechanism: &Mechanism, data: &[u8]) -> Result<String> {
    let sealed = scratch.seat.session.encrypt(mechanism, public, data)?;
    let back = scratch.seat.session.decrypt(mechanism, private, &sealed)?;
    wants(back.ends_with(data), "the decrypted data").map(|()| String::new())
}

fn rsa(bench: &mut Bench<'_>) {
    if !bench.lists(CKM_RSA_PKCS_KEY_PAIR_GEN) {
        return;
    }
    let mut attempts = Vec::new();
    if bench.lists(CKM_RSA_PKCS) {
        attempts.push(attempt("RSA PKCS#1 v1.5 signature over DigestInfo".into(), |scratch, (public, private)| {
            let info = hash::digest_info(HashingAlgorithm::SHA_256, &hash::sha256(b"probe"))
                .map_err(|_ours| unlike("DigestInfo of the gateway"))?;
            let mechanism = Mechanism::plain(CKM_RSA_PKCS);
            let signature = scratch.seat.session.sign(&mechanism, private, &info)?;
            let holds = scratch.seat.session.verify(&mechanism, public, &info, &signature)?;
            wants(holds && signature.len() == 256, "the signature").map(|()| String::new())
        }));
        attempts.push(attempt("RSA PKCS#1 v1.5 encryption".into(), |scratch, pair| {
            both_ways(scratch, pair, &Mechanism::plain(CKM_RSA_PKCS), b"probe")
        }));
    }
    if bench.lists(CKM_RSA_PKCS_PSS) {
        for (word, hash, mgf, bytes) in HASHES {
            // As long as the digest, empty, and the longest that fits (RFC 8017 §9.1.1).
            for salt in [bytes, 0, 256 - bytes - 2] {
                attempts.push(attempt(format!("RSA-PSS, {word}, salt of {salt} bytes"), move |scratch, pair| {
                    let (public, private) = pair;
                    let parameter = Parameter::Pss { hash, mgf, salt };
                    let mechanism = Mechanism { code: CKM_RSA_PKCS_PSS, parameter };
                    let digest = vec![7; usize::try_from(bytes).unwrap_or_default()];
                    let signature = scratch.seat.session.sign(&mechanism, private, &digest)?;
                    let holds = scratch.seat.session.verify(&mechanism, public, &digest, &signature)?;
                    wants(holds, "the signature").map(|()| String::new())
                }));
            }
        }
    }
    if bench.lists(CKM_RSA_PKCS_OAEP) {
        for (word, hash, mgf, _) in HASHES {
            attempts.push(attempt(format!("RSA-OAEP, {word}"), move |scratch, pair| {
                both_ways(scratch, pair, &oaep(hash, mgf, &[]), b"probe")
            }));
        }
        attempts.push(attempt("RSA-OAEP, SHA-256, masks by SHA-1".into(), |scratch, pair| {
            both_ways(scratch, pair, &oaep(CKM_SHA256, CKG_MGF1_SHA1, &[]), b"probe")
        }));
        attempts.push(attempt("RSA-OAEP, SHA-256, with a label".into(), |scratch, pair| {
            both_ways(scratch, pair, &oaep(CKM_SHA256, CKG_MGF1_SHA256, b"label"), b"probe")
        }));
    }
    if bench.lists(CKM_RSA_X_509) {
        attempts.push(attempt("RSA without padding".into(), |scratch, pair| {
            let mut block = vec![0; 256];
            block.iter_mut().skip(200).for_each(|byte| *byte = 5);
            both_ways(scratch, pair, &Mechanism::plain(CKM_RSA_X_509), &block)
        }));
    }
    let usage = (UsageMask::ENCRYPT.with(UsageMask::VERIFY), UsageMask::DECRYPT.with(UsageMask::SIGN));
    bench.with_pair(
        "RSA pair of 2048 bits",
        |scratch| {
            let bits = Attribute::number(CKA_MODULUS_BITS, 2048);
            let exponent = Attribute::bytes(CKA_PUBLIC_EXPONENT, [1, 0, 1]);
            scratch.pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &[bits, exponent], usage).map(|pair| (pair, String::new()))
        },
        attempts,
    );
}

fn curves(bench: &mut Bench<'_>) {
    if !bench.lists(CKM_EC_KEY_PAIR_GEN) {
        return;
    }
    for curve in Curve::ALL {
        let mut attempts = Vec::new();
        if bench.lists(CKM_ECDSA) {
            attempts.push(attempt(format!("ECDSA, {curve:?}"), move |scratch, (public, private)| {
                let mechanism = Mechanism::plain(CKM_ECDSA);
                let signature = scratch.seat.session.sign(&mechanism, private, &[7; 20])?;
                let holds = scratch.seat.session.verify(&mechanism, public, &[7; 20], &signature)?;
                wants(holds && signature.len() == 2 * curve.bytes(), "the signature").map(|()| String::new())
            }));
        }
        bench.with_pair(
            &format!("pair of {curve:?}"),
            |scratch| {
                let parameters = transfer::ec_parameters(curve)?;
                let pair = scratch.pair(CKM_EC_KEY_PAIR_GEN, &[parameters], (UsageMask::VERIFY, UsageMask::SIGN))?;
                let point = scratch.seat.session.attribute(pair.0, CKA_EC_POINT, 256)?;
                Ok((pair, encoding(&point, 1 + 2 * curve.bytes())?))
            },
            attempts,
        );
    }
    if bench.lists(CKM_ECDH1_DERIVE) {
        bench.tried("ECDH, P256", |scratch| {
            let parameters = transfer::ec_parameters(Curve::P256)?;
            let agreement = UsageMask::DERIVE.with(UsageMask::KEY_AGREEMENT);
            let (public, private) = scratch.pair(CKM_EC_KEY_PAIR_GEN, &[parameters], (UsageMask(0), agreement))?;
            let point = scratch.seat.session.attribute(public, CKA_EC_POINT, 256)?;
            let point = transfer::ec_point(&point, 65).to_vec();
            let mut template = template::key(Class::Secret, Life::Session, UsageMask::MAC_GENERATE, true);
            template.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
            template.push(Attribute::number(CKA_VALUE_LEN, 32));
            let mechanism = Mechanism { code: CKM_ECDH1_DERIVE, parameter: Parameter::Ecdh { point } };
            let secret = scratch.seat.session.derive(&mechanism, private, &template)?;
            scratch.keep(secret);
            Ok(String::new())
        });
    }
}

/// How the point is given out.
fn encoding(point: &[u8], length: usize) -> Result<String> {
    let how = match point {
        _ if point.len() == length => "CKA_EC_POINT is raw",
        [0x04, ..] if point.len() > length => "CKA_EC_POINT is an OCTET STRING",
        [0x03, ..] if point.len() > length => "CKA_EC_POINT is a BIT STRING",
        _ => return Err(unlike("length of CKA_EC_POINT")),
    };
    Ok(how.to_owned())
}

fn edwards(bench: &mut Bench<'_>) {
    if !bench.lists(CKM_EC_EDWARDS_KEY_PAIR_GEN) {
        return;
    }
    let forms = [
        (false, "pair of Ed25519, named by its object identifier", transfer::edwards_by_oid()),
        (true, "pair of Ed25519, named by a PrintableString", transfer::edwards_by_name()),
    ];
    for (by_name, name, parameters) in forms {
        let before = bench.findings.len();
        let attempts = vec![attempt("Ed25519 signature".into(), |scratch, (public, private)| {
            let mechanism = Mechanism::plain(CKM_EDDSA);
            let signature = scratch.seat.session.sign(&mechanism, private, b"probe")?;
            let holds = scratch.seat.session.verify(&mechanism, public, b"probe", &signature)?;
            wants(holds && signature.len() == 64, "the signature").map(|()| String::new())
        })];
        bench.with_pair(
            name,
            |scratch| {
                let usage = (UsageMask::VERIFY, UsageMask::SIGN);
                let pair = scratch.pair(CKM_EC_EDWARDS_KEY_PAIR_GEN, &[parameters], usage)?;
                let point = scratch.seat.session.attribute(pair.0, CKA_EC_POINT, 64)?;
                Ok((pair, encoding(&point, 32)?))
            },
            attempts,
        );
        let made = bench.findings.iter().skip(before).any(|one| one.name == name && one.outcome == Outcome::Yes);
        if made {
            bench.facts.edwards_by_name = Some(by_name);
            return;
        }
    }
}
