//! Waiting for what a person would look at: phases, reasons, Secrets, Events.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::connection::IntegrationConnectionStatus;
use bowline_testbed::sandbox::Ledger;
use bowline_testbed::wait::{Look, wait_for};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::ListParams;

use crate::scene::Scene;
use crate::stage::HOME;

/// Longer than anything here takes on a busy machine, unless a test says otherwise.
const SOON: Duration = Duration::from_secs(40);

/// Waits until `look` finds what it looks for.
pub async fn until<L: Look>(what: &str, look: impl AsyncFnMut() -> L) -> L::Value {
    until_within(SOON, what, look).await
}

/// Like [`until`], with another deadline.
pub async fn until_within<L: Look>(within: Duration, what: &str, look: impl AsyncFnMut() -> L) -> L::Value {
    wait_for(what, within, look).await.unwrap_or_else(|late| panic!("{late}"))
}

/// The keys of a Secret as text.
pub type Keys = BTreeMap<String, String>;

impl Scene {
    /// The present state of a connection.
    pub async fn get(&self, name: &str) -> IntegrationConnection {
        self.connections().get(name).await.expect("the connection")
    }

    /// Its present status.
    pub async fn status(&self, name: &str) -> IntegrationConnectionStatus {
        self.get(name).await.status.unwrap_or_default()
    }

    /// Waits until a claim about a connection's status holds.
    pub async fn until_status(
        &self,
        name: &str,
        what: &str,
        claim: impl Fn(&IntegrationConnectionStatus) -> bool,
    ) -> IntegrationConnectionStatus {
        self.until_status_within(SOON, name, what, claim).await
    }

    /// Like [`Scene::until_status`], with another deadline.
    pub async fn until_status_within(
        &self,
        within: Duration,
        name: &str,
        what: &str,
        claim: impl Fn(&IntegrationConnectionStatus) -> bool,
    ) -> IntegrationConnectionStatus {
        until_within(within, &format!("{name}: {what}"), async || {
            let connection = self.connections().get(name).await.map_err(|error| error.to_string())?;
            // A status about an older spec is no answer.
            let told = connection.status.clone().unwrap_or_default();
            let current = told.observed_generation == connection.metadata.generation;
            if current && claim(&told) { Ok(told) } else { Err(summary(&told)) }
        })
        .await
    }

    /// Waits until a connection's phase is this word.
    pub async fn until_phase(&self, name: &str, phase: &str) -> IntegrationConnectionStatus {
        self.until_status(name, phase, |status| phase_of(status) == phase).await
    }

    /// Waits until a condition has this reason.
    pub async fn until_reason(&self, name: &str, type_: &str, reason: &str) -> IntegrationConnectionStatus {
        self.until_status(name, &format!("{type_} {reason}"), |status| is(status, type_, reason)).await
    }

    /// Waits until the last attempt has this reason, whatever the state of the grant in use.
    pub async fn until_attempt(&self, name: &str, reason: &str) -> IntegrationConnectionStatus {
        let what = format!("lastAttempt {reason}");
        self.until_status(name, &what, |status| attempt_reason(status).as_deref() == Some(reason)).await
    }

    /// Waits until a Secret in the scene's namespace has its token of this connection, and returns its keys.
    pub async fn secret(&self, name: &str) -> Keys {
        self.secret_in(&self.namespace, name).await
    }

    /// Like [`Scene::secret`], in another namespace.
    pub async fn secret_in(&self, namespace: &str, name: &str) -> Keys {
        until(&format!("Secret {namespace}/{name}"), async || {
            self.secrets(namespace).get_opt(name).await.ok().flatten().map(|secret| keys(&secret))
        })
        .await
    }

    /// The present content of a Secret of the scene's namespace.
    pub async fn secret_now(&self, namespace: &str, name: &str) -> Option<Secret> {
        self.secrets(namespace).get_opt(name).await.expect("the API server answers")
    }

    /// Waits until a claim about a Secret's keys holds.
    pub async fn until_secret(&self, name: &str, what: &str, claim: impl Fn(&Keys) -> bool) -> Keys {
        self.until_secret_in(&self.namespace, name, what, claim).await
    }

    /// Like [`Scene::until_secret`], in another namespace.
    pub async fn until_secret_in(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        claim: impl Fn(&Keys) -> bool,
    ) -> Keys {
        until(&format!("Secret {namespace}/{name}: {what}"), async || {
            let keys = keys(&self.secret_now(namespace, name).await.ok_or("there is none")?);
            if claim(&keys) { Ok(keys) } else { Err("not so") }
        })
        .await
    }

