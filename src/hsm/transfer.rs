//! Values into and out of a token.
//!
//! Out: the token generates an AES key, wraps it by OAEP under this process's RSA key, and from then on wraps what is asked for
//! under that AES key (RFC 5649); it is opened here in zeroised memory. The AES key is a session object: it lives as long as the
//! session, an hour at most. In: `C_CreateObject` where the token takes keys in clear, else the same wrapping the other way.
//! Data objects are read and written as they are; the session to the token is all that protects those on the way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cryptoki_sys::*;
use parking_lot::Mutex;

use super::{
    capability::KeyWrap,
    error::{Retry, classify, refused},
    home::Session,
    layout::{Attribute, Mechanism, Parameter},
    pool::{Class, Link, Seat},
    raw::{Fault, Handle},
    template::{self, Life},
};
use crate::{
    crypto::{
        self,
        keys::{EcPublic, Ed25519Public, PrivateKey, PublicKey, RsaPrivate, RsaPublic, curve_parameters},
        kwp,
        transport::{OaepHash, TransportPair},
    },
    domain::{SecretValue, UsageMask, algorithm::Curve, reference::KeyKind},
    engine::ports::{HsmError, HsmErrorKind},
};

/// How long a transport key is used.
const LIFETIME: Duration = Duration::from_secs(3600);
/// RFC 5649 by the number of PKCS#11 3.1, then by the older one, whose meaning has to be tried out (contract §5.1).
pub(super) const KWP: [CK_MECHANISM_TYPE; 2] = [CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD];
/// Longer than every key we import or make; longer blobs name their length.
pub(super) const BLOB_GUESS: usize = 8192;
/// Longer than a wrapped key of a cipher, of which XTS has the longest: 64 bytes. The guess is a buffer to be wiped.
const CIPHER_GUESS: usize = 128;
/// Longer than a wrapped private key of an elliptic curve as PKCS#8.
const CURVE_GUESS: usize = 512;

/// A length that is enough for the wrapped value of a key of this kind.
const fn guess(kind: KeyKind) -> usize {
    match kind {
        KeyKind::Aes | KeyKind::AesXts | KeyKind::TripleDes | KeyKind::ChaCha20 => CIPHER_GUESS,
        KeyKind::EcPrivate(_) | KeyKind::Ed25519Private => CURVE_GUESS,
        KeyKind::Generic | KeyKind::RsaPrivate | KeyKind::RsaPublic | KeyKind::EcPublic(_) | KeyKind::Ed25519Public => {
            BLOB_GUESS
        }
    }
}

const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2B, 0x65, 0x70];
const ED25519_NAME: &[u8] = b"\x13\x0Cedwards25519";

/// The key under which values cross, known to the token and to us.
pub(super) struct Transport {
    pub(super) handle: Handle,
    pub(super) key: SecretValue,
    born: Instant,
}

/// The process's RSA pair, made anew every hour.
static PAIR: Mutex<Option<(Instant, Arc<TransportPair>)>> = Mutex::new(None);

/// Makes the pair before it is wanted, because that may take a second.
pub(super) fn prepare() {
    if let Err(error) = pair() {
        tracing::error!(%error, "no transport pair");
    }
}

pub(super) fn pair() -> Result<Arc<TransportPair>, HsmError> {
    let mut slot = PAIR.lock();
    if let Some((born, pair)) = &*slot
        && born.elapsed() < LIFETIME
    {
        return Ok(Arc::clone(pair));
    }
    let pair = Arc::new(TransportPair::generate().map_err(|error| ours("transport pair", &error))?);
    *slot = Some((Instant::now(), Arc::clone(&pair)));
    Ok(pair)
}

/// A failure of our own cryptography where the token's answer or the client's value cannot be to blame.
fn ours(step: &'static str, error: &crypto::Error) -> HsmError {
    tracing::error!(step, %error, "cryptography of the gateway");
    refused(HsmErrorKind::Internal, step)
}

