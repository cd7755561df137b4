//! The flows that issue and end tokens: code, device, client credentials, revocation, and discovery.

use std::collections::HashMap;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

impl Bench {
    /// Where the authorization endpoint redirects a browser with these further parameters.
    pub(super) async fn authorize(&self, further: &[(&str, &str)]) -> Reply {
        let challenge = challenge(VERIFIER);
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "bowline"),
            ("redirect_uri", CALLBACK),
            ("state", "the state"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend(further);
        self.get(&format!("{}?{}", self.realm.url("authorize"), form(&pairs))).await
    }

    pub(super) async fn code(&self, further: &[(&str, &str)]) -> String {
        callback(&self.authorize(further).await)["code"].clone()
    }

    pub(super) async fn exchange(&self, code: &str, verifier: &str) -> Reply {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", verifier),
        ];
        self.post("token", &pairs).await
    }

    async fn poll(&self, device_code: &str) -> Reply {
        let pairs =
            [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", device_code)];
        self.post("token", &pairs).await
    }
}

pub(super) fn callback(reply: &Reply) -> HashMap<String, String> {
    assert_eq!(reply.status, 303);
    let location = reply.headers["location"].to_str().unwrap();
    assert!(location.starts_with(CALLBACK), "{location}");
    url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_code_becomes_tokens_once_and_its_reuse_ends_them() {
    let bench = bench(|_| ()).await;
    let sent = callback(
        &bench.authorize(&[("auto_consent", "bob"), ("scope", "openid read"), ("nonce", "n")]).await,
    );
    assert_eq!((sent["state"].as_str(), &sent["iss"]), ("the state", &bench.realm.issuer()));

    let reply = bench.exchange(&sent["code"], VERIFIER).await;
    assert_eq!((reply.status, reply.member("scope")), (200, "openid read".into()));
    assert_eq!(reply.headers["cache-control"], "no-store");
    let access = reply.member("access_token");
    assert_eq!(bench.userinfo(&access).await.member("email"), "bob@example.com");
    let claims = reply.member("id_token").split('.').nth(1).map(|part| URL_SAFE_NO_PAD.decode(part)).unwrap();
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["nonce"], &claims["aud"]),
        (&"bob".into(), &"n".into(), &"bowline".into())
    );

    assert_eq!(bench.exchange(&sent["code"], VERIFIER).await.error(), (400, "invalid_grant".into()));
    assert_eq!(bench.userinfo(&access).await.status, 401);
    assert_eq!(bench.realm.ledger().spent_twice()[0].token.as_ref().unwrap().kind, TokenKind::Code);
}

