//! What is wrong with a request: each condition spoils the payload of a request that would succeed, in every way there is.

use std::borrow::Cow;

use kmip_codec::{
    ProtocolVersion, Tag,
    codec::Presence,
    payload::PAYLOADS,
    spec::enums::Operation,
    ttlv::{Children, Item, Value},
    version::{V1_1, V1_2, V1_3, V1_4, V2_0, V2_1, V3_0},
};

/// A payload, and what was done to it.
pub(super) type Spoilt = (String, Item<'static>);

/// A tag that no version knows.
const NOBODYS: Tag = Tag::from_number(0x42_0FFF);
/// Longer than any text may be.
const LONG: usize = (64 << 10) + 1;
/// How many values one attribute may have, and one more.
const TOO_MANY: usize = 1025;

const CONTAINERS: [Tag; 11] = [
    Tag::TEMPLATE_ATTRIBUTE,
    Tag::ATTRIBUTES,
    Tag::COMMON_TEMPLATE_ATTRIBUTE,
    Tag::COMMON_ATTRIBUTES,
    Tag::PRIVATE_KEY_TEMPLATE_ATTRIBUTE,
    Tag::PRIVATE_KEY_ATTRIBUTES,
    Tag::PUBLIC_KEY_TEMPLATE_ATTRIBUTE,
    Tag::PUBLIC_KEY_ATTRIBUTES,
    Tag::ATTRIBUTE,
    Tag::NEW_ATTRIBUTE,
    Tag::CURRENT_ATTRIBUTE,
];

fn parts(of: &Item<'_>) -> Vec<Item<'static>> {
    of.children().map(Item::into_owned).collect()
}

fn whole(tag: Tag, parts: Vec<Item<'static>>) -> Item<'static> {
    Item::new(tag, Value::Structure(Children::from(parts)))
}

fn with(of: &Item<'_>, more: Item<'static>) -> Item<'static> {
    let mut all = parts(of);
    all.push(more);
    whole(of.tag, all)
}

/// Whether the field may stand there once only.
fn is_single(operation: Operation, tag: Tag, version: ProtocolVersion) -> bool {
    let row = PAYLOADS.iter().find(|row| row.operation == operation).expect("every operation has a row");
    row.request
        .iter()
        .any(|field| field.tag == Some(tag) && field.versions.contains(version) && field.presence != Presence::Repeated)
}

pub(super) fn missing(operation: Operation, version: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    let row = PAYLOADS.iter().find(|row| row.operation == operation).expect("every operation has a row");
    let required = |field: &&kmip_codec::codec::FieldRow| {
        matches!(field.presence, Presence::Required | Presence::Versioned) && field.versions.contains(version)
    };
    let fields = row.request.iter().filter(required).filter_map(|field| field.tag);
    fields
        .map(|tag| {
            let rest = parts(payload).into_iter().filter(|part| part.tag != tag).collect();
            (tag.to_string(), whole(payload.tag, rest))
        })
        .collect()
}

pub(super) fn unknown_field(_: Operation, version: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    let mut all = vec![(String::new(), with(payload, Item::new(NOBODYS, Value::Integer(1))))];
    if version < V2_0 {
        let late = Item::new(Tag::EPHEMERAL, Value::Boolean(true));
        all.push(("of a later version".to_owned(), with(payload, late)));
    }
    all
}

pub(super) fn misplaced_field(_: Operation, _: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    vec![(String::new(), with(payload, Item::new(Tag::SALT, Value::ByteString(Cow::Borrowed(&[1])))))]
}

pub(super) fn twice(operation: Operation, version: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    let single = parts(payload).into_iter().filter(|part| is_single(operation, part.tag, version));
    single.map(|part| (part.tag.to_string(), with(payload, part))).collect()
}

/// Every way to change one leaf or structure in a tree; attributes are left to the conditions of their own.
fn changed(of: &Item<'static>, change: &dyn Fn(&Item<'static>) -> Option<Item<'static>>) -> Vec<Spoilt> {
    let mut all = Vec::new();
    let children = parts(of);
    for (at, child) in children.iter().enumerate() {
        let mut put = |label: String, new: Item<'static>| {
            let mut copy = children.clone();
            copy[at] = new;
            all.push((label, whole(of.tag, copy)));
        };
        if let Some(new) = change(child) {
            put(child.tag.to_string(), new);
        }
        if !CONTAINERS.contains(&child.tag) {
            for (label, new) in changed(child, change) {
                put(format!("{}/{label}", child.tag), new);
            }
        }
    }
    all
}

