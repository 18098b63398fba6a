//! The trials of secret keys and of the token as a whole, in the order of the contract's §6.

use cryptoki_sys::*;

use super::{
    Outcome,
    bench::{Bench, Scratch, said},
    keys,
    profile::{Code, Kwp},
};
use crate::{
    crypto::kwp,
    domain::{SecretValue, UsageMask},
    engine::ports::{HsmError, HsmErrorKind},
    hsm::{
        error::{Retry, classify, refused},
        layout::{Attribute, Mechanism, Parameter},
        pool::Class,
        raw::Handle,
        template::{self, Life},
        transfer,
    },
};

type Result<T> = std::result::Result<T, HsmError>;

const CIPHER: UsageMask = UsageMask::ENCRYPT.with(UsageMask::DECRYPT);
const MAC: UsageMask = UsageMask::MAC_GENERATE.with(UsageMask::MAC_VERIFY);
const WRAPPING: UsageMask = UsageMask::WRAP.with(UsageMask::UNWRAP);

/// All of them.
///
/// # Errors
///
/// The token went away.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    sessions(bench);
    imports(bench);
    templates(bench);
    wrapping(bench);
    gcm(bench);
    ciphers(bench);
    macs(bench);
    names(bench);
    longest_secret(bench);
    keys::run(bench);
    bench.check()
}

pub(super) fn unlike(step: &'static str) -> HsmError {
    refused(HsmErrorKind::Internal, step)
}

pub(super) fn wants(is_so: bool, step: &'static str) -> Result<()> {
    if is_so { Ok(()) } else { Err(unlike(step)) }
}

fn sessions(bench: &mut Bench<'_>) {
    let mut first = match bench.open() {
        Ok(seat) => seat,
        Err(fault) => {
            let why = format!("{}; all trials share the only session", said(&fault.into()));
            bench.found("session objects are seen by other sessions", Outcome::Untried, why);
            return;
        }
    };
    let mut scratch = Scratch::new(&mut first);
    let seen = scratch.aes(CIPHER, false).map(|key| {
        let other = bench.trial(|other| Ok(other.seat.session.number(key, CKA_KEY_TYPE)? == CKK_AES));
        matches!(other, Ok(true))
    });
    scratch.clear();
    match seen {
        Ok(true) => {
            bench.shares = true;
            bench.found("session objects are seen by other sessions", Outcome::Yes, "");
        }
        Ok(false) => {
            bench.found("session objects are seen by other sessions", Outcome::No, "they belong to their session");
        }
        Err(error) => bench.found("session objects are seen by other sessions", Outcome::Untried, said(&error)),
    }
    bench.tried("random bytes", |scratch| {
        let (one, other) = (scratch.seat.session.random(32)?, scratch.seat.session.random(32)?);
        wants(*one != *other, "the same 32 bytes twice").map(|()| String::new())
    });
}

fn imports(bench: &mut Bench<'_>) {
    let answer = bench.trial(|scratch| {
        let mut template = template::key(Class::Secret, Life::Session, CIPHER, false);
        template.push(Attribute::number(CKA_KEY_TYPE, CKK_AES));
        template.push(Attribute::bytes(CKA_VALUE, [0; 32]));
        let key = scratch.seat.session.create(&template)?;
        scratch.keep(key);
        let block = scratch.seat.session.encrypt(&Mechanism::plain(CKM_AES_ECB), key, &[0; 16])?;
        // AES-256 of zeros under zeros (FIPS 197 by its inverse of the published GCM case 13: H).
        let known = *b"\xdc\x95\xc0\x78\xa2\x40\x89\x89\xad\x48\xa2\x14\x92\x84\x20\x87";
        wants(*block == known, "the block that AES-256 makes of zeros under a key of zeros").map(|()| String::new())
    });
    bench.facts.clear_import = match &answer {
        Ok(_) => Some(true),
        Err(error) if error.function == "C_CreateObject" && is_lasting(error) => Some(false),
        Err(_) => None,
    };
    bench.note("secret keys in clear (C_CreateObject), AES-256 known answer", answer);
}