#[tokio::test]
async fn a_code_is_refused_late_with_a_wrong_verifier_or_another_address() {
    let bench = bench(|realm| realm.auto_consent = Some("alice".into())).await;
    let wrong = bench.exchange(&bench.code(&[]).await, &"x".repeat(43)).await;
    assert_eq!(wrong.error(), (400, "invalid_grant".into()));
    let code = bench.code(&[]).await;
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", "http://127.0.0.1:8080/other"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(bench.post("token", &pairs).await.error(), (400, "invalid_grant".into()));
    assert_eq!(bench.post("token", &pairs[..3]).await.error(), (400, "invalid_request".into()));
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(bench.exchange(&code, VERIFIER).await.error(), (400, "invalid_grant".into()));
    assert_eq!(bench.exchange("sbx_co_unknown", VERIFIER).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn the_consent_page_lets_a_person_choose_account_and_scopes() {
    let bench = bench(|_| ()).await;
    let page = bench.authorize(&[("scope", "read write")]).await;
    assert_eq!((page.status, page.headers["referrer-policy"].to_str().unwrap()), (200, "no-referrer"));
    let request = page.text.split("name=request value=\"").nth(1).unwrap().split('"').next().unwrap();
    let body = form(&[("request", request), ("scope:read", "on"), ("account", "bob")]);
    let sent = callback(&bench.post_as(None, "authorize/decision", body.clone()).await.unwrap());
    let reply = bench.exchange(&sent["code"], VERIFIER).await;
    assert_eq!(reply.member("scope"), "read");
    assert_eq!(bench.userinfo(&reply.member("access_token")).await.member("sub"), "bob");
    assert_eq!(bench.post_as(None, "authorize/decision", body).await.unwrap().status, 400);
}

#[tokio::test]
async fn a_person_who_says_no_and_a_silent_request_without_a_session_come_back_as_errors() {
    let bench = bench(|_| ()).await;
    for (parameter, error) in [
        (("auto_deny", "yes"), "access_denied"),
        (("prompt", "none"), "login_required"),
        (("scope", "admin"), "invalid_scope"),
    ] {
        assert_eq!(callback(&bench.authorize(&[parameter]).await)["error"], error);
    }
}

#[tokio::test]
async fn client_credentials_give_an_access_token_and_nothing_else() {
    let bench = bench(|_| ()).await;
    let reply = bench.post("token", &[("grant_type", "client_credentials"), ("scope", "read")]).await;
    assert_eq!((reply.status, reply.member("scope")), (200, "read".into()));
    assert_eq!(reply.json().get("refresh_token"), None);
    assert!(bench.realm.is_alive(&reply.member("access_token")));
    assert_eq!(bench.userinfo(&reply.member("access_token")).await.status, 401);
}

#[tokio::test]
async fn a_device_waits_slows_down_and_gets_its_tokens_once() {
    let bench = bench(|_| ()).await;
    let started = bench.post("device_authorization", &[("scope", "read")]).await;
    let device = started.member("device_code");
    assert_eq!(started.json()["interval"], 5);
    assert_eq!(bench.poll(&device).await.error().1, "authorization_pending");
    bench.clock.advance(Duration::from_secs(4));
    assert_eq!(bench.poll(&device).await.error().1, "slow_down");
    bench.clock.advance(Duration::from_secs(9));
    assert_eq!(bench.poll(&device).await.error().1, "slow_down", "the interval grew to ten seconds");
    bench.clock.advance(Duration::from_secs(15));
    assert_eq!(bench.poll(&device).await.error().1, "authorization_pending");

    let page = bench.get(&started.member("verification_uri_complete")).await;
    assert!(page.text.contains(&started.member("user_code")));
    let body = form(&[("user_code", &started.member("user_code")), ("account", "bob")]);
    assert_eq!(bench.post_as(None, "device/decision", body).await.unwrap().status, 200);
    bench.clock.advance(Duration::from_secs(15));
    let reply = bench.poll(&device).await;
    assert_eq!(bench.userinfo(&reply.member("access_token")).await.member("sub"), "bob");
    assert_eq!(bench.refresh(&reply.member("refresh_token")).await.status, 200);
    assert_eq!(bench.poll(&device).await.error().1, "invalid_grant");
    assert_eq!(bench.realm.ledger().spent_twice().len(), 1);
}

#[tokio::test]
async fn a_device_hears_of_denial_and_of_expiry() {
    let bench = bench(|_| ()).await;
    let started = bench.post("device_authorization", &[]).await;
    assert_eq!(bench.realm.decide_device("WRONG", None), Err(RealmError::UnknownUserCode));
    bench.realm.decide_device(&started.member("user_code"), None).unwrap();
    assert_eq!(bench.poll(&started.member("device_code")).await.error().1, "access_denied");

    let late = bench.post("device_authorization", &[]).await;
    bench.clock.advance(Duration::from_mins(10));
    assert_eq!(bench.poll(&late.member("device_code")).await.error().1, "expired_token");
    assert!(bench.realm.decide_device(&late.member("user_code"), Some("alice")).is_err());
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_access_tokens_and_others_stay() {
    let bench = bench(|_| ()).await;
    let (gone, other) = (bench.mint(), bench.mint());
    let next = bench.refresh(&gone.refresh_token).await;
    assert_eq!(bench.post("revoke", &[("token", &next.member("refresh_token"))]).await.status, 200);
    assert_eq!(bench.userinfo(&next.member("access_token")).await.status, 401);
    assert_eq!(bench.userinfo(&gone.access_token).await.status, 401);
    assert_eq!(bench.refresh(&next.member("refresh_token")).await.error(), (400, "invalid_grant".into()));
    assert!(bench.realm.is_alive(&other.refresh_token));
    assert_eq!(bench.post("revoke", &[("token", "unknown")]).await.status, 200);
    let ledger = bench.realm.ledger();
    assert!(ledger.is_grant_revoked(&gone.grant_id) && !ledger.is_grant_revoked(&other.grant_id));
    assert_eq!(ledger.revoked()[0].reason, Some(Reason::Client));
}

#[tokio::test]
async fn revoking_an_access_token_leaves_the_grant() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let pairs = [("token", grant.access_token.as_str()), ("token_type_hint", "access_token")];
    assert_eq!(bench.post("revoke", &pairs).await.status, 200);
    assert_eq!(bench.userinfo(&grant.access_token).await.status, 401);
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
    assert!(!bench.realm.ledger().is_grant_revoked(&grant.grant_id));
}

#[tokio::test]
async fn introspection_tells_live_tokens_from_dead_ones() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let looked = bench.post("introspect", &[("token", &grant.access_token)]).await.json();
    assert_eq!((&looked["active"], &looked["sub"]), (&true.into(), &"alice".into()));
    assert_eq!(looked["exp"].as_u64().unwrap() - looked["iat"].as_u64().unwrap(), 3600);
    bench.realm.revoke_grant(&grant.grant_id).unwrap();
    let looked = bench.post("introspect", &[("token", &grant.access_token)]).await.json();
    assert_eq!(looked, serde_json::json!({ "active": false }));
}

#[tokio::test]
async fn metadata_is_the_same_at_both_positions_and_names_its_own_issuer() {
    let bench = bench(|_| ()).await;
    let root = format!("http://{}", bench.sandbox.address());
    for (issuer, suffix) in [(root.clone(), ""), (bench.realm.issuer(), "/r/test")] {
        let oauth = bench.get(&format!("{root}/.well-known/oauth-authorization-server{suffix}")).await;
        let openid = bench.get(&format!("{issuer}/.well-known/openid-configuration")).await;
        assert_eq!((oauth.status, oauth.json()), (200, openid.json()));
        assert_eq!(oauth.member("issuer"), issuer);
        assert_eq!(oauth.member("token_endpoint"), format!("{issuer}/token"));
    }
    assert_eq!(bench.get(&format!("{root}/r/none/.well-known/openid-configuration")).await.status, 404);
}
