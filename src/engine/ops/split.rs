//! Create Split Key and Join Split Key (KMIP 2.1 §6.1.10, .27).
//!
//! No token shares secrets: the key leaves for the moment of splitting or joining, in zeroised memory, and each part is a token
//! object of its own (contract §12). So a key that may not leave is not split.

use super::{
    register::{ImportedKey, NewValue, keep},
    template,
};
use crate::{
    authz::Permitted,
    crypto::{PrivateKey, share},
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, Lifecycle, ManagedObject, ObjectType,
        OperationKind, Origin, SecretValue, UniqueIdentifier, algorithm::KeyFormatType, attributes::link,
        reference::KeyKind, secret::SecretFacet,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmAnswer, HsmRequest, IntentKind, Placement, Versioned, Write},
    },
};

/// How a key is split, in KMIP's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Split Key Parts.
    pub parts: u32,
    /// Split Key Threshold.
    pub threshold: u32,
    /// Split Key Method: 1 XOR, 2 GF(2^16), 3 prime field, 4 GF(2^8).
    pub method: u32,
    /// Split Key Polynomial: 1 is 283, 2 is 285.
    pub polynomial: Option<u32>,
    /// Prime Field Size, as sent.
    pub prime: Option<Vec<u8>>,
}

impl Scheme {
    fn field(&self) -> Result<share::Method, Error> {
        match (self.method, self.polynomial, &self.prime) {
            (1, _, _) => Ok(share::Method::Xor),
            (2, _, _) => Ok(share::Method::Gf65536),
            (3, _, Some(prime)) if prime.iter().any(|byte| *byte != 0) => Ok(share::Method::Prime(prime.clone())),
            (3, _, _) => Err(Error::new(ErrorKind::InvalidField, "a prime field needs its prime")),
            (4, Some(1), _) => Ok(share::Method::Gf256(0x11B)),
            (4, None | Some(2), _) => Ok(share::Method::GF256),
            _ => Err(Error::new(ErrorKind::InvalidField, "the split key method is not offered")),
        }
    }

    /// As attributes of a part, for KMIP 3.0 and for joining.
    #[must_use]
    pub fn attributes(&self, part: u32) -> Vec<Attribute> {
        use AttributeKind as K;
        let number = |number: u32| AttributeValue::Integer(number.cast_signed());
        let mut attributes = vec![
            Attribute::new(K::SplitKeyParts, number(self.parts)),
            Attribute::new(K::SplitKeyThreshold, number(self.threshold)),
            Attribute::new(K::SplitKeyMethod, AttributeValue::Enumeration(self.method)),
            Attribute::new(K::KeyPartIdentifier, number(part)),
        ];
        attributes
            .extend(self.polynomial.map(|it| Attribute::new(K::SplitKeyPolynomial, AttributeValue::Enumeration(it))));
        attributes
            .extend(self.prime.clone().map(|it| Attribute::new(K::PrimeFieldSize, AttributeValue::BigInteger(it))));
        attributes
    }

    /// The scheme of a part and its Key Part Identifier, as its record says.
    #[must_use]
    pub fn of(part: &ManagedObject) -> Option<(Self, u32)> {
        use AttributeKind as K;
        let number = |kind: &K| match part.attributes.value(kind) {
            Some(AttributeValue::Integer(number)) => u32::try_from(*number).ok(),
            Some(AttributeValue::Enumeration(number)) => Some(*number),
            _ => None,
        };
        let scheme = Self {
            parts: number(&K::SplitKeyParts)?,
            threshold: number(&K::SplitKeyThreshold)?,
            method: number(&K::SplitKeyMethod)?,
            polynomial: number(&K::SplitKeyPolynomial),
            prime: match part.attributes.value(&K::PrimeFieldSize) {
                Some(AttributeValue::BigInteger(prime)) => Some(prime.clone()),
                _ => None,
            },
        };
        Some((scheme, number(&K::KeyPartIdentifier)?))
    }
}

