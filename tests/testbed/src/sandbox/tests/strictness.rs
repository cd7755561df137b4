//! Where the sandbox is stricter than real providers: careless clients fail here first.

use super::*;

fn refreshing(token: &str) -> String {
    form(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}

#[tokio::test]
async fn basic_credentials_have_to_be_form_encoded() {
    let bench = bench(|_| ()).await;
    let raw = basic("bowline", &bench.secret());
    let grant = bench.mint();
    let reply = bench.post_as(Some(&raw), "token", refreshing(&grant.refresh_token)).await.unwrap();
    assert_eq!(reply.error(), (401, "invalid_client".into()));
    assert!(reply.headers.contains_key("www-authenticate"));
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
}

#[tokio::test]
async fn credentials_in_the_body_work_and_both_at_once_are_refused() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let body = refreshing(&grant.refresh_token)
        + "&"
        + &form(&[("client_id", "bowline"), ("client_secret", &bench.secret())]);
    let both = bench.post_as(Some(&bench.client_header()), "token", body.clone()).await.unwrap();
    assert_eq!(both.error(), (400, "invalid_request".into()));
    assert_eq!(bench.post_as(None, "token", body).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_method_that_the_realm_does_not_accept_is_refused() {
    let bench = bench(|realm| realm.client_auth = vec![AuthMethod::Post]).await;
    let grant = bench.mint();
    assert_eq!(bench.refresh(&grant.refresh_token).await.error(), (401, "invalid_client".into()));
    assert!(bench.realm.is_alive(&grant.refresh_token));
}

#[tokio::test]
async fn a_public_client_proves_itself_by_its_id_and_a_confidential_one_does_not() {
    let bench = bench(|realm| {
        realm.client_auth.push(AuthMethod::None);
        realm.clients.push(ClientConfig { id: "public".into(), secret: None, redirect_uris: vec![] });
    })
    .await;
    let request = MintRequest { client_id: Some("public".into()), ..MintRequest::default() };
    let own = bench.realm.mint(&request).unwrap();
    let body = refreshing(&own.refresh_token) + "&client_id=public";
    assert_eq!(bench.post_as(None, "token", body).await.unwrap().status, 200);
    let body = refreshing(&bench.mint().refresh_token) + "&client_id=bowline";
    assert_eq!(bench.post_as(None, "token", body).await.unwrap().error(), (401, "invalid_client".into()));
    let body = String::from("grant_type=client_credentials&client_id=public");
    assert_eq!(
        bench.post_as(None, "token", body).await.unwrap().error(),
        (400, "unauthorized_client".into())
    );
}

#[tokio::test]
async fn malformed_token_requests_are_refused_and_spend_nothing() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let good = refreshing(&grant.refresh_token);
    let header = bench.client_header();
    let cases = [
        (good.clone() + "&grant_type=refresh_token", "a parameter twice"),
        (good.clone() + "&scope=read&scope=write", "another parameter twice"),
        (good.clone() + "&x=%zz", "broken percent sign"),
        ("grant_type=refresh_token&refresh_token=".into(), "an empty parameter is absent"),
        (form(&[("refresh_token", &grant.refresh_token)]), "no grant type"),
    ];
    for (body, why) in cases {
        let reply = bench.post_as(Some(&header), "token", body).await.unwrap();
        assert_eq!(reply.error(), (400, "invalid_request".into()), "{why}");
    }
    let unknown = bench.post("token", &[("grant_type", "password")]).await;
    assert_eq!(unknown.error(), (400, "unsupported_grant_type".into()));
    assert!(bench.realm.is_alive(&grant.refresh_token));
}

#[tokio::test]
async fn the_token_endpoint_wants_a_form_post_with_nothing_in_the_address() {
    let bench = bench(|_| ()).await;
    let body = refreshing(&bench.mint().refresh_token);
    let (address, header) = (bench.realm.url("token"), bench.client_header());
    let form_type = "application/x-www-form-urlencoded";
    for (address, content_type) in
        [(address.clone(), "application/json"), (format!("{address}?{body}"), form_type)]
    {
        let request = bench.http.post(address).header("authorization", &header);
        let reply =
            bench.send(request.header("content-type", content_type).body(body.clone())).await.unwrap();
        assert_eq!(reply.error(), (400, "invalid_request".into()));
    }
    assert_eq!(bench.get(&format!("{address}?{body}")).await.status, 405);
    let request = bench.http.post(address).header("authorization", header);
    let request = request.header("content-type", format!("{form_type}; charset=UTF-8")).body(body);
    assert_eq!(bench.send(request).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_refresh_token_is_worth_nothing_to_another_client() {
    let bench = bench(|realm| {
        let other = ClientConfig { id: "other".into(), secret: Some("s".into()), redirect_uris: vec![] };
        realm.clients.push(other);
    })
    .await;
    let grant = bench.mint();
    let header = basic("other", "s");
    let reply = bench.post_as(Some(&header), "token", refreshing(&grant.refresh_token)).await.unwrap();
    assert_eq!(reply.error(), (400, "invalid_grant".into()));
    let body = form(&[("token", &grant.refresh_token)]);
    let looked = bench.post_as(Some(&header), "introspect", body.clone()).await.unwrap();
    assert_eq!(looked.json(), serde_json::json!({ "active": false }));
    assert_eq!(bench.post_as(Some(&header), "revoke", body).await.unwrap().status, 400);
    assert!(bench.realm.is_alive(&grant.refresh_token));
}

#[tokio::test]
async fn an_untrusted_redirect_address_is_never_redirected_to() {
    let bench = bench(|_| ()).await;
    let challenge = challenge(VERIFIER);
    for redirect_uri in
        ["http://127.0.0.1:8080/callback/", "http://127.0.0.1:8080/callback?x=1", "https://evil.example"]
    {
        let query = form(&[
            ("response_type", "code"),
            ("client_id", "bowline"),
            ("redirect_uri", redirect_uri),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let reply = bench.get(&format!("{}?{query}", bench.realm.url("authorize"))).await;
        assert_eq!(reply.status, 400);
        assert!(!reply.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn authorization_without_pkce_s256_is_sent_back_with_an_error() {
    let bench = bench(|realm| realm.auto_consent = Some("alice".into())).await;
    let challenge = challenge(VERIFIER);
    let plain = [("code_challenge", challenge.as_str()), ("code_challenge_method", "plain")];
    for pkce in
        [&[][..], &plain[..1], &plain, &[("code_challenge", "short"), ("code_challenge_method", "S256")]]
    {
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "bowline"),
            ("redirect_uri", CALLBACK),
            ("state", "s"),
        ];
        pairs.extend(pkce);
        let reply = bench.get(&format!("{}?{}", bench.realm.url("authorize"), form(&pairs))).await;
        let location = reply.headers["location"].to_str().unwrap();
        assert!(
            location.starts_with(&format!("{CALLBACK}?error=invalid_request&state=s&iss=")),
            "{location}"
        );
    }
}
