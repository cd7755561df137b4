//! Asks for a token with the app registration alone (RFC 6749 §4.4).

use k8s_openapi::jiff::Timestamp;

use super::app::App;
use super::classify::{Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::http::Http;
use crate::catalog::Description;

/// Mints an access token. There is no grant that could be lost: the request may be repeated.
///
/// Like a refresh it is tried once more with the previous client secret when the current one is refused.
pub async fn client_credentials(
    http: &dyn Http,
    description: &Description,
    app: &App,
    scopes: &[String],
    now: Timestamp,
) -> Result<Granted, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::ClientCredentials, now };
    asked.tokens(&[("grant_type", "client_credentials")], scopes, None).await
}
