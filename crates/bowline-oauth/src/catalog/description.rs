//! [`Description`]: an entry with a provider object's overrides and a connection's parameters filled in.

use bowline_api::connection::Method;
use bowline_api::provider::Rotation;
use serde::Deserialize;
use url::Url;

use super::calls::{Call, Identity, IdentitySource, Key, Revoke, RevokeStyle};
use super::entry::{Authorize, DeviceFlow, Endpoints};
use super::errors::ErrorTable;
use super::protocol::{ClientAuth, Grant, Scopes, TokenRequest, TokenResponse};

/// All that the protocol needs to know of one provider for one connection: an [`Entry`](super::Entry) with what the
/// provider object states and the connection's parameters filled in. It holds no secret and no placeholder.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Name of the `IntegrationProvider`.
    #[serde(skip)]
    pub provider: String,
    /// Name of the catalogue entry.
    #[serde(skip)]
    pub entry: String,
    /// Name for people.
    pub(crate) display_name: String,
    /// How grants can be obtained, the usual one first.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Addresses.
    #[serde(default)]
    pub endpoints: Endpoints<Url>,
    /// Whether the issuer is the provider object's own: none of the entry's addresses is used then.
    #[serde(skip)]
    pub(crate) own_issuer: bool,
    /// Whether [`Description::with_metadata`] was applied.
    #[serde(skip)]
    pub(crate) discovered: bool,
    /// How the client may prove itself, the preferred way first.
    #[serde(default)]
    pub(crate) client_auth: Vec<ClientAuth>,
    /// What the authorization request needs beyond the standard.
    #[serde(default)]
    pub(crate) authorize: Authorize,
    /// What the device authorization request needs beyond the standard.
    #[serde(default)]
    pub(crate) device: DeviceFlow,
    /// What a token request needs beyond the standard.
    #[serde(default)]
    pub(crate) token_request: TokenRequest,
    /// Where a token answer has its parts.
    #[serde(default)]
    pub(crate) token_response: TokenResponse,
    /// Scopes, the provider object's lists applied.
    #[serde(default)]
    pub scopes: Scopes,
    /// What a grant is like.
    #[serde(default)]
    pub grant: Grant,
    /// How the account is learnt. `None`: it is not.
    #[serde(default)]
    pub identity: Option<Identity<Url>>,
    /// A cheap call that tells whether an access token works. `None`: the identity call.
    #[serde(default)]
    pub(crate) probe: Option<Call<Url>>,
    /// How a grant is withdrawn.
    #[serde(default)]
    pub revoke: Revoke<Url>,
    /// Where a key goes and how it is checked.
    #[serde(default)]
    pub key: Option<Key<Url>>,
    /// What failures mean.
    #[serde(default)]
    pub(crate) errors: ErrorTable,
}

/// What an issuer's metadata says (RFC 8414 §2), the issuer already checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredEndpoints {
    /// `authorization_endpoint`.
    pub(crate) authorization: Option<Url>,
    /// `pushed_authorization_request_endpoint` (RFC 9126 §5).
    pub(crate) pushed_authorization_request: Option<Url>,
    /// `token_endpoint`.
    pub(crate) token: Option<Url>,
    /// `device_authorization_endpoint`.
    pub(crate) device_authorization: Option<Url>,
    /// `revocation_endpoint`.
    pub(crate) revocation: Option<Url>,
    /// `userinfo_endpoint`.
    pub(crate) userinfo: Option<Url>,
    /// `token_endpoint_auth_methods_supported`, those we know. Empty means not said.
    pub(crate) client_auth: Vec<ClientAuth>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207 §3).
    pub(crate) issuer_in_callback: bool,
}

impl Description {
    /// Whether addresses are still to be read from the issuer's metadata: an issuer is given, and the token endpoint
    /// is not; or the issuer is a provider object's own, and an address beside the token endpoint is not given.
    pub fn needs_discovery(&self) -> bool {
        let Endpoints { issuer, authorization, token, revocation, userinfo, .. } = &self.endpoints;
        let sends_people = self.methods.contains(&Method::AuthorizationCode);
        let beside = || sends_people && authorization.is_none() || revocation.is_none() || userinfo.is_none();
        let open = token.is_none() || self.own_issuer && beside();
        !self.discovered && issuer.is_some() && open
    }

