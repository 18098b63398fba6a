//! Makes a key pair inside the HSM (KMIP 2.1 §6.1.9; Barbican asymmetric orders).

use super::template;
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, Lifecycle, ManagedObject, ObjectType,
        OperationKind, Origin, SecretValue, TokenReference, UniqueIdentifier,
        algorithm::{Curve, KeyFormatType, RecommendedCurve},
        attributes::link,
        secret::SecretFacet,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmAnswer, HsmRequest, IntentKind, PairKind, Placement, Write},
    },
};

/// Makes a key pair inside the HSM.
#[derive(Debug)]
pub struct CreateKeyPair {
    /// The identifiers of the private and public key, when the caller chose them before; else fresh ones.
    pub identifiers: Option<(UniqueIdentifier, UniqueIdentifier)>,
    /// Through which protocol.
    pub origin: Origin,
    /// RSA, EC/ECDSA/ECDH or Ed25519.
    pub algorithm: CryptographicAlgorithm,
    /// Modulus or field length in bits; may be left out where a curve says it.
    pub length_bits: Option<u32>,
    /// The curve, for elliptic curves.
    pub curve: Option<RecommendedCurve>,
    /// The private key's attributes, common ones included.
    pub private_attributes: Vec<Attribute>,
    /// The public key's attributes, common ones included.
    pub public_attributes: Vec<Attribute>,
    /// The Barbican sides: private, public.
    pub secrets: (SecretFacet, SecretFacet),
}

/// The two halves.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The private key.
    pub private: ManagedObject,
    /// The public key.
    pub public: ManagedObject,
}

/// Which pair to make, its length in bits and the format in which its private half is given out.
pub(super) fn pair_kind(
    algorithm: CryptographicAlgorithm,
    length_bits: Option<u32>,
    curve: Option<RecommendedCurve>,
) -> Result<(PairKind, u32, KeyFormatType), Error> {
    use CryptographicAlgorithm as A;
    let refuse = |text: &'static str| Error::new(ErrorKind::InvalidField, text);
    match algorithm {
        A::RSA => match length_bits {
            Some(bits @ (1024 | 2048 | 3072 | 4096 | 8192)) => {
                Ok((PairKind::Rsa { bits }, bits, KeyFormatType::PKCS_1))
            }
            Some(_) => Err(refuse("RSA keys have 1024, 2048, 3072, 4096 or 8192 bits")),
            None => Err(Error::new(ErrorKind::Missing, "an RSA key pair needs a length")),
        },
        A::ED25519 => Ok((PairKind::Ed25519, 256, KeyFormatType::PKCS_8)),
        A::EC | A::ECDSA | A::ECDH => {
            let curve = match (curve, length_bits) {
                (Some(RecommendedCurve::CURVE25519), _) => {
                    return Ok((PairKind::Ed25519, 256, KeyFormatType::PKCS_8));
                }
                (Some(curve), bits) => {
                    Curve::from_recommended(curve).filter(|it| bits.is_none_or(|bits| bits == it.bits()))
                }
                (None, Some(bits)) => Curve::from_bits(bits),
                (None, None) => {
                    return Err(Error::new(ErrorKind::Missing, "an EC key pair needs a curve or length"));
                }
            };
            let curve = curve.ok_or_else(|| {
                Error::new(ErrorKind::UnsupportedParameters, "curves are P-256, P-384, P-521 and secp256k1")
            })?;
            Ok((PairKind::Ec(curve), curve.bits(), KeyFormatType::EC_PRIVATE_KEY))
        }
        _ => Err(Error::new(ErrorKind::UnsupportedParameters, "key pairs are RSA, EC or Ed25519")),
    }
}

/// The format in which the public half goes with a private one.
pub(super) fn public_format(private: KeyFormatType) -> KeyFormatType {
    if private == KeyFormatType::PKCS_1 { KeyFormatType::PKCS_1 } else { KeyFormatType::X_509 }
}

impl Operation for CreateKeyPair {
    const KIND: OperationKind = OperationKind::CreateKeyPair;
    type Output = KeyPair;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<KeyPair, Error> {
        self.make(tools, None, Vec::new()).await
    }
}

/// Turns the private key's PKCS#8 into the bytes that reads give back instead of it: the same under a passphrase.
pub(super) type Seal = Box<dyn FnOnce(SecretValue) -> Result<SecretValue, Error> + Send>;

