//! Get: a value, plain or wrapped under another key.

use kmip_codec::{
    object::KeyWrappingSpecification,
    payload::{GetRequest, GetResponse},
    spec::enums::{self, KeyWrapType, ResultReason},
};

use super::{wire, wrap};
use crate::{
    domain::{ManagedObject, Origin, UniqueIdentifier, algorithm::KeyFormatType as F},
    engine::{
        Error, ErrorKind,
        ops::{
            attributes::ReadAttributes,
            reveal::{Prefer, Reveal},
        },
    },
    kmip::{batch::Exchange, error::Refusal, values},
};

pub(in crate::kmip) async fn get(on: &mut Exchange<'_>, request: GetRequest) -> Result<GetResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    fits(on, object).await?;
    if request.key_format_type == Some(enums::KeyFormatType::PKCS_12) && request.key_wrapping_specification.is_none() {
        return Box::pin(super::pkcs12::get(on, object)).await;
    }
    match form(on, object, &request).await? {
        As::Plain(wanted, prefer) => plain(on, object, wanted, prefer).await,
        form => {
            let value = Box::pin(wrap::wrapped(on, object, form, true)).await?;
            let value = value.ok_or_else(|| on.refusal(&Error::new(ErrorKind::Internal, "nothing was wrapped")))?;
            Ok(GetResponse { object_type: value.object_type(), unique_identifier: wire(object), object: value })
        }
    }
}

/// Refuses to read a value that cannot fit into the answer, before the read is counted or ends *Fresh*. The length of a key
/// says how many bytes its material has at least; RSA keys have more.
pub(super) async fn fits(on: &Exchange<'_>, object: UniqueIdentifier) -> Result<(), Refusal> {
    if on.room.is_none() {
        return Ok(());
    }
    let known = known(on, object).await?;
    let bits = known.length_bits().and_then(|bits| usize::try_from(bits).ok()).unwrap_or(0);
    // Object type, identifier and the object's structure; of a key its block, format, value and material.
    let frame = 16 + 48 + 8 + if known.object_type.has_key_block() { 8 + 16 + 8 + 8 } else { 0 };
    on.fits(frame + bits / 8)
}

/// How a value is given out.
pub(super) enum As {
    /// Plain, or wrapped as it came: in this format, read like this.
    Plain(Option<F>, Prefer),
    /// Wrapped under another key.
    Wrapped(Option<F>, Box<KeyWrappingSpecification>),
}

impl As {
    /// How it is read when it leaves as it is.
    pub(super) const fn plain(&self) -> Option<Prefer> {
        match self {
            Self::Plain(_, prefer) => Some(*prefer),
            Self::Wrapped(..) => None,
        }
    }

    /// The format asked for.
    pub(super) const fn format(&self) -> Option<F> {
        match self {
            Self::Plain(wanted, _) | Self::Wrapped(wanted, _) => *wanted,
        }
    }
}

/// What a Get or Export asks for.
pub(super) async fn form(on: &Exchange<'_>, object: UniqueIdentifier, request: &GetRequest) -> Result<As, Refusal> {
    if request.key_compression_type.is_some_and(|it| it != enums::KeyCompressionType::EC_PUBLIC_KEY_TYPE_UNCOMPRESSED) {
        return Err(Refusal::new(ResultReason::KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "keys are given uncompressed"));
    }
    let wanted = request.key_format_type.map(|it| F(it.number()));
    if let Some(specification) = request.key_wrapping_specification.clone()
        && request.key_wrap_type.is_none()
    {
        return Ok(As::Wrapped(wanted, Box::new(specification)));
    }
    match request.key_wrap_type {
        None | Some(KeyWrapType::AS_REGISTERED) => {}
        Some(KeyWrapType::NOT_WRAPPED) => return Ok(As::Plain(wanted, preferred(on, object, wanted).await?)),
        Some(_) => {
            let error = Error::new(ErrorKind::WrapTypeUnsupported, "keys are given unwrapped or as registered");
            return Err(on.refusal(&error));
        }
    }
    let prefer = match wanted {
        None => Prefer::AsRegistered,
        Some(wanted) => {
            // A key that came wrapped leaves wrapped, in the format that it came in.
            let known = known(on, object).await?;
            if values::came_wrapped(&known) && known.format == Some(wanted) {
                Prefer::AsRegistered
            } else {
                prefer(&known, wanted)
            }
        }
    };
    Ok(As::Plain(wanted, prefer))
}

/// An object's record, where a Get has to look at it first. What is rarely needed has memory of its own: it would be part of every
/// Get's otherwise, made and moved for each.
async fn known(on: &Exchange<'_>, object: UniqueIdentifier) -> Result<ManagedObject, Refusal> {
    Ok(Box::pin(on.run(ReadAttributes { object, digest: false })).await?.object)
}

/// Which form is read depends on the object's own format, which is known once it is loaded: a format that differs from
/// it needs the canonical key. Reading attributes first costs a look-up, and only where a format is named.
async fn preferred(on: &Exchange<'_>, object: UniqueIdentifier, wanted: Option<F>) -> Result<Prefer, Refusal> {
    match wanted {
        None => Ok(Prefer::AsGiven),
        Some(wanted) => Ok(prefer(&known(on, object).await?, wanted)),
    }
}

async fn plain(
    on: &Exchange<'_>,
    object: UniqueIdentifier,
    wanted: Option<F>,
    prefer: Prefer,
) -> Result<GetResponse, Refusal> {
    let revealed = match on.execute(Reveal { object, prefer }).await {
        Ok(revealed) => revealed,
        Err(error) if error.kind == ErrorKind::ValueMissing => {
            return Box::pin(without_value(on, object, &error)).await;
        }
        Err(error) => return Err(on.refusal(&error)),
    };
    let wire_object = values::outgoing(&revealed.object, revealed.value, revealed.form, wanted, on.version)
        .map_err(|error| on.refusal(&error))?;
    Ok(GetResponse {
        object_type: enums::ObjectType::from_number(revealed.object.object_type.number()),
        unique_identifier: wire(object),
        object: wire_object,
    })
}

/// A key whose value this server was never given is answered with an empty key block (TC-MDO-1).
async fn without_value(on: &Exchange<'_>, object: UniqueIdentifier, error: &Error) -> Result<GetResponse, Refusal> {
    let known = known(on, object).await?;
    if !known.object_type.is_key() || known.origin != Origin::Kmip {
        return Err(on.refusal(error));
    }
    let block = values::plain_block(&known, values::default_format(&known), None, on.version);
    Ok(GetResponse {
        object_type: enums::ObjectType::from_number(known.object_type.number()),
        unique_identifier: wire(object),
        object: values::block_object(&known, block).map_err(|error| on.refusal(&error))?,
    })
}

pub(super) fn prefer(object: &ManagedObject, wanted: F) -> Prefer {
    if object.format == Some(wanted) { Prefer::AsGiven } else { Prefer::Canonical }
}
