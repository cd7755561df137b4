//! Checks again what a session rests on, where that can be asked: a token that was meant for the portal is reviewed every five
//! minutes, so a token that is revoked ends its sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use bowline_api::opaque::Digest;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::token;
use crate::Portal;
use crate::session::Session;

const EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Beyond this number all are forgotten, and asked again.
const REMEMBERED: usize = 50_000;

/// What the last review of each session said, in this replica.
#[derive(Default)]
pub(crate) struct Rechecks(Mutex<HashMap<Digest, Recheck>>);

#[derive(Clone, Copy)]
struct Recheck {
    at: Timestamp,
    stands: bool,
}

impl Rechecks {
    /// Whether the session was still good when it was last asked.
    pub(crate) fn stands(&self, session: &Session) -> bool {
        session.token.is_none() || self.all().get(&session.digest()).is_none_or(|last| last.stands)
    }

    fn is_due(&self, session: &Session, now: Timestamp) -> bool {
        let last = self.all().get(&session.digest()).copied();
        let asked_at = last.map_or(session.issued_at(), |last| last.at);
        last.is_none_or(|last| last.stands) && now.duration_since(asked_at) >= EVERY
    }

    fn keep(&self, session: &Session, check: Recheck) {
        let mut all = self.all();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(session.digest(), check);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Digest, Recheck>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks about the session of a request, if it is time.
pub(crate) async fn now(app: &Portal, headers: &HeaderMap) {
    let at = app.clock.now();
    let Some(session) = Session::of(headers, &app.keys, at) else { return };
    let Some(token) = session.token.as_ref().filter(|_| app.rechecks.is_due(&session, at)) else { return };
    let audience = app.settings.sign_in.token_audience.as_deref();
    let stands = match token::review(&app.client, audience, token).await {
        Ok(Some(user)) => session.is_of(&user),
        Ok(None) => false,
        // Nobody knows: each page asks the API server as well, and says so.
        Err(_) => return,
    };
    if !stands {
        tracing::info!(user = session.user(), "a session ends: its token is no longer accepted");
    }
    app.rechecks.keep(&session, Recheck { at, stands });
}
