//! One replica of each release: one leads and the other one waits, whichever it is.

use bowline_testbed::sandbox::Rotation;

use super::{LIFETIME, SOON, apply_manifests, until_leads};
use crate::looking::until_within;
use crate::replicas::{now_ms, unexplained, until_used_again};
use crate::stage::Stage;

const CONNECTIONS: usize = 6;

/// Waits until this replica says that it leads, or that it does not.
async fn until_says(stage: &Stage, leads: bool) {
    let line = format!("bowline_leader {}", u8::from(leads));
    until_within(SOON, &line, async || {
        let (_, metrics) = stage.ask("metrics").await?;
        metrics.lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn replicas_of_two_releases_lead_in_turn_and_no_token_is_spent_twice() {
    let old = Stage::previous(&["--instance", "old"]).await;
    old.start_operator().await;
    let it = old.scene("versions").await;
    it.provider(Rotation::SingleUse).lifetime(LIFETIME).apply().await;
    let names: Vec<_> = (0..CONNECTIONS).map(|number| format!("mail-{number}")).collect();
    let mut grants = Vec::new();
    for name in &names {
        it.connection(name).apply().await;
        grants.push(it.authorized(name).await.grant_id);
    }
    let new = old.replica(&["--instance", "new"]);
    apply_manifests(&new, &old).await;
    new.start_operator().await;
    let mut kills = Vec::new();
    for (leader, next, name) in [(&old, &new, "new"), (&new, &old, "old"), (&old, &new, "new")] {
        until_says(leader, true).await;
        until_says(next, false).await;
        leader.kill_operator();
        kills.push(now_ms());
        until_leads(&old, name).await;
        until_used_again(&it, &names, &grants).await;
        leader.start_operator().await;
    }
    // One that ends in order hands over, too.
    new.stop_operator();
    until_leads(&old, "old").await;
    until_used_again(&it, &names, &grants).await;
    assert_eq!(unexplained(&it.realm.ledger(), &kills), [""; 0]);
}