/// The client's value is not what its kind says.
fn unfit(error: &crypto::Error) -> HsmError {
    tracing::debug!(%error, "a value was not taken");
    let kind = match error {
        crypto::Error::Unsupported(_) => HsmErrorKind::Unsupported,
        _ => HsmErrorKind::BadData,
    };
    refused(kind, "value")
}

/// Gives the value of a secret key out.
pub(super) fn reveal(link: &Link, seat: &mut Seat, object: Handle, kind: KeyKind) -> Result<SecretValue, HsmError> {
    let (value, fills) = unwrapped(link, seat, object, guess(kind))?;
    // Keys of ciphers need no filling, and those of triple DES have no `CKA_VALUE_LEN`.
    if !fills || kind != KeyKind::Generic {
        return Ok(value);
    }
    match seat.session.number(object, CKA_VALUE_LEN)? {
        // SoftHSM2 does not know it of what it has unwrapped itself. A value that ends in something else than zero was not
        // filled; of any other nobody can tell.
        0 if exposed(&value).last().is_some_and(|last| *last != 0) => Ok(value),
        0 => Err(refused(HsmErrorKind::Unsupported, "the length of a value that the token has unwrapped")),
        length => cut(value, usize::try_from(length).ok()),
    }
}

/// Gives a secret value out whose length is known.
pub(super) fn reveal_of_length(
    link: &Link,
    seat: &mut Seat,
    object: Handle,
    length: usize,
) -> Result<SecretValue, HsmError> {
    let (value, _) = unwrapped(link, seat, object, BLOB_GUESS)?;
    cut(value, Some(length))
}

/// Gives a private key out as PKCS#8, in one canonical encoding for elliptic curves, where tokens differ.
pub(super) fn reveal_private(
    link: &Link,
    seat: &mut Seat,
    object: Handle,
    kind: KeyKind,
) -> Result<SecretValue, HsmError> {
    let (mut der, fills) = unwrapped(link, seat, object, guess(kind))?;
    if fills {
        let length = der_length(exposed(&der));
        der = cut(der, length)?;
    }
    match kind {
        // RSA has one encoding only, and checking its numbers again costs more than wrapping them.
        KeyKind::RsaPrivate => Ok(der),
        _ => PrivateKey::from_pkcs8(&der)
            .and_then(|key| key.to_pkcs8())
            .map_err(|error| ours("PKCS#8 of the token", &error)),
    }
}

#[expect(clippy::disallowed_methods, reason = "its length is read, or it goes into a template")]
fn exposed(value: &SecretValue) -> &[u8] {
    value.expose_secret()
}

/// The value as the token wrapped it, and whether it may end in zeros that are not its own.
fn unwrapped(link: &Link, seat: &mut Seat, object: Handle, guess: usize) -> Result<(SecretValue, bool), HsmError> {
    let KeyWrap { mechanism, fills } = kwp(link, seat)?;
    let (session, transport) = transport(seat)?;
    let blob = session.wrap(&Mechanism::plain(mechanism), transport.handle, object, guess).map_err(|fault| {
        let error = HsmError::from(fault);
        match error.kind {
            // The transport key may wrap, so it is the other key that may not be wrapped: so kryoptic answers for private keys.
            HsmErrorKind::NotPermitted => HsmError { kind: HsmErrorKind::NotExtractable, ..error },
            _ => error,
        }
    })?;
    let value = kwp::unwrap(&transport.key, &blob).map_err(|error| ours("C_WrapKey", &error))?;
    Ok((value, fills))
}

/// Takes off the zeros that a token added.
fn cut(value: SecretValue, length: Option<usize>) -> Result<SecretValue, HsmError> {
    let bytes = exposed(&value);
    match length.and_then(|length| bytes.split_at_checked(length)) {
        Some((_, [])) => Ok(value),
        Some((own, added)) if added.len() < 8 && added.iter().all(|byte| *byte == 0) => {
            Ok(SecretValue::new(own.to_vec()))
        }
        _ => Err(refused(HsmErrorKind::Internal, "length of the wrapped value")),
    }
}

/// How long the DER structure is that these bytes begin with.
fn der_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, short @ ..=0x7F, ..] => Some(2 + usize::from(*short)),
        [_, 0x81, one, ..] => Some(3 + usize::from(*one)),
        [_, 0x82, one, two, ..] => Some(4 + usize::from(u16::from_be_bytes([*one, *two]))),
        _ => None,
    }
}

