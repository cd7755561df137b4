//! A registration that the provider refuses: three witnesses pause its connections, no grant is blamed, and a new app Secret
//! ends the pause.
//!
//! Unit tests count witnesses. Only here do the provider's status, its connections and the fixed Secret work together.

use std::time::Duration;

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_testbed::sandbox::{Action, Fault, Minted, Rotation};

use crate::looking::{condition, holds, is, words};
use crate::scene::{Scene, scene};

/// Long enough for three witnesses before the first refresh, which is due after half of it.
const LIFETIME: u64 = 120;

/// Within that time an ordinary refresh is due, and the pause after a first `invalid_client` is over. The next probe of a
/// rejected registration comes only after five minutes.
const RESUMED_WITHIN: Duration = Duration::from_secs(100);

/// No grant was judged by an error about the registration.
fn assert_not_condemned(status: &IntegrationConnectionStatus) {
    let authorized = condition(status, "Authorized").map_or("", |condition| &condition.status);
    assert!(holds(status, "Ready") && authorized != "False", "a token is still alive: {status:?}");
}

/// Requests refreshes until one is refused: the operator may not have seen the app's new Secret at the first.
async fn refused(it: &Scene, name: &str) {
    let failed = |status: &IntegrationConnectionStatus| {
        status.token.as_ref().is_some_and(|token| token.last_failure.is_some())
    };
    for request in 1.. {
        let request = format!("request-{request}");
        it.ask_for_refresh(name, &request).await;
        let status = it
            .until_status(name, "answered", |status| {
                failed(status) || status.last_handled_refresh.as_ref() == Some(&request)
            })
            .await;
        assert_not_condemned(&status);
        if failed(&status) {
            return;
        }
    }
}

/// Connections of one provider, all Active.
async fn connected(it: &Scene, names: &[&str]) -> Vec<Minted> {
    it.provider(Rotation::SingleUse).lifetime(LIFETIME).apply().await;
    let mut minted = Vec::new();
    for name in names {
        it.connection(name).apply().await;
        minted.push(it.authorized(name).await);
    }
    minted
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn three_witnesses_pause_a_providers_connections_until_its_app_secret_is_fixed() {
    let it = scene("app-rejected").await;
    let names = ["one", "two", "three", "four"];
    let minted = connected(&it, &names).await;
    let right = it.realm.config().clients[0].clone();
    let app = |secret: &str| {
        [("client_id", right.id.as_str()), ("client_secret", secret)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    };
    it.register_app(&app("not-the-secret")).await;

    let (witnesses, bystander) = names.split_at(3);
    for name in witnesses {
        it.until_provider("Ready").await;
        refused(&it, name).await;
    }
    let said = it.until_provider("AppRejected").await;
    assert!(said.contains("client_secret") && said.contains("platform@example.com"), "{said}");
    for name in names {
        let paused = it.until_reason(name, "Authorized", "ProviderNotReady").await;
        assert_not_condemned(&paused);
        assert_eq!(condition(&paused, "Authorized").unwrap().status, "Unknown");
        assert!(words(&paused, "Authorized").contains("not this grant"), "{paused:?}");
    }
    // It waits like the others: the next probe is minutes away.
    it.ask_for_refresh(bystander[0], "paused").await;

    it.register_app(&app(right.secret.as_deref().unwrap())).await;
    it.until_provider("Ready").await;
    for (name, minted) in names.iter().zip(&minted) {
        it.until_status_within(RESUMED_WITHIN, name, "refreshed", |status| {
            assert_not_condemned(status);
            is(status, "Authorized", "Authorized")
                && is(status, "TokenFresh", "Fresh")
                && !it.realm.ledger().refreshes_of(&minted.grant_id).is_empty()
        })
        .await;
    }
    let ledger = it.realm.ledger();
    assert!(ledger.spent_twice().is_empty() && ledger.revoked().is_empty(), "{ledger:?}");
    let refused: Vec<_> =
        ledger.requests.iter().filter(|request| request.error.as_deref() == Some("invalid_client")).collect();
    assert_eq!(refused.len(), witnesses.len(), "each witness asked once, the bystander never: {refused:?}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn two_witnesses_do_not_speak_for_a_provider() {
    let it = scene("app-doubted").await;
    connected(&it, &["one", "two", "three"]).await;
    it.realm.fault(Fault::token(Action::error("invalid_client")).times(2));
    for name in ["one", "two"] {
        it.ask_for_refresh(name, "now").await;
        it.until_reason(name, "TokenFresh", "RefreshFailing").await;
    }
    it.ask_for_refresh("three", "now").await;
    it.until_status("three", "refreshed", |status| status.last_handled_refresh.is_some()).await;
    it.until_provider("Ready").await;
    for name in ["one", "two", "three"] {
        let status = it.until_reason(name, "Authorized", "Authorized").await;
        assert_not_condemned(&status);
    }
}
