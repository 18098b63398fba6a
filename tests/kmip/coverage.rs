//! docs/coverage.md is what the server does, asked of the server itself: operations, attributes and profiles by version.
//!
//! Every operation and attribute of the tables is tried in every version. The page is made from the answers and compared
//! with the file, so that neither can say more than the other. `UPDATE_DOCS=1 cargo test --test kmip coverage` writes it.

use std::{env, fmt::Write, fs, path::Path};

use kmip_codec::{
    ProtocolVersion, Tag,
    attribute::Attributes,
    fuzzing::{Seeds, attribute_of_row},
    message::{RequestHeader, RequestItem, RequestMessage},
    payload::{LocateRequest, QueryRequest, Request, Response},
    spec::{
        attributes::ATTRIBUTES,
        enums::{Operation, QueryFunction, ResultReason},
        operations,
    },
    ttlv::{Item, Value},
    version::SUPPORTED,
};

use crate::support::Gateway;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/coverage.md");

/// Why an operation of the standard is not offered.
const OPERATIONS_LEFT_OUT: &[(Operation, &str)] = &[
    (Operation::NOTIFY, "the server sends it, clients do not"),
    (Operation::PUT, "the server sends it, clients do not"),
    (Operation::SET_ENDPOINT_ROLE, "requests go from clients to the gateway only"),
];

/// Why an attribute of the standard is not kept.
const ATTRIBUTES_LEFT_OUT: &[(Tag, &str)] = &[
    (Tag::CERTIFY_COUNTER, "a counter would cost a durable write for each use; the audit trail counts uses"),
    (Tag::DECRYPT_COUNTER, "as Certify Counter"),
    (Tag::ENCRYPT_COUNTER, "as Certify Counter"),
    (Tag::SIGN_COUNTER, "as Certify Counter"),
    (Tag::SIGNATURE_VERIFY_COUNTER, "as Certify Counter"),
    (Tag::OTP_COUNTER, "the counter of a one-time password stands in its credential"),
    (Tag::CERTIFICATE_ISSUER_DN, "the X.509 Certificate Issuer says the same"),
    (Tag::CERTIFICATE_SUBJECT_DN, "the X.509 Certificate Subject says the same"),
];

const NOT_YET: &str = "not built yet";

/// Versions, oldest first, as the columns stand.
fn versions() -> impl Iterator<Item = ProtocolVersion> {
    SUPPORTED.into_iter().rev()
}

/// Whether a version offers the operation: what it answers to an empty payload.
async fn offers(gateway: &Gateway, operation: Operation, version: ProtocolVersion) -> bool {
    let payload = Item::new(Tag::REQUEST_PAYLOAD, Value::Structure(Default::default()));
    let message =
        RequestMessage { header: RequestHeader::new(version), items: vec![RequestItem::new(operation, payload)] };
    let (_, items) = gateway.raw_items(&message.encode().unwrap()).await;
    items[0].reason != Some(ResultReason::OPERATION_NOT_SUPPORTED)
}

/// Whether a version knows the attribute: what it answers to a Locate by it.
async fn keeps(gateway: &Gateway, tag: Tag, version: ProtocolVersion) -> bool {
    let row = ATTRIBUTES.iter().find(|row| row.tag == tag).unwrap();
    let mut attribute = attribute_of_row(row, &mut Seeds::new(u64::from(tag.number())), version);
    attribute.index = None;
    let conditions: Attributes = [attribute].into_iter().collect();
    let request = LocateRequest {
        maximum_items: Some(1),
        attributes: kmip_codec::attribute::AttributeList(conditions),
        ..LocateRequest::default()
    };
    let answer = gateway.one(version, Operation::LOCATE, Request::from(request)).await;
    !answer.message.is_some_and(|text| text.contains("the attribute is not known"))
}

async fn profiles(gateway: &Gateway, version: ProtocolVersion) -> Vec<String> {
    let query = QueryRequest { query_functions: vec![QueryFunction::QUERY_PROFILES], ..QueryRequest::default() };
    match gateway.one(version, Operation::QUERY, Request::from(query)).await.payload {
        Some(Response::Query(answer)) => answer
            .profile_information
            .iter()
            .map(|it| it.profile_name.name(version).expect("a version's own name").to_owned())
            .collect(),
        _ => Vec::new(),
    }
}

/// A table of what there is in which version, and a list of what is left out.
struct Table {
    rows: String,
    left_out: String,
}