/// Refuses to wrap for a client what this token would fill with zeros first: the client would unwrap another value.
pub(super) fn check_padding(link: &Link, seat: &mut Seat, object: Handle, kind: KeyKind) -> Result<(), HsmError> {
    if !kwp(link, seat)?.fills
        || matches!(kind, KeyKind::Aes | KeyKind::AesXts | KeyKind::TripleDes | KeyKind::ChaCha20)
    {
        return Ok(());
    }
    let length = if kind.is_private() {
        der_length(exposed(&unwrapped(link, seat, object, BLOB_GUESS)?.0))
    } else {
        usize::try_from(seat.session.number(object, CKA_VALUE_LEN)?).ok()
    };
    if length.is_some_and(|length| length % 8 == 0) {
        Ok(())
    } else {
        Err(refused(HsmErrorKind::Unsupported, "AES key wrap with padding of this length"))
    }
}

/// Gives a public key out as SubjectPublicKeyInfo.
pub(super) fn reveal_public(seat: &mut Seat, object: Handle, kind: KeyKind) -> Result<Vec<u8>, HsmError> {
    let spki = match kind {
        KeyKind::RsaPublic | KeyKind::RsaPrivate => {
            let n = seat.session.attribute(object, CKA_MODULUS, 1024)?;
            let e = seat.session.attribute(object, CKA_PUBLIC_EXPONENT, 16)?;
            RsaPublic::from_numbers(&n, &e).and_then(|key| key.to_spki())
        }
        KeyKind::EcPublic(curve) | KeyKind::EcPrivate(curve) => {
            let point = seat.session.attribute(object, CKA_EC_POINT, 256)?;
            let point = ec_point(&point, 1 + 2 * curve.bytes());
            EcPublic::from_point(curve, point).and_then(|key| key.to_spki())
        }
        KeyKind::Ed25519Public | KeyKind::Ed25519Private => {
            let point = seat.session.attribute(object, CKA_EC_POINT, 64)?;
            Ed25519Public::from_bytes(ec_point(&point, 32)).and_then(|key| key.to_spki())
        }
        KeyKind::Aes | KeyKind::AesXts | KeyKind::TripleDes | KeyKind::ChaCha20 | KeyKind::Generic => {
            return Err(refused(HsmErrorKind::BadParameters, "public key"));
        }
    };
    spki.map_err(|error| ours("public key of the token", &error))
}

/// The point itself: modules give it raw, in an OCTET STRING or in a BIT STRING (contract §4.3). Its length tells which.
pub(super) fn ec_point(attribute: &[u8], length: usize) -> &[u8] {
    match attribute.len().checked_sub(length) {
        Some(header) => attribute.get(header..).unwrap_or_default(),
        None => attribute,
    }
}

/// The session and its transport key, made when there is none. Both at once: who wraps under it opens under the same one, even
/// when its hour ends between the two.
pub(super) fn transport(seat: &mut Seat) -> Result<(&mut Session, &Transport), HsmError> {
    if seat.transport.as_ref().is_none_or(|transport| transport.born.elapsed() >= LIFETIME) {
        if let Some(old) = seat.transport.take() {
            seat.session.destroy(old.handle)?;
        }
        seat.transport = Some(establish(seat)?);
    }
    let Seat { session, transport, .. } = seat;
    Ok((session, transport.as_ref().ok_or_else(|| refused(HsmErrorKind::Internal, "transport"))?))
}

