//! Random bytes of the HSM (KMIP 2.1 §6.1.46, §6.1.47).

use crate::{
    authz::Permitted,
    domain::{OperationKind, SecretValue},
    engine::{Error, ErrorKind, Operation, Target, Targets, Tools, ports::HsmRequest},
};

/// Asks for random bytes.
#[derive(Debug)]
pub struct RngRetrieve {
    /// How many.
    pub bytes: u32,
}

impl Operation for RngRetrieve {
    const KIND: OperationKind = OperationKind::RngRetrieve;
    type Output = SecretValue;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<SecretValue, Error> {
        if self.bytes > tools.settings().random_bytes_max {
            return Err(Error::new(ErrorKind::TooLarge, "too many random bytes for one request"));
        }
        tools.hsm_value(HsmRequest::Random { token: None, bytes: self.bytes }).await
    }
}

/// Asks leave to have data hashed: the front end hashes it, because no key is involved.
#[derive(Debug)]
pub struct Hash;

impl Operation for Hash {
    const KIND: OperationKind = OperationKind::Hash;
    type Output = ();

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, _tools: &Tools) -> Result<(), Error> {
        Ok(())
    }
}

/// Mixes bytes into the HSM's generator.
#[derive(Debug)]
pub struct RngSeed {
    /// The bytes.
    pub data: SecretValue,
    /// How much of them is taken.
    pub share: SeedShare,
}

/// How much of a seed is mixed in. KMIP leaves it to the server, which says how many bytes it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedShare {
    /// All of it.
    All,
    /// The first half.
    Half,
    /// Nothing.
    None,
    /// Seeding is refused.
    Refused,
}

impl Operation for RngSeed {
    const KIND: OperationKind = OperationKind::RngSeed;
    type Output = usize;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<usize, Error> {
        let data = match self.share {
            SeedShare::All => self.data,
            SeedShare::Half => self.data.first_half(),
            SeedShare::None => return Ok(0),
            SeedShare::Refused => return Err(Error::new(ErrorKind::Denied, "the generator takes no seed")),
        };
        let accepted = data.len();
        tools.hsm(HsmRequest::SeedRandom { data }).await?;
        Ok(accepted)
    }
}
