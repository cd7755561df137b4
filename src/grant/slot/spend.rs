//! Intent → request → answer.

use std::time::Duration;

use bowline_api::connection::Method;
use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::app::{App, WhichSecret};
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_runtime::clock::later;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::answer::refresh_token;
use super::keep::keep;
use super::mark::{Mark, mark};
use super::{NotSpent, Spent};
use crate::grant::Engine;
use crate::grant::records::NotWritten;
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::{Grant, Opened, Record, Slot, TransitionError};

/// Uses the refresh token in a slot once.
///
/// Up to four requests are sent under the intent: for both client secrets, since a refused client has spent nothing, and for the
/// predecessor in its grace window. Others respect the intent for longer than all four may take.
pub(crate) async fn spend(engine: &Engine, job: &Job, app: &App, slot: Slot) -> Result<Spent, NotSpent> {
    let Engine { records, gate, .. } = engine;
    let permit = gate.admit(job).await.map_err(NotSpent::NotAdmitted)?;
    let loaded = records.get(&job.place.uid).ok_or(NotSpent::Stale)?;
    let opened = records.opened(&loaded.record, slot).ok_or(NotSpent::Stale)?;
    let token = refresh_token(&opened.grant).ok_or(NotSpent::Stale)?;
    may_be_spent(engine, job, app, &loaded.record, &opened)?;
    let previous = loaded.record.open_previous(&records.sealer).ok().flatten();
    let mark = mark(engine, job, loaded, &opened).await?;
    let asked_at = records.clock.now();
    let mut result = send(engine, job, app, token).await;
    let refused = |failure: &Failure| failure.class == Class::Reauth && failure.sent == Sent::Refused;
    if slot == Slot::InUse && !mark.was_unknown && result.as_ref().is_err_and(refused) {
        // Within its grace window the predecessor may still work.
        let previous = previous.filter(|_| job.target.predecessor_works(&opened.grant, records.clock.now()));
        if let Some(token) = previous.as_ref().and_then(refresh_token) {
            result = send(engine, job, app, token).await;
        }
    }
    drop(permit);
    match result {
        Ok(answer) => keep(engine, job, &opened, mark, answer, asked_at).await,
        Err(failure) => Err(failed(engine, job, &opened, mark, failure).await),
    }
}

/// What must be true before a token is sent.
fn may_be_spent(
    engine: &Engine,
    job: &Job,
    app: &App,
    record: &Record,
    opened: &Opened,
) -> Result<(), NotSpent> {
    opened.grant.bound_to.fits(&job.terms(Some(app))).map_err(|_| NotSpent::Misfit)?;
    let Some(sent) = record.intent(Slot::Candidate).filter(|_| opened.slot() == Slot::Candidate) else {
        return Ok(());
    };
    let records = &engine.records;
    let in_use = records.opened(record, Slot::InUse).map(|in_use| in_use.grant);
    if may_be_sent_again(sent.at, job.target.grace(), in_use.as_ref(), records.clock.now()) {
        return Ok(());
    }
    Err(NotSpent::MaybeSpent)
}

/// Whether a candidate that was sent without an answer may be sent again.
///
/// If the old token stays valid at the provider for a while: during that time. Otherwise only if no token is in use: a
/// second use of a spent token may trigger the provider's theft detection, which may end more than this one grant.
pub(crate) fn may_be_sent_again(
    sent_at: Timestamp,
    grace: Option<Duration>,
    in_use: Option<&Grant>,
    now: Timestamp,
) -> bool {
    let graced = grace.is_some_and(|window| later(sent_at, window) > now);
    let living = in_use.is_some_and(|grant| grant.expires_at.is_none_or(|expires| expires > now));
    graced || !living
}

/// Sends a refresh token once. The caller must know that this is allowed.
pub(crate) async fn send(
    engine: &Engine,
    job: &Job,
    app: &App,
    token: &SecretString,
) -> Result<TokenAnswer, Failure> {
    let (http, now) = (job.target.http(), engine.records.clock.now());
    let links = job.method == Method::LinkSession;
    let scopes = if links { requested(&job.target, &job.scopes) } else { Vec::new() };
    let refresh = bowline_oauth::refresh::refresh(http, job.target.description(), app, token, &scopes, now);
    let granted = engine.gate.timed(Operation::Refresh, refresh).await?;
    if let Some(date) = granted.date {
        engine.gate.compared_clocks(job, date);
    }
    if granted.secret == WhichSecret::Previous {
        tracing::warn!(provider = job.target.provider(), "the provider still wants client_secret_previous");
    }
    Ok(granted.answer)
}

/// Only a request that certainly had no effect loses its intent.
async fn failed(engine: &Engine, job: &Job, opened: &Opened, mark: Mark, failure: Failure) -> NotSpent {
    let (slot, used) = (opened.slot(), opened.version());
    let failure = engine.gate.failed(job, failure, Some(&opened.grant).filter(|_| slot == Slot::InUse));
    let Some(intent) = mark.intent else { return NotSpent::Failed { used, failure } };
    if failure.sent == Sent::MaybeSent {
        settle(engine, job, |record| record.intent_unknown(slot, intent)).await;
        return NotSpent::Unknown { used, failure, before: false };
    }
    if mark.was_unknown {
        // Refused now, but an earlier request under this intent may have worked: the intent stays.
        return NotSpent::Unknown { used, failure, before: true };
    }
    // Also if the intent cannot be cleared now: nobody is told that the outcome is unknown.
    engine.marks.spent_nothing(&job.place.uid, intent);
    settle(engine, job, |record| record.without_intent(slot, intent)).await;
    NotSpent::Failed { used, failure }
}

