//! The profiles that Query claims follow from the published cases: the table is made by `tests/tools/profiles`.

use std::collections::BTreeMap;

use kmip_codec::{
    payload::{QueryRequest, Request, Response},
    spec::enums::{Operation, ProfileName, QueryFunction},
    version::{SUPPORTED, V1_3},
};

use crate::support::Gateway;

const TABLE: &str = include_str!("../oasis-profiles.txt");

/// Each profile of the table, and whether all of its cases pass in every version that has some. A case that is wrong by
/// itself says nothing against a server.
fn profiles() -> BTreeMap<&'static str, bool> {
    let mut whole = BTreeMap::new();
    for row in TABLE.lines().filter(|row| !row.starts_with('#')) {
        let [_, profile, passed, wrong, all] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let [passed, wrong, all] = [passed, wrong, all].map(|number| number.parse::<u32>().unwrap());
        assert!(all > 0, "{row}");
        *whole.entry(profile).or_insert(true) &= passed + wrong == all;
    }
    whole
}

#[tokio::test]
async fn what_query_claims_is_what_the_published_cases_show() {
    let whole = profiles();
    assert!(whole.len() > 10, "{whole:?}");
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED.into_iter().filter(|version| *version >= V1_3) {
        let request = QueryRequest { query_functions: vec![QueryFunction::QUERY_PROFILES], ..QueryRequest::default() };
        let answer = gateway.one(version, Operation::QUERY, Request::from(request)).await;
        let Some(Response::Query(answer)) = answer.payload else { panic!("{:?}", answer.reason) };
        let claimed: Vec<ProfileName> = answer.profile_information.iter().map(|it| it.profile_name).collect();
        let mut compared = 0;
        for row in ProfileName::ROWS.iter().filter(|row| row.versions.contains(version)) {
            let shown = whole.iter().any(|(profile, whole)| *whole && row.name.starts_with(profile));
            // Names up to 1.4 end with the version they speak of; some speak of one that is none of ours.
            let ours = row
                .name
                .rsplit_once("KMIPV")
                .is_none_or(|(_, of)| SUPPORTED.iter().any(|known| of == format!("{}_{}", known.major, known.minor)));
            let is_claimed = claimed.iter().any(|it| it.number() == row.number);
            assert_eq!(is_claimed, shown && ours, "{} in {version}", row.name);
            compared += usize::from(is_claimed);
        }
        assert_eq!(compared, claimed.len(), "{version}");
        assert!(compared > 5, "{version} claims {compared}");
    }
}
