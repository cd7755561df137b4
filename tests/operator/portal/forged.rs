//! Forms from elsewhere: no change without a form of the user's own session, sent from a page of ours.

use std::path::Path;

use bowline_runtime::attempts::Attempts;
use bowline_testbed::sandbox::Rotation;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::browser::{Browser, Page};
use super::house::{Portal, admit, token, waiting};
use super::routes::ROUTES;
use crate::carrier::ATTEMPTS;
use crate::scene::{Scene, scene};

const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

/// What browsers say about a form on another site's page, and what they leave out.
const FROM_ELSEWHERE: &[&[(&str, &str)]] = &[
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "none")],
    &[("sec-fetch-site", "cross-site"), ("origin", "https://portal.example")],
    &[("origin", "https://evil.example.com")],
    &[("origin", "https://portal.example.evil.com")],
    &[("origin", "null")],
    &[OURS, ("origin", "https://evil.example.com")],
    &[],
];

/// Paths that change something for a person, except those for signing in.
fn changes(it: &Scene) -> Vec<String> {
    let is_form = |path: &str| !path.starts_with("/sign-in") && !path.starts_with("/webhooks");
    let changes = ROUTES.iter().filter(|route| route.method != "GET" && is_form(route.path));
    let parts = [("{namespace}", it.namespace.as_str()), ("{name}", "mail"), ("{provider}", &it.name)];
    changes
        .map(|route| parts.iter().fold(route.path.to_owned(), |path, (part, with)| path.replace(part, with)))
        .collect()
}

async fn send(browser: &Browser, it: &Scene, path: &str, form: &[&str], headers: &[(&str, &str)]) -> Page {
    let fields = [("title", "Forged"), ("workspace", "w"), ("account", "x"), ("namespace", &it.namespace)];
    let fields: Vec<_> = form.iter().map(|form| ("form", *form)).chain(fields).collect();
    let request = browser.form(path, &fields);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    browser.send(request).await
}

