//! Behind proxies: one that names the user, and some that name the client.

use std::path::PathBuf;

use bowline_portal::testing::SECRET_HEADER;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::rbac::v1::RoleBinding;
use serde_json::json;

use super::browser::{Browser, Page};
use super::house::{Portal, token};
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};

const SECRET: &str = "a secret of the proxy's and ours";
const USER: &str = "x-forwarded-user";
const GROUPS: &str = "x-forwarded-groups";
const PROVED: (&str, &str) = (SECRET_HEADER, SECRET);

/// A portal that trusts a proxy, and a connection of alice's.
async fn behind_a_proxy(name: &str) -> (Scene, Portal, String) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let secret = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-proxy", it.name));
    std::fs::write(&secret, SECRET).unwrap();
    let portal = Portal::start(&it, &["--proxy-secret-file", secret.to_str().unwrap()]).await;
    let page = format!("/connections/{}/mail", it.namespace);
    (it, portal, page)
}

async fn get(browser: &Browser, path: &str, headers: &[(&str, &str)]) -> Page {
    let request = browser.request(reqwest::Method::GET, path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    browser.send(request).await
}

async fn post(browser: &Browser, path: &str, form: &str, headers: &[(&str, &str)]) -> Page {
    let request = browser.form(path, &[("form", form)]).header("sec-fetch-site", "same-origin");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    browser.send(request).await
}

fn has_session(page: &Page) -> bool {
    page.cookies.iter().any(|cookie| cookie.starts_with("__Host-bowline="))
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_user_is_named_by_the_proxy_that_proves_itself_or_not_at_all() {
    let (_it, portal, page) = behind_a_proxy("named").await;
    let alice = (USER, "alice");
    let forged: &[&[(&str, &str)]] = &[
        &[],
        &[alice],
        &[PROVED],
        &[alice, (SECRET_HEADER, "guess")],
        &[alice, (SECRET_HEADER, "")],
        &[alice, (SECRET_HEADER, &SECRET[1..])],
        &[alice, ("x-bowline-proxy-secret-file", SECRET)],
        &[alice, PROVED, PROVED],
        &[alice, PROVED, (SECRET_HEADER, "guess")],
        &[alice, (USER, "bob"), PROVED],
        &[alice, alice, PROVED],
        &[(USER, ""), PROVED],
        &[(USER, "  "), PROVED],
        &[("x-remote-user", "alice"), PROVED],
        &[(USER, "system:admin"), PROVED],
        &[(USER, "system:serviceaccount:bowline-system:bowline"), PROVED],
    ];
    for headers in forged {
        let browser = portal.browser();
        assert_eq!(get(&browser, &page, headers).await.location, "/sign-in", "{headers:?}");
        let answer = get(&browser, "/sign-in", headers).await;
        assert!(answer.status == 403 && !has_session(&answer), "{headers:?}: {answer:?}");
        assert_eq!(get(&browser, &page, headers).await.status, 303, "{headers:?}");
    }
    let browser = portal.browser();
    assert_eq!(get(&browser, &page, &[alice, PROVED]).await.location, "/sign-in");
    let answer = get(&browser, "/sign-in", &[alice, PROVED]).await;
    assert_eq!((answer.status, answer.location.as_str()), (303, page.as_str()), "{}", answer.text);
    assert!(get(&browser, &page, &[alice, PROVED]).await.says("Signed in as alice"));
    assert!(!portal.logs().contains(SECRET));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_session_counts_while_the_proxy_names_the_same_user() {
    let (it, portal, page) = behind_a_proxy("agrees").await;
    let (alice, bob) = ((USER, "alice"), (USER, "bob"));
    let by_proxy = portal.browser();
    assert!(has_session(&get(&by_proxy, "/sign-in", &[alice, PROVED]).await));
    // A session from a token, obtained without the proxy, cannot bypass it.
    let by_token = portal.browser();
    let cookies = {
        let elsewhere = Portal::start(&it, &[]).await;
        let signed_in = elsewhere.browser();
        signed_in.sign_in(&token(&it.stage.access, "alice")).await;
        signed_in.cookies()
    };
    by_token.keep(bowline_portal::testing::SESSION_COOKIE, &cookies[0]);
    let to = get(&by_token, &page, &[alice, PROVED]).await.location;
    assert_eq!(to, "/sign-in", "its groups are not those that the proxy names");
    {
        let browser = &by_proxy;
        let seen = get(browser, &page, &[alice, PROVED]).await;
        assert!(seen.says("Signed in as alice"), "{}", seen.text);
        let form = seen.token();
        let others: &[&[(&str, &str)]] = &[
            &[],
            &[alice],
            &[bob, PROVED],
            &[alice, (SECRET_HEADER, "guess")],
            &[alice, bob, PROVED],
            &[(USER, "ALICE"), PROVED],
        ];
        for headers in others {
            assert_eq!(get(browser, &page, headers).await.location, "/sign-in", "{headers:?}");
            for change in ["refresh", "disconnect"] {
                let answer = post(browser, &format!("{page}/{change}"), &form, headers).await;
                assert_eq!(answer.status, 401, "{headers:?}: {}", answer.text);
            }
        }
        // The proxy names another user now: bob signs in, with a session of his own.
        let other = browser.also_at(&portal.address);
        assert!(has_session(&get(&other, "/sign-in", &[bob, PROVED]).await));
        assert!(get(&other, &page, &[bob, PROVED]).await.says("Signed in as bob"));
        assert_eq!(get(&other, &page, &[alice, PROVED]).await.location, "/sign-in");
    }
    let object = it.get("mail").await;
    assert!(
        object.spec.disconnect.is_none()
            && object
                .metadata
                .annotations
                .is_none_or(|all| { !all.contains_key(bowline_api::names::ANNOTATION_REFRESH_REQUESTED) })
    );
    let form = get(&by_proxy, &page, &[alice, PROVED]).await.token();
    let heard = post(&by_proxy, &format!("{page}/refresh"), &form, &[alice, PROVED]).await;
    assert_eq!(heard.status, 303, "{}", heard.text);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_proxy_names_groups_and_none_of_kubernetes_itself() {
    let (it, portal, page) = behind_a_proxy("groups").await;
    let binding: RoleBinding = parsed(json!({
        "metadata": {"name": "view-team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": it.name}],
    }));
    it.create(&it.namespace, &binding).await;
    let sees = async |groups: &str| {
        let (browser, mallory) = (portal.browser(), [(USER, "mallory"), (GROUPS, groups), PROVED]);
        assert!(has_session(&get(&browser, "/sign-in", &mallory).await), "{groups}");
        get(&browser, &page, &mallory).await.status
    };
    until("the group's rights", async || {
        let status = sees(&format!("staff, {}", it.name)).await;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    for groups in ["", "staff", "system:masters", "staff,system:masters", " system:masters", "system:nodes"] {
        assert_eq!(sees(groups).await, 404, "{groups:?}");
    }
}

/// Signs in with an invalid token several times, as a proxy passes it on; returns the statuses.
async fn tries(browser: &Browser, forwarded: impl Fn(u8) -> String) -> Vec<u16> {
    let form = get(browser, "/sign-in", &[("x-forwarded-for", &forwarded(0))]).await.token();
    let mut seen = Vec::new();
    for number in 0..30 {
        let headers = [("x-forwarded-for", forwarded(number))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        seen.push(post(browser, "/sign-in/token", &form, &headers).await.status);
    }
    seen
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_client_behind_a_trusted_proxy_has_a_pace_of_its_own_and_only_that() {
    let it = scene("clients").await;
    let portal = Portal::start(&it, &["--trusted-proxies", "127.0.0.1,10.0.0.0/8"]).await;
    let proxy = portal.browser_on("127.0.0.1");
    // Addresses that a client adds to the left of its own do not help it, nor does a second proxy of ours.
    let seen = tries(&proxy, |number| format!("198.51.100.{number}, 203.0.113.9, 10.0.0.{number}")).await;
    assert!(seen.starts_with(&[403; 20]) && seen.contains(&429), "{seen:?}");
    let spoofed = tries(&proxy, |number| format!("203.0.113.{}, 203.0.113.9", 100 + number)).await;
    assert!(spoofed.iter().filter(|status| **status != 429).count() <= 10, "{spoofed:?}");
    // Another client of the same proxy is not affected.
    let other = tries(&proxy, |_| "203.0.113.10".to_owned()).await;
    assert!(other.starts_with(&[403; 20]), "{other:?}");

    // A sender that is not our proxy: the header is ignored, so it can neither escape its limit nor use up another's.
    let direct = portal.browser_on("127.0.0.2");
    let seen = tries(&direct, |number| format!("203.0.113.{}", 20 + number)).await;
    assert!(seen.starts_with(&[403; 20]) && seen.contains(&429), "{seen:?}");
    let named = tries(&proxy, |_| "203.0.113.21".to_owned()).await;
    assert!(named.starts_with(&[403; 20]), "the client that a stranger named is not slowed down: {named:?}");
}
