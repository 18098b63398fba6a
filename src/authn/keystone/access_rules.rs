//! Application credentials that are limited to some requests (Identity API v3, "Access rules").
//!
//! A pattern is a path in which `*` and `{name}` stand for one segment and `**` for anything.

use serde::Deserialize;

/// What this service is called in access rules.
const SERVICE: &str = "key-manager";

/// One request that a credential may make.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct AccessRule {
    service: String,
    method: String,
    path: String,
}

/// Whether some rule allows the request; no rules at all allow nothing.
pub(super) fn allow(rules: &[AccessRule], method: &str, path: &str) -> bool {
    rules.iter().any(|rule| {
        rule.service == SERVICE
            && rule.method.eq_ignore_ascii_case(method)
            && matches(rule.path.as_bytes(), path.as_bytes())
    })
}

enum Piece {
    Byte(u8),
    Segment,
    Anything,
}

/// Follows all ways to match at once, so that no pattern takes more than length × length steps.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    // Positions in the path that the pieces so far can have reached.
    let mut reached = vec![false; path.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for piece in pieces(pattern) {
        let mut next = vec![false; path.len() + 1];
        let mut open = false;
        for (position, target) in next.iter_mut().enumerate() {
            let before = position.checked_sub(1);
            let byte = before.and_then(|before| path.get(before)).copied();
            let from_before = before.and_then(|before| reached.get(before)).copied().unwrap_or(false);
            *target = match piece {
                Piece::Byte(wanted) => from_before && byte == Some(wanted),
                // One byte or more, none of them a slash.
                Piece::Segment => {
                    open = (open || from_before) && byte.is_some_and(|byte| byte != b'/');
                    open
                }
                // Nothing or more.
                Piece::Anything => {
                    open = open || reached.get(position).copied().unwrap_or(false);
                    open
                }
            };
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

fn pieces(mut pattern: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some((first, rest)) = pattern.split_first() {
        let (piece, rest) = match (first, rest) {
            (b'*', [b'*', rest @ ..]) => (Piece::Anything, rest),
            (b'*', rest) => (Piece::Segment, rest),
            (b'{', rest) => match rest.iter().position(|byte| *byte == b'}') {
                Some(end) => (Piece::Segment, rest.get(end + 1..).unwrap_or_default()),
                None => (Piece::Byte(b'{'), rest),
            },
            (byte, rest) => (Piece::Byte(*byte), rest),
        };
        pieces.push(piece);
        pattern = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path, expected) in [
            ("/v1/secrets", "/v1/secrets", true),
            ("/v1/secrets", "/v1/secrets/", false),
            ("/v1/secrets", "/v1/secrets/x", false),
            ("/v1/secrets/*", "/v1/secrets/x", true),
            ("/v1/secrets/*", "/v1/secrets/", false),
            ("/v1/secrets/*", "/v1/secrets/x/payload", false),
            ("/v1/secrets/{secret_id}/payload", "/v1/secrets/x/payload", true),
            ("/v1/secrets/{secret_id}/payload", "/v1/secrets/x/acl", false),
            ("/v1/**", "/v1/secrets/x/payload", true),
            ("/v1/**", "/v1/", true),
            ("/v1/**", "/v2/secrets", false),
            ("**", "", true),
            ("", "", true),
            ("", "/", false),
            ("/**/payload", "/v1/secrets/x/payload", true),
            ("/v1/{open", "/v1/{open", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn service_method_and_path_must_all_fit() {
        let rule = |service: &str| AccessRule { service: service.into(), method: "GET".into(), path: "/v1/*".into() };
        assert!(allow(&[rule("compute"), rule("key-manager")], "GET", "/v1/secrets"));
        assert!(!allow(&[rule("key-manager")], "POST", "/v1/secrets"));
        assert!(!allow(&[rule("compute")], "GET", "/v1/secrets"));
        assert!(!allow(&[], "GET", "/v1/secrets"));
    }

    #[test]
    fn no_pattern_is_slow() {
        let pattern = "*a".repeat(2000);
        assert!(!matches(pattern.as_bytes(), "a".repeat(2000).as_bytes()));
    }
}
