//! Situations, built like sentences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::attempt::secret::to_secret;
use bowline_api::attempt::{Attempt, ConnectionRef, DeviceCode, Step};
use bowline_api::connection::{
    AttemptMethod, AttemptResult, FailureStatus, GrantStatus, LastAttempt, RulingStatus, TokenStatus,
};
use bowline_api::reason::Reason;
use bowline_api::{IntegrationConnection, IntegrationConnectionStatus, IntegrationProviderSpec};
use bowline_oauth::catalog;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_runtime::attempts::{self, StoredAttempt};
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;

use crate::connection::decide::{ConnectionPlan, decide};
use crate::connection::observed::{ObservedConnection, Present, RecordState};
use crate::grant::desk::WorkView;
use crate::grant::outcome::{FinishedWork, Outcome};
use crate::grant::schedule::RefreshBounds;
use crate::grant::target::Target;
use crate::grant::target::tests::Offline;
use crate::kube_ext::coalesce::Coalesced;
use crate::publishing::PublishedVersion;
use crate::sharing::Shared;
use crate::sharing::terms::TermsInForce;
use crate::vault::record::GrantVersion;
use crate::vault::{Binding, Credential, Grant};
use crate::world::{ProviderUse, UnusableProvider};

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A situation, built like a sentence. The token lives an hour and was obtained at second 0.
pub(super) struct Situation {
    pub(super) connection: IntegrationConnection,
    pub(super) observed: ObservedConnection,
    pub(super) now: Timestamp,
}

pub(super) fn target(entry: &str) -> Arc<Target> {
    let spec: IntegrationProviderSpec = serde_json::from_value(json!({
        "type": entry, "contact": "platform@example.com",
        "endpoints": {"token": "https://p.example/token", "userinfo": "https://p.example/me"},
    }))
    .unwrap();
    target_of(&spec)
}

pub(super) fn target_of(spec: &IntegrationProviderSpec) -> Arc<Target> {
    let entry = catalog::entry_of(spec).unwrap();
    let description = catalog::resolve(&entry, spec, "p", &BTreeMap::new()).unwrap();
    Arc::new(Target::new(description, spec.clone(), None, Arc::new(Offline::default())))
}

fn grant() -> Grant {
    Grant {
        credential: Credential::OAuth {
            refresh_token: Some(SecretString::from("r")),
            access_token: Some(SecretString::from("a")),
            token_type: "Bearer".to_owned(),
        },
        claims: BTreeMap::new(),
        scopes: None,
        obtained_at: at(0),
        expires_at: Some(at(3_600)),
        refresh_expires_at: None,
        refresh_end_moves: None,
        refresh_issued_at: None,
        published_extras: BTreeMap::new(),
        bound_to: Binding {
            owner: "alice".to_owned(),
            authority: "https://p.example".to_owned(),
            addresses: target("sandbox").addresses().clone(),
            client_id: None,
            account: None,
        },
        source: None,
        consent: crate::vault::Consent::default(),
    }
}

/// The grant in use was refreshed this often.
pub(super) fn version(revision: i64) -> GrantVersion {
    let id = "0123456789abcdef0123456789abcdef".to_owned().try_into().unwrap();
    GrantVersion { id, revision, ordinal: 1 }
}

/// A connection of alice's that nobody has authorized yet; the provider can be used.
pub(super) fn connection() -> Situation {
    let connection = serde_json::from_value(json!({
        "metadata": {"name": "c", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"provider": "p", "owner": "alice"},
    }))
    .unwrap();
    let observed = ObservedConnection {
        adoptable: None,
        disconnect_pause: Duration::from_secs(30),
        reached_limit: None,
        workspace_contact: None,
        provider: Ok(target("sandbox")),
        next_probe: None,
        usage: ProviderUse::Allowed,
        incident: None,
        token_incident: None,
        probe: None,
        record: RecordState::Missing,
        newest_known: None,
        endings: Vec::new(),
        secret: None,
        written: None,
        actor: WorkView::default(),
        app_version: Some("s/1".into()),
        credentials: None,
        requests_from: None,
        missing_policies: Arc::default(),
        namespace_unreadable: false,
        attempts: Vec::new(),
        newest_attempt: None,
        portal: None,
        terms: TermsInForce::AsSpecified,
        shared: Shared::NotAsked,
        shares: Vec::new(),
        dependents: Coalesced { told: None, rest_at: None },
        delivery: Coalesced { told: None, rest_at: None },
        sharer: None,
        is_reserved: false,
        takes_anothers_name: false,
    };
    Situation { connection, observed, now: at(60) }
}

