//! A wrong PIN is configured and the service is started again and again: the token counts one refused try.

use std::fs;

use portcullis_testing::{Gateway, refused};

use crate::{PROGRAM, alone, size};

#[tokio::test]
async fn a_wrong_pin_costs_one_try_however_often_the_service_starts() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("gateway");
    assert!(Gateway::start(PROGRAM, &dir).stop().success());
    let tries = || {
        let tokens = hsm_sim::admin::tokens(&dir.join("hsm")).unwrap();
        tokens.into_iter().find_map(|token| token.user_tries_left).unwrap()
    };
    let (before, right) = (tries(), fs::read_to_string(dir.join("pin")).unwrap());
    // Where a PIN names a user, a refusal counts for that user.
    let user = right.split_once(':').map_or(String::new(), |(user, _)| format!("{user}:"));
    fs::write(dir.join("pin"), format!("{user}not-the-pin\n")).unwrap();
    let starts = size(5, 50);
    for _ in 0..starts {
        let said = refused(PROGRAM, &dir, &[]);
        assert!(said.contains("pin_rejected"), "{said}");
    }
    let after = tries();
    fs::write(dir.join("pin"), right).unwrap();
    assert!(Gateway::start(PROGRAM, &dir).stop().success(), "the right PIN opens it");
    println!("figures pin: {starts} starts with a wrong PIN, tries left {before} before and {after} after");
    assert_eq!(after, before - 1);
}
