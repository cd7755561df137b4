//! `describe`: what a connection is, why it is so, and what to do next.

use std::cmp::Reverse;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::age::{relative, since};
use crate::next;
use crate::reading::{Readable, seen};
use crate::related::{ProviderFacts, provider_of, shares_of, whereabouts};
use crate::screen::{Paint, painted};
use crate::table::{line, lines, phase, printable};
use crate::{Screen, UserSession};
use bowline_api::condition::ConditionType;
use bowline_api::connection::{
    AuthorizationStatus, IntegrationConnectionStatus, LastAttempt, RulingStatus, ScopesStatus, TokenStatus,
};
use bowline_api::{ConnectionShare, IntegrationConnection};

const EXAMPLES: &str = "Examples:
  kubectl bowline describe github-work
  kubectl bowline describe github-work -n team-a

Needs the right to get the connection. Where it is shared, its provider's
contact and recent events are shown as far as you may read them.";

/// How many events are shown.
const EVENTS: usize = 8;

/// Show what a connection is, why it is so, and who has to do what next
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DescribeArgs {
    /// The connection
    name: String,
}

impl DescribeArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let connection = session.connection(&self.name).await?;
        let regarding = format!("involvedObject.uid={}", connection.uid().unwrap_or_default());
        let events = session.api::<Event>().list(&ListParams::default().fields(&regarding)).await;
        let page = DescribePage {
            shares: shares_of(session, &connection).await?,
            events: seen(events)?.map(|list| list.items),
            provider: provider_of(session, &connection).await?,
            now: session.clock.now(),
            colours: screen.colours(),
            connection,
        };
        Ok(screen.result(&page.render())?)
    }
}

struct DescribePage {
    connection: IntegrationConnection,
    shares: Readable<Vec<ConnectionShare>>,
    events: Readable<Vec<Event>>,
    provider: ProviderFacts,
    now: Timestamp,
    colours: bool,
}

impl DescribePage {
    fn render(&self) -> String {
        let empty = IntegrationConnectionStatus::default();
        let status = self.connection.status.as_ref().unwrap_or(&empty);
        let sections = [
            self.identity(status),
            status.authorization.as_ref().map(|open| self.authorization(open)).unwrap_or_default(),
            status.token.as_ref().map(|token| self.token(token)).unwrap_or_default(),
            lines([("Grant expires", self.at(status.grant.as_ref().and_then(|it| it.expires_at.as_ref())))]),
            status.scopes.as_ref().map(scopes).unwrap_or_default(),
            lines([
                ("Ruling", status.ruling.as_ref().map(|ruling| self.ruling(ruling))),
                ("Last attempt", status.last_attempt.as_ref().map(|last| self.attempt(last))),
            ]),
            self.conditions(&status.conditions),
            self.next(status),
            self.published(),
            self.recent_events(),
        ];
        sections.concat()
    }

    fn at(&self, time: Option<&Time>) -> Option<String> {
        time.map(|time| relative(time, self.now))
    }

    fn identity(&self, status: &IntegrationConnectionStatus) -> String {
        let spec = &self.connection.spec;
        let phase = phase(&self.connection);
        let state = match &status.phase {
            Some(_) => painted(&phase.text, phase.paint, self.colours),
            None => "not seen by the operator yet".to_owned(),
        };
        let what = lines([
            ("Connection", Some(self.connection.id())),
            ("Name", spec.display_name.clone()),
            ("Description", spec.description.clone()),
            ("Provider", Some(spec.provider.clone())),
            ("Account", status.account.as_ref().map(|account| account.word().to_owned())),
            ("Owner", Some(spec.owner.clone())),
            ("Workspace", spec.workspace.clone()),
        ]);
        what + &line("Status", &state) + &lines([("Connected", self.at(status.connected_at.as_ref()))])
    }

    /// What somebody can do at the provider: the page, and the code while it is valid.
    fn authorization(&self, open: &AuthorizationStatus) -> String {
        let expires =
            self.at(open.expires_at.as_ref()).map(|at| format!(", expires {at}")).unwrap_or_default();
        let at = open.verification_uri.as_deref().unwrap_or("the provider");
        let is_over = open.expires_at.as_ref().is_some_and(|end| end.0 <= self.now);
        let code = open.user_code.as_ref().filter(|_| !is_over);
        lines([
            ("Authorize at", open.url.clone()),
            ("Device code", code.map(|code| format!("{code} at {at}{expires}"))),
            ("Admin consent", open.admin_consent_url.clone()),
        ])
    }

