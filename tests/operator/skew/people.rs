//! Portal and plug-in of the previous release with this operator, and this plug-in with the previous operator.

use std::sync::Arc;

use bowline_testbed::sandbox::Rotation;

use super::{SOON, apply_manifests};
use crate::looking::phase_of;
use crate::plugin::{Running, bowline};
use crate::plugin_sharing::{container, pod};
use crate::portal::house::{Portal, admit, waiting};
use crate::portal::walk::{back, consent, leave};
use crate::scene::Scene;
use crate::stage::{PORTAL, Stage};

/// What people do most, with the plug-in of the stage's release.
async fn assert_plugin_works(it: &Scene) {
    for (words, expected) in [
        (&["list"][..], "chat"),
        (&["describe", "chat"], "carol"),
        (&["why", "pod/mailer"], "AwaitingAuthorization"),
    ] {
        let (code, said, errors) = bowline(it, "carol", words, "").await;
        assert!(code == 0 && said.contains(expected), "{words:?}: {said}{errors}");
    }
    let mut connect = Running::start(it, "carol", &["connect", "chat"]);
    let address = connect.line().await;
    assert_eq!(address.trim(), format!("{PORTAL}/connections/{}/chat", it.namespace));
    connect.kill().await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn portal_and_plugin_of_the_previous_release_work_with_this_operator() {
    let old = Stage::previous(&["--instance", "old"]).await;
    old.start_operator().await;
    let mut it = old.scene("people").await;
    it.provider(Rotation::SingleUse).apply().await;
    admit(&it, "carol").await;
    for name in ["mail", "chat"] {
        waiting(&it, "carol", name).await;
    }
    pod(&it, &it.namespace, container("chat")).await;
    let portal = Portal::start(&it, &[]).await;
    let carol = portal.browser_of(&it, "carol").await;
    let page = |name: &str| format!("/connections/{}/{name}", it.namespace);
    let [mail, chat] = [page("mail"), page("chat")];
    let new = old.replica(&["--instance", "new"]);
    it.stage = Arc::clone(&new);
    assert_plugin_works(&it).await;

    // She is at the provider while the operator is replaced.
    let address = leave(&carol, &mail).await;
    old.stop_operator();
    apply_manifests(&new, &old).await;
    new.start_operator().await;
    let returned = back(&it, &carol, &address, "alice").await;
    assert_eq!((returned.status, returned.location.as_str()), (303, mail.as_str()), "{}", returned.text);
    it.until_status_within(SOON, "mail", "connected", |status| phase_of(status) == "Active").await;

    it.stage = Arc::clone(&old);
    assert_plugin_works(&it).await;
    let done = consent(&it, &carol, &chat, "alice").await;
    assert_eq!((done.status, done.location.as_str()), (303, chat.as_str()), "{}", done.text);
    it.until_status_within(SOON, "chat", "connected", |status| phase_of(status) == "Active").await;
    let seen = carol.get(&chat).await;
    assert!(seen.says("Connected"), "{}", seen.text);
    assert_eq!(carol.submit(&seen, &format!("{chat}/refresh"), &[]).await.status, 303);
    it.until_status("chat", "a handled refresh", |status| status.last_handled_refresh.is_some()).await;

    // The portal follows. Whoever is signed in stays so.
    it.stage = new;
    let portal = Portal::start(&it, &[]).await;
    let carol = carol.also_at(&portal.address);
    let seen = carol.get(&chat).await;
    assert!(seen.status == 200 && seen.says("Connected"), "{}", seen.text);
    assert_eq!(carol.submit(&seen, &format!("{chat}/refresh"), &[]).await.status, 303);
    assert!(it.realm.ledger().spent_twice().is_empty());
}
