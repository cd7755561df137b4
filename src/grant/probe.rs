//! Probes: whether the provider still honors the token or key in use, asked between refreshes with one cheap call.
//!
//! The entry says how often and with which call (`probe` in the catalogue, [`bowline_oauth::probe`]); a key is checked as
//! `key.validate` says. The connection's decision says when, [`probe`] asks, and [`Probes`] remembers what came of it for this
//! process. A probe spends no refresh token and waits in no queue, and a refusal by itself decides nothing:
//!
//! - It counts only where the same call has worked with the same grant before, which the record remembers.
//! - What several accounts hear at once is about the provider ([`Trouble::Tokens`](super::incident::Trouble)).
//! - A second one asks for a refresh, whose answer decides. Only where there is nothing to refresh does a third one decide.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bowline_oauth::classify::Failure;
use bowline_oauth::probe::{credential, key_probe, refuses, token, token_probes};
use k8s_openapi::jiff::Timestamp;

use super::intake::key_credential;
use super::slot::access_token;
use super::target::Target;
use super::work::Job;
use super::{Engine, lock};
use crate::metrics::Operation;
use crate::vault::record::{GrantVersion, ProvenProbe};
use crate::vault::{Credential, Grant, Slot};

/// So many refusals in a row ask for a refresh.
pub(crate) const CONFIRMED: u32 = 2;

/// So many refusals in a row end a grant that cannot be refreshed.
pub(crate) const DECISIVE: u32 = 3;

/// What probes have shown to this process, by UID of the connection.
#[derive(Default)]
pub(crate) struct Probes(Mutex<HashMap<String, ProbeView>>);

/// What the probes of one token have shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProbeView {
    version: GrantVersion,
    /// When the last one was begun; before the first, when this process first saw the token.
    pub(crate) since: Timestamp,
    /// Whether there was none yet.
    pub(crate) is_first: bool,
    /// Whether the last one that said something was accepted.
    pub(crate) accepted: bool,
    /// Refusals in a row.
    pub(crate) refusals: u32,
    pub(crate) refusal: Option<Arc<Failure>>,
    /// None is sent before this.
    pub(crate) held_until: Option<Timestamp>,
    /// The token before it was refused, too, and replaced for that: refusals count only after a success.
    is_doubted: bool,
}

/// What one probe showed.
enum ProbeFinding {
    Accepted,
    Refused(Failure),
    /// Nothing about the token. `of_everybody`: earlier refusals are worth nothing either.
    Nothing {
        of_everybody: bool,
    },
    /// It was not sent.
    Held {
        until: Timestamp,
    },
}

const NOTHING: ProbeFinding = ProbeFinding::Nothing { of_everybody: false };

impl ProbeView {
    /// The token of this version, which this process sees now for the first time.
    pub(crate) fn seen(version: GrantVersion, since: Timestamp) -> Self {
        Self {
            version,
            since,
            is_first: true,
            accepted: false,
            refusals: 0,
            refusal: None,
            held_until: None,
            is_doubted: false,
        }
    }

    fn take(&mut self, finding: ProbeFinding) {
        match finding {
            ProbeFinding::Accepted => {
                (self.accepted, self.is_doubted) = (true, false);
                (self.refusals, self.refusal) = (0, None);
            }
            ProbeFinding::Refused(_) if self.is_doubted => {}
            ProbeFinding::Refused(failure) => {
                (self.accepted, self.refusal) = (false, Some(Arc::new(failure)));
                self.refusals += 1;
            }
            ProbeFinding::Nothing { of_everybody: false } => {}
            ProbeFinding::Nothing { of_everybody: true } => (self.refusals, self.refusal) = (0, None),
            ProbeFinding::Held { until } => self.held_until = Some(until),
        }
    }
}

