//! Payload content types, and base64 as clients send it (contract §2.2, §3.1, §3.2).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::domain::SecretValue;

pub(super) const TEXT: &str = "text/plain";
pub(super) const OCTETS: &str = "application/octet-stream";
pub(super) const PKCS8: &str = "application/pkcs8";

/// What the API says it supports, in its own order.
pub(super) const SUPPORTED: &[&str] = &[
    "text/plain",
    "text/plain;charset=utf-8",
    "text/plain; charset=utf-8",
    "application/octet-stream",
    "application/pkcs8",
];

/// The stored form of a `payload_content_type`, or `None` when it is not supported.
///
/// A second part must be `something=utf-8`; the reference does not look at the name.
pub(super) fn normalise(given: &str) -> Option<&'static str> {
    let mut parts = given.split(';');
    let media = parts.next()?.trim().to_ascii_lowercase();
    let media = [TEXT, OCTETS, PKCS8].into_iter().find(|known| *known == media)?;
    let charset = match (parts.next(), parts.next()) {
        (None, _) => return Some(media),
        (Some(parameter), None) => parameter.split_once('=')?.1.trim().to_ascii_lowercase(),
        (Some(_), Some(_)) => return None,
    };
    (charset == "utf-8").then_some(media)
}

/// Decodes base64 with line breaks in it; `None` for anything outside the alphabet and for wrong padding.
pub(super) fn decode(text: &[u8]) -> Option<SecretValue> {
    let dense: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let mut bytes = Zeroizing::new(vec![0; dense.len() / 4 * 3 + 3]);
    let length = STANDARD.decode_slice(&*dense, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(SecretValue::new(std::mem::take(&mut *bytes)))
}

/// The form in which a payload is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The bytes, under the type that was stored.
    Stored,
    /// The bytes, under this type.
    Bytes(&'static str),
    /// Text, under this type; impossible when the bytes are not UTF-8.
    Text(&'static str),
}

/// Why a payload cannot be given in the form that `Accept` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotWanted {
    /// No form of a payload.
    Unknown,
    /// A supported type in letters that the API does not know.
    Misspelt(String),
}

/// Reads the `Accept` of a payload request; `None` is an absent header.
pub(super) fn wanted(accept: Option<&str>) -> Result<Wanted, NotWanted> {
    match accept {
        None | Some("") => Ok(Wanted::Bytes(OCTETS)),
        Some("*/*") => Ok(Wanted::Stored),
        Some("application/octet-stream") => Ok(Wanted::Bytes(OCTETS)),
        Some("application/pkcs8") => Ok(Wanted::Bytes(PKCS8)),
        Some("text/plain") => Ok(Wanted::Text("text/plain; charset=UTF-8")),
        Some("text/plain;charset=utf-8") => Ok(Wanted::Text("text/plain;charset=utf-8")),
        Some("text/plain; charset=utf-8") => Ok(Wanted::Text("text/plain; charset=utf-8")),
        Some(other) if SUPPORTED.contains(&other.to_ascii_lowercase().as_str()) => {
            Err(NotWanted::Misspelt(other.to_owned()))
        }
        Some(_) => Err(NotWanted::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_normalised() {
        for (given, stored) in [
            ("text/plain", Some(TEXT)),
            ("text/plain;charset=utf-8", Some(TEXT)),
            ("text/plain; charset=UTF-8", Some(TEXT)),
            ("text/plain ; charset = utf-8", Some(TEXT)),
            ("TEXT/PLAIN", Some(TEXT)),
            ("Application/Octet-Stream", Some(OCTETS)),
            ("application/octet-stream;charset=utf-8", Some(OCTETS)),
            ("application/pkcs8", Some(PKCS8)),
            ("text/plain; charset=latin-1", None),
            ("text/plain;foo", None),
            ("text/plain; boundary=x", None),
            ("application/aes", None),
            ("", None),
        ] {
            assert_eq!(normalise(given), stored, "{given}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test compares the decoded bytes")]
    fn base64_may_have_line_breaks_and_nothing_else() {
        for (text, bytes) in [
            (&b"YmVlcg=="[..], Some(&b"beer"[..])),
            (b"YmVl\r\n cg==\n", Some(b"beer")),
            (b"", Some(b"")),
            (b"abc", None),
            (b"!!!!", None),
            (b"YmVl-cg=", None),
        ] {
            assert_eq!(decode(text).as_ref().map(SecretValue::expose_secret), bytes, "{text:?}");
        }
    }

    #[test]
    fn accept_names_a_form_or_is_refused() {
        for (accept, expected) in [
            (None, Ok(Wanted::Bytes(OCTETS))),
            (Some(""), Ok(Wanted::Bytes(OCTETS))),
            (Some("*/*"), Ok(Wanted::Stored)),
            (Some("text/plain"), Ok(Wanted::Text("text/plain; charset=UTF-8"))),
            (Some("TEXT/PLAIN"), Err(NotWanted::Misspelt("TEXT/PLAIN".into()))),
            (Some("application/json"), Err(NotWanted::Unknown)),
            (Some("application/octet-stream, text/plain"), Err(NotWanted::Unknown)),
            (Some("text/plain;q=0.9"), Err(NotWanted::Unknown)),
        ] {
            assert_eq!(wanted(accept), expected, "{accept:?}");
        }
    }
}
