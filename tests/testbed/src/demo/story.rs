//! The steps: somebody acts as the right person, then we wait for the effect.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{CONNECTION, OWNER, SHARED, TEAM, WORKSPACE, place};
use crate::{
    access::ADMIN,
    demo::Board,
    error::Error,
    objects::{Objects, Published, condition, path, verdict},
    sandbox::RealmHandle,
    stage::{Binaries, Portal, Stage},
    wait::wait_for,
};

/// Rights and discovery take effect within seconds after a namespace is created.
const APPLIED: Duration = Duration::from_mins(1);
/// What the operator does by itself.
pub(super) const SOON: Duration = Duration::from_secs(30);
/// Two refreshes of a twelve-second token, with time for a slow machine.
const ROTATED: Duration = Duration::from_mins(1);
/// The promise for a leader that is gone: 15 s.
const TAKEN_OVER: Duration = Duration::from_secs(15);
/// The promise for removed owners: 10 s.
const WITHDRAWN: Duration = Duration::from_secs(10);

pub(super) struct Story<'a> {
    pub(super) stage: &'a Stage,
    pub(super) portal: &'a Portal,
    pub(super) binaries: &'a Binaries,
    pub(super) realm: RealmHandle,
    pub(super) admin: Objects,
    pub(super) alice: Objects,
}

/// Runs the whole story, and prints a line for each step that was seen.
pub async fn tell(board: &mut Board, stage: &mut Stage, binaries: &Binaries) -> Result<(), Error> {
    let story = Story::on(stage, binaries).await?;
    board.step("applied", story.applied()).await?;
    board.step("awaiting consent", story.awaiting_consent()).await?;
    let browser = board.observe("signed in", story.signed_in()).await?;
    board.step("consented", story.consented(&browser)).await?;
    let grant = board.observe("authorized", story.authorized(&browser)).await?;
    let first = board.observe("fresh Secret", story.fresh_secret()).await?;
    let second = board.observe("rotated twice", story.rotated(&grant, &first, 2)).await?;
    let killed = board.observe("leader killed", kill_leader(stage)).await?;
    let story = Story::on(stage, binaries).await?;
    board.step("taken over", story.taken_over(&killed)).await?;
    let second = board.observe("rotated again", story.rotated(&grant, &second, 1)).await?;
    let device = board.observe("code shown", story.code_shown()).await?;
    board.step("code typed", story.code_typed(device)).await?;
    board.step("account confirmed", story.account_confirmed()).await?;
    board.step("share proposed", story.share_proposed()).await?;
    board.step("approved", story.approved()).await?;
    board.step("bound", story.bound()).await?;
    board.step("deletion held", story.deletion_held()).await?;
    board.step("owner removed", story.owner_removed()).await?;
    let last = board.observe("still fresh", story.rotated(&grant, &second, 1)).await?;
    board.step("disconnected", story.disconnected(&grant, &last)).await?;
    board.step("offboarded", story.offboarded()).await
}

/// The first replica leads. It is killed without warning; returns its name.
async fn kill_leader(stage: &mut Stage) -> Result<(String, String), Error> {
    let admin = stage.objects_as(ADMIN).await?;
    let lease = admin.get(&path::lease()).await?.unwrap_or_default();
    let Some(leader) = holder(&lease) else { return Err(unexpected("the Lease", lease.to_string())) };
    let process = stage.operator().id();
    stage.kill_operator()?;
    Ok((format!("process {process}, {leader}, by SIGKILL"), leader))
}

/// The pod that holds a Lease.
fn holder(lease: &Value) -> Option<String> {
    let (pod, _process) = lease["spec"]["holderIdentity"].as_str()?.rsplit_once('/')?;
    Some(pod.to_owned())
}