impl Probes {
    /// What is known of the token of this version. `of_everybody`: the provider refuses several at once, so that no refusal is
    /// worth anything.
    pub(crate) fn view(
        &self,
        uid: &str,
        version: GrantVersion,
        now: Timestamp,
        of_everybody: bool,
    ) -> ProbeView {
        let mut all = lock(&self.0);
        let view = all.entry(uid.to_owned()).or_insert_with(|| ProbeView::seen(version, now));
        if view.version != version {
            let was_refused = view.refusals >= CONFIRMED || view.is_doubted;
            let is_doubted = was_refused && view.version.id == version.id;
            *view = ProbeView { is_doubted, ..ProbeView::seen(version, now) };
        }
        if of_everybody {
            view.take(ProbeFinding::Nothing { of_everybody });
        }
        view.clone()
    }

    /// The connection is gone.
    pub(super) fn forget(&self, uid: &str) {
        lock(&self.0).remove(uid);
    }

    /// A probe begins: whatever becomes of it, the next one waits.
    fn begins(&self, uid: &str, now: Timestamp) {
        if let Some(view) = lock(&self.0).get_mut(uid) {
            (view.since, view.is_first, view.held_until) = (now, false, None);
        }
    }

    fn found(&self, uid: &str, version: GrantVersion, finding: ProbeFinding) {
        if let Some(view) = lock(&self.0).get_mut(uid).filter(|view| view.version == version) {
            view.take(finding);
        }
    }
}

/// Whether the description says how this grant's token or key is checked, at an address that the grant is bound to.
pub(crate) fn is_possible(target: &Target, grant: &Grant) -> bool {
    let description = target.description();
    match grant.credential {
        Credential::OAuth { .. } => {
            let mut probes = token_probes(description).into_iter();
            access_token(grant).is_some() && probes.any(|it| grant.bound_to.names(it.place, it.url.as_str()))
        }
        Credential::ApiKey { .. } | Credential::Basic { .. } => {
            key_probe(description).is_some_and(|(place, url)| grant.bound_to.names(place, url.as_str()))
        }
        // They are ours.
        Credential::IssuedKeys { .. } => false,
    }
}

/// Sends one probe with the token or key in use, unless the outcome of a refresh is open. What it shows is in [`Probes`].
pub(super) async fn probe(engine: &Engine, job: &Job) {
    engine.probes.begins(&job.place.uid, engine.records.clock.now());
    tokio::select! {
        biased;
        // Dropping a probe harms nothing, and whoever comes in between waits for nothing.
        () = job.gives_way.cancelled() => {}
        found = find_out(engine, job) => {
            if let Some((version, finding)) = found {
                engine.probes.found(&job.place.uid, version, finding);
            }
        }
    }
}

async fn find_out(engine: &Engine, job: &Job) -> Option<(GrantVersion, ProbeFinding)> {
    let record = engine.records.get(&job.place.uid)?.record;
    let opened = engine.records.opened(&record, Slot::InUse)?;
    let version = opened.version().filter(|_| record.intent(Slot::InUse).is_none())?;
    if let Err(until) = engine.gate.admit_probe(job) {
        return Some((version, ProbeFinding::Held { until }));
    }
    let Some((address, answer)) = ask(engine, job, &opened.grant).await else {
        return Some((version, NOTHING));
    };
    let proven = ProvenProbe { grant: version.id, address };
    let is_proven = record.bookkeeping().proven_probe.as_ref() == Some(&proven);
    let finding = match answer {
        Ok(()) => {
            engine.gate.token_works(job, &opened.grant);
            if !is_proven {
                engine.records.remember_probe(&job.place.uid, &proven).await;
            }
            ProbeFinding::Accepted
        }
        Err(failure) if refuses(&failure) && is_proven => {
            let is_alone = engine.gate.token_refused(job, &opened.grant);
            if is_alone {
                ProbeFinding::Refused(failure)
            } else {
                ProbeFinding::Nothing { of_everybody: true }
            }
        }
        Err(failure) => {
            engine.gate.probe_failed(job, &failure);
            NOTHING
        }
    };
    Some((version, finding))
}

