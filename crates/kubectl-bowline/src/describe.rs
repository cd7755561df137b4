//! `describe`: what a connection is, why it is so, and what to do next.

use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::age::{relative, since};
use crate::binding::{self, BindingsSeen, bindings_of};
use crate::members;
use crate::next;
use crate::reading::Readable;
use crate::related::{ProviderFacts, listed, provider_of, shares_of, whereabouts};
use crate::screen::{Paint, painted};
use crate::table::{line, lines, phase, printable};
use crate::{Screen, UserSession};
use bowline_api::condition::ConditionType;
use bowline_api::connection::{
    AuthorizationStatus, GrantStatus, HistoryEntry, IntegrationConnectionStatus, IssuedKeyStatus,
    LastAttempt, RevocationStatus, RulingStatus, ScopesStatus, TokenStatus,
};
use bowline_api::delivery::LastDelivery;
use bowline_api::terms::Proposer;
use bowline_api::{ConnectionShare, IntegrationConnection};

const EXAMPLES: &str = "Examples:
  kubectl bowline describe github-work
  kubectl bowline describe github-work -n team-a
  kubectl bowline describe binding/post-to-slack -n marketing

Needs the right to get the connection or binding. Its bindings, where it is
shared and its provider's contact are shown as far as you may read them.";

/// Show what a connection or binding is, why it is so, and who has to do what next
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DescribeArgs {
    /// The connection, or binding/NAME
    #[arg(value_name = "NAME|binding/NAME")]
    name: String,
}

impl DescribeArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        if let Some(name) = binding::named(&self.name) {
            return Ok(screen.result(&binding::describe(session, name).await?)?);
        }
        let connection = session.connection(&self.name).await?;
        let page = DescribePage {
            shares: shares_of(session, &connection).await?,
            bindings: bindings_of(session, &connection).await?,
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
    bindings: BindingsSeen,
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
            self.keys(&status.issued_keys),
            status.token.as_ref().map(|token| self.token(token)).unwrap_or_default(),
            lines([("Grant expires", self.at(status.grant.as_ref().and_then(GrantStatus::ends_at)))]),
            status.scopes.as_ref().map(scopes).unwrap_or_default(),
            lines([
                ("Ruling", status.ruling.as_ref().map(|ruling| self.ruling(ruling))),
                ("Revoked", self.at(self.connection.revokes_at().map(Time).as_ref())),
                ("Revocation", status.revocation.as_ref().map(|it| self.revocation(it))),
                ("Last attempt", status.last_attempt.as_ref().map(|last| self.attempt(last))),
            ]),
            lines([("Waits", self.waiting_terms())]),
            lines([("Last used", status.last_delivery.as_ref().map(|last| self.delivery(last)))]),
            self.conditions(&status.conditions),
            self.next(status),
            self.published(),
            self.used_by(),
            self.history(&status.history),
        ];
        sections.concat()
    }

    /// What waits for its owner's approval.
    fn waiting_terms(&self) -> Option<String> {
        self.connection.waiting_terms()?;
        let by = match self.connection.terms()?.proposer()? {
            Proposer::User(by) => by,
            Proposer::Unknown => "somebody unknown",
            Proposer::Workspace => "its workspace",
        };
        let (owner, name) = (&self.connection.spec.owner, self.connection.metadata.name.as_deref()?);
        Some(format!("{by} asks for more than {owner} agreed to: kubectl bowline approve {name} --dry-run"))
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
            ("Members", Some(members::told(&spec.members)).filter(|told| !told.is_empty())),
            ("Used by", self.connection.dependents().map(|used| listed(&used.names, used.more()))),
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

    /// The keys that are valid, the newest first.
    fn keys(&self, keys: &[IssuedKeyStatus]) -> String {
        let key = |key: &IssuedKeyStatus| {
            let until =
                self.at(key.expires_at.as_ref()).map(|at| format!(", expires {at}")).unwrap_or_default();
            let text = format!(
                "{}, created {} by {}{until}",
                key.id,
                relative(&key.created_at, self.now),
                key.created_by
            );
            line("Key", &printable(text))
        };
        keys.iter().map(key).collect()
    }

    fn ruling(&self, ruling: &RulingStatus) -> String {
        let RulingStatus { reason, since, is_final, message, .. } = ruling;
        let tried = if *is_final { "final" } else { "tried again" };
        format!("{reason} {}, {tried}{}", relative(since, self.now), after_colon(message))
    }

    /// What became at the provider of the grant that ended last.
    fn revocation(&self, revocation: &RevocationStatus) -> String {
        let RevocationStatus { reason, since, message } = revocation;
        format!("{reason} {}{}", relative(since, self.now), after_colon(message))
    }

    fn attempt(&self, last: &LastAttempt) -> String {
        let LastAttempt { method, requested_by, started_at, ended_at, result, reason, message, .. } = last;
        let at = relative(ended_at.as_ref().unwrap_or(started_at), self.now);
        let by = requested_by.as_ref().map(|user| format!(", requested by {user}")).unwrap_or_default();
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{result} {at} ({method}{by}){reason}{}", after_colon(message))
    }

    /// What a workload reported last of what it did with the token.
    fn delivery(&self, last: &LastDelivery) -> String {
        let by = last.binding.as_ref().map(|binding| format!(", by binding {binding}")).unwrap_or_default();
        format!("{}, {}{by}", relative(&last.at, self.now), last.summary())
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
            let _ = writeln!(text, "  {:<15} {word} {} (for {age})", printable(type_), printable(reason));
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

    fn used_by(&self) -> String {
        let bindings = self.bindings.render(self.now);
        if bindings.is_empty() { bindings } else { self.heading("Bound by") + &bindings }
    }

    /// In the operator's words. Events are not shown: anybody in the namespace may write one.
    fn history(&self, history: &[HistoryEntry]) -> String {
        if history.is_empty() {
            return String::new();
        }
        let mut text = self.heading("History");
        for HistoryEntry { at, reason, message } in history {
            let age = relative(at, self.now);
            let what = printable(format!("{reason}{}", after_colon(message)));
            let _ = writeln!(text, "  {age:<10} {what}");
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
