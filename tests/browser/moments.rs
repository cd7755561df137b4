//! Pages that are shown only briefly: on the way to a provider and back, and after something failed. To hold such a page, a
//! test stops the operator before its next step.

use bowline_api::attempt::attempt_name;
use bowline_api::attempt::{Attempt, Step};
use bowline_runtime::attempts::Attempts;
use bowline_testbed::sandbox::{Action, Fault, GrantType, Pushed, Rotation};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::PORTAL;
use crate::chromium::pictures;
use crate::drafts::loopback;
use crate::looking::until;
use crate::person::Person;
use crate::portal;
use crate::scene::{Scene, parsed};
use crate::stage::Stage;
use crate::viewer::Viewer;

/// A provider whose administrators approve apps.
const ENTRA: &str = "entra";

/// Where attempts live.
const ATTEMPTS: &str = "bowline-attempts";

/// A separate stage, because the operator is stopped and started here.
async fn begun() -> Scene {
    let it = Stage::fresh(&[]).await.scene_named("passing").await;
    it.provider(Rotation::SingleUse)
        .habit(|realm| {
            // So that the address of the sandbox's page contains the state.
            realm.pushed = Pushed::Absent;
            realm.clients[0].redirect_uris.push(format!("{PORTAL}/callback/{ENTRA}"));
            realm.scopes.extend(["profile", "offline_access", "User.Read"].map(str::to_owned));
        })
        .spec(json!({"displayName": "Signage", "allow": {"deviceFlow": true}}))
        .apply()
        .await;
    let client = it.realm.config().clients[0].clone();
    let keys = [
        ("providers", format!("{},{ENTRA}", it.name)),
        ("client_id", client.id),
        ("client_secret", client.secret.unwrap_or_default()),
    ];
    it.register_app(&keys.map(|(key, value)| (key.to_owned(), value)).into()).await;
    let at = |path: &str| format!("{}/{path}", it.realm.issuer());
    // Its issuer is still Entra's, and so is the page where administrators approve.
    let ours = json!({"authorization": at("authorize"), "token": at("token"),
        "deviceAuthorization": at("device_authorization"), "userinfo": at("userinfo")});
    let entra = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider", "metadata": {"name": ENTRA},
        "spec": {"type": "microsoft", "network": loopback(), "app": {"secretName": it.name}, "endpoints": ours}});
    it.providers().create(&PostParams::default(), &parsed(entra)).await.expect("a provider");
    it
}

/// A connection of alice's, created as the portal does.
async fn waiting(it: &Scene, provider: &str, name: &str, title: &str) -> String {
    let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": name, "annotations": {"bowline.dev/made-by": "alice"}},
        "spec": {"provider": provider, "owner": "alice", "displayName": title}});
    let manager = PostParams { field_manager: Some("bowline-portal".to_owned()), ..PostParams::default() };
    it.connections().create(&manager, &parsed(object)).await.expect("a connection");
    it.until_reason(name, "Authorized", "AwaitingAuthorization").await;
    format!("/connections/{}/{name}", it.namespace)
}

/// Goes to the provider from a connection's page; returns the state that comes back.
async fn leaves(alice: &Person, page: &str) -> String {
    alice.opens(&format!("{page}/connect")).await;
    alice.presses("Continue to").await;
    alice.reads("h1", "Sandbox provider").await;
    let address = alice.browser.driver().current_url().await.expect("an address");
    address.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned()
}

/// What happens with a sign-in, a form or an address that cannot be used.
async fn failures(viewer: &mut Viewer<'_>, it: &Scene) {
    let alice = viewer.person;
    alice.opens("/sign-in").await;
    alice.types("#token", "not-a-token").await;
    alice.clicks("#with-token").await;
    alice.reads("h1", "Signing in did not work").await;
    viewer.looks("sign-in-failed").await;

    alice.signs_in(it, "alice").await;
    let spoil = "document.querySelector('#sign-out input').value = 'old'";
    alice.browser.driver().execute(spoil, vec![]).await.expect("a script");
    alice.clicks("#sign-out button").await;
    alice.reads("h1", "This form is out of date").await;
    viewer.looks("stale-form").await;
    viewer.looks_at("forbidden", "/providers", "You are not allowed to do this").await;
    let nobodys = format!("/callback/{}?state={}&code=x", it.name, "s".repeat(43));
    viewer.looks_at("attempt-over", &nobodys, "This attempt to connect is over").await;
    viewer.looks_at("no-answer", "/callback/x?code=x", "This request cannot be used").await;
}

