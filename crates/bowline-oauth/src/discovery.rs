//! Reads a provider's addresses from its metadata (RFC 8414, `OpenID` Connect Discovery).

use bowline_api::shown;
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::answer::Document;
use super::guard::{self, AddressRefused};
use super::http::{Http, Received, SendError};
use super::{classify, issuer, request};
use crate::catalog::entry::{Pkce, ProviderEndpoints};
use crate::catalog::protocol::ClientAuth;
use crate::catalog::{DiscoveredEndpoints, RegistrationEndpoint};

/// The longest address that is kept.
const MAX_URL: usize = 2048;

/// How many methods of client authentication are shown.
const MAX_METHODS: usize = 8;

/// How much of a foreign issuer is shown, in characters.
const MAX_SHOWN: usize = 200;

/// Metadata that cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The issuer has a query or fragment, which RFC 8414 §2 forbids.
    #[error("the issuer may have no query and no fragment: write it without")]
    NotAnIssuer,
    /// No document was received. Temporary, unless the address may not be called.
    #[error("the metadata cannot be fetched: {0}")]
    Unreachable(#[from] SendError),
    /// The issuer has no document at either address.
    #[error("the issuer publishes no metadata (status {}): check endpoints.issuer, or set endpoints.token", .0.as_u16())]
    NoDocument(StatusCode),
    /// The provider is in trouble. Temporary.
    #[error("the metadata is not available now (status {})", .0.as_u16())]
    Unavailable(StatusCode),
    #[error("the metadata cannot be read: check the address, or set endpoints.token")]
    Unreadable,
    /// The document belongs to another issuer: nothing in it is valid (RFC 8414 §3.3).
    #[error(
        "the metadata of {asked} says that it is of {found}: write endpoints.issuer exactly so if the provider publishes its \
         metadata there, or remove it and set endpoints.authorization and endpoints.token by hand"
    )]
    OtherIssuer { asked: String, found: String },
    /// A protected resource is named by an address without a query or fragment here.
    #[error("the resource may have no query and no fragment: write it without")]
    NotAResource,
    /// Neither well-known address nor the resource's own answer leads to metadata (RFC 9728).
    #[error(
        "the resource publishes no metadata, and its answer (status {}) names none: check its address, or set endpoints.issuer",
        .0.as_u16()
    )]
    NoResourceMetadata(StatusCode),
    /// The document is about another resource: nothing in it is valid (RFC 9728 §3.3).
    #[error(
        "the metadata of {asked} says that it is of {found}: name the resource exactly so if that is the one you mean, or set \
         endpoints.issuer"
    )]
    OtherResource { asked: String, found: String },
    #[error("the resource's metadata names no authorization server: set endpoints.issuer")]
    NoAuthorizationServer,
    #[error("the issuer's metadata names no token endpoint: set endpoints.token")]
    NoTokenEndpoint,
    #[error("{0} in the metadata is not a URL of at most {max} characters: set that endpoint by hand", max = MAX_URL)]
    BadEndpoint(&'static str),
    #[error("{name} in the metadata: {refused}")]
    RefusedEndpoint { name: &'static str, refused: AddressRefused },
}

impl DiscoveryError {
    /// Whether it may be temporary. Until it is over, the last good copy is used.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(error) => !matches!(error, SendError::Refused(_) | SendError::BadUrl),
            Self::Unavailable(_) => true,
            _ => false,
        }
    }
}

/// Fetches the metadata of an issuer: the OAuth document, or the `OpenID` document if there is none.
///
/// The document's issuer is compared character by character. Endpoints may be on any host; those that the client would not
/// call are refused here, and again when the client connects.
pub async fn discover(http: &dyn Http, issuer: &Url) -> Result<DiscoveredEndpoints, DiscoveryError> {
    if issuer.query().is_some() || issuer.fragment().is_some() {
        return Err(DiscoveryError::NotAnIssuer);
    }
    let path = issuer.path().trim_end_matches('/');
    // RFC 8414 §3.1: between host and path. `OpenID` Connect Discovery §4: after the path.
    let oauth_document = format!("/.well-known/oauth-authorization-server{path}");
    let openid_document = format!("{path}/.well-known/openid-configuration");
    let first = match fetch(http, &oauth_document, issuer).await {
        Ok(document) => return endpoints(http, &document),
        // The other document is on the same host.
        Err(error @ DiscoveryError::Unreachable(_)) => return Err(error),
        Err(error) => error,
    };
    match fetch(http, &openid_document, issuer).await {
        Ok(document) => endpoints(http, &document),
        // The error of the first document says more than that there is no second one.
        Err(DiscoveryError::NoDocument(_)) => Err(first),
        Err(error) => Err(error),
    }
}

pub(super) async fn get(http: &dyn Http, url: &Url) -> Result<Received, DiscoveryError> {
    let request = request::bare(Method::GET, url).map_err(|_| SendError::BadUrl)?;
    Ok(http.send(request).await?)
}