fn establish(seat: &mut Seat) -> Result<Transport, HsmError> {
    let pair = pair()?;
    let usage = UsageMask::WRAP.with(UsageMask::UNWRAP);
    let mut public = template::key(Class::Public, Life::Session, UsageMask::WRAP, false);
    public.extend([
        Attribute::number(CKA_KEY_TYPE, CKK_RSA),
        Attribute::bytes(CKA_MODULUS, pair.public().n()),
        Attribute::bytes(CKA_PUBLIC_EXPONENT, pair.public().e()),
    ]);
    let public = seat.session.create(&public)?;
    let mut secret = template::key(Class::Secret, Life::Session, usage, true);
    secret.push(Attribute::number(CKA_KEY_TYPE, CKK_AES));
    secret.push(Attribute::number(CKA_VALUE_LEN, kwp::KEK_BYTES as CK_ULONG));
    let handle = seat.session.generate(&Mechanism::plain(CKM_AES_KEY_GEN), &secret)?;
    let hashes = [(OaepHash::Sha256, CKM_SHA256, CKG_MGF1_SHA256), (OaepHash::Sha1, CKM_SHA_1, CKG_MGF1_SHA1)];
    let mut last = refused(HsmErrorKind::Unsupported, "transport");
    for (oaep, hash, mgf) in hashes {
        let parameter = Parameter::Oaep { hash, mgf, label: Vec::new() };
        let mechanism = Mechanism { code: CKM_RSA_PKCS_OAEP, parameter };
        match seat.session.wrap(&mechanism, public, handle, 512) {
            Ok(blob) => {
                seat.session.destroy(public)?;
                let key = pair.open(&blob, oaep).map_err(|error| ours("transport key", &error))?;
                return Ok(Transport { handle, key, born: Instant::now() });
            }
            // A module that knows one hash only says so in many ways.
            Err(fault) => last = fault.into(),
        }
    }
    seat.session.destroy(public)?;
    seat.session.destroy(handle)?;
    Err(last)
}

/// How this token really wraps as RFC 5649 says, found by wrapping throw-away keys of 24 and of 21 bytes once.
pub(super) fn kwp(link: &Link, seat: &mut Seat) -> Result<KeyWrap, HsmError> {
    let unsupported = || refused(HsmErrorKind::Unsupported, "AES key wrap with padding");
    if let Some(known) = link.capability.kwp.get() {
        return known.ok_or_else(unsupported);
    }
    let listed: Vec<_> = KWP.into_iter().filter(|mechanism| link.capability.offers(*mechanism)).collect();
    let found = measured_kwp(seat, &listed)?;
    let _first = link.capability.kwp.set(found);
    found.ok_or_else(unsupported)
}

/// Which of these mechanisms is RFC 5649, by what it makes of throw-away keys.
pub(super) fn measured_kwp(seat: &mut Seat, listed: &[CK_MECHANISM_TYPE]) -> Result<Option<KeyWrap>, HsmError> {
    for mechanism in listed.iter().copied() {
        let even = probe_wrap(seat, mechanism, CKM_AES_KEY_GEN, CKK_AES, 24)?;
        if even != Some(24) {
            tracing::warn!(mechanism, "this mechanism of the token does not wrap as RFC 5649 says; it is not used");
            continue;
        }
        let odd = probe_wrap(seat, mechanism, CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, 21)?;
        return Ok(Some(KeyWrap { mechanism, fills: odd != Some(21) }));
    }
    Ok(None)
}

/// The length that comes out when a key of `bytes` bytes is wrapped; `None` when what comes out is not RFC 5649.
fn probe_wrap(
    seat: &mut Seat,
    wrap: CK_MECHANISM_TYPE,
    generate: CK_MECHANISM_TYPE,
    key_type: CK_KEY_TYPE,
    bytes: CK_ULONG,
) -> Result<Option<usize>, HsmError> {
    let mut probe = template::key(Class::Secret, Life::Session, UsageMask(0), true);
    probe.push(Attribute::number(CKA_KEY_TYPE, key_type));
    probe.push(Attribute::number(CKA_VALUE_LEN, bytes));
    let (session, transport) = transport(seat)?;
    let probe = session.generate(&Mechanism::plain(generate), &probe)?;
    let wrapped = believed(|| session.wrap(&Mechanism::plain(wrap), transport.handle, probe, 64));
    session.destroy(probe)?;
    match wrapped? {
        Ok(blob) => Ok(kwp::unwrap(&transport.key, &blob).ok().map(|value| value.len())),
        Err(error) => {
            tracing::debug!(mechanism = wrap, rv = error.rv, "probe of key wrap");
            Ok(None)
        }
    }
}

