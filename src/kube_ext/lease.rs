//! Which of several replicas leads: a Lease that one of them holds and renews.
//!
//! The others count on their own clock how long it stays unrenewed, so the clocks of two machines need not agree. The holder
//! stops acting before any of them can take it: its [`Claim`] is shorter than the Lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_runtime::clock::MachineClocks;
use bowline_runtime::steps::TimeReading;
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::{ObjectMeta, Status};
use kube::{Api, Client, Error};
use tokio::time::{sleep, timeout};

const LEASE: &str = "bowline";
/// How long the Lease is respected without being renewed.
const RESPECTED_FOR: Duration = Duration::from_secs(10);
/// How long its holder acts without renewing it.
const CLAIMED_FOR: Duration = Duration::from_secs(8);
const RENEW_EVERY: Duration = Duration::from_secs(2);
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// Says whether this process leads. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Claim {
    clocks: MachineClocks,
    renewed: Arc<Mutex<Option<TimeReading>>>,
}

impl Claim {
    /// Whether it leads now, by whichever of its clocks says that the most time has passed since the Lease was renewed.
    pub(crate) fn holds(&self) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.is_some_and(|renewed| self.clocks.read().at_most_since(&renewed) < CLAIMED_FOR)
    }

    fn set(&self, renewed: Option<TimeReading>) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
    }
}

/// One process's part in who leads.
pub(crate) struct Election {
    leases: Api<Lease>,
    /// `POD/RANDOM`. A former process of the same pod is gone, so its Lease is taken at once; if it is not, it learns from
    /// the other random part that it leads no more.
    holder: String,
    claim: Claim,
    has_led: bool,
    /// The Lease as this process wrote it last.
    ours: Option<Lease>,
    /// Another's Lease, and since when it has been as it is.
    watched: Option<(LeaseSpec, TimeReading)>,
}

#[derive(Debug, PartialEq, Eq)]
enum LeaseState {
    Leads,
    /// It could not renew the Lease for so long that it had stopped acting, or it leads for the first time.
    LeadsAgain,
    /// Somebody else does, or may.
    Waits,
}

