//! What each rotation class does with refresh tokens, and what the ledger says about it.

use super::*;

#[tokio::test]
async fn without_rotation_the_same_token_goes_on_working() {
    let bench = bench(|realm| realm.rotation = Rotation::None).await;
    let grant = bench.mint();
    for _ in 0..3 {
        let reply = bench.refresh(&grant.refresh_token).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json().get("refresh_token"), None);
    }
    assert_eq!(bench.realm.ledger().refreshes_of(&grant.grant_id).len(), 3);
}

#[tokio::test]
async fn optional_rotation_replaces_on_every_second_refresh() {
    let bench = bench(|realm| realm.rotation = Rotation::Optional).await;
    let grant = bench.mint();
    assert_eq!(bench.refresh(&grant.refresh_token).await.json().get("refresh_token"), None);
    let second = bench.refresh(&grant.refresh_token).await.member("refresh_token");
    assert_eq!(bench.refresh(&grant.refresh_token).await.error(), (400, "invalid_grant".into()));
    assert_ne!(second, grant.refresh_token);
}

#[tokio::test]
async fn sliding_rotation_leaves_the_old_token_alive() {
    let bench = bench(|realm| realm.rotation = Rotation::Sliding).await;
    let grant = bench.mint();
    let next = bench.refresh(&grant.refresh_token).await.member("refresh_token");
    assert_ne!(next, grant.refresh_token);
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
    assert_eq!(bench.refresh(&next).await.status, 200);
    assert!(bench.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
async fn single_use_rotation_ends_the_whole_grant_on_reuse() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let reply = bench.refresh(&grant.refresh_token).await;
    let (access, next) = (reply.member("access_token"), reply.member("refresh_token"));
    assert_eq!(bench.refresh(&grant.refresh_token).await.error(), (400, "invalid_grant".into()));
    assert_eq!(bench.refresh(&next).await.error(), (400, "invalid_grant".into()));
    assert_eq!(bench.userinfo(&access).await.status, 401);

    let ledger = bench.realm.ledger();
    let twice = ledger.spent_twice();
    assert_eq!(twice.len(), 1);
    assert_eq!(
        twice[0].token.as_ref().map(|name| name.sha256.clone()),
        Some(fingerprint(&grant.refresh_token))
    );
    assert_eq!(twice[0].account.as_deref(), Some("alice"));
    assert!(ledger.is_grant_revoked(&grant.grant_id));
    assert_eq!(ledger.revoked()[0].reason, Some(Reason::Reuse));
    assert_eq!(ledger.refreshes_of(&grant.grant_id).len(), 1);
    assert_eq!(ledger.refresh_attempts_of(&grant.grant_id).len(), 3);
}

#[tokio::test]
async fn reuse_leaves_the_newest_token_alive_where_the_realm_says_so() {
    let bench = bench(|realm| realm.reuse_ends_grant = false).await;
    let grant = bench.mint();
    let next = bench.refresh(&grant.refresh_token).await.member("refresh_token");
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 400);
    assert_eq!(bench.refresh(&next).await.status, 200);
}

#[tokio::test]
async fn a_replaced_token_works_inside_its_grace_window_and_not_after() {
    let bench = bench(|realm| realm.grace_seconds = 30).await;
    let grant = bench.mint();
    let first = bench.refresh(&grant.refresh_token).await.member("refresh_token");
    bench.clock.advance(Duration::from_millis(29_999));
    let second = bench.refresh(&grant.refresh_token).await.member("refresh_token");
    assert_ne!(first, second);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 400);

    let ledger = bench.realm.ledger();
    assert_eq!(ledger.of(Event::SpentInGrace).count(), 1);
    assert_eq!(ledger.spent_twice().len(), 1);
}

