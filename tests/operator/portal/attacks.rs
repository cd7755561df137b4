//! What an attacker sends.

use bowline_testbed::sandbox::Rotation;
use reqwest::Method;
use url::Url;

use super::browser::Browser;
use super::house::{Portal, admit, token, waiting};
use super::walk::{back, callback, leave, start};
use crate::scene::{Scene, scene};

async fn begun(name: &str) -> (Scene, Portal, Browser, String) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse).apply().await;
    admit(&it, "carol").await;
    waiting(&it, "carol", "mail").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let portal = Portal::start(&it, &[]).await;
    let carol = portal.browser_of(&it, "carol").await;
    (it, portal, carol, page)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_callback_counts_once_and_in_the_browser_that_left() {
    let (it, portal, carol, page) = begun("callback").await;
    let address = leave(&carol, &page).await;
    let code = callback(&it, &address, "alice").await;
    let repeated = format!("{code}&code=other");
    assert_eq!(
        carol.get(&format!("{code}&x={}", "y".repeat(20_000))).await.status,
        400,
        "too long for an answer"
    );
    assert_eq!(carol.get(&format!("{code}&x={}", "y".repeat(30_000))).await.status, 414);
    let endless = portal.raw(&format!("GET {code}&x={} HTTP/1.1\r\n", "y".repeat(1 << 20))).await;
    assert!(endless.starts_with("HTTP/1.1 4"), "{endless:.80}");

    // Another person's browser, and carol's own after a new sign-in: the state is consumed, and the code is lost.
    let bob = portal.browser_of(&it, "bob").await;
    assert_eq!(bob.get(&code).await.status, 409);
    assert_eq!(carol.get(&code).await.status, 409, "consumed by whoever came first");
    assert!(carol.get(&page).await.says("not the one who left"));

    let address = leave(&carol, &page).await;
    let code = callback(&it, &address, "alice").await;
    let fresh = portal.browser_of(&it, "carol").await;
    assert_eq!(fresh.get(&code).await.status, 409, "the same user, another session");

    let address = leave(&carol, &page).await;
    let elsewhere =
        callback(&it, &address, "alice").await.replace(&format!("/callback/{}", it.name), "/callback/other");
    assert_eq!(carol.get(&elsewhere).await.status, 409, "mix-up");

    let address = leave(&carol, &page).await;
    let twice = callback(&it, &address, "alice").await + "&code=other";
    assert_eq!(carol.get(&twice).await.status, 409);
    assert_eq!(carol.get(&repeated).await.status, 409);

    let address = leave(&carol, &page).await;
    let code = callback(&it, &address, "alice").await;
    assert_eq!(carol.get(&code).await.status, 303);
    assert_eq!(carol.get(&code).await.status, 409, "a replay");
    it.until_phase("mail", "Active").await;
    assert_eq!(portal.browser().get("/callback/x?state=short").await.status, 400);
}

/// Link scanners (of mail or chat, for a preview) use `HEAD`.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn looking_ahead_takes_nothing_away() {
    let (it, _portal, carol, page) = begun("ahead").await;
    let head = async |path: &str| {
        let answer = carol.send(carol.request(Method::HEAD, path)).await;
        assert!(answer.cookies.is_empty() && answer.location.is_empty(), "{path}: {answer:?}");
        (answer.status, answer.headers["allow"].to_str().unwrap().to_owned())
    };
    let refused = (405, "GET".to_owned());
    let review = carol.get(&format!("{page}/connect")).await;
    let go = format!("{}/go", start(&carol, &review, &page).await.location);
    carol.get(go.trim_end_matches("/go")).await;
    assert_eq!(head(&go).await, refused);
    let gone = carol.get(&go).await;
    assert_eq!(gone.status, 303, "{}", gone.text);
    let code = callback(&it, &Url::parse(&gone.location).expect("the provider's address"), "alice").await;
    assert_eq!(head(&code).await, refused);
    assert_eq!(carol.get(&code).await.location, page, "the answer still counts");
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_start_link_of_somebody_elses_leads_nowhere() {
    let (it, portal, carol, page) = begun("link").await;
    let review = carol.get(&format!("{page}/connect")).await;
    let begun = start(&carol, &review, &page).await;
    let bob = portal.browser_of(&it, "bob").await;
    for path in [begun.location.clone(), format!("{}/go", begun.location)] {
        assert_eq!(bob.get(&path).await.status, 404, "{path}");
        assert_eq!(
            portal.browser_of(&it, "carol").await.get(&path).await.status,
            404,
            "another session of carol"
        );
    }
    assert_eq!(carol.get(&begun.location).await.status, 200);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_second_attempt_replaces_the_first_and_a_sixth_open_one_is_refused() {
    let (it, portal, carol, page) = begun("many").await;
    let first = leave(&carol, &page).await;
    let second = leave(&carol, &page).await;
    assert_eq!(back(&it, &carol, &first, "alice").await.status, 409, "replaced");
    assert_eq!(back(&it, &carol, &second, "alice").await.status, 303);

    // Nobody else connects as gitops, whose attempts stay open.
    admit(&it, "gitops").await;
    let gitops = portal.browser_of(&it, "gitops").await;
    let token = gitops.get("/connections").await;
    let mut seen = Vec::new();
    for number in 0..6 {
        let name = format!("more-{number}");
        waiting(&it, "gitops", &name).await;
        let path = format!("/connections/{}/{name}/start", it.namespace);
        seen.push(gitops.submit(&token, &path, &[]).await.status);
    }
    assert_eq!(seen, [303, 303, 303, 303, 303, 429]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn signing_in_makes_a_new_session_and_signing_out_ends_it() {
    let (it, portal, alice, _) = begun("session").await;
    let browser = portal.browser();
    let answer = browser.sign_in("not-a-token").await;
    assert_eq!(answer.status, 403);
    let account = it.stage.access.service_account_kubeconfig("bowline-system", "bowline").await.unwrap();
    let kubeconfig: serde_json::Value = serde_json::from_slice(&std::fs::read(account).unwrap()).unwrap();
    let answer = browser.sign_in(kubeconfig["users"][0]["user"]["token"].as_str().unwrap()).await;
    assert!(answer.status == 403 && answer.says("belongs to Kubernetes"), "{}", answer.text);

    let answer = browser.sign_in(&token(&it.stage.access, "alice")).await;
    let cookie =
        answer.cookies.iter().find(|cookie| cookie.starts_with("__Host-bowline=")).expect("a session");
    assert!(
        ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"].iter().all(|part| cookie.contains(part)),
        "{cookie}"
    );
    let page = browser.get("/connections").await;
    assert_ne!(page.token(), alice.get("/connections").await.token(), "two sign-ins, two sessions");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(browser.submit(&page, "/sign-out", &[]).await.location, "/sign-in");
    assert_eq!(browser.get("/connections").await.location, "/sign-in");
}
