//! `kubectl bowline providers`, `doctor` and `completion`: what is installed, and does it work.
//!
//! Unit tests evaluate what was read. Only here do we see what an installation from deploy/ shows, and to whom.

use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::Rotation;

use crate::plugin::{bowline, bowline_as_is};
use crate::scene::scene;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn providers_are_listed_to_who_may_see_them() {
    let it = scene("providers").await;
    it.provider(Rotation::SingleUse).apply().await;
    let (code, said, errors) = bowline(&it, ADMIN, &["providers", "-o", "wide"], "").await;
    assert_eq!(code, 0, "{errors}");
    let row = said.lines().find(|line| line.starts_with(&it.name)).expect("a row");
    for expected in ["sandbox", "True", "Ready", "RefreshToken", "platform@example.com"] {
        assert!(row.contains(expected), "{expected}: {row}");
    }
    let (_, said, _) = bowline(&it, ADMIN, &["providers", "-o", "name"], "").await;
    assert!(
        said.lines().any(|line| line == format!("integrationprovider.bowline.dev/{}", it.name)),
        "{said}"
    );
    let (code, _, errors) = bowline(&it, "alice", &["providers"], "").await;
    assert!(code == 1 && errors.contains("integrationproviders.bowline.dev is forbidden"), "{errors}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_doctor_finds_what_is_installed_and_what_is_not() {
    let it = scene("doctor").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let (code, said, errors) = bowline(&it, ADMIN, &["doctor"], "").await;
    let line = |begin: &str| said.lines().any(|line| line.starts_with(begin));
    for begin in [
        "ok    kinds        5 kinds, as this plug-in knows them",
        "ok    policies     28 in force",
        "ok    keyring      there",
        "ok    clocks       ",
    ] {
        assert!(line(begin), "{begin}\n{said}");
    }
    // The operator under test is a separate process, so the shipped Deployment is scaled to zero.
    assert!(line("fail  operator     scaled to nothing"), "{said}");
    assert!(code == 1 && errors.contains("failed"), "{errors}");

    let (code, said, errors) = bowline(&it, "alice", &["doctor"], "").await;
    assert_eq!(code, 0, "what the user may not read is no failure: {said}{errors}");
    assert!(said.contains("warn  keyring      you may not see Secrets in bowline-system"), "{said}");
    assert!(said.contains("ok    connections  1 in your namespace, none broken"), "{said}");

    let elsewhere = ["doctor", "--operator-namespace", &it.namespace];
    let (_, said, _) = bowline(&it, ADMIN, &elsewhere, "").await;
    assert!(
        said.contains(&format!("fail  operator     no Deployment bowline in {}", it.namespace)),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn names_of_connections_complete() {
    let it = scene("complete").await;
    it.connection("mail").apply().await;
    it.connection("music").apply().await;
    let ask = async |words: &[&str]| {
        let line = [&["__complete", "--", "-n", &it.namespace], words].concat();
        let (code, said, errors) = bowline_as_is(&it, "alice", &line, "").await;
        assert_eq!((code, errors.as_str()), (0, ""));
        said
    };
    assert_eq!(ask(&["connect", "m"]).await, "mail\nmusic\n:4\n");
    assert_eq!(ask(&["connect", "ma"]).await, "mail\n:4\n");
    assert_eq!(ask(&["connect", "mail", ""]).await, ":4\n");
    let (_, said, _) =
        bowline_as_is(&it, "carol", &["__complete", "--", "-n", &it.namespace, "connect", ""], "").await;
    assert_eq!(said, ":4\n", "who may not list connections is offered none, and no error");
    let (code, said, _) = bowline_as_is(&it, "carol", &["completion", "kubectl"], "").await;
    assert!(code == 0 && said.starts_with("#!"), "{said}");
}
