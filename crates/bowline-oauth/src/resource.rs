//! Finds the authorization server of a protected resource, such as an MCP server (RFC 9728).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde_json::Value;
use url::Url;

use super::discovery::{DiscoveryError, address, discover, document, get, shown_address};
use super::http::Http;
use super::issuer;
use crate::catalog::DiscoveredEndpoints;

/// How many scopes of a resource are requested by default.
const MAX_SCOPES: usize = 64;
/// The longest scope, in bytes.
const MAX_SCOPE: usize = 256;
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Reads the resource's metadata, and then that of the authorization server it names first.
///
/// The metadata's own `resource` is compared with the address that was asked (RFC 9728 §3.3): otherwise one server could
/// have tokens issued for another.
pub async fn discover_for(http: &dyn Http, resource: &Url) -> Result<DiscoveredEndpoints, DiscoveryError> {
    if resource.query().is_some() || resource.fragment().is_some() {
        return Err(DiscoveryError::NotAResource);
    }
    let document = fetch(http, resource).await?;
    match document.get("resource").and_then(Value::as_str) {
        Some(found) if issuer::is_metadata_of(found, resource) => {}
        Some(found) => {
            let asked = issuer::text(resource).to_owned();
            return Err(DiscoveryError::OtherResource { asked, found: shown_address(found) });
        }
        None => return Err(DiscoveryError::Unreadable),
    }
    let server = document.get("authorization_servers").and_then(|servers| servers.get(0)?.as_str());
    let server = server.ok_or(DiscoveryError::NoAuthorizationServer)?;
    let issuer = address(http, "authorization_servers", server)?;
    let mut found = discover(http, &issuer).await?;
    found.endpoints.issuer = Some(issuer);
    found.resource_scopes = scopes(&document);
    Ok(found)
}

/// The document at its well-known address (RFC 9728 §3.1), at the one for the whole host, or where the resource itself says
/// (§5.1).
async fn fetch(http: &dyn Http, resource: &Url) -> Result<Value, DiscoveryError> {
    let path = resource.path().trim_end_matches('/');
    let well_known = |path: &str| {
        let mut url = resource.clone();
        url.set_path(&format!("{WELL_KNOWN}{path}"));
        url
    };
    let mut places = vec![well_known(path)];
    if !path.is_empty() {
        places.push(well_known(""));
    }
    for place in places {
        match document(&get(http, &place).await?) {
            Err(DiscoveryError::NoDocument(_)) => {}
            other => return other,
        }
    }
    let refused = get(http, resource).await?;
    let nowhere = DiscoveryError::NoResourceMetadata;
    let place = challenge(&refused.headers).ok_or(nowhere(refused.status))?;
    let place = address(http, "resource_metadata", place)?;
    document(&get(http, &place).await?).map_err(|error| match error {
        DiscoveryError::NoDocument(status) => nowhere(status),
        error => error,
    })
}

/// `resource_metadata` of a `WWW-Authenticate` header (RFC 9728 §5.1).
fn challenge(headers: &HeaderMap) -> Option<&str> {
    let parameter = |header| {
        let (_, rest) = str::split_once(header, "resource_metadata=")?;
        match rest.strip_prefix('"') {
            Some(quoted) => Some(quoted.split_once('"')?.0),
            None => rest.split([',', ' ']).next(),
        }
    };
    headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|header| header.to_str().ok()).find_map(parameter)
}

