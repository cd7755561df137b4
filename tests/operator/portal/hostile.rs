//! Hostile surroundings: other providers, proxies, links, and an API server, operator and portal that stop and start.

use bowline_api::attempt::attempt_name;
use bowline_api::attempt::{Attempt, Step};
use bowline_portal::testing::{Groups, SESSION_COOKIE, Session};
use bowline_runtime::attempts::Attempts;
use bowline_testbed::sandbox::{Endpoint, Rotation};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;
use url::Url;

use super::browser::Browser;
use super::house::{Portal, admit, session_key, waiting};
use super::walk::{back, callback, leave, start};
use crate::carrier::{ATTEMPTS, visit};
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};
use crate::stage::{PORTAL, Stage};

/// carol, and her connection that awaits authorization.
async fn prepare(it: &Scene) -> (Portal, Browser, String) {
    it.provider(Rotation::SingleUse).apply().await;
    admit(it, "carol").await;
    waiting(it, "carol", "mail").await;
    let portal = Portal::start(it, &[]).await;
    let carol = portal.browser_of(it, "carol").await;
    (portal, carol, format!("/connections/{}/mail", it.namespace))
}

/// The state in a callback's query.
fn state_of(callback: &str) -> String {
    let url = Url::parse(PORTAL).unwrap().join(callback).unwrap();
    url.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned()
}

/// RFC 9700 §4.4: the malicious provider redirects the browser to an honest one, whose code then arrives at the honest
/// redirect URI with the state of the malicious attempt, or at the malicious redirect URI.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_malicious_provider_gets_no_honest_code() {
    let (evil, honest) = (scene("evil").await, scene("honest").await);
    let (_portal, carol, page) = prepare(&evil).await;
    honest.provider(Rotation::SingleUse).apply().await;
    admit(&honest, "carol").await;
    waiting(&honest, "carol", "mail").await;
    let honest_page = format!("/connections/{}/mail", honest.namespace);

    let state = state_of(&callback(&evil, &leave(&carol, &page).await, "alice").await);
    let passed_on = leave(&carol, &honest_page).await;
    let code = visit(&passed_on, &[("auto_consent", "alice")]).await["code"].clone();
    let honest_uri = format!("/callback/{}?state={state}&code={code}", honest.name);
    let answer = carol.get(&honest_uri).await;
    assert!(answer.status == 409 && answer.says("a different provider"), "{}", answer.text);

    let state = state_of(&callback(&evil, &leave(&carol, &page).await, "alice").await);
    let evil_uri = format!("/callback/{}?state={state}&code={code}&iss={}", evil.name, honest.realm.issuer());
    assert_eq!(carol.get(&evil_uri).await.status, 303, "the operator judges who says so");
    evil.until_reason("mail", "Authorized", "AuthorizationFailed").await;
    for it in [&evil, &honest] {
        assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 0, "{}: a code was sent", it.name);
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_callback_that_is_cut_off_connects_nothing() {
    let it = scene("cut").await;
    let (_portal, carol, page) = prepare(&it).await;
    let whole = callback(&it, &leave(&carol, &page).await, "alice").await;
    let (path, _) = whole.split_once('?').unwrap();
    let state = state_of(&whole);
    for query in ["", "?", "?state=", "?state=%", &format!("?state={}&code=x", &state[..42]), "?code=x"] {
        assert_eq!(carol.get(&format!("{path}{query}")).await.status, 400, "{query}");
    }
    assert_eq!(carol.get(&format!("{path}?state={state}")).await.status, 409, "neither code nor error");

    let cut = callback(&it, &leave(&carol, &page).await, "alice").await;
    let cut = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("state", &state_of(&cut))
        .append_pair("code", "sbx_co_")
        .append_pair("iss", &it.realm.issuer())
        .finish();
    assert_eq!(
        carol.get(&format!("{path}?{cut}")).await.status,
        303,
        "a truncated code looks like a whole one"
    );
    it.until_reason("mail", "Authorized", "AuthorizationFailed").await;
    assert!(it.secret_now(&it.namespace, "mail").await.is_none());
    assert_eq!(back(&it, &carol, &leave(&carol, &page).await, "alice").await.status, 303);
    it.until_phase("mail", "Active").await;
}

