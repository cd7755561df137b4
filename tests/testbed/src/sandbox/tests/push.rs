//! Pushed authorization requests, and what callbacks say about the issuer.

use super::flows::callback;
use super::*;

impl Bench {
    async fn push(&self, further: &[(&str, &str)]) -> Reply {
        let challenge = challenge(VERIFIER);
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "bowline"),
            ("redirect_uri", CALLBACK),
            ("state", "the state"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| !further.iter().any(|(other, _)| other == name));
        pairs.extend(further);
        self.post("par", &pairs).await
    }

    async fn refer(&self, reference: &str, client: &str) -> Reply {
        let query = form(&[("client_id", client), ("request_uri", reference), ("auto_consent", "alice")]);
        self.get(&format!("{}?{query}", self.realm.url("authorize"))).await
    }
}

#[tokio::test]
async fn a_pushed_request_works_once_in_time_and_for_its_client() {
    let bench = bench(|_| ()).await;
    let pushed = bench.push(&[("scope", "read")]).await;
    assert_eq!((pushed.status, pushed.json()["expires_in"].as_u64()), (201, Some(60)));
    let reference = pushed.member("request_uri");
    let sent = callback(&bench.refer(&reference, "bowline").await);
    assert_eq!((sent["state"].as_str(), sent.contains_key("code")), ("the state", true));
    assert_eq!(bench.refer(&reference, "bowline").await.status, 400);

    let reference = bench.push(&[]).await.member("request_uri");
    assert_eq!(bench.refer(&reference, "another").await.status, 400);
    let reference = bench.push(&[]).await.member("request_uri");
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(bench.refer(&reference, "bowline").await.status, 400);
}

#[tokio::test]
async fn a_push_is_checked_like_a_request_in_the_open_and_proves_its_client() {
    let bench = bench(|_| ()).await;
    for (parameter, error) in [
        (("code_challenge_method", "plain"), "invalid_request"),
        (("redirect_uri", "http://127.0.0.1:8080/other"), "invalid_request"),
        (("scope", "admin"), "invalid_scope"),
        (("request_uri", "urn:x"), "invalid_request"),
        (("client_id", "another"), "invalid_request"),
    ] {
        assert_eq!(bench.push(&[parameter]).await.error(), (400, error.into()), "{parameter:?}");
    }
    let unproved = bench.post_as(None, "par", form(&[("client_id", "bowline")])).await.unwrap();
    assert_eq!(unproved.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn metadata_says_what_the_realm_does_about_pushes_and_issuers() {
    for (pushed, endpoint, required) in
        [(Pushed::Absent, false, false), (Pushed::Offered, true, false), (Pushed::Required, true, true)]
    {
        let bench = bench(|realm| realm.pushed = pushed).await;
        let metadata = bench.get(&bench.realm.url(".well-known/openid-configuration")).await.json();
        assert_eq!(metadata.get("pushed_authorization_request_endpoint").is_some(), endpoint, "{pushed:?}");
        let said = metadata.get("require_pushed_authorization_requests").and_then(Value::as_bool);
        assert_eq!(said.unwrap_or_default(), required, "{pushed:?}");
        let open = bench.authorize(&[("auto_consent", "alice")]).await.status;
        assert_eq!(open, if required { 400 } else { 303 }, "{pushed:?}");
        assert_eq!(bench.push(&[]).await.status, if endpoint { 201 } else { 400 }, "{pushed:?}");
    }
    let forged = "https://honest.example.com".to_owned();
    for (habit, announced, sent) in [
        (CallbackIssuer::Sent, true, None),
        (CallbackIssuer::Unknown, false, Some("")),
        (CallbackIssuer::Omitted, true, Some("")),
        (CallbackIssuer::Forged(forged.clone()), true, Some(forged.as_str())),
    ] {
        let bench = bench(|realm| realm.callback_issuer = habit.clone()).await;
        let metadata = bench.get(&bench.realm.url(".well-known/openid-configuration")).await.json();
        assert_eq!(metadata["authorization_response_iss_parameter_supported"], announced, "{habit:?}");
        for decision in [("auto_consent", "alice"), ("auto_deny", "yes")] {
            let came = callback(&bench.authorize(&[decision]).await);
            let issuer = bench.realm.issuer();
            let want = sent.unwrap_or(&issuer);
            assert_eq!(came.get("iss").map_or("", String::as_str), want, "{habit:?}");
        }
    }
}

#[tokio::test]
async fn fewer_scopes_and_no_refresh_token_can_be_had_without_a_page() {
    let bench = bench(|realm| realm.omit_refresh_token = true).await;
    let further = [("auto_consent", "bob"), ("auto_scope", "read"), ("scope", "read write")];
    let reply = bench.exchange(&bench.code(&further).await, VERIFIER).await;
    assert_eq!((reply.status, reply.member("scope")), (200, "read".into()));
    assert!(reply.json().get("refresh_token").is_none());
}