pub(super) fn other_type(_: Operation, _: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    changed(payload, &|item| {
        // A big integer stands for a leaf in no request of ours, and a Boolean never for a structure.
        let value = match item.value {
            Value::Structure(_) => Value::Boolean(true),
            _ => Value::BigInteger(Cow::Borrowed(&[0; 8])),
        };
        Some(Item::new(item.tag, value))
    })
}

pub(super) fn unknown_value(_: Operation, _: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    changed(payload, &|item| match item.value {
        Value::Enumeration(_) => Some(Item::new(item.tag, Value::Enumeration(0x7FFF_FFFF))),
        _ => None,
    })
}

pub(super) fn negative(_: Operation, _: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    changed(payload, &|item| match item.value {
        Value::Integer(_) => Some(Item::new(item.tag, Value::Integer(-1))),
        Value::LongInteger(_) => Some(Item::new(item.tag, Value::LongInteger(-1))),
        _ => None,
    })
}

pub(super) fn too_long(_: Operation, _: ProtocolVersion, payload: &Item<'static>) -> Vec<Spoilt> {
    let long = || "x".repeat(LONG);
    changed(payload, &|item| match item.value {
        Value::TextString(_) => Some(Item::new(item.tag, Value::TextString(long().into()))),
        Value::Identifier(_) => Some(Item::new(item.tag, Value::Identifier(long().into()))),
        Value::Reference(_) => Some(Item::new(item.tag, Value::Reference(long().into()))),
        _ => None,
    })
}

// -------------------------------------------------------------------------------------------------------- attributes

/// An attribute as a version writes it in a list of attributes.
fn attribute(version: ProtocolVersion, name: &str, tag: Tag, value: Value<'static>) -> Item<'static> {
    if version >= V2_0 {
        return Item::new(tag, value);
    }
    let name = Item::new(Tag::ATTRIBUTE_NAME, Value::TextString(name.to_owned().into()));
    whole(Tag::ATTRIBUTE, vec![name, Item::new(Tag::ATTRIBUTE_VALUE, value)])
}

/// An attribute of a vendor.
fn custom(version: ProtocolVersion, name: &str, value: Value<'static>) -> Item<'static> {
    if version < V2_0 {
        return attribute(version, &format!("x-{name}"), NOBODYS, value);
    }
    let text = |tag, text: &str| Item::new(tag, Value::TextString(text.to_owned().into()));
    let fields = vec![
        text(Tag::VENDOR_IDENTIFICATION, "x"),
        text(Tag::ATTRIBUTE_NAME, name),
        Item::new(Tag::ATTRIBUTE_VALUE, value),
    ];
    whole(Tag::ATTRIBUTE, fields)
}

pub(super) fn name(version: ProtocolVersion, text: &str, kind: u32) -> Item<'static> {
    let text = Value::TextString(text.to_owned().into());
    let value = if version >= V3_0 {
        text
    } else {
        let fields = vec![Item::new(Tag::NAME_VALUE, text), Item::new(Tag::NAME_TYPE, Value::Enumeration(kind))];
        Value::Structure(Children::from(fields))
    };
    attribute(version, "Name", Tag::NAME, value)
}

fn text(value: &str) -> Value<'static> {
    Value::TextString(value.to_owned().into())
}