/// Makes an attempt expire.
async fn run_out(it: &Scene, state: &str) {
    let attempts = Attempts::new(it.admin.clone(), ATTEMPTS);
    let kept = attempts.get(&attempt_name(state)).await.unwrap().expect("an attempt");
    let late =
        Attempt { expires_at: Timestamp::now() - SignedDuration::from_secs(1), ..kept.attempt.clone() };
    attempts.replace(kept, &late).await.unwrap();
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_callback_that_comes_late_connects_nothing() {
    let it = scene("too-late").await;
    let (_portal, carol, page) = prepare(&it).await;
    let late = callback(&it, &leave(&carol, &page).await, "alice").await;
    run_out(&it, &state_of(&late)).await;
    let answer = carol.get(&late).await;
    assert!(answer.status == 409 && answer.says("ran out of time"), "{}", answer.text);
    assert!(carol.get(&page).await.says("ran out of time"), "the connection's page says so too");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 0);

    let review = carol.get(&format!("{page}/connect")).await;
    let begun = start(&carol, &review, &page).await;
    let attempts = Attempts::new(it.admin.clone(), ATTEMPTS);
    let name = begun.location.trim_start_matches("/leave/").to_owned();
    let kept = until("an address", async || {
        let kept = attempts.get(&name).await.unwrap().expect("an attempt");
        matches!(kept.attempt.step, Step::Prepared { .. }).then_some(kept)
    })
    .await;
    let late =
        Attempt { expires_at: Timestamp::now() - SignedDuration::from_secs(1), ..kept.attempt.clone() };
    attempts.replace(kept, &late).await.unwrap();
    let gone = carol.get(&format!("{}/go", begun.location)).await;
    assert_eq!((gone.status, gone.location.as_str()), (409, ""), "an old address redirects nobody");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_attempt_survives_a_restart_of_portal_and_operator() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("both-restart").await;
    let (portal, carol, page) = prepare(&it).await;
    let code = callback(&it, &leave(&carol, &page).await, "alice").await;
    drop(portal);
    stage.kill_operator();
    let next = Portal::start(&it, &[]).await;
    let carol = carol.also_at(&next.address);
    let done = carol.get(&code).await;
    assert_eq!((done.status, done.location.as_str()), (303, page.as_str()), "{}", done.text);
    drop(next);
    stage.start_operator().await;
    it.until_phase("mail", "Active").await;
    let last = Portal::start(&it, &[]).await;
    assert_eq!(carol.also_at(&last.address).get(&code).await.status, 409, "a replay, two portals later");
}

/// No proxy was configured as trusted.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn forged_headers_of_a_proxy_change_nothing() {
    let it = scene("forwarded").await;
    let (portal, carol, page) = prepare(&it).await;
    let forged = [
        ("x-forwarded-user", "carol"),
        ("x-forwarded-groups", "system:masters"),
        ("x-forwarded-email", "carol@example.com"),
        ("x-bowline-proxy-secret", ""),
        ("x-remote-user", "carol"),
        ("impersonate-user", "carol"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "//evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-original-url", "/connections"),
        ("x-http-method-override", "POST"),
    ];
    let with = |browser: &Browser, path: &str| {
        let request = browser.request(reqwest::Method::GET, path);
        forged.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let nobody = portal.browser();
    let answer = nobody.send(with(&nobody, "/connections")).await;
    assert_eq!((answer.status, answer.location.as_str()), (303, "/sign-in"));
    assert!(answer.cookies.iter().all(|cookie| cookie.contains("Secure") && !cookie.contains("evil")));
    let sign_in = nobody.send(with(&nobody, "/sign-in")).await;
    assert!(!sign_in.says("evil") && sign_in.cookies.len() == 1, "{}", sign_in.text);
    for path in [page.as_str(), "/connections", "/use"] {
        let seen = carol.send(with(&carol, path)).await;
        assert!(seen.status == 200 && !seen.says("evil.example"), "{path}: {}", seen.text);
    }
    let address = leave(&carol, &page).await;
    assert!(!address.as_str().contains("evil"), "the redirect URI is the portal's own");

    // Each sender has its own limit, and cannot use up another's.
    let token = nobody.get("/sign-in").await;
    let mut seen = Vec::new();
    for number in 0..40 {
        let form = nobody.form("/sign-in/token", &[("form", &token.token()), ("token", "wrong")]);
        let form = form
            .header("sec-fetch-site", "same-origin")
            .header("x-forwarded-for", format!("10.0.0.{number}"));
        seen.push(nobody.send(form).await.status);
    }
    assert!(seen.contains(&429), "a forged address escapes the limit: {seen:?}");
}

