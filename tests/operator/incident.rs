//! A provider that refuses everybody's grant for a while condemns nobody, and a person whose grant was revoked is noticed.
//!
//! Unit tests count witnesses. Only here do we see that nothing published goes away, and that all recover by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_testbed::sandbox::{Account, Action, Endpoint, Fault, GrantType, MintRequest, Rotation};
use kube::ResourceExt;

use crate::looking::is;
use crate::scene::{Scene, scene};

/// Short enough for a refresh soon, long enough for all to connect before the first one is refused twice.
const LIFETIME: u64 = 40;

/// A few probes, one after the other.
const RECOVERED_WITHIN: Duration = Duration::from_mins(2);

/// The names of the connections; each is of an account of its own.
const PEOPLE: [&str; 6] = ["ann", "ben", "cem", "dan", "eve", "fay"];

fn is_condemned(status: &IntegrationConnectionStatus) -> bool {
    is(status, "Authorized", "GrantRevoked") || is(status, "Authorized", "GrantExpired")
}

/// Connects one connection per person; returns their grants.
async fn everybody_connects(it: &Scene) -> BTreeMap<&'static str, String> {
    let accounts = PEOPLE.map(|sub| Account { sub: sub.to_owned(), ..it.realm.config().accounts[0].clone() });
    it.provider(Rotation::SingleUse)
        .lifetime(LIFETIME)
        .habit(move |config| config.accounts.extend(accounts))
        .apply()
        .await;
    let mut grants = BTreeMap::new();
    for name in PEOPLE {
        it.connection(name).apply().await;
        let minted = it.realm.mint(&MintRequest::of(name)).expect("a grant");
        it.import(name, &minted).await;
        it.until_phase(name, "Active").await;
        grants.insert(name, minted.grant_id);
    }
    grants
}

/// The published Secrets, by UID: one that was removed and written again has another.
async fn published(it: &Scene) -> Vec<String> {
    let mut uids = Vec::new();
    for name in PEOPLE {
        let secret = it.secret_now(&it.namespace, name).await;
        uids.push(secret.expect("a published Secret").uid().unwrap());
    }
    uids
}

fn refusals(it: &Scene) -> usize {
    it.realm.ledger().requests_to(Endpoint::Token).filter(|request| request.fault.is_some()).count()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_24_a_provider_that_refuses_every_grant_for_a_while_condemns_nobody() {
    let it = scene("incident").await;
    everybody_connects(&it).await;
    let before = published(&it).await;
    let all =
        Fault { grant_type: Some(GrantType::RefreshToken), ..Fault::token(Action::error("invalid_grant")) };
    it.realm.fault(all.times(10_000));
    for name in PEOPLE {
        it.ask_for_refresh(name, "now").await;
    }
    it.until_provider("GrantsRefused").await;
    // It lasts for several probes, and until every published token has expired.
    for name in PEOPLE {
        it.until_status_within(RECOVERED_WITHIN, name, "expired and not condemned", |status| {
            assert!(!is(status, "Authorized", "GrantRevoked"), "{status:?}");
            is(status, "TokenFresh", "TokenExpired") && is(status, "Authorized", "GrantsRefused")
        })
        .await;
    }
    assert!(refusals(&it) < 40, "one probe at a time: {}", refusals(&it));
    it.realm.clear_faults();
    for name in PEOPLE {
        let back = it
            .until_status_within(RECOVERED_WITHIN, name, "back", |status| {
                is(status, "Ready", "Connected") && is(status, "TokenFresh", "Fresh")
            })
            .await;
        assert!(!is_condemned(&back), "{back:?}");
    }
    it.until_provider("Ready").await;
    assert_eq!(published(&it).await, before, "no Secret was removed");
    assert!(it.realm.ledger().spent_twice().is_empty() && it.realm.ledger().revoked().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_24_a_grant_that_one_person_revoked_is_noticed_and_tried_again_on_request() {
    let it = scene("one-revoked").await;
    let grants = everybody_connects(&it).await;
    it.realm.revoke_grant(&grants["ann"]).expect("revoked");
    let over = it.until_status_within(RECOVERED_WITHIN, "ann", "condemned", is_condemned).await;
    let ruling = over.ruling.expect("a ruling");
    assert!(ruling.is_final);
    for name in &PEOPLE[1..] {
        assert!(!is_condemned(&it.status(name).await), "{name}");
    }
    let asked = it.realm.ledger().refresh_attempts_of(&grants["ann"]).len();
    it.ask_for_refresh("ann", "once-more").await;
    it.until_ledger("asked once more", |ledger| {
        (ledger.refresh_attempts_of(&grants["ann"]).len() > asked).then_some(())
    })
    .await;
    let still = it
        .until_status("ann", "answered", |status| status.last_handled_refresh.as_deref() == Some("once-more"))
        .await;
    assert!(is_condemned(&still) && still.ruling.unwrap().since == ruling.since, "the verdict stands");
}
