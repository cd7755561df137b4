//! The keyring under a KMS: a plug-in on Kubernetes' own server code, which rotates its key, answers slowly, wrongly or not at
//! all, and goes away.
//!
//! Unit tests check answers. Only here do we see that our messages are Kubernetes', and what the API server has of a key.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::keyring::{KeyEntry, SECRET};
use bowline_api::reason::Reason;
use bowline_testbed::access::ADMIN;
use bowline_testbed::kms::KmsServer;
use bowline_testbed::sandbox::Rotation;
use bowline_testbed::scratch::Scratch;
use k8s_openapi::ByteString;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::keyring::{SEALED_AGAIN_WITHIN, until_not_ready, until_ready};
use crate::looking::{until, until_within};
use crate::plugin::bowline;
use crate::scene::Scene;
use crate::stage::{HOME, Stage};

/// A KMS that is well is asked every minute, and records are sealed again every fifteen seconds.
const ASKED_WITHIN: Duration = Duration::from_secs(90);

fn kms(seed: &str) -> KmsServer {
    KmsServer::start(seed, "key-1").expect("a KMS")
}

/// The keyring's entries as the API server has them.
async fn stored(it: &Scene) -> BTreeMap<String, ByteString> {
    it.secrets(HOME).get(SECRET).await.expect("a keyring").data.unwrap_or_default()
}

/// The keys of the KMS that wrapped the keys of the keyring.
async fn wrapped_with(it: &Scene) -> Vec<String> {
    let is_wrapped = |name: &str| matches!(KeyEntry::parse(name), Some((_, KeyEntry::Wrapped)));
    let wrapped = stored(it).await.into_iter().filter(|(name, _)| is_wrapped(name));
    let key_id = |value: &ByteString| serde_json::from_slice::<Value>(&value.0).unwrap()["kmsKeyId"].clone();
    wrapped.map(|(_, value)| key_id(&value).as_str().unwrap().to_owned()).collect()
}

fn in_clear(entries: &BTreeMap<String, ByteString>) -> Vec<&String> {
    let is_clear = |name: &str| matches!(KeyEntry::parse(name), Some((_, KeyEntry::Clear)));
    entries.keys().filter(|name| is_clear(name)).collect()
}

/// The value of a series of the operator without labels.
async fn gauge(stage: &Stage, name: &str) -> Result<(), String> {
    let (_, text) = stage.ask("metrics").await.ok_or("nobody listens")?;
    let line = text.lines().find(|line| line.starts_with(name)).map(ToOwned::to_owned);
    Err(line.unwrap_or_else(|| "no such series".to_owned()))
}

async fn until_gauge(stage: &Stage, name: &str, value: u8) {
    let wanted = format!("{name} {value}");
    until_within(ASKED_WITHIN, &wanted, async || match gauge(stage, name).await {
        Err(line) if line == wanted => Ok(()),
        other => other,
    })
    .await;
}

async fn refreshed(it: &Scene, name: &str, grant: &str, request: &str) {
    let before = it.realm.ledger().refreshes_of(grant).len();
    it.ask_for_refresh(name, request).await;
    it.until_refreshed(grant, before + 1).await;
}