pub(super) type Attributes = Vec<(String, Vec<Item<'static>>)>;

fn one(label: &str, attribute: Item<'static>) -> (String, Vec<Item<'static>>) {
    (label.to_owned(), vec![attribute])
}

pub(super) fn unknown_attribute(version: ProtocolVersion) -> Attributes {
    let mut all = vec![one("of nobody", attribute(version, "Colour", NOBODYS, text("red")))];
    if version >= V2_0 {
        all.push(one("a field", attribute(version, "", Tag::SALT, Value::ByteString(Cow::Borrowed(&[1])))));
    }
    let late = match version {
        it if it < V1_1 => Some(("Fresh", Tag::FRESH, Value::Boolean(true))),
        V1_1 => Some(("Key Value Present", Tag::KEY_VALUE_PRESENT, Value::Boolean(true))),
        V1_2 => Some(("Random Number Generator", Tag::RANDOM_NUMBER_GENERATOR, Value::Boolean(true))),
        V1_3 => Some(("Sensitive", Tag::SENSITIVE, Value::Boolean(true))),
        V1_4 => Some(("Quantum Safe", Tag::QUANTUM_SAFE, Value::Boolean(true))),
        V2_0 => Some(("Rotate Automatic", Tag::ROTATE_AUTOMATIC, Value::Boolean(true))),
        V2_1 => Some(("NIST Security Category", Tag::NIST_SECURITY_CATEGORY, Value::Enumeration(1))),
        _ => None,
    };
    all.extend(late.map(|(name, tag, value)| one(name, attribute(version, name, tag, value))));
    all
}

pub(super) fn read_only(version: ProtocolVersion) -> Attributes {
    let date = || Value::DateTime(1);
    let mut all = vec![
        one("State", attribute(version, "State", Tag::STATE, Value::Enumeration(4))),
        one("Initial Date", attribute(version, "Initial Date", Tag::INITIAL_DATE, date())),
        one("Destroy Date", attribute(version, "Destroy Date", Tag::DESTROY_DATE, date())),
        one("Compromise Date", attribute(version, "Compromise Date", Tag::COMPROMISE_DATE, date())),
        one("Archive Date", attribute(version, "Archive Date", Tag::ARCHIVE_DATE, date())),
        one("Last Change Date", attribute(version, "Last Change Date", Tag::LAST_CHANGE_DATE, date())),
        one("Lease Time", attribute(version, "Lease Time", Tag::LEASE_TIME, Value::Interval(5))),
    ];
    if version >= V1_4 {
        let never = Value::Boolean(true);
        all.push(one("Never Extractable", attribute(version, "Never Extractable", Tag::NEVER_EXTRACTABLE, never)));
    }
    all
}

/// For a symmetric key; other objects have no list of attributes that a client may not give.
pub(super) fn of_another_type(version: ProtocolVersion) -> Attributes {
    let domain = vec![Item::new(Tag::QLENGTH, Value::Integer(256))];
    let value = Value::Structure(Children::from(domain));
    let name = "Cryptographic Domain Parameters";
    vec![one(name, attribute(version, name, Tag::CRYPTOGRAPHIC_DOMAIN_PARAMETERS, value))]
}

pub(super) fn wrong_attribute_type(version: ProtocolVersion) -> Attributes {
    vec![
        one(
            "Contact Information",
            attribute(version, "Contact Information", Tag::CONTACT_INFORMATION, Value::Integer(7)),
        ),
        one("Activation Date", attribute(version, "Activation Date", Tag::ACTIVATION_DATE, text("tomorrow"))),
        one("Name", attribute(version, "Name", Tag::NAME, Value::Integer(7))),
    ]
}

pub(super) fn bad_attribute_value(version: ProtocolVersion) -> Attributes {
    let mut all = Vec::new();
    if version < V3_0 {
        all.push(one("a type of name that nobody knows", name(version, "odd", 0x7FFF_FFFF)));
    }
    let (from, to) = (Value::DateTime(2_000_000_000), Value::DateTime(1_999_999_999));
    let backwards = vec![
        attribute(version, "Activation Date", Tag::ACTIVATION_DATE, from),
        attribute(version, "Deactivation Date", Tag::DEACTIVATION_DATE, to),
    ];
    all.push(("an end before its beginning".to_owned(), backwards));
    let limits = vec![
        Item::new(Tag::USAGE_LIMITS_TOTAL, Value::LongInteger(-1)),
        Item::new(Tag::USAGE_LIMITS_UNIT, Value::Enumeration(1)),
    ];
    let limits = Value::Structure(Children::from(limits));
    all.push(one("a limit below zero", attribute(version, "Usage Limits", Tag::USAGE_LIMITS, limits)));
    all
}

pub(super) fn attribute_twice(version: ProtocolVersion) -> Attributes {
    let contact = |who: &str| attribute(version, "Contact Information", Tag::CONTACT_INFORMATION, text(who));
    vec![("Contact Information".to_owned(), vec![contact("one"), contact("another")])]
}

pub(super) fn too_many(version: ProtocolVersion) -> Attributes {
    let all = (0..TOO_MANY).map(|number| custom(version, &format!("n{number}"), text("v"))).collect();
    vec![("custom attributes".to_owned(), all)]
}

pub(super) fn too_long_attribute(version: ProtocolVersion) -> Attributes {
    let long = || text(&"x".repeat(LONG));
    vec![
        one("Contact Information", attribute(version, "Contact Information", Tag::CONTACT_INFORMATION, long())),
        one("custom attribute", custom(version, "long", long())),
    ]
}

/// The payload about another object.
pub(super) fn with_identifier(payload: &Item<'static>, id: &str) -> Item<'static> {
    let mut all = parts(payload);
    for part in all.iter_mut().filter(|part| part.tag == Tag::UNIQUE_IDENTIFIER) {
        match &mut part.value {
            Value::TextString(text) | Value::Identifier(text) if text.len() == id.len() => *text = id.to_owned().into(),
            _ => {}
        }
    }
    whole(payload.tag, all)
}

/// The payload with attributes added to its first list of attributes; `None` where it has none.
pub(super) fn with_attributes(payload: &Item<'static>, more: &[Item<'static>]) -> Option<Item<'static>> {
    let mut all = parts(payload);
    let lists = &CONTAINERS[..8];
    let list = all.iter_mut().find(|part| lists.contains(&part.tag))?;
    let mut inside = parts(list);
    inside.extend(more.iter().cloned());
    *list = whole(list.tag, inside);
    Some(whole(payload.tag, all))
}

