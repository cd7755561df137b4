//! A second server beside the sandbox: `oidc-provider` from npm, a certified server that we did not write.
//!
//! It runs as a child process. Refresh tokens rotate and their reuse ends the grant; an admin address makes grants without a
//! browser, through the library's own models.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::npm::{self, NpmError};
use crate::sandbox::{MintRequest, Minted};

/// Node needs a moment on a busy machine; a minute means that something is wrong.
const START_DEADLINE: Duration = Duration::from_mins(5);

/// Why the server cannot be used, or did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Its packages cannot be installed.
    #[error(transparent)]
    Install(#[from] NpmError),
    /// Node did not run.
    #[error("cannot run `node`: is Node installed?")]
    Run(#[source] io::Error),
    /// The server ended, or printed something else, before it printed that it listens.
    #[error("the server did not start")]
    Start,
    /// No answer.
    #[error("the server does not answer")]
    Http(#[from] reqwest::Error),
    /// An answer with an unexpected status.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// An answer that is not the JSON it should be.
    #[error("the server's answer cannot be read")]
    Json(#[from] serde_json::Error),
}

/// How a client authenticates to the server. The names are those of `OpenID` Connect Core §9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OidcAuth {
    /// HTTP Basic.
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// In the body.
    #[serde(rename = "client_secret_post")]
    Post,
}

/// A client that the server knows. There is one for each [`OidcAuth`], and the server accepts no other method from it.
#[derive(Clone, Deserialize)]
pub struct OidcClient {
    /// Its `client_id`.
    pub id: String,
    /// Its secret, new at each start.
    pub secret: String,
    /// The one method with which it may authenticate.
    pub auth: OidcAuth,
}

/// An event of a grant or token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OidcEvent {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The library's name for it: `refresh_token.consumed`, `refresh_token.destroyed`, `access_token.destroyed`, `grant.revoked`.
    pub event: String,
    /// The grant.
    pub grant: Option<String>,
    /// The token as [`crate::sandbox::fingerprint`] names it.
    pub sha256: Option<String>,
}

/// A running server. Dropping it kills the process.
///
/// Where util-linux's `setpriv` is installed, the process also dies with the *thread* that started it: start one per test.
pub struct OidcServer {
    issuer: String,
    clients: Vec<OidcClient>,
    http: reqwest::Client,
    _child: Child,
    // Held open: a closed pipe would end the server at its next line.
    _stdout: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Ready {
    issuer: String,
    clients: Vec<OidcClient>,
}

impl OidcServer {
    /// Installs the server's packages if they are missing, starts it on a free port and waits until its metadata is served.
    ///
    /// Installs `ring` as the process's TLS provider if none is installed yet.
    pub async fn start(access_token_lifetime: Duration) -> Result<Self, OidcError> {
        Self::start_for(access_token_lifetime, "http://127.0.0.1:8080/callback").await
    }

    /// Like [`OidcServer::start`], with the redirect URI of its clients.
    pub async fn start_for(access_token_lifetime: Duration, redirect_uri: &str) -> Result<Self, OidcError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc");
        npm::install(&folder).await?;
        let mut child = spawn(&folder, access_token_lifetime, redirect_uri)?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or(OidcError::Start)?);
        let mut line = String::new();
        let read = tokio::time::timeout(START_DEADLINE, stdout.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(length)) if length > 0) {
            return Err(OidcError::Start);
        }
        let Ready { issuer, clients } = serde_json::from_str(&line).map_err(|_| OidcError::Start)?;
        // Another test has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(START_DEADLINE).build()?;
        let server = Self { issuer, clients, http, _child: child, _stdout: stdout };
        let metadata = server.http.get(server.url(".well-known/openid-configuration"));
        server.read::<Value>(metadata).await?;
        Ok(server)
    }

    /// The issuer, without a slash at its end.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// An address below the issuer: `token`, `me` (user-info), `token/revocation`, `token/introspection`.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer)
    }

    /// The client that authenticates with this method.
    pub fn client(&self, auth: OidcAuth) -> Option<&OidcClient> {
        self.clients.iter().find(|client| client.auth == auth)
    }

    /// Creates a grant of `account` for the client that uses Basic, with its first tokens.
    pub async fn mint(&self, account: &str) -> Result<Minted, OidcError> {
        self.mint_as(&MintRequest::of(account)).await
    }

    /// Creates a grant for any client and scope (of `openid`, `email`, `offline_access`).
    pub async fn mint_as(&self, request: &MintRequest) -> Result<Minted, OidcError> {
        self.minted(serde_json::to_value(request)?).await
    }

    /// Creates a grant of `account` for any client at the protected resource, with its scope.
    pub async fn mint_for_resource(&self, account: &str, client_id: &str) -> Result<Minted, OidcError> {
        let resource = self.url("mcp");
        let request =
            json!({"account": account, "client_id": client_id, "scope": "files.read", "resource": resource});
        self.minted(request).await
    }

    async fn minted(&self, mut members: Value) -> Result<Minted, OidcError> {
        if let Some(members) = members.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        self.read(self.http.post(self.url("admin/grants")).body(members.to_string())).await
    }

    /// Ends a grant, as when the person removes the app at the provider.
    pub async fn revoke_grant(&self, grant: &str) -> Result<(), OidcError> {
        let response = self.http.delete(self.url(&format!("admin/grants/{grant}"))).send().await?;
        match response.status().as_u16() {
            204 => Ok(()),
            status => Err(OidcError::Status(status)),
        }
    }

    /// Whether a token works, as the server's introspection tells the client that uses Basic (RFC 7662).
    pub async fn is_active(&self, token: &str) -> Result<bool, OidcError> {
        let client = self.client(OidcAuth::Basic).ok_or(OidcError::Start)?;
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
        let asked = self.http.post(self.url("token/introspection"));
        let asked = asked.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer: Value = self.read(asked.basic_auth(&client.id, Some(&client.secret))).await?;
        Ok(answer["active"] == Value::Bool(true))
    }

    /// The events of grants and tokens, in order.
    pub async fn events(&self) -> Result<Vec<OidcEvent>, OidcError> {
        self.read(self.http.get(self.url("admin/events"))).await
    }

    async fn read<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, OidcError> {
        let response = request.send().await?;
        if !response.status().is_success() {
            return Err(OidcError::Status(response.status().as_u16()));
        }
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }
}