/// Whether the answer will be the same the next time.
fn is_lasting(error: &HsmError) -> bool {
    let unsure = [HsmErrorKind::Unavailable, HsmErrorKind::Busy, HsmErrorKind::Full, HsmErrorKind::ObjectMissing];
    error.rv != 0 && classify(error.function, error.rv).retry == Retry::Never && !unsure.contains(&error.kind)
}

fn templates(bench: &mut Bench<'_>) {
    let with = |bench: &mut Bench<'_>, more: Vec<Attribute>| {
        bench.trial(|scratch| {
            scratch.secret((CKM_AES_KEY_GEN, CKK_AES, Some(32)), CIPHER, false, &more).map(|_| String::new())
        })
    };
    let plain = with(bench, Vec::new());
    let copyable = with(bench, vec![Attribute::flag(CKA_COPYABLE, false)]);
    bench.facts.bare_templates = match (&plain, &copyable) {
        (Ok(_), Ok(_)) => Some(false),
        (Ok(_), Err(error)) if is_lasting(error) => Some(true),
        _ => None,
    };
    bench.note("CKA_COPYABLE in templates", copyable);
    bench.tried("sensitive keys keep their value", |scratch| {
        let key = scratch.aes(CIPHER, false)?;
        let [sensitive, extractable] = scratch.seat.session.flags(key, [CKA_SENSITIVE, CKA_EXTRACTABLE])?;
        wants(sensitive && !extractable, "a key that was to be sensitive and not extractable")?;
        match scratch.seat.session.attribute(key, CKA_VALUE, 64) {
            Ok(value) => wants(value.is_empty(), "CKA_VALUE of a sensitive key was given out").map(|()| String::new()),
            Err(_refused) => Ok(String::new()),
        }
    });
    let usual =
        [CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP].into_iter().find(|one| bench.lists(*one));
    let Some(wrap) = usual.map(Mechanism::plain) else { return };
    bench.tried("keys that are not extractable are not wrapped", |scratch| {
        let (kek, key) = (scratch.aes(WRAPPING, false)?, scratch.aes(CIPHER, false)?);
        match scratch.seat.session.wrap(&wrap, kek, key, transfer::BLOB_GUESS) {
            Ok(_) => Err(unlike("the token wrapped a key that is not extractable")),
            Err(fault) => Ok(said(&fault.into())),
        }
    });
    bench.tried("CKA_WRAP_WITH_TRUSTED is obeyed", |scratch| {
        let kek = scratch.aes(WRAPPING, false)?;
        let only_trusted = [Attribute::flag(CKA_WRAP_WITH_TRUSTED, true)];
        let key = scratch.secret((CKM_AES_KEY_GEN, CKK_AES, Some(32)), CIPHER, true, &only_trusted)?;
        match scratch.seat.session.wrap(&wrap, kek, key, transfer::BLOB_GUESS) {
            Ok(_) => Err(unlike("the token wrapped it under a key that nobody trusts")),
            Err(fault) => Ok(said(&fault.into())),
        }
    });
}

