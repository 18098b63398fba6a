//! Export and Import.

use kmip_codec::{
    attribute::AttributeList,
    payload::{ExportRequest, ExportResponse, GetRequest, ImportRequest, ImportResponse},
    spec::enums::{self, KeyWrapType, Operation, ResultReason},
};

use super::{get, pkcs12, register, wire, wrap};
use crate::{
    domain::{Attribute, AttributeKind, AttributeValue, ObjectType},
    engine::{
        ErrorKind,
        ops::{import::Import, reveal::Export},
    },
    kmip::{attributes, batch::Exchange, error::Refusal, values},
};

pub(in crate::kmip) async fn export(on: &mut Exchange<'_>, request: ExportRequest) -> Result<ExportResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    get::fits(on, object).await?;
    let ask = GetRequest {
        unique_identifier: request.unique_identifier,
        key_format_type: request.key_format_type,
        key_wrap_type: request.key_wrap_type,
        key_compression_type: request.key_compression_type,
        key_wrapping_specification: request.key_wrapping_specification,
    };
    let form = get::form(on, object, &ask).await?;
    let exported = on.run(Export { object, prefer: form.plain() }).await?;
    let list = attributes::for_client(&exported.attributes, on.version);
    let value = match (exported.value, form) {
        (Some((value, of)), form) => Some(
            values::outgoing(&exported.object, value, of, form.format(), on.version)
                .map_err(|error| on.refusal(&error))?,
        ),
        (None, form) if exported.object.value.is_some() => wrap::wrapped(on, object, form, false).await?,
        (None, _) => None,
    };
    Ok(ExportResponse {
        object_type: enums::ObjectType::from_number(exported.object.object_type.number()),
        unique_identifier: wire(object),
        attributes: AttributeList(list),
        object: value,
    })
}

pub(in crate::kmip) async fn import(
    on: &mut Exchange<'_>,
    mut request: ImportRequest,
) -> Result<ImportResponse, Refusal> {
    let mut given = attributes::all(std::mem::take(&mut request.attributes.0), on.version)?;
    let mut certificates = Vec::new();
    if let Some(container) = request.object.take_if(|object| pkcs12::is_container(object)) {
        let opened = pkcs12::open(on, container, &mut given).await?;
        certificates = opened.certificates;
        request.object = Some(opened.object);
    }
    let imported = take(on, request, given).await;
    if imported.is_err() {
        pkcs12::discard(on, &certificates).await;
    }
    imported
}

async fn take(
    on: &mut Exchange<'_>,
    request: ImportRequest,
    mut given: Vec<Attribute>,
) -> Result<ImportResponse, Refusal> {
    let identifier = on.object(Some(&request.unique_identifier)).map_err(|_not_ours| {
        Refusal::new(ResultReason::INVALID_FIELD, "an imported object is named by a version 4 UUID in lower case")
    })?;
    let named = given.iter().find_map(|attribute| match (&attribute.kind, &attribute.value) {
        (AttributeKind::ObjectType, AttributeValue::Enumeration(number)) => ObjectType::from_number(*number),
        _ => None,
    });
    // 1.4 has no field for the type: the object or its attribute tells it.
    let stated = request.object_type.map(super::create::object_type).transpose()?;
    given.retain(|attribute| attribute.kind != AttributeKind::KeyWrappingData);
    let incoming = match request.object {
        Some(object) => register::incoming(on, object, &mut given).await?,
        None => {
            let object_type = stated.or(named);
            let object_type = object_type
                .ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "the type of the object is missing"))?;
            values::attributes_only(object_type)
        }
    };
    if stated.or(named).is_some_and(|stated| stated != incoming.object_type) {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the object is of another type than the request says"));
    }
    let mut incoming = incoming;
    if request.key_wrap_type == Some(KeyWrapType::NOT_WRAPPED) {
        values::forget_wrapping(&mut incoming).map_err(|error| on.refusal(&error))?;
    }
    let stated: Vec<AttributeKind> = given.iter().map(|it| it.kind.clone()).collect();
    incoming.join(&mut given, &stated);
    on.stand(incoming.object_type, &mut given)?;
    let import = Import {
        identifier,
        replace: request.replace_existing.unwrap_or(false),
        object_type: incoming.object_type,
        subtype: incoming.subtype,
        format: incoming.format,
        value: incoming.value,
        derived: incoming.derived,
        attributes: given,
        secret: on.facet(),
    };
    match on.execute(import).await {
        Ok(object) => {
            on.made(Operation::IMPORT, &[object.identifier]);
            Ok(ImportResponse { unique_identifier: wire(object.identifier) })
        }
        // An identifier of another project is refused as if it were nobody's (design decision "import").
        Err(error) if error.kind == ErrorKind::NotFound => {
            Err(Refusal::new(ResultReason::PERMISSION_DENIED, "the object may not be imported"))
        }
        Err(error) => Err(on.refusal(&error)),
    }
}
