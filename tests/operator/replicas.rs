//! Two replicas: one leads and the other takes over, no token is spent twice, and no answer is lost.
//!
//! Unit tests show who may take the Lease, and that nothing is sent without it. Only here are processes killed at any time.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bowline_testbed::sandbox::{Action, Event, Fault, Ledger, Rotation};
use bowline_testbed::scratch::Scratch;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use crate::looking::{holds, until};
use crate::scene::Scene;
use crate::stage::{HOME, Stage};

const KILLS: usize = 10;
const CONNECTIONS: usize = 12;
/// Seconds: about two refreshes a second are under way at any time.
const LIFETIME: u64 = 12;

/// Two replicas of one installation, each with a disk of its own that outlives its process.
struct Pair {
    replicas: [Arc<Stage>; 2],
    leases: Api<Lease>,
    _disks: [Scratch; 2],
}

impl Pair {
    async fn start() -> (Self, Scene) {
        let disks = [(); 2].map(|()| Scratch::create().expect("a folder"));
        let [first, second] = disks.each_ref().map(|disk| disk.path().display().to_string());
        let one = Stage::fresh(&["--instance", "one", "--journal-dir", &first]).await;
        let two = one.replica(&["--instance", "two", "--journal-dir", &second]);
        two.start_operator().await;
        let it = one.scene("replicas").await;
        let leases = Api::namespaced(it.admin.clone(), HOME);
        (Self { replicas: [one, two], leases, _disks: disks }, it)
    }

    /// Who holds the Lease, nobody if it is free.
    async fn holder(&self) -> String {
        let lease = self.leases.get("bowline").await.expect("the Lease");
        lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
    }

    /// Which of the two leads, once one does.
    async fn leader(&self) -> usize {
        until("one leads", async || {
            let holder = self.holder().await;
            ["one/", "two/"].iter().position(|name| holder.starts_with(name)).ok_or(holder)
        })
        .await
    }
}

pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_millis().try_into().expect("a time")
}

/// The double spends that no kill explains. A process that dies between the provider's commit and the answer leaves a token in
/// doubt, which is sent once more.
pub fn unexplained(ledger: &Ledger, kills: &[u64]) -> Vec<String> {
    let during_a_kill = |at: u64| kills.iter().any(|kill| (at..at + 1_000).contains(kill));
    let first_use = |token: &str| {
        let spent = ledger.of(Event::Spent);
        let mut of = spent.filter(|entry| entry.token.as_ref().is_some_and(|name| name.sha256 == token));
        of.next().map_or(0, |entry| entry.at_ms)
    };
    let twice = ledger.spent_twice().into_iter().filter_map(|entry| entry.token.as_ref());
    let unexplained = twice.filter(|token| !during_a_kill(first_use(&token.sha256)));
    unexplained.map(|token| format!("{token:?}")).collect()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_27_a_killed_leader_is_replaced_in_time_and_no_token_is_spent_twice() {
    let (pair, it) = Pair::start().await;
    it.provider(Rotation::SingleUse).lifetime(LIFETIME).apply().await;
    let names: Vec<_> = (0..CONNECTIONS).map(|number| format!("mail-{number}")).collect();
    let mut grants = Vec::new();
    for name in &names {
        it.connection(name).apply().await;
        grants.push(it.authorized(name).await.grant_id);
    }
    let mut kills = Vec::new();
    for _ in 0..KILLS {
        let leader = pair.leader().await;
        pair.replicas[leader].kill_operator();
        kills.push(now_ms());
        until("the other replica leads", async || {
            (pair.leader().await != leader).then_some(()).ok_or("not yet")
        })
        .await;
        let done = it.realm.ledger().requests.len();
        until("it refreshes", async || (it.realm.ledger().requests.len() > done).then_some(()).ok_or("no"))
            .await;
        pair.replicas[leader].start_operator().await;
    }
    until_used_again(&it, &names, &grants).await;
    assert_eq!(unexplained(&it.realm.ledger(), &kills), [""; 0]);
}

/// Where a leader was killed in the middle of a request, the next one leaves the grant alone for a minute. Then it works, or its
/// token was spent by the request whose answer was lost.
pub async fn until_used_again(it: &Scene, names: &[String], grants: &[String]) {
    for (name, grant) in names.iter().zip(grants) {
        let before = it.realm.ledger().refreshes_of(grant).len();
        it.until_ledger_within(Duration::from_mins(3), "it is used again", |ledger| {
            (is_lost(ledger, grant) || ledger.refreshes_of(grant).len() > before).then_some(())
        })
        .await;
        if !is_lost(&it.realm.ledger(), grant) {
            it.until_status(name, "ready", |status| holds(status, "Ready")).await;
        }
    }
}

/// Whether the grant's token was spent in vain: the answer was on its way when a leader was killed.
fn is_lost(ledger: &Ledger, grant: &str) -> bool {
    ledger.spent_twice().iter().any(|entry| entry.grant.as_deref() == Some(grant))
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_27_a_leader_that_ends_in_order_hands_over_at_once() {
    let (pair, it) = Pair::start().await;
    let minted = it.connected("mail", Rotation::SingleUse, LIFETIME).await;
    let leader = pair.leader().await;
    pair.replicas[leader].stop_operator();
    // The Lease still lasts, and nobody has to wait for its end.
    assert!(!pair.holder().await.starts_with(["one/", "two/"][leader]), "it left without letting go");
    until("the other replica leads", async || (pair.leader().await != leader).then_some(()).ok_or("not yet"))
        .await;
    let before = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.until_refreshed(&minted.grant_id, before + 1).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

/// The API server takes no writes when the answer comes, and the process is killed.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_27_an_answer_that_could_not_be_stored_is_found_by_the_next_process() {
    let disk = Scratch::create().expect("a folder");
    let folder = disk.path().display().to_string();
    let stage = Stage::fresh(&["--instance", "one", "--journal-dir", &folder]).await;
    let it = stage.scene("on-disk").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    it.realm.fault(Fault::token(Action::Delay { milliseconds: 4_000, commit: true }));
    it.ask_for_refresh("mail", "now").await;
    it.until_ledger("the token is spent", |ledger| {
        (!ledger.refreshes_of(&minted.grant_id).is_empty()).then_some(())
    })
    .await;
    let rights: Api<RoleBinding> = Api::namespaced(it.admin.clone(), HOME);
    let mut writes = rights.get("bowline-store").await.expect("the operator's rights");
    rights.delete("bowline-store", &DeleteParams::default()).await.expect("taken away");
    until("the answer is on disk", async || {
        let mut files = std::fs::read_dir(disk.path()).map_err(|error| error.to_string())?;
        let is_whole = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".answer");
        let found = files.any(|file| file.is_ok_and(|file| is_whole(&file.file_name())));
        found.then_some(()).ok_or_else(|| "none".to_owned())
    })
    .await;
    stage.kill_operator();
    (writes.metadata.resource_version, writes.metadata.uid) = (None, None);
    rights.create(&PostParams::default(), &writes).await.expect("given back");

    stage.start_operator().await;
    it.until_status("mail", "refreshed", |status| {
        let renewed = status.grant.as_ref().is_some_and(|grant| grant.revision >= 2);
        renewed && holds(status, "Authorized") && holds(status, "Ready")
    })
    .await;
    // Nobody had answered the request, so it is served once more, with what was on disk.
    it.until_status("mail", "answered", |status| status.last_handled_refresh.is_some()).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
    let published = it.secret("mail").await["access_token"].clone();
    assert!(it.realm.is_alive(&published), "the answer that was on disk is published");
}