/// A session that began this long ago, sealed with the portal's own key.
async fn session(it: &Scene, user: &str, ago: SignedDuration) -> String {
    let key = session_key(it).await;
    let begun = Session::begin(user, Groups::Claimed(Vec::new()), Timestamp::now() - ago).unwrap();
    let cookie = begun.to_cookie(&key).unwrap();
    let (_, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    value.to_owned()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_expired_session_shows_changes_and_finishes_nothing() {
    let it = scene("expired").await;
    let (portal, carol, page) = prepare(&it).await;
    let browser = portal.browser();
    browser.keep(SESSION_COOKIE, &session(&it, "carol", SignedDuration::from_hours(7)).await);
    assert_eq!(browser.get(&page).await.status, 200, "the key is the right one");
    let form = browser.get(&page).await.token();
    let left = callback(&it, &leave(&browser, &page).await, "alice").await;

    browser.keep(SESSION_COOKIE, &session(&it, "carol", SignedDuration::from_hours(8)).await);
    assert_eq!(browser.get(&page).await.location, "/sign-in");
    let ours = [("form", form.as_str())];
    assert_eq!(browser.post(&format!("{page}/disconnect"), &ours).await.status, 401);
    assert_eq!(browser.get(&left).await.status, 409, "the attempt ends with the session");
    assert!(carol.get(&page).await.says("the session ended in between"));
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_may_read_does_not_connect() {
    let it = scene("reader").await;
    let (portal, _, page) = prepare(&it).await;
    let binding: RoleBinding = parsed(json!({
        "metadata": {"name": "view-gitops"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "gitops"}],
    }));
    it.create(&it.namespace, &binding).await;
    let reader = portal.browser_of(&it, "gitops").await;
    let seen = until("the right to look", async || {
        let seen = reader.get(&page).await;
        if seen.status == 200 { Ok(seen) } else { Err(seen.status) }
    })
    .await;
    assert!(!seen.says("id=\"connect\""), "{}", seen.text);
    assert_eq!(reader.get(&format!("{page}/connect")).await.status, 403);
    for change in [
        "start",
        "device",
        "confirm",
        "refresh",
        "edit",
        "share",
        "unshare",
        "again",
        "resume",
        "disconnect",
        "delete",
    ] {
        let fields = [("title", "x"), ("workspace", "w"), ("account", "x"), ("name", "mail")];
        let answer = reader.submit(&seen, &format!("{page}/{change}"), &fields).await;
        assert_eq!(answer.status, 403, "{change}: {}", answer.text);
    }
    let object = it.get("mail").await;
    assert!(object.metadata.deletion_timestamp.is_none() && object.spec.disconnect.is_none());
}

/// An editor may request codes in the owner's name; that must not use up the owner's own attempts.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn codes_for_other_devices_do_not_keep_their_owner_from_connecting() {
    let it = scene("codes").await;
    it.provider(Rotation::SingleUse).spec(json!({"allow": {"deviceFlow": true}})).apply().await;
    let asked = json!({"metadata": {"annotations": {"bowline.dev/authorize-requested-at": "1"}}}).to_string();
    for number in 0..6 {
        let name = format!("mail-{number}");
        waiting(&it, "bob", &name).await;
        let patch =
            ["-n", &it.namespace, "patch", "integrationconnections", &name, "--type=merge", "-p", &asked];
        assert!(it.stage.access.kubectl_as("alice", &patch).await.unwrap().status.success());
        let code = |status: &bowline_api::IntegrationConnectionStatus| {
            status.authorization.as_ref().is_some_and(|authorization| authorization.user_code.is_some())
        };
        it.until_status(&name, "a code", code).await;
    }
    let portal = Portal::start(&it, &[]).await;
    let bob = portal.browser_of(&it, "bob").await;
    let page = format!("/connections/{}/mail-0", it.namespace);
    assert_eq!(back(&it, &bob, &leave(&bob, &page).await, "alice").await.status, 303);
    it.until_phase("mail-0", "Active").await;
}