fn wrapping(bench: &mut Bench<'_>) {
    let listed: Vec<_> = transfer::KWP.into_iter().filter(|one| bench.lists(*one)).collect();
    let measured = bench.trial(|scratch| transfer::measured_kwp(scratch.seat, &listed));
    match measured {
        Ok(found) => {
            bench.facts.kwp = Some(Kwp {
                mechanism: found.map(|found| Code(found.mechanism)),
                fills: found.is_some_and(|found| found.fills),
            });
            let name = "AES key wrap with padding, opened by the gateway (RFC 5649)";
            match found {
                Some(found) if found.fills => {
                    bench.found(name, Outcome::Yes, format!("{}; fills values with zeros", Code(found.mechanism)));
                }
                Some(found) => bench.found(name, Outcome::Yes, Code(found.mechanism).to_string()),
                None if listed.is_empty() => bench.found(name, Outcome::No, "no such mechanism is listed"),
                None => bench.found(name, Outcome::No, "the listed mechanism is another algorithm"),
            }
        }
        Err(error) => {
            bench.found("AES key wrap with padding, opened by the gateway (RFC 5649)", Outcome::No, said(&error));
        }
    }
    if bench.lists(CKM_AES_KEY_WRAP) {
        bench.tried("AES key wrap (RFC 3394), wrapped and unwrapped", |scratch| {
            let wrap = Mechanism::plain(CKM_AES_KEY_WRAP);
            let (kek, key) = (scratch.aes(WRAPPING, false)?, scratch.aes(CIPHER, true)?);
            let blob = scratch.seat.session.wrap(&wrap, kek, key, transfer::BLOB_GUESS)?;
            wants(blob.len() == 40, "length of the wrapped key")?;
            let back = unwrapped(scratch, &wrap, kek, &blob, (Class::Secret, CKK_AES), CIPHER)?;
            let block = Mechanism::plain(CKM_AES_ECB);
            let one = scratch.seat.session.encrypt(&block, key, &[1; 16])?;
            let other = scratch.seat.session.encrypt(&block, back, &[1; 16])?;
            wants(one == other, "the unwrapped key").map(|()| String::new())
        });
        let answer = bench.trial(|scratch| {
            let kek = scratch.aes(WRAPPING, false)?;
            let wrap = Mechanism::plain(CKM_AES_KEY_WRAP);
            Ok(unwrapped(scratch, &wrap, kek, &[0x5A; 40], (Class::Secret, CKK_AES), CIPHER).err())
        });
        match answer {
            Ok(Some(error)) if error.function == "C_UnwrapKey" => {
                let usual = [HsmErrorKind::BadData, HsmErrorKind::BadParameters, HsmErrorKind::DecryptionFailed];
                bench.facts.unwrap_failure = (!usual.contains(&error.kind)).then_some(Code(error.rv));
                bench.found("blobs that were changed are not unwrapped", Outcome::Yes, said(&error));
            }
            Ok(Some(error)) | Err(error) => {
                bench.found("blobs that were changed are not unwrapped", Outcome::Untried, said(&error));
            }
            Ok(None) => bench.found(
                "blobs that were changed are not unwrapped",
                Outcome::No,
                "40 bytes of nothing became a key",
            ),
        }
    }
    if let Some(Kwp { mechanism: Some(Code(code)), .. }) = bench.facts.kwp {
        bench.tried("private keys come wrapped (PKCS#8, P-256)", |scratch| {
            let der = keys::p256_pkcs8()?;
            let (session, transport) = transfer::transport(scratch.seat)?;
            let blob = kwp::wrap(&transport.key, &der).map_err(|_ours| unlike("key wrap of the gateway"))?;
            let mut template = template::key(Class::Private, Life::Session, UsageMask::SIGN, false);
            template.push(Attribute::number(CKA_KEY_TYPE, CKK_EC));
            let key = session.unwrap(&Mechanism::plain(code), transport.handle, &blob, &template)?;
            scratch.keep(key);
            let signature = scratch.seat.session.sign(&Mechanism::plain(CKM_ECDSA), key, &[7; 32])?;
            wants(signature.len() == 64, "length of its signature").map(|()| String::new())
        });
    }
}

fn unwrapped(
    scratch: &mut Scratch<'_>,
    mechanism: &Mechanism,
    kek: Handle,
    blob: &[u8],
    (class, key_type): (Class, CK_KEY_TYPE),
    usage: UsageMask,
) -> Result<Handle> {
    let mut template = template::key(class, Life::Session, usage, false);
    template.push(Attribute::number(CKA_KEY_TYPE, key_type));
    let handle = scratch.seat.session.unwrap(mechanism, kek, blob, &template)?;
    Ok(scratch.keep(handle))
}

const GCM_IV: [u8; 12] = [0xA5; 12];

