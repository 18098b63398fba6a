//! Named scenarios: plans for what operators meet, ready to be installed with `hsm-sim ctl scenario NAME`.

/// A plan with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Scenario {
    /// What `ctl scenario` calls it.
    pub name: &'static str,
    /// What happens.
    pub about: &'static str,
    /// The plan.
    pub plan: &'static str,
}

/// Calls that use keys or objects, as opposed to opening and closing things.
macro_rules! work {
    () => {
        r#"function = ["C_Create*", "C_Copy*", "C_DestroyObject", "C_Find*", "C_GetAttributeValue",
            "C_SetAttributeValue", "C_*Encrypt*", "C_*Decrypt*", "C_Digest*", "C_Sign*", "C_Verify*", "C_Generate*",
            "C_Wrap*", "C_Unwrap*", "C_Derive*", "C_*capsulateKey"]"#
    };
}

/// Calls that make objects.
macro_rules! making {
    () => {
        r#"function = ["C_CreateObject", "C_CopyObject", "C_GenerateKey", "C_GenerateKeyPair", "C_Unwrap*",
            "C_DeriveKey", "C_*capsulateKey"]"#
    };
}

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "flaky",
        about: "one call in a hundred fails with CKR_DEVICE_ERROR",
        plan: concat!(
            "[[faults.rule]]\nmatch = { ",
            work!(),
            " }\nrate = 0.01\naction = { return = \"CKR_DEVICE_ERROR\" }\n"
        ),
    },
    Scenario {
        name: "brownout",
        about: "for 30 s every use takes as long as on an overloaded device: 4 ms in the middle, 800 ms at the 99th percentile",
        plan: concat!(
            "[[faults.rule]]\nmatch = { ",
            work!(),
            " }\nwindow = \"30s\"\n",
            "action = { delay = { dist = \"lognormal\", p50_ms = 4, p99_ms = 800, max_ms = 5000 } }\n"
        ),
    },
    Scenario {
        name: "pull-the-plug",
        about: "the token is out of its slot for 5 s",
        plan: concat!("[[faults.rule]]\nmatch = { ", work!(), " }\nat = [1]\naction = { remove_token = \"5s\" }\n"),
    },
    Scenario {
        name: "reboot",
        about: "the device restarts for 10 s: sessions, session objects and handles are gone",
        plan: concat!("[[faults.rule]]\nmatch = { ", work!(), " }\nat = [1]\naction = { restart = \"10s\" }\n"),
    },
    Scenario {
        name: "session-leak",
        about: "sessions cannot be closed",
        plan: "[[faults.rule]]\nmatch = { function = \"C_Close*\" }\naction = { return = \"CKR_GENERAL_ERROR\" }\n",
    },
    Scenario {
        name: "full",
        about: "no object can be made any more: CKR_DEVICE_MEMORY",
        plan: concat!("[[faults.rule]]\nmatch = { ", making!(), " }\naction = { return = \"CKR_DEVICE_MEMORY\" }\n"),
    },
    Scenario {
        name: "slow-start",
        about: "C_Initialize, C_OpenSession and C_Login take 3 s",
        plan: "[[faults.rule]]\nmatch = { function = [\"C_Initialize\", \"C_OpenSession\", \"C_Login\"] }\n\
               action = { delay = \"3s\" }\n",
    },
    Scenario {
        name: "pin-low",
        about: "the token says that one wrong user PIN is left",
        plan: "[[faults.rule]]\nmatch = { function = \"C_GetTokenInfo\" }\naction = { pin_state = \"final\" }\n",
    },
    Scenario {
        name: "ambiguous-create",
        about: "every other object is made, and its maker is told CKR_DEVICE_ERROR",
        plan: concat!(
            "[[faults.rule]]\nmatch = { ",
            making!(),
            " }\nevery = 2\naction = { return = \"CKR_DEVICE_ERROR\", phase = \"after\" }\n"
        ),
    },
    Scenario {
        name: "stuck-call",
        about: "one call hangs for 300 s or until `release`",
        plan: concat!("[[faults.rule]]\nmatch = { ", work!(), " }\nat = [1]\naction = { hang = \"300s\" }\n"),
    },
    Scenario {
        name: "amnesia",
        about: "a blank token is in the slot until `release` or `clear`",
        plan: concat!("[[faults.rule]]\nmatch = { ", work!(), " }\nat = [1]\naction = { replace_token = \"blank\" }\n"),
    },
    Scenario {
        name: "clock-skew",
        about: "the token has a clock, and it is an hour slow",
        plan: "[[faults.rule]]\nmatch = { function = \"C_GetTokenInfo\" }\naction = { clock_skew = -3600 }\n",
    },
];

/// The scenario of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultsConfig, plan::Plan};

    #[test]
    fn every_scenario_is_a_plan_that_works() {
        assert_eq!(SCENARIOS.len(), 12);
        for scenario in SCENARIOS {
            let plan = Plan::new(&FaultsConfig::parse(scenario.plan).unwrap()).unwrap();
            assert!(!plan.is_calm(), "{}", scenario.name);
        }
    }
}
