//! Every operation, in every version that has it, asked in every wrong way: the exact reason of each (KMIP contract §9).
//!
//! `table.txt` says what is right: a row an operation and a condition, with the reasons by version. It was written from the
//! contract and the standard's tables of errors, and is compared with what the server says, both ways: a row that no case
//! meets fails as much as a case without a row. Each condition spoils a request that succeeds, which is a row, too.

mod conditions;
mod requests;

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::Attributes,
    message::{Payload, RequestHeader, RequestItem, RequestMessage},
    payload::Request,
    spec::{
        enums::{Operation, ResultReason},
        operations,
    },
    ttlv::{self, Item, Writer},
    version::{SUPPORTED, V1_4},
};
use portcullis::domain::Principal;

use self::{
    conditions as wrong,
    requests::{STATES, Subject, subject},
};
use crate::support::{Answer, Gateway, peer};

const TABLE: &str = include_str!("table.txt");
const UNKNOWN: &str = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f";
const TAKEN: &str = "a name that is taken";

/// Operation and condition.
type Case = (String, String);

/// What was told, by version; one entry for each way to be wrong.
type Told = BTreeMap<Case, BTreeMap<ProtocolVersion, Vec<(String, String)>>>;

struct Tester {
    gateway: Gateway,
    told: Told,
}

fn encoded(request: &Request, version: ProtocolVersion) -> Item<'static> {
    let mut writer = Writer::new(version);
    request.encode_payload(Tag::REQUEST_PAYLOAD, &mut writer);
    let bytes = writer.finish().expect("short");
    ttlv::parse(&bytes, &Limits::default()).expect("our own encoding").into_owned()
}

impl Tester {
    fn new() -> Self {
        let mut gateway = Gateway::of_all_versions();
        gateway.peer = peer("client", "demo", "admin");
        Self { gateway, told: Told::new() }
    }

