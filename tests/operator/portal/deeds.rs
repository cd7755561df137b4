//! What a person does is one line of the portal's log: who, what, to which connection, and what became of it.

use std::collections::BTreeSet;

use bowline_testbed::random;
use bowline_testbed::sandbox::Rotation;
use serde_json::Value;

use super::browser::Browser;
use super::house::{Portal, admit, token};
use super::walk::{callback, leave};
use crate::scene::{Scene, scene};

/// The actions in a log, in their order.
fn actions(portal: &Portal) -> Vec<Value> {
    let logs = portal.logs();
    let lines = logs.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    lines.filter(|line| line["target"] == "audit" && line["door"] == "portal").collect()
}

/// The actions since the last look, as `USER ACTION OBJECT RESULT`.
struct Deeds<'a> {
    portal: &'a Portal,
    seen: usize,
}

impl Deeds<'_> {
    fn new_ones(&mut self) -> Vec<String> {
        let all = actions(self.portal);
        let said = |line: &Value| {
            let words =
                ["user", "action", "object", "result"].map(|name| line[name].as_str().unwrap().to_owned());
            words.join(" | ")
        };
        let new = all[self.seen..].iter().map(said).collect();
        self.seen = all.len();
        new
    }
}

async fn does(it: &Scene, browser: &Browser, rest: &str, fields: &[(&str, &str)]) -> u16 {
    let page = format!("/connections/{}/post", it.namespace);
    let form = browser.get(&page).await;
    browser.submit(&form, &format!("{page}/{rest}"), fields).await.status
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_28_what_a_person_does_is_one_line_of_the_log() {
    let it = scene("deeds").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.workspace(&["carol"], &[&it.namespace]).apply().await;
    admit(&it, "carol").await;
    let scraped = format!("127.0.0.1:{}", random::free_port().unwrap());
    let portal = Portal::start(&it, &["--log-format", "json", "--metrics-listen", &scraped]).await;
    let mut deeds = Deeds { portal: &portal, seen: 0 };
    let post = format!("{}/post", it.namespace);
    let said =
        |user: &str, action: &str, object: &str, result: &str| [user, action, object, result].join(" | ");

    assert_eq!(portal.browser().sign_in("wrong").await.status, 403);
    let carol = portal.browser_of(&it, "carol").await;
    assert_eq!(deeds.new_ones(), [said("", "sign in", "", "refused"), said("carol", "sign in", "", "done")]);

    let form = carol.get(&format!("/new/{}", it.name)).await;
    let fields = [("title", "Post"), ("namespace", it.namespace.as_str())];
    assert_eq!(carol.submit(&form, &format!("/new/{}", it.name), &fields).await.status, 303);
    assert_eq!(deeds.new_ones(), [said("carol", "create", &post, "done")]);
    it.until_reason("post", "Authorized", "AwaitingAuthorization").await;

    let page = format!("/connections/{}/post", it.namespace);
    let code = callback(&it, &leave(&carol, &page).await, "alice").await;
    assert_eq!(carol.get(&code).await.status, 303);
    assert_eq!(carol.get(&code).await.status, 409);
    assert_eq!(
        deeds.new_ones(),
        [
            said("carol", "begin connecting", &post, "done"),
            said("carol", "finish connecting", &post, "done"),
            said("carol", "finish connecting", &it.name, "refused"),
        ]
    );
    it.until_phase("post", "Active").await;

    let confirmed = [("name", "post")];
    for (rest, fields, action, result) in [
        ("edit", &[("title", "Mail")][..], "edit", "done"),
        ("share", &[("workspace", it.name.as_str())], "share", "done"),
        ("unshare", &[], "unshare", "done"),
        ("refresh", &[], "refresh", "done"),
        ("pause", &[], "pause", "done"),
        ("resume", &[], "resume", "done"),
        ("confirm", &[("account", "other")], "confirm account", "refused"),
        ("agree", &[("scopes", "x")], "agree to scopes", "refused"),
        ("device", &[], "request a code", "refused"),
        ("disconnect", &confirmed, "disconnect", "done"),
        ("again", &[], "connect again", "done"),
        ("delete", &confirmed, "delete", "done"),
    ] {
        let status = does(&it, &carol, rest, fields).await;
        assert_eq!(deeds.new_ones(), [said("carol", action, &post, result)], "{rest}: {status}");
    }

    // Somebody else's page tells nothing, and neither does looking.
    let bob = portal.browser_of(&it, "bob").await;
    deeds.new_ones();
    bob.get("/connections").await;
    assert!(deeds.new_ones().is_empty());
    let form = bob.get("/connections").await;
    assert_eq!(bob.submit(&form, "/sign-out", &[]).await.status, 303);
    assert_eq!(deeds.new_ones(), [said("bob", "sign out", "", "done")]);

    counted(&portal, &scraped).await;

    // Each has the id of its request, which the request's other lines have as well.
    let all = actions(&portal);
    let ids: BTreeSet<&str> = all.iter().filter_map(|line| line["span"]["request"].as_str()).collect();
    assert_eq!(ids.len(), all.len(), "{all:?}");
    let logs = portal.logs();
    for id in ids {
        assert!(logs.matches(id).count() >= 2, "{id}: {logs}");
    }
    let secrets = [token(&it.stage.access, "carol"), form.token()];
    for secret in secrets.iter().map(String::as_str).chain(["code=", "state=", "wrong"]) {
        assert!(!logs.contains(secret), "{secret} is in the log: {logs}");
    }
}

/// What was done is counted, on the listener for metrics and not among the pages.
async fn counted(portal: &Portal, scraped: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |address: String| client.get(address).send().await.unwrap();
    let text = get(format!("http://{scraped}/metrics")).await.text().await.unwrap();
    for line in [
        r#"bowline_portal_sign_ins_total{method="token",result="refused"} 1"#,
        r#"bowline_portal_sign_ins_total{method="token",result="done"} 2"#,
        r#"bowline_portal_actions_total{action="finish_connecting",result="done"} 1"#,
        r#"bowline_portal_actions_total{action="finish_connecting",result="refused"} 1"#,
        r#"bowline_portal_actions_total{action="delete",result="done"} 1"#,
        r#"bowline_portal_requests_total{route="/connections/{namespace}/{name}/share",status="3xx"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    assert!(text.contains("process_start_time_seconds "), "{text}");
    for who in ["carol", "bob", "post"] {
        assert!(!text.contains(who), "{who} is in the metrics: {text}");
    }
    assert_eq!(get(format!("http://{scraped}/connections")).await.status(), 404);
    assert_eq!(get(format!("{}/metrics", portal.address)).await.status(), 404);
}