/// The answer to a probe, to be remembered for as long as the token stays. What says nothing of the token's abilities is no
/// answer but the outer error; what may be a passing fault is asked once more.
fn believed<T>(mut probe: impl FnMut() -> Result<T, Fault>) -> Result<Result<T, HsmError>, HsmError> {
    let passing = |fault: &Fault| classify(fault.function, fault.rv).retry != Retry::Never;
    let answer = probe().or_else(|fault| if passing(&fault) { probe() } else { Err(fault) });
    match answer.map_err(HsmError::from) {
        Err(error) => match error.kind {
            HsmErrorKind::Unavailable | HsmErrorKind::Busy | HsmErrorKind::Full | HsmErrorKind::ObjectMissing => {
                Err(error)
            }
            _ => Ok(Err(error)),
        },
        Ok(value) => Ok(Ok(value)),
    }
}

/// The same secret value as a key of this session of another kind: HMAC takes no AES key, and XTS only keys of its own.
/// The value crosses under the transport key from the token to the token and is opened nowhere else.
pub(super) fn as_other(
    link: &Link,
    seat: &mut Seat,
    object: Handle,
    key_type: CK_KEY_TYPE,
    usage: UsageMask,
) -> Result<Handle, HsmError> {
    let mechanism = Mechanism::plain(kwp(link, seat)?.mechanism);
    let transport = transport(seat)?.1.handle;
    let blob = seat.session.wrap(&mechanism, transport, object, BLOB_GUESS)?;
    let mut template = template::key(Class::Secret, Life::Session, usage, false);
    template.push(Attribute::number(CKA_KEY_TYPE, key_type));
    Ok(seat.session.unwrap(&mechanism, transport, &blob, &template)?)
}

/// Whether the token may be able to give wrapped values out at all, by its list.
pub(super) fn can_wrap(link: &Link) -> bool {
    match link.capability.kwp.get() {
        Some(found) => found.is_some(),
        None => KWP.iter().any(|mechanism| link.capability.offers(*mechanism)),
    }
}

/// A key to take in: its own attributes, and what is wrapped where the token takes nothing in clear.
pub(super) struct Import {
    /// `CKA_KEY_TYPE` and everything that stands in the clear template.
    clear: Vec<Attribute>,
    /// `CKA_KEY_TYPE` alone: the value comes wrapped.
    wrapped: Vec<Attribute>,
    /// A public key, which no token wants wrapped.
    public: bool,
}

/// Checks a value and takes it apart.
pub(super) fn import(link: &Link, kind: KeyKind, value: &SecretValue) -> Result<Import, HsmError> {
    let bytes = exposed(value);
    if kind == KeyKind::TripleDes && !link.capability.offers(CKM_DES3_ECB) && !link.capability.offers(CKM_DES3_CBC) {
        return Err(refused(HsmErrorKind::Unsupported, "triple DES"));
    }
    let chacha = [CKM_CHACHA20, CKM_CHACHA20_POLY1305];
    if kind == KeyKind::ChaCha20 && !chacha.iter().any(|mechanism| link.capability.offers(*mechanism)) {
        return Err(refused(HsmErrorKind::Unsupported, "ChaCha20"));
    }
    if kind == KeyKind::AesXts && !link.capability.offers(CKM_AES_XTS) {
        return Err(refused(HsmErrorKind::Unsupported, "AES-XTS"));
    }
    let key_type = Attribute::number(CKA_KEY_TYPE, template::key_type(kind, bytes.len()));
    let fits = match kind {
        KeyKind::Aes => matches!(bytes.len(), 16 | 24 | 32),
        KeyKind::TripleDes => matches!(bytes.len(), 16 | 24),
        KeyKind::ChaCha20 => bytes.len() == 32,
        KeyKind::AesXts => bytes.len() == 64,
        _ => !bytes.is_empty(),
    };
    if !fits {
        return Err(refused(HsmErrorKind::BadData, "length of the key"));
    }
    let mut clear = match kind {
        KeyKind::Aes | KeyKind::AesXts | KeyKind::TripleDes | KeyKind::ChaCha20 | KeyKind::Generic => {
            vec![Attribute::bytes(CKA_VALUE, bytes)]
        }
        KeyKind::RsaPrivate | KeyKind::EcPrivate(_) | KeyKind::Ed25519Private => {
            private_parts(link, kind, &PrivateKey::from_pkcs8(value).map_err(|error| unfit(&error))?)?
        }
        KeyKind::RsaPublic | KeyKind::EcPublic(_) | KeyKind::Ed25519Public => {
            public_parts(link, kind, &PublicKey::from_spki(bytes).map_err(|error| unfit(&error))?)?
        }
    };
    clear.push(Attribute::number(CKA_KEY_TYPE, template::key_type(kind, bytes.len())));
    Ok(Import { clear, wrapped: vec![key_type], public: kind.is_public() })
}

