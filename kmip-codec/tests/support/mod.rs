//! What several test programs of the codec share: hex, and the published vectors when they are at hand.
#![expect(clippy::indexing_slicing, reason = "test code; a panic is a failed test")]
#![expect(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};

/// One message of the published test cases.
pub(crate) struct Vector {
    /// The protocol version of the case.
    pub(crate) version: String,
    /// File and message within it.
    pub(crate) name: String,
    /// Whether it is a request.
    pub(crate) is_request: bool,
    /// The message as it was published.
    pub(crate) xml: String,
    /// The message.
    pub(crate) bytes: Vec<u8>,
}

/// Turns hex, blanks allowed, into bytes.
pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_ascii_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "odd number of hex digits");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

/// Turns bytes into hex.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the published vectors lie: in the folder `PORTCULLIS_SHARED` names, else in `../shared` beside the checkout.
fn published_path() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("PORTCULLIS_SHARED").map_or(beside, PathBuf::from).join("kmip/ttlv-vectors.jsonl")
}

/// The published vectors, or `None`, said aloud, when they are not beside the checkout.
pub(crate) fn published() -> Option<Vec<Vector>> {
    let path = published_path();
    if !path.exists() {
        eprintln!("skipped, because {} is not there", path.display());
        return None;
    }
    let text = std::fs::read_to_string(path).expect("the vectors can be read");
    let vectors = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a vector is JSON");
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Vector {
            version: field("version"),
            name: format!("{}#{}", field("file"), line["index"]),
            is_request: field("direction") == "request",
            xml: field("xml"),
            bytes: from_hex(&field("ttlv_hex")),
        }
    });
    Some(vectors.collect())
}

/// Our own vectors: `name: hex`, hex may go on in lines that begin with a blank, `#` begins a comment.
pub(crate) fn own() -> Vec<(String, Vec<u8>)> {
    let text = include_str!("../vectors/messages.txt");
    let mut vectors: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        match line.split_once(':') {
            Some((name, hex)) => vectors.push((name.to_owned(), hex.to_owned())),
            None if line.is_empty() => {}
            None => vectors.last_mut().expect("hex follows a name").1.push_str(line),
        }
    }
    vectors.into_iter().map(|(name, hex)| (name, from_hex(&hex))).collect()
}