    /// The description with what is absent taken from metadata. What is set stays, save that ways of client
    /// authentication which the server does not know are dropped, unless none would remain.
    #[must_use]
    pub fn with_metadata(mut self, metadata: &DiscoveredEndpoints) -> Self {
        fn fill(ours: &mut Option<Url>, theirs: Option<&Url>) {
            if ours.is_none() {
                *ours = theirs.cloned();
            }
        }
        let ours = &mut self.endpoints;
        fill(&mut ours.authorization, metadata.authorization.as_ref());
        fill(&mut ours.pushed_authorization_request, metadata.pushed_authorization_request.as_ref());
        fill(&mut ours.token, metadata.token.as_ref());
        fill(&mut ours.device_authorization, metadata.device_authorization.as_ref());
        fill(&mut ours.revocation, metadata.revocation.as_ref());
        fill(&mut ours.userinfo, metadata.userinfo.as_ref());
        self.authorize.issuer_in_callback |= metadata.issuer_in_callback;
        // A public client is never announced by all servers, and is only used when there is no secret.
        let known = |way: &ClientAuth| *way == ClientAuth::None || metadata.client_auth.contains(way);
        if self.client_auth.iter().any(|way| metadata.client_auth.contains(way)) {
            self.client_auth.retain(known);
        }
        self.discovered = true;
        self
    }

    /// The authority that a grant belongs to: the issuer if it was discovered, else the origin of the token endpoint,
    /// else that of the key's check, else the provider's name. Two descriptions with different authorities never
    /// share a grant.
    pub fn authority(&self) -> String {
        let issuer = self.endpoints.issuer.as_ref().filter(|_| self.discovered);
        if let Some(issuer) = issuer {
            return issuer.as_str().trim_end_matches('/').to_owned();
        }
        let check = || self.key.as_ref()?.validate.as_ref()?.url.as_ref();
        match self.endpoints.token.as_ref().or_else(check) {
            Some(url) => url.origin().ascii_serialization(),
            None => format!("provider:{}", self.provider),
        }
    }

    /// How to prove the client, given whether we hold a secret. `None`: there is no way without one.
    pub fn client_auth(&self, has_secret: bool) -> Option<ClientAuth> {
        let with_secret = self.client_auth.iter().copied().find(|way| has_secret && *way != ClientAuth::None);
        with_secret.or_else(|| self.client_auth.iter().copied().find(|way| *way == ClientAuth::None))
    }

    /// Where a revocation is sent, with the client id in the path where the style needs it. `None`: it cannot be done
    /// by a request.
    pub(crate) fn revocation_url(&self, client_id: &str) -> Option<Url> {
        let url = self.revoke.url.as_ref().or(self.endpoints.revocation.as_ref())?;
        match self.revoke.style {
            RevokeStyle::None => None,
            RevokeStyle::GithubDelete => {
                let mut url = url.clone();
                url.path_segments_mut().ok()?.pop_if_empty().extend([client_id, "token"]);
                Some(url)
            }
            _ => Some(url.clone()),
        }
    }

    /// Where the account is read, if a call tells it.
    pub fn identity_url(&self) -> Option<&Url> {
        let identity = self.identity.as_ref().filter(|identity| identity.from == IdentitySource::Call)?;
        identity.call.url.as_ref().or(self.endpoints.userinfo.as_ref())
    }

    /// Every address that a request may be sent to, or a person.
    pub fn addresses(&self) -> impl Iterator<Item = &Url> {
        let endpoints = self.endpoints.named().map(|(_, address)| address);
        let others = [
            self.identity.as_ref().and_then(|identity| identity.call.url.as_ref()),
            self.probe.as_ref().and_then(|probe| probe.url.as_ref()),
            self.revoke.url.as_ref(),
            self.key.as_ref().and_then(|key| key.validate.as_ref()?.url.as_ref()),
        ];
        endpoints.into_iter().chain(others).flatten()
    }

    /// What a refresh does to a grant that was obtained by this method.
    pub fn rotation(&self, method: Method) -> Rotation {
        match method {
            Method::ClientCredentials => Rotation::PerMint,
            Method::ApiKey | Method::BasicAuth => Rotation::None,
            Method::AuthorizationCode | Method::DeviceCode | Method::RefreshToken => self.grant.rotation,
        }
    }

    /// Where an administrator of the account approves the app, and comes back from with `state` and without a code. The
    /// scopes are those that wait for approval. `None`: the provider has no such page.
    pub fn admin_consent_url(
        &self,
        client_id: &str,
        redirect_uri: &str,
        scopes: &[String],
        state: Option<&str>,
    ) -> Option<Url> {
        let mut url = self.endpoints.admin_consent.clone()?;
        // Microsoft: `common` is no tenant whose administrator could be asked, and personal accounts have none.
        match url.path().split('/').nth(1) {
            Some("common") => url.set_path(&url.path().replacen("/common/", "/organizations/", 1)),
            Some("consumers") => return None,
            _ => {}
        }
        let separator = self.scopes.separator.as_deref().unwrap_or(" ");
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("client_id", client_id).append_pair("redirect_uri", redirect_uri);
            if !scopes.is_empty() {
                query.append_pair("scope", &scopes.join(separator));
            }
            if let Some(state) = state {
                query.append_pair("state", state);
            }
        }
        Some(url)
    }
}
