//! The admin API over HTTP, and waiting for the ledger.

use serde_json::json;

use super::*;

impl Bench {
    async fn admin(&self, method: reqwest::Method, path: &str, body: Value) -> Reply {
        let address = format!("http://{}/admin/realms{path}", self.sandbox.address());
        let request = self.http.request(method, address).header("content-type", "application/json");
        self.send(request.body(body.to_string())).await.expect("an answer")
    }
}

use reqwest::Method;

#[tokio::test]
async fn a_realm_is_made_changed_and_removed_over_http() {
    let bench = bench(|_| ()).await;
    let made =
        bench.admin(Method::PUT, "/shop", json!({ "rotation": "none", "access_lifetime_seconds": 2 })).await;
    assert_eq!(made.member("issuer"), format!("http://{}/r/shop", bench.sandbox.address()));
    bench.admin(Method::PUT, "/shop", json!({ "grace_seconds": 9 })).await;
    let shown = bench.admin(Method::GET, "/shop", Value::Null).await.json();
    assert_eq!((&shown["rotation"], &shown["grace_seconds"]), (&"none".into(), &9.into()));
    assert_eq!((&shown["access_lifetime_seconds"], &shown["code_lifetime_seconds"]), (&2.into(), &60.into()));
    let realms = bench.admin(Method::GET, "", Value::Null).await.json();
    assert_eq!(realms, json!({ "realms": ["default", "shop", "test"] }));
    assert_eq!(bench.admin(Method::DELETE, "/shop", Value::Null).await.status, 204);
    assert_eq!(bench.admin(Method::GET, "/shop", Value::Null).await.status, 404);
}

#[tokio::test]
async fn unknown_members_names_and_scopes_are_refused() {
    let bench = bench(|_| ()).await;
    for (path, body) in [
        ("/shop", json!({ "rotatoin": "none" })),
        ("/shop", json!({ "rotation": "never" })),
        ("/shop", json!([])),
        ("/Shop", json!({})),
    ] {
        assert_eq!(bench.admin(Method::PUT, path, body.clone()).await.status, 422, "{path} {body}");
    }
    for body in [
        json!({ "account": "eve" }),
        json!({ "client_id": "x" }),
        json!({ "scope": "admin" }),
        json!({ "sub": "alice" }),
    ] {
        assert_eq!(bench.admin(Method::POST, "/test/grants", body.clone()).await.status, 422, "{body}");
    }
    for action in [json!({ "kind": "explode" }), json!({ "kind": "html", "status": 200, "times": 2 })] {
        let faults = json!([{ "action": action }]);
        assert_eq!(bench.admin(Method::POST, "/test/faults", faults.clone()).await.status, 422, "{faults}");
    }
}

#[tokio::test]
async fn grants_are_minted_questioned_and_revoked_over_http() {
    let bench = bench(|_| ()).await;
    let body = json!({ "account": "bob", "scope": "read", "client_id": "bowline" });
    let minted = bench.admin(Method::POST, "/test/grants", body).await;
    assert_eq!((minted.status, minted.member("scope")), (201, "read".into()));
    assert_eq!(bench.refresh(&minted.member("refresh_token")).await.status, 200);
    let token = json!({ "token": minted.member("access_token") });
    let looked = bench.admin(Method::POST, "/test/introspect", token.clone()).await.json();
    assert_eq!((&looked["active"], &looked["sub"]), (&true.into(), &"bob".into()));
    let path = format!("/test/grants/{}", minted.member("grant_id"));
    assert_eq!(bench.admin(Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(bench.admin(Method::POST, "/test/introspect", token).await.json()["active"], false);
    assert_eq!(bench.admin(Method::DELETE, "/test/grants/grant-99", Value::Null).await.status, 422);
    assert_eq!(bench.realm.ledger().revoked()[0].reason, Some(Reason::Admin));
}

#[tokio::test]
async fn the_fault_script_and_a_device_decision_go_over_http() {
    let bench = bench(|_| ()).await;
    let faults = json!([{ "endpoint": "token", "times": 2, "action": { "kind": "drop", "commit": false } }]);
    assert_eq!(bench.admin(Method::POST, "/test/faults", faults).await.status, 204);
    assert!(bench.try_refresh("any").await.is_err());
    assert_eq!(bench.admin(Method::GET, "/test/faults", Value::Null).await.json()[0]["times"], 1);
    bench.admin(Method::DELETE, "/test/faults", Value::Null).await;
    assert_eq!(bench.refresh("any").await.status, 400);
    let device = bench.post("device_authorization", &[]).await;
    let path = format!("/test/device/{}", device.member("user_code"));
    assert_eq!(bench.admin(Method::POST, &path, json!({ "account": "alice" })).await.status, 204);
    assert_eq!(bench.admin(Method::POST, &path, json!({ "account": "alice" })).await.status, 422);
}

#[tokio::test]
async fn the_ledger_over_http_is_the_typed_one_and_can_be_read_from_a_point_on() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let before = bench.realm.ledger().entries.last().unwrap().sequence;
    bench.refresh(&grant.refresh_token).await;
    let whole = bench.admin(Method::GET, "/test/ledger", Value::Null).await;
    assert_eq!(serde_json::from_str::<Ledger>(&whole.text).unwrap(), bench.realm.ledger());
    let newer = bench.admin(Method::GET, &format!("/test/ledger?after={before}"), Value::Null).await;
    let newer: Ledger = serde_json::from_str(&newer.text).unwrap();
    let events: Vec<_> = newer.entries.iter().map(|entry| entry.event).collect();
    assert_eq!(events, [Event::Spent, Event::Issued, Event::Issued]);
    assert_eq!(newer.requests.len(), 1);
}

#[tokio::test]
async fn waiting_ends_when_the_ledger_shows_it_or_at_the_deadline() {
    let bench = bench(|_| ()).await;
    let grant = bench.mint();
    let refreshed = |ledger: &Ledger| (!ledger.refreshes_of(&grant.grant_id).is_empty()).then_some(());
    assert_eq!(bench.realm.wait_for(Duration::from_millis(10), refreshed).await, Err(RealmError::Deadline));
    let waiting = bench.realm.wait_for(Duration::from_secs(10), refreshed);
    let (seen, reply) = tokio::join!(waiting, bench.refresh(&grant.refresh_token));
    assert_eq!((seen, reply.status), (Ok(()), 200));
}

#[tokio::test]
async fn a_dropped_sandbox_stops_listening() {
    let bench = bench(|_| ()).await;
    let address = bench.sandbox.address();
    drop(bench.sandbox);
    let refused = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("the port is closed");
}

#[tokio::test]
async fn concurrent_refreshes_of_one_token_are_served_once() {
    let bench = bench(|realm| realm.reuse_ends_grant = false).await;
    let grant = bench.mint();
    let tries = (0..16).map(|_| bench.refresh(&grant.refresh_token));
    let replies = futures::future::join_all(tries).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    assert_eq!(bench.realm.ledger().spent_twice().len(), 15);
}