/// The metadata in an answer.
pub(super) fn document(received: &Received) -> Result<Value, DiscoveryError> {
    match received.status {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS => return Err(DiscoveryError::Unavailable(received.status)),
        status if status.is_server_error() => return Err(DiscoveryError::Unavailable(status)),
        status => return Err(DiscoveryError::NoDocument(status)),
    }
    match Document::read(received) {
        Document::Data(document @ Value::Object(_)) => Ok(document),
        _ => Err(DiscoveryError::Unreadable),
    }
}

/// An address that metadata names, if it may be called.
pub(super) fn address(http: &dyn Http, name: &'static str, text: &str) -> Result<Url, DiscoveryError> {
    let url = Url::parse(text).map_err(|_| DiscoveryError::BadEndpoint(name))?;
    if url.fragment().is_some() || url.as_str().len() > MAX_URL {
        return Err(DiscoveryError::BadEndpoint(name));
    }
    let checked = guard::check_url(&url, http.network());
    checked.map_err(|refused| DiscoveryError::RefusedEndpoint { name, refused })?;
    Ok(url)
}

async fn fetch(http: &dyn Http, path: &str, issuer: &Url) -> Result<Value, DiscoveryError> {
    let mut url = issuer.clone();
    url.set_path(path);
    let document = document(&get(http, &url).await?)?;
    match document.get("issuer").and_then(Value::as_str) {
        Some(found) if issuer::is_metadata_of(found, issuer) => Ok(document),
        Some(found) => {
            let asked = issuer::text(issuer).to_owned();
            Err(DiscoveryError::OtherIssuer { asked, found: shown_address(found) })
        }
        None => Err(DiscoveryError::Unreadable),
    }
}

/// A foreign address as people may see it.
pub(super) fn shown_address(found: &str) -> String {
    shown::one_line(found).chars().take(MAX_SHOWN).collect()
}

fn endpoints(http: &dyn Http, document: &Value) -> Result<DiscoveredEndpoints, DiscoveryError> {
    let endpoint = |name: &'static str| {
        document.get(name).and_then(Value::as_str).map(|text| address(http, name, text)).transpose()
    };
    let (client_auth, client_auth_announced) = client_auth(document);
    Ok(DiscoveredEndpoints {
        endpoints: ProviderEndpoints {
            authorization: endpoint("authorization_endpoint")?,
            pushed_authorization_request: endpoint("pushed_authorization_request_endpoint")?,
            token: Some(endpoint("token_endpoint")?.ok_or(DiscoveryError::NoTokenEndpoint)?),
            device_authorization: endpoint("device_authorization_endpoint")?,
            revocation: endpoint("revocation_endpoint")?,
            userinfo: endpoint("userinfo_endpoint")?,
            // It serves probes alone: one that may not be called makes no provider unusable.
            introspection: endpoint("introspection_endpoint").unwrap_or_default(),
            ..ProviderEndpoints::default()
        },
        with_certificate: aliases(http, document)?,
        certificate_bound: document.get("tls_client_certificate_bound_access_tokens")
            == Some(&Value::Bool(true)),
        registration: endpoint("registration_endpoint")?
            .map(|url| RegistrationEndpoint { url, id_token_signing: id_token_signing(document) }),
        resource_scopes: Vec::new(),
        client_auth,
        client_auth_announced,
        issuer_in_callback: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
        pkce: pkce(document),
        require_pushed: document.get("require_pushed_authorization_requests") == Some(&Value::Bool(true)),
    })
}

/// The addresses for clients with a certificate (RFC 8705 §5).
fn aliases(http: &dyn Http, document: &Value) -> Result<ProviderEndpoints<Option<Url>>, DiscoveryError> {
    let named = document.get("mtls_endpoint_aliases");
    let alias = |name: &'static str| {
        named.and_then(|named| named.get(name)?.as_str()).map(|text| address(http, name, text)).transpose()
    };
    Ok(ProviderEndpoints {
        pushed_authorization_request: alias("pushed_authorization_request_endpoint")?,
        token: alias("token_endpoint")?,
        device_authorization: alias("device_authorization_endpoint")?,
        revocation: alias("revocation_endpoint")?,
        userinfo: alias("userinfo_endpoint")?,
        introspection: alias("introspection_endpoint").unwrap_or_default(),
        ..ProviderEndpoints::default()
    })
}

/// How the server can sign id tokens, if not with RS256.
fn id_token_signing(document: &Value) -> Option<String> {
    let listed = document.get("id_token_signing_alg_values_supported")?.as_array()?;
    let mut names = listed.iter().filter_map(Value::as_str).filter(|name| classify::is_plain(name));
    if names.clone().any(|name| name == "RS256") { None } else { names.next().map(str::to_owned) }
}

/// What the server makes of PKCE with S256.
fn pkce(document: &Value) -> Pkce {
    match document.get("code_challenge_methods_supported").and_then(Value::as_array) {
        None => Pkce::Unknown,
        Some(methods) if methods.iter().any(|method| method == "S256") => Pkce::Supported,
        Some(_) => Pkce::None,
    }
}