impl CreateKeyPair {
    /// Makes the pair, holds the sealed private key beside the key where that is asked for, and commits the records
    /// together with `also`: the group of the pair, and the job that is done by it.
    pub(super) async fn make(self, tools: &Tools, seal: Option<Seal>, also: Vec<Write>) -> Result<KeyPair, Error> {
        let (kind, bits, private_format) = pair_kind(self.algorithm, self.length_bits, self.curve)?;
        let private_usage = template::usage_of(&self.private_attributes);
        let public_usage = template::usage_of(&self.public_attributes);
        if self.origin == Origin::Kmip && (private_usage.is_none() || public_usage.is_none()) {
            return Err(Error::new(ErrorKind::Missing, "each key of a pair needs a cryptographic usage mask"));
        }
        template::quantum_safe(&self.private_attributes, self.algorithm, bits)?;
        let (private_id, public_id) = self.identifiers.unwrap_or_else(|| (tools.identifier(), tools.identifier()));

        let half = |id, object_type, format, secret, attributes: Vec<Attribute>| {
            let mut object = ManagedObject {
                identifier: id,
                object_type,
                project: tools.principal().project.clone(),
                creator: tools.principal().name.clone(),
                origin: self.origin,
                value: None,
                format: Some(format),
                subtype: None,
                lifecycle: Lifecycle::new(tools.now()),
                attributes: Default::default(),
                secret,
            };
            let algorithm = AttributeValue::Enumeration(self.algorithm.0);
            object.attributes.set(AttributeKind::CryptographicAlgorithm, algorithm);
            object.attributes.set(AttributeKind::CryptographicLength, AttributeValue::Integer(bits.cast_signed()));
            template::apply(&mut object, attributes)?;
            template::server_attributes(&mut object, tools.settings(), true);
            Ok::<_, Error>(object)
        };
        let public_format = public_format(private_format);
        let (private_secret, public_secret) = self.secrets;
        let mut private =
            half(private_id, ObjectType::PrivateKey, private_format, private_secret, self.private_attributes)?;
        let mut public = half(public_id, ObjectType::PublicKey, public_format, public_secret, self.public_attributes)?;
        private.link(link::PUBLIC_KEY, public_id)?;
        public.link(link::PRIVATE_KEY, private_id)?;
        generate_pair(tools, private, public, kind, seal, also).await
    }
}

/// Makes the keys of two records that are complete but for them, and commits the records together with `also`.
pub(super) async fn generate_pair(
    tools: &Tools,
    mut private: ManagedObject,
    mut public: ManagedObject,
    kind: PairKind,
    seal: Option<Seal>,
    also: Vec<Write>,
) -> Result<KeyPair, Error> {
    let mut private_at = tools.place(private.identifier, ObjectType::PrivateKey)?;
    let mut public_at = Placement { token: private_at.token.clone(), cka_id: public.identifier.cka_id() };
    let mut intent = tools.announce(IntentKind::Make, vec![private_at.clone(), public_at.clone()]).await?;
    let settle =
        |object: &mut ManagedObject, reference: TokenReference, digest: Option<Vec<u8>>, format: KeyFormatType| {
            object.value = Some(reference);
            if let Some(digest) = digest {
                object.attributes.set(AttributeKind::Digest, template::digest(digest, format.0));
            }
        };
    loop {
        let request = HsmRequest::GenerateKeyPair {
            private: private_at.clone(),
            public: public_at.clone(),
            kind,
            private_usage: private.usage(),
            public_usage: public.usage(),
            extractable: private.flag(&AttributeKind::Extractable, true),
        };
        match tools.hsm(request).await {
            Ok(HsmAnswer::MadePair { private: private_at, public: public_at, private_digest, public_digest }) => {
                settle(&mut private, private_at, private_digest, KeyFormatType::PKCS_8);
                settle(&mut public, public_at, Some(public_digest), KeyFormatType::X_509);
                break;
            }
            Ok(other) => {
                tools.withdraw(intent).await;
                return Err(crate::engine::unexpected(&other));
            }
            Err(error) => {
                (intent, private_at.token) = tools.elsewhere(intent, ObjectType::PrivateKey, error).await?;
                public_at.token = private_at.token.clone();
            }
        }
    }
    if let Some(seal) = seal
        && let Err(error) = hold_sealed(tools, &mut private, private_at, seal).await
    {
        tools.withdraw(intent).await;
        return Err(error);
    }
    let mut writes = also;
    writes.push(Write::PutObject(Box::new(private.clone()), Guard::Absent));
    writes.push(Write::PutObject(Box::new(public.clone()), Guard::Absent));
    tools.conclude(intent, writes).await?;
    Ok(KeyPair { private, public })
}

/// Puts the sealed form of a new private key beside the key. Sealing takes the time of many hashes and runs on a thread of
/// its own.
async fn hold_sealed(tools: &Tools, private: &mut ManagedObject, at: Placement, seal: Seal) -> Result<(), Error> {
    let Some(mut reference) = private.value.clone() else { return Err(Error::not_found()) };
    let value = tools.hsm_value(HsmRequest::RevealKey { reference: reference.clone() }).await?;
    let sealed = tokio::task::spawn_blocking(move || seal(value))
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "the private key could not be encrypted").because(error))??;
    match tools.hsm(HsmRequest::HoldBytes { at, value: sealed, beside_key: true }).await? {
        HsmAnswer::Made { reference: held, .. } => reference.bytes = held.bytes,
        other => return Err(crate::engine::unexpected(&other)),
    }
    private.value = Some(reference);
    Ok(())
}
