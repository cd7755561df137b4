//! The link from a terminal, with the shipped portal: the plug-in prints it and waits, a browser does the rest.

use std::sync::Arc;

use bowline_testbed::browser::{Browser, Page};
use bowline_testbed::sandbox::Rotation;
use bowline_testbed::stage::{Portal, PortalAddress};
use tokio::sync::OnceCell;
use url::Url;

use super::{assert_says, words};
use crate::plugin::Running;
use crate::scene::Scene;
use crate::stage::{Stage, binaries};

/// A cluster whose operator knows the address of the portal: the printed link can be opened.
struct House {
    stage: Arc<Stage>,
    portal: Portal,
    at: PortalAddress,
}

async fn house() -> &'static House {
    static HOUSE: OnceCell<House> = OnceCell::const_new();
    let open = async || {
        let at = PortalAddress::choose().unwrap();
        let stage = Stage::with_portal(&at.url()).await;
        Portal::install(&stage.access).await.unwrap();
        let portal = Portal::start(stage.cluster(), &at, &binaries()).await.unwrap();
        House { stage, portal, at }
    };
    HOUSE.get_or_init(open).await
}

/// A connection of alice's that awaits authorization, and her browser, in which she has signed in.
async fn waiting(name: &str) -> (Scene, Browser) {
    let house = house().await;
    let it = house.stage.scene(name).await;
    let back = house.at.callback(&it.name);
    it.provider(Rotation::SingleUse).habit(|config| config.clients[0].redirect_uris.push(back)).apply().await;
    it.connection("mail").apply().await;
    let (browser, _) = house.portal.browser_of(&it.stage.access, "alice").await.unwrap();
    (it, browser)
}

/// Starts `connect`, and opens exactly what it prints, up to the provider's consent page.
async fn at_the_provider(it: &Scene, browser: &Browser, line: &str) -> (Running, Page) {
    let mut run = Running::start(it, "alice", &words(line));
    let printed = run.line().await;
    let page = browser.open(Url::parse(printed.trim_end()).expect("nothing but a link")).await.unwrap();
    assert!(page.says("mail"), "{}", page.lacks("page of the connection"));
    let review = browser.follow(&page, "connect").await.unwrap();
    let leaving = browser.submit(&review, &review.form("/start").unwrap()).await.unwrap();
    (run, browser.go_on(&leaving).await.unwrap())
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_link_is_printed_opened_and_consented_to() {
    let (it, browser) = waiting("link-well").await;
    let (run, consent) = at_the_provider(&it, &browser, "connect mail").await;
    let form = consent.form("/authorize/decision").unwrap().with("account", "alice");
    let back = browser.submit(&consent, &form).await.unwrap();
    assert_eq!(back.address.path(), format!("/connections/{}/mail", it.namespace));
    let (exit, said, errors) = run.ended().await;
    assert_eq!(
        (exit, said.as_str()),
        (0, "mail is ready, as ALICE <alice@example.com> (id alice).\n"),
        "{errors}"
    );
    assert_says(
        &errors,
        &[&format!("To connect {}.mail ({}), sign in there as alice:", it.namespace, it.name)],
    );
    assert_says(&errors, &["Somebody is at the provider"]);
    assert!(!errors.contains("Opened in your browser"), "nobody can look at a browser there: {errors}");
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_at_the_provider_is_told_in_the_terminal() {
    let (it, browser) = waiting("link-no").await;
    let (run, consent) = at_the_provider(&it, &browser, "connect mail").await;
    let form = consent.form("/authorize/decision").unwrap().with("deny", "yes");
    browser.submit(&consent, &form).await.unwrap();
    let (exit, said, errors) = run.ended().await;
    assert_eq!(exit, 1, "{said}{errors}");
    let again = format!("kubectl bowline connect mail -n {}", it.namespace);
    assert_says(&said, &["mail: AuthorizationFailed: Access was not allowed at the provider.", &again]);
    assert_says(&errors, &["mail is not ready"]);
    assert!(it.secret_now(&it.namespace, "mail").await.is_none());

    // The status still shows the same text when she connects once more, and it is not taken for the new outcome.
    let (run, consent) = at_the_provider(&it, &browser, "connect mail").await;
    let form = consent.form("/authorize/decision").unwrap().with("account", "bob");
    browser.submit(&consent, &form).await.unwrap();
    let (exit, said, errors) = run.ended().await;
    assert_eq!((exit, said.as_str()), (0, "mail is ready, as BOB <bob@example.com> (id bob).\n"), "{errors}");
}
