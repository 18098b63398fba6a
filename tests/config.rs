//! The configuration file: what it documents, what it refuses, and how it says so.

use std::{iter, path::Path};

use portcullis::config::{self, Config, Origin};

const DOCUMENTED: &str = include_str!("../config/gateway.toml");

const MINIMAL: &str = r#"
[kmip]
certificate = "tls/kmip.pem"
key = "tls/kmip.key"
client_ca = "tls/clients-ca.pem"
[rest.auth.keystone]
url = "http://127.0.0.1:5000"
username = "barbican"
password_file = "secrets/keystone-password"
[store]
path = "store"
[audit]
path = "audit"
[hsm.main]
module = "/usr/lib/softhsm/libsofthsm2.so"
token_label = "portcullis"
pin_file = "secrets/pin"
[[kmip.clients]]
name = "backup"
spki_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
project = "demo"
"#;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    parse_with(text, &[])
}

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::parse(text, Path::new("/etc/portcullis"), environment)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

#[test]
fn the_documented_defaults_are_the_real_ones() {
    assert_eq!(parse(DOCUMENTED).unwrap(), parse(MINIMAL).unwrap());
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let uncommented: String = DOCUMENTED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if option.starts_with(|first: char| first.is_ascii_alphabetic() || first == '[') => {
                format!("{option}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let mistakes = parse(&uncommented).unwrap_err();
    assert!(mistakes.iter().all(|mistake| mistake.contains("[PC-CONFIG-RELATION]")), "{mistakes:#?}");

    let sections: &[&[&str]] = &[
        config::Kmip::KEYS,
        config::KmipClient::KEYS,
        config::KmipRng::KEYS,
        config::KmipValidation::KEYS,
        config::KmipUser::KEYS,
        config::KmipDevice::KEYS,
        config::KmipListener::KEYS,
        config::Rest::KEYS,
        config::RestAuth::KEYS,
        config::Keystone::KEYS,
        config::KeystoneNotifications::KEYS,
        config::RestPolicy::KEYS,
        config::RestQuotas::KEYS,
        config::RestStores::KEYS,
        config::RestToken::KEYS,
        config::Ops::KEYS,
        config::Store::KEYS,
        config::Audit::KEYS,
        config::Hsm::KEYS,
        config::Group::KEYS,
        config::Log::KEYS,
        config::Limits::KEYS,
    ];
    for key in sections.iter().copied().flatten() {
        let is_section = [
            "clients",
            "users",
            "devices",
            "rng",
            "validations",
            "auth",
            "keystone",
            "notifications",
            "policy",
            "env",
            "quotas",
            "secret_stores",
            "tokens",
            "listeners",
            "groups",
        ]
        .contains(key);
        let documented = uncommented.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert!(is_section || documented, "{key} is not documented");
    }
}

#[test]
fn every_mistake_is_reported_with_its_line_and_code() {
    let text = MINIMAL
        .replace("certificate = \"tls/kmip.pem\"", "lisen = \"127.0.0.1:1\"")
        .replace("token_label = \"portcullis\"", "token_label = 7\nworkers = 0\nallow_simulated_hsm = \"yes\"")
        + "roles = [\"member\", 3]\n[limts]\n[log]\nlevel = \"loud,,=\"\n[ops]\nlisten = \"localhost\"\n";

    let mistakes = parse(&text).unwrap_err();

    let expected = [
        "line 3: kmip.lisen: is not a known key; did you mean `listen`? [PC-CONFIG-UNKNOWN-KEY]",
        "line 16: hsm.main.token_label: must be text, but is a whole number [PC-CONFIG-KIND]",
        "line 17: hsm.main.workers: must be a whole number from 1 to 1024 [PC-CONFIG-VALUE]",
        "line 18: hsm.main.allow_simulated_hsm: must be true or false, but is text [PC-CONFIG-KIND]",
        "line 24: kmip.clients.[0].roles.[1]: must be text, but is a whole number [PC-CONFIG-KIND]",
        "line 25: limts: is not a known key; did you mean `limits`? [PC-CONFIG-UNKNOWN-KEY]",
        "line 29: ops.listen: `localhost` is not an address with a port, such as 127.0.0.1:5696 or [::1]:5696 \
         [PC-CONFIG-VALUE]",
        "kmip.certificate: is missing; it has no default [PC-CONFIG-MISSING-KEY]",
    ];
    assert_eq!(mistakes, expected);
}

#[test]
fn syntax_mistakes_have_a_line_too() {
    let mistakes = config::parse("[kmip]\nlisten = \n[ops\n", Path::new(""), iter::empty()).unwrap_err();
    let syntax: Vec<_> = mistakes.iter().filter(|mistake| mistake.code == "PC-CONFIG-SYNTAX").collect();
    assert_eq!(syntax.iter().map(|mistake| &mistake.origin).collect::<Vec<_>>(), [&Origin::Line(2), &Origin::Line(3)]);
}

#[test]
fn relations_between_settings_are_checked() {
    let table: &[(&str, &str, &str)] = &[
        ("[store]", "[rest]\ncertificate = \"a\"\n[store]", "rest.certificate: `certificate` and `key` go together"),
        (
            "[store]",
            "[rest.auth]\nmode = \"unauthenticated\"\n[store]",
            "rest.auth.keystone: mode `unauthenticated` excl",
        ),
        ("pin_file = \"secrets/pin\"", "", "hsm.main: give the PIN by pin_file or by pin_env"),
        ("token_label = \"portcullis\"", "", "hsm.main: which token?"),
        ("\"/usr/lib/softhsm/libsofthsm2.so\"", "\"embedded\"", "hsm.main: module `embedded` needs simulated_store"),
        ("[store]", "[hsm.main.env]\n\"A=B\" = \"x\"\n[store]", "hsm.main.env.A=B: is not an environment variable"),
        ("[store]", "[log]\nlevel = \"a=b=c\"\n[store]", "log.level: is not a filter"),
        ("[kmip]", "[kmip]\nversions = []", "kmip.versions: must name at least one version"),
    ];
    for (from, to, expected) in table {
        let mistakes = parse(&MINIMAL.replace(from, to)).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes.iter().all(|mistake| mistake.contains(expected)), "{mistakes:?} lacks {expected}");
    }
    let client = MINIMAL.find("[[kmip.clients]]").unwrap();
    let twice = format!("{MINIMAL}{}", MINIMAL.get(client..).unwrap());
    let mistakes = parse(&twice).unwrap_err();
    assert_eq!(mistakes.len(), 2, "name and key: {mistakes:?}");
}

#[test]
fn the_environment_wins_and_is_named_in_mistakes() {
    let environment = [
        ("PORTCULLIS_KMIP__LISTEN", "0.0.0.0:1"),
        ("PORTCULLIS_HSM__MAIN__WORKERS", "3"),
        ("PORTCULLIS_HSM__MAIN__TOKEN_LABEL", "12345"),
        ("PORTCULLIS_KMIP__VERSIONS", "1.2, 2.1"),
        ("PORTCULLIS_REST__BEHIND_PROXY", "true"),
        ("PORTCULLIS_HOME", "means something else"),
    ];
    let config = parse_with(MINIMAL, &environment).unwrap();
    assert_eq!(config.kmip.listen.to_string(), "0.0.0.0:1");
    assert_eq!(config.kmip.versions, [config::KmipVersion::V1_2, config::KmipVersion::V2_1]);
    assert!(config.rest.behind_proxy);
    let main = &config.hsm["main"];
    assert_eq!((main.workers.map(config::Within::get), main.token_label.as_deref()), (Some(3), Some("12345")));

    let mistakes =
        parse_with(MINIMAL, &[("PORTCULLIS_OPS__LISEN", "x"), ("PORTCULLIS_STORE__PATH__X", "y")]).unwrap_err();
    assert_eq!(
        mistakes,
        [
            "environment PORTCULLIS_OPS__LISEN: ops.lisen: is not a known key; did you mean `listen`? [PC-CONFIG-UNKNOWN-KEY]",
            "environment PORTCULLIS_STORE__PATH__X: names a key inside of something that is no table [PC-CONFIG-KIND]",
        ]
    );
}

#[test]
fn paths_start_at_the_file_and_hashes_are_hex() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.store.path, Path::new("/etc/portcullis/store"));
    let short = MINIMAL.replace("000000\"", "\"");
    assert!(parse(&short).unwrap_err().iter().all(|mistake| mistake.contains("must be 64 hexadecimal digits")));
    let openssl_style = MINIMAL.replace(&"00".repeat(32), &["AB"; 32].join(":"));
    assert_eq!(parse(&openssl_style).unwrap().kmip.clients[0].spki_sha256.0, [0xAB; 32]);
}

/// The simulator's sample file is what it says: the defaults, and a plan that would be taken.
#[test]
fn the_simulators_sample_file_holds_its_defaults() {
    let text = include_str!("../config/hsm-sim.toml");
    let sample: hsm_sim::config::Config = toml::from_str(text).unwrap();
    let defaults: hsm_sim::config::Config = toml::from_str("").unwrap();
    assert_eq!(format!("{sample:?}"), format!("{defaults:?}"));

    let plan: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    let with_plan: hsm_sim::config::Config = toml::from_str(&plan).unwrap();
    assert_eq!(with_plan.faults.rule.len(), 4);
    let mut table: toml::Table = plan.parse().unwrap();
    table.retain(|key, _| key == "faults");
    let store = tempfile::tempdir().unwrap();
    hsm_sim::fault::control::install(store.path(), &table.to_string()).unwrap();
}
