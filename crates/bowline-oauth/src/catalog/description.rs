//! [`Description`]: an entry with a provider object's overrides and a connection's parameters filled in.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::ops::Deref;

use bowline_api::connection::Method;
use bowline_api::provider::Rotation;
use url::Url;

use super::assertion::AssertionAudience;
use super::calls::{Identity, IdentitySource, RevokeStyle};
use super::entry::{Pkce, ProviderEndpoints, ThirdParty};
use super::key_usage::KeyUsage;
use super::login::is_of_logins;
use super::protocol::{CertificateUse, ClientAuth, Proofs};
use crate::issuer;

/// All that the protocol needs to know of one provider for one connection: a [`CatalogEntry`](super::CatalogEntry) with what
/// the provider object states and the connection's parameters filled in. It holds no secret, no placeholder, and none of
/// what is for people only.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Name of the `IntegrationProvider`.
    pub provider: String,
    /// Name of the catalogue entry.
    pub entry: String,
    pub core: ThirdParty<Option<Url>>,
    /// Values of the entry's parameters, for the calls of a link session.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The issuer is the provider object's own, and none of the entry's addresses is used.
    pub(crate) own_issuer: bool,
    /// The issuer's metadata was applied.
    pub(crate) discovered: bool,
    /// By the metadata, access tokens are bound to the client's certificate (RFC 8705 §3).
    pub(crate) certificate_bound: bool,
}

impl Deref for Description {
    type Target = ThirdParty<Option<Url>>;

    fn deref(&self) -> &Self::Target {
        &self.core
    }
}

/// What an issuer's metadata says (RFC 8414 §2), the issuer already checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredEndpoints {
    pub(crate) endpoints: ProviderEndpoints<Option<Url>>,
    /// `mtls_endpoint_aliases` (RFC 8705 §5): addresses instead of those, for clients with a certificate.
    pub(crate) with_certificate: ProviderEndpoints<Option<Url>>,
    /// `tls_client_certificate_bound_access_tokens` (RFC 8705 §3.3).
    pub(crate) certificate_bound: bool,
    /// Where clients register themselves (RFC 7591 §3).
    pub registration: Option<RegistrationEndpoint>,
    /// The scopes of the protected resource (RFC 9728 §2), where one was asked.
    pub(crate) resource_scopes: Vec<String>,
    /// `token_endpoint_auth_methods_supported`, those we support.
    pub(crate) client_auth: Vec<ClientAuth>,
    /// The names that it lists, as far as they are plain.
    pub client_auth_announced: Vec<String>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207 §3).
    pub(crate) issuer_in_callback: bool,
    /// What `code_challenge_methods_supported` says about S256 (RFC 8414 §2). Absent is not known.
    pub(crate) pkce: Pkce,
    /// `require_pushed_authorization_requests` (RFC 9126 §5).
    pub(crate) require_pushed: bool,
}

/// Where clients register themselves, and what must be said there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationEndpoint {
    pub(crate) url: Url,
    /// How the server can sign id tokens, if not with RS256, which a registration means that does not say (`OpenID` Connect
    /// Dynamic Client Registration §2).
    pub(crate) id_token_signing: Option<String>,
}

/// Whose metadata is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// The authorization server's (RFC 8414).
    Issuer(Url),
    /// The protected resource's (RFC 9728), and then that of the authorization server it names.
    Resource(Url),
}

impl DiscoveredEndpoints {
    /// Whether the server takes this client authentication, or would not announce it.
    fn takes(&self, way: ClientAuth) -> bool {
        match way {
            // Not all servers that take secrets announce public clients too.
            ClientAuth::None if self.client_auth.iter().any(|way| way.takes_secret()) => true,
            ClientAuth::Omitted => true,
            way => self.client_auth.contains(&way),
        }
    }

    /// The addresses for a client with or without a certificate.
    fn endpoints_for(&self, with_certificate: bool) -> ProviderEndpoints<Option<Url>> {
        let plain = self.endpoints.clone();
        if !with_certificate {
            return plain;
        }
        let other = self.with_certificate.clone();
        ProviderEndpoints {
            pushed_authorization_request: other
                .pushed_authorization_request
                .or(plain.pushed_authorization_request),
            token: other.token.or(plain.token),
            device_authorization: other.device_authorization.or(plain.device_authorization),
            revocation: other.revocation.or(plain.revocation),
            introspection: other.introspection.or(plain.introspection),
            userinfo: other.userinfo.or(plain.userinfo),
            ..plain
        }
    }
}

impl Description {
    /// What is wrong with settings in the `spec.config` of a connection or binding. An entry that names none takes any.
    pub fn config_flaws(&self, config: &bowline_api::ConsumerConfig) -> Vec<super::config::ConfigFlaw> {
        super::config::flaws(&self.config, config)
    }