impl<'a> Story<'a> {
    async fn on(stage: &'a Stage, binaries: &'a Binaries) -> Result<Self, Error> {
        let portal = stage.portal().ok_or_else(|| unexpected("the stage", "no portal on it".to_owned()))?;
        let (admin, alice) = (stage.objects_as(ADMIN).await?, stage.objects_as(OWNER).await?);
        Ok(Self { stage, portal, binaries, realm: stage.realm()?, admin, alice })
    }
}

impl Story<'_> {
    async fn taken_over(&self, killed: &str) -> Result<String, Error> {
        let leader = wait_for("the other replica leads", TAKEN_OVER, async || {
            let lease = self.look(&path::lease()).await?;
            holder(&lease).filter(|leader| leader != killed).ok_or_else(|| lease["spec"].to_string())
        })
        .await?;
        let twice = self.realm.ledger().spent_twice().len();
        if twice != 0 {
            return Err(unexpected("the sandbox's ledger", format!("{twice} refresh tokens spent twice")));
        }
        Ok(format!("{leader} leads; ledger: no refresh token spent twice"))
    }

    async fn applied(&self) -> Result<String, Error> {
        let cluster = self.stage.cluster();
        cluster.apply_yaml(&place::platform(&self.realm.issuer())?).await?;
        let files = place::owners()?;
        // alice's role is aggregated, and the authorizer learns of her binding a moment later.
        wait_for("alice may apply her connection", APPLIED, async || {
            cluster.apply_yaml_as(OWNER, &files).await
        })
        .await?;
        let provider = format!("{}/sandbox", path::providers());
        wait_for("the provider is ready", SOON, async || {
            expect(&self.look(&provider).await?, |object| is(object, "Ready", "True"), "Ready")
        })
        .await?;
        Ok(format!("platform by {ADMIN}, two connections in {TEAM} by {OWNER}; provider is ready"))
    }

    async fn awaiting_consent(&self) -> Result<String, Error> {
        let object = self
            .connection(CONNECTION, "alice's connection waits for her", |object| {
                condition(object, "Authorized").is_some_and(|it| it["reason"] == "AwaitingAuthorization")
                    && object["status"]["phase"] == "Pending"
            })
            .await?;
        let page = self.connection_page();
        let shown = object["status"]["authorization"]["url"].as_str().unwrap_or("no address");
        if shown != page.as_str() {
            return Err(unexpected("status.authorization.url", shown.to_owned()));
        }
        Ok(format!("phase Pending; the status leads to the portal's page {}", page.path()))
    }

    async fn fresh_secret(&self) -> Result<(String, Published), Error> {
        let seen = wait_for("the Secret holds a fresh token", SOON, async || {
            self.fresh(&path::secret(TEAM, CONNECTION)).await
        })
        .await?;
        let what = format!(
            "{TEAM}/{CONNECTION}: access_token {} (the provider honours it), ends in {} s",
            seen.shown(),
            seen.expires_at.duration_since(Timestamp::now()).as_secs()
        );
        Ok((what, seen))
    }

    /// At least `times` new revisions after `before`, in the Secret and in the ledger, and no token spent twice.
    async fn rotated(
        &self,
        grant: &str,
        before: &Published,
        times: i64,
    ) -> Result<(String, Published), Error> {
        let served = self.realm.ledger().refreshes_of(grant).len();
        let seen = wait_for("the token is rotated, and the Secret stays fresh", ROTATED, async || {
            let seen = self.fresh(&path::secret(TEAM, CONNECTION)).await?;
            let refreshes =
                i64::try_from(self.realm.ledger().refreshes_of(grant).len() - served).unwrap_or(0);
            let newer = seen.token != before.token && seen.expires_at > before.expires_at;
            let same = seen.uid == before.uid;
            if same && newer && seen.revision >= before.revision + times && refreshes >= times {
                return Ok(seen);
            }
            let which = if same { "the same" } else { "another" };
            Err(format!("revision {} of {which} Secret, {refreshes} refreshes", seen.revision))
        })
        .await?;
        let twice = self.realm.ledger().spent_twice().len();
        if twice != 0 {
            return Err(unexpected("the sandbox's ledger", format!("{twice} refresh tokens spent twice")));
        }
        let what = format!(
            "revision {} → {}, access_token {} → {}; ledger: {} refreshes, none spent twice",
            before.revision,
            seen.revision,
            before.shown(),
            seen.shown(),
            self.realm.ledger().refreshes_of(grant).len()
        );
        Ok((what, seen))
    }

    async fn owner_removed(&self) -> Result<String, Error> {
        let members = json!({"spec": {"members": [{"kind": "User", "name": "bob"}]}});
        self.admin.merge(&path::workspace(WORKSPACE), &members).await?;
        wait_for("the share and its Secret are gone", WITHDRAWN, async || {
            for path in [path::secret(WORKSPACE, SHARED), path::share(WORKSPACE, SHARED)] {
                if self.admin.get(&path).await.map_err(said)?.is_some() {
                    return Err(format!("{path} is still there"));
                }
            }
            Ok(())
        })
        .await?;
        let own = self.fresh(&path::secret(TEAM, CONNECTION)).await;
        own.map_err(|seen| unexpected("the owner's Secret", seen))?;
        Ok(format!("{OWNER} left {WORKSPACE}: share and Secret there are gone, her own is fresh"))
    }

    async fn disconnected(&self, grant: &str, last: &Published) -> Result<String, Error> {
        self.alice.merge(&path::connection(TEAM, CONNECTION), &json!({"spec": {"disconnect": true}})).await?;
        self.connection(CONNECTION, "the connection is disconnected", |object| {
            object["status"]["phase"] == "Disconnected"
        })
        .await?;
        wait_for("the Secret is gone and the grant is revoked", SOON, async || {
            let secret = self.admin.get(&path::secret(TEAM, CONNECTION)).await.map_err(said)?;
            let alive = self.realm.is_alive(&last.token);
            match (secret.is_none(), self.realm.ledger().is_grant_revoked(grant), alive) {
                (true, true, false) => Ok(()),
                seen => Err(format!("(Secret gone, grant revoked, last token alive) = {seen:?}")),
            }
        })
        .await?;
        Ok("Secret gone; ledger: grant revoked by the client, its tokens are dead".to_owned())
    }

    /// A Secret whose token has not expired, and which the provider accepts now.
    pub(super) async fn fresh(&self, path: &str) -> Result<Published, String> {
        let published = Published::read(&self.look(path).await?)?;
        if published.expires_at <= Timestamp::now() {
            return Err(format!("the token expired at {}", published.expires_at));
        }
        if self.realm.is_alive(&published.token) {
            Ok(published)
        } else {
            Err("the provider refuses the token".into())
        }
    }

    pub(super) async fn connection(
        &self,
        name: &str,
        description: &str,
        claim: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        let path = path::connection(TEAM, name);
        let seen = wait_for(description, SOON, async || {
            let object = self.look(&path).await?;
            expect(&object, &claim, "Ready").map(|()| object)
        });
        Ok(seen.await?)
    }

    pub(super) async fn look(&self, path: &str) -> Result<Value, String> {
        self.admin.get(path).await.map_err(said)?.ok_or_else(|| format!("{path} is not there"))
    }
}

pub(super) fn is(object: &Value, kind: &str, status: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == status)
}

fn expect(object: &Value, claim: impl Fn(&Value) -> bool, kind: &str) -> Result<(), String> {
    if claim(object) {
        return Ok(());
    }
    let phase = object["status"]["phase"].as_str().unwrap_or("none");
    Err(format!("phase {phase}, {kind} {}", verdict(object, kind)))
}

pub(super) fn said(error: Error) -> String {
    match error {
        Error::Kube(error) => error.to_string(),
        other => other.to_string(),
    }
}

pub(super) fn unexpected(what: &str, seen: String) -> Error {
    Error::Unexpected { what: what.to_owned(), seen }
}
