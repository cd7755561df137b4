//! Each fault as a client sees it, and what it does to the server's state.

use super::*;

#[tokio::test]
async fn answers_instead_of_the_real_one_leave_the_token_unspent() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("valid JSON");
    let cases = [
        (Action::status(500), 500, String::new()),
        (Action::status(400), 400, String::new()),
        (Action::error("invalid_grant"), 400, json(r#"{"error":"invalid_grant"}"#).to_string()),
        (Action::error("invalid_client"), 401, json(r#"{"error":"invalid_client"}"#).to_string()),
        (
            Action::NotOk { error: "token_revoked".into() },
            200,
            json(r#"{"ok":false,"error":"token_revoked"}"#).to_string(),
        ),
    ];
    for (action, status, text) in cases {
        bench.realm.fault(Fault::token(action));
        let reply = bench.refresh(&grant.refresh_token).await;
        assert_eq!((reply.status, reply.text), (status, text));
    }
    assert_eq!(bench.realm.ledger().requests.iter().filter(|request| request.committed).count(), 0);
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
}

#[tokio::test]
async fn html_and_redirects_look_like_a_proxy_s() {
    let bench = bench(|_| ()).await;
    bench.realm.fault(Fault::token(Action::Html { status: 200 }));
    let page = bench.refresh("any").await;
    assert_eq!((page.status, page.headers["content-type"].to_str().unwrap()), (200, "text/html"));
    for status in [302, 307] {
        bench.realm.fault(Fault::token(Action::Redirect { status, location: "http://127.0.0.1:1/".into() }));
        let reply = bench.refresh("any").await;
        assert_eq!(
            (reply.status, reply.headers["location"].to_str().unwrap()),
            (status, "http://127.0.0.1:1/")
        );
    }
}

#[tokio::test]
async fn retry_after_comes_as_seconds_and_as_a_date() {
    let bench = bench(|_| ()).await;
    bench.realm.fault(Fault::token(Action::busy(429, RetryAfter::Seconds(7))));
    bench.realm.fault(Fault::token(Action::busy(503, RetryAfter::DateIn(60))));
    let seconds = bench.refresh("any").await;
    assert_eq!((seconds.status, seconds.headers["retry-after"].to_str().unwrap()), (429, "7"));
    let date = bench.refresh("any").await;
    // 1_800_000_000 is 2027-01-15 08:00:00 UTC.
    assert_eq!(date.headers["retry-after"], "Fri, 15 Jan 2027 08:01:00 GMT");
}

#[tokio::test]
async fn an_answer_of_the_script_carries_its_body_and_headers() {
    let bench = bench(|_| ()).await;
    let line: Fault = serde_json::from_str(
        r#"{"endpoint":"token","action":{"kind":"answer","status":418,"body":"tea","headers":{"content-type":"text/x-tea","x-a":"b"}}}"#,
    )
    .unwrap();
    bench.realm.fault(line);
    let reply = bench.refresh("any").await;
    assert_eq!((reply.status, reply.text.as_str()), (418, "tea"));
    assert_eq!(
        (&reply.headers["content-type"], &reply.headers["x-a"]),
        (&"text/x-tea".parse().unwrap(), &"b".parse().unwrap())
    );
}

#[tokio::test]
async fn a_connection_dropped_before_commit_leaves_the_token_unspent() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    bench.realm.fault(Fault::token(Action::Drop { commit: false }));
    assert!(bench.try_refresh(&grant.refresh_token).await.is_err());
    assert!(bench.realm.ledger().refreshes_of(&grant.grant_id).is_empty());
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
}

#[tokio::test]
async fn a_connection_dropped_after_commit_has_spent_the_token() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    bench.realm.fault(Fault::token(Action::Drop { commit: true }));
    assert!(bench.try_refresh(&grant.refresh_token).await.is_err());
    let ledger = bench.realm.ledger();
    let lost = ledger.refreshes_of(&grant.grant_id);
    assert_eq!((lost.len(), lost[0].status, lost[0].fault.as_deref()), (1, None, Some("drop")));
    assert_eq!(bench.refresh(&grant.refresh_token).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_status_after_commit_has_spent_the_token() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    bench.realm.fault(Fault::token(Action::status_after_commit(502)));
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 502);
    assert_eq!(bench.refresh(&grant.refresh_token).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn half_answers_break_off_after_commit() {
    let bench = bench(|_| ()).await;
    for action in [Action::Truncated, Action::ClosedMidBody] {
        let grant = bench.mint();
        bench.realm.fault(Fault::token(action.clone()));
        let request = bench
            .http
            .post(bench.realm.url("token"))
            .header("authorization", bench.client_header())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&[("grant_type", "refresh_token"), ("refresh_token", &grant.refresh_token)]));
        let mut response = request.send().await.expect("the head of an answer");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers().contains_key("content-length"), action == Action::Truncated);
        let first = response.chunk().await.expect("the first half").expect("some bytes");
        assert!(first.starts_with(b"{") && !first.ends_with(b"}"));
        assert!(response.chunk().await.is_err());
        assert_eq!(bench.realm.ledger().refreshes_of(&grant.grant_id).len(), 1);
    }
    bench.realm.fault(Fault::token(Action::HalfJson));
    let reply = bench.refresh(&bench.mint().refresh_token).await;
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<Value>(&reply.text).is_err());
}

