//! The keyring: with an unusable one the operator is not ready, says why, and creates no new one. A directory of files is
//! followed.
//!
//! Unit tests read keyrings. Only here do we see what a start with a bad one does to records and Secrets.

use std::time::Duration;

use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::{Endpoint, Rotation};
use bowline_testbed::scratch::Scratch;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::looking::{condition, holds, is, until, until_within, words};
use crate::plugin::bowline;
use crate::scene::{Scene, parsed};
use crate::stage::{HOME, Stage};

const KEYRING: &str = "bowline-keyring";

pub async fn until_not_ready(stage: &Stage, said: &str) {
    until(&format!("not ready: {said}"), async || {
        let (status, body) = stage.ask("readyz").await.ok_or_else(|| "nobody listens".to_owned())?;
        if status == 503 && body.contains(said) { Ok(()) } else { Err(format!("{status} {body}")) }
    })
    .await;
}

pub async fn until_ready(stage: &Stage) {
    until("ready", async || stage.ask("readyz").await.filter(|(status, _)| *status == 200)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_key_of_the_wrong_length_is_refused_by_name_until_it_is_fixed() {
    let stage = Stage::without_operator(&[]).await;
    let it = stage.scene("short-key").await;
    let id = "0123456789abcdef0123456789abcdef";
    let keyring = |length: usize| -> Secret {
        parsed(json!({"metadata": {"name": KEYRING}, "stringData": {
            "primary": id, format!("{id}.key"): "k".repeat(length), format!("{id}.created"): "2026-03-01T00:00:00Z"}}))
    };
    let secrets = it.secrets(HOME);
    secrets.create(&PostParams::default(), &keyring(31)).await.expect("a keyring");
    stage.spawn_operator().await;
    until_not_ready(&stage, id).await;
    assert_eq!(stage.ask("livez").await.unwrap().0, 200, "a restart would fix nothing");

    secrets.delete(KEYRING, &DeleteParams::default()).await.expect("deleted");
    let fixed =
        until("a new keyring", async || secrets.create(&PostParams::default(), &keyring(32)).await.map(drop));
    fixed.await;
    until_ready(&stage).await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_keyring_that_is_gone_while_records_exist_is_not_replaced() {
    let stage = Stage::fresh(&["--intent-ttl", "2s"]).await;
    let it = stage.scene("gone-keys").await;
    let minted = it.connected("mail", Rotation::SingleUse, 20).await;
    let secrets = it.secrets(HOME);
    let mut keyring = secrets.get(KEYRING).await.expect("the operator made one");
    stage.stop_operator();
    let published = it.secret("mail").await;
    secrets.delete(KEYRING, &DeleteParams::default()).await.expect("deleted");

    stage.spawn_operator().await;
    until_not_ready(&stage, "while records exist").await;
    assert!(secrets.get_opt(KEYRING).await.unwrap().is_none(), "a new key opens nothing");
    assert_eq!(it.secret("mail").await, published);

    keyring.metadata.resource_version = None;
    keyring.metadata.uid = None;
    // Its label is reserved for the operator, so a person restores it without.
    keyring.metadata.labels = None;
    secrets.create(&PostParams::default(), &keyring).await.expect("put back");
    until_ready(&stage).await;
    let refreshes = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.until_refreshed(&minted.grant_id, refreshes + 1).await;
    it.until_phase("mail", "Active").await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

const FIRST: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const SECOND: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";

/// The directory is read every thirty seconds, records are sealed again every fifteen, and one that did not open is checked every
/// minute.
pub const SEALED_AGAIN_WITHIN: Duration = Duration::from_secs(90);
const OPENED_AGAIN_WITHIN: Duration = Duration::from_mins(2);

/// A directory as a key management service fills it.
struct Directory(Scratch);

impl Directory {
    fn new() -> Self {
        Self(Scratch::create().expect("a directory"))
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// Adds a key; its bytes are derived from its id.
    fn add(&self, id: &str) {
        let file = |name: String, content: &[u8]| std::fs::write(self.0.path().join(name), content).unwrap();
        file(format!("{id}.created"), b"2026-03-01T00:00:00Z");
        file(format!("{id}.key"), id.as_bytes());
    }

    /// Seals with this key from now on.
    fn promote(&self, id: &str) {
        // Names that begin with a dot belong to the mount, and a rename is atomic.
        let fresh = self.0.path().join(".primary");
        std::fs::write(&fresh, id).unwrap();
        std::fs::rename(fresh, self.0.path().join("primary")).unwrap();
    }

    fn take_out(&self, id: &str) {
        for suffix in ["key", "created"] {
            std::fs::remove_file(self.0.path().join(format!("{id}.{suffix}"))).unwrap();
        }
    }
}

impl Scene {
    /// The id of the key that seals a connection's grant: it is in clear, after four letters and a number.
    pub async fn sealed_with(&self, name: &str) -> String {
        let record = format!("record-{}", self.get(name).await.metadata.uid.unwrap());
        let record = self.secret_now(HOME, &record).await.expect("a record");
        let id = record.data.unwrap()["grant"].0[5..21].try_into().map(u128::from_be_bytes).unwrap();
        format!("{id:032x}")
    }

    /// In the background, without a refresh.
    pub async fn until_sealed_with(&self, name: &str, id: &str) {
        until_within(SEALED_AGAIN_WITHIN, &format!("{name} is sealed with {id}"), async || {
            let sealed = self.sealed_with(name).await;
            if sealed == id { Ok(()) } else { Err(sealed) }
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_keyring_directory_is_rotated_without_a_restart_and_a_lost_key_withdraws_nothing() {
    let keys = Directory::new();
    let stage = Stage::without_operator(&["--keyring-dir", keys.path()]).await;
    let it = stage.scene("key-files").await;
    stage.spawn_operator().await;
    until_not_ready(&stage, "keyring").await;
    keys.add(FIRST);
    keys.promote(FIRST);
    until_ready(&stage).await;
    it.connected("busy", Rotation::SingleUse, 3600).await;
    it.connection("quiet").apply().await;
    let quiet = it.authorized("quiet").await;
    assert_eq!(it.sealed_with("quiet").await, FIRST);
    assert!(it.secret_now(HOME, KEYRING).await.is_none(), "there are files, and yet a keyring was made");

    keys.add(SECOND);
    keys.promote(SECOND);
    for name in ["busy", "quiet"] {
        it.until_sealed_with(name, SECOND).await;
    }
    assert_eq!(it.realm.ledger().refreshes_of(&quiet.grant_id).len(), 0, "a refresh is not needed for that");
    it.ask_for_refresh("quiet", "opens").await;
    it.until_refreshed(&quiet.grant_id, 1).await;
    it.until_phase("quiet", "Active").await;
    a_lost_key_withdraws_nothing(&it, &keys).await;
    assert!(it.realm.ledger().spent_twice().is_empty() && it.realm.ledger().revoked().is_empty());
}

/// Both connections are sealed with the first key again, and that key is gone when the operator starts again.
async fn a_lost_key_withdraws_nothing(it: &Scene, keys: &Directory) {
    let stage = &it.stage;
    keys.promote(FIRST);
    it.until_sealed_with("quiet", FIRST).await;
    until("at rest", async || {
        let status = it.status("quiet").await;
        let asked = it.get("quiet").await.metadata.annotations.unwrap_or_default();
        let asked = asked.get(bowline_api::names::ANNOTATION_REFRESH_REQUESTED).cloned();
        (status.last_handled_refresh == asked).then_some(())
    })
    .await;
    stage.stop_operator();
    let published = it.secret("quiet").await;
    let sent = |it: &Scene| it.realm.ledger().requests_to(Endpoint::Token).count();
    let before = sent(it);
    keys.promote(SECOND);
    keys.take_out(FIRST);
    stage.start_operator().await;
    let unreadable = it.until_reason("quiet", "Authorized", "RecordUnreadable").await;
    assert_eq!(condition(&unreadable, "Authorized").unwrap().status, "Unknown");
    assert!(holds(&unreadable, "Ready"), "the published token lives: {unreadable:?}");
    assert!(words(&unreadable, "Authorized").contains("platform team"), "{unreadable:?}");
    it.ask_for_refresh("quiet", "cannot be served").await;
    it.connection("new").apply().await;
    it.import_keys("new", &[("access_token", &it.mint().access_token)]).await;
    it.until_phase("new", "Active").await;
    assert_eq!(it.secret("quiet").await, published, "what cannot be read is unknown, never gone");
    assert_eq!(sent(it), before, "nothing is sent with what cannot be read");

    keys.add(FIRST);
    it.until_status_within(OPENED_AGAIN_WITHIN, "quiet", "opened again", |status| {
        is(status, "Authorized", "Authorized") && holds(status, "Ready")
    })
    .await;
    it.until_sealed_with("quiet", SECOND).await;
    assert!(it.realm.is_alive(&it.secret("quiet").await["access_token"]));
}

/// Everybody's records are sealed again after a rotation, by whichever process is there, and only then the former key goes.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_rotation_goes_on_after_a_kill_and_the_former_key_goes_once_nothing_needs_it() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("rotation").await;
    let kept = it.connected("kept-0", Rotation::SingleUse, 3600).await;
    for number in 1..6 {
        let name = format!("kept-{number}");
        it.connection(&name).apply().await;
        it.authorized(&name).await;
    }
    let former = it.sealed_with("kept-0").await;
    let (code, said, errors) = bowline(&it, ADMIN, &["keys", "remove", &former], "").await;
    assert!(code == 1 && errors.contains("primary key"), "{said}{errors}");
    let (code, said, errors) = bowline(&it, ADMIN, &["keys", "rotate"], "").await;
    assert!(code == 0 && errors.contains("Back the keyring up"), "{said}{errors}");
    let (primary, _) = said.split_once(' ').unwrap();
    stage.kill_operator();
    let (_, listed, _) = bowline(&it, ADMIN, &["keys"], "").await;
    assert!(listed.contains(primary) && listed.contains(&former), "{listed}");
    stage.start_operator().await;
    for number in 0..6 {
        it.until_sealed_with(&format!("kept-{number}"), primary).await;
    }
    until("the former key is not needed", async || {
        let (code, _, errors) = bowline(&it, ADMIN, &["keys", "remove", &former], "").await;
        if code == 0 { Ok(()) } else { Err(errors) }
    })
    .await;
    // Another process opens everything without it.
    stage.kill_operator();
    stage.start_operator().await;
    it.ask_for_refresh("kept-0", "opens").await;
    it.until_refreshed(&kept.grant_id, 1).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
    let (code, _, errors) = bowline(&it, ADMIN, &["keys", "remove", primary], "").await;
    assert!(code == 1 && errors.contains("primary key"), "{errors}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_operator_rotates_a_key_that_is_old_enough_and_keeps_the_former_one() {
    let stage = Stage::fresh(&["--key-rotate-after", "0s"]).await;
    let it = stage.scene("scheduled").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let first = it.sealed_with("mail").await;
    stage.stop_operator();
    stage.start_operator().await;
    until_within(SEALED_AGAIN_WITHIN, "another key seals", async || {
        let now = it.sealed_with("mail").await;
        if now == first { Err(now) } else { Ok(()) }
    })
    .await;
    let keyring = it.secrets(HOME).get(KEYRING).await.unwrap().data.unwrap();
    assert!(keyring.contains_key(&format!("{first}.key")), "people remove keys");
    it.ask_for_refresh("mail", "opens").await;
    it.until_refreshed(&minted.grant_id, 1).await;
}