/// What the operator said of the KMS as it started, with this fault.
async fn until_refused(stage: &Stage, server: &KmsServer, fault: &str, said: &str) {
    server.spoil(Some(fault)).unwrap();
    until_not_ready(stage, said).await;
    let (_, body) = stage.ask("readyz").await.unwrap();
    assert!(body.contains(&server.url()) && body.contains("whoever runs the KMS plug-in"), "{fault}: {body}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn with_a_kms_no_key_is_readable_in_the_api_server_and_its_rotation_wraps_the_keyring_again() {
    let mut server = kms("one");
    let stage = Stage::fresh(&["--kms-socket", &server.url()]).await;
    let it = stage.scene("kms").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let first = stored(&it).await;
    assert!(in_clear(&first).is_empty() && wrapped_with(&it).await == ["key-1"], "{:?}", first.keys());

    stage.stop_operator();
    stage.start_operator().await;
    refreshed(&it, "mail", &minted.grant_id, "after a start").await;
    assert_eq!(stored(&it).await, first, "a start writes nothing");

    server.rotate("key-2").unwrap();
    until_within(ASKED_WITHIN, "wrapped again", async || {
        let now = wrapped_with(&it).await;
        if now == ["key-2"] { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    until_gauge(&stage, "bowline_keyring_keys_under_former_kms_keys", 0).await;
    let (code, said, errors) = bowline(&it, ADMIN, &["keys"], "").await;
    assert!(code == 0 && said.contains("KMS KEY") && said.contains("key-2"), "{said}{errors}");

    server.stop();
    until_gauge(&stage, "bowline_kms_failing", 1).await;
    assert_eq!(stage.ask("readyz").await.unwrap().0, 200, "the keys are in memory");
    refreshed(&it, "mail", &minted.grant_id, "without the KMS").await;
    server.resume().unwrap();
    until_gauge(&stage, "bowline_kms_failing", 0).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn with_a_kms_the_operator_makes_keys_and_keeps_those_that_the_kms_loses() {
    let mut server = kms("keys");
    let stage = Stage::fresh(&["--kms-socket", &server.url()]).await;
    let it = stage.scene("kms-keys").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let former = asked_for_another_key(&it, &minted.grant_id).await;
    a_key_that_comes_while_the_kms_is_away_is_taken_later(&it, &mut server, former).await;
    what_the_kms_lost_is_wrapped_again(&it, &mut server).await;
    refreshed(&it, "mail", &minted.grant_id, "under other keys of the KMS").await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

/// The plug-in cannot reach the KMS, so the operator makes the key. Returns the entries of the former one.
async fn asked_for_another_key(it: &Scene, grant: &str) -> BTreeMap<String, ByteString> {
    let former = it.sealed_with("mail").await;
    let entries = stored(it).await;
    let (code, said, errors) = bowline(it, ADMIN, &["keys", "rotate"], "").await;
    assert!(code == 0 && said.contains("seals from now on"), "{said}{errors}");
    let (primary, _) = said.split_once(' ').unwrap();
    it.until_sealed_with("mail", primary).await;
    assert!(in_clear(&stored(it).await).is_empty());
    let secret = it.secrets(HOME).get(SECRET).await.unwrap();
    assert!(secret.metadata.annotations.unwrap_or_default().is_empty(), "the request is done");
    until("the former key goes", async || {
        let (code, _, errors) = bowline(it, ADMIN, &["keys", "remove", &former], "").await;
        if code == 0 { Ok(()) } else { Err(errors) }
    })
    .await;
    assert_eq!(wrapped_with(it).await, ["key-1"]);
    refreshed(it, "mail", grant, "after a rotation").await;
    entries.into_iter().filter(|(name, _)| name.contains(&former)).collect()
}

/// As if another replica had rotated: a wrapped key that this process does not have.
async fn a_key_that_comes_while_the_kms_is_away_is_taken_later(
    it: &Scene,
    server: &mut KmsServer,
    entries: BTreeMap<String, ByteString>,
) {
    it.stage.stop_operator();
    it.stage.start_operator().await;
    server.stop();
    let added = json!({"data": entries});
    it.secrets(HOME).patch(SECRET, &PatchParams::default(), &Patch::Merge(&added)).await.expect("added");
    until_gauge(&it.stage, "bowline_store_ready", 0).await;
    server.resume().unwrap();
    until_gauge(&it.stage, "bowline_store_ready", 1).await;
}

/// While the process has the keys: the next one would have none.
async fn what_the_kms_lost_is_wrapped_again(it: &Scene, server: &mut KmsServer) {
    let before = stored(it).await;
    server.stop();
    until_gauge(&it.stage, "bowline_kms_failing", 1).await;
    server.forget("other").unwrap();
    server.resume().unwrap();
    until_gauge(&it.stage, "bowline_kms_failing", 0).await;
    let now = stored(it).await;
    assert!(wrapped_with(it).await == ["key-1", "key-1"] && now != before, "{:?}", now.keys());
    it.stage.stop_operator();
    it.stage.start_operator().await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_start_without_a_kms_that_is_well_says_which_and_what_until_it_is() {
    let mut server = kms("faults");
    server.stop();
    let stage = Stage::without_operator(&["--kms-socket", &server.url(), "--kms-timeout", "2s"]).await;
    let it = stage.scene("kms-faults").await;
    stage.spawn_operator().await;
    until_not_ready(&stage, "cannot be reached").await;
    server.resume().unwrap();
    // Nothing is stored by an answer that is wrong.
    for (fault, said) in [
        ("slow", "did not answer Status within 2000 ms"),
        ("unhealthy", "the HSM is away"),
        ("huge", "refused Status"),
        ("old-version", "v1beta1"),
        ("no-key-id", "it names no key"),
        ("long-key-id", "1025 bytes"),
        ("no-encrypt", "refused Encrypt"),
        ("other-key", "another key than it named in Status"),
        ("plaintext", "the secret is readable in it"),
        ("spoiled", "refused Decrypt"),
        ("no-ciphertext", "the ciphertext is empty"),
        ("long-ciphertext", "1025 bytes"),
        ("bad-annotation", "is not a domain name"),
        ("long-annotation", "which is more than 32768"),
        ("wrong-key", "what it encrypted was something else"),
    ] {
        until_refused(&stage, &server, fault, said).await;
        assert!(it.secret_now(HOME, SECRET).await.is_none(), "{fault}");
    }
    assert!(!stage.logs().contains("may not encrypt"), "its message has the key");
    server.spoil(None).unwrap();
    until_ready(&stage).await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    stage.kill_operator();

    // A keyring that is there is as little believed to be another.
    for (fault, said) in
        [("no-decrypt", "refused Decrypt"), ("wrong-key", "what it encrypted was something else")]
    {
        server.spoil(Some(fault)).unwrap();
        stage.spawn_operator().await;
        until_refused(&stage, &server, fault, said).await;
        stage.kill_operator();
    }
    server.spoil(None).unwrap();
    stage.start_operator().await;
    refreshed(&it, "mail", &minted.grant_id, "well again").await;
    wrong_answers_change_nothing(&it, &server, &minted.grant_id).await;
}

/// The KMS's key changes, and what it encrypts is spoiled: the keyring stays under the former key.
async fn wrong_answers_change_nothing(it: &Scene, server: &KmsServer, grant: &str) {
    let before = stored(it).await;
    server.spoil(Some("spoiled")).unwrap();
    server.rotate("key-2").unwrap();
    until_gauge(&it.stage, "bowline_kms_failing", 1).await;
    until_gauge(&it.stage, "bowline_keyring_keys_under_former_kms_keys", 1).await;
    assert_eq!(stored(it).await, before);
    refreshed(it, "mail", grant, "spoiled").await;
    server.spoil(None).unwrap();
    until_gauge(&it.stage, "bowline_kms_failing", 0).await;
    assert_eq!(wrapped_with(it).await, ["key-2"]);
}

/// Two replicas would do; here the one operator is started with other flags.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_kms_is_taken_up_by_a_new_key_and_left_by_another_and_nobody_connects_again() {
    let server = kms("turned-on");
    let url = server.url();
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("kms-on").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let clear = it.sealed_with("mail").await;
    stage.stop_operator();

    let with_kms = stage.replica(&["--kms-socket", &url]);
    with_kms.start_operator().await;
    let entries = stored(&it).await;
    assert!(in_clear(&entries).is_empty(), "{:?}", entries.keys());
    assert!(
        entries.contains_key(&format!("{clear}.wrapped")),
        "its records still need it: {:?}",
        entries.keys()
    );
    let wrapped = other_key_seals(&it, &clear).await;
    refreshed(&it, "mail", &minted.grant_id, "on").await;
    with_kms.stop_operator();

    stage.spawn_operator().await;
    until_not_ready(&stage, "is wrapped by a KMS and --kms-socket is not set").await;
    assert_eq!(stored(&it).await, entries, "nothing is written without it");
    stage.kill_operator();

    let leaving = stage.replica(&["--kms-socket", &url, "--kms-decrypt-only"]);
    leaving.start_operator().await;
    let last = other_key_seals(&it, &wrapped).await;
    for former in [&clear, &wrapped] {
        until("nothing needs it", async || {
            let (code, _, errors) = bowline(&it, ADMIN, &["keys", "remove", former], "").await;
            if code == 0 { Ok(()) } else { Err(errors) }
        })
        .await;
    }
    leaving.stop_operator();
    assert_eq!(in_clear(&stored(&it).await), [&format!("{last}.key")]);
    stage.start_operator().await;
    refreshed(&it, "mail", &minted.grant_id, "off").await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

/// Returns the key that seals in place of `former`.
async fn other_key_seals(it: &Scene, former: &str) -> String {
    until_within(SEALED_AGAIN_WITHIN, "another key seals", async || {
        let now = it.sealed_with("mail").await;
        if now == former { Err(now) } else { Ok(now) }
    })
    .await
}

/// To another cluster, whose KMS is at first another one.
#[tokio::test]
#[ignore = "needs two API servers: make test"]
async fn a_keyring_moves_to_where_its_kms_is_and_is_refused_elsewhere() {
    let (here, elsewhere) = (kms("here"), kms("elsewhere"));
    let stage = Stage::fresh(&["--kms-socket", &here.url()]).await;
    let it = stage.scene("kms-moved").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let id = it.sealed_with("mail").await;
    stage.stop_operator();
    let files = Scratch::create().expect("a folder");
    let file = files.path().join("bowline.json");
    let write = ["backup", "--to", file.to_str().unwrap(), "--with-keyring"];
    let (code, said, errors) = bowline(&it, ADMIN, &write, "").await;
    assert!(code == 0, "{said}{errors}");

    let second = Stage::without_operator(&["--kms-socket", &elsewhere.url()]).await;
    let there = it.moved_to(&second).await;
    let created = second.access.kubectl(&["create", "-f", file.to_str().unwrap()]).await.unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    second.spawn_operator().await;
    until_not_ready(&second, "If this keyring is from another cluster, it needs that cluster's KMS").await;
    until_not_ready(&second, &id).await;
    second.kill_operator();

    elsewhere.forget("here").unwrap();
    elsewhere.rotate("key-2").unwrap();
    second.start_operator().await;
    there.until_reason("mail", "Authorized", Reason::AdoptionOffered.as_str()).await;
    let (code, said, errors) = bowline(&there, ADMIN, &["adopt", "-A", "--all", "--yes"], "").await;
    assert!(code == 0, "{said}{errors}");
    there.until_phase("mail", "Active").await;
    refreshed(&there, "mail", &minted.grant_id, "moved").await;
    a_key_in_clear_is_wrapped(&there).await;
    assert_eq!(wrapped_with(&there).await, ["key-2", "key-2"]);
    assert!(it.realm.ledger().spent_twice().is_empty());
}

/// Somebody adds a key by hand.
async fn a_key_in_clear_is_wrapped(it: &Scene) {
    let clear = "0123456789abcdef0123456789abcdef";
    let entries = json!({"stringData": {
        format!("{clear}.key"): "k".repeat(32), format!("{clear}.created"): "2026-03-01T00:00:00Z"}});
    it.secrets(HOME).patch(SECRET, &PatchParams::default(), &Patch::Merge(&entries)).await.expect("added");
    until_within(ASKED_WITHIN, "wrapped, too", async || {
        let entries = stored(it).await;
        let wrapped = entries.contains_key(&format!("{clear}.wrapped")) && in_clear(&entries).is_empty();
        if wrapped { Ok(()) } else { Err(format!("{:?}", entries.keys())) }
    })
    .await;
}