#[tokio::test]
async fn a_sibling_from_the_grace_window_is_replaced_too() {
    let bench = bench(|realm| (realm.grace_seconds, realm.reuse_ends_grant) = (10, false)).await;
    let grant = bench.mint();
    let lost = bench.refresh(&grant.refresh_token).await.member("refresh_token");
    let kept = bench.refresh(&grant.refresh_token).await.member("refresh_token");
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.refresh(&lost).await.status, 400);
    assert_eq!(bench.refresh(&kept).await.status, 200);
}

#[tokio::test]
async fn an_expired_access_token_is_refused_at_userinfo() {
    let bench = bench(|realm| realm.access_lifetime_seconds = 2).await;
    let grant = bench.mint();
    bench.clock.advance(Duration::from_millis(1999));
    assert_eq!(bench.userinfo(&grant.access_token).await.member("sub"), "alice");
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.userinfo(&grant.access_token).await.error(), (401, "invalid_token".into()));
    assert!(!bench.realm.is_alive(&grant.access_token));
}

#[tokio::test]
async fn an_idle_refresh_token_expires_and_use_keeps_it_alive() {
    let bench = bench(|realm| {
        realm.rotation = Rotation::None;
        realm.refresh_lifetime_seconds = Some(100);
    })
    .await;
    let grant = bench.mint();
    bench.clock.advance(Duration::from_secs(99));
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
    bench.clock.advance(Duration::from_secs(99));
    assert_eq!(bench.refresh(&grant.refresh_token).await.status, 200);
    bench.clock.advance(Duration::from_secs(100));
    assert_eq!(bench.refresh(&grant.refresh_token).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_refresh_ends_the_access_token_in_use_where_the_realm_says_so() {
    for ends in [false, true] {
        let bench = bench(|realm| realm.refresh_ends_access = ends).await;
        let grant = bench.mint();
        bench.refresh(&grant.refresh_token).await;
        assert_eq!(bench.realm.is_alive(&grant.access_token), !ends);
        assert_eq!(bench.realm.ledger().of(Event::Ended).count(), usize::from(ends));
    }
}

#[tokio::test]
async fn the_scope_of_a_refresh_may_narrow_and_never_widen() {
    let bench = bench(|_| ()).await;
    let request = MintRequest { scope: Some("read write".into()), ..MintRequest::of("alice") };
    let grant = bench.realm.mint(&request).unwrap();
    // A refusal for its scope spends nothing.
    let wider = bench
        .post(
            "token",
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", &grant.refresh_token),
                ("scope", "read email"),
            ],
        )
        .await;
    assert_eq!(wider.error(), (400, "invalid_scope".into()));
    let narrower = bench
        .post(
            "token",
            &[("grant_type", "refresh_token"), ("refresh_token", &grant.refresh_token), ("scope", "read")],
        )
        .await;
    assert_eq!(narrower.member("scope"), "read");
    let whole = bench.refresh(&narrower.member("refresh_token")).await;
    assert_eq!(whole.member("scope"), "read write");
}

#[tokio::test]
async fn lifetime_and_scope_are_left_out_where_the_realm_says_so() {
    let bench = bench(|realm| (realm.omit_expires_in, realm.omit_scope) = (true, true)).await;
    let answer = bench.refresh(&bench.mint().refresh_token).await.json();
    assert_eq!((answer.get("expires_in"), answer.get("scope")), (None, None));
    assert_eq!(answer["token_type"], "Bearer");
}

#[tokio::test]
async fn the_ledger_never_holds_a_token_in_full() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let reply = bench.refresh(&grant.refresh_token).await;
    let next = reply.member("refresh_token");
    bench.refresh("sbx_rt_unknown-to-the-sandbox").await;
    let text = serde_json::to_string(&bench.realm.ledger()).unwrap();
    for token in [&grant.refresh_token, &grant.access_token, &next, &reply.member("access_token")] {
        assert!(!text.contains(token.as_str()));
    }
    assert!(!text.contains("unknown-to-the-sandbox"));
    let history: Vec<_> =
        bench.realm.ledger().history_of(&grant.refresh_token).iter().map(|entry| entry.event).collect();
    assert_eq!(history, [Event::Issued, Event::Spent]);
}