/// The answer of the first call that says something, or else of the last, with its address. `None`: nothing may be sent.
async fn ask(engine: &Engine, job: &Job, grant: &Grant) -> Option<(String, Result<(), Failure>)> {
    let (http, description) = (job.target.http(), job.target.description());
    let now = engine.records.clock.now();
    let app = engine.secrets.app(job).await.ok()?;
    grant.bound_to.fits(&job.terms(app.as_deref())).ok()?;
    if let Some(key) = key_credential(job, grant).ok()? {
        let (place, url) = key_probe(description)?;
        let checked = credential(http, description, &key, now);
        let may_go = grant.bound_to.names(place, url.as_str());
        return if may_go {
            Some((url.to_string(), engine.gate.timed(Operation::Probe, checked).await))
        } else {
            None
        };
    }
    let mut last = None;
    for probe in token_probes(description) {
        if !grant.bound_to.names(probe.place, probe.url.as_str()) {
            continue;
        }
        let checked = token(http, description, app.as_deref(), probe, access_token(grant)?, now);
        let answer = engine.gate.timed(Operation::Probe, checked).await;
        let is_told = answer.as_ref().err().is_none_or(refuses);
        last = Some((probe.url.to_string(), answer));
        if is_told {
            break;
        }
    }
    last
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use k8s_openapi::jiff::SignedDuration;
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::grant::fixtures::{Bench, at, job, oauth_grant, place, target_with};
    use crate::grant::work::Task;
    use crate::vault::Account;

    const ENTRY: &str = "sandbox";
    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    /// A provider whose user info answers with a status that the test chooses, and the desk in front of it.
    struct Stage {
        bench: Bench,
        status: Arc<AtomicU16>,
        job: Job,
    }

    impl Stage {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let status = Arc::new(AtomicU16::new(200));
            let told = Arc::clone(&status);
            let answer = move || {
                let status = StatusCode::from_u16(told.load(Ordering::SeqCst)).unwrap();
                std::future::ready((status, r#"{"sub":"8"}"#))
            };
            tokio::spawn(async move { axum::serve(listener, Router::new().route("/me", get(answer))).await });
            let endpoints = json!({"token": format!("{base}/token"), "userinfo": format!("{base}/me")});
            let job = Job { target: target_with(ENTRY, &endpoints), ..job(ENTRY, Task::Probe) };
            Self { bench: Bench::start().await, status, job }
        }

        /// Puts a grant of this person's on record, whose connection has this UID.
        async fn holds(&self, uid: &str) {
            let bound_to = self.job.binding(self.job.target.app().map(AsRef::as_ref));
            let account = Some(Account { id: uid.to_owned(), name: None, email: None });
            let mut grant = oauth_grant(ENTRY, "r");
            grant.bound_to = crate::vault::Binding { account, ..bound_to };
            self.bench.keep(self.bench.holding(uid, &grant)).await;
        }

        /// Probes when the provider answers with this status; a minute passes before.
        async fn probes(&self, uid: &str, status: u16) -> ProbeView {
            self.bench.clock.advance(MINUTE);
            self.probes_at_once(uid, status).await
        }

        async fn probes_at_once(&self, uid: &str, status: u16) -> ProbeView {
            self.status.store(status, Ordering::SeqCst);
            self.view(uid);
            self.bench.desk.submit(Job { place: place(uid), ..self.job.clone() });
            let seen = self.bench.worked(uid).await;
            assert!(seen.finished.is_none() && seen.rest_until.is_none(), "a probe delays no other work");
            self.view(uid)
        }

        fn view(&self, uid: &str) -> ProbeView {
            let version = self.bench.loaded(uid).record.grant_version().unwrap();
            self.bench.desk.probes().view(uid, version, self.bench.engine().records.clock.now(), false)
        }
    }

    #[tokio::test]
    async fn refusals_count_once_the_call_has_worked_and_a_provider_in_trouble_adds_none() {
        let stage = Stage::start().await;
        stage.holds("u1").await;
        assert_eq!(stage.probes("u1", 401).await.refusals, 0, "perhaps it never works with this grant");
        assert!(stage.probes("u1", 200).await.accepted);
        let writes = stage.bench.api.writes();
        assert!(stage.probes("u1", 200).await.accepted);
        assert_eq!(stage.bench.api.writes(), writes, "that it works is put on record once");
        for status in [401, 503, 403, 429] {
            assert_eq!(stage.probes("u1", status).await.refusals, 1, "{status}");
        }
        let held = stage.probes_at_once("u1", 401).await;
        assert_eq!((held.refusals, held.held_until.is_some()), (1, true), "it asked to wait");
        let view = stage.probes("u1", 401).await;
        assert_eq!((view.refusals, view.accepted, view.is_first, view.held_until), (2, false, false, None));
        assert!(view.refusal.unwrap().summary.contains("401"));
        assert_eq!(stage.probes("u1", 200).await.refusals, 0);
    }

    #[tokio::test]
    async fn what_three_people_hear_at_once_is_about_the_provider() {
        let stage = Stage::start().await;
        for uid in ["u1", "u2", "u3"] {
            stage.holds(uid).await;
            stage.probes(uid, 200).await;
        }
        assert_eq!(stage.probes("u1", 401).await.refusals, 1);
        assert_eq!(stage.probes("u2", 401).await.refusals, 1);
        assert_eq!(stage.probes("u3", 401).await.refusals, 0);
        let engine = stage.bench.engine();
        let now = engine.records.clock.now();
        let version = stage.bench.loaded("u1").record.grant_version().unwrap();
        assert_eq!(engine.probes.view("u1", version, now, true).refusals, 0, "that of the others, too");
        assert!(stage.probes("u2", 200).await.accepted, "it works again for one");
        assert_eq!(stage.probes("u1", 401).await.refusals, 1, "so this is about its own token");
    }

    #[tokio::test]
    async fn nothing_is_sent_while_the_outcome_of_a_refresh_is_open_or_to_an_address_that_nobody_consented_to()
     {
        let stage = Stage::start().await;
        stage.holds("u1").await;
        stage.probes("u1", 200).await;
        let intent = crate::vault::IntentId::generate().unwrap();
        let open = |record: crate::vault::Record| record.with_intent(Slot::InUse, None, intent, "us", at(0));
        let _ = stage.bench.engine().records.settle("u1", open).await.unwrap();
        assert_eq!(stage.probes("u1", 401).await.refusals, 0);

        let grant = stage.bench.engine().records.in_use("u1").unwrap();
        assert!(is_possible(&stage.job.target, &grant));
        let mut elsewhere = grant.clone();
        elsewhere.bound_to.addresses.insert("/endpoints/userinfo".into(), "https://other.example/me".into());
        assert!(!is_possible(&stage.job.target, &elsewhere));
    }

    #[test]
    fn a_token_that_came_of_a_probe_is_not_refused_by_the_same_probe_again() {
        let probes = Probes::default();
        let version = |revision| {
            let id = "0123456789abcdef0123456789abcdef".to_owned().try_into().unwrap();
            GrantVersion { id, revision, ordinal: 1 }
        };
        let refused = || ProbeFinding::Refused(bowline_oauth::classify::Failure::not_stored());
        let view = |revision| probes.view("u1", version(revision), at(0), false);
        view(1);
        for _ in 0..2 {
            probes.found("u1", version(1), refused());
        }
        assert_eq!(view(1).refusals, CONFIRMED);
        view(2);
        probes.found("u1", version(1), refused());
        probes.found("u1", version(2), refused());
        assert_eq!(view(2).refusals, 0, "the call may be at fault");
        probes.found("u1", version(2), ProbeFinding::Accepted);
        probes.found("u1", version(2), refused());
        assert_eq!(view(2).refusals, 1, "it works, so it is believed again");
    }
}
