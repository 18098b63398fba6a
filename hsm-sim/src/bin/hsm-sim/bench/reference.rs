//! What the machine can do without any module.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use aws_lc_rs::{rand::SystemRandom, rsa::KeySize, signature};
use serde::Serialize;

/// Figures a second.
#[derive(Debug, Serialize)]
pub(super) struct Reference {
    /// Appends of 4 KiB that reached the disk.
    pub(super) syncs: f64,
    /// RSA-2048 signatures of the crypto library, on one thread.
    pub(super) rsa_signatures: f64,
}

pub(super) fn take(folder: &Path, seconds: f64) -> Result<Reference> {
    let path = folder.join("syncs");
    let mut file = File::create(&path)?;
    let syncs = per_second(seconds, || {
        file.write_all(&[7; 4096])?;
        Ok(file.sync_data()?)
    })?;
    std::fs::remove_file(&path)?;
    let key = signature::RsaKeyPair::generate(KeySize::Rsa2048).ok().context("no RSA key")?;
    let (random, mut output) = (SystemRandom::new(), vec![0; key.public_modulus_len()]);
    let rsa_signatures = per_second(seconds, || {
        key.sign(&signature::RSA_PKCS1_SHA256, &random, b"measured", &mut output).ok().context("no signature")
    })?;
    Ok(Reference { syncs, rsa_signatures })
}

/// How often a second a job runs.
pub(super) fn per_second(seconds: f64, mut job: impl FnMut() -> Result<()>) -> Result<f64> {
    let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(2));
    // What is made at first use is not what is measured.
    job()?;
    let start = Instant::now();
    let (mut done, mut step) = (0_u32, 1_u32);
    loop {
        for _ in 0..step {
            job()?;
        }
        done = done.saturating_add(step);
        let elapsed = start.elapsed();
        if elapsed >= limit {
            return Ok(f64::from(done) / elapsed.as_secs_f64());
        }
        // Looking at the clock must not be what is measured either.
        if elapsed * 20 < limit {
            step = step.saturating_mul(2);
        }
    }
}
