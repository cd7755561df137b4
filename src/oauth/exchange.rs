//! Exchanges an authorization code for tokens (RFC 6749 §4.1.3), once.

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::answer::Flaw;
use super::app::App;
use super::authorize::nonce;
use super::claims::ClaimsFlaw;
use super::classify::{self, Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::http::Http;
use super::request;
use crate::catalog::Description;

/// Exchanges the code that a callback brought. `verifier` and `redirect_uri` are those of the request.
///
/// The code goes out once. It goes out a second time, with the previous client secret, only after the provider refused
/// the client itself: it proves the client before it looks at the code (RFC 6749 §4.1.3), so that the code was not used.
/// After any other failure the code must not be sent again, unless [`Failure::sent`] says that no byte of it left; a
/// server that sees a code twice may end what it gave for it (§4.1.2). [`Class::Reauth`] means to start over: the code
/// is late, used or not ours. It says nothing about an older grant.
///
/// The token endpoint answered us directly over TLS, so the id token's signature is not checked (`OpenID` Connect Core
/// §3.1.3.7); issuer, audience, end and nonce are. A nonce of another request refuses the whole answer: the code was
/// not meant for us.
///
/// [`Class::Reauth`]: crate::catalog::errors::Class::Reauth
pub async fn exchange(
    http: &dyn Http,
    description: &Description,
    app: &App,
    code: &SecretString,
    verifier: &SecretString,
    redirect_uri: &str,
    now: Timestamp,
) -> Result<Granted, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::Exchange, now };
    let nonce = nonce(verifier);
    let outcome = asked
        .tokens(Some(&nonce), |secret| {
            request::exchange(description, &app.client_id, secret, code, verifier, redirect_uri)
        })
        .await;
    let secrets = [code.expose_secret(), verifier.expose_secret()];
    let granted = outcome.map_err(|failure| secrets.into_iter().fold(failure, Failure::without_echo))?;
    if granted.answer.flaws.contains(&Flaw::IdToken(ClaimsFlaw::OtherNonce)) {
        return Err(classify::of_another_request());
    }
    Ok(granted)
}