/// On the way to the provider: while the operator prepares the address, and the page that redirects.
async fn on_the_way(viewer: &mut Viewer<'_>, it: &Scene) {
    let alice = viewer.person;
    let page = waiting(it, &it.name, "sign", "Shop sign").await;
    alice.opens(&format!("{page}/connect")).await;
    viewer.looks("review-first").await;
    it.stage.kill_operator();
    alice.presses("Continue to Signage").await;
    alice.reads("h1", "Preparing your way to Signage").await;
    viewer.looks("preparing").await;
    it.stage.start_operator().await;
    alice.reads("h1", "Sandbox provider").await;

    alice.opens(&format!("{page}/connect")).await;
    // The page redirects at once; without that it is the same page, and can be checked.
    let hold = "const done = arguments[0];
        const form = document.getElementById('start');
        fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)) })
            .then((answer) => answer.text())
            .then((text) => {
                const page = new DOMParser().parseFromString(text, 'text/html');
                const onward = page.querySelector('head > meta[http-equiv=refresh]');
                const content = onward.content;
                onward.remove();
                const style = page.querySelector('link[rel=stylesheet]');
                style.onload = () => done(content);
                document.replaceChild(document.adoptNode(page.documentElement), document.documentElement);
            })
            .catch((error) => done(String(error)));";
    let content = alice.browser.driver().execute_async(hold, vec![]).await.expect("the page that redirects");
    let content = content.json().as_str().unwrap_or_default().to_owned();
    assert!(content.starts_with("0; url=/leave/attempt-"), "{content}");
    alice.reads("h1", "Taking you to Signage").await;
    viewer.looks("onward").await;
}

/// On the way back: denied, not allowed by an administrator, too late, and while the answer is checked.
async fn on_the_way_back(viewer: &mut Viewer<'_>, it: &Scene) {
    let alice = viewer.person;
    let page = waiting(it, &it.name, "board", "Menu board").await;
    leaves(alice, &page).await;
    alice.clicks("button[name=deny]").await;
    alice.is_at(&page).await;
    it.until_reason("board", "Authorized", "AuthorizationFailed").await;
    alice.reads("#status", "Not connected").await;
    viewer.looks("denied").await;

    let page = waiting(it, ENTRA, "office", "Office mail").await;
    let state = leaves(alice, &page).await;
    let consent = format!(
        "/callback/{ENTRA}?state={state}&error=interaction_required&error_description=AADSTS65001%3a+Ask"
    );
    alice.opens(&consent).await;
    alice.is_at(&page).await;
    alice.reads("#admin-consent", "An administrator must approve first").await;
    viewer.looks("admin-consent").await;
    let approved = format!("/callback/{ENTRA}?admin_consent=True&tenant=x");
    viewer.looks_at("approved", &approved, "Back from an approval").await;
    alice.reads("#waiting", "Office mail").await;
    let refused = format!("/callback/{ENTRA}?admin_consent=True&error=consent_required");
    viewer.looks_at("not-approved", &refused, "Back without an approval").await;

    let page = waiting(it, &it.name, "clock", "Wall clock").await;
    let state = leaves(alice, &page).await;
    runs_out(it, &state).await;
    alice.opens(&page).await;
    alice.reads("#progress", "ran out of time").await;
    viewer.looks("too-late").await;

    leaves(alice, &page).await;
    it.stage.kill_operator();
    alice.clicks("button[name=account][value=alice]").await;
    alice.is_at(&page).await;
    alice.reads("#status", "being checked").await;
    viewer.looks("checking").await;
    it.stage.start_operator().await;
    alice.reads("#status", "Connected").await;
    viewer.looks("connected").await;
}

