//! Signing in with an `OpenID` provider; the sandbox plays that provider.

use std::path::PathBuf;

use bowline_api::opaque::Digest;
use bowline_runtime::attempts::Attempts;
use bowline_testbed::sandbox::{Endpoint, RealmConfig, RealmHandle, Rotation};
use reqwest::Method;
use url::Url;
use url::form_urlencoded::Serializer;

use super::browser::{Browser, Page};
use super::house::Portal;
use super::walk::{back, start};
use crate::carrier::{ATTEMPTS, visit};
use crate::looking::until;
use crate::scene::{Scene, scene};
use crate::stage::{PORTAL, sandbox};

/// The sandbox with our callback for signing in.
fn vouching() -> RealmConfig {
    let mut realm = RealmConfig::default();
    realm.clients[0].redirect_uris.push(format!("{PORTAL}/sign-in/oidc/callback"));
    realm
}

/// The scene's realm, as a provider of identities.
pub(super) async fn realm_for_signing_in(it: &Scene) -> RealmHandle {
    it.provider(Rotation::None).habit(|realm| realm.clients = vouching().clients).apply().await;
    it.realm.clone()
}

/// A portal that signs people in at this realm, under the names that they have there.
pub(super) async fn portal(it: &Scene, realm: &RealmHandle) -> Portal {
    let client = RealmConfig::default().clients.swap_remove(0);
    let secret = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&it.name);
    std::fs::write(&secret, client.secret.unwrap()).unwrap();
    let issuer = realm.issuer();
    let ours = super::openid(&issuer, &client.id);
    let more = ["--oidc-username-prefix=-", "--oidc-scopes=email", "--oidc-client-secret-file"];
    let flags: Vec<&str> = ours.into_iter().chain(more).chain([secret.to_str().unwrap()]).collect();
    Portal::start(it, &flags).await
}

/// Goes to the provider from the sign-in page as alice; returns the callback with which she comes back.
pub(super) async fn vouched(portal: &Portal, browser: &Browser) -> String {
    let page = browser.get("/sign-in").await;
    let onward = browser.submit(&page, "/sign-in/oidc", &[]).await;
    let address = onward.text.split("id=\"go\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let address = Url::parse(&address.unwrap_or_else(|| panic!("{}", portal.logs())).replace("&#38;", "&"))
        .expect("an address");
    assert!(address.query_pairs().any(|(name, _)| name == "nonce"), "{address}");
    assert!(address.query_pairs().any(|(name, value)| name == "code_challenge_method" && value == "S256"));
    let answer = visit(&address, &[("auto_consent", "alice")]).await;
    let answer = Serializer::new(String::new()).extend_pairs(answer).finish();
    format!("/sign-in/oidc/callback?{answer}")
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_openid_provider_vouches_once_and_in_the_browser_that_asked() {
    let it = scene("vouch").await;
    it.provider(Rotation::None).habit(|realm| realm.clients = vouching().clients).apply().await;
    let portal = portal(&it, &it.realm).await;

    let browser = portal.browser();
    assert_eq!(browser.get("/use").await.location, "/sign-in");
    let callback = vouched(&portal, &browser).await;
    let other = portal.browser();
    other.get("/sign-in").await;
    assert_eq!(other.get(&callback).await.status, 403, "somebody else's sign-in");
    let of_theirs = vouched(&portal, &other).await;
    assert_eq!(browser.get(&of_theirs).await.status, 403, "an attacker's sign-in in this browser");
    assert_eq!(browser.get(&format!("{callback}&state=x")).await.status, 400, "a parameter twice");

    // A link scanner does not use up the code.
    let exchanges = || it.realm.ledger().requests_to(Endpoint::Token).count();
    let ahead = browser.send(browser.request(Method::HEAD, &callback)).await;
    assert_eq!((ahead.status, ahead.headers["allow"].as_bytes(), exchanges()), (405, &b"GET"[..], 0));
    assert!(ahead.cookies.is_empty(), "{:?}", ahead.cookies);

    let signed_in = browser.get(&callback).await;
    assert_eq!((signed_in.status, signed_in.location.as_str()), (303, "/use"), "{}", portal.logs());
    assert_eq!(exchanges(), 1);
    assert!(browser.get("/use").await.says("Signed in as alice"));
    assert_eq!(browser.get(&callback).await.status, 403, "a replay");
}

/// Begins to connect; returns the redirect, and the person for whom the attempt is stored.
async fn begun(it: &Scene, browser: &Browser, page: &str) -> (Page, Option<Digest>) {
    let review = browser.get(&format!("{page}/connect")).await;
    let begun = start(browser, &review, page).await;
    let name = begun.location.trim_start_matches("/leave/");
    let kept = Attempts::new(it.admin.clone(), ATTEMPTS).get(name).await.unwrap().expect("an attempt");
    assert_eq!(kept.attempt.user, "alice");
    (begun, kept.attempt.person)
}

/// A user whose name now belongs to somebody else signs in as that person, and connects nothing of theirs.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_attempt_belongs_to_the_person_that_the_sign_in_provider_names() {
    let it = scene("person").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let [one, other] =
        ["one", "other"].map(|name| sandbox().realm(&format!("{}-{name}", it.name), vouching()));
    let person = |realm: &RealmHandle| Some(Digest::of_person(&realm.issuer(), "alice"));
    let by_openid = async |realm: &RealmHandle| {
        let portal = portal(&it, realm).await;
        let browser = portal.browser();
        let callback = vouched(&portal, &browser).await;
        assert_eq!(browser.get(&callback).await.status, 303, "{}", portal.logs());
        (portal, browser)
    };

    let (portal, alice) = by_openid(&one).await;
    let by_token = portal.browser_of(&it, "alice").await;
    assert_eq!(begun(&it, &by_token, &page).await.1, None, "a token of the cluster names no person");
    let (onward, who) = begun(&it, &alice, &page).await;
    assert_eq!(who, person(&one));
    alice.get(&onward.location).await;
    let gone = alice.get(&format!("{}/go", onward.location)).await;
    let address = Url::parse(&gone.location).expect("the provider's address");
    assert_eq!(back(&it, &alice, &address, "alice").await.status, 303);
    it.until_phase("mail", "Active").await;

    let (_portal, namesake) = by_openid(&other).await;
    let (_, who) = begun(&it, &namesake, &page).await;
    assert!(who == person(&other) && who != person(&one), "the same name, another issuer");
    until("the end of the namesake's attempt", async || {
        namesake.get(&page).await.says("is now a different person").then_some(())
    })
    .await;
}