    /// Whether addresses must still be read from metadata: an issuer or a resource is given, and the token endpoint is not;
    /// or the issuer is the provider object's own, and an address besides the token endpoint is not given.
    pub fn needs_discovery(&self) -> bool {
        let ProviderEndpoints { authorization, token, revocation, userinfo, .. } = &self.endpoints;
        let sends_people = self.methods.contains(&Method::AuthorizationCode);
        let beside = || sends_people && authorization.is_none() || revocation.is_none() || userinfo.is_none();
        let open = token.is_none() || self.own_issuer && beside();
        !self.discovered && self.metadata_source().is_some() && open
    }

    /// Whose metadata names the addresses that are not given.
    pub fn metadata_source(&self) -> Option<MetadataSource> {
        let ProviderEndpoints { issuer, resource, .. } = &self.endpoints;
        let resource = || resource.clone().map(MetadataSource::Resource);
        issuer.clone().map(MetadataSource::Issuer).or_else(resource)
    }

    /// The description with missing values taken from metadata. What is set stays. Of several methods of client authentication
    /// those are dropped that the server does not support; a single one is somebody's choice, and stays. `proofs` are those of
    /// the app registration: a client with a certificate has addresses of its own.
    #[must_use]
    pub fn with_metadata(mut self, metadata: &DiscoveredEndpoints, proofs: Proofs) -> Self {
        let ours = mem::take(&mut self.core.endpoints);
        let presents = proofs.certificate || self.needs_certificate();
        let theirs = metadata.endpoints_for(presents);
        self.certificate_bound = presents && metadata.certificate_bound;
        self.core.endpoints = ProviderEndpoints {
            issuer: ours.issuer.or(theirs.issuer),
            resource: ours.resource,
            authorization: ours.authorization.or(theirs.authorization),
            pushed_authorization_request: ours
                .pushed_authorization_request
                .or(theirs.pushed_authorization_request),
            token: ours.token.or(theirs.token),
            refresh: ours.refresh,
            device_authorization: ours.device_authorization.or(theirs.device_authorization),
            revocation: ours.revocation.or(theirs.revocation),
            introspection: ours.introspection.or(theirs.introspection),
            userinfo: ours.userinfo.or(theirs.userinfo),
            admin_consent: ours.admin_consent,
        };
        self.core.authorize.issuer_in_callback |= metadata.issuer_in_callback;
        self.core.authorize.require_pushed |= metadata.require_pushed;
        if self.authorize.pkce == Pkce::Unknown {
            self.core.authorize.pkce = metadata.pkce;
        }
        // Without a list the server says nothing about that.
        if self.client_auth.len() > 1 && !metadata.client_auth_announced.is_empty() {
            self.core.client_auth.retain(|way| metadata.takes(*way));
        }
        if self.scopes.default.is_empty() {
            self.core.scopes.default.clone_from(&metadata.resource_scopes);
        }
        self.discovered = true;
        self
    }

    /// The authority that a grant belongs to: the issuer if it was discovered, otherwise the origin of the token endpoint,
    /// of the key's check or of link sessions, otherwise the provider's name. Descriptions with different authorities never share
    /// a grant.
    pub fn authority(&self) -> String {
        let issuer = self.endpoints.issuer.as_ref().filter(|_| self.discovered);
        if let Some(issuer) = issuer {
            return issuer.as_str().trim_end_matches('/').to_owned();
        }
        let check = || self.key.as_ref()?.validate.as_ref()?.url.as_ref();
        let session = || self.link_session.as_ref()?.url.as_ref();
        match self.endpoints.token.as_ref().or_else(check).or_else(session) {
            Some(url) => url.origin().ascii_serialization(),
            None => format!("provider:{}", self.provider),
        }
    }

    /// How to authenticate the client, given what it can prove itself with: the first way that is possible, and as a public
    /// client only if there is no other. `None`: there is no way.
    pub fn client_auth(&self, proofs: Proofs) -> Option<ClientAuth> {
        let is_possible = |way: &&ClientAuth| match way {
            ClientAuth::Basic | ClientAuth::Post => proofs.secret,
            ClientAuth::PrivateKeyJwt | ClientAuth::BearerJwt => proofs.private_key,
            ClientAuth::TlsClientAuth | ClientAuth::SelfSignedTlsClientAuth => proofs.certificate,
            ClientAuth::None | ClientAuth::Omitted => false,
        };
        let ways = &self.client_auth;
        // A client that could prove itself is not silently a public one.
        let is_public = proofs == Proofs::default() || ways.iter().all(|way| *way == ClientAuth::None);
        let public = || ways.iter().find(|way| is_public && **way == ClientAuth::None);
        let omitted = || ways.iter().find(|way| **way == ClientAuth::Omitted);
        ways.iter().find(is_possible).or_else(public).or_else(omitted).copied()
    }

    /// Whether calls with an access token present the certificate, too.
    pub fn calls_with_certificate(&self) -> bool {
        self.client_certificate == CertificateUse::AllRequests || self.certificate_bound
    }

    /// Whether every method signs an assertion with the app's private key.
    pub fn only_signs(&self) -> bool {
        !self.methods.is_empty() && self.methods.iter().all(|method| *method == Method::JwtBearer)
    }

