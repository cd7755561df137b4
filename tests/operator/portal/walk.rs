//! What a person does in the portal, from signing in to disconnecting.

use bowline_testbed::sandbox::Rotation;
use serde_json::json;
use url::Url;

use super::browser::{Browser, Page};
use super::house::{Portal, admit, waiting};
use crate::carrier::{Callback, denied, visit};
use crate::looking::until;
use crate::scene::{Scene, scene};
use crate::stage::Stage;

/// Goes from the page before the redirect to the provider and back, as this account; returns the last response.
pub async fn consent(it: &Scene, browser: &Browser, page: &str, account: &str) -> Page {
    let address = leave(browser, page).await;
    back(it, browser, &address, account).await
}

/// Begins an attempt from the page before the redirect. Other scenes connect as the same user, who may have five open at
/// once.
pub(super) async fn start(browser: &Browser, review: &Page, page: &str) -> Page {
    until("room for another attempt", async || {
        let begun = browser.submit(review, &format!("{page}/start"), &[]).await;
        if begun.status == 429 { Err("too many at once") } else { Ok(begun) }
    })
    .await
}

/// Begins an attempt and returns the provider's address.
pub async fn leave(browser: &Browser, page: &str) -> Url {
    let review = browser.get(&format!("{page}/connect")).await;
    assert_eq!(review.status, 200, "{}", review.text);
    let begun = start(browser, &review, page).await;
    assert!(begun.location.starts_with("/leave/attempt-"), "{} {}", begun.status, begun.text);
    let onward = browser.get(&begun.location).await;
    assert!(onward.says(&format!("url={}/go", begun.location)), "{}", onward.text);
    let gone = browser.get(&format!("{}/go", begun.location)).await;
    assert_eq!(gone.status, 303, "{}", gone.text);
    let again = browser.get(&format!("{}/go", begun.location)).await;
    assert_eq!(again.location, page, "the address is taken once");
    Url::parse(&gone.location).expect("the provider's address")
}

/// The provider redirects the browser to the callback; returns the callback's response.
pub async fn back(it: &Scene, browser: &Browser, address: &Url, account: &str) -> Page {
    browser.get(&callback(it, address, account).await).await
}

/// Where the provider redirects the browser: path and query of the callback.
pub(super) async fn callback(it: &Scene, address: &Url, account: &str) -> String {
    query(it, visit(address, &[("auto_consent", account)]).await)
}

fn query(it: &Scene, callback: Callback) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(callback).finish();
    format!("/callback/{}?{query}", it.name)
}