fn private_parts(link: &Link, kind: KeyKind, key: &PrivateKey) -> Result<Vec<Attribute>, HsmError> {
    let secret = |attribute, value: &SecretValue| Attribute::bytes(attribute, exposed(value));
    match (kind, key) {
        (KeyKind::RsaPrivate, PrivateKey::Rsa(key)) => {
            type Part = fn(&RsaPrivate) -> &SecretValue;
            let parts: [(CK_ATTRIBUTE_TYPE, Part); 6] = [
                (CKA_PRIVATE_EXPONENT, RsaPrivate::d),
                (CKA_PRIME_1, RsaPrivate::p),
                (CKA_PRIME_2, RsaPrivate::q),
                (CKA_EXPONENT_1, RsaPrivate::dp),
                (CKA_EXPONENT_2, RsaPrivate::dq),
                (CKA_COEFFICIENT, RsaPrivate::qinv),
            ];
            let mut template = vec![
                Attribute::bytes(CKA_MODULUS, key.public().n()),
                Attribute::bytes(CKA_PUBLIC_EXPONENT, key.public().e()),
            ];
            template.extend(parts.iter().map(|(attribute, part)| secret(*attribute, part(key))));
            Ok(template)
        }
        (KeyKind::EcPrivate(curve), PrivateKey::Ec(key)) if key.curve() == curve => {
            Ok(vec![ec_parameters(curve)?, secret(CKA_VALUE, key.scalar())])
        }
        (KeyKind::Ed25519Private, PrivateKey::Ed25519(key)) => {
            Ok(vec![edwards_parameters(link), secret(CKA_VALUE, key.seed())])
        }
        _ => Err(refused(HsmErrorKind::BadData, "another kind of key")),
    }
}

fn public_parts(link: &Link, kind: KeyKind, key: &PublicKey) -> Result<Vec<Attribute>, HsmError> {
    match (kind, key) {
        (KeyKind::RsaPublic, PublicKey::Rsa(key)) => {
            Ok(vec![Attribute::bytes(CKA_MODULUS, key.n()), Attribute::bytes(CKA_PUBLIC_EXPONENT, key.e())])
        }
        (KeyKind::EcPublic(curve), PublicKey::Ec(key)) if key.curve() == curve => {
            Ok(vec![ec_parameters(curve)?, Attribute::bytes(CKA_EC_POINT, octet_string(key.point()))])
        }
        (KeyKind::Ed25519Public, PublicKey::Ed25519(key)) => {
            Ok(vec![edwards_parameters(link), Attribute::bytes(CKA_EC_POINT, octet_string(key.bytes()))])
        }
        _ => Err(refused(HsmErrorKind::BadData, "another kind of key")),
    }
}

/// `CKA_EC_PARAMS` of a named curve.
pub(super) fn ec_parameters(curve: Curve) -> Result<Attribute, HsmError> {
    curve_parameters(curve)
        .map(|parameters| Attribute::bytes(CKA_EC_PARAMS, parameters))
        .map_err(|error| ours("curve", &error))
}

/// `CKA_EC_PARAMS` of Ed25519, in the form this token takes.
pub(super) fn edwards_parameters(link: &Link) -> Attribute {
    let by_name = link.capability.edwards_by_name.get().is_some();
    Attribute::bytes(CKA_EC_PARAMS, if by_name { ED25519_NAME } else { ED25519_OID })
}