/// The same, authorized and published: everything is well.
pub(super) fn good() -> Situation {
    connection().authorized().published()
}

impl Situation {
    /// With this in the object.
    pub(super) fn object(mut self, change: impl FnOnce(&mut IntegrationConnection)) -> Self {
        change(&mut self.connection);
        self
    }

    pub(super) fn status(self, change: impl FnOnce(&mut IntegrationConnectionStatus)) -> Self {
        self.object(|connection| change(connection.status.get_or_insert_default()))
    }

    pub(super) fn token(self, change: impl FnOnce(&mut TokenStatus)) -> Self {
        self.status(|status| change(status.token.get_or_insert_default()))
    }

    /// With this in what was observed.
    pub(super) fn seen(mut self, change: impl FnOnce(&mut ObservedConnection)) -> Self {
        change(&mut self.observed);
        self
    }

    pub(super) fn busy(self) -> Self {
        self.seen(|observed| observed.actor.busy = true)
    }

    /// Somebody else changed the published Secret.
    pub(super) fn edited(self) -> Self {
        let secret = ObjectVersion { uid: "s".into(), resource_version: "8".into() };
        self.seen(|observed| observed.secret = Some(secret))
    }

    /// A refresh is requested.
    pub(super) fn requested(self, request: &str) -> Self {
        self.annotated("bowline.dev/refresh-requested-at", request)
    }

    pub(super) fn authorized(mut self) -> Self {
        self.observed.record = RecordState::Present(Present {
            revision: 3,
            grant: Some(Arc::new(grant())),
            version: Some(version(3)),
            pause: None,
            disconnected_at: None,
            is_dead: false,
            has_candidate: false,
            candidate_owner: None,
            consented_at: None,
            doubted_since: None,
            unknown_since: None,
        });
        self.connection.status = Some(IntegrationConnectionStatus {
            connected_at: Some(Time(at(0))),
            observed_generation: Some(1),
            grant: Some(GrantStatus {
                id: version(3).id.to_string(),
                revision: 3,
                ordinal: Some(1),
                obtained_at: Time(at(0)),
                expires_at: None,
                reminder: None,
            }),
            token: Some(TokenStatus {
                expires_at: Some(Time(at(3_600))),
                refreshable: Some(true),
                ..TokenStatus::default()
            }),
            ..IntegrationConnectionStatus::default()
        });
        self
    }

    pub(super) fn published(mut self) -> Self {
        self.observed.written = Some(PublishedVersion {
            name: "c".into(),
            uid: "s".into(),
            resource_version: Some("7".into()),
            grant: Some(version(3)),
            described: self.observed.target().map(|target| target.description().publishing_digest()),
        });
        self.observed.secret = Some(ObjectVersion { uid: "s".into(), resource_version: "7".into() });
        self.told("SecretPublished", "True", Reason::Published)
    }

    #[allow(clippy::needless_pass_by_value, reason = "a literal reads better without a borrow")]
    pub(super) fn spec(mut self, change: serde_json::Value) -> Self {
        let mut spec = serde_json::to_value(&self.connection.spec).unwrap();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        self.connection.spec = serde_json::from_value(spec).unwrap();
        self
    }

    pub(super) fn annotated(mut self, name: &str, value: &str) -> Self {
        self.connection.metadata.annotations.get_or_insert_default().insert(name.into(), value.into());
        self
    }

    pub(super) fn provider(self, provider: Result<Arc<Target>, UnusableProvider>) -> Self {
        self.seen(|observed| observed.provider = provider)
    }

    pub(super) fn record(self, record: RecordState) -> Self {
        self.seen(|observed| observed.record = record)
    }

    pub(super) fn present(self, change: impl FnOnce(&mut Present)) -> Self {
        self.seen(|observed| {
            let RecordState::Present(present) = &mut observed.record else { panic!("there is no record") };
            change(present);
        })
    }

    pub(super) fn grant(self, change: impl FnOnce(&mut Grant)) -> Self {
        self.present(|present| {
            let mut grant = Grant::clone(present.grant.as_ref().unwrap());
            change(&mut grant);
            present.grant = Some(Arc::new(grant));
        })
    }