async fn ready(name: &str) -> (Scene, Portal, Browser) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse).apply().await;
    admit(&it, "carol").await;
    let portal = Portal::start(&it, &[]).await;
    let carol = portal.browser_of(&it, "carol").await;
    (it, portal, carol)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_person_connects_edits_refreshes_and_disconnects_r5_r6_r8_r16_r25() {
    let (it, portal, carol) = ready("walk").await;
    let page = format!("/connections/{}/work-mail", it.namespace);
    let choose = carol.get(&format!("/new?q={}", it.name)).await;
    assert!(choose.says(&format!("/new/{}", it.name)), "{}", choose.text);

    let form = carol.get(&format!("/new/{}", it.name)).await;
    assert!(form.says(&it.namespace), "the namespace in which alice may make connections is offered");
    let fields = [("title", "Work mail"), ("namespace", it.namespace.as_str())];
    let made = carol.submit(&form, &format!("/new/{}", it.name), &fields).await;
    assert_eq!((made.status, made.location.as_str()), (303, page.as_str()), "{}", made.text);
    let object = it.get("work-mail").await;
    assert_eq!(object.spec.owner, "carol");
    it.until_reason("work-mail", "Authorized", "AwaitingAuthorization").await;

    let done = consent(&it, &carol, &page, "alice").await;
    assert_eq!((done.status, done.location.as_str()), (303, page.as_str()), "{}", done.text);
    it.until_phase("work-mail", "Active").await;
    let seen = carol.get(&page).await;
    assert!(seen.says("Connected") && seen.says("Work mail") && seen.says("is connected."), "{}", seen.text);

    let fields = [("title", "<b>Mail</b>"), ("description", "For reports")];
    assert_eq!(carol.submit(&seen, &format!("{page}/edit"), &fields).await.status, 303);
    let seen = carol.get(&page).await;
    assert!(seen.says("&#60;b&#62;Mail") && !seen.says("<b>Mail"), "what people type is text");
    assert_eq!(carol.submit(&seen, &format!("{page}/refresh"), &[]).await.status, 303);
    it.until_status("work-mail", "a handled refresh", |status| status.last_handled_refresh.is_some()).await;

    let sure = carol.get(&format!("{page}/disconnect")).await;
    assert!(sure.says("What stops") && sure.says("work-mail"), "{}", sure.text);
    assert_eq!(carol.submit(&sure, &format!("{page}/disconnect"), &[]).await.status, 303);
    it.until_phase("work-mail", "Disconnected").await;
    let log = portal.logs();
    for secret in ["code=", "state=", "?", "Bearer"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_shares_with_the_workspace_and_takes_it_back_r18_r19() {
    let (it, portal, _) = ready("promote").await;
    let alice = portal.browser_of(&it, "alice").await;
    let other = it.another_namespace("other").await;
    it.workspace(&["alice"], &[&other]).apply().await;
    it.connection("mail").apply().await;
    it.authorized("mail").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let seen = alice.get(&page).await;
    let shared = alice.submit(&seen, &format!("{page}/share"), &[("workspace", &it.name)]).await;
    assert_eq!(shared.status, 303, "{}", shared.text);
    let secret = format!("{}.mail", it.namespace);
    it.until_secret_in(&other, &secret, "a token", |keys| keys.contains_key("access_token")).await;

    let sure = alice.get(&format!("{page}/disconnect")).await;
    let others = format!(
        "<code>{secret}</code> in namespace <strong>{other}</strong>, shared with workspace {}",
        it.name
    );
    assert!(sure.says(&others), "it names who loses the token: {}", sure.text);
    let command = format!("kubectl bowline impact mail -n {}", it.namespace);
    assert!(
        sure.says(&format!("data-copy=\"{command}\"")),
        "and the command that lists the pods: {}",
        sure.text
    );
    let refused = alice.submit(&sure, &format!("{page}/disconnect"), &[]).await;
    assert!(
        refused.says("not its name") && it.get("mail").await.spec.disconnect.is_none(),
        "{}",
        refused.text
    );

    let usable = alice.get(&format!("/use?namespace={other}")).await;
    assert!(usable.says(&secret) && usable.says("secretRef"), "{}", usable.text);
    assert_eq!(alice.submit(&sure, &format!("{page}/unshare"), &[]).await.status, 303);
    it.until_no_secret(&other, &secret).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_is_begun_at_one_portal_is_finished_at_another() {
    let (it, _portal, carol) = ready("robin").await;
    waiting(&it, "carol", "mail").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let address = leave(&carol, &page).await;
    let second = Portal::start(&it, &[]).await;
    let done = back(&it, &carol.also_at(&second.address), &address, "alice").await;
    assert_eq!((done.status, done.location.as_str()), (303, page.as_str()), "{}", done.text);
    it.until_phase("mail", "Active").await;
}

/// A provider's text as a page shows it.
const HOSTILE: &str = "<script>alert(1)</script> \u{201d} Call \u{202e}us";
const SHOWN: &str = "&#60;script&#62;alert(1)&#60;/script&#62;";

/// Goes to the provider and comes back with this error, in hostile words.
async fn failed(it: &Scene, browser: &Browser, page: &str, error: &str) {
    let mut answer = denied(&leave(browser, page).await).await;
    answer.insert("error".to_owned(), error.to_owned());
    answer.insert("error_description".to_owned(), HOSTILE.to_owned());
    let done = browser.get(&query(it, answer)).await;
    assert_eq!(done.location, page, "{}", done.text);
}

/// The operator is stopped meanwhile, so that the page can be read before the attempt is judged.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_says_no_at_the_provider_reads_its_words_in_a_frame_of_their_own() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("no").await;
    it.provider(Rotation::SingleUse).spec(json!({"displayName": "Their <b>Mail</b>"})).apply().await;
    admit(&it, "carol").await;
    waiting(&it, "carol", "mail").await;
    let portal = Portal::start(&it, &[]).await;
    let carol = portal.browser_of(&it, "carol").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let address = leave(&carol, &page).await;
    stage.kill_operator();
    let mut answer = denied(&address).await;
    answer.insert("error_description".to_owned(), HOSTILE.to_owned());
    assert_eq!(carol.get(&query(&it, answer)).await.location, page);
    let seen = carol.get(&page).await;
    let frame = format!(
        "<blockquote><span class=\"soft\">Their &#60;b&#62;Mail&#60;/b&#62; says:</span> {SHOWN} \u{201d} Call \u{fffd}us</blockquote>"
    );
    assert!(seen.says(&frame) && seen.says("without access"), "{}", seen.text);
    stage.start_operator().await;
    it.until_reason("mail", "Authorized", "AuthorizationFailed").await;
    let seen = carol.get(&page).await;
    assert!(!seen.says("alert(1)"), "an outcome in our words: {}", seen.text);
    let told = seen.text.split("<main").nth(1).unwrap();
    let told = told.split("id=\"history\"").next().unwrap();
    assert_eq!(told.matches("Access was not allowed at the provider").count(), 1, "it is shown once: {told}");

    failed(&it, &carol, &page, "interaction_required").await;
    let seen = until("the provider's words", async || {
        let seen = carol.get(&page).await;
        if seen.says("words:") { Ok(seen) } else { Err(seen.text) }
    })
    .await;
    let quoted = format!("in the provider&#39;s words: \u{201c}{SHOWN} &#34; Call \u{fffd}us\u{201d}");
    assert!(seen.says(&quoted), "{}", seen.text);
    assert!(!seen.says("<script>alert") && !seen.says("<b>"), "{}", seen.text);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_pause_is_taken_back_by_its_owner() {
    let (it, portal, _) = ready("pause").await;
    let (alice, bob) = (portal.browser_of(&it, "alice").await, portal.browser_of(&it, "bob").await);
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let page = format!("/connections/{}/mail", it.namespace);
    assert!(alice.get(&page).await.says("Waiting for you to allow access."));
    it.change("mail", json!({"spec": {"suspend": true}})).await;
    it.until_phase("mail", "Suspended").await;
    let seen = alice.get(&page).await;
    assert!(seen.says("Nothing is sent to") && seen.says("id=\"resume\""), "{}", seen.text);
    assert!(!bob.get(&page).await.says("id=\"resume\""));
    assert_eq!(alice.submit(&seen, &format!("{page}/resume"), &[]).await.status, 303);
    it.until_phase("mail", "Pending").await;
}

/// Entra's administrator comes back without a state, and perhaps without an account in the portal.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_administrator_who_approved_reads_what_that_means_and_nobody_is_connected_r7() {
    let (it, portal, carol) = ready("approved").await;
    waiting(&it, "carol", "mail").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let address = leave(&carol, &page).await;
    let mut refused = denied(&address).await;
    refused.insert("error".to_owned(), "consent_required".to_owned());
    assert_eq!(carol.get(&query(&it, refused)).await.location, page);
    it.until_reason("mail", "Authorized", "AdminConsentRequired").await;

    let back = format!("/callback/{}?admin_consent=True&tenant=9f2c-evil&scope=Mail.Send", it.name);
    let nobody = portal.browser().get(&back).await;
    assert_eq!(nobody.status, 200, "{}", nobody.text);
    assert!(nobody.says("Nobody was connected") && !nobody.says("9f2c") && !nobody.says("Mail.Send"));
    assert!(!nobody.says(&page) && !nobody.says("Sandbox"), "{}", nobody.text);
    let seen = until("the connection that waits", async || {
        let seen = carol.get(&back).await;
        if seen.says(&page) { Ok(seen) } else { Err(seen.text) }
    })
    .await;
    assert!(seen.says("Signed in as carol") && seen.says("at Sandbox"), "{}", seen.text);
    let bob = portal.browser_of(&it, "bob").await.get(&back).await;
    assert!(bob.status == 200 && !bob.says(&page), "he may not continue with another user's connection");

    let no = format!("/callback/{}?error=access_denied&error_description=%3Cscript%3E", it.name);
    let no = carol.get(&no).await;
    assert!(no.says("something was refused") && !no.says("script%3E") && !no.says("<script>"), "{}", no.text);
    for query in ["admin_consent=True&admin_consent=True", "admin_consent=True&code=x", "error=a&next=b"] {
        assert_eq!(carol.get(&format!("/callback/{}?{query}", it.name)).await.status, 400, "{query}");
    }
    assert!(it.secret_now(&it.namespace, "mail").await.is_none());
    assert!(!portal.logs().contains("9f2c"));
}