#[tokio::test]
async fn a_delay_before_commit_is_undone_by_a_client_that_gives_up() {
    for commit in [false, true] {
        let bench = bench(|_| ()).await;
        let grant = bench.mint();
        bench.realm.fault(Fault::token(Action::Delay { milliseconds: 60_000, commit }));
        let request = bench
            .http
            .post(bench.realm.url("token"))
            .timeout(Duration::from_millis(300))
            .header("authorization", bench.client_header())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&[("grant_type", "refresh_token"), ("refresh_token", &grant.refresh_token)]));
        assert!(request.send().await.is_err_and(|error| error.is_timeout()));
        let seen = |ledger: &Ledger| ledger.requests.last().map(|request| request.committed);
        assert_eq!(bench.realm.wait_for(Duration::from_secs(10), seen).await, Ok(commit));
        assert_eq!(bench.realm.ledger().refreshes_of(&grant.grant_id).len(), usize::from(commit));
    }
}

#[tokio::test]
async fn a_delayed_answer_is_the_real_one() {
    let bench = bench(|_| ()).await;
    bench.realm.fault(Fault::token(Action::Delay { milliseconds: 20, commit: true }));
    let started = std::time::Instant::now();
    assert_eq!(bench.refresh(&bench.mint().refresh_token).await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn members_come_with_wrong_types_or_not_at_all() {
    let bench = bench(|_| ()).await;
    bench.realm.fault(Fault::token(Action::set("expires_in", "3600")));
    assert_eq!(bench.refresh(&bench.mint().refresh_token).await.json()["expires_in"], "3600");
    bench.realm.fault(Fault::token(Action::without("token_type")));
    assert_eq!(bench.refresh(&bench.mint().refresh_token).await.json().get("token_type"), None);
    bench.realm.fault(Fault::token(Action::FormEncoded));
    let reply = bench.refresh(&bench.mint().refresh_token).await;
    assert!(reply.text.contains("access_token=sbx_at_") && reply.text.contains("expires_in=3600"));
}

#[tokio::test]
async fn an_answer_without_refresh_token_means_that_the_old_one_stays() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    bench.realm.fault(Fault::token(Action::NoRefreshToken));
    assert_eq!(bench.refresh(&grant.refresh_token).await.json().get("refresh_token"), None);
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
    assert!(bench.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
async fn fewer_scopes_are_granted_for_good() {
    let bench = bench(|_| ()).await;
    bench.realm.fault(Fault::token(Action::FewerScopes { scope: "read".into() }));
    let reply = bench.refresh(&bench.mint().refresh_token).await;
    assert_eq!(reply.member("scope"), "read");
    assert_eq!(bench.refresh(&reply.member("refresh_token")).await.member("scope"), "read");
}

#[tokio::test]
async fn userinfo_names_somebody_else() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    bench.realm.fault(Fault::at(Endpoint::Userinfo, Action::wrong_account("mallory")));
    assert_eq!(bench.userinfo(&grant.access_token).await.member("sub"), "mallory");
    assert_eq!(bench.userinfo(&grant.access_token).await.member("sub"), "alice");
}

#[tokio::test]
async fn a_huge_answer_is_as_large_as_it_was_ordered() {
    let bench = bench(|_| ()).await;
    bench.realm.fault(Fault::token(Action::Huge { bytes: 2 * 1024 * 1024 }));
    assert!(bench.refresh("any").await.text.len() > 2 * 1024 * 1024);
}

#[tokio::test]
async fn a_fault_affects_only_what_it_names_and_as_often_as_it_says() {
    let bench = bench(|realm| realm.rotation = Rotation::None).await;
    let (alice, bob) = (bench.mint(), bench.realm.mint(&MintRequest::of("bob")).unwrap());
    bench.realm.fault(Fault::token(Action::status(500)).for_account("bob").times(2).after(1));
    bench.realm.fault(Fault::token(Action::status(503)).for_grant(&alice.grant_id));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let statuses = (
            bench.refresh(&alice.refresh_token).await.status,
            bench.refresh(&bob.refresh_token).await.status,
        );
        seen.push(statuses);
    }
    assert_eq!(seen, [(503, 200), (200, 500), (200, 500), (200, 200)]);
    assert!(bench.realm.remaining_faults().is_empty());
    bench.realm.fault(Fault::at(Endpoint::Discovery, Action::status(500)));
    assert_eq!(bench.refresh(&bob.refresh_token).await.status, 200);
    bench.realm.clear_faults();
    assert_eq!(bench.get(&bench.realm.url(".well-known/openid-configuration")).await.status, 200);
}

#[tokio::test]
async fn faults_of_one_realm_do_not_reach_another() {
    let bench = bench(|_| ()).await;
    let other = bench.sandbox.realm("other", RealmConfig::default());
    other.fault(Fault { endpoint: None, ..Fault::token(Action::status(500)) });
    assert_eq!(bench.refresh(&bench.mint().refresh_token).await.status, 200);
    assert_eq!(other.remaining_faults().len(), 1);
    assert!(bench.sandbox.ledger("other").requests.is_empty());
}
