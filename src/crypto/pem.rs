//! PEM (RFC 7468) to DER and back, in zeroising memory.
//!
//! Reading forgives what real files have: text before a block, any line width, carriage returns, surrounding white space.
//! The base64 itself is decoded in constant time. Old "Proc-Type" encryption is refused by name.

use der::pem::{self, LineEnding};
use zeroize::Zeroizing;

use super::{
    Error,
    asn1::{cut_into_secret, into_secret},
    bytes,
};
use crate::domain::SecretValue;

/// PKCS#8, RFC 5208.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";
/// PKCS#8 under a passphrase.
pub const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";
/// PKCS#1.
pub const RSA_PRIVATE_KEY: &str = "RSA PRIVATE KEY";
/// SEC 1, RFC 5915.
pub const EC_PRIVATE_KEY: &str = "EC PRIVATE KEY";
/// SubjectPublicKeyInfo.
pub const PUBLIC_KEY: &str = "PUBLIC KEY";
/// PKCS#1.
pub const RSA_PUBLIC_KEY: &str = "RSA PUBLIC KEY";
/// X.509.
pub const CERTIFICATE: &str = "CERTIFICATE";

/// Some tools write this block before an EC private key; it says nothing that the key does not say.
const EC_PARAMETERS: &str = "EC PARAMETERS";
const WHAT: &str = "PEM text";
/// More blocks than any chain needs.
const BLOCKS_MAX: usize = 64;

/// One block of a PEM text.
#[derive(Debug)]
pub struct Block {
    /// What stands after `BEGIN`.
    pub label: String,
    /// What the base64 means.
    pub der: SecretValue,
}

/// Whether the bytes begin a PEM block somewhere; DER never does.
#[must_use]
pub fn is_pem(text: &[u8]) -> bool {
    find(text, BEGIN).is_some()
}

/// The one block of a text, EC parameters aside.
///
/// # Errors
///
/// `Malformed` for anything else.
pub fn decode(text: &[u8]) -> Result<Block, Error> {
    let mut blocks = decode_all(text)?.into_iter().filter(|block| block.label != EC_PARAMETERS);
    match (blocks.next(), blocks.next()) {
        (Some(block), None) => Ok(block),
        _ => Err(Error::malformed(WHAT)),
    }
}

/// As [`decode`], of a secret text.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_secret(text: &SecretValue) -> Result<Block, Error> {
    decode(bytes(text))
}

/// Every block of a text, at least one.
///
/// # Errors
///
/// `Malformed` when a block has no end, another label at its end, or is no base64; when more than white space follows the last one.
pub fn decode_all(text: &[u8]) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = find(rest, BEGIN) {
        let (block, after) = one(begun)?;
        blocks.push(block);
        if blocks.len() > BLOCKS_MAX {
            return Err(Error::Unsupported("a PEM text of that many blocks"));
        }
        rest = after;
    }
    if blocks.is_empty() || !rest.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::malformed(WHAT));
    }
    Ok(blocks)
}

/// The PEM text of public DER.
///
/// # Errors
///
/// `Malformed` for a label or length that PEM cannot carry.
pub fn encode(label: &'static str, der: &[u8]) -> Result<String, Error> {
    pem::encode_string(label, LineEnding::LF, der).map_err(refused)
}

/// The PEM text of secret DER.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_secret(label: &'static str, der: &SecretValue) -> Result<SecretValue, Error> {
    let der = bytes(der);
    let length = pem::encapsulated_len(label, LineEnding::LF, der.len()).map_err(refused)?;
    let mut text = Zeroizing::new(vec![0; length]);
    let written = pem::encode(label, LineEnding::LF, der, &mut text).map_err(refused)?.len();
    Ok(cut_into_secret(text, written))
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One block whose `BEGIN` was read, and what follows it.
fn one(begun: &[u8]) -> Result<(Block, &[u8]), Error> {
    let malformed = || Error::malformed(WHAT);
    let (label, body) = find(begun, DASHES).ok_or_else(malformed)?;
    let (body, end) = find(body, END).ok_or_else(malformed)?;
    let rest = end.strip_prefix(label).and_then(|end| end.strip_prefix(DASHES)).ok_or_else(malformed)?;
    let label = std::str::from_utf8(label).ok().filter(|label| label.len() <= 64).ok_or_else(malformed)?;
    if find(body, b"Proc-Type:").is_some() {
        return Err(Error::Unsupported("a PEM key encrypted the old way (Proc-Type)"));
    }
    Ok((Block { label: label.to_owned(), der: base64(body)? }, rest))
}