    /// Waits until no Secret has this name.
    pub async fn until_no_secret(&self, namespace: &str, name: &str) {
        until(&format!("no Secret {namespace}/{name}"), async || {
            self.secret_now(namespace, name).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits until a check of the token in use has worked: a refusal counts only where the same call has worked before.
    pub async fn until_checked(&self, within: Duration, name: &str) {
        let record = format!("record-{}", self.get(name).await.metadata.uid.expect("a UID"));
        until_within(within, "a check that worked", async || {
            let data = self.secret_now(HOME, &record).await?.data?;
            let clear = String::from_utf8_lossy(&data["record.json"].0).into_owned();
            clear.contains("provenProbe").then_some(())
        })
        .await;
    }

    /// Waits until the connection is gone.
    pub async fn until_gone(&self, within: Duration, name: &str) {
        until_within(within, &format!("{name} is gone"), async || {
            self.connections().get_opt(name).await.ok().and_then(|found| found.is_none().then_some(()))
        })
        .await;
    }

    /// Waits until a claim about the realm's ledger holds.
    pub async fn until_ledger<T>(&self, what: &str, find: impl FnMut(&Ledger) -> Option<T>) -> T {
        self.until_ledger_within(SOON, what, find).await
    }

    /// Like [`Scene::until_ledger`], with another deadline.
    pub async fn until_ledger_within<T>(
        &self,
        within: Duration,
        what: &str,
        find: impl FnMut(&Ledger) -> Option<T>,
    ) -> T {
        self.realm.wait_for(within, find).await.unwrap_or_else(|error| panic!("ledger, {what}: {error}"))
    }

    /// Waits until the grant was refreshed at least this often in all.
    pub async fn until_refreshed(&self, grant: &str, times: usize) {
        let what = format!("{times} refreshes");
        self.until_ledger(&what, |ledger| (ledger.refreshes_of(grant).len() >= times).then_some(())).await;
    }

    /// Events about a connection: reason and note.
    pub async fn events(&self, namespace: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.admin.clone(), namespace);
        let events = events.list(&ListParams::default()).await.expect("events");
        let told = events
            .into_iter()
            .map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()));
        told.collect()
    }

    /// Waits until an Event with this reason is reported in a namespace, and returns its note.
    pub async fn until_event(&self, namespace: &str, reason: &str) -> String {
        until(&format!("Event {reason}"), async || {
            let told = self.events(namespace).await;
            let found = told.iter().find(|(told, _)| told == reason);
            found.map(|(_, note)| note.clone()).ok_or_else(|| format!("{told:?}"))
        })
        .await
    }
}

/// The keys of a Secret as text.
pub fn keys(secret: &Secret) -> Keys {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// The one word for people, as text.
pub fn phase_of(status: &IntegrationConnectionStatus) -> String {
    status.phase.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// A condition.
pub fn condition<'a>(status: &'a IntegrationConnectionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition has this reason.
pub fn is(status: &IntegrationConnectionStatus, type_: &str, reason: &str) -> bool {
    condition(status, type_).is_some_and(|condition| condition.reason == reason)
}

/// Whether a condition is True.
pub fn holds(status: &IntegrationConnectionStatus, type_: &str) -> bool {
    condition(status, type_).is_some_and(|condition| condition.status == "True")
}

/// The message of a condition.
pub fn words<'a>(status: &'a IntegrationConnectionStatus, type_: &str) -> &'a str {
    condition(status, type_).map_or("", |condition| &condition.message)
}

/// Why the last attempt failed, or what is unknown about it.
pub fn attempt_reason(status: &IntegrationConnectionStatus) -> Option<String> {
    status.last_attempt.as_ref()?.reason.as_ref().map(ToString::to_string)
}

/// The message of the last attempt.
pub fn attempt_words(status: &IntegrationConnectionStatus) -> &str {
    status.last_attempt.as_ref().map_or("", |attempt| &attempt.message)
}

/// The id of the grant in use.
pub fn grant_id(status: &IntegrationConnectionStatus) -> Option<String> {
    status.grant.as_ref().map(|grant| grant.id.clone())
}

fn summary(status: &IntegrationConnectionStatus) -> String {
    let conditions = status.conditions.iter();
    let conditions =
        conditions.map(|condition| format!("{}={} {}", condition.type_, condition.status, condition.reason));
    let attempt = status.last_attempt.as_ref();
    let attempt = attempt.map(|it| format!("{} {:?}", it.result, it.reason)).unwrap_or_default();
    format!("{} [{}] last attempt: {attempt}", phase_of(status), conditions.collect::<Vec<_>>().join(", "))
}