    /// Whom the token of a `ServiceAccount` is for that is exchanged.
    pub fn subject_audience(&self) -> Option<&str> {
        let stated = self.token_request.subject.audience.as_deref();
        stated.or(self.endpoints.token.as_ref().map(Url::as_str))
    }

    /// Whom an assertion is meant for.
    pub(crate) fn assertion_audience(&self) -> Option<&str> {
        let ThirdParty { endpoints, token_request, .. } = &self.core;
        let issuer = endpoints.issuer.as_ref().map(issuer::text);
        let issuer = issuer.filter(|_| token_request.assertion.audience == AssertionAudience::Issuer);
        issuer.or(endpoints.token.as_ref().map(Url::as_str))
    }

    /// Where a person is sent to consent, if it is known before.
    pub fn consent_page(&self) -> Option<&Url> {
        let session = self.link_session.as_ref().and_then(|session| session.page.as_ref());
        self.endpoints.authorization.as_ref().or(session)
    }

    /// Where a revocation is sent, with the client id in the path if the style needs it. `None`: no request can do it.
    pub(crate) fn revocation_url(&self, client_id: &str) -> Option<Url> {
        if self.revoke.style == RevokeStyle::LinkSession {
            return self.link_session.as_ref()?.url.clone();
        }
        let url = self.revoke.url.as_ref().or(self.endpoints.revocation.as_ref())?;
        match self.revoke.style {
            RevokeStyle::None => None,
            style @ (RevokeStyle::GithubDelete | RevokeStyle::GithubDeleteGrant) => {
                let what = if style == RevokeStyle::GithubDelete { "token" } else { "grant" };
                let mut url = url.clone();
                url.path_segments_mut().ok()?.pop_if_empty().extend([client_id, what]);
                Some(url)
            }
            _ => Some(url.clone()),
        }
    }

    /// Where the account is read, if a call returns it.
    pub fn identity_url(&self) -> Option<&Url> {
        let is_asked = |identity: &&Identity<_>| identity.from.contains(&IdentitySource::Call);
        let identity = self.identity.as_ref().filter(is_asked)?;
        identity.call.url.as_ref().or(self.endpoints.userinfo.as_ref())
    }

    /// Every address to which we may send a request or a person. Where tools of workloads sign in is not among them.
    pub fn addresses(&self) -> impl Iterator<Item = &Url> {
        let named = self.named_addresses().into_iter();
        let ours = named.filter(|(place, ..)| !is_of_logins(place));
        ours.filter_map(|(.., address)| address)
    }

    /// Every address to which a token, a code, a key or a client secret may be sent, by us or by tools that we tell so, with
    /// its place in an entry (`/endpoints/token`). Of all others we know that they receive none: browsers are sent to two of them, and issuer
    /// and resource are only asked for their metadata.
    pub fn receiving_addresses(&self) -> impl Iterator<Item = (&'static str, &Url)> {
        const RECEIVE_NONE: [&str; 4] = [
            "/endpoints/issuer",
            "/endpoints/resource",
            "/endpoints/authorization",
            "/endpoints/adminConsent",
        ];
        let named = self.named_addresses().into_iter();
        let receiving = named.filter(|(place, ..)| !RECEIVE_NONE.contains(place));
        receiving.filter_map(|(place, _, address)| Some((place, address?)))
    }

    /// Stands for all that decides what is published of a credential, within one process: a Secret that was written by another
    /// description is not as it should be.
    pub fn publishing_digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let scheme = self.key.as_ref().map(KeyUsage::scheme);
        (&self.logins, scheme, &self.publish).hash(&mut hasher);
        hasher.finish()
    }

    /// The places where an address for revocations may be.
    pub const REVOCATION_PLACES: [&'static str; 3] =
        ["/endpoints/revocation", "/revoke/url", "/linkSession/url"];

    /// What a refresh does to a grant that was obtained with this method.
    pub fn rotation(&self, method: Method) -> Rotation {
        match method {
            Method::ClientCredentials | Method::JwtBearer | Method::TokenExchange => Rotation::PerMint,
            Method::ApiKey | Method::BasicAuth | Method::IssuedKey => Rotation::None,
            Method::AuthorizationCode | Method::DeviceCode | Method::RefreshToken | Method::LinkSession => {
                self.grant.rotation
            }
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
        // Microsoft: `common` is no tenant with an administrator to ask, and personal accounts have none.
        match url.path().split('/').nth(1) {
            Some("common") => url.set_path(&url.path().replacen("/common/", "/organizations/", 1)),
            Some("consumers") => return None,
            _ => {}
        }
        let separator = self.scopes.separator.as_deref().unwrap_or(" ");
        let scope = (!scopes.is_empty()).then(|| ("scope", scopes.join(separator)));
        url.query_pairs_mut()
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", redirect_uri)
            .extend_pairs(scope)
            .extend_pairs(state.map(|state| ("state", state)));
        Some(url)
    }
}
