//! Where a connection's grant is sent, and on which terms: a provider object resolved for one connection.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bowline_api::connection::{Method, ScopesStatus};
use bowline_api::open::Open;
use bowline_api::provider::Rotation;
use bowline_api::{IntegrationConnectionSpec, IntegrationProviderSpec};
use bowline_oauth::app::App;
use bowline_oauth::catalog::Description;
use bowline_oauth::http::Http;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use kube::core::{Selector, SelectorExt};

use super::schedule::{DEFAULT_BEFORE, Policy, RefreshBounds};
use crate::vault::{Binding, Grant, Terms};

const DEFAULT_MAX_CONCURRENT: usize = 8;

/// A provider as one connection sees it.
#[derive(Debug)]
pub(crate) struct Target {
    description: Description,
    /// What a grant is bound to besides its owner, client and account: see [`Binding`].
    authority: String,
    addresses: BTreeMap<String, String>,
    terms: IntegrationProviderSpec,
    app: Option<Arc<App>>,
    http: Arc<dyn Http>,
}

impl Target {
    /// `app` is the provider object's registration; `http` reaches what the provider's network allows.
    pub(crate) fn new(
        description: Description,
        terms: IntegrationProviderSpec,
        app: Option<Arc<App>>,
        http: Arc<dyn Http>,
    ) -> Self {
        let authority = description.authority();
        let receiving = description.receiving_addresses();
        let addresses = receiving.map(|(place, address)| (place.to_owned(), address.to_string())).collect();
        Self { description, authority, addresses, terms, app, http }
    }

    pub(crate) fn provider(&self) -> &str {
        &self.description.provider
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Every address that may receive a token, a code, a key or the client secret, by its place in the description.
    pub(crate) fn addresses(&self) -> &BTreeMap<String, String> {
        &self.addresses
    }

    pub(crate) fn app(&self) -> Option<&Arc<App>> {
        self.app.as_ref()
    }

    pub(crate) fn app_version(&self) -> Option<&str> {
        self.app.as_ref()?.version.as_deref()
    }

    pub(crate) fn http(&self) -> &dyn Http {
        &*self.http
    }

    pub(crate) fn methods(&self) -> &[Method] {
        &self.description.methods
    }

    /// How this connection's grant is obtained: its own choice, or the provider's first.
    pub(crate) fn method(&self, spec: &IntegrationConnectionSpec) -> Method {
        let chosen = spec.method.as_ref().and_then(Open::known);
        chosen.or(self.methods().first().copied()).unwrap_or(Method::AuthorizationCode)
    }

    pub(crate) fn allows_namespace(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = self.terms.allow.as_ref().and_then(|allow| allow.namespaces.clone());
        // A selector that cannot be read allows no namespace.
        selector.is_none_or(|it| Selector::try_from(it).is_ok_and(|selector| selector.matches(labels)))
    }

    /// The workspaces whose members it serves, in their namespaces; `None` if no workspace is needed.
    pub(crate) fn allowed_workspaces(&self) -> Option<&[String]> {
        self.terms.allow.as_ref()?.workspaces.as_deref()
    }

    /// Whether the provider object says which namespaces or workspaces it serves.
    pub(crate) fn says_whom_it_serves(&self) -> bool {
        let allow = self.terms.allow.as_ref();
        allow.is_some_and(|allow| allow.namespaces.is_some() || allow.workspaces.is_some())
    }

    /// Whether somebody stated which scopes may be requested, possibly none.
    pub(crate) fn states_allowed_scopes(&self) -> bool {
        let stated = self.terms.scopes.as_ref().is_some_and(|scopes| scopes.allowed.is_some());
        stated || !self.description.scopes.allowed.is_empty()
    }

    pub(crate) fn allows_own_app(&self) -> bool {
        self.terms.allow.as_ref().and_then(|allow| allow.own_app).unwrap_or_default()
    }

    /// Whether connections may be authorized by device flow, which cannot prove who finished it.
    pub(crate) fn allows_device_flow(&self) -> bool {
        self.terms.allow.as_ref().and_then(|allow| allow.device_flow).unwrap_or_default()
    }

    /// Those of `scopes` that the provider object does not allow. An empty list of it allows all of them, or if `strictly`
    /// none.
    pub(crate) fn scopes_beyond_allowed<'a>(&self, scopes: &'a [String], strictly: bool) -> Vec<&'a str> {
        let ours = &self.description.scopes;
        let unlimited = ours.allowed.is_empty() && !strictly;
        if unlimited { Vec::new() } else { ours.beyond(scopes) }
    }

    pub(crate) fn contact(&self) -> Option<&str> {
        self.terms.contact.as_deref()
    }

    /// The sentence that names who can fix what needs an administrator.
    pub(crate) fn whom_to_ask(&self) -> String {
        let contact = self.contact();
        contact.map_or_else(|| "Ask the administrator of the cluster.".to_owned(), |it| format!("Ask {it}."))
    }

    /// What differs from what the grant is bound to, if anything. The job that reads a connection's own app compares that.
    pub(crate) fn differs_from(&self, bound: &Binding, owner: &str) -> Option<String> {
        let app = self.app.as_ref().filter(|_| !self.allows_own_app());
        let terms = Terms {
            owner: Some(owner),
            authority: &self.authority,
            addresses: &self.addresses,
            client_id: app.map(|app| app.client_id.as_str()),
        };
        bound.fits(&terms).err().map(|mismatch| mismatch.to_string())
    }

    pub(crate) fn policy(&self, bounds: RefreshBounds) -> Policy {
        let before = self.terms.refresh.as_ref().and_then(|refresh| refresh.before);
        let before = before.map_or(DEFAULT_BEFORE, bowline_api::duration::Duration::get);
        let not_before = self.description.grant.refresh_not_before;
        Policy { before, ends_access: self.refresh_ends_access(), not_before, bounds }
    }

    /// How many requests for tokens may be sent in a minute, if there is a limit.
    pub(crate) fn per_minute(&self) -> Option<usize> {
        let ours = self.terms.refresh.as_ref().and_then(|refresh| refresh.per_minute);
        let ours = ours.and_then(|limit| usize::try_from(limit).ok());
        ours.or(self.description.refresh.per_minute.and_then(|limit| usize::try_from(limit).ok()))
    }

    pub(crate) fn max_concurrent(&self) -> usize {
        let asked = self.terms.refresh.as_ref().and_then(|refresh| refresh.max_concurrent);
        asked.and_then(|asked| usize::try_from(asked).ok()).unwrap_or(DEFAULT_MAX_CONCURRENT)
    }

    pub(crate) fn refresh_ends_access(&self) -> bool {
        self.description.grant.refresh_ends_access
    }

    /// Whether using the refresh token may end it, so that an intent must be on record first.
    pub(crate) fn needs_intent(&self) -> bool {
        matches!(self.description.grant.rotation, Rotation::SingleUse | Rotation::Optional)
    }

    /// How long the old refresh token still works after a rotation, where it does.
    pub(crate) fn grace(&self) -> Option<Duration> {
        self.description.grant.grace_window()
    }

    /// Whether the refresh token before this grant's may still work.
    pub(super) fn predecessor_works(&self, grant: &Grant, now: Timestamp) -> bool {
        self.grace().is_some_and(|window| later(grant.obtained_at, window) > now)
    }
}

