//! A person consents on another device (RFC 8628).
//!
//! Protocol tests (level 2) show each request. Only here do we see that polling keeps its pace, survives a restart, and
//! publishes nothing before the owner accepts the account.

use std::sync::Arc;

use bowline_api::connection::Phase;
use bowline_testbed::sandbox::{Endpoint, Rotation};
use serde_json::json;

use crate::looking::{grant_id, is, words};
use crate::scene::{Scene, scene};
use crate::stage::Stage;

impl Scene {
    /// A provider that allows device flow, and a connection that nobody has authorized yet.
    pub async fn with_device_flow(&self) {
        self.provider(Rotation::SingleUse)
            .habit(|config| config.device_interval_seconds = 1)
            .spec(json!({"allow": {"deviceFlow": true}}))
            .apply()
            .await;
        self.connection("mail").apply().await;
    }

    /// Requests a code as `kubectl bowline connect --device` does, and waits for it.
    async fn asks_for_code(&self, request: &str) -> String {
        self.change(
            "mail",
            json!({"metadata": {"annotations": {"bowline.dev/authorize-requested-at": request}}}),
        )
        .await;
        let shown = self
            .until_status("mail", "a code to type", |status| {
                let authorization = status.authorization.as_ref();
                authorization.is_some_and(|authorization| authorization.user_code.is_some())
                    && status.last_handled_authorization.as_deref() == Some(request)
            })
            .await;
        let authorization = shown.authorization.unwrap();
        assert!(authorization.verification_uri.unwrap().contains("/device"));
        assert!(authorization.expires_at.is_some());
        authorization.user_code.unwrap()
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_code_typed_elsewhere_connects_once_the_owner_agrees_to_the_account() {
    let it = scene("device").await;
    it.with_device_flow().await;
    let code = it.asks_for_code("1").await;
    let waiting = it.until_reason("mail", "Authorized", "AuthorizationInProgress").await;
    assert!(words(&waiting, "Authorized").contains(&code), "{waiting:?}");

    it.realm.decide_device(&code, Some("alice")).unwrap();
    let held = it.until_reason("mail", "Authorized", "AwaitingConfirmation").await;
    assert!(words(&held, "Authorized").contains("--accept-account alice"), "{held:?}");
    assert!(is(&held, "SecretPublished", "Withheld"), "{held:?}");
    assert!(held.connected_at.is_none() && held.phase == Some(Phase::Pending.into()), "{held:?}");
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "nothing is published before that");

    let accept = |account| json!({"metadata": {"annotations": {"bowline.dev/accept-account": account}}});
    it.change("mail", accept("bob")).await;
    it.until_reason("mail", "Authorized", "AwaitingConfirmation").await;
    it.change("mail", accept("alice")).await;
    let status = it.until_phase("mail", "Active").await;
    assert!(status.authorization.is_none() && status.connected_at.is_some(), "{status:?}");
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_second_code_does_not_agree_to_the_account_of_the_first() {
    let it = scene("device-twice").await;
    it.with_device_flow().await;
    let code = it.asks_for_code("1").await;
    it.realm.decide_device(&code, Some("bob")).unwrap();
    it.until_reason("mail", "Authorized", "AwaitingConfirmation").await;
    let before = grant_id(&it.status("mail").await);
    let code = it.asks_for_code("2").await;
    it.realm.decide_device(&code, Some("bob")).unwrap();
    it.until_status("mail", "the new grant", |status| {
        grant_id(status).is_some_and(|grant| Some(grant) != before)
    })
    .await;
    it.until_reason("mail", "Authorized", "AwaitingConfirmation").await;
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "nobody has agreed yet");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_known_account_needs_no_second_agreement() {
    let it = scene("device-again").await;
    it.with_device_flow().await;
    it.consents_as("mail", "alice").await;
    it.until_phase("mail", "Active").await;
    let before = grant_id(&it.status("mail").await);
    let code = it.asks_for_code("again").await;
    it.realm.decide_device(&code, Some("alice")).unwrap();
    it.until_status("mail", "the new grant", |status| {
        grant_id(status).is_some_and(|grant| Some(grant) != before)
    })
    .await;
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_on_the_other_device_is_an_outcome() {
    let it = scene("device-no").await;
    it.with_device_flow().await;
    let code = it.asks_for_code("1").await;
    it.realm.decide_device(&code, None).unwrap();
    let status = it.until_reason("mail", "Authorized", "AuthorizationFailed").await;
    assert!(words(&status, "Authorized").contains("not allowed"), "{status:?}");
    assert!(status.authorization.unwrap().user_code.is_none(), "the code no longer works");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn device_flow_is_an_explicit_choice_of_the_administrator() {
    let it = scene("device-off").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.change("mail", json!({"metadata": {"annotations": {"bowline.dev/authorize-requested-at": "1"}}}))
        .await;
    let status = it
        .until_status("mail", "an answer", |status| status.last_handled_authorization.as_deref() == Some("1"))
        .await;
    assert!(words(&status, "Authorized").contains("platform@example.com"), "{status:?}");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::DeviceAuthorization).count(), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_restart_half_way_goes_on_waiting_for_the_same_code() {
    let stage: Arc<Stage> = Stage::fresh(&[]).await;
    let it = stage.scene("device-restart").await;
    it.with_device_flow().await;
    let code = it.asks_for_code("1").await;
    stage.stop_operator();
    it.realm.decide_device(&code, Some("alice")).unwrap();
    stage.start_operator().await;
    it.until_reason("mail", "Authorized", "AwaitingConfirmation").await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::DeviceAuthorization).count(), 1);
}
