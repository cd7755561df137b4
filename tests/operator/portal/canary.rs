//! Portal and operator reveal nothing of a sign-in or a consent that somebody could use: not in their most detailed logs, an
//! Event, a status, a metric, or any page but the one that needs it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bowline::testing::{Keyring, Place, SealPurpose, Sealer, SharedKeyring};
use bowline_api::attempt::Step;
use bowline_portal::testing::{BEFORE_COOKIE, Before, KEY_SECRET, Purpose, SessionKeys};
use bowline_runtime::attempts::Attempts;
use bowline_testbed::sandbox::{RealmConfig, Rotation};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::Serializer;

use super::browser::Browser;
use super::house::{Portal, admit, token, waiting};
use super::walk::leave;
use crate::canary::{everything_said, hidden_in};
use crate::carrier::{ATTEMPTS, denied, visit};
use crate::looking::{grant_id, until};
use crate::scene::Scene;
use crate::stage::{HOME, PORTAL, Stage};
use crate::traces::collector;

/// A text that must not be revealed, and what it is.
type Secrets = BTreeMap<String, &'static str>;

/// Signs in with the `OpenID` provider, and notes the secrets involved.
async fn by_openid(it: &Scene, portal: &Portal, secrets: &mut Secrets) -> Browser {
    let browser = portal.browser();
    let page = browser.get("/sign-in").await;
    secrets.insert(page.token(), "the token of the sign-in form");
    let onward = browser.submit(&page, "/sign-in/oidc", &[]).await;
    let address = onward.text.split("id=\"go\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let address = Url::parse(&address.expect("an address").replace("&#38;", "&")).expect("an address");
    let key: Secret = it.secrets("bowline-portal").get(KEY_SECRET).await.unwrap();
    let key = SessionKeys::new(&key.data.unwrap().pop_first().unwrap().1.0).unwrap();
    let kept = browser.cookies().into_iter().find_map(|cookie| key.open::<Before>(Purpose::SignIn, &cookie));
    let kept = kept.unwrap_or_else(|| panic!("no {BEFORE_COOKIE}")).oidc.expect("a sign-in");
    secrets.insert(kept.state, "the state of a sign-in");
    secrets.insert(kept.nonce, "the nonce of a sign-in");
    secrets.insert(kept.verifier, "the verifier of a sign-in");
    for cookie in browser.cookies() {
        secrets.insert(cookie, "the cookie of a sign-in");
    }
    let answer = visit(&address, &[("auto_consent", "alice")]).await;
    secrets.insert(answer["code"].clone(), "the code of a sign-in");
    let answer = Serializer::new(String::new()).extend_pairs(answer).finish();
    let signed_in = browser.get(&format!("/sign-in/oidc/callback?{answer}")).await;
    assert_eq!(signed_in.status, 303, "{}", portal.logs());
    // A second time, which is refused and reported.
    assert_eq!(browser.get(&format!("/sign-in/oidc/callback?{answer}")).await.status, 403);
    browser
}

/// Signs in with a token of the cluster, and once with a truncated one.
async fn by_token(it: &Scene, portal: &Portal, user: &str, secrets: &mut Secrets) -> Browser {
    let token = token(&it.stage.access, user);
    let cut = format!("{}canary", &token[..token.len() - 1]);
    assert_eq!(portal.browser().sign_in(&cut).await.status, 403);
    secrets.insert(cut, "a token that was refused");
    secrets.insert(token, "a token of the cluster");
    portal.browser_of(it, user).await
}

/// What only the operator can open: a verifier or a device code.
async fn opened(it: &Scene, pledge: &ByteString) -> String {
    let keyring = it.secrets(HOME).get("bowline-keyring").await.unwrap().data.unwrap();
    let entries = keyring.iter().map(|(name, bytes)| (name.as_str(), bytes.0.as_slice()));
    let sealer = Sealer::new(SharedKeyring::new(Keyring::parse(entries).unwrap()));
    let system = Api::<Namespace>::all(it.admin.clone()).get("kube-system").await.unwrap();
    let place = Place {
        cluster: system.uid().unwrap(),
        namespace: it.namespace.clone(),
        name: "mail".to_owned(),
        uid: it.get("mail").await.uid().unwrap(),
        provider: it.name.clone(),
    };
    let text = sealer.open(&place, SealPurpose::Attempt, 0, &pledge.0).expect("the terms can be opened");
    let pledge: Value = serde_json::from_slice(&text).unwrap();
    pledge["secret"].as_str().expect("a secret").to_owned()
}

/// What is sealed in the newest attempt that satisfies the claim.
async fn pledged(it: &Scene, user: &str, of: impl Fn(Step) -> Option<ByteString>) -> ByteString {
    let attempts = Attempts::new(it.admin.clone(), ATTEMPTS);
    until("sealed terms", async || {
        let mine = attempts.of_user(user).await.unwrap();
        mine.into_iter().find_map(|kept| of(kept.attempt.step))
    })
    .await
}

/// Leaves for the provider, and notes the secrets involved; returns the query with which the browser comes back.
async fn consents(it: &Scene, browser: &Browser, page: &str, secrets: &mut Secrets) -> String {
    let address = leave(browser, page).await;
    let of = |step| if let Step::Sent { sealed, .. } = step { Some(sealed) } else { None };
    secrets.insert(opened(it, &pledged(it, "carol", of).await).await, "a PKCE verifier");
    let request = address.query_pairs().find(|(name, _)| name == "request_uri").expect("a pushed request").1;
    secrets.insert(request.into_owned(), "the reference of a pushed request");
    let answer = visit(&address, &[("auto_consent", "alice")]).await;
    secrets.insert(answer["code"].clone(), "a code");
    secrets.insert(answer["state"].clone(), "a state");
    let query = Serializer::new(String::new()).extend_pairs(answer).finish();
    format!("/callback/{}?{query}", it.name)
}

/// carol connects. Before that she denies access, somebody else comes back in her place, and half an answer arrives.
async fn a_hard_way(it: &Scene, portal: &Portal, carol: &Browser, secrets: &mut Secrets) {
    let page = format!("/connections/{}/mail", it.namespace);
    secrets.insert(carol.get(&page).await.token(), "the token of a form");
    let no = denied(&leave(carol, &page).await).await;
    let no =
        no.into_iter().chain([("error_description".to_owned(), "canary-description-0123456789".repeat(3))]);
    let no = Serializer::new(String::new()).extend_pairs(no).finish();
    secrets.insert("canary-description-0123456789".repeat(2), "a long word of the provider's");
    assert_eq!(carol.get(&format!("/callback/{}?{no}", it.name)).await.status, 303);
    it.until_reason("mail", "Authorized", "AuthorizationFailed").await;

    let foreign = consents(it, carol, &page, secrets).await;
    assert_eq!(portal.browser().get(&foreign).await.status, 409);
    assert_eq!(carol.get(&foreign.replace("state=", "state=x")).await.status, 400);
    let twice = consents(it, carol, &page, secrets).await;
    assert_eq!(carol.get(&format!("{twice}&code=other")).await.status, 409);
    let whole = consents(it, carol, &page, secrets).await;
    assert_eq!(carol.get(&whole).await.status, 303);
    it.until_phase("mail", "Active").await;
    assert_eq!(carol.get(&whole).await.status, 409);
    for cookie in carol.cookies() {
        secrets.insert(cookie, "the cookie of a session");
    }
}

/// A second grant for the same connection, with a device code.
async fn by_device(it: &Scene, carol: &Browser, secrets: &mut Secrets) {
    let page = format!("/connections/{}/mail", it.namespace);
    let seen = carol.get(&page).await;
    assert_eq!(carol.submit(&seen, &format!("{page}/device"), &[]).await.status, 303);
    let of = |step| if let Step::Waiting { sealed, .. } = step { Some(sealed) } else { None };
    secrets.insert(opened(it, &pledged(it, "carol", of).await).await, "a device code");
    let code = until("a code to type", async || {
        it.status("mail").await.authorization.and_then(|authorization| authorization.user_code)
    })
    .await;
    let before = grant_id(&it.status("mail").await);
    it.realm.decide_device(&code, Some("alice")).unwrap();
    it.until_status("mail", "the new grant", |status| {
        grant_id(status).is_some_and(|grant| Some(grant) != before)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nothing_of_a_sign_in_or_a_consent_is_said_anywhere() {
    let (collector, endpoint) = collector().await;
    let stage = Stage::fresh(&["--log-filter", "trace", "--otlp-endpoint", &endpoint]).await;
    let it = stage.scene("canary-portal").await;
    let client = RealmConfig::default().clients.swap_remove(0);
    let back = format!("{PORTAL}/sign-in/oidc/callback");
    let provider = it.provider(Rotation::SingleUse).habit(|realm| {
        realm.clients[0].redirect_uris.push(back);
        realm.device_interval_seconds = 1;
    });
    provider.spec(json!({"allow": {"deviceFlow": true}})).apply().await;
    admit(&it, "carol").await;
    waiting(&it, "carol", "mail").await;

    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&it.name);
    std::fs::write(&file, client.secret.as_deref().unwrap()).unwrap();
    let issuer = it.realm.issuer();
    let openid = super::openid(&issuer, &client.id);
    let more = ["--oidc-username-prefix=-", "--oidc-scopes=email", "--oidc-client-secret-file"];
    let loud = [file.to_str().unwrap(), "--log-filter", "trace", "--otlp-endpoint", &endpoint];
    let flags: Vec<&str> = openid.into_iter().chain(more).chain(loud).collect();
    let portal = Portal::start(&it, &flags).await;

    let mut secrets = Secrets::from([(client.secret.unwrap(), "a client secret")]);
    by_openid(&it, &portal, &mut secrets).await;
    let carol = by_token(&it, &portal, "carol", &mut secrets).await;
    a_hard_way(&it, &portal, &carol, &mut secrets).await;
    by_device(&it, &carol, &mut secrets).await;
    let key: Secret = it.secrets("bowline-portal").get(KEY_SECRET).await.unwrap();
    secrets.insert(String::from_utf8(key.data.unwrap().pop_first().unwrap().1.0).unwrap(), "the session key");
    let tokens = it.realm.tokens();
    assert!(tokens.len() >= 4, "too few tokens to be searched for");
    secrets.extend(tokens.into_iter().map(|token| (token, "a token")));
    assert!(secrets.len() > 25 && secrets.keys().all(|secret| secret.len() > 8), "{secrets:?}");

    let mut said = everything_said(&it).await;
    said.push(("the portal's log", portal.logs()));
    // Both end, and send what they still have.
    stage.stop_operator();
    said.push(("a trace", collector.spans().unwrap().iter().map(ToString::to_string).collect()));
    for (place, text) in said {
        assert!(
            text.len() > 500 && (!place.ends_with("log") || text.contains("TRACE")),
            "{place} has too little text"
        );
        for (secret, what) in &secrets {
            let line = text.lines().find(|line| hidden_in(line, secret));
            assert!(!hidden_in(&text, secret), "{place} holds {what} ({secret}): {line:?}");
        }
    }
}
