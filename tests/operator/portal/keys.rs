//! What a session rests on: the keys that seal it, the identity behind it, and what is asked before anybody is known.

use std::collections::BTreeMap;

use bowline_portal::testing::{KEY_SECRET, Purpose, SESSION_COOKIE, SessionKeys};
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::house::{Portal, admit, session_key, waiting};
use super::walk::{callback, leave};
use crate::carrier::ATTEMPTS;
use crate::looking::until_within;
use crate::scene::Scene;
use crate::stage::Stage;

const PORTAL_ACCOUNT: &str = "system:serviceaccount:bowline-portal:bowline-portal";

fn key(byte: u8) -> SessionKeys {
    SessionKeys::new(&[byte; 32]).unwrap()
}

/// Adds a session key that seals from this many days from now on, or removes it.
async fn change_key(it: &Scene, days: i64, byte: Option<u8>) {
    let day = Timestamp::now() + SignedDuration::from_hours(24 * days);
    let entry = format!("key-{}", day.strftime("%Y-%m-%d"));
    let change = json!({"data": {entry: byte.map(|byte| ByteString(vec![byte; 32]))}});
    it.secrets("bowline-portal")
        .patch(KEY_SECRET, &PatchParams::default(), &Patch::Merge(&change))
        .await
        .expect("the keys");
}

/// The session in a browser's cookies, if this key opens it.
fn opened(browser: &super::browser::Browser, key: &SessionKeys) -> Option<Value> {
    browser.cookies().iter().find_map(|cookie| key.open(Purpose::Session, cookie))
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_10_session_keys_are_replaced_while_people_are_signed_in() {
    let stage = Stage::without_operator(&[]).await;
    let it = stage.scene("keys").await;
    let first = Portal::start(&it, &["--session-key-max-age=0s"]).await;
    assert!(first.logs().contains("older than --session-key-max-age"), "{}", first.logs());
    let alice = first.browser_of(&it, "alice").await;
    let oldest = session_key(&it).await;
    assert!(opened(&alice, &oldest).is_some());

    // A key for tomorrow is known and not used yet; today's is used by who starts now, and soon by who runs already.
    change_key(&it, 1, Some(b'm')).await;
    change_key(&it, 0, Some(b't')).await;
    let second = Portal::start(&it, &[]).await;
    assert!(!second.logs().contains("session-key-max-age"), "today's key is new: {}", second.logs());
    assert_eq!(alice.also_at(&second.address).get("/connections").await.status, 200, "the old one opens");
    let bob = second.browser_of(&it, "bob").await;
    assert!(opened(&bob, &key(b't')).is_some() && opened(&bob, &key(b'm')).is_none());
    let rotation = std::time::Duration::from_secs(90);
    until_within(rotation, "the running portal knows the key as well", async || {
        let status = bob.also_at(&first.address).get("/connections").await.status;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;

    // A key that is removed ends its sessions without a restart.
    let secret: Secret = it.secrets("bowline-portal").get(KEY_SECRET).await.unwrap();
    let entries: BTreeMap<String, ByteString> = secret.data.unwrap();
    assert_eq!(entries.len(), 3, "{:?}", entries.keys());
    let gone = json!({"data": {"key": null}});
    let secrets = it.secrets("bowline-portal");
    secrets.patch(KEY_SECRET, &PatchParams::default(), &Patch::Merge(&gone)).await.expect("removed");
    until_within(rotation, "the end of alice's session", async || {
        let page = alice.also_at(&first.address).get("/connections").await;
        if page.location == "/sign-in" { Ok(()) } else { Err(page.status) }
    })
    .await;
    assert_eq!(bob.also_at(&first.address).get("/connections").await.status, 200);
}

/// Anybody can send a callback, and each that is looked up is a request to the API server.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_10_a_callback_that_nobody_began_here_costs_no_request() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("no-request").await;
    it.provider(Rotation::SingleUse).apply().await;
    admit(&it, "carol").await;
    waiting(&it, "carol", "mail").await;
    let portal = Portal::start(&it, &[]).await;
    let carol = portal.browser_of(&it, "carol").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let audit = stage.access.audit().expect("an audit log");
    let looked_up = |mark| {
        let requests = audit.requests_since(mark).expect("the audit log").by(PORTAL_ACCOUNT);
        requests.on("secrets").in_namespace(ATTEMPTS).count()
    };
    let begun = audit.mark().unwrap();
    let code = callback(&it, &leave(&carol, &page).await, "alice").await;
    until_within(std::time::Duration::from_secs(30), "carol's own requests in the log", async || {
        let seen = looked_up(begun);
        if seen > 3 { Ok(()) } else { Err(seen) }
    })
    .await;

    let mark = audit.mark().unwrap();
    let nobody = portal.browser();
    for number in 0..50 {
        let issued = format!("{number:0>43}");
        for browser in [&nobody, &carol] {
            let path = format!("/callback/{}?state={issued}&code=x", it.name);
            assert_eq!(browser.get(&path).await.status, 409, "{path}");
        }
    }
    // The line of a later request of the portal comes after all of them.
    carol.get(&page).await;
    until_within(std::time::Duration::from_secs(30), "the page's own request in the log", async || {
        let lists = audit.requests_since(mark).expect("the audit log").by(PORTAL_ACCOUNT).with_verb("list");
        (lists.on("secrets").in_namespace(ATTEMPTS).count() >= 1).then_some(())
    })
    .await;
    let gets = audit.requests_since(mark).unwrap().by(PORTAL_ACCOUNT).with_verb("get");
    assert_eq!(gets.on("secrets").in_namespace(ATTEMPTS).count(), 0);

    // A real state from a browser that did not begin: the attempt ends, and sending it again costs almost nothing.
    let mark = audit.mark().unwrap();
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(nobody.get(&code).await.status);
    }
    assert_eq!(seen[..3], [409; 3], "{seen:?}");
    assert!(seen[3..].iter().filter(|status| **status == 409).count() < 3, "{seen:?}");
    assert!(carol.get(&page).await.says("not the one who left"), "it was ended");
    assert!(looked_up(mark) < 12, "{}", looked_up(mark));
}

/// A session is no longer valid than what proved who it is.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_10_a_session_ends_with_the_id_token_that_it_began_with() {
    let it = crate::scene::scene("id-token").await;
    let realm = super::sign_in::realm_for_signing_in(&it).await;
    let portal = super::sign_in::portal(&it, &realm).await;
    let browser = portal.browser();
    let callback = super::sign_in::vouched(&portal, &browser).await;
    assert_eq!(browser.get(&callback).await.status, 303, "{}", portal.logs());
    let session = opened(&browser, &session_key(&it).await).expect("a session");
    let time = |name: &str| session[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let (begun, end) = (time("issued_at").expect("a beginning"), time("ends_at").expect("an end"));
    let lasts = end.duration_since(begun).as_secs();
    assert!((60..8 * 3600).contains(&lasts), "the sandbox's ID tokens are short: {lasts}");

    // The same session, whose ID token has expired: it is renewed at the provider, which is asked who is there.
    let mut expired = session.clone();
    expired["ends_at"] = json!(Timestamp::now() - SignedDuration::from_secs(1));
    let sealed = session_key(&it).await.seal(Purpose::Session, &expired).unwrap();
    let late = portal.browser();
    late.keep(SESSION_COOKIE, &sealed);
    assert_eq!(late.get("/connections").await.location, "/sign-in");
    assert_eq!(late.get("/connections/a/b/live").await.status, 401);
}