/// The payload of an operation on one attribute with another one in its place.
pub(super) fn with_other_attribute(
    version: ProtocolVersion,
    payload: &Item<'static>,
    new: &Item<'static>,
) -> Option<Item<'static>> {
    let mut all = parts(payload);
    if let Some(place) = all.iter_mut().find(|part| [Tag::ATTRIBUTE, Tag::NEW_ATTRIBUTE].contains(&part.tag)) {
        *place = if version < V2_0 { new.clone() } else { whole(place.tag, vec![new.clone()]) };
        return Some(whole(payload.tag, all));
    }
    // Delete and Adjust name it.
    let named = all.iter_mut().find(|part| [Tag::ATTRIBUTE_NAME, Tag::ATTRIBUTE_REFERENCE].contains(&part.tag))?;
    named.value = if version < V2_0 {
        new.child(Tag::ATTRIBUTE_NAME)?.value.into_owned()
    } else {
        Value::Enumeration(new.tag.number())
    };
    Some(whole(payload.tag, all))
}

/// The conditions of a Locate, which stand in the payload itself in 1.x.
pub(super) fn with_conditions(
    version: ProtocolVersion,
    payload: &Item<'static>,
    more: &[Item<'static>],
) -> Item<'static> {
    let mut all = parts(payload);
    if version < V2_0 {
        all.extend(more.iter().cloned());
    } else {
        all.retain(|part| part.tag != Tag::ATTRIBUTES);
        all.push(whole(Tag::ATTRIBUTES, more.to_vec()));
    }
    whole(payload.tag, all)
}
