//! Re-key and Re-key Key Pair: a new key takes the place of an old one (KMIP 2.1 §6.1.46, .47).

use super::{
    create::generate,
    create_key_pair::{self, KeyPair},
    succession::{self, Names},
    template::KeyShape,
};
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, ManagedObject, ObjectType, OperationKind, UniqueIdentifier,
        algorithm::{KeyFormatType, RecommendedCurve},
        attributes::link,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, Versioned, Write},
    },
};

/// Replaces a symmetric key by a new one.
#[derive(Debug)]
pub struct Rekey {
    /// Which key.
    pub object: UniqueIdentifier,
    /// Seconds from now to the new key's activation.
    pub offset: Option<u32>,
    /// Attributes of the new key beside those of the old one.
    pub attributes: Vec<Attribute>,
}

impl Operation for Rekey {
    const KIND: OperationKind = OperationKind::Rekey;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let Versioned { record: mut old, revision } = on.into_object()?;
        succession::replaceable(tools, &old)?;
        if !matches!(old.object_type, ObjectType::SymmetricKey | ObjectType::SecretData) {
            return Err(Error::new(ErrorKind::WrongObjectType, "only symmetric keys are re-keyed one by one"));
        }
        let id = tools.identifier();
        let mut new = succession::successor(tools, &old, id, self.attributes, self.offset, Names::MovedFirst)?;
        let shape = match (old.object_type, new.algorithm(), new.length_bits()) {
            (ObjectType::SymmetricKey, Some(algorithm), Some(bits)) => KeyShape::of(algorithm, bits),
            (ObjectType::SecretData, _, bits) => KeyShape::of_secret(bits.unwrap_or(256)),
            _ => None,
        };
        let shape = shape.ok_or_else(|| {
            Error::new(ErrorKind::InvalidField, "the key's algorithm and length do not say what to make")
        })?;
        new.format = Some(KeyFormatType::RAW);
        new.link_once(link::REPLACED, old.identifier)?;
        succession::replaced(&mut old, id, tools.now())?;
        let intent = generate(tools, &mut new, shape).await?;
        let writes = vec![
            Write::PutObject(Box::new(old), Guard::At(revision)),
            Write::PutObject(Box::new(new.clone()), Guard::Absent),
        ];
        tools.conclude(intent, writes).await?;
        Ok(new)
    }
}

/// Replaces both keys of a pair by new ones.
#[derive(Debug)]
pub struct RekeyKeyPair {
    /// The private key.
    pub private: UniqueIdentifier,
    /// Seconds from now to the new keys' activation.
    pub offset: Option<u32>,
    /// Attributes of the new private key beside those of the old one.
    pub private_attributes: Vec<Attribute>,
    /// Attributes of the new public key beside those of the old one.
    pub public_attributes: Vec<Attribute>,
}

impl Operation for RekeyKeyPair {
    const KIND: OperationKind = OperationKind::Rekey;
    type Output = KeyPair;

    fn target(&self) -> Target {
        Target::Linked(self.private, &[link::PUBLIC_KEY])
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<KeyPair, Error> {
        let mut objects = on.into_inner().objects.into_iter();
        let Some(mut private) = objects.next() else { return Err(Error::not_found()) };
        succession::replaceable(tools, &private.record)?;
        if private.record.object_type != ObjectType::PrivateKey {
            return Err(Error::new(ErrorKind::WrongObjectType, "a pair is named by its private key"));
        }
        let mut public = objects
            .next()
            .filter(|it| it.record.object_type == ObjectType::PublicKey)
            .ok_or_else(|| Error::new(ErrorKind::InvalidField, "the private key does not link to its public key"))?;
        succession::replaceable(tools, &public.record)?;
        let (private_id, public_id) = (tools.identifier(), tools.identifier());
        let heir = |old: &ManagedObject, id, given| {
            succession::successor(tools, old, id, given, self.offset, Names::MovedFirst)
        };
        let mut new_private = heir(&private.record, private_id, self.private_attributes)?;
        let mut new_public = heir(&public.record, public_id, self.public_attributes)?;
        let algorithm = new_private.algorithm().or_else(|| new_public.algorithm());
        let algorithm = algorithm
            .ok_or_else(|| Error::new(ErrorKind::InvalidField, "the key's algorithm does not say what to make"))?;
        let curve = new_private.attributes.iter().chain(new_public.attributes.iter()).find_map(|attribute| {
            match (&attribute.kind, &attribute.value) {
                (
                    AttributeKind::CryptographicDomainParameters,
                    AttributeValue::DomainParameters { recommended_curve, .. },
                ) => recommended_curve.map(RecommendedCurve),
                _ => None,
            }
        });
        let bits = new_private.length_bits().or_else(|| new_public.length_bits());
        let (kind, _, private_format) = create_key_pair::pair_kind(algorithm, bits, curve)?;
        (new_private.format, new_public.format) =
            (Some(private_format), Some(create_key_pair::public_format(private_format)));
        new_private.link(link::PUBLIC_KEY, public_id)?;
        new_public.link(link::PRIVATE_KEY, private_id)?;
        new_private.link(link::REPLACED, private.record.identifier)?;
        new_public.link(link::REPLACED, public.record.identifier)?;
        let now = tools.now();
        succession::replaced(&mut private.record, private_id, now)?;
        succession::replaced(&mut public.record, public_id, now)?;
        let also = vec![
            Write::PutObject(Box::new(private.record), Guard::At(private.revision)),
            Write::PutObject(Box::new(public.record), Guard::At(public.revision)),
        ];
        create_key_pair::generate_pair(tools, new_private, new_public, kind, None, also).await
    }
}