/// As its object identifier.
pub(super) fn edwards_by_oid() -> Attribute {
    Attribute::bytes(CKA_EC_PARAMS, ED25519_OID)
}

/// The other form: a PrintableString.
pub(super) fn edwards_by_name() -> Attribute {
    Attribute::bytes(CKA_EC_PARAMS, ED25519_NAME)
}

/// DER: no point of ours is longer than 133 bytes.
fn octet_string(content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    let header: &[u8] = if length < 0x80 { &[0x04, length] } else { &[0x04, 0x81, length] };
    [header, content].concat()
}

/// Puts a key on the token: in clear where it takes that, else wrapped under the transport key.
pub(super) fn put(
    link: &Link,
    seat: &mut Seat,
    mut common: Vec<Attribute>,
    import: Import,
    value: &SecretValue,
) -> Result<Handle, HsmError> {
    if import.public || takes_clear(link, seat)? {
        common.extend(import.clear);
        return Ok(seat.session.create(&common)?);
    }
    let mechanism = kwp(link, seat)?.mechanism;
    let (session, transport) = transport(seat)?;
    let blob = kwp::wrap(&transport.key, value).map_err(|error| ours("key wrap", &error))?;
    common.extend(import.wrapped);
    Ok(session.unwrap(&Mechanism::plain(mechanism), transport.handle, &blob, &common)?)
}

/// Whether `C_CreateObject` takes secret keys; tried once with a throw-away key, since modules in an approved mode refuse with
/// all kinds of codes.
fn takes_clear(link: &Link, seat: &mut Seat) -> Result<bool, HsmError> {
    if let Some(known) = link.capability.clear_import.get() {
        return Ok(*known);
    }
    let mut template = template::key(Class::Secret, Life::Session, UsageMask::ENCRYPT, false);
    template.push(Attribute::number(CKA_KEY_TYPE, CKK_AES));
    template.push(Attribute::bytes(CKA_VALUE, seat.session.random(32)?.as_slice()));
    let taken = match believed(|| seat.session.create(&template))? {
        Ok(handle) => {
            seat.session.destroy(handle)?;
            true
        }
        Err(error) => {
            tracing::info!(rv = error.rv, "the token takes no keys in clear; they are imported wrapped");
            false
        }
    };
    let _first = link.capability.clear_import.set(taken);
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_found_in_every_wrapping() {
        let point = [7_u8; 32];
        assert_eq!(ec_point(&point, 32), point);
        assert_eq!(ec_point(&octet_string(&point), 32), point);
        assert_eq!(ec_point(&[&[0x03, 0x21, 0x00], point.as_slice()].concat(), 32), point);
        assert_eq!(ec_point(&point[1..], 32), &point[1..]);
    }

    #[test]
    fn only_added_zeros_are_cut_off() {
        let value = |bytes: &[u8]| SecretValue::new(bytes.to_vec());
        assert!(cut(value(b"a\0\0\0\0\0\0\0"), Some(1)).unwrap().matches(&value(b"a")));
        assert!(cut(value(b"a\0"), Some(2)).unwrap().matches(&value(b"a\0")));
        for (bytes, length) in [(&b"ab"[..], Some(1)), (b"ab", Some(3)), (b"a", None), (b"a\0\0\0\0\0\0\0\0", Some(1))]
        {
            assert_eq!(cut(value(bytes), length).unwrap_err().kind, HsmErrorKind::Internal);
        }
        assert_eq!(der_length(&[0x30, 0x82, 0x04, 0xBD, 0x02]), Some(1217));
        assert_eq!(der_length(&[0x30, 0x2E, 0x02]), Some(48));
        assert_eq!(der_length(&[0x30]), None);
    }

    #[test]
    fn octet_strings_of_every_point_are_der() {
        assert_eq!(octet_string(&[1; 32])[..2], [0x04, 32]);
        assert_eq!(octet_string(&[1; 133])[..3], [0x04, 0x81, 133]);
    }
}