impl Election {
    pub(crate) fn new(client: Client, namespace: &str, holder: String) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, holder, claim: Claim::default(), has_led: false, ours: None, watched: None }
    }

    pub(crate) fn claim(&self) -> Claim {
        self.claim.clone()
    }

    /// Returns when this process leads.
    pub(crate) async fn win(&mut self) {
        while self.stand().await == LeaseState::Waits {
            sleep(RENEW_EVERY).await;
        }
    }

    /// Renews the Lease, and returns when another process holds it. `regained` is called when this process could not renew
    /// it for so long that it stopped acting, and then could.
    pub(crate) async fn keep(&mut self, regained: impl Fn()) {
        loop {
            sleep(RENEW_EVERY).await;
            match self.stand().await {
                LeaseState::LeadsAgain => regained(),
                LeaseState::Waits if self.watched.is_some() => return,
                LeaseState::Leads | LeaseState::Waits => {}
            }
        }
    }

    /// Gives the Lease up, so that another replica need not wait.
    pub(crate) async fn release(&mut self) {
        self.claim.set(None);
        let Some(mut lease) = self.ours.take() else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        if !matches!(timeout(CALL_LIMIT, self.replace(&lease)).await, Ok(Ok(_))) {
            tracing::info!("the Lease is not released: another replica waits until it runs out");
        }
    }

    /// Takes or renews the Lease. What fails is done again, and the claim runs out meanwhile.
    async fn stand(&mut self) -> LeaseState {
        let asked_at = self.claim.clocks.read();
        match timeout(CALL_LIMIT, self.write()).await {
            Ok(Ok(Some(lease))) => {
                // Asked now: it may have run out while the API server took its time.
                let lapsed = !self.claim.holds();
                self.claim.set(Some(asked_at));
                (self.ours, self.watched, self.has_led) = (Some(lease), None, true);
                return if lapsed { LeaseState::LeadsAgain } else { LeaseState::Leads };
            }
            Ok(Ok(None)) => {}
            Ok(Err(Error::Api(status))) if is_lost_race(&status) => self.ours = None,
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "the Lease cannot be renewed now"),
            // Whether it was written is not known: the next one reads it.
            Err(_) => self.ours = None,
        }
        LeaseState::Waits
    }

    /// The Lease as written, or `None` while another process holds it.
    async fn write(&mut self) -> Result<Option<Lease>, Error> {
        if let Some(ours) = &self.ours {
            return self.replace(&self.renewed(ours)).await.map(Some);
        }
        let Some(lease) = self.leases.get_opt(LEASE).await? else {
            let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
            let lease = self.renewed(&Lease { metadata, spec: None });
            return self.leases.create(&PostParams::default(), &lease).await.map(Some);
        };
        // Read after the answer: what was seen was so then, and not only when it was asked for.
        if self.may_take(lease.spec.clone().unwrap_or_default(), &self.claim.clocks.read()) {
            return self.replace(&self.renewed(&lease)).await.map(Some);
        }
        Ok(None)
    }

    /// Writes onto the version that was read.
    async fn replace(&self, lease: &Lease) -> Result<Lease, Error> {
        self.leases.replace(LEASE, &PostParams::default(), lease).await
    }

    fn may_take(&mut self, spec: LeaseSpec, now: &TimeReading) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        // A process that has led and lost the Lease to another does not come back.
        let is_free = !self.has_led && (holder.is_empty() || is_same_pod(holder, &self.holder));
        if holder == self.holder || is_free {
            return true;
        }
        match &self.watched {
            Some((seen, since)) if *seen == spec => {
                !self.has_led && now.at_least_since(since) >= respected_for(&spec)
            }
            _ => {
                let known = self.watched.as_ref().and_then(|(seen, _)| seen.holder_identity.as_deref());
                if known != Some(holder) {
                    tracing::info!(holder, "another replica leads");
                }
                self.watched = Some((spec, *now));
                false
            }
        }
    }

    fn renewed(&self, lease: &Lease) -> Lease {
        let former = lease.spec.clone().unwrap_or_default();
        let now = Some(MicroTime(self.claim.clocks.read().wall));
        let is_ours = former.holder_identity.as_deref() == Some(&self.holder);
        let transitions = former.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(RESPECTED_FOR.as_secs()).ok(),
            acquire_time: if is_ours { former.acquire_time } else { now.clone() },
            renew_time: now,
            lease_transitions: Some(if is_ours { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..lease.clone() }
    }
}

/// Whether two holders, `POD/RANDOM`, are processes of one pod: then the former one is gone.
pub(crate) fn is_same_pod(one: &str, other: &str) -> bool {
    let pod = |holder: &str| holder.rsplit_once('/').map_or(holder.to_owned(), |(pod, _)| pod.to_owned());
    pod(one) == pod(other)
}

/// As its holder wrote it: another version of the operator may use another time.
fn respected_for(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(RESPECTED_FOR, Duration::from_secs)
}

