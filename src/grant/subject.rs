//! Tokens of `ServiceAccount`s that are exchanged at a provider (RFC 8693).
//!
//! Only the account that owns the connection, and only if it is of the connection's own namespace; for the provider's audience
//! alone, and never for the cluster itself. The API server decides whether the operator may request one.

use bowline_api::connection::Method;
use bowline_api::owner::service_account;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_oauth::mint::is_for_the_cluster;
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use secrecy::SecretString;
use tokio::time::timeout;

use super::secrets::{CALL_LIMIT, Secrets};
use super::work::Job;

/// Seconds that such a token lives: the least that the API server grants.
const LIVES: i64 = 600;

impl Secrets {
    /// A token of the owner for the provider; `None` for methods that exchange none.
    pub(super) async fn subject_token(&self, job: &Job) -> Result<Option<SecretString>, Failure> {
        if job.method != Method::TokenExchange {
            return Ok(None);
        }
        let refused = |why: &str| Failure::new(Class::Config, Sent::NotSent, why);
        let namespace = &job.place.namespace;
        let owner = service_account(&job.owner).filter(|(its, _)| its == namespace);
        let (_, name) =
            owner.ok_or_else(|| refused("the owner is no ServiceAccount of the connection's namespace"))?;
        let audience = job.target.description().subject_audience();
        let audience = audience.ok_or_else(|| refused("the token endpoint is not known"))?;
        let token = self.token_of(namespace, name, audience).await?;
        if is_for_the_cluster(&token) {
            return Err(refused(
                "the audience of the ServiceAccount's token is the cluster's own: with it the provider could use the cluster. Set another parameters.subject_audience",
            ));
        }
        Ok(Some(token))
    }

    async fn token_of(&self, namespace: &str, name: &str, audience: &str) -> Result<SecretString, Failure> {
        let api: Api<ServiceAccount> = Api::namespaced(self.kube.clone(), namespace);
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(LIVES),
            bound_object_ref: None,
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let params = PostParams::default();
        let asked = api.create_token_request(name, &params, &request);
        let later = || {
            Failure::new(
                Class::Transient,
                Sent::NotSent,
                "the API server gave no token of the ServiceAccount now",
            )
        };
        let answer = timeout(CALL_LIMIT, asked).await.map_err(|_| later())?;
        let answer = answer.map_err(|error| {
            let status = match &error {
                kube::Error::Api(status) => status.code,
                _ => 0,
            };
            tracing::warn!(error = %chain(&error), account = name, "a ServiceAccount's token could not be requested");
            let why = match status {
                403 => format!("the operator may not request tokens of ServiceAccount {name} in namespace {namespace}: an administrator can allow it (docs/permissions.md, \"Token exchange\")"),
                404 => format!("there is no ServiceAccount {name} in namespace {namespace}"),
                _ => return later(),
            };
            Failure::new(Class::Config, Sent::NotSent, &why)
        })?;
        answer.status.map(|status| SecretString::from(status.token)).ok_or_else(later)
    }
}
