//! Signatures of whole requests.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bowline_api::duration::Duration as ApiDuration;
use k8s_openapi::jiff::Timestamp;
use zeroize::Zeroizing;

use super::super::assertion::SigningKey;
use super::super::http::Request;
use super::super::request::{self, RequestError};
use crate::catalog::link_session::RequestSignature;
use crate::catalog::template::Template;

/// Adds the signature of a request that is whole.
pub(super) fn sign(
    request: &mut Request,
    how: &RequestSignature,
    key: &SigningKey,
    now: Timestamp,
) -> Result<(), RequestError> {
    let lifetime = how.lifetime.map_or(Duration::from_mins(1), ApiDuration::get);
    let expires = now.as_second() + i64::try_from(lifetime.as_secs()).unwrap_or_default();
    let expires = expires.to_string();
    let (method, url) = (request.method().to_string(), request.uri().to_string());
    let body = std::str::from_utf8(request.body()).map_err(|_| RequestError::Unbuildable)?;
    let part = |name: &str| match name {
        "expires" => Some(expires.as_str()),
        "method" => Some(method.as_str()),
        "url" => Some(url.as_str()),
        _ => Some(body),
    };
    let template = Template::try_from(how.signs.clone()).map_err(|_| RequestError::Unbuildable)?;
    let text = Zeroizing::new(template.fill(part).map_err(|_| RequestError::Unbuildable)?);
    let signature = BASE64_STANDARD.encode(key.rsa_signature(text.as_bytes())?);
    request::add_sensitive(request, &how.expires_header, &expires)?;
    request::add_sensitive(request, &how.header, &signature)
}