fn gcm_of(short: bool, aad: &[u8]) -> Mechanism {
    let parameter = Parameter::Gcm { iv: GCM_IV.to_vec(), aad: aad.to_vec(), tag_bits: 128, short };
    Mechanism { code: CKM_AES_GCM, parameter }
}

fn gcm(bench: &mut Bench<'_>) {
    if !bench.lists(CKM_AES_GCM) {
        return;
    }
    let sealed = |bench: &mut Bench<'_>, short: bool| {
        bench.trial(|scratch| {
            let key = scratch.aes(CIPHER, false)?;
            let (one, own) = scratch.seat.session.encrypt_back(&gcm_of(short, b"aad"), key, &[3; 20])?;
            let (other, _) = scratch.seat.session.encrypt_back(&gcm_of(short, b"aad"), key, &[3; 20])?;
            Ok((own.is_some(), one.len(), one == other))
        })
    };
    let mut short = false;
    let mut answer = sealed(bench, false);
    if matches!(&answer, Err(error) if error.rv == CKR_MECHANISM_PARAM_INVALID || error.rv == CKR_ARGUMENTS_BAD)
        && let Ok(older) = sealed(bench, true)
    {
        (short, answer) = (true, Ok(older));
    }
    let name = "AES-GCM with the caller's IV of 12 bytes";
    match answer {
        Err(error) => {
            bench.found(name, Outcome::No, said(&error));
            return;
        }
        Ok((own, length, same)) => {
            bench.facts.short_gcm = Some(short);
            match (own, length, same) {
                (false, 36, true) => bench.found(name, Outcome::Yes, if short { "older parameters" } else { "" }),
                (true, ..) => bench.found(name, Outcome::No, "the token writes an IV of its own into the parameter"),
                (_, 37.., _) => {
                    let more = length - 36;
                    bench.found(name, Outcome::No, format!("the token appends an IV of its own, {more} bytes"));
                }
                _ => bench.found(name, Outcome::No, "two encryptions under one IV differ"),
            }
        }
    }
    let answer = bench.trial(|scratch| {
        let key = scratch.aes(CIPHER, false)?;
        let (sealed, own) = scratch.seat.session.encrypt_back(&gcm_of(short, b"aad"), key, &[3; 20])?;
        let (mut iv, mut body) = (own.unwrap_or_else(|| GCM_IV.to_vec()), sealed.to_vec());
        if body.len() > 36 {
            iv = body.split_off(36);
        }
        let with = |aad: &[u8]| Mechanism {
            code: CKM_AES_GCM,
            parameter: Parameter::Gcm { iv: iv.clone(), aad: aad.to_vec(), tag_bits: 128, short },
        };
        let back = scratch.seat.session.decrypt(&with(b"aad"), key, &body)?;
        wants(*back == [3; 20], "the decrypted data")?;
        // The last thing on this session: it may not be clean afterwards.
        Ok(scratch.seat.session.decrypt(&with(b"other"), key, &body).err())
    });
    let name = "AES-GCM with additional data; changed ones are refused";
    match answer {
        Ok(Some(fault)) => {
            let error = HsmError::from(fault);
            let is_usual = error.kind == HsmErrorKind::DecryptionFailed;
            bench.facts.decrypt_failure = (!is_usual).then_some(Code(error.rv));
            bench.found(name, Outcome::Yes, said(&error));
        }
        Ok(None) => bench.found(name, Outcome::No, "data decrypted under other additional data"),
        Err(error) => bench.found(name, Outcome::No, said(&error)),
    }
}