    /// A newer revision of the grant is on record than the one in status.
    pub(super) fn refreshed(self) -> Self {
        self.present(|present| {
            present.revision = 4;
            present.version = Some(version(4));
        })
    }

    /// What status remembers of the provider's decision.
    pub(super) fn ruled(self, reason: Reason) -> Self {
        let ruling = RulingStatus {
            reason: reason.into(),
            since: Time(at(0)),
            is_final: matches!(reason, Reason::GrantRevoked | Reason::GrantExpired),
            grant: Some(version(3).id.to_string()),
            message: "as before".into(),
        };
        self.status(|status| status.ruling = Some(ruling))
    }

    /// What status remembers of the last attempt.
    pub(super) fn tried(self, result: AttemptResult, reason: Reason) -> Self {
        let is_over = result != AttemptResult::Running;
        let attempt = LastAttempt {
            id: "earlier".into(),
            method: AttemptMethod::AuthorizationCode.into(),
            requested_by: Some("alice".into()),
            started_at: Time(at(0)),
            ended_at: is_over.then_some(Time(at(1))),
            grant_in_use: None,
            result: result.into(),
            reason: is_over.then_some(reason.into()),
            message: "as before".into(),
        };
        self.status(|status| status.last_attempt = Some(attempt))
    }

    /// An attempt whose grant is on record and is being judged.
    pub(super) fn trying(self) -> Self {
        self.tried(AttemptResult::Running, Reason::AuthorizationInProgress).busy()
    }

    pub(super) fn told(self, type_: &str, status: &str, reason: Reason) -> Self {
        let condition = Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.to_string(),
            message: "as before".into(),
            last_transition_time: Time(at(0)),
            observed_generation: None,
        };
        self.status(|status| status.conditions.push(condition))
    }

    /// This many refreshes failed, and the provider refused this many of them; the last one for this reason.
    pub(super) fn failed_before(self, failures: i32, refusals: i32, reason: Reason) -> Self {
        self.token(|token| {
            token.consecutive_failures = Some(failures);
            token.consecutive_refusals = Some(refusals);
            token.next_refresh_at = Some(Time(at(0)));
            let (at, message) = (Time(at(0)), "No.".into());
            token.last_failure =
                Some(FailureStatus { at, reason: reason.into(), message, app_version: None });
        })
    }

    pub(super) fn came(mut self, outcome: Outcome) -> Self {
        self.observed.actor.finished = Some(FinishedWork {
            id: 1,
            at: self.now,
            request: None,
            app_version: self.observed.app_version.clone(),
            authorization: None,
            announcement: None,
            source: None,
            outcome,
        });
        self
    }

    pub(super) fn at_second(mut self, second: i64) -> Self {
        self.now = at(second);
        self
    }

    pub(super) fn decided(&self) -> ConnectionPlan {
        decide(&self.connection, &self.observed, self.now, RefreshBounds::default())
    }
}

/// An attempt of alice with its Secret of this name, begun at this second.
pub(super) fn attempt(name: &str, second: i64, step: Step) -> StoredAttempt {
    let attempt = Attempt {
        terms: None,
        user: "alice".into(),
        person: None,
        connection: ConnectionRef { namespace: "n".into(), name: "c".into(), uid: "u".into() },
        request: None,
        provider: "p".into(),
        started_at: at(second),
        expires_at: at(second + 600),
        step,
    };
    attempts::read(&to_secret(name, &attempt).unwrap()).unwrap()
}

/// A code that waits to be typed, polled from this second on.
pub(super) fn waiting(next_poll: i64) -> Step {
    let code = DeviceCode {
        user_code: "AB-CD".into(),
        verification_uri: "https://p.example/device".into(),
        verification_uri_complete: None,
    };
    Step::Waiting { code, next_poll: at(next_poll), interval: 5, sealed: ByteString(vec![1]) }
}

pub(super) fn failure(class: Class) -> Failure {
    Failure {
        class,
        code: None,
        status: Some(400),
        retry_after: None,
        sent: Sent::Refused,
        proves_revoked: false,
        client_refused: false,
        summary: "The provider said no.".to_owned(),
    }
}

pub(super) fn refused(class: Class) -> Outcome {
    Outcome::Failed { used: Some(version(3)), failure: failure(class) }
}
