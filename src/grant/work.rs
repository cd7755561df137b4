//! The data of a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::connection::Method;
use bowline_api::terms::ConnectionTerms;
use bowline_oauth::app::App;
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::target::Target;
use crate::vault::record::{EndTerms, GrantVersion};
use crate::vault::{Binding, Place, Terms};

#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Where the grant's record belongs, which identifies the connection.
    pub(crate) place: Place,
    /// The owner a new grant is bound to, and a grant in use must be bound to.
    pub(crate) owner: String,
    pub(crate) target: Arc<Target>,
    pub(crate) method: Method,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Name of the Secret with the connection's own app registration, if it has one.
    pub(crate) own_app: Option<String>,
    /// The version of the app registration that the reconcile saw: `<uid>/<resourceVersion>`.
    pub(crate) app_version: Option<String>,
    /// The scopes to request under the terms in force; empty means the provider's default.
    pub(crate) scopes: Vec<String>,
    /// What a grant that is taken in now is sealed with.
    pub(crate) agreeing: AgreeingTerms,
    /// The account that the spec expects; any other is refused.
    pub(crate) expected_account: Option<String>,
    /// The account that the owner confirms, by annotation: it may replace the connected one.
    pub(crate) accepted_account: Option<String>,
    /// The newest grant that was ever published, as far as anybody knows: a grant that is accepted comes after it.
    pub(crate) newest_known: Option<GrantVersion>,
    /// When the token in use expires: the soonest goes first.
    pub(crate) urgency: Timestamp,
    pub(crate) task: Task,
    /// Cancelled when the connection is deleted or disconnected meanwhile.
    pub(crate) leaving: CancellationToken,
    /// Cancelled when a step that cannot wait is submitted: a refresh that still waits for its turn stops waiting.
    pub(crate) gives_way: CancellationToken,
}

impl Job {
    /// Names what one piece of work at a time is done on: a grant that ends does not hold back the connection's next one.
    pub(super) fn key(&self) -> &str {
        match &self.task {
            Task::End { ending, .. } => ending,
            _ => &self.place.uid,
        }
    }

    /// Where a grant of this job is revoked if its connection is gone.
    pub(super) fn end_terms(&self) -> EndTerms {
        EndTerms { parameters: self.parameters.clone(), own_app: self.own_app.clone() }
    }

    /// What a grant must be bound to if it is to be sent: everything that the job knows about it.
    pub(super) fn terms<'a>(&'a self, app: Option<&'a App>) -> Terms<'a> {
        Terms {
            owner: Some(&self.owner),
            authority: self.target.authority(),
            addresses: self.target.addresses(),
            client_id: app.map(|app| app.client_id.as_str()),
        }
    }

    /// What a grant of this job is bound to, before its account is known.
    pub(super) fn binding(&self, app: Option<&App>) -> Binding {
        Binding {
            owner: self.owner.clone(),
            authority: self.target.authority().to_owned(),
            addresses: self.target.addresses().clone(),
            client_id: app.map(|app| app.client_id.clone()),
            account: None,
        }
    }
}

/// The terms that a new grant is sealed with, by what its owner has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgreeingTerms {
    /// What the spec and its workspace ask for: the owner agrees to it on a page that shows it.
    pub(crate) proposed: ConnectionTerms,
    /// Its scopes as the spec orders them.
    pub(crate) scopes: Vec<String>,
    /// What no page has to show: what the owner set, or agreed to before.
    pub(crate) unseen: ConnectionTerms,
}

/// In which queue work waits for its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// A refresh waits for others that are more urgent.
    Refresh,
    /// A person waits, or a code that expires soon.
    Consent,
    /// Nobody waits for a probe, and it waits in no queue.
    Probe,
}

/// What to do. A reconcile decides it; [`Task::End`] needs only the ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Take the announced intake Secret.
    Take(Announcement),
    /// Read the credentials Secret of this name.
    Read { secret: String },
    /// Judge the candidate that waits.
    Judge,
    /// Use the refresh token, for this request if one was made.
    Refresh { request: Option<String> },
    /// Mint a token from the app registration, for this request if one was made.
    Mint { request: Option<String> },
    /// Take out the issued keys that have expired.
    ExpireKeys,
    /// Check the token or key in use with the provider's cheap call, which spends nothing.
    Probe,
    /// Take a step of an attempt.
    Consent(ConsentTask),
    /// Revoke what the ending with this key holds and erase it, if it is still what was read: a newer one may say to wait.
    End { ending: Arc<str>, read: ObjectVersion },
}

impl Task {
    /// For people: what is done.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Take(_) => "take",
            Self::Read { .. } => "read",
            Self::Judge => "judge",
            Self::Refresh { .. } => "refresh",
            Self::Mint { .. } => "mint",
            Self::ExpireKeys => "expire-keys",
            Self::Probe => "probe",
            Self::Consent(_) => "consent",
            Self::End { .. } => "end",
        }
    }

    pub(crate) const fn lane(&self) -> Lane {
        match self {
            Self::Refresh { .. } | Self::Mint { .. } | Self::ExpireKeys | Self::End { .. } => Lane::Refresh,
            Self::Take(_) | Self::Read { .. } | Self::Judge | Self::Consent(_) => Lane::Consent,
            Self::Probe => Lane::Probe,
        }
    }

    /// Whether it can stop: a refresh as long as it waits for its turn, because nothing was done yet, and a probe at any time.
    pub(crate) const fn gives_way(&self) -> bool {
        matches!(self, Self::Refresh { .. } | Self::Mint { .. } | Self::Probe)
    }
}

/// One step of an attempt. `attempt` is the name of its Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConsentTask {
    /// Build the authorization request.
    Begin { attempt: String },
    /// Take what the browser returned with.
    Exchange { attempt: String },
    /// Ask the provider for a device code, for the request in `bowline.dev/authorize-requested-at`.
    AskDevice { request: String },
    /// Ask the provider whether the person has decided.
    Poll { attempt: String },
    /// End an attempt whose exchange no process works on, and of which nothing is on record.
    Interrupted { attempt: String },
    /// Carry out an order about issued keys.
    Issue { attempt: String },
    /// Take the key, or user name and password, that the owner typed in the portal.
    TakeProvided { attempt: String },
    /// Put on record what is in force of the terms, in place of what is there.
    Agree { from: Option<ConnectionTerms>, to: ConnectionTerms },
    /// The owner confirms the account that finished a device flow: its id, as in the annotation.
    Confirm { account: String },
}

/// The annotation `bowline.dev/intake` of a connection: which intake Secret to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) value: String,
    /// Name and UID of the Secret; `None` if the value is not `<name>/<uid>`.
    pub(crate) secret: Option<(String, String)>,
}

impl Announcement {
    pub(crate) fn parse(value: &str) -> Self {
        let secret = value
            .split_once('/')
            .filter(|(name, uid)| !name.is_empty() && !uid.is_empty() && !uid.contains('/'))
            .map(|(name, uid)| (name.to_owned(), uid.to_owned()));
        Self { value: value.to_owned(), secret }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_name_a_secret_and_its_uid() {
        assert_eq!(Announcement::parse("a/b").secret, Some(("a".into(), "b".into())));
        for bad in ["", "a", "a/", "/b", "a/b/c"] {
            assert_eq!(Announcement::parse(bad).secret, None, "{bad}");
        }
    }
}