/// Name, mechanism, how its key is made, and whether the gateway does without it where it fails.
type Cipher = (&'static str, Mechanism, (CK_MECHANISM_TYPE, CK_KEY_TYPE, Option<CK_ULONG>), bool);

fn cipher_rows() -> Vec<Cipher> {
    let aes = (CKM_AES_KEY_GEN, CKK_AES, Some(32));
    let des = (CKM_DES3_KEY_GEN, CKK_DES3, None);
    let chacha = (CKM_CHACHA20_KEY_GEN, CKK_CHACHA20, None);
    let counter = Parameter::Counter { bits: 128, block: [9; 16] };
    let ccm = Parameter::Ccm { data_bytes: DATA, nonce: vec![9; 12], aad: b"aad".to_vec(), tag_bytes: 16 };
    let poly = Parameter::ChaCha20Poly1305 { nonce: vec![9; 12], aad: b"aad".to_vec() };
    vec![
        ("AES-ECB", Mechanism::plain(CKM_AES_ECB), aes, false),
        ("AES-CBC", Mechanism::with_iv(CKM_AES_CBC, &[9; 16]), aes, false),
        ("AES-CBC with padding", Mechanism::with_iv(CKM_AES_CBC_PAD, &[9; 16]), aes, true),
        ("AES-CTR", Mechanism { code: CKM_AES_CTR, parameter: counter }, aes, true),
        ("AES-CFB128", Mechanism::with_iv(CKM_AES_CFB128, &[9; 16]), aes, true),
        ("AES-OFB", Mechanism::with_iv(CKM_AES_OFB, &[9; 16]), aes, true),
        ("AES-CCM", Mechanism { code: CKM_AES_CCM, parameter: ccm }, aes, true),
        ("AES-XTS", Mechanism::with_iv(CKM_AES_XTS, &[9; 16]), (CKM_AES_XTS_KEY_GEN, CKK_AES_XTS, Some(64)), true),
        ("triple DES CBC", Mechanism::with_iv(CKM_DES3_CBC, &[9; 8]), des, false),
        ("ChaCha20-Poly1305", Mechanism { code: CKM_CHACHA20_POLY1305, parameter: poly }, chacha, false),
    ]
}

const DATA: usize = 48;

fn ciphers(bench: &mut Bench<'_>) {
    for (name, mechanism, key, replaceable) in cipher_rows() {
        if !bench.lists(mechanism.code) {
            continue;
        }
        let code = mechanism.code;
        let answer = bench.trial(|scratch| {
            let key = scratch.secret(key, CIPHER, false, &[])?;
            let sealed = scratch.seat.session.encrypt(&mechanism, key, &[3; DATA])?;
            wants(!sealed.starts_with(&[3; DATA]), "the data came back as they were")?;
            let back = scratch.seat.session.decrypt(&mechanism, key, &sealed)?;
            wants(*back == [3; DATA], "the decrypted data").map(|()| String::new())
        });
        if let Err(error) = &answer
            && replaceable
            && is_lasting(error)
            && !error.function.starts_with("C_Generate")
        {
            bench.facts.unusable.push(Code(code));
        }
        bench.note(&format!("{name}, there and back"), answer);
    }
}

fn macs(bench: &mut Bench<'_>) {
    let generic = (CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, Some(64));
    let rows = [
        ("AES-CMAC", CKM_AES_CMAC, (CKM_AES_KEY_GEN, CKK_AES, Some(32)), 16),
        ("HMAC-SHA-1", CKM_SHA_1_HMAC, generic, 20),
        ("HMAC-SHA-256", CKM_SHA256_HMAC, generic, 32),
        ("HMAC-SHA-384", CKM_SHA384_HMAC, generic, 48),
        ("HMAC-SHA-512", CKM_SHA512_HMAC, generic, 64),
    ];
    for (name, code, key, length) in rows {
        if !bench.lists(code) {
            continue;
        }
        bench.tried(name, |scratch| {
            let key = scratch.secret(key, MAC, false, &[])?;
            let mechanism = Mechanism::plain(code);
            let one = scratch.seat.session.sign(&mechanism, key, b"probe")?;
            let other = scratch.seat.session.sign(&mechanism, key, b"probe")?;
            wants(one.len() == length && one == other, "length of the MAC").map(|()| String::new())
        });
    }
    if bench.lists(CKM_HKDF_DERIVE) {
        let answer = bench.trial(|scratch| {
            let base = scratch.secret(generic, UsageMask::DERIVE.with(UsageMask::KEY_AGREEMENT), false, &[])?;
            let parameter = Parameter::Hkdf { hash: CKM_SHA256, salt: b"salt".to_vec(), info: b"info".to_vec() };
            let mut template = template::key(Class::Secret, Life::Session, MAC, false);
            template.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
            template.push(Attribute::number(CKA_VALUE_LEN, 32));
            let made = scratch.seat.session.derive(&Mechanism { code: CKM_HKDF_DERIVE, parameter }, base, &template)?;
            scratch.keep(made);
            Ok(String::new())
        });
        if let Err(error) = &answer
            && is_lasting(error)
            && error.function == "C_DeriveKey"
        {
            bench.facts.unusable.push(Code(CKM_HKDF_DERIVE));
        }
        bench.note("HKDF", answer);
    }
}

fn names(bench: &mut Bench<'_>) {
    for length in [16_u8, 32] {
        bench.tried(&format!("CKA_ID of {length} bytes"), |scratch| {
            let id: Vec<u8> = (0..length).map(|byte| 0xF0 ^ byte).collect();
            let more = [Attribute::bytes(CKA_ID, id.as_slice())];
            let key = scratch.secret((CKM_AES_KEY_GEN, CKK_AES, Some(32)), CIPHER, false, &more)?;
            let back = scratch.seat.session.attribute(key, CKA_ID, 64)?;
            wants(*back == id, "CKA_ID as it was given").map(|()| String::new())
        });
    }
    bench.tried("CKA_ID and CKA_LABEL can be changed", |scratch| {
        let more = [Attribute::bytes(CKA_ID, [1; 4]), Attribute::bytes(CKA_LABEL, *b"before")];
        let key = scratch.secret((CKM_AES_KEY_GEN, CKK_AES, Some(32)), CIPHER, false, &more)?;
        let after = [Attribute::bytes(CKA_ID, [2; 16]), Attribute::bytes(CKA_LABEL, *b"after")];
        scratch.seat.session.set(key, &after)?;
        let back = scratch.seat.session.attribute(key, CKA_ID, 64)?;
        wants(*back == [2; 16], "CKA_ID as it was set").map(|()| String::new())
    });
}

/// Longest value that is asked for.
const SECRET_MAX: u32 = 4096;

/// By halves: the longest that is taken, if all shorter ones are.
fn longest_secret(bench: &mut Bench<'_>) {
    let clear = bench.facts.clear_import == Some(true);
    let fits = |bench: &mut Bench<'_>, bytes: u32| {
        bench
            .trial(|scratch| {
                if !clear {
                    let key = (CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, Some(bytes.into()));
                    return scratch.secret(key, UsageMask(0), true, &[]).map(drop);
                }
                let value = SecretValue::new(vec![0xC3; usize::try_from(bytes).unwrap_or_default()]);
                let mut template = template::key(Class::Secret, Life::Session, UsageMask(0), true);
                template.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
                #[expect(clippy::disallowed_methods, reason = "the value is the same byte again and again")]
                template.push(Attribute::bytes(CKA_VALUE, value.expose_secret()));
                let key = scratch.seat.session.create(&template)?;
                scratch.keep(key);
                Ok(())
            })
            .is_ok()
    };
    let name = "longest generic secret";
    if !fits(bench, 32) {
        bench.found(name, Outcome::No, "not even 32 bytes");
        return;
    }
    let (mut good, mut bad) = (32, SECRET_MAX + 1);
    if fits(bench, SECRET_MAX) {
        good = SECRET_MAX;
    }
    while good + 1 < bad && good != SECRET_MAX {
        let middle = good.midpoint(bad);
        if fits(bench, middle) { good = middle } else { bad = middle }
    }
    bench.facts.generic_secret_bytes_max = Some(good);
    let more = if good == SECRET_MAX { " or more" } else { "" };
    bench.found(name, Outcome::Yes, format!("{good} bytes{more}"));
}
