//! A provider says by itself that somebody withdrew a grant there: what is signed has the connection looked at, and nothing
//! else does.

use std::fs;

use bowline_testbed::sandbox::{Endpoint, Rotation};
use bowline_testbed::scratch::Scratch;
use ring::hmac;
use serde_json::json;

use super::house::Portal;
use crate::scene::scene;

const SECRET: &str = "shared with the provider";

/// The status with which the portal answers a message about `account`, signed with `secret`.
async fn told(portal: &Portal, provider: &str, account: &str, secret: &str) -> u16 {
    let body = json!({"event": "revoked", "who": account}).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hex::encode(hmac::sign(&key, body.as_bytes()));
    let request = format!(
        "POST /webhooks/{provider} HTTP/1.1\r\nhost: portal\r\nx-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (_, status) = portal.stream(&request).await;
    status
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_signed_message_has_the_account_looked_at_and_no_other_does() {
    let it = scene("webhook").await;
    let webhook = json!({"signature": {"header": "X-Signature"},
        "events": [{"body": [{"at": "/event", "is": "revoked"}], "account": ["/who"]}]});
    let draft = it.provider(Rotation::SingleUse).lifetime(3600);
    draft.spec(json!({"overlay": {"webhook": webhook}})).apply().await;
    it.connection("crm").apply().await;
    let minted = it.authorized("crm").await;
    let account = it.status("crm").await.account.expect("an account").id;
    let folder = Scratch::create().expect("a folder");
    fs::write(folder.path().join(&it.name), format!("the former secret\n{SECRET}\n")).expect("written");
    let flag = format!("--webhook-secrets={}", folder.path().display());
    let (portal, deaf) = (Portal::start(&it, &[&flag]).await, Portal::start(&it, &[]).await);
    let asked = || it.realm.ledger().requests_to(Endpoint::Token).count();
    let before = asked();
    it.realm.revoke_grant(&minted.grant_id).expect("revoked");

    assert_eq!(told(&deaf, &it.name, &account, SECRET).await, 404, "it has no secrets");
    assert_eq!(told(&portal, "nobody", &account, SECRET).await, 404);
    assert_eq!(told(&portal, &it.name, &account, "another").await, 401);
    assert_eq!(told(&portal, &it.name, "somebody-else", SECRET).await, 204);
    assert_eq!(asked(), before, "nothing was sent so far");
    assert_eq!(told(&portal, &it.name, &account, SECRET).await, 204);
    it.until_status("crm", "refused", |status| {
        status.token.as_ref().is_some_and(|token| token.consecutive_refusals == Some(1))
    })
    .await;
    let connection = it.connections().get("crm").await.expect("a connection");
    let by = &connection.metadata.annotations.unwrap_or_default()["bowline.dev/acting-user"];
    assert_eq!(*by, format!("webhook:{}", it.name));
}
