//! Reads a trail again: is every line the successor of the one before, and are its checkpoints signed?

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::record::{BEGINNING, Checkpoint, LineHash, ReadLine, hash, hex, signed_message};

/// Longest line that is read; the sink writes none that comes near.
pub const LINE_BYTES_MAX: u64 = 4 << 20;

/// What a trail looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines that hold, over all files.
    pub lines: u64,
    /// The number of the first line; above 1 when earlier files were not given.
    pub first: Option<u64>,
    /// The number of the last line that holds.
    pub last: Option<u64>,
    /// The hash of that line.
    pub head: Option<LineHash>,
    /// Checkpoints seen.
    pub checkpoints: u64,
    /// The last line that a checkpoint with a good signature covers; only with a key.
    pub signed_through: Option<u64>,
    /// The first line that does not hold; reading ends there.
    pub bad: Option<BadLine>,
}

impl Report {
    /// Whether the trail is whole.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.bad.is_none()
    }
}

/// Where a trail breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// In which file.
    pub file: PathBuf,
    /// Which line of the file, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
}

/// The public key that checkpoints are checked with: P-256.
#[derive(Clone, Debug)]
pub struct CheckpointKey(Vec<u8>);

impl CheckpointKey {
    /// From a SubjectPublicKeyInfo, PEM or DER.
    ///
    /// # Errors
    ///
    /// A text for people when it is neither.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let der = match std::str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN")) {
            Some(text) => {
                let (label, document) =
                    der::Document::from_pem(text).map_err(|error| format!("the key is no PEM: {error}"))?;
                if label != "PUBLIC KEY" {
                    return Err(format!("the key file holds a {label}, not a PUBLIC KEY"));
                }
                document.as_bytes().to_vec()
            }
            None => bytes.to_vec(),
        };
        let parsed = aws_lc_rs::signature::ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der.as_slice());
        parsed.map_err(|error| format!("the key is no P-256 public key: {error}"))?;
        Ok(Self(der))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature).is_ok()
    }
}

/// Verifies files that continue each other, oldest first. Stops at the first line that does not hold.
///
/// # Errors
///
/// The file system's.
pub fn verify_files(files: &[&Path], key: Option<&CheckpointKey>) -> io::Result<Report> {
    let mut chain = Chain::default();
    for file in files {
        if let Err(bad) = chain.read(file, key)? {
            chain.report.bad = Some(bad);
            break;
        }
    }
    Ok(chain.report)
}

/// Follows a chain, line by line.
#[derive(Default)]
pub(super) struct Chain {
    pub(super) report: Report,
    /// Hashes of the latest lines, the last one at the end: what a checkpoint may sign.
    pub(super) latest: VecDeque<LineHash>,
    covered: Option<u64>,
}

/// Most lines by which a checkpoint may lag behind: many times what is recorded while an HSM signs once.
const LATEST_MAX: usize = 1 << 20;

impl Chain {
    fn read(&mut self, file: &Path, key: Option<&CheckpointKey>) -> io::Result<Result<(), BadLine>> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(file)?);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            io::Read::take(&mut reader, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            let step = match line.strip_suffix(b"\n") {
                Some(whole) => self.step(whole, key).map(drop),
                None => {
                    Err("the line does not end: the process was stopped while it wrote, or the file was cut".to_owned())
                }
            };
            if let Err(why) = step {
                return Ok(Err(BadLine { file: file.to_path_buf(), line: number, why }));
            }
        }
        Ok(Ok(()))
    }

    /// Takes one line, without its end of line, or says why it does not follow.
    pub(super) fn step(&mut self, line: &[u8], key: Option<&CheckpointKey>) -> Result<ReadLine, String> {
        let read: ReadLine = serde_json::from_slice(line).map_err(|error| format!("it is no audit line: {error}"))?;
        match (self.report.last, &self.report.head) {
            (Some(last), Some(head)) => {
                if Some(read.seq) != last.checked_add(1) {
                    return Err(format!("it has number {}, after {last}", read.seq));
                }
                if read.prev != hex(head) {
                    return Err(format!("line {last} before it was changed, or is another one: its hash does not fit"));
                }
            }
            _ if read.seq == 1 && read.prev != hex(&BEGINNING) => return Err("line 1 has a predecessor".to_owned()),
            _ => self.report.first = Some(read.seq),
        }
        if let Some(checkpoint) = &read.checkpoint {
            self.checkpoint(checkpoint, read.seq, key)?;
        }
        let head = hash(line);
        if self.latest.len() == LATEST_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(head);
        self.report.lines += 1;
        self.report.last = Some(read.seq);
        self.report.head = Some(head);
        Ok(read)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint, seq: u64, key: Option<&CheckpointKey>) -> Result<(), String> {
        self.report.checkpoints += 1;
        let covered = checkpoint.seq;
        let back = seq.checked_sub(covered).and_then(|back| usize::try_from(back).ok()).filter(|back| *back > 0);
        let Some(back) = back else {
            return Err(format!("the checkpoint covers line {covered}, which is not before it"));
        };
        if self.covered.is_some_and(|earlier| covered <= earlier) {
            return Err(format!("the checkpoint covers line {covered}, which an earlier one covers already"));
        }
        match self.latest.len().checked_sub(back).and_then(|at| self.latest.get(at)) {
            Some(head) if checkpoint.head != hex(head) => {
                return Err(format!("the checkpoint covers another line {covered}"));
            }
            Some(_) => {}
            None if self.report.first.is_some_and(|first| covered < first) => {}
            None => return Err(format!("the checkpoint covers line {covered}, which is too far back")),
        }
        if let Some(key) = key {
            let head = unhex(&checkpoint.head).ok_or_else(|| "the checkpoint's head is no hash".to_owned())?;
            let signature = STANDARD
                .decode(&checkpoint.signature)
                .map_err(|error| format!("the signature is no Base64: {error}"))?;
            if !key.verifies(&signed_message(covered, &head), &signature) {
                return Err("the checkpoint's signature does not fit the key".to_owned());
            }
            self.report.signed_through = Some(covered);
        }
        self.covered = Some(covered);
        Ok(())
    }
}

fn unhex(text: &str) -> Option<LineHash> {
    let mut bytes = BEGINNING;
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