/// Splits a key into parts; makes the key first where none is named.
#[derive(Debug)]
pub struct Split {
    /// Which key; a new one when there is none.
    pub object: Option<UniqueIdentifier>,
    /// How.
    pub scheme: Scheme,
    /// Algorithm of a new key.
    pub algorithm: Option<CryptographicAlgorithm>,
    /// Its length in bits.
    pub length_bits: Option<u32>,
    /// Attributes of the parts.
    pub attributes: Vec<Attribute>,
    /// What only Barbican's side keeps; whose it is.
    pub secret: SecretFacet,
}

impl Operation for Split {
    const KIND: OperationKind = OperationKind::SplitKey;
    type Output = Vec<ManagedObject>;

    fn target(&self) -> Target {
        self.object.map_or(Target::Project, Target::Object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Vec<ManagedObject>, Error> {
        let field = self.scheme.field()?;
        let base = on.into_inner().objects.pop();
        let (value, algorithm, bits) = match &base {
            Some(base) => {
                let value = whole(tools, &base.record).await?;
                (value, base.record.algorithm().or(self.algorithm), base.record.length_bits())
            }
            None => {
                let bits = self.length_bits.filter(|bits| *bits != 0 && bits.is_multiple_of(8) && *bits <= 32_768);
                let bits = bits.ok_or_else(|| Error::new(ErrorKind::Missing, "a new key needs a length"))?;
                let value = tools.hsm_value(HsmRequest::Random { token: None, bytes: bits / 8 }).await?;
                (value, self.algorithm, Some(bits))
            }
        };
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (parts, threshold) = (size(self.scheme.parts), size(self.scheme.threshold));
        let refused = |error: crate::crypto::Error| {
            Error::new(ErrorKind::InvalidField, "the key cannot be split like this").because(error)
        };
        let count = field.random_bytes(value.len(), parts, threshold).map_err(refused)?;
        let count = u32::try_from(count)
            .ok()
            .filter(|count| *count <= tools.settings().random_bytes_max)
            .ok_or_else(|| Error::new(ErrorKind::TooLarge, "the key cannot be split into so many parts"))?;
        let random = tools.hsm_value(HsmRequest::Random { token: None, bytes: count }).await?;
        let shares = share::split(&field, &value, parts, threshold, &random).map_err(refused)?;
        drop((value, random));

        let mut records = self.records(tools, base.as_ref(), algorithm, bits)?;
        let mut places = Vec::with_capacity(records.len());
        for record in &records {
            places.push(tools.place(record.identifier, ObjectType::SplitKey)?);
        }
        let intent = tools.announce(IntentKind::Make, places.clone()).await?;
        for ((record, at), share) in records.iter_mut().zip(places).zip(shares) {
            match hold(tools, at, share).await {
                Ok(reference) => record.value = Some(reference),
                Err(error) => {
                    tools.withdraw(intent).await;
                    return Err(error);
                }
            }
        }
        let mut writes = Vec::with_capacity(records.len() + 1);
        if let Some(Versioned { mut record, revision }) = base {
            for part in &records {
                record.link(link::CHILD, part.identifier)?;
            }
            record.lifecycle.last_change = tools.now();
            writes.push(Write::PutObject(Box::new(record), Guard::At(revision)));
        }
        writes.extend(records.iter().map(|it| Write::PutObject(Box::new(it.clone()), Guard::Absent)));
        tools.conclude(intent, writes).await?;
        Ok(records)
    }
}

impl Split {
    fn records(
        &self,
        tools: &Tools,
        base: Option<&Versioned<ManagedObject>>,
        algorithm: Option<CryptographicAlgorithm>,
        bits: Option<u32>,
    ) -> Result<Vec<ManagedObject>, Error> {
        let ids: Vec<UniqueIdentifier> = (0..self.scheme.parts).map(|_| tools.identifier()).collect();
        let mut records = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            let part = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
            let mut record = ManagedObject {
                identifier: *id,
                object_type: ObjectType::SplitKey,
                project: tools.principal().project.clone(),
                creator: tools.principal().name.clone(),
                origin: Origin::Kmip,
                value: None,
                format: Some(KeyFormatType::RAW),
                subtype: None,
                lifecycle: Lifecycle::new(tools.now()),
                attributes: Default::default(),
                secret: self.secret.clone(),
            };
            if let Some(algorithm) = algorithm {
                record.attributes.set(AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(algorithm.0));
            }
            if let Some(bits) = bits {
                record.attributes.set(AttributeKind::CryptographicLength, AttributeValue::Integer(bits.cast_signed()));
            }
            for attribute in self.scheme.attributes(part) {
                record.attributes.set(attribute.kind, attribute.value);
            }
            // A name leads to one object: the first part has it.
            let given = self.attributes.iter().filter(|given| at == 0 || given.kind != AttributeKind::Name).cloned();
            template::apply(&mut record, given.collect())?;
            if let Some(base) = base {
                if record.attributes.value(&AttributeKind::CryptographicUsageMask).is_none()
                    && base.record.usage().0 != 0
                {
                    let mask = AttributeValue::Integer(base.record.usage().0.cast_signed());
                    record.attributes.set(AttributeKind::CryptographicUsageMask, mask);
                }
                // Its parts are as secret as the key.
                if base.record.flag(&AttributeKind::Sensitive, false) {
                    record.attributes.set(AttributeKind::Sensitive, AttributeValue::Boolean(true));
                }
                record.link(link::PARENT, base.record.identifier)?;
            }
            if let Some(previous) = at.checked_sub(1).and_then(|at| ids.get(at)) {
                record.link(link::PREVIOUS, *previous)?;
            }
            if let Some(next) = ids.get(at + 1) {
                record.link(link::NEXT, *next)?;
            }
            template::server_attributes(&mut record, tools.settings(), true);
            records.push(record);
        }
        Ok(records)
    }
}

/// The whole value of a key that may leave.
async fn whole(tools: &Tools, object: &ManagedObject) -> Result<SecretValue, Error> {
    let reference = tools.reference(object)?.clone();
    let splittable = object.object_type.is_key() || object.object_type == ObjectType::SecretData;
    if !splittable || object.object_type == ObjectType::PublicKey {
        return Err(Error::new(ErrorKind::WrongObjectType, "keys and secret data are split"));
    }
    if !object.flag(&AttributeKind::Extractable, true) {
        return Err(Error::new(ErrorKind::NotExtractable, "the object was made not to leave the HSM"));
    }
    let request = match reference.key {
        Some(_) => HsmRequest::RevealKey { reference },
        None => HsmRequest::RevealBytes { reference },
    };
    tools.hsm_value(request).await
}

async fn hold(tools: &Tools, at: Placement, value: SecretValue) -> Result<crate::domain::TokenReference, Error> {
    match tools.hsm(HsmRequest::HoldBytes { at, value, beside_key: false }).await? {
        HsmAnswer::Made { reference, .. } => Ok(reference),
        other => Err(crate::engine::unexpected(&other)),
    }
}

/// Joins parts into a key.
#[derive(Debug)]
pub struct Join {
    /// The type of what is joined.
    pub object_type: ObjectType,
    /// Which parts.
    pub objects: Vec<UniqueIdentifier>,
    /// For secret data: Password 1, Seed 2.
    pub subtype: Option<u32>,
    /// The key's algorithm; that of its parts when it is left out.
    pub algorithm: Option<CryptographicAlgorithm>,
    /// Its length in bits; that of its parts when it is left out.
    pub length_bits: Option<u32>,
    /// Its other attributes.
    pub attributes: Vec<Attribute>,
    /// What only Barbican's side keeps; whose it is.
    pub secret: SecretFacet,
}

impl Operation for Join {
    const KIND: OperationKind = OperationKind::JoinKey;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Objects(self.objects.clone())
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let parts: Vec<ManagedObject> = on.into_inner().objects.into_iter().map(|it| it.record).collect();
        let unfit = || Error::new(ErrorKind::Cryptographic, "the parts do not make a key");
        let mut scheme = None;
        let mut shares = Vec::with_capacity(parts.len());
        for part in &parts {
            let reference = tools.reference(part)?.clone();
            if part.object_type != ObjectType::SplitKey {
                return Err(Error::new(ErrorKind::WrongObjectType, "parts of a key are joined"));
            }
            if !part.flag(&AttributeKind::Extractable, true) {
                return Err(Error::new(ErrorKind::NotExtractable, "the part was made not to leave the HSM"));
            }
            let (of, id) = Scheme::of(part).ok_or_else(unfit)?;
            if scheme.get_or_insert_with(|| of.clone()) != &of {
                return Err(unfit());
            }
            shares.push((id, reference));
        }
        let scheme = scheme.ok_or_else(|| Error::new(ErrorKind::Missing, "no part is named"))?;
        let threshold = usize::try_from(scheme.threshold).unwrap_or(usize::MAX);
        if shares.len() < threshold {
            return Err(unfit());
        }
        let mut values = Vec::with_capacity(shares.len());
        for (id, reference) in shares {
            values.push((id, tools.hsm_value(HsmRequest::RevealBytes { reference }).await?));
        }
        let algorithm = self.algorithm.or_else(|| parts.iter().find_map(ManagedObject::algorithm));
        let bits = self.length_bits.or_else(|| parts.iter().find_map(ManagedObject::length_bits));
        let length = bits.filter(|_| self.object_type != ObjectType::PrivateKey);
        let length = length.and_then(|bits| usize::try_from(bits.div_ceil(8)).ok());
        let value =
            share::join(&scheme.field()?, threshold, &values, length).map_err(|error| unfit().because(error))?;
        drop(values);
        let mut record = ManagedObject {
            identifier: tools.identifier(),
            object_type: self.object_type,
            project: tools.principal().project.clone(),
            creator: tools.principal().name.clone(),
            origin: Origin::Kmip,
            value: None,
            format: Some(if self.object_type == ObjectType::PrivateKey {
                KeyFormatType::PKCS_8
            } else {
                KeyFormatType::RAW
            }),
            subtype: (self.object_type == ObjectType::SecretData).then(|| self.subtype.unwrap_or(1)),
            lifecycle: Lifecycle::new(tools.now()),
            attributes: Default::default(),
            secret: self.secret,
        };
        if let Some(algorithm) = algorithm {
            record.attributes.set(AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(algorithm.0));
        }
        if let Some(bits) = bits {
            record.attributes.set(AttributeKind::CryptographicLength, AttributeValue::Integer(bits.cast_signed()));
        }
        template::apply(&mut record, self.attributes)?;
        if parts.iter().any(|part| part.flag(&AttributeKind::Sensitive, false)) {
            record.attributes.set(AttributeKind::Sensitive, AttributeValue::Boolean(true));
        }
        template::server_attributes(&mut record, tools.settings(), false);
        let value = match self.object_type {
            ObjectType::PrivateKey => private_key(value).ok_or_else(unfit)?,
            of => template::raw_value(of, algorithm, record.usage(), value)?,
        };
        keep(tools, record, Some(value), Vec::new()).await
    }
}

fn private_key(value: SecretValue) -> Option<NewValue> {
    let key = PrivateKey::parse(&value).ok()?;
    let kind = match &key {
        PrivateKey::Rsa(_) => KeyKind::RsaPrivate,
        PrivateKey::Ec(key) => KeyKind::EcPrivate(key.curve()),
        PrivateKey::Ed25519(_) => KeyKind::Ed25519Private,
    };
    let value = key.to_pkcs8().ok()?;
    Some(NewValue { key: Some(ImportedKey { kind, value }), bytes: None })
}