/// Base64 among white space. The strict decoder wants whole lines of one width, so the digits are put on one line first.
fn base64(body: &[u8]) -> Result<SecretValue, Error> {
    const HEAD: &[u8] = b"-----BEGIN X-----\n";
    const TAIL: &[u8] = b"\n-----END X-----\n";
    let digits = body.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
    if digits == 0 {
        return Err(Error::malformed(WHAT));
    }
    let mut line = Zeroizing::new(Vec::with_capacity(HEAD.len() + digits + TAIL.len()));
    line.extend_from_slice(HEAD);
    line.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
    line.extend_from_slice(TAIL);
    let mut decoder = pem::Decoder::new_wrapped(&line, digits.max(64)).map_err(refused)?;
    let mut der = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut der).map_err(refused)?;
    if der.is_empty() || !decoder.is_finished() {
        return Err(Error::malformed(WHAT));
    }
    Ok(into_secret(der))
}

/// What stands before and after the first `mark`.
fn find<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    let (before, from) = text.split_at(at);
    Some((before, from.get(mark.len()..)?))
}

fn refused(cause: pem::Error) -> Error {
    Error::Malformed { what: WHAT, cause: Some(cause.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "-----BEGIN PUBLIC KEY-----\nMAMCAQE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_block_comes_back() {
        let block = decode(TEXT.as_bytes()).unwrap();
        assert_eq!((block.label.as_str(), bytes(&block.der)), (PUBLIC_KEY, [0x30, 3, 2, 1, 1].as_slice()));
        assert_eq!(encode(PUBLIC_KEY, bytes(&block.der)).unwrap(), TEXT);
        assert_eq!(bytes(&encode_secret(PUBLIC_KEY, &block.der).unwrap()), TEXT.as_bytes());
    }

    #[test]
    fn long_blocks_come_back_whatever_their_lines() {
        let der = SecretValue::new((0..=255).cycle().take(1000).collect());
        let text = encode_secret(PRIVATE_KEY, &der).unwrap();
        let text = std::str::from_utf8(bytes(&text)).unwrap();
        assert!(text.lines().all(|line| line.len() <= 64));
        for variant in [
            text.to_owned(),
            text.replace('\n', "\r\n"),
            text.replace("=\n", "=").replace('\n', "\n  "),
            format!("subject=x\n\n{text}\n\n"),
            format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{text}"),
        ] {
            let block = decode(variant.as_bytes()).unwrap_or_else(|error| panic!("{error}: {variant}"));
            assert!(block.der.matches(&der));
        }
        assert_eq!(decode_all(format!("{text}{text}{TEXT}").as_bytes()).unwrap().len(), 3);
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "MAMCAQE=",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMAMCAQE=\n",
            "-----BEGIN PUBLIC KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nMAMCAQE=\n-----END PUBLIC KEY----\n",
            "-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nMAMCAQ=E\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nMAMCA*E=\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nMAMCAQE=\n-----END PUBLIC KEY-----\ntrailing",
            &TEXT.repeat(2),
        ] {
            assert!(matches!(decode(wrong.as_bytes()), Err(Error::Malformed { .. })), "{wrong}");
        }
        assert!(matches!(decode_all(TEXT.repeat(65).as_bytes()), Err(Error::Unsupported(_))));
        let old =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAMCAQE=\n-----END RSA PRIVATE KEY-----\n";
        assert!(matches!(decode(old.as_bytes()), Err(Error::Unsupported(_))));
    }
}