fn spawn(folder: &Path, access_token_lifetime: Duration, redirect_uri: &str) -> Result<Child, OidcError> {
    let start = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env("ACCESS_TOKEN_SECONDS", access_token_lifetime.as_secs().to_string())
            .env("REDIRECT_URI", redirect_uri)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    };
    start("setpriv", &["--pdeathsig", "KILL", "node", "server.js"])
        .or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => start("node", &["server.js"]),
            _ => Err(error),
        })
        .map_err(OidcError::Run)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::sandbox::fingerprint;

    async fn post(
        server: &OidcServer,
        client: &OidcClient,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> (u16, serde_json::Value) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(pairs);
        let mut request = reqwest::Client::builder().no_proxy().build().unwrap().post(server.url(path));
        match client.auth {
            OidcAuth::Basic => {
                let pair = STANDARD.encode(format!("{}:{}", client.id, client.secret));
                request = request.header("authorization", format!("Basic {pair}"));
            }
            OidcAuth::Post => {
                form.append_pair("client_id", &client.id).append_pair("client_secret", &client.secret);
            }
        }
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.finish());
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn refresh(server: &OidcServer, client: &OidcClient, token: &str) -> (u16, serde_json::Value) {
        post(server, client, "token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Level 2: only the real server shows that its endpoints accept a grant made through its models.
    #[tokio::test]
    #[ignore = "needs Node: make test"]
    async fn a_minted_grant_rotates_and_ends_when_it_is_revoked() {
        let server = OidcServer::start(Duration::from_secs(30)).await.expect("a server");
        for auth in [OidcAuth::Basic, OidcAuth::Post] {
            let client = server.client(auth).expect("a client");
            let request = MintRequest { client_id: Some(client.id.clone()), ..MintRequest::of("alice") };
            let grant = server.mint_as(&request).await.expect("a grant");
            assert_eq!(grant.expires_in, 30);

            let (status, first) = refresh(&server, client, &grant.refresh_token).await;
            let next = first["refresh_token"].as_str().expect("a refresh token");
            assert_eq!((status, &first["expires_in"]), (200, &30.into()));
            assert_ne!(next, grant.refresh_token);
            let (_, looked) =
                post(&server, client, "token/introspection", &[("token", &grant.access_token)]).await;
            assert_eq!((&looked["active"], &looked["sub"]), (&true.into(), &"alice".into()));

            let (status, _) = post(&server, client, "token/revocation", &[("token", next)]).await;
            assert_eq!(status, 200);
            let (status, refused) = refresh(&server, client, next).await;
            assert_eq!((status, &refused["error"]), (400, &"invalid_grant".into()));

            let consumed = server.events().await.unwrap().into_iter().find(|event| {
                event.event == "refresh_token.consumed" && event.grant.as_ref() == Some(&grant.grant_id)
            });
            assert_eq!(consumed.and_then(|event| event.sha256), Some(fingerprint(&grant.refresh_token)));
            assert!(server.events().await.unwrap().iter().any(|event| {
                event.event == "grant.revoked" && event.grant.as_ref() == Some(&grant.grant_id)
            }));
        }
    }

    /// Level 2: reuse detection belongs to the real server; the sandbox only imitates it.
    #[tokio::test]
    #[ignore = "needs Node: make test"]
    async fn reuse_and_removal_by_the_person_end_a_grant() {
        let server = OidcServer::start(Duration::from_secs(30)).await.expect("a server");
        let client = server.client(OidcAuth::Basic).expect("a client");
        let reused = server.mint("alice").await.expect("a grant");
        let (_, first) = refresh(&server, client, &reused.refresh_token).await;
        assert_eq!(refresh(&server, client, &reused.refresh_token).await.1["error"], "invalid_grant");
        let next = first["refresh_token"].as_str().expect("a refresh token");
        assert_eq!(refresh(&server, client, next).await.1["error"], "invalid_grant");

        let removed = server.mint("bob").await.expect("a grant");
        server.revoke_grant(&removed.grant_id).await.expect("revoked");
        assert_eq!(refresh(&server, client, &removed.refresh_token).await.1["error"], "invalid_grant");
        assert!(matches!(server.revoke_grant("none").await, Err(OidcError::Status(422))));
    }
}