/// The methods that we support, and the names of all. An absent list means Basic (RFC 8414 §2).
fn client_auth(document: &Value) -> (Vec<ClientAuth>, Vec<String>) {
    let Some(listed) = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array) else {
        return (vec![ClientAuth::Basic], Vec::new());
    };
    let known = |method: &Value| {
        ClientAuth::ALL.into_iter().find(|way| method.as_str() == Some(way.registered_name()))
    };
    let mut methods = Vec::new();
    for method in listed.iter().filter_map(known) {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    let names = listed.iter().filter_map(Value::as_str).filter(|name| classify::is_plain(name));
    (methods, names.take(MAX_METHODS).map(str::to_owned).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::{Script, answer};

    const ISSUER: &str = "https://login.example.com/realms/a";

    fn metadata() -> Value {
        json!({
            "issuer": ISSUER,
            "token_endpoint": "https://tokens.example.com/token",
            "revocation_endpoint": "https://tokens.example.com/revoke",
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
        })
    }

    async fn discovered(script: &Script, issuer: &str) -> Result<DiscoveredEndpoints, DiscoveryError> {
        discover(script, &issuer.parse().unwrap()).await
    }

    fn asked(script: &Script) -> Vec<String> {
        script.requests().iter().map(|request| request.uri().to_string()).collect()
    }

    #[tokio::test]
    async fn the_oauth_document_is_asked_first_and_then_the_openid_document() {
        let script = Script::new([Ok(answer(404, &[], "")), Ok(answer(200, &[], &metadata().to_string()))]);
        let found = discovered(&script, ISSUER).await.unwrap();
        assert_eq!(found.endpoints.token.unwrap().as_str(), "https://tokens.example.com/token");
        assert_eq!(found.client_auth, [ClientAuth::PrivateKeyJwt, ClientAuth::Post]);
        assert_eq!(
            asked(&script),
            [
                "https://login.example.com/.well-known/oauth-authorization-server/realms/a",
                "https://login.example.com/realms/a/.well-known/openid-configuration",
            ]
        );
    }

    #[tokio::test]
    async fn a_bare_host_has_its_documents_at_the_root() {
        let script = Script::new([Ok(answer(404, &[], "")), Ok(answer(404, &[], ""))]);
        let error = discovered(&script, "https://login.example.com").await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NoDocument(_)) && !error.passes());
        let well_known = "https://login.example.com/.well-known/";
        let want =
            ["oauth-authorization-server", "openid-configuration"].map(|name| format!("{well_known}{name}"));
        assert_eq!(asked(&script), want);
    }

    #[tokio::test]
    async fn a_document_of_another_issuer_counts_for_nothing() {
        for other in
            ["https://login.example.com/realms/a/", "https://login.example.com", "https://evil.example.com"]
        {
            let mut document = metadata();
            document["issuer"] = json!(other);
            let script = Script::new([Ok(answer(200, &[], &document.to_string())), Ok(answer(404, &[], ""))]);
            let error = discovered(&script, ISSUER).await.unwrap_err();
            let words = error.to_string();
            assert!(matches!(error, DiscoveryError::OtherIssuer { .. }), "{other} {error:?}");
            assert!(words.contains(other) && words.contains(ISSUER) && words.contains("by hand"), "{words}");
        }
    }

    #[tokio::test]
    async fn endpoints_that_may_not_be_called_are_refused() {
        for endpoint in
            ["http://tokens.example.com/", "https://10.0.0.1/", "https://vault.kube.svc/", "javascript:1"]
        {
            let mut document = metadata();
            document["revocation_endpoint"] = json!(endpoint);
            let error = discovered(&Script::of(200, &document.to_string()), ISSUER).await.unwrap_err();
            assert!(
                matches!(error, DiscoveryError::RefusedEndpoint { name: "revocation_endpoint", .. }),
                "{error:?}"
            );
        }
        let mut document = metadata();
        document.as_object_mut().unwrap().remove("token_endpoint");
        let error = discovered(&Script::of(200, &document.to_string()), ISSUER).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NoTokenEndpoint));
    }

    #[tokio::test]
    async fn an_outage_passes_and_a_wrong_address_does_not() {
        let down = Script::new([Ok(answer(503, &[], "")), Ok(answer(503, &[], ""))]);
        assert!(discovered(&down, ISSUER).await.unwrap_err().passes());
        let page = Script::new([Ok(answer(200, &[], "<html>")), Ok(answer(200, &[], "<html>"))]);
        assert!(matches!(discovered(&page, ISSUER).await.unwrap_err(), DiscoveryError::Unreadable));
        let moved = Script::new([Ok(answer(302, &[], "")), Ok(answer(302, &[], ""))]);
        assert!(matches!(discovered(&moved, ISSUER).await.unwrap_err(), DiscoveryError::NoDocument(_)));
        let query = discovered(&Script::new([]), "https://login.example.com/?a=b").await.unwrap_err();
        assert!(matches!(query, DiscoveryError::NotAnIssuer));
    }

    proptest! {
        #[test]
        fn no_document_panics(name in "[a-z_]{1,30}", text in "\\PC{0,40}") {
            let mut document = metadata();
            document[name] = json!(text);
            let script = Script::of(200, "");
            let _ = endpoints(&script, &document);
        }
    }
}
