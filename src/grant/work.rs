//! What a piece of work is made of.

use std::sync::Arc;

use bowline_api::connection::Method;
use bowline_oauth::app::App;
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::jiff::Timestamp;

use super::target::Target;
use crate::vault::{Binding, Place, Terms};

/// A piece of work on one grant, decided by a reconcile.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Where the grant's record belongs, and so which connection this is.
    pub(crate) place: Place,
    /// The owner a grant taken in is bound to, and a grant in use must be bound to.
    pub(crate) owner: String,
    /// Where it is sent.
    pub(crate) target: Arc<Target>,
    /// How the grant is obtained.
    pub(crate) method: Method,
    /// Name of the Secret with the connection's own app registration, if it has one.
    pub(crate) own_app: Option<String>,
    /// Which version of the app registration it is done with, as far as the reconcile could see: `<uid>/<resourceVersion>`.
    pub(crate) app_version: Option<String>,
    /// Scopes the spec names; empty means the provider's default.
    pub(crate) scopes: Vec<String>,
    /// The account the spec expects; any other is refused.
    pub(crate) expected_account: Option<String>,
    /// The account that the owner agrees to, by annotation: it may replace the one connected.
    pub(crate) accepted_account: Option<String>,
    /// When the token in use expires: the soonest goes first.
    pub(crate) urgency: Timestamp,
    /// What is to be done.
    pub(crate) task: Task,
}

impl Job {
    /// What a grant must be bound to if it is to be sent: all that the job knows of it.
    pub(super) fn terms<'a>(&'a self, app: Option<&'a App>) -> Terms<'a> {
        Terms {
            owner: Some(&self.owner),
            authority: self.target.description().authority(),
            client_id: app.map(|app| app.client_id.as_str()),
        }
    }

    /// What a grant of this job is bound to, before its account is known.
    pub(super) fn binding(&self, app: Option<&App>) -> Binding {
        Binding {
            owner: self.owner.clone(),
            authority: self.target.description().authority(),
            client_id: app.map(|app| app.client_id.clone()),
            account: None,
        }
    }
}

/// What is to be done. A reconcile decides it; [`Task::End`] comes from the record alone.
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
    /// Take a step of a try to connect.
    Consent(ConsentTask),
    /// Revoke the grant at the provider and erase its record.
    End {
        /// The state of the record that this was decided on. Any other is left alone: it may say to wait.
        read: ObjectVersion,
    },
}

/// One step of a try to connect. `attempt` is the name of its Secret.
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
    /// End an attempt whose exchange nobody is at work on, and of which nothing is on record.
    Interrupted { attempt: String },
    /// The owner agrees to the account that finished a device flow: its id, as the annotation says it.
    Confirm { account: String },
}

/// The announcement on a connection: which intake Secret to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The annotation's value.
    pub(crate) value: String,
    /// Name and UID of the Secret; `None` if the value is not `<name>/<uid>`.
    pub(crate) secret: Option<(String, String)>,
}

impl Announcement {
    /// Reads the annotation `bowline.dev/intake`.
    pub(crate) fn parse(value: &str) -> Self {
        let secret = value
            .split_once('/')
            .filter(|(name, uid)| !name.is_empty() && !uid.is_empty() && !uid.contains('/'))
            .map(|(name, uid)| (name.to_owned(), uid.to_owned()));
        Self { value: value.to_owned(), secret }
    }
}

impl Task {
    /// The refresh request it serves.
    pub(super) fn request(&self) -> Option<&String> {
        match self {
            Self::Refresh { request } | Self::Mint { request } => request.as_ref(),
            _ => None,
        }
    }

    /// The request for a device flow it serves.
    pub(super) fn authorization(&self) -> Option<&String> {
        match self {
            Self::Consent(ConsentTask::AskDevice { request }) => Some(request),
            _ => None,
        }
    }

    /// The announcement it serves.
    pub(super) fn announcement(&self) -> Option<&String> {
        match self {
            Self::Take(announcement) => Some(&announcement.value),
            _ => None,
        }
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