fn is_lost_race(status: &Status) -> bool {
    status.is_conflict() || status.is_already_exists() || status.is_not_found()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::Json;
    use axum::Router;
    use axum::extract::State;
    use axum::http::{Method, StatusCode};
    use axum::response::{IntoResponse, Response};
    use serde_json::{Value, json};

    use super::*;

    /// An API server with one Lease, which accepts a write only onto the version that is there.
    #[derive(Clone, Default)]
    struct Leases(Arc<Mutex<Option<Value>>>);

    impl Leases {
        fn election(&self, holder: &str) -> Election {
            let client = Client::new(Router::new().fallback(serve).with_state(self.clone()), "default");
            Election::new(client, "bowline-system", holder.to_owned())
        }

        fn holder(&self) -> Value {
            self.0.lock().unwrap().as_ref().unwrap()["spec"]["holderIdentity"].clone()
        }
    }

    async fn serve(State(leases): State<Leases>, method: Method, sent: Option<Json<Value>>) -> Response {
        let failure = |code: StatusCode, reason: &str| {
            let status =
                json!({"kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason});
            (code, Json(status)).into_response()
        };
        let mut there = leases.0.lock().unwrap();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        let next = match (method.as_str(), &*there, sent) {
            ("GET", Some(lease), _) => return Json(lease.clone()).into_response(),
            ("GET" | "PUT", None, _) => return failure(StatusCode::NOT_FOUND, "NotFound"),
            ("POST", Some(_), _) => return failure(StatusCode::CONFLICT, "AlreadyExists"),
            ("PUT", Some(lease), Some(Json(sent))) if version(lease) != version(&sent) => {
                return failure(StatusCode::CONFLICT, "Conflict");
            }
            (_, _, sent) => sent.unwrap().0,
        };
        let number = there.as_ref().map_or(0, |lease| version(lease).as_str().unwrap().parse().unwrap());
        let mut next = next;
        next["metadata"]["resourceVersion"] = format!("{}", number + 1_u64).into();
        *there = Some(next.clone());
        Json(next).into_response()
    }

    #[tokio::test]
    async fn class_27_of_two_one_leads_and_the_other_follows_at_once_when_the_first_releases_it() {
        let leases = Leases::default();
        let (mut first, mut second) = (leases.election("a/1"), leases.election("b/1"));
        assert_eq!(first.stand().await, LeaseState::LeadsAgain);
        assert_eq!(first.stand().await, LeaseState::Leads);
        assert_eq!(second.stand().await, LeaseState::Waits);
        assert!(first.claim().holds() && !second.claim().holds());
        first.release().await;
        assert!(!first.claim().holds());
        assert_eq!(second.stand().await, LeaseState::LeadsAgain);
        assert_eq!(leases.holder(), "b/1");
    }

    #[tokio::test]
    async fn class_27_a_lease_is_taken_when_it_was_watched_unrenewed_for_its_time_and_no_sooner() {
        let leases = Leases::default();
        let (mut first, mut second) = (leases.election("a/1"), leases.election("b/1"));
        first.stand().await;
        let spec = || {
            serde_json::from_value::<Lease>(leases.0.lock().unwrap().clone().unwrap()).unwrap().spec.unwrap()
        };
        let seen = second.claim.clocks.read();
        let after = |passed: Duration| TimeReading { running: seen.running + passed, ..seen };
        assert!(!second.may_take(spec(), &seen));
        assert!(!second.may_take(spec(), &after(RESPECTED_FOR / 2)));
        assert!(second.may_take(spec(), &after(RESPECTED_FOR)));
        // Once it is renewed, the time counts again from there.
        let renewed = LeaseSpec { renew_time: Some(MicroTime(k8s_openapi::jiff::Timestamp::MAX)), ..spec() };
        assert!(!second.may_take(renewed, &after(RESPECTED_FOR)));
    }

    #[tokio::test]
    async fn class_27_a_new_process_of_the_same_pod_need_not_wait_and_a_former_one_that_lives_gives_way() {
        let leases = Leases::default();
        let (mut former, mut new) = (leases.election("a/1"), leases.election("a/2"));
        former.stand().await;
        assert_eq!(new.stand().await, LeaseState::LeadsAgain);
        assert_eq!(former.stand().await, LeaseState::Waits, "its version is not the one that is there");
        former.stand().await;
        assert_eq!(leases.holder(), "a/2");
        assert!(former.watched.is_some(), "it knows that it has lost");
    }

    #[test]
    fn class_27_a_claim_ends_before_anybody_may_take_the_lease() {
        assert!(CLAIMED_FOR + RENEW_EVERY <= RESPECTED_FOR);
        let claim = Claim::default();
        assert!(!claim.holds());
        let now = claim.clocks.read();
        claim.set(Some(now));
        assert!(claim.holds());
        claim.set(Some(TimeReading { wall: now.wall - CLAIMED_FOR, ..now }));
        assert!(!claim.holds());
    }
}
