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

/// Mixes bytes into the HSM's generator.
#[derive(Debug)]
pub struct RngSeed {
    /// The bytes.
    pub data: SecretValue,
}

impl Operation for RngSeed {
    const KIND: OperationKind = OperationKind::RngSeed;
    type Output = usize;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<usize, Error> {
        let accepted = self.data.len();
        tools.hsm(HsmRequest::SeedRandom { data: self.data }).await?;
        Ok(accepted)
    }
}