/// Refused is ordinary: another process has taken the intent over.
async fn settle(engine: &Engine, job: &Job, change: impl Fn(Record) -> Result<Record, TransitionError>) {
    if let Err(error) = engine.records.settle(&job.place.uid, change).await
        && !matches!(error, NotWritten::Refused(_))
    {
        tracing::warn!(error = %chain(&error), "an intent stays as it is for now");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::routing::post;
    use secrecy::ExposeSecret;
    use tokio::net::TcpListener;

    use super::*;
    use crate::grant::fixtures::{Bench, at, job, oauth_grant, target_at};
    use crate::grant::work::Task;

    const ENTRY: &str = "sandbox";

    /// Serves a token endpoint that does `first` when it is called; returns work that refreshes there.
    async fn provider(first: impl Fn() + Clone + Send + Sync + 'static) -> Job {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/token", listener.local_addr().unwrap());
        let answer = move || {
            first();
            std::future::ready(
                r#"{"access_token":"a2","refresh_token":"r2","token_type":"Bearer","expires_in":60}"#,
            )
        };
        let router = Router::new().route("/token", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Job { target: target_at(ENTRY, &address), ..job(ENTRY, Task::Refresh { request: None }) }
    }

    /// Puts a grant on record that this work may refresh, and refreshes it.
    async fn refreshed(bench: &Bench, job: &Job) -> Result<Spent, NotSpent> {
        let app = job.target.app().unwrap();
        let grant = Grant { bound_to: job.binding(Some(app)), ..oauth_grant(ENTRY, "r1") };
        bench.keep(bench.holding("u1", &grant)).await;
        spend(bench.engine(), job, app, Slot::InUse).await
    }

    fn token_on_record(bench: &Bench) -> String {
        let grant = bench.engine().records.in_use("u1").unwrap();
        refresh_token(&grant).unwrap().expose_secret().to_owned()
    }

    #[tokio::test]
    async fn the_intent_is_on_record_before_anything_is_sent_and_gone_with_the_answer() {
        let bench = Bench::start().await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (api, noted) = (bench.api.clone(), Arc::clone(&seen));
        let job =
            provider(move || noted.lock().unwrap().push(api.record("u1").intent(Slot::InUse).cloned())).await;
        let spent = refreshed(&bench, &job).await.ok().unwrap();
        let seen = seen.lock().unwrap();
        assert!(matches!(seen.as_slice(), [Some(intent)] if intent.holder == "us"), "{seen:?}");
        assert!(spent.loaded.record.intent(Slot::InUse).is_none());
        assert_eq!(token_on_record(&bench), "r2");
    }

    #[tokio::test]
    async fn class_21_how_far_the_providers_clock_is_from_ours_is_noted() {
        let bench = Bench::start().await;
        // The server's is the machine's; ours stands at the fixtures' time.
        let apart = Timestamp::now().duration_since(at(0)).as_secs();
        let job = provider(|| ()).await;
        assert!(refreshed(&bench, &job).await.is_ok());
        let text = bench.metrics.encode().unwrap();
        let noted = text
            .lines()
            .find_map(|line| line.strip_prefix(r#"bowline_provider_clock_ahead_seconds{type="sandbox"} "#))
            .and_then(|value| value.parse::<i64>().ok());
        assert!(noted.is_some_and(|noted| (noted - apart).abs() < 3600), "{noted:?} instead of {apart}");
    }

    #[tokio::test]
    async fn nothing_is_sent_while_the_api_server_takes_no_writes() {
        let bench = Bench::start().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let job = provider(move || counted.store(1, Ordering::SeqCst)).await;
        let app = job.target.app().unwrap();
        let grant = Grant { bound_to: job.binding(Some(app)), ..oauth_grant(ENTRY, "r1") };
        bench.keep(bench.holding("u1", &grant)).await;
        bench.api.refuse_for(Duration::from_hours(1));
        let refused = spend(bench.engine(), &job, app, Slot::InUse).await;
        assert!(matches!(refused, Err(NotSpent::Stale)));
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        assert_eq!(token_on_record(&bench), "r1");
    }

    #[tokio::test]
    async fn an_answer_is_kept_however_often_the_api_server_refuses_it() {
        let bench = Bench::start().await;
        let api = bench.api.clone();
        let job = provider(move || api.refuse_for(Duration::from_millis(250))).await;
        assert!(refreshed(&bench, &job).await.is_ok());
        assert_eq!(token_on_record(&bench), "r2");
    }

    #[test]
    fn a_candidate_without_an_answer_is_sent_again_only_where_nothing_in_use_can_die_of_it() {
        let minute = Some(Duration::from_mins(1));
        let in_use = |expires_at| Grant { expires_at, ..oauth_grant("sandbox", "r") };
        let (living, expired, endless) = (in_use(Some(at(100))), in_use(Some(at(10))), in_use(None));
        let rows = [
            ("a first grant: nothing is in use", None, None, true),
            ("a token in use lives", None, Some(&living), false),
            ("the token in use never expires", None, Some(&endless), false),
            ("the token in use has expired", None, Some(&expired), true),
            ("the provider leaves the old token alive for a minute", minute, Some(&living), true),
        ];
        for (name, grace, in_use, expected) in rows {
            assert_eq!(may_be_sent_again(at(0), grace, in_use, at(30)), expected, "{name}");
        }
        assert!(!may_be_sent_again(at(0), minute, Some(&living), at(60)), "the minute is over");
    }
}