    async fn ask(&self, version: ProtocolVersion, operation: Operation, payload: Item<'static>) -> Answer {
        let items = vec![RequestItem::new(operation, payload)];
        let message = RequestMessage { header: RequestHeader::new(version), items };
        let (_, mut answers) = self.gateway.raw_items(&message.encode().expect("short")).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    fn note(&mut self, operation: Operation, condition: &str, version: ProtocolVersion, way: &str, told: String) {
        let case = (plain(&operation.to_string()), condition.to_owned());
        self.told.entry(case).or_default().entry(version).or_default().push((way.to_owned(), told));
    }

    async fn case(
        &mut self,
        (operation, condition): (Operation, &str),
        version: ProtocolVersion,
        ways: Vec<(String, Item<'static>)>,
    ) {
        for (way, mut payload) in ways {
            if operation == Operation::IMPORT {
                // What was imported once is there.
                payload = wrong::with_identifier(&payload, &requests::fresh_identifier(&self.gateway));
            }
            let answer = self.ask(version, operation, payload).await;
            self.note(operation, condition, version, &way, requests::told(&answer));
        }
    }

    /// A request that succeeds, encoded.
    async fn good(
        &self,
        operation: Operation,
        version: ProtocolVersion,
        ids: &[UniqueIdentifier],
    ) -> Option<Item<'static>> {
        requests::request(&self.gateway, operation, version, ids).await.map(|request| encoded(&request, version))
    }

    /// What does not depend on what the request is about.
    async fn forms(&mut self, operation: Operation, version: ProtocolVersion, ids: &[UniqueIdentifier]) {
        type Spoil = fn(Operation, ProtocolVersion, &Item<'static>) -> Vec<wrong::Spoilt>;
        const FORMS: [(&str, Spoil); 8] = [
            ("a required field is missing", wrong::missing),
            ("an unknown field", wrong::unknown_field),
            ("a field of another structure", wrong::misplaced_field),
            ("a field twice", wrong::twice),
            ("a field of another type", wrong::other_type),
            ("an unknown value", wrong::unknown_value),
            ("a number below zero", wrong::negative),
            ("a text too long", wrong::too_long),
        ];
        let Some(payload) = self.good(operation, version, ids).await else { return };
        for (condition, spoil) in FORMS {
            self.case((operation, condition), version, spoil(operation, version, &payload)).await;
        }
    }

    async fn attributes(&mut self, operation: Operation, version: ProtocolVersion, ids: &[UniqueIdentifier]) {
        type Make = fn(ProtocolVersion) -> wrong::Attributes;
        const KINDS: [(&str, Make); 8] = [
            ("an unknown attribute", wrong::unknown_attribute),
            ("a read-only attribute", wrong::read_only),
            ("an attribute of another type of object", wrong::of_another_type),
            ("an attribute value of another type", wrong::wrong_attribute_type),
            ("an attribute value out of range", wrong::bad_attribute_value),
            ("a single-valued attribute twice", wrong::attribute_twice),
            ("too many attributes", wrong::too_many),
            ("an attribute value too long", wrong::too_long_attribute),
        ];
        let taken = |version| vec![(String::new(), vec![wrong::name(version, TAKEN, 1)])];
        for (condition, make) in KINDS.into_iter().chain([("a name that another object has", taken as Make)]) {
            // Some name attributes only, and pairs have what keys have not.
            let sensible = match operation {
                Operation::GET_ATTRIBUTES => &KINDS[..1],
                Operation::DELETE_ATTRIBUTE | Operation::ADJUST_ATTRIBUTE => &KINDS[..3],
                _ => &KINDS[..],
            };
            let of_pairs = operation == Operation::CREATE_KEY_PAIR && condition == KINDS[2].0;
            if of_pairs || (sensible.len() < KINDS.len() && !sensible.iter().any(|(it, _)| *it == condition)) {
                continue;
            }
            let Some(payload) = self.good(operation, version, ids).await else { return };
            let ways = make(version).into_iter().filter_map(|(way, attributes)| {
                let spoilt = match operation {
                    Operation::LOCATE => Some(wrong::with_conditions(version, &payload, &attributes)),
                    _ if attributes.len() == 1 => wrong::with_other_attribute(version, &payload, &attributes[0]),
                    _ => None,
                };
                Some((way, spoilt.or_else(|| wrong::with_attributes(&payload, &attributes))?))
            });
            self.case((operation, condition), version, ways.collect()).await;
        }
    }

    /// An object that does not exist, of another project, or of another type.
    async fn objects(&mut self, operation: Operation, version: ProtocolVersion, ids: &[UniqueIdentifier]) {
        let unknown = [UniqueIdentifier::from(UNKNOWN)];
        let payload = self.good(operation, version, &unknown).await.expect("it is about an object");
        self.case((operation, "an unknown identifier"), version, vec![(String::new(), payload)]).await;

        let payload = self.good(operation, version, ids).await.expect("it is about an object");
        let own = std::mem::replace(&mut self.gateway.peer, peer("stranger", "elsewhere", "admin"));
        self.case((operation, "another project's object"), version, vec![(String::new(), payload)]).await;
        self.gateway.peer = own;

        let other = match subject(operation) {
            _ if TAKES_ANYTHING.contains(&operation) => return,
            Subject::Key => requests::opaque(&self.gateway).await,
            _ => requests::key(&self.gateway).await,
        };
        let payload = self.good(operation, version, &[other]).await.expect("it is about an object");
        self.case((operation, "another type of object"), version, vec![(String::new(), payload)]).await;
    }

    async fn states(&mut self, operation: Operation, version: ProtocolVersion) {
        for (state, name) in STATES {
            let ids = requests::subjects(&self.gateway, operation, state).await;
            let payload = self.good(operation, version, &ids).await.expect("it is about an object");
            self.case((operation, &format!("the object is {name}")), version, vec![(String::new(), payload)]).await;
        }
    }

    async fn rights(&mut self, operation: Operation, version: ProtocolVersion, ids: &[UniqueIdentifier]) {
        let nobody = {
            let reader = peer("client", "demo", "reader");
            let principal = Arc::new(Principal { roles: Default::default(), ..(*reader.principal).clone() });
            portcullis::kmip::Peer { principal, ..reader }
        };
        for (condition, who) in
            [("a client that only reads", peer("client", "demo", "reader")), ("a client without a role", nobody)]
        {
            let Some(payload) = self.good(operation, version, ids).await else { return };
            let own = std::mem::replace(&mut self.gateway.peer, who);
            self.case((operation, condition), version, vec![(String::new(), payload)]).await;
            self.gateway.peer = own;
        }
    }

    async fn everything(&mut self, version: ProtocolVersion) {
        let taken = Attributes::default();
        self.gateway.aes(V1_4, TAKEN, taken).await;
        for operation in operations::of_version(version) {
            // What is refused for its rights changes nothing, so that it comes before what may change something.
            let state = requests::state_wanted(operation);
            let ids = requests::subjects(&self.gateway, operation, state).await;
            self.rights(operation, version, &ids).await;
            let ids = requests::subjects(&self.gateway, operation, state).await;
            self.forms(operation, version, &ids).await;
            let ids = requests::subjects(&self.gateway, operation, state).await;
            self.attributes(operation, version, &ids).await;
            if subject(operation) != Subject::None {
                let ids = requests::subjects(&self.gateway, operation, state).await;
                self.objects(operation, version, &ids).await;
                self.states(operation, version).await;
            }
            let ids = requests::subjects(&self.gateway, operation, state).await;
            let payload = match self.good(operation, version, &ids).await {
                Some(payload) => payload,
                None => Item::new(Tag::REQUEST_PAYLOAD, ttlv::Value::Structure(Default::default())),
            };
            self.case((operation, "all is well"), version, vec![(String::new(), payload)]).await;
        }
    }
}

/// Operations on any type of object.
const TAKES_ANYTHING: [Operation; 18] = [
    Operation::GET,
    Operation::GET_ATTRIBUTES,
    Operation::GET_ATTRIBUTE_LIST,
    Operation::ADD_ATTRIBUTE,
    Operation::MODIFY_ATTRIBUTE,
    Operation::DELETE_ATTRIBUTE,
    Operation::SET_ATTRIBUTE,
    Operation::ADJUST_ATTRIBUTE,
    Operation::OBTAIN_LEASE,
    Operation::ACTIVATE,
    Operation::REVOKE,
    Operation::DESTROY,
    Operation::ARCHIVE,
    Operation::RECOVER,
    Operation::EXPORT,
    Operation::OBLITERATE,
    Operation::DEACTIVATE,
    Operation::CHECK,
];

/// A row: what is right, by version.
type Row = BTreeMap<ProtocolVersion, Vec<String>>;

fn version(text: &str) -> ProtocolVersion {
    SUPPORTED.into_iter().find(|version| version.to_string() == text).unwrap_or_else(|| panic!("no version {text}"))
}

fn range(text: &str) -> Vec<ProtocolVersion> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (version(first), version(last));
    SUPPORTED.into_iter().filter(|it| (first..=last).contains(it)).collect()
}

/// The rows of the table: `operation | condition | versions: reason or reason | …`.
fn rows() -> BTreeMap<Case, Row> {
    let mut rows = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut cells = line.split('|').map(str::trim);
        let (operation, condition) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let mut row = Row::new();
        for cell in cells {
            let (versions, reasons) = cell.split_once(':').unwrap_or_else(|| panic!("{line}"));
            let reasons: Vec<String> = reasons.split(" or ").map(str::trim).map(str::to_owned).collect();
            for version in range(versions.trim()) {
                assert!(row.insert(version, reasons.clone()).is_none(), "{line}: {version} twice");
            }
        }
        let case = (plain(operation), condition.to_owned());
        assert!(rows.insert(case, row).is_none(), "{line}: twice");
    }
    rows
}

