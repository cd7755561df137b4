//! `POST /webhooks/PROVIDER`: a provider says by itself that a grant may have ended there.
//!
//! Anybody can send such a message: the API server hears of those alone that are signed. One that is believed has the
//! connections of the account looked at, as a refresh that somebody requests does; it ends nothing by itself.

use std::path::Path as FilePath;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bowline_api::IntegrationConnection;
use bowline_oauth::catalog;
use bowline_oauth::webhook::{Delivery, Heard, NotHeard, hear, keys};
use secrecy::SecretString;

use crate::Portal;
use crate::error::PageError;
use crate::view::foreign;
use crate::write;

/// How many connections one message has looked at.
const MOST: usize = 100;
/// Secrets of one provider: the present one, and the former while it is replaced.
const MOST_SECRETS: usize = 4;

pub(crate) async fn receive(
    State(app): State<Portal>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, PageError> {
    let object = app.cluster.provider(&provider).ok_or_else(PageError::not_found)?;
    let folder = app.settings.server.webhook_secrets.as_deref();
    let secrets = folder.map(|folder| secrets(folder, &provider)).unwrap_or_default();
    if secrets.is_empty() {
        return Err(PageError::not_found());
    }
    let entry = catalog::entry_of(&object.spec).map_err(|_| PageError::not_found())?;
    let webhook = entry.webhook.as_ref().ok_or_else(PageError::not_found)?;
    let url = app.settings.url.join(&format!("/webhooks/{provider}"));
    let delivery = Delivery { url: &url, headers: &headers, body: &body };
    match hear(webhook, &secrets, delivery, app.clock.now()) {
        Err(refused) => {
            tracing::warn!(provider, "a webhook was refused: {refused}");
            Ok((status(refused), format!("{refused}\n")).into_response())
        }
        Ok(Heard::Challenge(text)) => {
            // What comes back is not a page, whatever the text is.
            let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            Ok((plain, text).into_response())
        }
        Ok(Heard::Nothing) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Heard::Ended { account }) => {
            look_at(&app, &provider, &account).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

fn status(refused: NotHeard) -> StatusCode {
    match refused {
        NotHeard::Unsigned | NotHeard::WrongSignature | NotHeard::NotNow | NotHeard::UnknownKey => {
            StatusCode::UNAUTHORIZED
        }
        NotHeard::NotJson => StatusCode::BAD_REQUEST,
    }
}

/// The file named after the provider object, a secret or key per line, or public keys in PEM. It is read each time: a mounted Secret changes under us. The
/// name is that of an object, so it leads nowhere else.
fn secrets(folder: &FilePath, provider: &str) -> Vec<SecretString> {
    let text = std::fs::read_to_string(folder.join(provider)).unwrap_or_default();
    keys(&text).into_iter().take(MOST_SECRETS).collect()
}

/// Requests a refresh of every connection of the account. An error has the provider send the message again.
async fn look_at(app: &Portal, provider: &str, account: &str) -> Result<(), PageError> {
    let concerned = |it: &IntegrationConnection| concerns(it, provider, account);
    let connections = app.cluster.connections.state_filter(concerned);
    let (found, account) = (connections.len(), foreign(account));
    tracing::info!(provider, account, found, most = MOST, "a webhook has connections refreshed");
    for connection in connections.into_iter().take(MOST) {
        match write::look_at(app, &connection, provider).await {
            Err(error) if error.status.is_server_error() => return Err(error),
            Err(error) => tracing::warn!(provider, "a connection could not be refreshed: {}", error.what),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Whether the connection is of an account with this id, or whose id begins with it and a slash.
fn concerns(connection: &IntegrationConnection, provider: &str, account: &str) -> bool {
    let held = connection.status.as_ref().and_then(|status| status.account.as_ref());
    let rest = held.and_then(|held| held.id.strip_prefix(account));
    connection.spec.provider == provider && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
