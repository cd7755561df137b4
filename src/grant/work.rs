//! What a piece of work is made of.

use std::sync::Arc;

use bowline_api::connection::Method;
use k8s_openapi::jiff::Timestamp;

use super::consent::ConsentTask;
use super::intake::Announcement;
use super::target::Target;
use crate::vault::Place;

/// A piece of work on one grant, decided by a reconcile.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the grant's record belongs, and so which connection this is.
    pub place: Place,
    /// The owner a grant taken in is bound to, and a grant in use must be bound to.
    pub owner: String,
    /// Where it is sent.
    pub target: Arc<Target>,
    /// How the grant is obtained.
    pub method: Method,
    /// Name of the Secret with the connection's own app registration, if it has one.
    pub own_app: Option<String>,
    /// Which version of the app registration it is done with, as far as the reconcile could see: `<uid>/<resourceVersion>`.
    pub app_version: Option<String>,
    /// Scopes the spec names; empty means the provider's default.
    pub scopes: Vec<String>,
    /// The account the spec expects; any other is refused.
    pub expected_account: Option<String>,
    /// The account that the owner agrees to, by annotation: it may take the place of the one connected.
    pub accepted_account: Option<String>,
    /// When the token in use ends: the soonest goes first.
    pub urgency: Timestamp,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done. A reconcile decides it; [`Task::End`] comes from the record alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Take the announced intake Secret.
    Take(Announcement),
    /// Read the credentials Secret of this name.
    Read {
        /// Its name.
        secret: String,
    },
    /// Judge the candidate that waits.
    Judge,
    /// Use the refresh token.
    Refresh {
        /// The request it serves, if one was made.
        request: Option<String>,
    },
    /// Mint a token from the app registration.
    Mint {
        /// The request it serves, if one was made.
        request: Option<String>,
    },
    /// Take a step of a try to connect.
    Consent(ConsentTask),
    /// Revoke the grant at the provider and erase its record.
    End,
}

impl Task {
    /// The refresh request it serves.
    pub fn request(&self) -> Option<&String> {
        match self {
            Self::Refresh { request } | Self::Mint { request } => request.as_ref(),
            Self::Take(_) | Self::Read { .. } | Self::Judge | Self::Consent(_) | Self::End => None,
        }
    }

    /// The request for a device flow it serves.
    pub fn authorization(&self) -> Option<&String> {
        match self {
            Self::Consent(task) => task.request(),
            _ => None,
        }
    }

    /// The announcement it serves.
    pub fn announcement(&self) -> Option<&String> {
        match self {
            Self::Take(announcement) => Some(&announcement.value),
            _ => None,
        }
    }
}