impl Table {
    fn new(what: &str) -> Self {
        let columns: Vec<String> = versions().map(|version| version.to_string()).collect();
        let rule = vec!["---"; columns.len() + 1].join("|");
        Self { rows: format!("| {what} | {} |\n|{rule}|\n", columns.join(" | ")), left_out: String::new() }
    }

    /// `cells`: `None` where the version does not define it.
    fn row(&mut self, name: &str, cells: &[Option<bool>], reason: Option<&str>) {
        let shown = |cell: &Option<bool>| match cell {
            None => "",
            Some(true) => "yes",
            Some(false) => "no",
        };
        let cells_text: Vec<&str> = cells.iter().map(shown).collect();
        writeln!(self.rows, "| {name} | {} |", cells_text.join(" | ")).unwrap();
        if cells.contains(&Some(false)) {
            writeln!(self.left_out, "| {name} | {} |", reason.unwrap_or(NOT_YET)).unwrap();
        }
    }
}

async fn page() -> String {
    let gateway = crate::provision::provisioned(false).0;
    let mut of_operations = Table::new("operation");
    for row in Operation::ROWS {
        let operation = Operation::from_number(row.number);
        let mut cells = Vec::new();
        for version in versions() {
            let offered = offers(&gateway, operation, version).await;
            let exists = operations::exists(operation, version);
            assert!(exists || !offered, "{operation} is answered in {version}, which does not define it");
            cells.push(exists.then_some(offered));
        }
        let reason = OPERATIONS_LEFT_OUT.iter().find(|(known, _)| *known == operation).map(|(_, reason)| *reason);
        of_operations.row(row.name, &cells, reason);
    }
    let mut of_attributes = Table::new("attribute");
    for row in ATTRIBUTES {
        let mut cells = Vec::new();
        for version in versions() {
            let defined = row.versions.contains(version);
            cells.push(if defined { Some(keeps(&gateway, row.tag, version).await) } else { None });
        }
        let reason = ATTRIBUTES_LEFT_OUT.iter().find(|(known, _)| *known == row.tag).map(|(_, reason)| *reason);
        of_attributes.row(row.name, &cells, reason);
    }
    let mut claimed = String::new();
    for version in versions() {
        let mut names = profiles(&gateway, version).await;
        names.sort();
        let names =
            if names.is_empty() { "none, or the version has no way to say it".to_owned() } else { names.join(", ") };
        writeln!(claimed, "| {version} | {names} |").unwrap();
    }
    let left_out = |table: &str, none: &str| {
        if table.is_empty() { format!("{none}\n") } else { format!("| left out | because |\n|---|---|\n{table}") }
    };
    format!(
        "# What of KMIP is there\n\n\
         Made by a test that asks the server; `UPDATE_DOCS=1 cargo test --test kmip coverage` writes it again. An empty cell means\n\
         that the version does not define it. Published files that cannot pass are in [deviations.md](deviations.md), limits in\n\
         [limits.md](limits.md).\n\n\
         Messages travel in TTLV over TLS, and in TTLV, JSON or XML over HTTPS. Interop is answered where `kmip.interop` is on.\n\n\
         ## Operations\n\n{}\n{}\n## Attributes\n\n{}\n{}\n## Profiles claimed\n\n| version | profiles |\n|---|---|\n{claimed}",
        of_operations.rows,
        left_out(&of_operations.left_out, "None is left out."),
        of_attributes.rows,
        left_out(&of_attributes.left_out, "None is left out."),
    )
}

#[tokio::test]
async fn the_coverage_page_is_what_the_server_answers() {
    let made = page().await;
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(FILE, &made).unwrap();
    }
    let written = fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    let differs = made.lines().zip(written.lines()).find(|(made, written)| made != written);
    assert_eq!(differs, None, "docs/coverage.md is old: UPDATE_DOCS=1 cargo test --test kmip coverage");
    assert_eq!(made.lines().count(), written.lines().count(), "docs/coverage.md has another length");
}

#[test]
fn what_is_left_out_has_one_reason_each() {
    for (at, (operation, reason)) in OPERATIONS_LEFT_OUT.iter().enumerate() {
        assert!(!reason.is_empty() && OPERATIONS_LEFT_OUT[at + 1..].iter().all(|(other, _)| other != operation));
    }
    for (at, (tag, reason)) in ATTRIBUTES_LEFT_OUT.iter().enumerate() {
        assert!(!reason.is_empty() && ATTRIBUTES_LEFT_OUT[at + 1..].iter().all(|(other, _)| other != tag));
    }
}