/// The resource's scopes; those that are none by RFC 6749 §3.3 are dropped.
fn scopes(document: &Value) -> Vec<String> {
    let listed = document.get("scopes_supported").and_then(Value::as_array);
    let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let is_scope = |scope: &&str| (1..=MAX_SCOPE).contains(&scope.len()) && scope.bytes().all(is_token);
    let scopes = listed.into_iter().flatten().filter_map(Value::as_str).filter(is_scope);
    scopes.take(MAX_SCOPES).map(str::to_owned).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{Script, answer};

    const RESOURCE: &str = "https://mcp.example.com/v1/mcp";
    const ISSUER: &str = "https://login.example.com";

    fn resource() -> Value {
        json!({"resource": RESOURCE, "authorization_servers": [ISSUER], "scopes_supported": ["files.read", "a b", 3]})
    }

    fn server() -> String {
        json!({"issuer": ISSUER, "token_endpoint": "https://login.example.com/token",
            "registration_endpoint": "https://login.example.com/register"})
        .to_string()
    }

    fn asked(script: &Script) -> Vec<String> {
        script.requests().iter().map(|request| request.uri().to_string()).collect()
    }

    async fn found(script: &Script) -> Result<DiscoveredEndpoints, DiscoveryError> {
        discover_for(script, &RESOURCE.parse().unwrap()).await
    }

    #[tokio::test]
    async fn the_resource_names_its_authorization_server() {
        let script =
            Script::new([Ok(answer(200, &[], &resource().to_string())), Ok(answer(200, &[], &server()))]);
        let found = found(&script).await.unwrap();
        assert_eq!(found.endpoints.issuer.unwrap().as_str(), "https://login.example.com/");
        assert_eq!(found.resource_scopes, ["files.read"]);
        assert_eq!(found.registration.unwrap().url.as_str(), "https://login.example.com/register");
        assert_eq!(
            asked(&script),
            [
                "https://mcp.example.com/.well-known/oauth-protected-resource/v1/mcp",
                "https://login.example.com/.well-known/oauth-authorization-server",
            ]
        );
    }

    #[tokio::test]
    async fn the_challenge_of_the_resource_is_the_last_place() {
        let challenge = r#"Bearer error="invalid_token", resource_metadata="https://mcp.example.com/meta""#;
        let script = Script::new([
            Ok(answer(404, &[], "")),
            Ok(answer(404, &[], "")),
            Ok(answer(401, &[("www-authenticate", challenge)], "")),
            Ok(answer(200, &[], &resource().to_string())),
            Ok(answer(200, &[], &server())),
        ]);
        found(&script).await.unwrap();
        let places = asked(&script);
        assert_eq!(places[1], "https://mcp.example.com/.well-known/oauth-protected-resource");
        assert_eq!(places[2..4], [RESOURCE, "https://mcp.example.com/meta"]);
    }

    #[tokio::test]
    async fn metadata_of_another_resource_counts_for_nothing() {
        let mut document = resource();
        document["resource"] = json!("https://mcp.example.com");
        let script = Script::of(200, &document.to_string());
        let words = found(&script).await.unwrap_err().to_string();
        assert!(words.contains(RESOURCE) && words.contains("of https://mcp.example.com:"), "{words}");
        assert_eq!(asked(&script).len(), 1, "no authorization server is asked");
    }

    #[tokio::test]
    async fn what_is_missing_or_may_not_be_reached_is_said() {
        let nothing = [404, 404, 404].map(|status| Ok(answer(status, &[], "")));
        let error = found(&Script::new(nothing)).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NoResourceMetadata(_)) && !error.passes(), "{error}");
        for (servers, expected) in [
            (json!([]), "names no authorization server"),
            (json!(["http://login.example.com"]), "authorization_servers"),
            (json!(["https://169.254.169.254"]), "authorization_servers"),
        ] {
            let mut document = resource();
            document["authorization_servers"] = servers;
            let script = Script::of(200, &document.to_string());
            let words = found(&script).await.unwrap_err().to_string();
            assert!(words.contains(expected), "{words}");
            assert_eq!(asked(&script).len(), 1);
        }
        assert!(found(&Script::of(503, "")).await.unwrap_err().passes());
        let query = discover_for(&Script::new([]), &"https://mcp.example.com/?a=b".parse().unwrap()).await;
        assert!(matches!(query.unwrap_err(), DiscoveryError::NotAResource));
    }
}