/// A name without regard to blanks, hyphens and case.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect()
}

/// Where what was told and what is right differ, a line each.
fn differences(told: &Told, rows: &BTreeMap<Case, Row>) -> String {
    let mut out = String::new();
    for (case, versions) in told {
        let row = rows.get(case);
        for (version, ways) in versions {
            let right = row.and_then(|row| row.get(version));
            for (way, reason) in ways {
                match right {
                    None => writeln!(out, "{} | {} | {version}: no row; {way}: {reason}", case.0, case.1),
                    Some(right) if !right.iter().any(|it| plain(it) == plain(reason)) => {
                        writeln!(out, "{} | {} | {version}: {} | {way}: {reason}", case.0, case.1, right.join(" or "))
                    }
                    Some(_) => Ok(()),
                }
                .expect("a String takes everything");
            }
        }
    }
    for (case, row) in rows {
        for version in row.keys() {
            if told.get(case).and_then(|told| told.get(version)).is_none() {
                writeln!(out, "{} | {} | {version}: no case", case.0, case.1).expect("a String takes everything");
            }
        }
    }
    out
}

async fn all() -> Told {
    let mut told = Told::new();
    for version in SUPPORTED {
        let mut tester = Tester::new();
        tester.everything(version).await;
        for (case, versions) in tester.told {
            told.entry(case).or_default().extend(versions);
        }
    }
    told
}

#[tokio::test]
async fn every_operation_asked_in_every_wrong_way() {
    let told = all().await;
    let rows = rows();
    let ways: usize = told.values().flat_map(BTreeMap::values).map(Vec::len).sum();
    println!("{} rows, {ways} requests", rows.len());
    let differences = differences(&told, &rows);
    assert!(differences.is_empty(), "{} differences\n{differences}", differences.lines().count());
}

#[test]
fn no_row_names_a_reason_that_its_version_does_not_define() {
    for ((operation, condition), row) in rows() {
        for (version, reasons) in row {
            for reason in reasons.iter().filter(|it| *it != "Success") {
                let known = ResultReason::ROWS.iter().filter(|row| row.versions.contains(version));
                assert!(
                    known.into_iter().any(|row| plain(row.name) == plain(reason)),
                    "{operation} | {condition} | {version}: {reason}"
                );
            }
        }
    }
    assert!(rows().len() > 600, "{}", rows().len());
}
