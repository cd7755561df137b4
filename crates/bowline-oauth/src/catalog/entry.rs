//! The schema of a catalogue file, `providers/<name>.yaml`.
//!
//! A field is added here and nowhere else: to [`ThirdParty`] if resolving needs it, else to [`CatalogEntry`]; an address
//! also to [`ThirdParty::named_addresses`].

use std::collections::BTreeMap;
use std::ops::Deref;

use bowline_api::connection::Method;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use super::authorization::{Authorize, DeviceFlow, Pkce};
use super::calls::{ApiCall, Identity, Probe, Revoke};
use super::errors::ErrorTable;
use super::issued_key::{IssuedKeyFlaw, IssuedKeyRules};
use super::key_usage::KeyUsage;
use super::link_session::LinkSession;
use super::login::Logins;
use super::look::{Color, Confidence, Group, Setup};
use super::merge::merge;
use super::parameter::Parameter;
use super::pointer::Pointer;
use super::protocol::{
    CertificateUse, ClientAuth, ClientRegistration, GrantLifecycle, RefreshPace, ScopeRules, TokenRequest,
    TokenResponse,
};
use super::template::Template;
use super::webhook::Webhook;

/// A third party as the catalogue knows it, for everybody. Resolving it for one connection gives a
/// [`Description`](super::Description).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Entry")]
pub struct CatalogEntry {
    /// The entry this one is laid over: maps merge, lists and scalars replace, `null` removes.
    pub(crate) extends: Option<String>,
    /// What it enables, in one line for people.
    pub about: String,
    /// Where it stands among others.
    pub group: Group,
    /// Its colour, for white text.
    pub color: Color,
    /// Values that an administrator or a connection sets.
    pub parameters: BTreeMap<String, Parameter>,
    /// What an administrator sets up at the provider first.
    pub setup: Setup,
    /// How credentials begin, kind → prefix. Published formats grow: a hint, never a check.
    pub(crate) token_prefixes: BTreeMap<String, String>,
    /// What ends a grant, besides a revocation and the lifetimes that are stated elsewhere.
    pub(crate) endings: Vec<String>,
    /// Limits that the provider sets, for people.
    pub(crate) limits: Vec<String>,
    /// What else an administrator should know.
    pub(crate) notes: Vec<String>,
    /// What is believed, and stated by none of the sources.
    pub(crate) unverified: Vec<String>,
    /// Documents and code that the facts come from.
    pub(crate) sources: Vec<String>,
    /// How well the facts are established.
    pub(crate) confidence: Confidence,
    /// What a description has, too; a file has its fields beside the others.
    #[serde(skip)]
    pub core: ThirdParty<Option<Template>>,
    /// The core as data, which is what resolving works on.
    #[serde(skip)]
    pub(crate) json: Map<String, Value>,
    /// The entry's own fields as data.
    #[serde(skip)]
    pub(crate) own: Map<String, Value>,
    /// The fields of the core that a provider object's overlay states.
    #[serde(skip)]
    pub(crate) stated: Map<String, Value>,
}

impl CatalogEntry {
    /// Reads an entry from the fields of its file.
    ///
    /// serde cannot flatten a struct into one that refuses unknown fields. So each field goes to the struct that has it, and an
    /// unknown one to the core, which refuses it.
    pub(super) fn read(fields: Map<String, Value>) -> Result<Self, Misfit> {
        let (own, json) = parted(fields);
        let core = read(json.clone())?;
        Ok(Self { core, json, own: own.clone(), ..read(own)? })
    }

    /// This entry with an overlay laid over it, as a file is laid over the one it extends.
    pub(super) fn overlaid(&self, overlay: &Map<String, Value>) -> Result<Self, Misfit> {
        let mut fields = self.fields();
        merge(&mut fields, overlay);
        Ok(Self { stated: parted(overlay.clone()).1, ..Self::read(fields)? })
    }

    /// All fields as data, with what the entry inherits.
    pub(super) fn fields(&self) -> Map<String, Value> {
        self.own.clone().into_iter().filter(|(name, _)| name != "extends").chain(self.json.clone()).collect()
    }

    /// Whether there is a parameter of this name that fills placeholders.
    pub(super) fn fills(&self, name: &str) -> bool {
        self.parameters.get(name).is_some_and(|parameter| parameter.sets.is_none())
    }
}

