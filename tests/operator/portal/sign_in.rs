//! Signing in by an `OpenID` provider, for which the sandbox stands.

use std::path::PathBuf;

use bowline_testbed::sandbox::{RealmConfig, Rotation};
use url::Url;
use url::form_urlencoded::Serializer;

use super::house::Portal;
use crate::carrier::visit;
use crate::scene::scene;
use crate::stage::PORTAL;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_openid_provider_vouches_once_and_in_the_browser_that_asked() {
    let it = scene("vouch").await;
    let back = format!("{PORTAL}/sign-in/oidc/callback");
    it.provider(Rotation::None).habit(|realm| realm.clients[0].redirect_uris.push(back)).apply().await;
    let client = RealmConfig::default().clients.swap_remove(0);
    let secret = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&it.name);
    std::fs::write(&secret, client.secret.unwrap()).unwrap();
    let issuer = it.realm.issuer();
    let ours = ["--allow-insecure-http", "--oidc-issuer", &issuer, "--oidc-client-id", &client.id];
    let more = ["--oidc-username-prefix=-", "--oidc-scopes=email", "--oidc-client-secret-file"];
    let flags: Vec<&str> = ours.into_iter().chain(more).chain([secret.to_str().unwrap()]).collect();
    let portal = Portal::start(&it, &flags).await;

    let browser = portal.browser();
    assert_eq!(browser.get("/use").await.location, "/sign-in");
    let page = browser.get("/sign-in").await;
    let onward = browser.submit(&page, "/sign-in/oidc", &[]).await;
    let address = onward.text.split("id=\"go\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let address = Url::parse(&address.unwrap_or_else(|| panic!("{}", portal.logs())).replace("&#38;", "&"))
        .expect("an address");
    assert!(address.query_pairs().any(|(name, _)| name == "nonce"), "{address}");
    assert!(address.query_pairs().any(|(name, value)| name == "code_challenge_method" && value == "S256"));
    let answer = visit(&address, &[("auto_consent", "alice")]).await;
    let answer = Serializer::new(String::new()).extend_pairs(answer).finish();
    let callback = format!("/sign-in/oidc/callback?{answer}");

    let other = portal.browser();
    other.get("/sign-in").await;
    assert_eq!(other.get(&callback).await.status, 403, "somebody else's sign-in");
    assert_eq!(browser.get(&format!("{callback}&state=x")).await.status, 400, "a parameter twice");
    let signed_in = browser.get(&callback).await;
    assert_eq!((signed_in.status, signed_in.location.as_str()), (303, "/use"), "{}", portal.logs());
    assert!(browser.get("/use").await.says("Signed in as alice"));
    assert_eq!(browser.get(&callback).await.status, 403, "a replay");
}
