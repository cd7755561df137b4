//! Link sessions: from the click to the Secret, repaired when the bank asks for a new sign-in, and unlinked, against the emulator
//! of Plaid.

use std::time::Duration;

use bowline_api::names::ANNOTATION_REFRESH_REQUESTED;
use bowline_testbed::emulator::{
    Emulator, FamilyHandle, Operation, Spoil, TEST_KEY, signature, verifying_key,
};
use bowline_testbed::scratch::Scratch;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;
use reqwest::redirect::Policy;
use serde_json::json;
use url::Url;

use super::browser::{Browser, Page};
use super::house::Portal;
use super::walk::leave;
use crate::looking::until;
use crate::scene::Scene;
use crate::stage::{HOME, PORTAL, Stage};

/// Several checks, and the doubt between them.
const CHECKED_WITHIN: Duration = Duration::from_mins(3);
/// Refusals that are more than any test needs.
const MANY: usize = 20;

/// The emulator, and a scene in which a provider of this type reaches it.
struct Bank {
    emulator: Emulator,
    family: FamilyHandle,
    it: Scene,
}

impl Bank {
    async fn of(type_: &str, app: &str, spec: serde_json::Value) -> Self {
        let emulator = Emulator::start(Timestamp::now()).await.expect("the emulator");
        let family = emulator.family(type_).expect("a family");
        let stage = Stage::fresh(&["--provider-proxy", &emulator.proxy()]).await;
        let it = stage.scene("bank").await;
        let authority = ByteString(emulator.authority().as_bytes().to_vec());
        let metadata = ObjectMeta { name: Some("emulator".to_owned()), ..ObjectMeta::default() };
        let data = Some([("ca.crt".to_owned(), authority)].into());
        it.create(HOME, &Secret { metadata, data, ..Secret::default() }).await;
        let network =
            json!({"proxy": emulator.proxy(), "caSecretName": "emulator", "allowedCIDRs": ["127.0.0.0/8"]});
        let app = &family.data().apps[app];
        let secret = app.client_secret.as_deref().expect("a secret");
        // Who has a key signs with it, as far as the entry says how.
        let keys = [("client_id", &*app.client_id), ("client_secret", secret), ("private_key", TEST_KEY)];
        let keys = keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let draft = it.provider_of_type(type_).registration(keys).spec(spec);
        draft.spec(json!({"network": network})).apply().await;
        it.connection("books").apply().await;
        it.until_reason("books", "Authorized", "AwaitingAuthorization").await;
        Self { emulator, family, it }
    }

    fn page(&self) -> String {
        format!("/connections/{}/books", self.it.namespace)
    }

    /// The person follows the portal to the provider's page, and from there back.
    async fn link(&self, browser: &Browser) -> (Url, Page) {
        let (address, back) = self.visit(browser).await;
        let callback = format!("{}?{}", back.path(), back.query().unwrap_or_default());
        (address, browser.get(&callback).await)
    }

    /// The person follows the portal to the provider's page. Returns its address, and to where it leads back.
    async fn visit(&self, browser: &Browser) -> (Url, Url) {
        let address = leave(browser, &self.page()).await;
        let authority = reqwest::Certificate::from_pem(self.emulator.authority().as_bytes()).unwrap();
        let person = reqwest::Client::builder()
            .proxy(reqwest::Proxy::all(self.emulator.proxy()).unwrap())
            .tls_certs_merge([authority])
            .redirect(Policy::none());
        let answer = person.build().unwrap().get(address.clone()).send().await.expect("the provider's page");
        let back = Url::parse(answer.headers()["location"].to_str().unwrap()).expect("a way back");
        (address, back)
    }

