//! A gateway with a replicated group of two simulated tokens, each in a module of its own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hsm_sim::fault::control;
use portcullis_testing::{Gateway, pin, token};

use crate::{PROGRAM, metric, until};

pub(crate) const TOKENS: [&str; 2] = ["one", "two"];

pub(crate) struct Pair {
    pub(crate) gateway: Gateway,
    pub(crate) folder: PathBuf,
}

impl Pair {
    /// With these lines in the section of each token.
    pub(crate) async fn start(folder: &Path, per_token: &str) -> Self {
        // The first start writes a configuration; what it made besides begins anew with the group.
        let dir = folder.join("gateway");
        let mut gateway = Gateway::start(PROGRAM, &dir);
        assert!(gateway.stop().success());
        for made in ["store", "audit"] {
            fs::remove_dir_all(dir.join(made)).unwrap();
        }
        fs::write(folder.join("pin"), pin()).unwrap();
        let mut sections = String::new();
        for name in TOKENS {
            let store = folder.join(name);
            token::make(&store, name, pin());
            let module = token::module_copy(&folder.join(format!("{name}.so")));
            sections += &format!(
                "[hsm.{name}]\nmodule = {module:?}\nreserved = \"hsm-sim:store={}\"\ntoken_label = \"{name}\"\n\
                 pin_file = {:?}\nprobe_seconds = 1\n{per_token}",
                store.display(),
                folder.join("pin"),
            );
        }
        sections += "[groups.pair]\ntokens = [\"one\", \"two\"]\nreplicas = 2\n";
        let config = dir.join("config.toml");
        let text = fs::read_to_string(&config).unwrap().replace("[hsm.main]", "[hsm.zzz]");
        fs::write(&config, format!("{text}\n{sections}")).unwrap();
        gateway.restart();
        let pair = Self { gateway, folder: folder.to_owned() };
        pair.both_serve().await;
        pair
    }

    pub(crate) fn plan(&self, token: &str, plan: &str) {
        control::install(&self.folder.join(token), plan).unwrap();
    }

    /// No fault any more, and what was taken away is back.
    pub(crate) fn mend(&self, token: &str) {
        control::clear(&self.folder.join(token)).unwrap();
        control::release(&self.folder.join(token)).unwrap();
    }

    pub(crate) async fn health(&self, token: &str, health: &str) -> bool {
        let words = [&format!("token=\"{token}\"") as &str, &format!("health=\"{health}\"")];
        metric(&self.gateway, "portcullis_hsm_token_health", &words).await > 0.0
    }

    async fn owes(&self, token: &str) -> bool {
        metric(&self.gateway, "portcullis_hsm_token_owed", &[&format!("token=\"{token}\"")]).await > 0.0
    }

    /// Waits until both serve and owe nothing; a fenced token is let in again by its operator.
    pub(crate) async fn both_serve(&self) {
        until("both tokens serve", &self.gateway, async || {
            let mut serve = true;
            for token in TOKENS {
                // The other one may wait for what only this one can give.
                if self.health(token, "fenced").await {
                    self.join(token);
                }
                serve &= self.health(token, "ready").await && !self.owes(token).await;
            }
            serve
        })
        .await;
    }

    fn join(&self, token: &str) {
        let config = self.gateway.folder().join("config.toml");
        let said = Command::new(PROGRAM).args(["hsm", "join", token, "--config"]).arg(config).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    /// The identifiers under which the first token holds something for clients.
    pub(crate) fn held(&self) -> BTreeSet<String> {
        let objects = token::objects_in(&self.folder.join(TOKENS[0]), pin());
        objects.into_keys().filter_map(|label| label.strip_prefix("portcullis:").map(str::to_owned)).collect()
    }

    /// What stands on both tokens is the same, but for each one's own note of the store: how many names.
    pub(crate) fn equal(&self) -> usize {
        let objects = |token: &str| {
            let mut objects = token::objects_in(&self.folder.join(token), pin());
            objects.retain(|label, _| label.starts_with("portcullis") && !label.starts_with("portcullis-system:head-"));
            objects.values_mut().for_each(|classes| classes.sort());
            objects
        };
        let (one, two) = (objects("one"), objects("two"));
        assert_eq!(one, two, "the tokens differ");
        one.len()
    }
}