    fn token(&self, token: &TokenStatus) -> String {
        let remaining = match &token.expires_at {
            None => "the provider names no time at which it expires".to_owned(),
            Some(end) if end.0 <= self.now => format!("expired {}", relative(end, self.now)),
            Some(end) => format!("expires {} ({})", relative(end, self.now), end.0),
        };
        let failure = token.last_failure.as_ref().map(|failure| {
            format!("{} {}: {}", relative(&failure.at, self.now), failure.reason, failure.message)
        });
        lines([
            ("Token", Some(remaining)),
            ("Refreshed", self.at(token.last_refreshed_at.as_ref())),
            ("Next refresh", self.at(token.next_refresh_at.as_ref())),
            ("Last failure", failure),
        ])
    }

    fn ruling(&self, ruling: &RulingStatus) -> String {
        let RulingStatus { reason, since, is_final, message, .. } = ruling;
        let tried = if *is_final { "final" } else { "tried again" };
        format!("{reason} {}, {tried}{}", relative(since, self.now), after_colon(message))
    }

    fn attempt(&self, last: &LastAttempt) -> String {
        let LastAttempt { method, requested_by, started_at, ended_at, result, reason, message, .. } = last;
        let at = relative(ended_at.as_ref().unwrap_or(started_at), self.now);
        let by = requested_by.as_ref().map(|user| format!(", requested by {user}")).unwrap_or_default();
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{result} {at} ({method}{by}){reason}{}", after_colon(message))
    }

    fn conditions(&self, conditions: &[Condition]) -> String {
        if conditions.is_empty() {
            return String::new();
        }
        let mut text = self.heading("Why");
        for Condition { type_, status, reason, message, last_transition_time, .. } in conditions {
            let colour = match status.as_str() {
                "True" if type_ == ConditionType::Stalled.as_str() => Paint::Bad,
                "True" => Paint::Good,
                _ => Paint::Calm,
            };
            let word = painted(&format!("{:<7}", printable(status)), Some(colour), self.colours);
            let age = since(Some(last_transition_time), self.now);
            let _ = writeln!(text, "  {type_:<15} {word} {} (for {age})", printable(reason));
            if !message.is_empty() {
                let _ = writeln!(text, "                  {}", printable(message));
            }
        }
        text
    }

    fn next(&self, status: &IntegrationConnectionStatus) -> String {
        let steps = next::steps(&self.connection, &self.provider);
        self.heading("What to do next")
            + &if status.conditions.is_empty() {
                "  the platform team: See whether the operator runs.\n    kubectl get pods -A -l app.kubernetes.io/name=bowline\n".to_owned()
            } else if steps.is_empty() {
                "  Nothing: all is as it should be.\n".to_owned()
            } else {
                next::lines(&steps)
            }
    }

    fn published(&self) -> String {
        let places = whereabouts(&self.connection, &self.shares);
        self.heading("Where it is published") + places.as_deref().unwrap_or("  nowhere\n")
    }

    fn recent_events(&self) -> String {
        let Ok(events) = &self.events else {
            return self.heading("Events") + "  you may not list events here\n";
        };
        if events.is_empty() {
            return String::new();
        }
        let mut newest: Vec<_> = events.iter().map(|event| (happened(event), event)).collect();
        newest.sort_by_key(|(at, _)| Reverse(*at));
        let mut text = self.heading("Events");
        for (at, event) in newest.into_iter().take(EVENTS) {
            let age = self.at(at.map(Time).as_ref()).unwrap_or_else(|| "<none>".to_owned());
            let kind = event.type_.as_deref().unwrap_or("Normal");
            let reason = event.reason.as_deref().unwrap_or_default();
            let note = printable(event.message.as_deref().unwrap_or_default());
            let _ = writeln!(text, "  {age:<10} {kind:<7} {reason}: {note}");
        }
        text
    }

    fn heading(&self, title: &str) -> String {
        format!("\n{}\n", painted(title, Some(Paint::Strong), self.colours))
    }
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn scopes(scopes: &ScopesStatus) -> String {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.join(" "));
    // If nothing is requested, the provider's choice is expected.
    let extra = list(&scopes.requested).and_then(|_| list(&scopes.extra));
    lines([
        ("Scopes", list(&scopes.granted)),
        ("Requested", list(&scopes.requested)),
        ("Scopes missing", list(&scopes.missing)),
        ("Not requested", extra),
    ])
}

/// When an event was last seen; the field depends on who wrote the event.
fn happened(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = |time: Option<&MicroTime>| time.map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let created = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    micro(series).or(last).or(micro(event.event_time.as_ref())).or(created)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
