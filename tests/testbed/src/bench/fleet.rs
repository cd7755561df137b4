//! The connections of the benchmark: half of them strict, half of them not.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::{AT_ONCE, TOKEN_SECONDS};
use crate::{
    access::ADMIN,
    error::Error,
    objects::{Objects, path},
    sandbox::{Account, MintRequest, RealmConfig, RealmHandle, Rotation},
    stage::{NAMESPACE, Stage},
    wait::wait_for,
};

/// A small number of namespaces.
pub const NAMESPACES: usize = 5;
const OWNER: &str = "alice";
const RIGHTS_WITHIN: Duration = Duration::from_mins(1);

/// What a provider does with a refresh token when it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// It dies: strict.
    SingleUse,
    /// It is replaced, and the old one still works.
    Sliding,
    /// It stays.
    None,
}

impl Habit {
    const ALL: [Self; 3] = [Self::SingleUse, Self::Sliding, Self::None];

    /// Every second one is strict; the others take turns.
    fn of(index: usize) -> Self {
        match index % 4 {
            0 | 2 => Self::SingleUse,
            1 => Self::Sliding,
            _ => Self::None,
        }
    }

    /// Name of realm and provider, and first part of the connections' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleUse => "strict",
            Self::Sliding => "sliding",
            Self::None => "none",
        }
    }

    fn catalogue_entry(self) -> &'static str {
        match self {
            Self::SingleUse => "sandbox",
            Self::Sliding => "sandbox-sliding",
            Self::None => "sandbox-none",
        }
    }

    fn rotation(self) -> Rotation {
        match self {
            Self::SingleUse => Rotation::SingleUse,
            Self::Sliding => Rotation::Sliding,
            Self::None => Rotation::None,
        }
    }
}

/// One connection.
pub struct Member {
    /// What its provider does.
    pub habit: Habit,
    /// Its namespace.
    pub namespace: String,
    /// Its name, and its Secret's.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its grant at the sandbox.
    pub grant: String,
}

/// All of them.
pub struct Fleet {
    /// In the order they were numbered.
    pub members: Vec<Member>,
    realms: Vec<(Habit, RealmHandle)>,
}

impl Fleet {
    /// Makes realms, providers, namespaces, then `size` connections, and authorizes each by an intake Secret.
    pub async fn create(stage: &Stage, size: usize) -> Result<Self, Error> {
        let realms = realms(stage, size);
        ground(stage, &realms).await?;
        let alice = stage.objects_as(OWNER).await?;
        // alice's role is aggregated, and the authorizer learns of her bindings, a moment later.
        for index in 0..NAMESPACES {
            let namespace = format!("bench-{index}");
            let probe = connection(Habit::None, &namespace, "probe");
            let path = format!("{}?dryRun=All", path::connections(&namespace));
            wait_for("alice may make connections", RIGHTS_WITHIN, async || alice.create(&path, &probe).await)
                .await?;
        }
        let made = stream::iter(0..size).map(|index| join(&alice, &realms, index));
        let members = made.buffered(AT_ONCE).try_collect().await?;
        Ok(Self { members, realms })
    }

    /// The realm of a habit; every habit has one.
    pub fn realms(&self) -> impl Iterator<Item = (Habit, &RealmHandle)> {
        self.realms.iter().map(|(habit, realm)| (*habit, realm))
    }

    /// Sends the same merge patch to every connection, as their owner.
    pub async fn merge(&self, stage: &Stage, change: &Value) -> Result<(), Error> {
        let alice = stage.objects_as(OWNER).await?;
        let sent = stream::iter(&self.members).map(|member| {
            let path = path::connection(&member.namespace, &member.name);
            let alice = &alice;
            async move { alice.merge(&path, change).await.map(drop) }
        });
        sent.buffer_unordered(AT_ONCE).try_collect().await
    }
}

fn realms(stage: &Stage, size: usize) -> Vec<(Habit, RealmHandle)> {
    let defaults = stage.realm().map(|realm| realm.config()).unwrap_or_default();
    let account = |index| Account {
        sub: format!("account-{index}"),
        name: format!("Account {index}"),
        email: format!("account-{index}@example.com"),
    };
    let accounts: Vec<_> = (0..size).map(account).collect();
    let config = |habit: Habit| RealmConfig {
        rotation: habit.rotation(),
        access_lifetime_seconds: TOKEN_SECONDS,
        accounts: accounts.clone(),
        ..defaults.clone()
    };
    let server = stage.sandbox_server();
    Habit::ALL.map(|habit| (habit, server.realm(habit.name(), config(habit)))).into()
}

/// The namespaces in which alice may work, our registration, and one provider for each habit.
async fn ground(stage: &Stage, realms: &[(Habit, RealmHandle)]) -> Result<(), Error> {
    let providers = Habit::ALL.map(Habit::name).join(",");
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Secret", "type": "bowline.dev/app",
        "metadata": {"name": "bench-app", "namespace": NAMESPACE},
        "stringData": {"providers": providers, "client_id": "bowline", "client_secret": "sandbox-secret"}})];
    for index in 0..NAMESPACES {
        let namespace = format!("bench-{index}");
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
        objects.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "alice-edits", "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OWNER}]}));
    }
    for (habit, realm) in realms {
        objects.push(json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider",
            "metadata": {"name": habit.name()},
            "spec": {"type": habit.catalogue_entry(), "app": {"secretName": "bench-app"},
                "endpoints": {"issuer": realm.issuer()},
                "network": {"allowHTTP": true, "allowedCIDRs": ["127.0.0.0/8"]}}}));
    }
    let yaml: Vec<_> = objects.iter().map(Value::to_string).collect();
    stage.cluster().apply_yaml_as(ADMIN, &yaml.join("\n---\n")).await
}

fn connection(habit: Habit, namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": habit.name(), "owner": OWNER}})
}

async fn join(alice: &Objects, realms: &[(Habit, RealmHandle)], index: usize) -> Result<Member, Error> {
    let habit = Habit::of(index);
    let (namespace, name) = (format!("bench-{}", index % NAMESPACES), format!("{}-{index:05}", habit.name()));
    let made = alice.create(&path::connections(&namespace), &connection(habit, &namespace, &name)).await?;
    let realm = realms.iter().find(|(of, _)| *of == habit).map(|(_, realm)| realm);
    let minted = match realm {
        Some(realm) => realm.mint(&MintRequest::of(format!("account-{index}")))?,
        None => return Err(Error::Realm(crate::sandbox::RealmError::UnknownAccount)),
    };
    let intake = json!({"apiVersion": "v1", "kind": "Secret", "type": "bowline.dev/intake",
        "metadata": {"name": format!("intake-{name}"), "labels": {"bowline.dev/connection": name}},
        "stringData": {"refresh_token": minted.refresh_token, "access_token": minted.access_token,
            "expires_in": minted.expires_in.to_string(), "scope": minted.scope}});
    let intake = alice.create(&path::secrets(&namespace), &intake).await?;
    let uid = intake["metadata"]["uid"].as_str().unwrap_or_default();
    let announced =
        json!({"metadata": {"annotations": {"bowline.dev/intake": format!("intake-{name}/{uid}")}}});
    alice.merge(&path::connection(&namespace, &name), &announced).await?;
    let uid = made["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    Ok(Member { habit, namespace, name, uid, grant: minted.grant_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_any_fleet_is_strict() {
        for size in [4, 100, 500] {
            let strict = (0..size).filter(|index| Habit::of(*index) == Habit::SingleUse).count();
            assert_eq!(strict * 2, size);
        }
    }
}
