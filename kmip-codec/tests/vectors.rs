//! Every published and every own message goes through the item tree and comes out byte for byte.

use kmip_codec::limits::Limits;
use kmip_codec::ttlv::{self, Writer};
use kmip_codec::version::V3_0;

mod support;

/// Decodes and encodes again; the version does not matter for the item tree.
fn again(bytes: &[u8]) -> Vec<u8> {
    let item = ttlv::parse(bytes, &Limits::default()).expect("a vector is well formed");
    let mut writer = Writer::new(V3_0);
    writer.item(&item);
    writer.finish().expect("what was read can be written").to_vec()
}

#[test]
fn own_messages_survive_the_item_tree() {
    let vectors = support::own();
    assert!(vectors.len() >= 26, "only {} messages", vectors.len());
    for (name, bytes) in vectors {
        assert_eq!(support::to_hex(&again(&bytes)), support::to_hex(&bytes), "{name}");
    }
}

#[test]
fn published_messages_survive_the_item_tree() {
    let Some(vectors) = support::published() else { return };
    assert!(vectors.len() > 4000, "only {} vectors", vectors.len());
    for vector in &vectors {
        assert!(again(&vector.bytes) == vector.bytes, "{} {}", vector.version, vector.name);
    }
    println!("{} messages", vectors.len());
}