/// What carol's forms could have changed.
async fn state(it: &Scene) -> Value {
    let all = it.connections().list(&ListParams::default()).await.expect("connections");
    let all: Vec<_> =
        all.iter().map(|it| json!([it.spec, it.annotations(), it.metadata.deletion_timestamp])).collect();
    let tries = Attempts::new(it.admin.clone(), ATTEMPTS).of_user("carol").await.expect("tries");
    let tries = tries.iter().filter(|kept| kept.attempt.connection.namespace == it.namespace).count();
    json!([all, tries])
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_form_from_elsewhere_changes_nothing() {
    let it = scene("forged").await;
    it.provider(Rotation::SingleUse).apply().await;
    admit(&it, "carol").await;
    waiting(&it, "carol", "mail").await;
    let portal = Portal::start(&it, &[]).await;
    let carol = portal.browser_of(&it, "carol").await;
    let right = carol.get("/connections").await.token();
    let bobs = portal.browser_of(&it, "bob").await.get("/connections").await.token();
    let another = portal.browser_of(&it, "carol").await.get("/connections").await.token();
    let entry = portal.browser().get("/sign-in").await.token();
    assert!([&right, &bobs, &another, &entry].iter().all(|token| token.len() > 40));
    let changes = changes(&it);
    assert!(changes.len() >= 12, "{changes:?}");
    let before = state(&it).await;
    // A user's requests are limited, in each process by itself.
    let mut others = Vec::new();
    for (index, path) in changes.iter().enumerate() {
        if index % 8 == 7 {
            others.push(Portal::start(&it, &[]).await);
        }
        let carol = carol.also_at(&others.last().unwrap_or(&portal).address);
        for headers in FROM_ELSEWHERE {
            let answer = send(&carol, &it, path, &[&right], headers).await;
            assert!(
                answer.status == 403 && answer.says("out of date"),
                "{path} {headers:?}: {}",
                answer.text
            );
        }
        let upper = right.to_uppercase();
        for form in
            ["", "guess", &upper, &bobs, &another, &entry].map(|form| vec![form]).iter().chain([&vec![]])
        {
            let answer = send(&carol, &it, path, form, &[OURS]).await;
            assert!(answer.status == 403 && answer.says("out of date"), "{path} {form:?}: {}", answer.text);
            assert!(answer.cookies.is_empty(), "{path} {form:?}: {:?}", answer.cookies);
        }
        assert_eq!(send(&carol, &it, path, &[&right, &right], &[OURS]).await.status, 400, "{path}");
        let in_query = format!("{path}?form={right}");
        assert_eq!(send(&carol, &it, &in_query, &[], &[OURS]).await.status, 403, "{path}: in the address");
    }
    assert_eq!(state(&it).await, before);
    // The same forms, with the right token from the right page, are accepted; what she may not do is refused for that reason.
    for path in &changes {
        let again = carol.also_at(&portal.address);
        let answer = send(&again, &it, path, &[&right], &[OURS]).await;
        let is_hers = !path.ends_with("/transfer");
        assert!(answer.status != 401 && !answer.says("out of date"), "{path}: {}", answer.text);
        assert_eq!(answer.status == 403, !is_hers, "{path}: {} {}", answer.status, answer.text);
    }
    assert_ne!(state(&it).await, before);
}

/// Login CSRF: a victim who is signed in as the attacker connects accounts for the attacker.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_is_signed_in_by_a_form_from_elsewhere() {
    let it = scene("login").await;
    it.provider(Rotation::SingleUse).apply().await;
    let issuer = it.realm.issuer();
    let openid = super::openid(&issuer, "portal");
    let portal = Portal::start(&it, &openid).await;
    let mallory = token(&it.stage.access, "mallory");
    let carol = portal.browser_of(&it, "carol").await.get("/connections").await.token();
    let attackers = portal.browser().get("/sign-in").await.token();
    let paths: Vec<_> =
        ROUTES.iter().filter(|route| route.method == "POST" && route.path.starts_with("/sign-in")).collect();
    assert_eq!(paths.len(), 2);
    // Each from another machine: sign-in attempts are counted per address.
    for (route, host) in paths.iter().zip(["127.0.0.2", "127.0.0.3"]) {
        let victim = portal.browser_on(host);
        let right = victim.get("/sign-in").await.token();
        let sent = async |form: &str, headers: &[(&str, &str)]| {
            let request = victim.form(route.path, &[("form", form), ("token", &mallory)]);
            let request =
                headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            victim.send(request).await
        };
        let elsewhere = FROM_ELSEWHERE.iter().map(|headers| (right.as_str(), *headers));
        let foreign = ["", "guess", &carol, &attackers].map(|form| (form, &[OURS][..]));
        for (form, headers) in elsewhere.chain(foreign) {
            let answer = sent(form, headers).await;
            assert!(
                answer.status == 403 && answer.says("out of date"),
                "{form} {headers:?}: {}",
                answer.text
            );
            assert!(answer.cookies.is_empty(), "{} {form} {headers:?}: {:?}", route.path, answer.cookies);
        }
        // One of our forms, in a browser that never requested one.
        let fresh = portal.browser_on(host);
        assert_eq!(fresh.post(route.path, &[("form", &right), ("token", &mallory)]).await.status, 403);
        let heard = sent(&right, &[OURS]).await;
        assert!([200, 303].contains(&heard.status) && !heard.cookies.is_empty(), "{}", heard.text);
    }
}

/// The forms of a template: their opening tag and their content.
fn forms(template: &str) -> Vec<(&str, &str)> {
    let forms = template.split("<form").skip(1);
    forms
        .map(|rest| rest.split_once('>').expect("a tag"))
        .map(|(tag, rest)| (tag, rest.split("</form>").next().unwrap()))
        .collect()
}

#[test]
fn every_form_that_changes_carries_the_token_and_goes_to_us() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/bowline-portal/templates");
    let mut posts = 0;
    for entry in std::fs::read_dir(folder).expect("templates") {
        let path = entry.expect("a template").path();
        let text = std::fs::read_to_string(&path).expect("a template");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            !text.contains("formaction") && !text.contains("formmethod"),
            "{name}: a button that goes elsewhere"
        );
        for (tag, form) in forms(&text) {
            let post = tag.contains("method=\"post\"");
            assert!(post || tag.contains("method=\"get\""), "{name}: a form without a method: {tag}");
            let hidden = form.matches("<input type=\"hidden\" name=\"form\" value=\"{{ ").count();
            let of_ours = form.contains("value=\"{{ frame.form }}\"")
                || (name == "sign-in.html" && form.contains("value=\"{{ form }}\""));
            assert_eq!((hidden, of_ours), if post { (1, true) } else { (0, false) }, "{name}: {tag}");
            let action = tag.split("action=\"").nth(1);
            let ours = action.is_none_or(|to| {
                to.starts_with("{{ page }}/") || (to.starts_with('/') && !to.starts_with("//"))
            });
            assert!(ours, "{name}: {tag}");
            posts += usize::from(post);
        }
    }
    assert!(posts >= 12, "only {posts} forms were found");
}
