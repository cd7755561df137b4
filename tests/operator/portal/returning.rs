//! Where signing in leads: back to the requested page, and never to another site.

use bowline_portal::testing::{BEFORE_COOKIE, Before, HOME, Purpose, SessionKeys};
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::house::{Portal, session_key, token};
use crate::scene::scene;
use crate::stage::PORTAL;

/// Targets that would make an open redirect.
const TARGETS: &[&str] = &[
    "//evil.example",
    "///evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "/%09/evil.example",
    "/%5Cevil.example",
    "/%2F/evil.example",
    "//u@evil.example",
    "/.//evil.example/..//evil.example?",
    "/connections/..//evil.example#",
    "https://evil.example",
    "https:evil.example",
    "http://portal.example@evil.example/",
    "data:text/html,<script>alert(1)</script>",
    "javascript:alert(1)",
    "evil.example",
    "",
    "/connections?next=//evil.example",
    "/connections\r\nLocation: //evil.example",
];

/// What a browser stores for a user who is not signed in yet, with this target in it: cookie and form token.
fn kept(key: &SessionKeys, next: &str) -> (String, String) {
    let before = Before::new(HOME, Timestamp::now()).unwrap();
    let form = before.form.clone();
    let mut before: Value = serde_json::to_value(before).unwrap();
    assert_eq!(before["next"], HOME, "the target is kept there");
    before["next"] = next.into();
    (key.seal(Purpose::SignIn, &before).unwrap(), form)
}

/// Even if the portal itself had sealed such a target, nobody would be redirected there.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_is_sent_elsewhere_after_signing_in() {
    let it = scene("return").await;
    let portal = Portal::start(&it, &[]).await;
    let (key, token) = (session_key(&it).await, token(&it.stage.access, "carol"));
    let sign_in = async |number: usize, next: &str| {
        let (cookie, form) = kept(&key, next);
        // Each from another machine: sign-in attempts are counted per address.
        let browser = portal.browser_on(&format!("127.0.1.{}", number + 1));
        browser.keep(BEFORE_COOKIE, &cookie);
        let answer = browser.post("/sign-in/token", &[("form", &form), ("token", &token)]).await;
        // Users who are signed in already are redirected at once.
        browser.keep(BEFORE_COOKIE, &cookie);
        let again = browser.get("/sign-in").await;
        assert_eq!((answer.status, again.status), (303, 303), "{next:?}: {}", answer.text);
        [answer.location, again.location]
    };
    for (number, target) in TARGETS.iter().enumerate() {
        assert_eq!(sign_in(number, target).await, [HOME, HOME], "{target:?}");
    }
    // What was sealed is read: a path of ours is followed.
    assert_eq!(sign_in(99, "/workspaces").await, ["/workspaces", "/workspaces"]);
}

/// The only way in which a target is stored: a page was requested without a session.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn signing_in_leads_to_the_page_that_was_asked_for() {
    let it = scene("wanted").await;
    it.provider(Rotation::SingleUse).apply().await;
    let portal = Portal::start(&it, &[]).await;
    let token = token(&it.stage.access, "carol");
    let page = format!("/connections/{}/mail", it.namespace);
    let rows: &[(&str, &str)] = &[
        (&page, &page),
        (&format!("{page}/connect"), &format!("{page}/connect")),
        ("/use", "/use"),
        ("/workspaces/x", "/workspaces/x"),
        ("/use?next=//evil.example", "/use"),
        (
            "/workspaces?next=https://evil.example&return_to=%2F%2Fevil.example&rd=data:text/html,x",
            "/workspaces",
        ),
        ("/connections/%2F%2Fevil.example/x?next=//evil.example", HOME),
        ("/connections/x/%5C%5Cevil.example", HOME),
        ("/connections/%09/evil.example", HOME),
        ("/connections/u@evil.example/x", HOME),
        // Requests that are not for a page leave the target alone.
        (&format!("{page}/live"), HOME),
        ("/connections//evil.example", HOME),
        ("/connections/x//evil.example", HOME),
        ("/sign-in?next=//evil.example", HOME),
    ];
    for (number, (asked, leads)) in rows.iter().enumerate() {
        let browser = portal.browser_on(&format!("127.0.2.{}", number + 1));
        browser.get(asked).await;
        let answer = browser.sign_in(&token).await;
        assert_eq!((answer.status, answer.location.as_str()), (303, *leads), "{asked}: {}", answer.text);
        let target = Url::parse(PORTAL).unwrap().join(&answer.location).unwrap();
        assert_eq!(target.host_str(), Some("portal.example"), "{asked}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_address_like_another_site_is_led_nowhere() {
    let it = scene("raw-return").await;
    let portal = Portal::start(&it, &[]).await;
    for target in [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%09/evil.example",
        "/%5C%5Cevil.example",
        "/%2F%2Fevil.example",
        "//bowline@evil.example",
        "/connections/..//evil.example",
        "https://evil.example/",
        "https://evil.example/connections",
        "data:text/html,x",
    ] {
        let asked = portal.raw(&format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n")).await;
        assert!(asked.starts_with("HTTP/1.1 "), "{target}: {asked}");
        let asked = asked.to_lowercase();
        let location =
            asked.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or("/connections");
        assert!(
            ["/connections", "/sign-in"].contains(&location) && !asked.contains("evil"),
            "{target}: {asked}"
        );
    }
}