    /// Fields of the last request to this path.
    fn sent_to(&self, path: &str) -> std::collections::BTreeMap<String, String> {
        let requests = self.family.requests();
        let last = requests.iter().rev().find(|seen| seen.url.path() == path);
        last.map_or_else(|| panic!("nothing was sent to {path}"), |seen| seen.fields.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: make test"]
async fn an_account_is_linked_repaired_and_unlinked_r6_r17() {
    let parameters = json!({"client_name": "Acme Books", "environment": "sandbox"});
    let spec = json!({"parameters": parameters, "overlay": {"probe": {"every": "10s"}}});
    let bank = Bank::of("plaid", "sandbox", spec).await;
    let it = &bank.it;
    let portal = Portal::start(it, &[]).await;
    let alice = portal.browser_of(it, "alice").await;
    let review = alice.get(&format!("{}/connect", bank.page())).await;
    assert!(review.says("Read accounts and their transactions"), "{}", review.text);
    assert!(review.says("until your bank asks again"), "{}", review.text);

    // Whoever comes back without having linked anything has declined.
    bank.family.refuse_next(Operation::Visit, "left");
    bank.link(&alice).await;
    it.until_attempt("books", "AuthorizationFailed").await;

    bank.family.consent_as("bruno");
    let (address, done) = bank.link(&alice).await;
    assert_eq!(address.host_str(), Some("secure.plaid.com"));
    assert_eq!((done.status, done.location), (303, bank.page()), "{}", done.text);
    it.until_phase("books", "Active").await;
    let item = bank.family.data().expected("{item_id}", "bruno").unwrap();
    let linked = it.secret("books").await;
    assert!(linked["access_token"].starts_with("access-sandbox-"), "{:?}", linked.keys());
    assert_eq!((&linked["item_id"], &linked["institution_id"]), (&item, &"ins_2".to_owned()));
    let status = it.status("books").await;
    assert_eq!(status.account.unwrap().id, item);
    let ends_at = status.grant.as_ref().and_then(|grant| grant.ends_at()).expect("an end of the consent");
    assert_eq!(ends_at.0.to_string(), "2027-07-14T08:00:00Z");

    it.until_checked(CHECKED_WITHIN, "books").await;
    // The bank asks for a new sign-in: several checks say so, and the token stays published.
    for _ in 0..MANY {
        bank.family.refuse_next(Operation::Account, "ITEM_LOGIN_REQUIRED");
    }
    it.until_status_within(CHECKED_WITHIN, "books", "a refusal that is believed", |status| {
        crate::looking::is(status, "Authorized", "GrantExpired")
    })
    .await;
    assert_eq!(it.secret("books").await["access_token"], linked["access_token"]);
    bank.family.refuse_no_more();
    let (_, done) = bank.link(&alice).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let opened = bank.sent_to("/link/token/create");
    assert_eq!(opened.get("access_token"), Some(&linked["access_token"]), "it repairs the item");
    it.until_reason("books", "Authorized", "Authorized").await;
    assert_eq!(it.secret("books").await["access_token"], linked["access_token"]);

    it.change("books", json!({"spec": {"disconnect": true}})).await;
    until("the item to be removed", async || {
        if bank.family.is_alive(&linked["access_token"]) { Err("it is there") } else { Ok(()) }
    })
    .await;
    for text in [portal.logs(), it.stage.logs()] {
        assert!(!text.contains("access-sandbox-") && !text.contains("session-0000"), "{text}");
    }
}

/// The status with which the portal answers a message about this customer, sent at this time, signed for this address.
async fn told(portal: &Portal, it: &Scene, customer: &str, sent: Timestamp, signed_for: &str) -> u16 {
    let body =
        json!({"data": {"connection_id": "1", "customer_id": customer, "error_class": "ConsentRevoked"},
        "meta": {"version": "6", "time": sent.to_string()}})
        .to_string();
    let signature = signature(format!("{signed_for}|{body}").as_bytes()).expect("a signature");
    let request = format!(
        "POST /webhooks/{} HTTP/1.1\r\nhost: portal\r\nsignature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        it.name,
        body.len()
    );
    portal.stream(&request).await.1
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: make test"]
async fn nobody_ends_another_ones_session_and_only_signed_messages_count_r6_r17() {
    let bank = Bank::of("salt-edge", "live", json!({"overlay": {"probe": {"every": "40s"}}})).await;
    let it = &bank.it;
    let folder = Scratch::create().expect("a folder");
    std::fs::write(folder.path().join(&it.name), verifying_key()).expect("written");
    let portal = Portal::start(it, &[&format!("--webhook-secrets={}", folder.path().display())]).await;
    let alice = portal.browser_of(it, "alice").await;

    // Another person links an account on the page that alice passed on, and she comes back without what only their browser got.
    bank.family.consent_as("ana");
    let (_, way_home) = bank.visit(&alice).await;
    assert_eq!(bank.family.grants_alive(), 1);
    let state = way_home.query_pairs().find(|(name, _)| name == "state").expect("a state").1;
    alice.get(&format!("{}?state={state}", way_home.path())).await;
    it.until_attempt("books", "AuthorizationFailed").await;
    assert_eq!(bank.family.grants_alive(), 0, "it is given back");

    bank.family.consent_as("bruno");
    bank.link(&alice).await;
    it.until_phase("books", "Active").await;
    let linked = it.secret("books").await;
    assert_eq!(linked["provider_code"], "second_bank_de");

    // A repair of which the bank says that it is of another account leaves what is there as it was.
    bank.family.spoil_next(Operation::Account, Spoil::OtherAccount);
    bank.link(&alice).await;
    it.until_attempt("books", "AccountMismatch").await;
    assert!(bank.family.is_alive(&linked["access_token"]));
    assert_eq!(it.secret("books").await["access_token"], linked["access_token"]);

    it.until_checked(CHECKED_WITHIN, "books").await;
    let (now, customer) = (Timestamp::now(), &linked["customer_id"]);
    let (here, old) = (format!("{PORTAL}/webhooks/{}", it.name), now - SignedDuration::from_mins(6));
    for _ in 0..MANY {
        bank.family.refuse_next(Operation::Account, "ConsentRevoked");
    }
    let asked = || bank.family.requests().len();
    let before = asked();
    assert_eq!(told(&portal, it, customer, now, "https://portal.example.com/webhooks/other").await, 401);
    assert_eq!(told(&portal, it, customer, old, &here).await, 401, "it is a recorded one");
    assert_eq!(told(&portal, it, "somebody-else", now, &here).await, 204);
    let connection = it.connections().get("books").await.expect("a connection");
    assert!(!connection.metadata.annotations.unwrap_or_default().contains_key(ANNOTATION_REFRESH_REQUESTED));
    assert_eq!(asked(), before, "nothing was asked so far");

    // The message has the account checked, and only what the bank then says ends the grant.
    assert_eq!(told(&portal, it, customer, now, &here).await, 204);
    it.until_status_within(CHECKED_WITHIN, "books", "a withdrawn consent", |status| {
        crate::looking::is(status, "Authorized", "GrantRevoked")
    })
    .await;
    assert!(asked() > before + 1, "one refusal is not believed");
}