/// The fields of an entry itself, and those of its core.
fn parted(fields: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let known = serde_json::to_value(CatalogEntry::default()).unwrap_or_default();
    fields.into_iter().partition(|(name, _)| known.get(name).is_some())
}

/// A field that does not fit the schema of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{flaw}")]
pub(crate) struct Misfit {
    /// Where it is, with a colon, or nothing where `flaw` says it.
    place: String,
    flaw: String,
}

/// Reads fields into types. An error names the field.
pub(super) fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { String::new() } else { format!("{place}: ") };
        Misfit { place, flaw: error.inner().to_string() }
    })
}

impl Deref for CatalogEntry {
    type Target = ThirdParty<Option<Template>>;

    fn deref(&self) -> &Self::Target {
        &self.core
    }
}

/// What is known of a third party: how it is connected, refreshed, identified, checked and revoked.
///
/// `U` is an address that may be absent: with placeholders in a [`CatalogEntry`], filled in a
/// [`Description`](super::Description).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct ThirdParty<U> {
    /// Name for people.
    pub display_name: String,
    /// How grants can be obtained, the usual one first.
    pub methods: Vec<Method>,
    /// Addresses.
    pub endpoints: ProviderEndpoints<U>,
    /// How the client may prove itself, the preferred way first.
    pub(crate) client_auth: Vec<ClientAuth>,
    /// Which requests present the certificate of the app Secret.
    pub(crate) client_certificate: CertificateUse,
    /// Where the app registration comes from.
    pub(crate) client_registration: ClientRegistration,
    /// What the authorization request needs.
    pub(crate) authorize: Authorize,
    /// What the device authorization request needs.
    pub(crate) device: DeviceFlow,
    /// What a token request needs beyond the standard.
    pub(crate) token_request: TokenRequest,
    /// Where a token answer has its parts.
    pub(crate) token_response: TokenResponse,
    /// Scopes.
    pub scopes: ScopeRules,
    /// Further values to publish beside the token, key of the Secret → path. A path begins with where the value comes from:
    /// `/answer` (the token answer), `/callback` (the parameters of the callback), `/userInfo`, `/check` (the answer to a key's
    /// check) or `/call` (the answer to `publishCall`). None of them may be secret beyond the token. Templates have them as
    /// `extras`.
    pub(crate) publish: BTreeMap<String, Pointer>,
    /// Further values to publish that are known beforehand, key of the Secret → text. One whose placeholder has no value is left
    /// out.
    pub(crate) publish_text: BTreeMap<String, String>,
    /// A call besides the user info, or a key's check, whose answer has values to publish. Absent means none.
    pub(crate) publish_call: Option<ApiCall<U>>,
    /// What a grant is like.
    pub grant: GrantLifecycle,
    /// How often the provider may be asked.
    pub refresh: RefreshPace,
    /// How the account is found out. Absent means that it is not.
    pub identity: Option<Identity<U>>,
    /// How the token or key in use is checked between refreshes. Absent means that it is not.
    pub probe: Option<Probe<U>>,
    /// How a grant is withdrawn.
    pub revoke: Revoke<U>,
    /// Where a key goes and how it is checked, for the methods `ApiKey` and `BasicAuth`.
    pub key: Option<KeyUsage<U>>,
    /// What keys are like that are issued here, for the method `IssuedKey`.
    pub issued_key: Option<IssuedKeyRules>,
    /// How an account is linked, for the method `LinkSession`.
    pub link_session: Option<LinkSession<U>>,
    /// Where tools sign in with the token, the key or the password.
    pub logins: Logins<U>,
    /// Settings that consumers may have in `spec.config`, by name. Absent means any.
    pub config: BTreeMap<String, super::config::ConfigField>,
    /// What failures mean.
    pub(crate) errors: ErrorTable,
    /// Messages that it sends by itself. Absent means none.
    pub webhook: Option<Webhook>,
}

