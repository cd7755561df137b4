//! Attempts to get around the rules on owners, shares, bindings and Secrets: one table, a name for each attempt, all refused.
//!
//! Each attempt is made in every way that the API server supports (POST, server-side apply with force, merge patch, JSON patch,
//! replace, dry run, and for a deletion also by collection), and must leave everything as it was. Other files of this folder
//! have the rules one by one, with what they let through.

mod table;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, merged};
use crate::fixture::{Team, binding, random_name, secret, share, workspace};
use crate::judging::{Verdict, assert_same, judge, judge_change, judge_creation, path_of};
use table::attempts;

const WORKSPACES: &str = "/apis/bowline.dev/v1alpha1/workspaces";

/// Somebody tries something.
pub struct Attempt {
    /// What would be gained, in words.
    pub name: &'static str,
    pub who: &'static str,
    pub deed: Deed,
    /// What the API server says.
    pub refusal: Verdict,
}

pub enum Deed {
    Create(Kind, Value),
    Change(Thing, Value),
    Status(Thing, Value),
    Delete(Thing),
    /// A merge patch that no client would write, byte for byte. What is wrong with it may be told before any rule is asked.
    Malformed(Thing, &'static str),
}

#[derive(Clone, Copy)]
pub enum Kind {
    Connection,
    Share,
    Binding,
    Secret,
    Workspace,
}

/// What is there when an attempt is made.
#[derive(Clone, Copy)]
pub enum Thing {
    /// A connection of alice's: nobody uses it.
    Hers,
    /// One that is shared.
    Shared,
    /// One that two bindings use.
    Used,
    /// One that the operator holds by its finalizer.
    Held,
    Share,
    Binding,
    /// A published Secret.
    Published,
    Record,
    Intake,
    Workspace,
}

struct Stand {
    team: Team,
}

impl Stand {
    async fn new() -> Self {
        Self { team: Team::new().await }
    }

    fn collection(&self, kind: Kind) -> String {
        match kind {
            Kind::Connection => self.team.connections(),
            Kind::Share => self.team.shares(),
            Kind::Binding => self.team.bindings(),
            Kind::Secret => self.team.secrets(),
            Kind::Workspace => WORKSPACES.to_owned(),
        }
    }

    /// Makes such a thing. Returns its address.
    async fn make(&self, thing: Thing) -> String {
        let team = &self.team;
        let hers = async |change| path_of(&team.connections(), &team.connection_of_alice(&change).await);
        let ours = async |kind, object| {
            let collection = self.collection(kind);
            path_of(&collection, &team.made_by_operator(&collection, &object).await)
        };
        let managed = json!({"app.kubernetes.io/managed-by": "bowline", "bowline.dev/connection-uid": "1"});
        match thing {
            Thing::Hers => hers(json!({})).await,
            Thing::Shared => hers(json!({"spec": {"workspace": "marketing", "shared": true}})).await,
            Thing::Used => {
                let path = hers(json!({})).await;
                let told = json!({"status": {"dependents": {"count": 2, "names": ["jobs/a", "jobs/b"]}}});
                team.person(OPERATOR).must(&Ask::merge(&format!("{path}/status"), &told)).await;
                path
            }
            Thing::Held => {
                let path = hers(json!({})).await;
                let held = json!({"metadata": {"finalizers": [bowline_api::names::FINALIZER]}});
                team.person(OPERATOR).must(&Ask::merge(&path, &held)).await;
                path
            }
            Thing::Share => ours(Kind::Share, share(&random_name("s"))).await,
            Thing::Binding => {
                let object = binding(&random_name("b"), &format!("{}.mail", team.namespace));
                path_of(
                    &team.bindings(),
                    &team.person("alice").must(&Ask::post(&team.bindings(), &object)).await,
                )
            }
            Thing::Published => ours(Kind::Secret, secret(&random_name("p"), "Opaque", &managed)).await,
            Thing::Record => {
                ours(Kind::Secret, secret(&random_name("r"), "bowline.dev/record", &json!({}))).await
            }
            Thing::Intake => {
                let labels = json!({"bowline.dev/connection": "mail"});
                let object = secret(&random_name("i"), "bowline.dev/intake", &labels);
                path_of(
                    &team.secrets(),
                    &team.person("alice").must(&Ask::post(&team.secrets(), &object)).await,
                )
            }
            Thing::Workspace => {
                let object =
                    merged(workspace(&random_name("w")), &json!({"spec": {"namespaces": ["team-x"]}}));
                path_of(WORKSPACES, &team.person(ADMIN).must(&Ask::post(WORKSPACES, &object)).await)
            }
        }
    }

    async fn try_it(&self, attempt: &Attempt) {
        let Attempt { who, deed, refusal, .. } = attempt;
        let (team, verdict) = (&self.team, *refusal);
        match deed {
            Deed::Create(kind, object) => {
                judge_creation(team, who, &self.collection(*kind), object, verdict).await;
            }
            Deed::Change(thing, change) => {
                judge_change(team, who, &self.make(*thing).await, change, verdict).await;
            }
            Deed::Status(thing, change) => {
                let path = format!("{}/status", self.make(*thing).await);
                judge_change(team, who, &path, change, verdict).await;
            }
            Deed::Delete(thing) => self.delete(attempt, &self.make(*thing).await).await,
            Deed::Malformed(thing, body) => {
                let path = self.make(*thing).await;
                let before = team.person(ADMIN).must(&Ask::get(&path)).await;
                for ask in [
                    Ask::merge_text(&path, (*body).to_owned()),
                    Ask::merge_text(&path, (*body).to_owned()).with("fieldValidation=Ignore"),
                ] {
                    let answer = team.person(who).ask(&ask).await;
                    assert!((400..500).contains(&answer.status), "{}: {}", attempt.name, answer.body);
                    assert!(answer.words().contains(refusal.words()), "{}: {}", attempt.name, answer.words());
                }
                assert_same(&before, &team.person(ADMIN).must(&Ask::get(&path)).await);
            }
        }
    }

    async fn delete(&self, attempt: &Attempt, path: &str) {
        let Attempt { name, who, refusal, .. } = attempt;
        let before = self.team.person(ADMIN).must(&Ask::get(path)).await;
        let version = before["metadata"]["resourceVersion"].as_str().unwrap();
        let how = |policy: &str| Ask::delete(path).with(&format!("propagationPolicy={policy}"));
        let mut ways = vec![Ask::delete(path), Ask::delete(path).dry(), Ask::delete_at(path, version)];
        ways.extend(["Foreground", "Background", "Orphan"].map(how));
        ways.push(Ask::delete(path).with("gracePeriodSeconds=0"));
        for ask in ways {
            let answer = self.team.person(who).ask(&ask).await;
            judge(&format!("{name}: {who} {ask:?}"), &answer, *refusal);
        }
        assert_same(&before, &self.team.person(ADMIN).must(&Ask::get(path)).await);
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_attempt_of_the_table_succeeds() {
    let stand = Stand::new().await;
    let attempts = attempts(&stand.team.namespace);
    let names: BTreeSet<_> = attempts.iter().map(|attempt| attempt.name).collect();
    assert_eq!(names.len(), attempts.len(), "each attempt has a name of its own");
    assert!(names.len() >= 90, "{} attempts", names.len());
    let mut not_refused = Vec::new();
    for attempt in &attempts {
        println!("{}: {}", attempt.who, attempt.name);
        if AssertUnwindSafe(stand.try_it(attempt)).catch_unwind().await.is_err() {
            not_refused.push(attempt.name);
        }
    }
    assert!(not_refused.is_empty(), "of {} attempts: {not_refused:#?}", names.len());
}