const SHOWN_SCOPES: usize = 256;

/// Scopes that say who the person is, or that the grant goes on while they are away (`OpenID` Connect Core §5.4, §11). Many
/// servers grant them unasked: they are shown in status, and no token is withheld for them.
const IDENTITY_SCOPES: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeComparison {
    /// What the connection requests: its own or the default ones, and the required ones.
    pub(crate) requested: Vec<String>,
    /// What the provider says it granted; what was requested if it does not say (RFC 6749 §5.1).
    pub(crate) granted: Vec<String>,
    pub(crate) missing: Vec<String>,
    pub(crate) extra: Vec<String>,
    pub(crate) missing_required: Vec<String>,
}

impl ScopeComparison {
    /// Compares `asked`, or else the provider's default, and the provider's required scopes with what was granted.
    pub(crate) fn of(target: &Target, asked: &[String], granted: Option<&[String]>) -> Self {
        let scopes = &target.description.scopes;
        let requested = requested(target, asked);
        let granted = granted.unwrap_or(&requested).to_vec();
        let owned = |list: Vec<&str>| list.into_iter().map(ToOwned::to_owned).collect();
        Self {
            missing: owned(scopes.missing(&requested, &granted)),
            // Without requested scopes, the provider grants what it chooses.
            extra: if requested.is_empty() { vec![] } else { owned(scopes.missing(&granted, &requested)) },
            missing_required: owned(scopes.missing(&scopes.required, &granted)),
            requested,
            granted,
        }
    }

    /// What was granted beyond what the person reviewed, for a grant that was consented to through us.
    pub(crate) fn beyond_review(&self, target: &Target, grant: &Grant) -> Vec<&str> {
        if !grant.consent.is_ours() {
            return Vec::new();
        }
        let beyond = target.description.scopes.missing(&self.extra, &grant.consent.asked);
        beyond.into_iter().filter(|scope| !IDENTITY_SCOPES.contains(scope)).collect()
    }

    /// As in status: the schema bounds the lists, and a provider may name any number of scopes.
    pub(crate) fn into_status(self) -> ScopesStatus {
        let Self { requested, granted, missing, extra, missing_required: _ } = self;
        let shown = |scopes: Vec<String>| scopes.into_iter().take(SHOWN_SCOPES).collect();
        let [requested, granted, missing, extra] = [requested, granted, missing, extra].map(shown);
        ScopesStatus { requested, granted, missing, extra }
    }
}

/// What a connection requests: its own or the default scopes, then the required ones.
pub(crate) fn requested(target: &Target, asked: &[String]) -> Vec<String> {
    let scopes = &target.description.scopes;
    let mut requested = if asked.is_empty() { scopes.default.clone() } else { asked.to_vec() };
    let there: HashSet<&String> = requested.iter().collect();
    let added: Vec<_> = scopes.required.iter().filter(|scope| !there.contains(scope)).cloned().collect();
    requested.extend(added);
    requested
}

#[cfg(test)]
pub(crate) mod tests {
    use futures::future::BoxFuture;

    use super::{Http, SHOWN_SCOPES, ScopeComparison};
    use bowline_oauth::http::{Received, Request, SendError};
    use bowline_oauth::network::Network;

    /// Reaches no server: for tests of decisions before anything is sent.
    #[derive(Debug, Default)]
    pub(crate) struct Offline(pub(crate) Network);

    impl Http for Offline {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Received, SendError>> {
            Box::pin(std::future::ready(Err(SendError::BadUrl)))
        }

        fn network(&self) -> &Network {
            &self.0
        }
    }

    #[test]
    fn status_shows_no_more_scopes_than_its_schema_takes() {
        let scopes: Vec<String> = (0..10_000).map(|number| format!("scope:{number}")).collect();
        let status = ScopeComparison { granted: scopes.clone(), extra: scopes, ..ScopeComparison::default() }
            .into_status();
        assert_eq!((status.granted.len(), status.extra.len()), (SHOWN_SCOPES, SHOWN_SCOPES));
    }
}