impl<A> ThirdParty<Option<A>> {
    /// The one list of addresses to which a request or a person is sent, or a tool that has the token: where each is in an
    /// entry's data, what it is for, and the address.
    pub(super) fn named_addresses(&self) -> [(&'static str, &'static str, Option<&A>); 21] {
        let of = &self.endpoints;
        let identity = self.identity.as_ref().and_then(|identity| identity.call.url.as_ref());
        let key = self.key.as_ref().and_then(|key| key.validate.as_ref()?.url.as_ref());
        let probe = self.probe.as_ref().and_then(|probe| probe.call.as_ref()?.url.as_ref());
        let publish = self.publish_call.as_ref().and_then(|call| call.url.as_ref());
        let session = self.link_session.as_ref();
        [
            ("/endpoints/issuer", "issuer", of.issuer.as_ref()),
            ("/endpoints/resource", "resource", of.resource.as_ref()),
            ("/endpoints/authorization", "authorization", of.authorization.as_ref()),
            (
                "/endpoints/pushedAuthorizationRequest",
                "pushed authorization request",
                of.pushed_authorization_request.as_ref(),
            ),
            ("/endpoints/token", "token", of.token.as_ref()),
            ("/endpoints/refresh", "refresh", of.refresh.as_ref()),
            ("/endpoints/deviceAuthorization", "device authorization", of.device_authorization.as_ref()),
            ("/endpoints/revocation", "revocation", of.revocation.as_ref()),
            ("/endpoints/introspection", "introspection", of.introspection.as_ref()),
            ("/endpoints/userinfo", "userinfo", of.userinfo.as_ref()),
            ("/endpoints/adminConsent", "admin consent", of.admin_consent.as_ref()),
            ("/identity/call/url", "the account", identity),
            ("/probe/call/url", "the probe", probe),
            ("/publishCall/url", "values to publish", publish),
            ("/revoke/url", "revocation", self.revoke.url.as_ref()),
            ("/key/validate/url", "the key's check", key),
            ("/linkSession/url", "link sessions", session.and_then(|session| session.url.as_ref())),
            (
                "/linkSession/page",
                "the page of link sessions",
                session.and_then(|session| session.page.as_ref()),
            ),
            ("/logins/git/url", "git", self.logins.git.url.as_ref()),
            ("/logins/registry/url", "the container registry", self.logins.registry.url.as_ref()),
            ("/logins/http/url", "HTTP tools", self.logins.http.url.as_ref()),
        ]
    }
}

impl<U> ThirdParty<U> {
    /// Refuses keys that cannot be issued as stated.
    pub(super) fn check_issued_key(&self) -> Result<(), IssuedKeyFlaw> {
        match &self.issued_key {
            Some(rules) => rules.check(),
            None if self.methods.contains(&Method::IssuedKey) => Err(IssuedKeyFlaw::Absent),
            None => Ok(()),
        }
    }

    /// Whether the operator registers itself where nobody named a registration.
    pub fn registers_itself(&self) -> bool {
        self.client_registration == ClientRegistration::Dynamic
    }

    /// Whether nothing can be requested without a certificate.
    pub fn needs_certificate(&self) -> bool {
        let everywhere = self.client_certificate == CertificateUse::AllRequests;
        everywhere || ClientAuth::are_certificates(&self.client_auth)
    }

    /// Whether there are tokens to request, and not only a key or a password.
    pub(super) fn uses_tokens(&self) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|method| method.needs_app())
    }
}

/// Addresses of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderEndpoints<U> {
    /// Issuer identifier (RFC 8414 §2). The token endpoint is read from its metadata when it is not given here.
    pub issuer: U,
    /// Protected resource (RFC 9728), such as an MCP server. Its metadata names the issuer, if none is given here.
    pub resource: U,
    /// Authorization endpoint (RFC 6749 §3.1).
    pub authorization: U,
    /// Pushed authorization request endpoint (RFC 9126 §2). Used whenever it is known; if the provider refuses a push, the
    /// request goes through the browser, unless `authorize.requirePushed` is set.
    pub(crate) pushed_authorization_request: U,
    /// Token endpoint (RFC 6749 §3.2).
    pub token: U,
    /// Where refresh tokens are used, for a provider that has another address for that. Absent means the token endpoint.
    pub(crate) refresh: U,
    /// Device authorization endpoint (RFC 8628 §3.1).
    pub(crate) device_authorization: U,
    /// Revocation endpoint (RFC 7009 §2).
    pub(crate) revocation: U,
    /// Token introspection endpoint (RFC 7662 §2), for probes.
    pub(crate) introspection: U,
    /// Where the account is read.
    pub(crate) userinfo: U,
    /// Where an administrator of the account approves the app.
    pub(crate) admin_consent: U,
}
