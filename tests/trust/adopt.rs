//! `hsm adopt`.

use std::process::{Command, Output};

use portcullis_testing::{Gateway, Kmip, Rest, material, token};
use serde_json::{Value, json};

use super::tokens::{ALL, Kind, World};

fn adopt(world: &World, words: &[&str]) -> Value {
    let fixed = ["adopt", "--json", "--token", "main", "--project", "demo"];
    let arguments: Vec<_> = fixed.into_iter().chain(words.iter().copied()).collect();
    serde_json::from_str(&world.prints(&arguments)).unwrap()
}

fn refused(world: &World, words: &[&str]) -> String {
    let fixed = ["adopt", "--token", "main", "--project", "demo"];
    let arguments: Vec<_> = fixed.into_iter().chain(words.iter().copied()).collect();
    let said = world.refuses(&arguments);
    assert!(said.contains("PC-HSM-ADOPT"), "{said}");
    said
}

fn foreign(world: &World, keys: &Value) {
    world.helper(&json!({"pin": world.pin(), "generate": keys}));
}

fn labelled(objects: &Value, label: &str) -> usize {
    objects.as_array().unwrap().iter().filter(|object| object["label"] == label).count()
}

#[test]
fn keys_of_every_token_are_adopted_where_they_are() {
    for kind in ALL {
        let Some(world) = World::new(*kind) else { continue };
        foreign(
            &world,
            &json!([
                {"kind": "aes", "label": "app", "id": "app-id-1"},
                {"kind": "pair", "label": "signer", "id": "signer-id"},
                {"kind": "aes", "label": "left", "id": "left-id"},
            ]),
        );
        let before = world.objects();
        let shown = adopt(&world, &["--label", "app", "--dry-run"]);
        assert_eq!((&shown[0]["identifier"], &shown[0]["bits"]), (&Value::Null, &256.into()), "{kind:?}");
        assert_eq!(labelled(&world.objects(), "app"), labelled(&before, "app"), "{kind:?}");

        let made = adopt(&world, &["--id", "6170702d69642d31", "--name", "app key"]);
        let identifier = made[0]["identifier"].as_str().unwrap().to_owned();
        assert_eq!((&made[0]["object_type"], &made[0]["usage"]), (&"symmetric-key".into(), &0xC.into()), "{kind:?}");
        let pair = adopt(&world, &["--label", "signer"]);
        assert_eq!((&pair[0]["object_type"], &pair[1]["object_type"]), (&"private-key".into(), &"public-key".into()));

        let after = world.objects();
        assert_eq!(labelled(&after, &format!("portcullis:{identifier}")), 1, "{kind:?}: {after}");
        assert_eq!((labelled(&after, "app"), labelled(&after, "left")), (0, 1), "{kind:?}");
        let compared: Value = serde_json::from_str(&world.prints(&["fsck", "--json"])).unwrap();
        assert_eq!(compared[0]["recorded"], 3, "{kind:?}: {compared}");
        assert_eq!(compared[0]["held"], 3, "{kind:?}: {compared}");
        // Once is enough, and the old name is gone.
        assert!(refused(&world, &["--label", "app"]).contains("no secret"), "{kind:?}");
        let id = identifier.replace('-', "");
        assert!(refused(&world, &["--id", &id]).contains("managed already"), "{kind:?}");
        assert!(refused(&world, &["--label", "left", "--name", "app key"]).contains("name"), "{kind:?}");
        assert_eq!(labelled(&world.objects(), "left"), 1, "{kind:?}");
    }
}

#[test]
fn what_is_not_one_key_is_refused() {
    let world = World::new(Kind::Model("default")).unwrap();
    foreign(
        &world,
        &json!([
            {"kind": "aes", "label": "twice", "id": "one"},
            {"kind": "aes", "label": "twice", "id": "two"},
            {"kind": "private", "label": "half", "id": "half-id"},
            {"kind": "pair", "label": "both", "id": "both-id"},
            {"kind": "aes", "label": "open", "id": "open-id", "sensitive": false, "extractable": true},
        ]),
    );
    assert!(refused(&world, &["--label", "twice"]).contains("several keys"));
    assert!(refused(&world, &["--label", "nobody"]).contains("no secret"));
    assert!(refused(&world, &["--id", "6f6e6"]).contains("no CKA_ID"));
    assert!(refused(&world, &["--label", "portcullis-system:record-mac"]).contains("PC-HSM-ADOPT"));
    assert_eq!(adopt(&world, &["--id", "6f6e65"]).as_array().unwrap().len(), 1);

    // A private key without its public half is a private key.
    assert_eq!(adopt(&world, &["--label", "half"]).as_array().unwrap().len(), 1);
    let public = adopt(&world, &["--label", "both", "--object-class", "public-key"]);
    assert_eq!(public.as_array().unwrap().len(), 1);
    assert_eq!(public[0]["object_type"], "public-key");

    // A key whose value could be read is made sensitive, and it is said before.
    let shown = adopt(&world, &["--label", "open", "--dry-run"]);
    assert!(shown[0]["notes"].to_string().contains("is made sensitive"), "{shown}");
    adopt(&world, &["--label", "open"]);
    world.prints(&["fsck"]);
}

fn hsm(folder: &std::path::Path, words: &[&str]) -> Output {
    let config = folder.join("config.toml");
    Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("hsm").args(words).arg("--config").arg(config).output().unwrap()
}

#[tokio::test]
async fn an_adopted_key_is_used_through_both_protocols() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let gateway = Gateway::start(env!("CARGO_BIN_EXE_portcullis"), &folder);
    token::put_foreign_key(&folder, "app", b"app-id");
    let words = ["adopt", "--json", "--token", "main", "--label", "app", "--project", "demo", "--name", "app"];
    let output = hsm(&folder, &words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let adopted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let identifier = adopted[0]["identifier"].as_str().unwrap();

    let mut kmip = Kmip::connect(&gateway).await.unwrap();
    let value = material(kmip.get(identifier).await.unwrap());
    assert_eq!(value.len(), 32);
    let rest = Rest::new(&gateway.rest(), "demo");
    assert_eq!(rest.payload(identifier).await.unwrap().body, value, "one record, two protocols");

    assert!(hsm(&folder, &["fsck"]).status.success());
    let again = hsm(&folder, &["adopt", "--token", "main", "--label", "app", "--project", "demo"]);
    assert_eq!(again.status.code(), Some(1));
    let trail = std::fs::read_to_string(folder.join("audit/audit.log")).unwrap();
    assert!(trail.lines().any(|line| line.contains("adopt") && line.contains(identifier)), "{trail}");
}