/// Makes an attempt expire.
async fn runs_out(it: &Scene, state: &str) {
    let attempts = Attempts::new(it.admin.clone(), ATTEMPTS);
    until("a free step", async || {
        let kept = attempts.get(&attempt_name(state)).await.map_err(|error| error.to_string())?;
        let kept = kept.ok_or("no attempt")?;
        let sent = matches!(kept.attempt.step, Step::Sent { .. });
        let expires_at = Timestamp::now() - SignedDuration::from_secs(1);
        let late = Attempt { expires_at, ..kept.attempt.clone() };
        if !sent {
            return Err("not at the provider".to_owned());
        }
        attempts.replace(kept, &late).await.map_err(|error| error.to_string())
    })
    .await;
}

/// States in which somebody has something to do, or chose to stop.
async fn states(viewer: &mut Viewer<'_>, it: &Scene) {
    let alice = viewer.person;
    let page = waiting(it, &it.name, "booth", "Booth display").await;
    alice.opens(&page).await;
    alice.clicks("#device button").await;
    let shown = it
        .until_status("booth", "a code", |status| {
            status.authorization.as_ref().is_some_and(|authorization| authorization.user_code.is_some())
        })
        .await;
    let code = shown.authorization.and_then(|authorization| authorization.user_code).expect("a code");
    it.realm.decide_device(&code, Some("alice")).expect("a decision");
    alice.reads("#status", "Check the account").await;
    viewer.looks("confirm").await;
    alice.clicks("#confirm button").await;
    alice.reads("#status", "Connected").await;

    let more = waiting(it, &it.name, "more", "Too much").await;
    it.change("more", json!({"spec": {"scopes": ["openid", "read"]}})).await;
    it.until_reason("more", "Authorized", "AwaitingAuthorization").await;
    it.realm.fault(Fault {
        grant_type: Some(GrantType::AuthorizationCode),
        ..Fault::token(Action::set("scope", "openid admin read"))
    });
    leaves(alice, &more).await;
    alice.clicks("button[name=account][value=alice]").await;
    it.until_reason("more", "Authorized", "ExtraScopes").await;
    viewer.looks_at("extra-scopes", &more, "Too much").await;
    alice.reads("#extra", "Agree to these").await;
    viewer.looks_at("parameters", &format!("/new/{ENTRA}"), "Connect").await;
    alice.reads("#make", "Tenant").await;

    typed(viewer, it).await;
    it.change("clock", json!({"spec": {"suspend": true}})).await;
    it.until_phase("clock", "Suspended").await;
    viewer.looks_at("paused", &format!("/connections/{}/clock", it.namespace), "Wall clock").await;
    it.change("booth", json!({"spec": {"disconnect": true}})).await;
    it.until_phase("booth", "Disconnected").await;
    viewer.looks_at("disconnected", &page, "Booth display").await;

    it.connection("kept")
        .spec(json!({"displayName": "Kept in Git", "shared": false, "disconnect": false}))
        .apply()
        .await;
    it.until_reason("kept", "Authorized", "AwaitingAuthorization").await;
    let kept = format!("/connections/{}/kept", it.namespace);
    viewer.looks_at("kept", &kept, "Kept in Git").await;
    alice.reads("#settings", "The name is managed by files").await;
    for part in ["#sharing", "#kept"] {
        alice.reads(part, "managed by files").await;
    }
    it.providers().delete(&it.name, &DeleteParams::default()).await.expect("deleted");
    it.until_reason("kept", "Authorized", "ProviderNotFound").await;
    viewer.looks_at("no-provider", &kept, "Kept in Git").await;
}

/// The form for a key, empty and refused.
async fn typed(viewer: &mut Viewer<'_>, it: &Scene) {
    let trello = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider",
        "metadata": {"name": "trello"}, "spec": {"type": "trello"}});
    it.providers().create(&PostParams::default(), &parsed(trello)).await.expect("a provider");
    let page = waiting(it, "trello", "boards", "Boards").await;
    viewer.looks_at("credential", &format!("{page}/credential"), "Trello").await;
    viewer.person.reads("#how", "a token").await;
}

#[tokio::test]
#[ignore = "needs an API server and Chromium: make test"]
async fn pages_that_pass_by_are_open_to_everybody_as_well() {
    let it = begun().await;
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    let mut viewer = Viewer::new(&alice, pictures());
    failures(&mut viewer, &it).await;
    on_the_way(&mut viewer, &it).await;
    on_the_way_back(&mut viewer, &it).await;
    states(&mut viewer, &it).await;
    viewer.is_content();
}
